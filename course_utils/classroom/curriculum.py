"""What the notebooks say about themselves: titles, minutes, objectives, exercises.

Every overview (the README's table, docs/teaching.md) is made from this, so that none goes stale.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

from course_utils.classroom import exercises_of, find_notebooks

DIFFICULTIES = ("easy", "medium", "hard")

_TITLE = re.compile(r"^# (\d+) · (.+)$", re.MULTILINE)
_MINUTES = re.compile(r"^\*About (\d+) minutes\.", re.MULTILINE)
_OPTIONAL_MINUTES = re.compile(r"optional part at the end takes (\d+) minutes more\.")
_OPTIONAL_PART = re.compile(r"^## Optional: ", re.MULTILINE)
_OBJECTIVE = re.compile(r"^- (.+)$", re.MULTILINE)
_NEEDS = re.compile(r"^\*\*You need\*\* (.+)$", re.MULTILINE)
_EXERCISE = re.compile(
    rf"^### Exercise (\d+) · (.+?) &nbsp; \(({'|'.join(DIFFICULTIES)}), (\d+) minutes\)$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Exercise:
    """An exercise of a notebook."""

    title: str
    name: str
    """Of the function to write."""
    difficulty: str
    """One of `DIFFICULTIES`."""
    minutes: int
    points: int
    is_optional: bool = False
    """Whether it stands in the notebook's optional part."""


@dataclass(frozen=True)
class Chapter:
    """A notebook, in its own words."""

    path: Path
    number: int
    title: str
    minutes: int
    """For reading and all exercises, without the optional part."""
    objectives: tuple[str, ...]
    """What one can do afterwards, in Markdown."""
    needs: str
    exercises: tuple[Exercise, ...]
    optional_minutes: int = 0
    """For the part at the end that can be left out; 0 without one."""

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)


def chapters() -> list[Chapter]:
    """All chapters, in the course's order."""
    return [read_chapter(path) for path in find_notebooks()]


def read_chapter(path: Path) -> Chapter:
    """What a notebook says about itself; raises ValueError where it leaves something out."""
    notebook = nbformat.read(path, as_version=4)
    head = notebook.cells[0].source
    number, title = _found(_TITLE, head, path, 'a title such as "# 4 · Occlusion"')
    (minutes,) = _found(_MINUTES, head, path, '"*About 90 minutes."')
    (needs,) = _found(_NEEDS, head, path, '"**You need** ..."')
    optional = _OPTIONAL_MINUTES.search(head)
    return Chapter(
        path,
        int(number),
        title,
        int(minutes),
        tuple(line.rstrip(";.") for line in _OBJECTIVE.findall(head)),
        needs,
        _exercises(notebook, path),
        int(optional[1]) if optional else 0,
    )


def _found(pattern, text, path, what):
    match = pattern.search(text)
    if not match:
        raise ValueError(f"The first cell of {path.name} lacks {what}.")
    return match.groups()


def _exercises(notebook, path):
    """Each heading of an exercise belongs to the next check."""
    points = exercises_of(notebook)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = list(_EXERCISE.finditer(text))
    optional = _OPTIONAL_PART.search(text)
    required_end = optional.start() if optional else len(text)
    if len(headings) != len(points):
        raise ValueError(
            f"{path.name} has {len(points)} checks but {len(headings)} headings such as"
            ' "### Exercise 1 · Softmax &nbsp; (easy, 5 minutes)".'
        )
    return tuple(
        Exercise(
            title=heading[2],
            name=name,
            difficulty=heading[3],
            minutes=int(heading[4]),
            points=points[name],
            is_optional=heading.start() > required_end,
        )
        for heading, name in zip(headings, points)
    )
