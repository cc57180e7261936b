"""Points that a teacher gives by hand: overrides of what was graded, and marks for free texts."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from course_utils.classroom.grading.records import (
    GRADED,
    GRADER_ERROR,
    KINDS_BY_HAND,
    NOT_MARKED,
    SET_BY_HAND,
    Result,
    Verdict,
)
from course_utils.classroom.grading.reports import as_number
from course_utils.classroom.grading.tables import read_table, wrong
from course_utils.classroom.grading.text import printable

COLUMNS = {
    "learner": ("id", "folder", "ID number", "student"),
    "exercise": ("question", "cell"),
    "notebook": (),
    "points": ("grade", "mark"),
    "note": ("comment", "feedback", "reason"),
}


@dataclass(frozen=True)
class Override:
    """Points for one exercise of one learner, given by hand."""

    path: Path
    line: int
    learner: str
    exercise: str
    points: float
    note: str = ""
    notebook: str = ""
    """Needed only where several notebooks have an exercise of this name."""


Catalogue = dict[tuple[str, str], float]
"""{(notebook, exercise or question): its points}; two notebooks may have exercises of one name."""


def read_overrides(path: Path) -> list[Override]:
    """Reads a table; of several lines for the same exercise of a learner the last one counts.

    Lines without points say nothing yet, such as those of texts that are still to be marked.
    Raises UsageError for a line that can't be read.
    """
    return [
        Override(
            path,
            row.line,
            row["learner"],
            row["exercise"],
            _points(path, row.line, row["points"]),
            row["note"],
            row["notebook"].removesuffix(".ipynb"),
        )
        for row in read_table(path, COLUMNS, ("learner", "exercise"))
        if row["points"]
    ]


def _points(path, line, text):
    try:
        points = float(text.replace(",", "."))
    except ValueError:
        points = math.nan
    if not math.isfinite(points):
        raise wrong(path, line, f"has {printable(text, 60)!r} for points")
    return points


def apply_overrides(
    results: list[Result],
    overrides: list[Override],
    catalogue: Catalogue,
    find: Callable[[str], str | None],
) -> list[str]:
    """Puts points given by hand into the results, which it changes -> what was wrong, in sentences.

    find: a learner as the table names them -> as the results do, or None

    A line that is wrong is left out; all others are applied. Where the learner has handed in no
    such notebook, a result is added.
    """
    problems, handed_in = [], {}
    for result in results:
        handed_in.setdefault((result.learner, result.notebook), []).append(result)
    for override in overrides:
        learner = find(override.learner)
        notebooks = _notebooks(override, catalogue)
        problem = _problem(override, learner, notebooks, catalogue)
        if problem:
            problems.append(str(wrong(override.path, override.line, problem)))
            continue
        notebook = notebooks[0]
        if (learner, notebook) not in handed_in:
            results.append(_not_handed_in(learner, notebook, catalogue))
            handed_in[learner, notebook] = results[-1:]
        for result in handed_in[learner, notebook]:
            _apply(result, override, catalogue)
    return problems


def _notebooks(override, catalogue):
    """Those that have the exercise, or the one that is named, if it has."""
    return [
        notebook
        for notebook, exercise in catalogue
        if exercise == override.exercise and override.notebook in ("", notebook)
    ]


def _problem(override, learner, notebooks, catalogue):
    """What is wrong with a line, as its predicate; "" if nothing is."""
    if learner is None:
        return f"names a learner who is not in the class: {printable(override.learner, 60)!r}"
    if not notebooks:
        told = printable(f"{override.notebook} {override.exercise}".strip(), 60)
        return f"names an exercise that there isn't: {told!r}"
    if len(notebooks) > 1:
        told = f"{' and '.join(notebooks)} have an exercise {override.exercise}"
        return f"must say which is meant, in a column notebook: {told}"
    most = catalogue[notebooks[0], override.exercise]
    if not 0 <= override.points <= most:
        given = as_number(override.points)
        return f"gives {given} points for {override.exercise}, which has 0 to {as_number(most)}"
    return ""


def _apply(result, override, catalogue):
    names = [verdict.exercise for verdict in result.exercises]
    if override.exercise not in names:
        names.append(override.exercise)
        points = catalogue[result.notebook, override.exercise]
        result.exercises.append(Verdict(override.exercise, NOT_MARKED, 0, points))
    place = names.index(override.exercise)
    result.exercises[place] = _by_hand(result.exercises[place], override)
    failed = any(verdict.kind == GRADER_ERROR for verdict in result.exercises)
    if result.status == GRADER_ERROR and not failed and len(names) == _asked(result, catalogue):
        result.status, result.problem = GRADED, ""


def _asked(result, catalogue):
    return sum(notebook == result.notebook for notebook, _ in catalogue)


def _not_handed_in(learner, notebook, catalogue):
    verdicts = [
        Verdict(name, "not attempted", 0, points)
        for (other, name), points in catalogue.items()
        if other == notebook
    ]
    note = "No notebook of this name was handed in; points were given by hand."
    return Result(learner, "", notebook, exercises=verdicts, notes=[note])


def _by_hand(verdict, override):
    points = as_number(override.points)
    title = verdict.message if verdict.kind == NOT_MARKED else ""
    name = html.escape(printable(title or override.exercise))
    said = f"{points} of {as_number(verdict.out_of)} points, set by hand."
    note = f" {html.escape(printable(override.note, 2000))}" if override.note else ""
    before = "" if verdict.kind in KINDS_BY_HAND else verdict.html
    return replace(
        verdict,
        kind=SET_BY_HAND,
        points=points,
        message=override.note,
        html=f"<p><b>{name}: {said}</b>{note}</p>\n{before}",
        certain=True,
    )
