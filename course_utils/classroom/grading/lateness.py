"""Deadlines: when something was handed in, and what being late costs."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from pathlib import Path

from course_utils.classroom import UsageError
from course_utils.classroom.grading.tables import read_table, wrong
from course_utils.classroom.grading.text import printable

PERIODS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}

GRAMMAR = (
    "0 (what is late gets no points), or N%% or N points, then a/an hour, day or week, and perhaps"
    ' "at most M%%" or "at most M points": "10%% a day", "1 point an hour, at most 5 points";'
    " per cent are of the points earned, and a period counts once it has begun"
)
"""The rules that `Rule.parse` reads, for the help of the command line."""

_RULE = re.compile(
    r"(?P<amount>\d+(?:\.\d+)?) ?(?P<unit>%|points?) ?(?:an?|per|each|/) ?(?P<period>hour|day|week)"
    r"(?:,? ?at most (?P<most>\d+(?:\.\d+)?) ?(?P<most_unit>%|points?))?"
)


@dataclass(frozen=True)
class Rule:
    """What being late costs."""

    amount: Fraction
    """For each period that has begun; a share of the points, or points."""
    is_share: bool
    period: timedelta | None
    """None: the amount is due at once."""
    most: Fraction | None = None
    most_is_share: bool = True

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Reads a rule of `GRAMMAR`; raises UsageError for anything else."""
        simple = " ".join(text.lower().split())
        if simple in ("0", "0%", "0 points"):
            return cls(Fraction(1), True, None)
        match = _RULE.fullmatch(simple)
        if not match:
            grammar = GRAMMAR.replace("%%", "%")
            raise UsageError(f"{printable(text)!r} is no rule for --late: it must be {grammar}.")
        is_share, most_is_share = match["unit"] == "%", match["most_unit"] == "%"
        amount = Fraction(match["amount"]) / (100 if is_share else 1)
        most = None
        if match["most"]:
            most = Fraction(match["most"]) / (100 if most_is_share else 1)
        return cls(amount, is_share, PERIODS[match["period"]], most, most_is_share)

    def deduction(self, points: float, late: timedelta) -> float:
        """How many of the points are lost; never more than there are. In hundredths."""
        if late <= timedelta(0):
            return 0.0
        earned = Fraction(points)
        periods = ceil(late / self.period) if self.period else 1
        lost = periods * self.amount * (earned if self.is_share else 1)
        if self.most is not None:
            lost = min(lost, self.most * (earned if self.most_is_share else 1))
        return float(round(min(lost, earned), 2))


def read_deadline(text: str) -> datetime:
    """A time with its time zone, such as 2026-12-01T23:59+01:00; raises UsageError."""
    deadline = _time(text)
    if deadline is None or deadline.tzinfo is None:
        raise UsageError(
            f"{printable(text)!r} is no deadline: it must be a date, a time and the difference to"
            " UTC, such as 2026-12-01T23:59+01:00."
        )
    return deadline


def _time(text):
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def time_in_table(path: Path, line: int, text: str, deadline: datetime) -> datetime:
    """A time from a table; without a time zone it is one in the deadline's."""
    time = _time(text)
    if time is None:
        told = printable(text, 60)
        raise wrong(path, line, f"has {told!r} for a time; write it as 2026-12-01T23:59")
    return time if time.tzinfo else time.replace(tzinfo=deadline.tzinfo)


def read_submitted(path: Path, deadline: datetime) -> list[tuple[int, str, str, datetime]]:
    """(line, learner, notebook or "", time) of each line of a table; raises UsageError."""
    columns = {
        "learner": ("id", "folder", "ID number", "student"),
        "notebook": (),
        "submitted": ("time modified", "submission time", "time"),
    }
    return [
        (
            row.line,
            row["learner"],
            row["notebook"].removesuffix(".ipynb"),
            time_in_table(path, row.line, row["submitted"], deadline),
        )
        for row in read_table(path, columns, ("learner", "submitted"))
    ]


def in_words(late: timedelta) -> str:
    """How late something is: "2 days 3 hours", never "0 minutes"."""
    minutes = max(1, ceil(late / timedelta(minutes=1)))
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    told = [f"{count} {unit}{'s' if count > 1 else ''}" for count, unit in parts if count]
    return " ".join(told[:2])
