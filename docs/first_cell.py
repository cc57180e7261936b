"""Writes the cell that fetches the course on Colab and Kaggle into notebooks.

    python docs/first_cell.py               # into all of notebooks/
    python docs/first_cell.py FILE ...

The address of the repository stands in pyproject.toml, as `Repository` under [project.urls], and
the tag is the package's version. Run it again after either has changed, and tag the commit. What
the notebooks printed stays as it is, since the cell prints nothing.
"""

import sys

import nbformat

from course_utils.classroom import find_notebooks
from course_utils.classroom.elsewhere import MARK, first_cell, repository


def with_first_cell(notebook: nbformat.NotebookNode, source: str) -> nbformat.NotebookNode:
    """The notebook, changed in place, with the cell below its title, or with a newer one there."""
    for cell in notebook.cells:
        if MARK in cell.metadata.get("tags", []):
            cell.source = source
            return notebook
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.execution_count is not None:
            cell.execution_count += 1
    cell = nbformat.v4.new_code_cell(source, id=MARK, execution_count=1)
    cell.metadata = {
        "jupyter": {"source_hidden": True},
        "slideshow": {"slide_type": "skip"},
        "tags": [MARK],
    }
    notebook.cells.insert(1, cell)
    return notebook


def main(names):
    """Does what the module says."""
    address = repository()
    if not address:
        sys.exit("Write the repository's address into pyproject.toml first: [project.urls].")
    for path in find_notebooks(names):
        notebook = with_first_cell(nbformat.read(path, as_version=4), first_cell(address))
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
