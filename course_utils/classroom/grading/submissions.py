"""What a learner handed in -> for each exercise, the few cells that its answer needs.

Everything is taken from the course's own notebook but the answers, which are found by their names
(grade_id), wherever they stand in the file, and cells that begin with the line `# helper`. Checks,
other cells and saved outputs of a submission are not looked at. Of all cells, only those are run
that the answer needs, in the notebook's order: a static analysis finds them by the names they use.
"""

import builtins
import os
import stat
import symtable
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from IPython.core.inputtransformer2 import TransformerManager

from course_utils.classroom import (
    UsageError,
    answer_in,
    exercises_of,
    find_notebooks,
    nbgrader_data,
)

HELPER = "# helper"
"""First line of a learner's own cell that answers may use."""

LARGEST = 30_000_000
"""Bytes of a file; the course's own notebooks stay below a million."""


class BadSubmission(Exception):
    """A file that can't be graded; the message is a clause that says why."""


@dataclass
class Exercise:
    """One exercise of a submission."""

    name: str
    cells: list[str] = field(default_factory=list)
    """Sources in the order in which they run, the answer itself among them."""
    problem: str = ""
    """Why there is nothing to run, in one clause."""


@dataclass
class Master:
    """One of the course's notebooks."""

    path: Path
    notebook: nbformat.NotebookNode
    points: dict[str, int]
    """Of each exercise, in the notebook's order."""

    @property
    def module(self) -> str:
        """The module of its checks."""
        return self.path.stem.split("_", 1)[1]


def read_masters() -> dict[str, Master]:
    """The course's notebooks that have exercises, by name."""
    masters = {}
    for path in find_notebooks():
        notebook = nbformat.read(path, as_version=4)
        if points := exercises_of(notebook):
            masters[path.stem] = Master(path, notebook, points)
    return masters


# ---------------------------------------------------------------------------- files


def find_submissions(places: list[Path]) -> dict[Path, str]:
    """The notebooks among files and in folders -> {file: the learner's name}.

    In a folder, the name is that of the first folder below it, as in `all/ada/04_occlusion.ipynb`;
    for a file by itself, what its name holds besides a notebook's name, or else its own folder.
    """
    found = {}
    for place in places:
        if place.is_dir() and not place.is_symlink():
            for path in sorted(_notebooks_below(place)):
                parts = path.relative_to(place).parts
                found[path] = parts[0] if len(parts) > 1 else _learner_of_file(path)
        elif os.path.lexists(place):
            found[place] = _learner_of_file(place)
        else:
            raise UsageError(f"There is no file or folder {place}.")
    if not found:
        raise UsageError("There are no notebooks (.ipynb) in what was given.")
    return found


def _notebooks_below(folder):
    for directory, folders, files in os.walk(folder):  # does not follow links
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(directory) / name for name in files if name.endswith(".ipynb"))


def _learner_of_file(path):
    for master in find_notebooks():
        if master.stem in path.stem:
            rest = path.stem.replace(master.stem, "").strip("_- ")
            return rest or path.absolute().parent.name
    return path.stem


def read_bytes(path: Path) -> bytes:
    """The content of a submission; raises BadSubmission for links, devices and huge files."""
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            raise BadSubmission("it is a link to another file; hand in the file itself")
        if not stat.S_ISREG(facts.st_mode):
            raise BadSubmission("it is not a file")
        if facts.st_size > LARGEST:
            raise BadSubmission(f"it is larger than {LARGEST // 1_000_000} MB")
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read(LARGEST)
    except OSError as error:
        raise BadSubmission(f"it can't be opened ({error.strerror})") from None


# ---------------------------------------------------------------------------- notebooks


def read_exercises(content: bytes, masters: dict[str, Master]) -> tuple[Master, list[Exercise]]:
    """The notebook that was handed in, and its exercises; raises BadSubmission."""
    notebook = _parsed(content)
    master = _identified(notebook, masters)
    cells = _grafted(master, notebook)
    return master, [_exercise(name, cells, notebook) for name in master.points]


def _parsed(content):
    if not content.strip():
        raise BadSubmission("the file is empty")
    try:
        notebook = nbformat.reads(content.decode("utf-8-sig"), as_version=nbformat.NO_CONVERT)
    except Exception as error:  # whatever a damaged file makes the reader do
        reason = type(error).__name__
        raise BadSubmission(f"the file can't be read as a notebook ({reason})") from None
    if notebook.get("nbformat") != 4 or not isinstance(notebook.get("cells"), list):
        raise BadSubmission("it is not of notebook format 4: save it again in JupyterLab")
    if not all(_is_cell(cell) for cell in notebook.cells):
        raise BadSubmission("it has cells without text or type: save it again in JupyterLab")
    return notebook


def _is_cell(cell):
    return (
        isinstance(cell, dict)
        and isinstance(cell.get("source"), str)
        and isinstance(cell.get("cell_type"), str)
        and isinstance(cell.get("metadata"), dict)
    )


def _identified(notebook, masters):
    """The course's notebook that it is, by its exercises, whatever the file is called."""
    names = set(_answers(notebook))
    shared = {stem: len(names & set(master.points)) for stem, master in masters.items()}
    best = max(shared, key=shared.get, default=None)
    if best is None or shared[best] == 0:
        raise BadSubmission("it has none of the course's exercises; is it the right notebook?")
    return masters[best]


def _answers(notebook):
    """The sources of each answer: {exercise: [source, ...]}, more than one if it was copied."""
    answers = {}
    for cell in notebook.cells:
        data = nbgrader_data(cell)
        if data.get("solution") and cell.cell_type == "code":
            answers.setdefault(data["grade_id"], []).append(cell.source)
    return answers


@dataclass
class _Cell:
    source: str
    answer_to: str | None
    binds: set[str]
    needs: set[str]


def _grafted(master, notebook):
    """The master's code cells with the learner's answers and helpers in their places."""
    answers, helpers = _answers(notebook), _helpers(notebook)
    cells = []
    for cell in master.notebook.cells:
        name = answer_in(cell)
        if name:
            cells += [_analysed(source) for source in helpers.pop(name, [])]
            cells.append(_analysed(answers.get(name, [""])[0], name))
        elif cell.cell_type == "code":
            cells.append(_analysed(cell.source))
    return cells


def _helpers(notebook):
    """The sources of helper cells, by the answer that follows each: {exercise: [source, ...]}."""
    helpers, waiting = {}, []
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.lstrip().startswith(HELPER):
            waiting.append(cell.source)
        name = answer_in(cell)
        if name:
            helpers.setdefault(name, []).extend(waiting)
            waiting = []
    return helpers


def _exercise(name, cells, notebook):
    copies = _answers(notebook).get(name, [])
    if not copies:
        return Exercise(name, problem="its cell is not in the file")
    if len(copies) > 1:
        return Exercise(name, problem=f"there are {len(copies)} cells with it; keep one")
    place = next(n for n, cell in enumerate(cells) if cell.answer_to == name)
    return Exercise(name, [cells[n].source for n in _needed(cells, place)])


# ---------------------------------------------------------------------------- what is needed


def _needed(cells, place):
    """The numbers of the cells that the cell `place` needs, itself included, in order."""
    chosen, waiting = {place}, [place]
    while waiting:
        user = waiting.pop()
        for name in cells[user].needs:
            maker = _maker_of(name, cells, user)
            if maker is not None and maker not in chosen:
                chosen.add(maker)
                waiting.append(maker)
    return sorted(chosen)


def _maker_of(name, cells, user):
    """The last cell before `user` that gives the name its value; None if there is none."""
    return next((n for n in range(user - 1, -1, -1) if name in cells[n].binds), None)


def _analysed(source, answer_to=None):
    if source.lstrip().startswith("%%"):  # %%time and the like: what they time is what counts
        source = source.lstrip().partition("\n")[2]
    source = TransformerManager().transform_cell(source)  # %magics and !commands as Python
    binds, needs = names_of(source)
    return _Cell(source, answer_to, binds, needs)


def names_of(source: str) -> tuple[set[str], set[str]]:
    """The names that code gives values at its top level, and those it takes from elsewhere.

    Both are empty for code that is not Python: running it will say so.
    """
    try:
        table = symtable.symtable(source, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for child in _all_children(table):
        used |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
        binds |= {s.get_name() for s in child.get_symbols() if _is_made_global(s)}
    return binds, used - set(dir(builtins))


def _all_children(table):
    for child in table.get_children():
        yield child
        yield from _all_children(child)


def _is_made_global(symbol):
    return symbol.is_declared_global() and symbol.is_assigned()
