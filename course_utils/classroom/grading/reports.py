"""What a grading run leaves: scores as CSV and JSON, and each learner's feedback as HTML."""

import csv
import hashlib
import html
import io
import json
import re
from dataclasses import replace
from pathlib import Path

from course_utils.classroom.files import write_whole
from course_utils.classroom.grading.records import Result

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto }}
img {{ max-width: 100% }}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""


def write_reports(results: list[Result], out: Path) -> None:
    """Writes scores.csv, exercises.csv, scores.json and feedback/LEARNER.html."""
    results = sorted(results, key=lambda r: (r.learner, r.notebook, r.file))
    scores = [["learner", "notebook", "points", "out_of", "status", "problem", "file"]]
    exercises = [["learner", "notebook", "exercise", "points", "out_of", "verdict"]]
    for r in results:
        scores.append([r.learner, r.notebook, r.points, r.out_of, r.status, r.problem, r.file])
        for e in r.exercises:
            exercises.append([r.learner, r.notebook, e.exercise, e.points, e.out_of, e.kind])
    _write(out / "scores.csv", _csv(scores))
    _write(out / "exercises.csv", _csv(exercises))
    slim = [json.loads(_without_html(result).to_json()) for result in results]
    _write(out / "scores.json", json.dumps(slim, indent=1, ensure_ascii=False) + "\n")
    for learner in {result.learner for result in results}:
        own = [result for result in results if result.learner == learner]
        _write(out / "feedback" / f"{safe_name(learner)}.html", _page(learner, own))


def safe_name(text: str) -> str:
    """A learner's name as a file name; different names stay different."""
    simple = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:60] or "learner"
    if simple == text:
        return simple
    return f"{simple}-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:8]}"


def _write(path, text):
    """Half a character in a submission must not keep the others from their reports."""
    write_whole(path, text, errors="replace")


def _without_html(result):
    return replace(result, exercises=[replace(e, html="") for e in result.exercises])


def _csv(rows):
    """Rows as CSV; a text that a spreadsheet would take for a formula gets an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in rows:
        writer.writerow([_harmless(value) for value in row])
    return buffer.getvalue()


def _harmless(value):
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value


def _page(learner, results):
    parts = []
    for result in results:
        title = result.notebook or result.file
        earned = f"{result.points} of {result.out_of} points" if result.exercises else ""
        parts.append(f"<h2>{html.escape(title)}</h2>\n<p>{earned}</p>")
        if result.problem:
            told = f"{result.file}: {result.problem}."
            parts.append(f"<p><b>This file could not be graded.</b> {html.escape(told)}</p>")
        parts += [exercise.html for exercise in result.exercises]
    return PAGE.format(title=html.escape(f"Feedback for {learner}"), body="\n".join(parts))
