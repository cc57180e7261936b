"""The course in a real JupyterLab, in a browser: run, move a slider, hand in a picture."""

import os
import socket
import subprocess
import sys
import urllib.request

import nbformat
import pytest
from browser import Browser, needs_browser
from PIL import Image
from waiting import HANG, wait_for

from course_utils.classroom import ROOT, find_notebooks
from course_utils.classroom.grading import slicing


def shortened(stem, *marks):
    """A notebook of the course, only with the code cells that the cells with these marks need."""
    path = next(path for path in find_notebooks() if path.stem == stem)
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    wanted = [n for n, cell in enumerate(cells) if any(mark in cell.source for mark in marks)]
    statements = [
        statement
        for number, cell in enumerate(cells)
        for statement in slicing.statements_of(cell.source, number, is_course=True)
    ]
    targets = [statement for statement in statements if statement.cell in wanted]
    kept = sorted({statement.cell for statement in slicing.needed(targets, statements)})
    assert len(wanted) == len(marks)
    notebook.cells = [cells[n] for n in kept]
    for cell in notebook.cells:
        cell.outputs, cell.execution_count = [], None
    return notebook


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab whose folder holds a short form of notebook 2."""
    folder = tmp_path_factory.mktemp("lab")
    notebook = shortened("02_predictions_and_top_k", "explore(choose", "ipywidgets.FileUpload")
    nbformat.write(notebook, folder / "short.ipynb")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = ROOT / "course_utils" / "classroom" / "jupyterlab" / "labconfig"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}"]
    command += ["--IdentityProvider.token=", "--allow-root", f"--ServerApp.root_dir={folder}"]
    command += ["--LabApp.expose_app_in_browser=True", "--ServerApp.disable_check_xsrf=True"]
    environment = os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    environment |= {"JUPYTER_CONFIG_PATH": str(config.parent), "JUPYTER_PREFER_ENV_PATH": "1"}
    server = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/api", timeout=HANG).status)
        yield address
    finally:
        server.terminate()
        server.wait(HANG)


def take_the_focus(browser):
    """Clicks into the notebook until it is JupyterLab's current widget: only that one is run."""
    browser.click(".jp-Notebook .jp-CodeCell")
    return browser.evaluate("window.jupyterapp.shell.currentWidget !== null") or None


PANEL = "window.jupyterapp.shell.currentWidget"
KERNEL = f"{PANEL}.sessionContext.session?.kernel"
CELLS = f"[...{PANEL}.content.model.cells]"
FIGURES = "[...document.querySelectorAll('.jp-OutputArea img')]"
LAST = f"{FIGURES}.at(-1)?.src"
ERRORS = "document.querySelectorAll('[data-mime-type=\"application/vnd.jupyter.error\"]')"


def run_all(browser):
    """Runs all cells once the kernel is ready, since an earlier request would be lost."""
    connected = f"{KERNEL}?.connectionStatus == 'connected' && {KERNEL}.status == 'idle'"
    browser.wait(f"{PANEL}.sessionContext.isReady && {connected}")
    browser.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    browser.wait(f"{CELLS}.every(cell => cell.executionCount !== null)")
    browser.wait(f"{KERNEL}.status == 'idle'")


@needs_browser
def test_run_a_slider_and_an_upload(lab, tmp_path):
    picture = tmp_path / "my picture.png"
    Image.effect_noise((90, 70), 80).convert("RGB").save(picture)
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"{lab}/lab/tree/short.ipynb", "!!window.jupyterapp")
        browser.wait("document.querySelector('.jp-Notebook .jp-CodeCell') !== null")
        wait_for(lambda: take_the_focus(browser))
        run_all(browser)
        assert browser.evaluate(f"{ERRORS}.length") == 0
        browser.wait("document.querySelector('.jupyter-button.widget-upload') !== null")

        before = browser.wait(LAST)
        count = browser.evaluate(f"{FIGURES}.length")
        browser.wait("document.querySelector('.noUi-handle') !== null")
        browser.click(".noUi-handle")
        browser.evaluate("document.querySelector('.noUi-handle').focus()")
        browser.press("ArrowRight", 39)
        browser.wait(f"{FIGURES}.length == {count} && {LAST} != {before!r}")

        browser.upload(".widget-upload", picture)
        browser.wait(f"{FIGURES}.length > {count}")
        assert browser.foreign_requests() == []
