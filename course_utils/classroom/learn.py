"""`course learn`: a copy of the notebooks to work in, opened in JupyterLab.

The copies live in `learner/`, which git ignores, so updating the course never conflicts with
what somebody wrote, and what somebody wrote is never overwritten.
"""

import os
import subprocess
import sys

import nbformat

from course_utils.classroom import ROOT, find_notebooks

LEARNER = ROOT / "learner"


def learn(browser=True):
    """Copies what is missing and runs JupyterLab until it is stopped -> its exit status."""
    copied = copy_notebooks()
    total = len(find_notebooks())
    print(f"{len(copied)} of {total} notebooks copied to {LEARNER}; your own were left alone.")
    command = [sys.executable, "-m", "jupyterlab", str(LEARNER)]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container one often is root
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    try:
        return subprocess.call(command, env=environment)
    except KeyboardInterrupt:
        return 0  # Ctrl-C is how JupyterLab is stopped


def copy_notebooks(folder=LEARNER, masters=None):
    """Copies the masters that `folder` lacks, without their outputs -> the new paths."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for master in masters or find_notebooks():
        copy = folder / master.name
        if not copy.exists():
            nbformat.write(_without_outputs(nbformat.read(master, as_version=4)), copy)
            copied.append(copy)
    return copied


def _without_outputs(notebook):
    """The notebook as if no cell had run yet."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    return notebook
