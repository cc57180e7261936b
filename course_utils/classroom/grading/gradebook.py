"""The gradebook of a class: what is added to its graded results, and what it all comes to.

A `Gradebook` has read and checked its tables before anything is graded; `report` then takes the
results, whoever graded them and however often, and writes everything anew. So points given by hand
and deductions for lateness survive every regrading.
"""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from course_utils.classroom.grading.lateness import Rule, in_words, time_in_table
from course_utils.classroom.grading.overrides import Catalogue, Override, apply_overrides
from course_utils.classroom.grading.records import (
    GRADED,
    GRADER_ERROR,
    MISSING,
    NOTHING_TO_GRADE,
    Result,
)
from course_utils.classroom.grading.reports import as_csv, as_number, write_report, write_reports
from course_utils.classroom.grading.roster import Member, Roster
from course_utils.classroom.grading.tables import wrong
from course_utils.classroom.grading.text import printable, safe_name

INCOMPLETE = "incomplete"

NAMED = 20
"""Learners that are named in one line of the summary."""


@dataclass
class Total:
    """What the results of one learner come to."""

    learner: str
    member: Member | None
    """None without a roster, and for those who are not in it."""
    results: dict[str, Result]
    """{notebook: the result that counts}."""
    others: list[Result]
    """Those of files whose notebook is not known, and the one that says that nothing is there."""
    out_of: dict[str, float]
    """{notebook: points that there are}, of all notebooks that anybody of the class handed in."""

    @property
    def missing(self) -> list[str]:
        """The notebooks that others have handed in."""
        return [name for name in self.out_of if name not in self.results]

    @property
    def status(self) -> str:
        """One of `STATUSES`, or "incomplete" if notebooks are missing."""
        found = {result.status for result in [*self.results.values(), *self.others]}
        if GRADER_ERROR in found or not self.results:
            told = (GRADER_ERROR, NOTHING_TO_GRADE, MISSING)
            return next((status for status in told if status in found), INCOMPLETE)
        return INCOMPLETE if self.missing else GRADED

    def points_in(self, notebook: str) -> float | str:
        """ "" where there is nothing, or nothing that could be graded."""
        result = self.results.get(notebook)
        if result is None or result.status == GRADER_ERROR:
            return ""
        return as_number(result.points)

    @property
    def points(self) -> float | str:
        """Of all notebooks; "" after an error of the grader."""
        if self.status == GRADER_ERROR:
            return ""
        return as_number(sum(result.points for result in self.results.values()))

    @property
    def late(self) -> list[str]:
        """What was late, in words."""
        return [
            f"{name}: {in_words(timedelta(seconds=result.late))}"
            f" (-{as_number(result.deduction)} points)"
            for name, result in self.results.items()
            if result.late
        ]


@dataclass
class Gradebook:
    """What a teacher tells about a class."""

    roster: Roster | None = None
    overrides: list[Override] = field(default_factory=list)
    catalogue: Catalogue = field(default_factory=dict)
    deadline: datetime | None = None
    rule: Rule | None = None
    """None: what is late is said to be, and costs nothing."""
    submitted: list = field(default_factory=list)
    """As `read_submitted` gives it."""
    roster_path: Path = Path()
    submitted_path: Path = Path()
    problems: list[str] = field(default_factory=list)
    """What was wrong with lines of the tables, in sentences; they are left out."""
    strangers: list[str] = field(default_factory=list)
    """Learners who are not in the roster."""
    totals: list[Total] = field(default_factory=list)

    def __post_init__(self):
        """Times in the roster are read now, so that a wrong one is told before the grading."""
        self._times = {}
        if not (self.roster and self.deadline):
            return
        for member in self.roster.members:
            if member.submitted:
                self._times[member.id, ""] = time_in_table(
                    self.roster_path, member.line, member.submitted, self.deadline
                )

    def report(self, results: list[Result], out: Path) -> None:
        """Takes everything into the results, and writes reports and totals."""
        folders = {result.learner for result in results}
        self.take(results)
        write_reports(results, out)
        for name in folders - {result.learner for result in results}:
            # A run without the roster wrote this page, which nothing would bring up to date.
            (out / "feedback" / f"{safe_name(name)}.html").unlink(missing_ok=True)
        self.totals = self._totals(results)
        write_report(out / "totals.csv", as_csv(self._rows()))

    def take(self, results: list[Result]) -> None:
        """Puts into the results what the tables say: ids, points by hand, lateness, who is missing.

        The list and its results are changed.
        """
        self._identify(results)
        learners = {result.learner for result in results}

        def find(name):
            member = self.roster.find(name) if self.roster else None
            return member.id if member else name if name in learners else None

        self.problems += apply_overrides(results, self.overrides, self.catalogue, find)
        if self.deadline:
            self._take_times(find)
            for result in results:
                self._take_lateness(result, self.deadline)
        if self.roster:
            there = {result.learner for result in results}
            absent = (member.id for member in self.roster.members if member.id not in there)
            told = "nothing was handed in"
            results += [Result(name, "", status=MISSING, problem=told) for name in absent]

    def _identify(self, results):
        """Learners get their ids as names, so that two folders of one learner are one learner's."""
        if not self.roster:
            return
        for place, result in enumerate(results):
            member = self.roster.find(result.learner)
            if member:
                results[place] = replace(result, learner=member.id)
        known = {member.id for member in self.roster.members}
        self.strangers = sorted({r.learner for r in results if r.learner not in known})

    def _take_times(self, find):
        for line, name, notebook, time in self.submitted:
            learner = find(name)
            if learner is None:
                told = f"names a learner who is not in the class: {printable(name, 60)!r}"
                self.problems.append(str(wrong(self.submitted_path, line, told)))
                continue
            self._times[learner, notebook] = time

    def _take_lateness(self, result, deadline):
        time = self._times.get((result.learner, result.notebook))
        time = time or self._times.get((result.learner, ""))
        if time is None and result.submitted:
            time = datetime.fromtimestamp(result.submitted, UTC)
        if time is None or time <= deadline:
            return
        late = time - deadline
        result.late = late.total_seconds()
        lost = self.rule.deduction(result.points, late) if self.rule else 0.0
        result.deduction = lost
        costs = f" That costs {as_number(lost)} points." if lost else ""
        result.notes.append(f"Handed in {in_words(late)} after the deadline.{costs}")

    def _totals(self, results):
        in_course: dict[str, float] = defaultdict(float)
        of_learner: dict[str, list[Result]] = {}
        out_of: dict[str, float] = {}
        for (notebook, _), points in self.catalogue.items():
            in_course[notebook] += points
        for result in results:
            if result.notebook:
                most = out_of.get(result.notebook, in_course[result.notebook])
                out_of[result.notebook] = max(most, result.out_of)
            if result.counted:
                of_learner.setdefault(result.learner, []).append(result)
        out_of = dict(sorted(out_of.items()))
        return [
            Total(
                learner,
                self.roster.find(learner) if self.roster else None,
                {result.notebook: result for result in own if result.notebook},
                [result for result in own if not result.notebook],
                out_of,
            )
            for learner, own in sorted(of_learner.items())
        ]

    def _rows(self):
        notebooks = list(self.totals[0].out_of) if self.totals else []
        head = ["learner", "name", "email", "points", "out_of", *notebooks]
        rows = [[*head, "status", "missing", "late"]]
        for total in self.totals:
            member = total.member or Member(total.learner)
            points = [total.points_in(notebook) for notebook in notebooks]
            out_of = as_number(sum(total.out_of.values()))
            row = [total.learner, member.name, member.email, total.points, out_of, *points]
            rows.append([*row, total.status, " ".join(total.missing), "; ".join(total.late)])
        return rows

    def summary(self) -> list[str]:
        """Lines for the terminal: who is missing, who isn't in the roster, what was left out."""
        lines = []
        missing = [t for t in self.totals if t.status == MISSING]
        if missing:
            names = [_named(t) for t in missing]
            lines.append(f"Nothing handed in: {_few(names)}.")
        if self.strangers:
            lines.append(f"Not in the roster: {_few(self.strangers)}.")
        late = sum(bool(total.late) for total in self.totals)
        if late:
            lines.append(f"Late: {late} of {len(self.totals)}; see totals.csv.")
        return lines + self.problems


def _named(total):
    """A learner of the roster, with the name if there is one."""
    name = total.member.name if total.member else ""
    return f"{total.learner} ({name})" if name else total.learner


def _few(names):
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(printable(name, 60) for name in names[:NAMED]) + more
