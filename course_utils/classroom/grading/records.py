"""What grading is asked and what it answers, as data: `Task`, `Result`, `Verdict`, `Limits`.

All of them go through JSON and back unchanged, so that they can be kept in files and sent to other
machines. Everything that looks at a graded class (reports, statistics, rosters, exports) builds on
`Result` alone: read `Result.status` first, since points of a grader error say nothing about its
learner. Fields may be added, with a default; results that were kept before then read as they were.
"""

import base64
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

GRADED = "graded"
NOTHING_TO_GRADE = "nothing to grade"
GRADER_ERROR = "grader error"
MISSING = "missing"

STATUSES = {
    GRADED: "every exercise has its verdict",
    NOTHING_TO_GRADE: "what was handed in is no notebook of the course; `problem` says why",
    GRADER_ERROR: "the grader or its machine failed, not the learner; `problem` has its words",
    MISSING: "the roster has this learner, but nothing was handed in",
}
"""Every status of a result, and what it means."""


SET_BY_HAND = "set by hand"
NOT_MARKED = "not marked yet"

KINDS_BY_HAND = {
    SET_BY_HAND: "a teacher gave these points, and perhaps said why",
    NOT_MARKED: "a question whose answer is text, which a teacher has still to read",
}
"""Kinds of verdicts that no check has given."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use inside the sandbox."""

    seconds: int = 20
    """CPU time of each exercise."""
    waiting: int = 100
    """Seconds on the clock for each exercise, for an answer that sleeps or waits.

    Those in which the machine was busy with something else don't count.
    """
    memory: int = 4_000_000_000
    """Bytes of data, of each process and, where control groups can be had, of all together."""
    processes: int = 200
    folder: int = 64_000_000
    """Bytes that may be written, all in memory."""


@dataclass(frozen=True)
class Task:
    """All that grading one submission needs, also on another machine."""

    learner: str
    file: str
    """The file's name; for a folder without a notebook, the folder's."""
    content: bytes = b""
    problem: str = ""
    """Why there is nothing to grade, in one clause; then `content` is empty."""
    submitted: float = 0.0
    """The file's time stamp, in seconds since 1970."""
    seed: int = 0
    """Of the probes, this submission's own."""
    sandboxed: bool = True
    limits: Limits = Limits()
    exercises: tuple[str, ...] = ()
    """Only these are graded; all if there are none."""
    hidden: tuple[str, ...] = ()
    """Folders of the machine that asks, which nothing inside the sandbox may see."""
    version: str = ""
    """Of the course, as `version.course_version` gives it; another one must not grade this."""
    partial: bool = False
    """Whether an answer that is right on most probes gets some of the points."""

    def to_json(self) -> str:
        return json.dumps(asdict(self) | {"content": base64.b64encode(self.content).decode()})

    @classmethod
    def from_json(cls, text: str) -> "Task":
        """What `to_json` wrote; raises ValueError for anything else."""
        data = _read(cls, text)
        data["content"] = base64.b64decode(data["content"], validate=True)
        data["limits"] = Limits(**data["limits"])
        data |= {name: tuple(data[name]) for name in ("exercises", "hidden")}
        return cls(**data)


@dataclass
class Verdict:
    """What grading says of one exercise."""

    exercise: str
    kind: str
    """One of `feedback.TITLES`, or "grader error", or one of `KINDS_BY_HAND`."""
    points: float
    out_of: float
    message: str = ""
    """What the learner is told, as text; never longer than a page."""
    html: str = ""
    """The same with its pictures."""
    certain: bool = True
    """False if another run might say something else: time was up, or the answer was killed."""
    answer: str = ""
    """The source of the learner's cell with the answer, if there is one."""


@dataclass
class Result:
    """What grading says of one submission."""

    learner: str
    file: str
    notebook: str = ""
    """The master's name, such as "04_occlusion"; "" if it could not be told."""
    status: str = GRADED
    """One of `STATUSES`."""
    problem: str = ""
    """Why it is not graded, in one clause."""
    exercises: list[Verdict] = field(default_factory=list)
    counted: bool = True
    """False if a better or later file of the same learner and notebook counts instead."""
    notes: list[str] = field(default_factory=list)
    """What the learner should know about how the file was read, a sentence each."""
    submitted: float = 0.0
    """The file's time stamp, in seconds since 1970."""
    seconds: float = 0.0
    """How long grading took, on the clock."""
    late: float = 0.0
    """Seconds after the deadline; like the next, told by the gradebook and not kept."""
    deduction: float = 0.0
    """Points that being late costs."""

    def __post_init__(self):
        if self.status not in STATUSES:
            raise ValueError(f"There is no status {self.status!r}; there are {list(STATUSES)}.")

    @property
    def points(self) -> float:
        """So far as it could be graded, without those that being late costs."""
        return sum(verdict.points for verdict in self.exercises) - self.deduction

    @property
    def out_of(self) -> float:
        return sum(verdict.out_of for verdict in self.exercises)

    @property
    def is_certain(self) -> bool:
        """Whether the same submission would get the same again, so that this may be kept."""
        return self.status != GRADER_ERROR and all(v.certain for v in self.exercises)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """What `to_json` wrote; raises ValueError for anything else."""
        data = _read(cls, text)
        data["exercises"] = [Verdict(**entry) for entry in data["exercises"]]
        return cls(**data)


def _read(cls, text) -> dict[str, Any]:
    """The fields of a record; ValueError if they are not those of `cls`."""
    data = json.loads(text)
    known = {entry.name for entry in fields(cls)}
    if not isinstance(data, dict) or not data.keys() <= known:
        raise ValueError(f"This is no {cls.__name__}.")
    return data
