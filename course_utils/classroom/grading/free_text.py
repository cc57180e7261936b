"""Questions whose answers are text: what learners wrote, on one page beside inputs for marks.

A question is a cell of a course's notebook, named by its id. A learner's answer is what stands in
this cell instead of the course's text, and in markdown cells of their own right after it.
"""

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from course_utils.classroom.files import fill
from course_utils.classroom.grading import forked
from course_utils.classroom.grading.handed_in import BadSubmission, Submission, read_bytes
from course_utils.classroom.grading.overrides import Override
from course_utils.classroom.grading.records import GRADED, NOT_MARKED, Result, Verdict
from course_utils.classroom.grading.reports import as_number, write_report
from course_utils.classroom.grading.submissions import Cell, Master, read_cells
from course_utils.classroom.grading.tables import read_table, wrong
from course_utils.classroom.grading.text import printable

LONGEST = 20_000
"""Characters of an answer; what comes after them is not shown."""

BOUNDS = forked.Bounds(cpu=10, clock=30, bytes=4_000_000, memory=1_000_000_000)
"""Of reading one file, which may be anything."""


@dataclass(frozen=True)
class Question:
    """A question that a person marks."""

    cell: str
    """The cell's id, which is also the question's name."""
    points: float
    title: str
    notebook: str


def read_questions(path: Path, masters: dict[str, Master]) -> list[Question]:
    """Reads a table with the columns cell, points and perhaps title; raises UsageError."""
    columns = {"cell": ("question", "cell id", "id"), "points": (), "title": ("name", "text")}
    places = {cell.id: name for name, master in masters.items() for cell in master.cells if cell.id}
    questions = {}
    for row in read_table(path, columns, ("cell", "points")):
        cell = row["cell"]
        if cell not in places:
            raise wrong(path, row.line, f"names a cell that no notebook has: {printable(cell)!r}")
        if cell in questions:
            raise wrong(path, row.line, f"names the cell {cell} again")
        points = row["points"].replace(",", ".")
        if not points.replace(".", "", 1).isdecimal() or float(points) == 0:
            told = printable(row["points"], 60)
            raise wrong(path, row.line, f"has {told!r} for points; they must be more than 0")
        title = row["title"] or cell
        questions[cell] = Question(cell, as_number(float(points)), title, places[cell])
    return list(questions.values())


def add_questions(results: list[Result], questions: list[Question]) -> None:
    """Graded notebooks get their questions as verdicts, without points before they are marked."""
    for result in results:
        for question in questions if result.status == GRADED else []:
            if question.notebook == result.notebook:
                title = html.escape(printable(question.title))
                box = f"<p><b>{title}</b>: not marked yet ({question.points} points)</p>"
                verdict = Verdict(
                    question.cell, NOT_MARKED, 0, question.points, question.title, html=box
                )
                result.exercises.append(verdict)


# ---------------------------------------------------------------------------- what was written


def texts_of(
    submissions: list[Submission], questions: list[Question], masters: dict[str, Master]
) -> dict[tuple[str, str], str]:
    """{(learner, question's cell): the text}, of several files the last one's; no empty ones."""
    found = {}
    for submission in submissions:
        if submission.problem:
            continue
        try:
            content, stamp = read_bytes(submission.path)
        except BadSubmission:
            continue
        ending = forked.run(lambda content=content: _read(content, questions, masters), BOUNDS)
        if ending.how != forked.ANSWERED:
            continue
        for cell, text in json.loads(ending.content).items():
            key = (submission.learner, cell)
            if key not in found or found[key][0] <= stamp:
                found[key] = (stamp, text)
    return {key: text for key, (_, text) in found.items()}


def _read(content, questions, masters):
    try:
        cells = read_cells(content)
    except BadSubmission:
        return b"{}"
    answers = {q.cell: answer_to(q, cells, masters[q.notebook]) for q in questions}
    return json.dumps({cell: text[:LONGEST] for cell, text in answers.items() if text}).encode()


def answer_to(question: Question, cells: list[Cell], master: Master) -> str:
    """What a learner wrote for a question, "" if nothing."""
    ids = [cell.id for cell in cells]
    if question.cell not in ids:
        return ""
    place = ids.index(question.cell)
    theirs = next(cell.source.strip() for cell in master.cells if cell.id == question.cell)
    own = cells[place].source.strip()
    texts = [own.removeprefix(theirs).strip()]
    known = {cell.id for cell in master.cells} - {""}
    sources = {cell.source.strip() for cell in master.cells}
    for cell in cells[place + 1 :]:
        is_own = cell.id not in known and cell.source.strip() not in sources
        if not is_own or cell.cell_type != "markdown":
            break
        texts.append(cell.source.strip())
    return "\n\n".join(text for text in texts if text)


# ---------------------------------------------------------------------------- the page


def write_page(
    texts: dict[tuple[str, str], str],
    questions: list[Question],
    marks: list[Override],
    name_of: Callable[[str], str],
    out: Path,
) -> None:
    """Writes answers.html: question by question, learners by their ids alone.

    name_of: a learner's folder -> the id that the results have
    """
    marked = {(mark.learner, mark.exercise): mark for mark in marks}
    parts = []
    for question in questions:
        title = html.escape(printable(question.title))
        own = sorted(
            (name_of(who), text) for (who, cell), text in texts.items() if cell == question.cell
        )
        told = f"{title} ({question.notebook}, {question.points} points, {len(own)} answers)"
        parts.append(f"<h2>{told}</h2>")
        parts += [_box(question, who, text, marked.get((who, question.cell))) for who, text in own]
    page = fill("answers.html", answers="\n".join(parts))
    write_report(out / "answers.html", page)


def _box(question, learner, text, mark):
    who, cell = html.escape(printable(learner), True), html.escape(question.cell, True)
    points = as_number(mark.points) if mark else ""
    note = html.escape(mark.note, True) if mark else ""
    return (
        f'<fieldset data-learner="{html.escape(learner, True)}" data-question="{cell}">'
        f"<legend>{who}</legend><pre>{html.escape(text)}</pre>"
        f'<label>points <input class="points" type="number" min="0" max="{question.points}"'
        f' step="any" value="{points}"></label>'
        f'<label>note <input class="note" type="text" value="{note}"></label></fieldset>'
    )
