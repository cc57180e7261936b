"""How a class did in each exercise: how many passed, and what went wrong most often."""

import html
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from course_utils.classroom.files import fill
from course_utils.classroom.grading.records import GRADER_ERROR, NOT_MARKED, SET_BY_HAND, Result
from course_utils.classroom.grading.reports import as_csv, as_number, write_report
from course_utils.classroom.grading.text import printable

COMMONEST = 3
"""Mistakes that are shown for an exercise."""

LONGEST_HINT = 200
"""Characters."""


@dataclass
class Statistics:
    """What a class's answers to one exercise come to."""

    notebook: str
    exercise: str
    out_of: float
    answers: int = 0
    """Learners who handed in the notebook and whose answer has a verdict."""
    passed: int = 0
    """Answers with all points."""
    points: float = 0.0
    """Of all of them together."""
    kinds: Counter = field(default_factory=Counter)
    """{kind: how many answers without all points}."""
    hints: Counter = field(default_factory=Counter)
    """{(kind, message): how many}; numbers in a message are "#", as they differ by learner."""

    @property
    def pass_rate(self) -> float:
        """From 0 to 1."""
        return self.passed / self.answers

    @property
    def mean(self) -> float:
        return self.points / self.answers


def statistics_of(results: list[Result]) -> list[Statistics]:
    """Those of each exercise, by notebook, in the notebook's order; of results that count."""
    found = {}
    for result in results:
        for verdict in result.exercises if result.counted else []:
            if verdict.kind in (GRADER_ERROR, NOT_MARKED):
                continue
            new = Statistics(result.notebook, verdict.exercise, verdict.out_of)
            one = found.setdefault((result.notebook, verdict.exercise), new)
            one.answers += 1
            one.points += verdict.points
            if verdict.points >= verdict.out_of:
                one.passed += 1
            else:
                one.kinds[verdict.kind] += 1
                one.hints[verdict.kind, _hint(verdict)] += 1
    return sorted(found.values(), key=lambda one: one.notebook)


def _hint(verdict):
    """A message without the numbers that are each learner's own; a teacher's note is none."""
    message = "" if verdict.kind == SET_BY_HAND else " ".join(verdict.message.split())
    return printable(re.sub(r"-?\d+(?:[.,]\d+)*(?:e-?\d+)?", "#", message), LONGEST_HINT)


def write_statistics(results: list[Result], out: Path) -> None:
    """Writes statistics.csv and statistics.html."""
    found = statistics_of(results)
    rows: list[list] = [
        ["notebook", "exercise", "answers", "passed", "pass_rate", "mean_points", "out_of"]
        + ["mistakes"]
    ]
    for one in found:
        kinds = "; ".join(f"{kind}: {count}" for kind, count in _commonest(one.kinds))
        numbers = [one.answers, one.passed, round(one.pass_rate, 3), as_number(one.mean)]
        rows.append([one.notebook, one.exercise, *numbers, one.out_of, kinds])
    write_report(out / "statistics.csv", as_csv(rows))
    write_report(out / "statistics.html", fill("statistics.html", notebooks=_tables(found)))


def _commonest(counter):
    """[(what, how many)], the commonest first, equals by name: the same in every run."""
    return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))


def _tables(found):
    parts = []
    for notebook in dict.fromkeys(one.notebook for one in found):
        body = "\n".join(_row(one) for one in found if one.notebook == notebook)
        parts.append(
            f"<table>\n<caption>{html.escape(printable(notebook))}</caption>\n"
            '<thead><tr><th scope="col">exercise</th><th scope="col">passed</th>'
            '<th scope="col">mean points</th><th scope="col">commonest mistakes</th></tr></thead>\n'
            f"<tbody>\n{body}\n</tbody>\n</table>"
        )
    return "\n".join(parts) or "<p>Nothing was graded.</p>"


def _row(one):
    share = round(100 * one.pass_rate)
    bar = f'<div class="bar" aria-hidden="true"><div style="width:{share}%"></div></div>'
    hints = [
        f"<li><b>{html.escape(printable(kind))}</b> ({count}) {html.escape(hint)}</li>"
        for (kind, hint), count in _commonest(one.hints)[:COMMONEST]
    ]
    mistakes = f"<ol>{''.join(hints)}</ol>" if hints else "none"
    return (
        f'<tr><th scope="row">{html.escape(printable(one.exercise))}</th>'
        f"<td>{bar}{share} % ({one.passed} of {one.answers})</td>"
        f"<td>{as_number(one.mean)} of {as_number(one.out_of)}</td><td>{mistakes}</td></tr>"
    )
