"""`Check`: compares a learner's function with the reference, and knows the usual mistakes."""

import ast
import inspect
import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

from course_utils.exercises.engine.calls import Outcome, Probes, call_on_probes, each_call
from course_utils.exercises.engine.compare import Mismatch, difference
from course_utils.exercises.engine.feedback import (
    Feedback,
    hash_of_source,
    show,
    worth_drawing,
)

SEED = 20_001
"""Of the probes that learners' answers are tried on; a grader takes a secret one."""


class CheckFailed(AssertionError):
    """An answer is not right; raised only where COURSE_STRICT is set."""


@dataclass
class Mistake:
    """A wrong answer that people plausibly give, and the hint that cures it."""

    function: Callable
    hint: str


@dataclass(eq=False)
class Check:
    """One exercise: call it with the learner's function, and it says how right it is.

    In a notebook it never raises, and never shows success unless every probe passes. With the
    environment variable COURSE_STRICT=1 it raises `CheckFailed` after saying the same.
    """

    reference: Callable
    probes: Probes
    points: int
    tolerance: float = 1e-4
    mistakes: list[Mistake] = field(default_factory=list)
    _expected: dict[int, list[Outcome]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self.reference.__name__

    def __call__(self, answer: Callable) -> None:
        """Shows what is right or wrong about `answer`, the function itself."""
        feedback = self.review(answer)
        show(feedback)
        if is_strict() and not feedback.passed:
            raise CheckFailed(str(feedback))

    def review(self, answer: Callable, seed: int = SEED) -> Feedback:
        """Tries `answer` on the probes of this seed -> the verdict, without showing it."""
        if not callable(answer):
            message = f"Pass the function itself: `check.{self.name}({self.name})`."
            return self._feedback("wrong type", message)
        feedback = self._review(answer, seed)
        feedback.source = source_hash(answer)
        return feedback

    def passes(self, answer: Callable, seed: int = SEED) -> bool:
        """Whether `review` would let `answer` pass; stops at the first call that is wrong."""
        if _is_empty(answer):
            return False
        outcomes = []
        for outcome in each_call(answer, self.probes, seed):
            outcomes.append(outcome)
            if self._problem(self.expected(seed)[: len(outcomes)], outcomes):
                return False
        return len(outcomes) == len(self.expected(seed))

    def expected(self, seed: int) -> list[Outcome]:
        """What the reference does on the probes of this seed; computed once."""
        if seed not in self._expected:
            self._expected[seed] = call_on_probes(self.reference, self.probes, seed)
        return self._expected[seed]

    def _review(self, answer, seed):
        if _is_empty(answer):
            return self._feedback("not attempted", "Write the function above, and run its cell.")
        return self.judge(call_on_probes(answer, self.probes, seed), seed)

    def mistake(self, hint: str) -> Callable[[Callable], Callable]:
        """Decorator for a plausible wrong answer: adds it, with its hint, to the catalogue."""

        def add(function):
            self.mistakes.append(Mistake(function, hint))
            return function

        return add

    def solution(self) -> None:
        """Prints one right answer. Try the hints first!"""
        lines = textwrap.dedent(inspect.getsource(self.reference)).splitlines()
        start = next(n for n, line in enumerate(lines) if line.startswith("def "))
        print("\n".join(lines[start:]))

    # ------------------------------------------------------------------------ judging

    def judge(self, outcomes: list[Outcome], seed: int) -> Feedback:
        """The verdict on recorded calls of an answer; calls only the course's own functions."""
        problem = self._problem(self.expected(seed), outcomes)
        if problem is None:
            return self._feedback("passed", "")
        if problem.kind == "not attempted":
            return problem
        for mistake in self.mistakes:
            if self._same(call_on_probes(mistake.function, self.probes, seed), outcomes):
                return self._feedback("known mistake", mistake.hint)
        return problem

    def _problem(self, expected, outcomes):
        """What is wrong with an answer, as feedback; None if nothing is."""
        for wanted, outcome in zip(expected, outcomes):
            if outcome.raised:
                return self._raised(outcome.raised)
            mismatch = difference(wanted.value, outcome.value, self.tolerance)
            if mismatch:
                return self._mismatch(mismatch)
        for wanted, outcome in zip(expected, outcomes):
            if outcome.changed != wanted.changed:
                return self._changed(outcome.changed)
        if len(expected) != len(outcomes):
            return self._feedback("wrong values", "Not every call came back with an answer.")
        return None

    def _same(self, one, other):
        """Whether two functions did the same on every probe, side effects included."""
        if len(one) != len(other) or any(outcome.raised for outcome in (*one, *other)):
            return False
        return all(
            a.changed == b.changed and _agree(a.value, b.value, self.tolerance)
            for a, b in zip(one, other)
        )

    def _raised(self, raised):
        if raised.type == "NotImplementedError":
            return self._feedback("not attempted", "Write the function above, and run its cell.")
        told = f"{raised.type}: {raised.message}" if raised.message else raised.type
        place = f"line {raised.number}:  {raised.line}" if raised.line else ""
        ending = "" if told.endswith((".", "?", "!")) else "."
        feedback = self._feedback("raised", f"{told}{ending} {raised.cause}".strip())
        feedback.code = place
        return feedback

    def _changed(self, change):
        names = [f"`{name}`" for name in inspect.signature(self.reference).parameters]
        return self._feedback("changed input", f"The answer is right, but {change.format(*names)}.")

    def _mismatch(self, mismatch: Mismatch):
        kind = "NaN" if mismatch.kind == "NaN" else f"wrong {mismatch.kind}"
        feedback = self._feedback(kind, mismatch.message)
        feedback.maps = worth_drawing(mismatch.got, mismatch.expected)
        return feedback

    def _feedback(self, kind, message):
        return Feedback(self.name, kind, message, self.points)


def check(points: int, probes: Probes, tolerance: float = 1e-4) -> Callable[[Callable], Check]:
    """Decorator: makes a `Check` of the reference that it decorates.

    probes:    takes a NumPy generator -> the calls to try, each a tuple of arguments; torch is
               seeded as well. Several, and not square where a transposed answer would go unseen
    tolerance: two numbers agree if they differ by no more than tolerance x (1 + |expected|)
    """

    def make(reference):
        return Check(reference, probes, points, tolerance)

    return make


def is_strict() -> bool:
    """Whether a failed check must raise, as in a headless run."""
    return os.environ.get("COURSE_STRICT", "") not in ("", "0")


def source_hash(function: Callable) -> str | None:
    """The hash of a function's source; None where it has no source."""
    try:
        return hash_of_source(inspect.getsource(function))
    except (OSError, TypeError):
        return None


def _agree(expected, got, tolerance):
    try:
        return difference(expected, got, tolerance) is None
    except TypeError:  # a mistake may return what no right answer contains
        return False


def _is_empty(function):
    """Whether a function's body is nothing but a docstring, `pass` or `...`."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    if not tree.body or not isinstance(tree.body[0], ast.FunctionDef):
        return False
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in tree.body[0].body
    )
