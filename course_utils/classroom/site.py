"""`course site`: all executed notebooks and the guides as pages, made by Sphinx and MyST-NB.

The site needs no network and no server: open build/site/index.html. Formulas are MathML, fonts and
scripts lie beside the pages, and the search runs in the browser over an index that lies there too.

Sphinx reads a folder that is laid out like the repository, so that links between notebooks, guides
and data lead where they lead there.
"""

import base64
import hashlib
import html
import io
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

from course_utils.classroom import (
    NOTEBOOKS,
    ROOT,
    UsageError,
    elsewhere,
    find_notebooks,
    is_claims,
    read_notebook,
)
from course_utils.classroom.curriculum import read_chapter
from course_utils.classroom.export import readable
from course_utils.classroom.files import TEMPLATES, make_folder
from course_utils.exercises.engine.feedback import MIME

COPIED = ("docs/*.md", "docs/*.jpg", "docs/chapters/*.jpg", "data/classifiers/*.md", "LICENSE")
"""Files of the repository that belong to the site as they are."""

ENDINGS = {"image/png": "png", "image/jpeg": "jpg"}


def build_site(out: Path, executed: Path | None = None) -> Path:
    """Writes the site into a folder -> its index page.

    executed: a folder of executed notebooks, such as build/; by default the notebooks as they are
              in the repository, which keep the outputs of a complete run
    """
    paths = find_notebooks(folder=executed or NOTEBOOKS)
    notebooks = {path: read_notebook(path) for path in paths}
    for path, notebook in notebooks.items():
        _refuse_unfinished(path, notebook)
    make_folder(out)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        write_source(notebooks, source)
        _run_sphinx(source, out)
    return out / "index.html"


def _refuse_unfinished(path, notebook):
    """UsageError for a notebook that is not the result of one complete run."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    cure = "execute it first, with `course run`."
    if not any(cell.outputs for cell in cells):
        raise UsageError(f"{path.stem} has no outputs: {cure}")
    for number, cell in enumerate(cells, 1):
        if any(output.output_type == "error" for output in cell.outputs):
            raise UsageError(f"{path.stem} stopped with an error in code cell {number}: {cure}")
        if cell.get("execution_count") is None:
            raise UsageError(f"{path.stem} was not run to its end: {cure}")


def write_source(notebooks: dict[Path, nbformat.NotebookNode], source: Path) -> None:
    """Writes into a folder what Sphinx makes the site of."""
    from course_utils.classroom import site_pages  # torch is slow to import

    shutil.copytree(TEMPLATES / "site", source, ignore=shutil.ignore_patterns("*.md"))
    for pattern in COPIED:
        for path in ROOT.glob(pattern):
            target = source / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    files = source / "files"
    shutil.copytree(source / "docs" / "chapters", files / "docs" / "chapters")
    for path, notebook in notebooks.items():
        target = source / "notebooks" / path.name
        target.parent.mkdir(exist_ok=True)
        nbformat.write(for_site(notebook, files / "figures"), target)
    pages = {
        "index.md": site_pages.home(_chapters(notebooks)),
        "data/README.md": site_pages.data_page(files / "pairs"),
        "trial.md": site_pages.trial_page(),
    }
    for name, text in pages.items():
        (source / name).write_text(text, encoding="utf-8")


def _chapters(paths):
    try:
        return [read_chapter(path) for path in paths]
    except ValueError as error:  # a notebook that is not of the course
        raise UsageError(f"{error} The index shows it.") from None


def for_site(notebook: nbformat.NotebookNode, figures: Path) -> nbformat.NotebookNode:
    """A notebook with folded solutions and claims, whose figures are files in a folder."""
    notebook = readable(notebook)
    figures.mkdir(parents=True, exist_ok=True)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        if cell.metadata.get("nbgrader", {}).get("solution"):
            _fold(cell, "hide-input", "One right answer")
        elif is_claims(cell):
            _fold(cell, "hide-cell", "What the text claims")
        elif elsewhere.MARK in cell.metadata.get("tags", []):
            _fold(cell, "hide-input", "For Colab and Kaggle")
        for output in cell.outputs:
            output.get("data", {}).pop(MIME, None)
            _put_figure_beside(output, figures)
    return notebook


def _fold(cell, tag, summary):
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), tag]
    cell.metadata["mystnb"] = {"code_prompt_show": summary, "code_prompt_hide": summary}


def _put_figure_beside(output, folder):
    """Makes a figure a file, shown with its description; MyST-NB itself knows none."""
    for kind in ENDINGS.keys() & output.get("data", {}).keys():
        content = base64.b64decode(output.data.pop(kind))
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.{ENDINGS[kind]}"
        (folder / name).write_bytes(content)
        alt = html.escape(output.metadata.get(kind, {}).get("alt", ""))
        width, height = Image.open(io.BytesIO(content)).size
        output.data["text/html"] = (
            f'<img class="figure" src="../figures/{name}" alt="{alt}"'
            f' width="{width}" height="{height}" loading="lazy">'
        )


def _run_sphinx(source, out):
    from sphinx.application import Sphinx  # slow to import
    from sphinx.util.docutils import docutils_namespace

    with docutils_namespace():
        app = Sphinx(
            source,
            source,
            out,
            source.parent / "doctrees",
            "html",
            confoverrides=_colab(elsewhere.repository()),
            status=None,
            warning=sys.stderr,
        )
        app.build(force_all=True)


def _colab(address):
    """The theme's settings for buttons that open a notebook in Colab."""
    settings = {
        "repository_url": address,
        "repository_branch": elsewhere.TAG,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
    return {f"html_theme_options.{k}": v for k, v in settings.items()} if address else {}
