"""Runs a notebook's cells in this process, one after the other, without a kernel.

Figures are made but not turned into pictures, which takes most of a notebook's time, and nothing is
displayed. What a widget draws is drawn once; an error in it is raised, not shown.
"""

import contextlib
import functools
import linecache
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


def run(path: Path, answers: dict[str, Callable], parameters: dict[str, object]) -> dict:
    """Runs all code cells -> the notebook's variables.

    answers: {exercise: function} that take the place of the notebook's own as soon as these are
    defined; the notebook's own are called before them, so that both are tried
    parameters: values for the names in the cell of parameters
    A cell that raises does so here; its number is told in the traceback's file name.
    """
    matplotlib.use("agg")
    space = {"__name__": "__main__", "display": _nothing}
    with _inside(path.parent), _without_pictures():
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            if cell.cell_type != "code":
                continue
            _run_cell(cell.source, f"<{path.stem}, cell {number}>", space)
            if "parameters" in cell.metadata.get("tags", []):
                space |= parameters
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
            if name in answers and cell.metadata.nbgrader.solution:
                space[name] = _both(space[name], answers[name])
            _close_figures()
    return space


def _both(own, other):
    """Calls both with the same arguments -> what the other one returns.

    Where a notebook's own answer calls another of its own, it gets what that one returns.
    """

    @functools.wraps(own)
    def answer(*args, **options):
        if _in_own_answer:
            return own(*args, **options)
        _in_own_answer.append(own)
        try:
            own(*args, **options)
        finally:
            _in_own_answer.pop()
        return other(*args, **options)

    return answer


_in_own_answer = []
"""The notebook's own answer that is being computed, if there is one."""


def _run_cell(source, file, space):
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), space)


def _close_figures():
    import matplotlib.pyplot as plt

    plt.close("all")


@contextlib.contextmanager
def _without_pictures() -> Iterator[None]:
    """Turns figures into nothing, and lets the errors of widgets through."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("course_utils.figures._encoded", lambda figure: (b"", "png"))
        patch.setattr("course_utils.figures.display", _nothing)
        patch.setattr("course_utils.widgets.display", _nothing)
        patch.setattr("course_utils.widgets.drawn", _drawn)
        patch.setattr("course_utils.widgets.DisplayHandle.display", _nothing)
        yield


def _nothing(*things, **options):
    """In place of what shows something."""


def _drawn(function, values):
    function(**values)
    return {"text/plain": ""}, {}


@contextlib.contextmanager
def _inside(folder) -> Iterator[None]:
    """Notebooks run in their own folder."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
