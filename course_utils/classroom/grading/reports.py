"""What a grading run leaves: scores as CSV and JSON, and each learner's feedback as HTML."""

import csv
import html
import io
import json
from dataclasses import replace
from pathlib import Path

from course_utils.classroom.files import write_whole
from course_utils.classroom.grading.records import GRADED, GRADER_ERROR, MISSING, Result
from course_utils.classroom.grading.text import printable, safe_name

__all__ = ["as_csv", "as_number", "choose", "safe_name", "write_report", "write_reports"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto }}
img {{ max-width: 100% }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def write_reports(results: list[Result], out: Path) -> None:
    """Writes scores.csv, exercises.csv, scores.json and feedback/LEARNER.html.

    The CSV files have one row for each learner and notebook, or notebook and exercise: of several
    files with the same notebook the best counts, of equals the latest. The others are in the JSON
    and in the feedback. Where the grader failed, the points are left empty.
    """
    choose(results)
    results.sort(key=lambda r: (r.learner, r.notebook, r.file))
    scores: list[list] = [["learner", "notebook", "points", "out_of", "status", "problem", "file"]]
    exercises: list[list] = [["learner", "notebook", "exercise", "points", "out_of", "verdict"]]
    for r in filter(lambda result: result.counted, results):
        points = "" if r.status == GRADER_ERROR else as_number(r.points)
        scores.append([r.learner, r.notebook, points, r.out_of, r.status, r.problem, r.file])
        for e in r.exercises:
            points = "" if e.kind == GRADER_ERROR else e.points
            exercises.append([r.learner, r.notebook, e.exercise, points, e.out_of, e.kind])
    write_report(out / "scores.csv", as_csv(scores))
    write_report(out / "exercises.csv", as_csv(exercises))
    slim = [json.loads(_without_html(result).to_json()) for result in results]
    write_report(out / "scores.json", json.dumps(slim, indent=1, ensure_ascii=False) + "\n")
    for learner in {result.learner for result in results}:
        own = [result for result in results if result.learner == learner]
        write_report(out / "feedback" / f"{safe_name(learner)}.html", _page(learner, own))


def choose(results: list[Result]) -> None:
    """Sets `counted`: one result for each learner and notebook, the best, of equals the latest.

    An error of the grader counts only where nothing else does. A file whose notebook is not known
    stands for itself.
    """
    best = {}
    for result in results:
        best.setdefault((result.learner, result.notebook or result.file), []).append(result)
    for same in best.values():
        chosen = max(same, key=lambda r: (r.status == GRADED, r.points, r.submitted, r.file))
        for result in same:
            result.counted = result is chosen


def write_report(path: Path, text: str) -> None:
    """Half a character in a submission must not keep the others from their reports."""
    write_whole(path, text, errors="backslashreplace")


def _without_html(result):
    return replace(result, exercises=[replace(e, html="") for e in result.exercises])


def as_csv(rows: list[list]) -> str:
    """Rows as CSV; a text that a spreadsheet would take for a formula gets an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([_harmless(value) for value in row])
    return buffer.getvalue()


def as_number(points: float) -> float:
    """Points as they are shown: whole, or in hundredths."""
    return int(points) if points == int(points) else round(points, 2)


def _harmless(value):
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _page(learner, results):
    parts = []
    for result in results:
        title = html.escape(printable(result.notebook or result.file))
        if title:
            parts.append(f"<h2>{title}</h2>\n<p>{_earned(result, results)}</p>")
        if result.problem:
            parts.append(f"<p>{_problem(result)}</p>")
        parts += [f"<p>{html.escape(note)}</p>" for note in result.notes]
        parts += [exercise.html for exercise in result.exercises]
    title = html.escape(f"Feedback for {printable(learner)}")
    return PAGE.format(title=title, body="\n".join(parts))


def _earned(result, results):
    if not result.exercises or result.status == GRADER_ERROR:
        return ""
    earned = f"{as_number(result.points)} of {result.out_of} points"
    if sum(other.notebook == result.notebook for other in results) == 1:
        return earned
    file = html.escape(printable(result.file))
    return f"{earned}, {file}; " + ("this file counts" if result.counted else "another file counts")


def _problem(result):
    if result.status == MISSING:
        return "<b>Nothing was handed in.</b>"
    told = html.escape(f"{printable(result.file)}: {printable(result.problem)}.")
    if result.status == GRADER_ERROR:
        return f"<b>The grader failed, which is not your fault.</b> {told}"
    return f"<b>This could not be graded.</b> {told}"
