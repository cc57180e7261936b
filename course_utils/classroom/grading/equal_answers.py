"""Answers that are the same but for names, comments and formatting.

Two answers are equal if their syntax trees are, with docstrings left out and every name that the
answer itself gives (parameters, variables, helper functions) replaced by its number in order of
appearance. Each answer is looked at once, so that a class of any size takes time in proportion.
"""

import ast
import hashlib
from dataclasses import dataclass
from pathlib import Path

from course_utils.classroom.grading.records import Result
from course_utils.classroom.grading.reports import as_csv, write_report
from course_utils.classroom.magics import LONGEST, parse, plain_python

WARNING = (
    "Equal answers prove little: the exercises take about ten lines, their docstrings say how, and"
    " two learners who work alone often write the same. Talk before you accuse."
)

_NOT_CODE = ("ctx", "type_comment", "kind", "type_ignores")
"""Fields of a syntax tree that formatting or its context decide."""

_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)

_OF_OTHERS = ("attr", "arg", "module", "asname")
"""Fields with names that an answer doesn't give: attributes, other functions' parameters, modules.

The parameters of its own functions stand in `arg` too, of another type of node.
"""


@dataclass(frozen=True)
class Group:
    """Learners whose answers to an exercise are equal."""

    notebook: str
    exercise: str
    learners: tuple[str, ...]
    is_published: bool
    """Whether it is the course's own solution, which anybody can read."""
    statements: int
    """In the answer, docstrings left out: the fewer, the less it means."""


def fingerprint(source: str, exercise: str) -> tuple[str, int] | None:
    """(a hash that equal answers share, the number of statements); None for what isn't Python.

    exercise: its name, which is not replaced
    """
    tree = parse(plain_python(source)) if len(source) <= LONGEST else None
    if tree is None:
        return None
    nodes = list(ast.walk(tree))
    for node in nodes:
        body = getattr(node, "body", None)
        if isinstance(body, list):
            vars(node)["body"] = [line for line in body if not _says_nothing(line)]
    own = {name for node in nodes for name in _given(node)} - {exercise}
    mark = hashlib.sha256()
    statements = 0
    numbers = {}
    left = [tree]
    while left:
        item = left.pop()
        if isinstance(item, ast.Constant):
            told = f"constant {_spelled(item.value)}"
        elif isinstance(item, ast.AST):
            statements += isinstance(item, ast.stmt)
            told = type(item).__name__
            left += [_content(item, name) for name in reversed(item._fields)]
        elif isinstance(item, list):
            told = f"list of {len(item)}"
            left += reversed(item)
        elif isinstance(item, str) and item in own:
            told = f"name {numbers.setdefault(item, len(numbers))}"
        else:
            told = repr(item)
        mark.update(told.encode(errors="surrogatepass") + b"\0")
    return mark.hexdigest(), statements


def _content(node, name):
    """A field of a node; a name that isn't the answer's to give comes in a tuple."""
    content = None if name in _NOT_CODE else getattr(node, name, None)
    is_free = isinstance(node, ast.arg) or name not in _OF_OTHERS
    return content if is_free and not isinstance(node, ast.alias) else (content,)


def _spelled(value):
    """A constant; huge whole numbers can't be written as decimals."""
    return hex(value) if type(value) is int else repr(value)


def _says_nothing(line):
    is_text = isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
    return is_text or isinstance(line, ast.Pass)


def _given(node):
    """The names that a node gives to something."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, _NAMED) and node.name:
        yield node.name


def equal_answers(results: list[Result], published: dict[tuple[str, str], str]) -> list[Group]:
    """Groups of learners with equal answers, and those who hand in the course's own.

    published: {(notebook, exercise): the source of the course's own answer}

    Only results that count are compared, and only answers that were attempted.
    """
    courses = {key: fingerprint(source, key[1]) for key, source in published.items()}
    found = {}
    for result in results:
        for verdict in result.exercises if result.counted else []:
            if verdict.kind == "not attempted" or not verdict.answer.strip():
                continue
            mark = fingerprint(verdict.answer, verdict.exercise)
            if mark:
                key = (result.notebook, verdict.exercise, mark)
                found.setdefault(key, set()).add(result.learner)
    groups = []
    for (notebook, exercise, mark), learners in found.items():
        is_published = mark == courses.get((notebook, exercise))
        if is_published or len(learners) > 1:
            names = tuple(sorted(learners))
            groups.append(Group(notebook, exercise, names, is_published, mark[1]))
    return sorted(groups, key=lambda g: (g.notebook, g.exercise, g.is_published, g.learners))


def write_equal_answers(groups: list[Group], out: Path) -> None:
    """Writes equal_answers.csv: one row for each learner of each group."""
    rows = [["notebook", "exercise", "group", "learner", "equals", "statements"]]
    for number, group in enumerate(groups, 1):
        equals = "the published solution" if group.is_published else "others of the group"
        for learner in group.learners:
            row = [group.notebook, group.exercise, number, learner, equals, group.statements]
            rows.append(row)
    write_report(out / "equal_answers.csv", as_csv(rows))


def summary(groups: list[Group]) -> list[str]:
    """Lines for the terminal: how many are equal, and how little that proves."""
    same = [group for group in groups if not group.is_published]
    published = {name for group in groups if group.is_published for name in group.learners}
    lines = []
    if same:
        names = {name for group in same for name in group.learners}
        told = (
            f"{len(same)} groups of equal answers" if len(same) > 1 else "1 group of equal answers"
        )
        lines.append(f"{told}, of {len(names)} learners; see equal_answers.csv.")
    if published:
        told = f"{len(published)} learners hand" if len(published) > 1 else "1 learner hands"
        lines.append(f"{told} in answers that equal the published solution.")
    return [*lines, WARNING] if lines else []
