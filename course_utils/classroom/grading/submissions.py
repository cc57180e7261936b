"""A notebook that a learner handed in -> for each exercise, the code that its answer needs.

Answers are found by their names (grade_id); where an editor has lost those, by the cells' ids, and
by `def NAME`. What an answer needs is taken from the course's own notebook and from the learner's
cells, whichever gives a name its value, statement by statement (see `slicing`). Checks and saved
outputs of a submission are not looked at.

Where a file leaves a choice, there are several variants of an answer, and the best one counts.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from course_utils.classroom import answer_in, exercises_of, find_notebooks, nbgrader_data
from course_utils.classroom.grading import slicing
from course_utils.classroom.grading.handed_in import BadSubmission
from course_utils.classroom.grading.slicing import Statement
from course_utils.classroom.grading.text import printable
from course_utils.classroom.magics import LONGEST as LONGEST_CELL
from course_utils.classroom.magics import parse, plain_python

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

MOST_CELLS = 2000
"""Of a file; the course's own notebooks have 60."""

MOST_CODE = 1_000_000
"""Characters in all code cells of a file; what comes after them is not looked at."""

MOST_STATEMENTS = 3000
"""In the learner's own cells together; what comes after them is not looked at."""

MOST_ANSWERS = 3
"""Different answers to one exercise that are tried, the last ones of a file."""


@dataclass
class Cell:
    """What grading looks at in a cell."""

    cell_type: str
    source: str
    metadata: dict
    id: str = ""
    is_too_long: bool = False
    """Whether it is more code than is looked at."""

    @cached_property
    def code(self) -> str:
        """The source of a code cell as plain Python; "" for other cells and for giants."""
        return "" if self.cell_type != "code" or self.is_too_long else plain_python(self.source)

    @cached_property
    def is_stub(self) -> bool:
        """Whether all functions in it do nothing, or raise NotImplementedError at once."""
        tree = parse(self.code)
        functions = [node for node in (tree.body if tree else []) if isinstance(node, FUNCTIONS)]
        return bool(functions) and all(_is_empty(node) for node in functions)


@dataclass
class Exercise:
    """One exercise of a submission."""

    name: str
    variants: list[list[str]] = field(default_factory=list)
    """Ways to read the file, the likeliest first: sources that run one after the other."""
    problem: str = ""
    """Why there is nothing to run, in one clause."""
    is_untouched: bool = False
    """Whether the answer is the course's stub; then there is nothing to run either."""
    answer: str = ""
    """The source of the cell with the answer."""
    notes: list[str] = field(default_factory=list)
    """How the file was read, where that may surprise, a sentence each."""

    @property
    def cells(self) -> list[str]:
        """The sources of the likeliest variant."""
        return self.variants[0] if self.variants else []


@dataclass
class Master:
    """One of the course's notebooks."""

    path: Path
    cells: list[Cell]

    @cached_property
    def points(self) -> dict[str, int]:
        """Of each exercise, in the notebook's order."""
        return exercises_of(self)

    @property
    def module(self) -> str:
        """The module of its checks."""
        return self.path.stem.split("_", 1)[1]

    @cached_property
    def statements(self) -> list[list[Statement]]:
        """Of each cell that is no answer; answers come from the learner."""
        return [
            [] if answer_in(cell) else slicing.statements_of(cell.code, number, is_course=True)
            for number, cell in enumerate(self.cells)
        ]

    @cached_property
    def place_of(self) -> dict[str, int]:
        """{a cell's mark: its number}; a mark is an id, a grade_id or a source, see `_marks`."""
        places = {}
        for number, cell in enumerate(self.cells):
            for mark in _marks(cell):
                places.setdefault(mark, number)
        return places

    @cached_property
    def answers(self) -> dict[str, int]:
        """{exercise: the number of the cell for its answer}."""
        return {name: n for n, cell in enumerate(self.cells) if (name := answer_in(cell))}


def read_masters() -> dict[str, Master]:
    """The course's notebooks that have exercises, by name."""
    masters = (Master(path, read_cells(path.read_bytes())) for path in find_notebooks())
    return {master.path.stem: master for master in masters if master.points}


def read_exercises(content: bytes, masters: dict[str, Master]) -> tuple[Master, list[Exercise]]:
    """The notebook that was handed in, and its exercises; raises BadSubmission."""
    cells = read_cells(content)
    master = _identified(cells, masters)
    file = _File(master, cells)
    return master, [file.exercise(name) for name in master.points]


# ---------------------------------------------------------------------------- the file


def read_cells(content: bytes) -> list[Cell]:
    """The cells of a notebook file; raises BadSubmission for anything else."""
    if not content.strip():
        raise BadSubmission("the file is empty")
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError, MemoryError) as error:
        reason = type(error).__name__
        raise BadSubmission(f"the file can't be read as a notebook ({reason})") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise BadSubmission("it is not of notebook format 4: save it again in JupyterLab")
    if len(cells) > MOST_CELLS:
        raise BadSubmission(f"it has more than {MOST_CELLS} cells")
    cells = [_cell(cell) for cell in cells]
    left = MOST_CODE
    for cell in cells:
        if cell.cell_type == "code":
            cell.is_too_long = len(cell.source) > min(left, LONGEST_CELL)
            left -= 0 if cell.is_too_long else len(cell.source)
    return cells


def _cell(data):
    """One cell of the file, whose format lets a source be a text or a list of lines."""
    if not isinstance(data, dict):
        raise BadSubmission("it has cells that are none: save it again in JupyterLab")
    kind, source, name = data.get("cell_type"), data.get("source"), data.get("id")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or not isinstance(kind, str):
        raise BadSubmission("it has cells without text or type: save it again in JupyterLab")
    metadata = data.get("metadata")
    return Cell(
        kind,
        source,
        metadata if isinstance(metadata, dict) else {},
        name if isinstance(name, str) else "",
    )


def _identified(cells, masters):
    """The course's notebook that it is, by its exercises, whatever the file is called."""
    marks = {mark for cell in cells for mark in _marks(cell)}
    defined = {name for cell in cells for name in _functions(cell)}

    def shared(master):
        named = sum(("grade_id", name) in marks for name in master.points)
        found = sum(name in defined for name in master.points)
        return named, found, len(marks & master.place_of.keys())

    best = max(masters.values(), key=shared, default=None)
    if best is None or shared(best)[:2] == (0, 0):
        raise BadSubmission("it has none of the course's exercises; is it the right notebook?")
    return best


def _marks(cell) -> Iterator[tuple[str, str]]:
    """What a cell can be known by, the surest first."""
    name = nbgrader_data(cell).get("grade_id")
    if name:
        yield "grade_id", name
    if cell.id:
        yield "id", cell.id
    if cell.source.strip():
        yield "source", cell.source.strip()


def _functions(cell):
    """The names of the functions that a cell defines at its top level."""
    tree = parse(cell.code) if "def " in cell.code else None
    return [node.name for node in tree.body if isinstance(node, FUNCTIONS)] if tree else []


def _is_empty(function):
    """Whether a function's body is a docstring, `pass`, `...` or raises NotImplementedError."""
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        or (isinstance(line, ast.Raise) and _raises_not_implemented(line))
        for line in function.body
    )


def _raises_not_implemented(line):
    error = line.exc.func if isinstance(line.exc, ast.Call) else line.exc
    return isinstance(error, ast.Name) and error.id == "NotImplementedError"


# ---------------------------------------------------------------------------- its answers


class _File:
    """A learner's file beside its master: which cell is which, and what each answer needs."""

    def __init__(self, master: Master, cells: list[Cell]):
        self.master = master
        self.codes = [cell.code for cell in master.cells]
        self.own = {}
        """Statements of the learner's own cells, by the course's cell that they follow."""
        self.analysed = {}
        """The statements of a cell of the file, by the cell's identity."""
        self.answers = {name: [] for name in master.points}
        """The cells with answers, those of the surest kind last."""
        self._sort(cells)

    def _sort(self, cells):
        """Takes each cell of the file for an answer, a cell of the course, or the learner's own."""
        left, follows = MOST_STATEMENTS, -1
        for cell in cells:
            place = next(
                (self.master.place_of[m] for m in _marks(cell) if m in self.master.place_of), None
            )
            follows = follows if place is None else place
            names = self._answered(cell, place)
            for name in names:
                self.answers[name].append(cell)
            if not names:
                found = self._new_statements(cell, place)[: max(0, left)]
                left -= len(found)
                self.own.setdefault(follows, []).extend(found)

    def _new_statements(self, cell, place):
        """The statements of a cell that the course's version of it, if there is one, lacks."""
        if place is None:
            return self._statements(cell)
        if cell.source == self.master.cells[place].source:
            return []
        known = {statement.text for statement in self.master.statements[place]}
        return [s for s in self._statements(cell) if s.text not in known]

    def _answered(self, cell, place):
        """The exercises that a cell answers: the one that it is marked with, or defines."""
        if cell.cell_type != "code":
            return []
        marked = answer_in(cell) or (place is not None and answer_in(self.master.cells[place]))
        if marked in self.answers:
            return [marked]
        is_the_courses = place is not None and cell.source == self.master.cells[place].source
        return [] if is_the_courses else [n for n in _functions(cell) if n in self.answers]

    def _statements(self, cell):
        if id(cell) not in self.analysed:
            number = len(self.codes)
            self.codes.append(cell.code)
            self.analysed[id(cell)] = slicing.statements_of(cell.code, number)
        return self.analysed[id(cell)]

    def exercise(self, name: str) -> Exercise:
        """What there is to run for one exercise."""
        answers = self._answers(name)
        if not answers:
            return Exercise(name, problem="its cell is not in the file")
        exercise = Exercise(name, answer=answers[-1].source)
        if all(cell.is_too_long for cell in answers):
            limits = f"{LONGEST_CELL:,} characters, or the file's code than {MOST_CODE:,}"
            exercise.problem = f"its cell is longer than {limits}"
            exercise.answer = ""
        elif all(cell.is_stub for cell in answers):
            exercise.is_untouched = True
        else:
            self._add_variants(exercise, answers)
        return exercise

    def _answers(self, name):
        """The different answers to an exercise; stubs only if there is nothing else."""
        different = {cell.code.strip() or cell.source: cell for cell in self.answers[name]}
        cells = list(different.values())
        for is_better in (
            lambda cell: any(name in statement.binds for statement in self._statements(cell)),
            lambda cell: not cell.is_stub,
            lambda cell: not cell.is_too_long,
        ):
            cells = [cell for cell in cells if is_better(cell)] or cells
        return cells[-MOST_ANSWERS:]

    def _add_variants(self, exercise, answers):
        taken = {}
        for cell in reversed(answers):
            for prefer_course in (False, True):
                statements = self._needed(exercise.name, cell, prefer_course)
                sources = self._sources(statements) if statements else [cell.code]
                if sources not in exercise.variants:
                    exercise.variants.append(sources)
                    taken |= {s.text: s for s in statements if self._is_the_learners_own(s)}
        if taken:
            exercise.notes.append(_note_on_taken(exercise.name, list(taken)))
        if len(answers) > 1:
            told = f"The file holds {len(answers)} different answers to {exercise.name}"
            exercise.notes.append(f"{told}; the best one counts.")

    def _needed(self, name, answer, prefer_course):
        """The statements that an answer needs, among those of the whole notebook."""
        merged, targets = [], []
        place = self.master.answers[name]
        for number, statements in enumerate([[], *self.master.statements], -1):
            merged += statements
            if number == place:
                own = self._statements(answer)
                merged += own
                targets = _targets(name, own)
            elif number in self.master.answers.values():
                merged += self._neighbour(number)
            merged += self.own.get(number, [])
        future = [s for s in merged if s.is_future]
        return [*future, *slicing.needed(targets, merged, prefer_course)]

    def _neighbour(self, number):
        """The statements of the answer to another exercise."""
        answers = self._answers(answer_in(self.master.cells[number]))
        return self._statements(answers[-1]) if answers else []

    def _sources(self, statements):
        """Cells, each with the needed lines alone, in the order in which statements must run."""
        runs = []
        for statement in statements:
            if not runs or runs[-1][0].cell != statement.cell:
                runs.append([])
            runs[-1].append(statement)
        return [slicing.as_source(self.codes[run[0].cell], run) for run in runs]

    def _is_the_learners_own(self, statement):
        return any(statement in own for own in self.own.values())


def _targets(name, statements):
    """The statements of an answer's cell that make the answer what it is."""
    makers = [number for number, s in enumerate(statements) if name in s.binds]
    if not makers:
        return statements
    after = statements[makers[-1] + 1 :]
    return [statements[makers[-1]], *(s for s in after if name in s.sets)]


def _note_on_taken(name, texts):
    first = ", ".join(f"`{printable(text.splitlines()[0], 60)}`" for text in texts[:3])
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return f"Your answer to {name} uses your own cells; taken along from there: {first}{more}."
