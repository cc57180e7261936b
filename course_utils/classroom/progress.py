"""`course progress`: which exercises are passed, read from the outputs saved in the notebooks.

Nothing is executed. A check leaves its verdict as data beside the text that it shows, with a hash
of the answer's source, so an answer that was changed afterwards does not count.
"""

import ast
import inspect
from dataclasses import dataclass

import nbformat

from course_utils.classroom import UsageError, exercises_of, find_notebooks, nbgrader_data
from course_utils.classroom.copies import read_copy
from course_utils.classroom.magics import parse, plain_python
from course_utils.exercises.engine.feedback import MIME, TITLES, hash_of_source


@dataclass
class Standing:
    """How one exercise of one notebook stands."""

    notebook: str
    exercise: str
    verdict: str
    points: float
    out_of: float


def progress(folder):
    """Prints a table of all exercises whose notebooks are in `folder` -> 0."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder}: `course learn` makes your copies first.")
    standings = []
    for master in find_notebooks():
        standings += read_standings(master, folder / master.name)
    _print_table(standings)
    return 0


def read_standings(master, path):
    """The standing of each exercise of a master in the learner's file `path` -> [Standing]."""
    exercises = exercises_of(nbformat.read(master, as_version=4)).items()
    try:
        notebook = read_copy(path)
    except FileNotFoundError:
        return [Standing(master.stem, name, "no copy yet", 0, p) for name, p in exercises]
    except Exception:  # any damage to the file
        return [Standing(master.stem, name, "unreadable file", 0, p) for name, p in exercises]
    return [_standing(master.stem, notebook, name, points) for name, points in exercises]


def _standing(stem, notebook, name, points):
    verdict = verdict_on(notebook, name)
    return Standing(stem, name, verdict, points if verdict == "passed" else 0, points)


def verdict_on(notebook, name):
    """What the notebook's saved outputs say of an exercise: a kind of feedback, or why none."""
    verdict = saved_verdict(notebook, name)
    if verdict is None:
        return "not run yet"
    kind = verdict.get("kind")
    if not isinstance(kind, str) or kind not in TITLES:
        return "not run yet"
    if kind == "passed" and not _is_of_this_source(verdict, notebook, name):
        return "changed since: run its cells again"
    return kind if kind in ("passed", "not attempted") else f"not yet ({TITLES[kind]})"


def saved_verdict(notebook, name):
    """The data that the check of an exercise left in its cell, the last if several, or None."""
    outputs = [
        output
        for cell in notebook.cells
        if nbgrader_data(cell).get("grade_id") == f"check_{name}" and cell.cell_type == "code"
        for output in cell.outputs
    ]
    found = [output.get("data", {}).get(MIME) for output in outputs]
    own = [data for data in found if isinstance(data, dict) and data.get("exercise") == name]
    return own[-1] if own else None


def _is_of_this_source(verdict, notebook, name):
    """Whether the answer in the notebook is the one that the check has seen."""
    sources = [
        cell.source for cell in notebook.cells if nbgrader_data(cell).get("grade_id") == name
    ]
    found = [hash_of_source(_function_source(source, name)) for source in sources]
    return verdict.get("source") is not None and verdict["source"] in found


def _function_source(source, name):
    """The lines of a cell that define the function, as `inspect` would return them."""
    source = plain_python(source)
    tree = parse(source)
    if tree is None:
        return ""
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not found:
        return ""
    first = min([found[-1].lineno, *(d.lineno for d in found[-1].decorator_list)])
    lines = [line + "\n" for line in source.split("\n")[first - 1 :]]
    return "".join(inspect.getblock(lines))


def _print_table(standings):
    first = max(len(standing.notebook) for standing in standings)
    second = max(len(standing.exercise) for standing in standings)
    shown = None
    for standing in standings:
        label = standing.notebook if standing.notebook != shown else ""
        shown = standing.notebook
        points = f"{standing.points:g}/{standing.out_of:g}"
        print(f"{label:{first}}  {standing.exercise:{second}}  {points:>5}  {standing.verdict}")
    passed = sum(standing.verdict == "passed" for standing in standings)
    points, total = (sum(getattr(s, name) for s in standings) for name in ("points", "out_of"))
    print(f"\n{passed} of {len(standings)} exercises passed, {points:g} of {total:g} points.")
