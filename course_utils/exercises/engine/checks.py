"""`Check`: compares a learner's function with the reference, and knows the usual mistakes.

What `@check(points, probes, ...)` can be told, beyond the tolerance:

gradients=True           the answer will be differentiated: all float tensors among the arguments
                         come requiring a gradient (or those of these names: gradients=("x",)), and
                         the answer's gradients are compared too
graph="any"              whether the answer still hangs in a graph for gradients doesn't matter, as
                         every later cell can take it. Otherwise it must do as the reference does:
                         hang in one, or be detached; then the docstring has to say so
integers=True            8.0 is refused where the reference returns 8; say so in the docstring
precision=True           a tensor of float64 is refused where the reference returns one of float32;
                         say so in the docstring
one_form=f               where the text leaves a choice: f(arguments, outcome) of a call gives the
                         outcome with the reference's choice in the place of another right one

Probes can contain parts from `probes`:

LittleMemory(model, 8)   a network that fails where more than 8 pictures are in memory at once
nn.Sequential(..., Fails())
                         a network that raises: whatever the answer does then, no hook, mode or
                         switch may stay changed

Always compared before and after a call: the arguments, requires_grad, grads, modes, hooks,
attributes and weights of every network in them, also of those in lists, and whether gradients are
switched on. So that all of it shows, the networks come as if they had been in use: see `worn`.

A mistake is recognized by its values alone, each item of a tuple by itself; side effects are told
in addition. An answer that calls the function of another exercise, which is not right yet, is told
that. What has no entry in the catalogue is diagnosed: see `diagnose`.
"""

import ast
import inspect
import math
import os
import re
import textwrap
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial, wraps

from course_utils.exercises.engine import diagnose
from course_utils.exercises.engine.calls import (
    Call,
    Outcome,
    Probes,
    call_all,
    copied,
    each_of,
    own_random_numbers,
    prepared,
)
from course_utils.exercises.engine.compare import Mismatch, difference
from course_utils.exercises.engine.feedback import (
    Feedback,
    hash_of_source,
    show,
    spared,
    worth_drawing,
)
from course_utils.exercises.engine.probes import NetworkFailed, with_gradients
from course_utils.exercises.engine.sources import functions_used, worked_answer

SEED = 20_001
"""Of the probes that learners' answers are tried on; a grader takes a secret one."""

PATIENCE = 3
"""Failures of one exercise, in one session, before its solution is offered."""

SEEDS_KEPT = 3
"""Seeds of which an exercise keeps the calls."""


class Remembered:
    """What an iterator yields, asked for only when it is needed, and kept for the next time."""

    def __init__(self, iterator: Iterator):
        self._iterator = iterator
        self._kept = []

    def __iter__(self):
        yield from self._kept
        for item in self._iterator:
            self._kept.append(item)
            yield item


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
    graph: str = "same"
    """ "same" or "any": whether the answer's graph must be as the reference's."""
    integers: bool = False
    """Whether whole floats are refused where the reference returns integers."""
    precision: bool = False
    """Whether tensors of floats must have the reference's dtype."""
    one_form: Callable[[tuple, Outcome], Outcome] | None = None
    """Makes one of several right answers; what it can't read, it may fail at."""
    mistakes: list[Mistake] = field(default_factory=list)
    failures: int = 0
    """Since the last success, in this session."""
    _outcomes: dict[tuple[Callable, int], list[Outcome]] = field(default_factory=dict, repr=False)
    _calls: dict[int, list[Call]] = field(default_factory=dict, repr=False)
    """Of the last seeds; see `_prepared`."""
    _variants: dict[tuple, Remembered] = field(default_factory=dict, repr=False)
    """See `_variants_of`."""

    def __post_init__(self):
        if self.graph not in ("same", "any"):
            raise ValueError(f'graph is "same" or "any", not {self.graph!r}.')

    @property
    def name(self) -> str:
        return self.reference.__name__

    def __call__(self, answer: Callable) -> None:
        """Shows what is right or wrong about `answer`, the function itself."""
        feedback = self.review(answer)
        self._count(feedback)
        show(feedback)
        if is_strict() and not feedback.passed:
            raise CheckFailed(str(feedback))

    def _count(self, feedback):
        """Counts failures, and offers the solution after some of them."""
        if feedback.passed:
            self.failures = 0
        elif feedback.kind != "not attempted":
            self.failures += 1
        if not feedback.passed and self.failures >= PATIENCE:
            feedback.offer = (
                f"Stuck? `check.{self.name}.solution()` prints a worked answer, and "
                f"`check.{self.name}.use_solution()` lets the cells below run with it."
            )

    def review(self, answer: Callable, seed: int = SEED) -> Feedback:
        """Tries `answer` on the probes of this seed -> the verdict, without showing it."""
        if not callable(answer):
            message = f"Pass the function itself: `check.{self.name}({self.name})`."
            return self._feedback("wrong type", message)
        if vars_of(answer).get("is_the_solution_of") is self:
            message = "This is the course's solution. Run your own cell again for a verdict."
            return self._feedback("not attempted", message)
        feedback = self._review(answer, seed)
        feedback.source = source_hash(answer)
        return feedback

    def _review(self, answer, seed):
        if _is_empty(answer):
            return self._feedback("not attempted", "Write the function above, and run its cell.")
        feedback = self.judge(self._tried(answer, seed), seed)
        if not feedback.passed:
            return spared(self._unfinished, answer, seed) or feedback
        return feedback

    def passes(self, answer: Callable, seed: int = SEED) -> bool:
        """Whether `review` would let `answer` pass; stops at the first call that is wrong."""
        if _is_empty(answer):
            return False
        expected, calls, count = self.expected(seed), self._prepared(seed), 0
        with own_random_numbers():
            for outcome in each_of(answer, calls, seed):
                compared = self._formed(calls[count].probe, outcome)
                if self._problem([expected[count]], [compared]):
                    return False
                count += 1
        return count == len(expected)

    def expected(self, seed: int) -> list[Outcome]:
        """What the reference does on the probes of this seed."""
        outcomes = self._outcomes_of(self.reference, seed)
        for outcome in outcomes:
            if outcome.raised and outcome.raised.type != NetworkFailed.__name__:
                told = f"{outcome.raised.type}: {outcome.raised.message}"
                raise RuntimeError(f"The reference of {self.name} fails on its probes: {told}")
        return outcomes

    def _outcomes_of(self, function, seed):
        """What one of the course's own functions does; computed once."""
        if (function, seed) not in self._outcomes:
            outcomes = self._tried(function, seed)
            self._outcomes[function, seed] = self._in_one_form(outcomes, seed)
        return self._outcomes[function, seed]

    def _tried(self, function, seed):
        return call_all(function, self._prepared(seed), seed)

    def _prepared(self, seed):
        """The calls of this seed, kept: making their probes takes longer than most answers do."""
        if seed not in self._calls:
            if len(self._calls) >= SEEDS_KEPT:
                self._calls.clear()
            self._calls[seed] = prepared(self.probes, seed)
        return self._calls[seed]

    def _in_one_form(self, outcomes, seed):
        """Outcomes as they are compared, where several answers are right."""
        if self.one_form is None:
            return outcomes
        calls = self._prepared(seed)
        return [self._formed(call.probe, outcome) for call, outcome in zip(calls, outcomes)]

    def _formed(self, probe, outcome):
        if self.one_form is None:
            return outcome
        try:
            return self.one_form(probe, outcome)
        except Exception:  # not at all the kind of answer that is asked for
            return outcome

    def mistake(self, hint: str) -> Callable[[Callable], Callable]:
        """Decorator for a plausible wrong answer: adds it, with its hint, to the catalogue."""

        def add(function):
            self.mistakes.append(Mistake(function, hint))
            return function

        return add

    def solution(self) -> None:
        """Prints one right answer. Try the hints first!"""
        print(worked_answer(self.reference))

    def use_solution(self) -> None:
        """Puts the course's own answer in the place of the caller's function of this name."""

        @wraps(self.reference)
        def answer(*arguments, **named):
            return self.reference(*arguments, **named)

        answer.is_the_solution_of = self
        inspect.currentframe().f_back.f_globals[self.name] = answer
        print(
            f"From here on, `{self.name}` is the course's solution. Your own comes back, and "
            "counts, when you run its cell again."
        )

    # ------------------------------------------------------------------------ judging

    def judge(self, outcomes: list[Outcome], seed: int) -> Feedback:
        """The verdict on recorded calls of an answer; calls only the course's own functions."""
        expected, outcomes = self.expected(seed), self._in_one_form(outcomes, seed)
        problem = self._value_problem(expected, outcomes)
        aside = self._aside(expected, outcomes)
        if problem is None and aside is None:
            return self._feedback("passed", "")
        if problem is not None and problem.kind == "not attempted":
            return problem
        known = spared(self._known_mistake, expected, outcomes, seed)
        if known:
            return known
        if problem is None:
            return self._aside_alone(aside)
        if problem.kind != "raised":
            said = spared(self._diagnosis, expected, outcomes, seed) or ""
            problem.message = f"{said} {problem.message}".strip()
        if aside and aside[0] != "wrong gradient":  # wrong values have other gradients, of course
            problem.message += f" Besides, {aside[1]}."
        return problem

    def partial_points(self, outcomes: list[Outcome], seed: int) -> float:
        """Points for an answer that has not passed, in halves: the share of the probes that it got.

        A probe counts whole if all about its call is right, and half if only the value is, for
        instance because the answer changed its input. What comes to less than half of the points
        is nothing: an empty picture or a constant is right on some probe as well.
        """
        outcomes = self._in_one_form(outcomes, seed)
        share = sum(self._credit(*pair) for pair in zip(self.expected(seed), outcomes))
        points = math.floor(2 * self.points * share / len(self.expected(seed))) / 2
        return min(points, self.points - 0.5) if 2 * points >= self.points else 0

    def _credit(self, wanted, outcome):
        """1 for a call that is right, 1/2 if only its value is, else 0."""
        if self._value_problem([wanted], [outcome]):
            return 0
        return 1 / 2 if self._aside([wanted], [outcome]) else 1

    def _problem(self, expected, outcomes):
        """What is wrong with an answer, as feedback; None if nothing is."""
        problem = self._value_problem(expected, outcomes)
        if problem:
            return problem
        aside = self._aside(expected, outcomes)
        return self._aside_alone(aside) if aside else None

    def _value_problem(self, expected, outcomes):
        """What is wrong with the values, or with the calls that returned none.

        A wrong shape comes first: where one call's answer has it, others may have it by chance, and
        the values there say little.
        """
        mismatches = []
        for wanted, outcome in zip(expected, outcomes):
            if wanted.raised:
                continue
            if outcome.raised and not mismatches:
                return self._raised(outcome.raised)
            if outcome.raised:
                break
            mismatches.append(self._difference(wanted.value, outcome.value))
            mismatches = [mismatch for mismatch in mismatches if mismatch]
        if mismatches:
            shapes = [mismatch for mismatch in mismatches if mismatch.kind == "shape"]
            return self._mismatch([*shapes, *mismatches][0])
        if len(expected) != len(outcomes):
            return self._feedback("wrong values", "Not every call came back with an answer.")
        return None

    def _difference(self, expected, got):
        asked = {"integers": self.integers, "precision": self.precision}
        strict = [name for name, wanted in asked.items() if wanted]
        return difference(expected, got, self.tolerance, strict=strict)

    def _aside(self, expected, outcomes):
        """The first thing besides the values that is wrong: (kind, clause), or None."""
        for wanted, outcome in zip(expected, outcomes):
            if outcome.changed != wanted.changed:
                return "changed input", self._with_names(outcome.changed)
        for wanted, outcome in zip(expected, outcomes):
            if wanted.raised or outcome.raised:
                continue
            if self.graph == "same" and outcome.in_graph and not wanted.in_graph:
                return "wrong graph", STILL_IN_GRAPH
            if self.graph == "same" and wanted.in_graph and not outcome.in_graph:
                return "wrong graph", CUT_OFF
            if wanted.gradients is not None:
                mismatch = difference(wanted.gradients, outcome.gradients, self.tolerance)
                if mismatch:
                    is_nan = mismatch.kind == "NaN"
                    return "wrong gradient", NAN_GRADIENT if is_nan else WRONG_GRADIENT
        return None

    def _with_names(self, change):
        """A clause about arguments, with their names for their numbers."""
        names = list(inspect.signature(self.reference).parameters)

        def named(match):
            number = int(match[1])
            return f"`{names[number]}`" if number < len(names) else "an argument"

        return re.sub(r"\{(\d{1,3})\}", named, change)

    def _aside_alone(self, aside):
        kind, clause = aside
        return self._feedback(kind, f"The answer is right, but {clause}.")

    def _raised(self, raised):
        if _is_left_open(raised):
            return self._feedback("not attempted", "Write the function above, and run its cell.")
        told = f"{raised.type}: {raised.message}" if raised.message else raised.type
        place = f"line {raised.number}:  {raised.line}" if raised.line else ""
        ending = "" if told.endswith((".", "?", "!")) else "."
        feedback = self._feedback("raised", f"{told}{ending} {raised.cause}".strip())
        feedback.code = place
        return feedback

    def _changed(self, change):
        return self._aside_alone(("changed input", self._with_names(change)))

    def _mismatch(self, mismatch: Mismatch):
        kind = "NaN" if mismatch.kind == "NaN" else f"wrong {mismatch.kind}"
        feedback = self._feedback(kind, mismatch.message)
        if mismatch.kind == "values":
            feedback.maps = spared(worth_drawing, mismatch.got, mismatch.expected)
        return feedback

    def _feedback(self, kind, message):
        return Feedback(self.name, kind, message, self.points)

    # ------------------------------------------------------------------------ explaining

    def _known_mistake(self, expected, outcomes, seed):
        """The hint of the mistake in the catalogue that gives this answer, as feedback, or None."""
        for where, part in self._parts(expected, outcomes):
            for mistake in self.mistakes:
                own = self._outcomes_of(mistake.function, seed)
                if self._is_mistake(part(expected), part(own), part(outcomes)):
                    message = f"{where}{mistake.hint}"
                    if not _same_asides(own, outcomes):
                        aside = self._aside(expected, outcomes)
                        message += f" Besides, {aside[1]}." if aside else ""
                    return self._feedback("known mistake", message)
        return None

    def _same(self, one, other):
        """Whether two functions did the same on every probe, side effects included."""
        if len(one) != len(other) or any(outcome.raised for outcome in (*one, *other)):
            return False
        agree = all(self._agree(a.value, b.value) for a, b in zip(one, other))
        return agree and _same_asides(one, other)

    def _is_mistake(self, expected, own, outcomes):
        """Whether an answer gives a mistake's values, up to the first call that raises.

        Where a mistake's values are right, its side effects must be the answer's.
        """
        wrong = False
        for wanted, mine, got in zip(expected, own, outcomes):
            if wanted.raised:
                continue
            if mine.raised or got.raised:
                both = mine.raised and got.raised and mine.raised.type == got.raised.type
                return wrong or bool(both)
            if not self._agree(mine.value, got.value):
                return False
            wrong = wrong or not self._agree(wanted.value, mine.value)
        return wrong or _same_asides(own, outcomes)

    def _agree(self, expected, got):
        try:
            return difference(expected, got, self.tolerance) is None
        except TypeError:  # a mistake may return what no right answer contains
            return False

    def _parts(self, expected, outcomes):
        """(where, part) of what is compared: the whole answer, then its first wrong item.

        part: takes outcomes -> outcomes whose values are that part of theirs
        """
        yield "", lambda outcomes: outcomes
        pairs = _answered(expected, outcomes).values()
        lengths = {len(w.value) if isinstance(w.value, tuple) else 0 for w, _ in pairs}
        if len(lengths) != 1 or lengths == {0}:
            return
        (length,) = lengths
        if any(_length(got.value) != length for _, got in pairs):
            return
        for number in range(length):
            if not all(self._agree(w.value[number], got.value[number]) for w, got in pairs):
                yield f"Item {number + 1}: ", partial(_items, number)
                return

    def _diagnosis(self, expected, outcomes, seed):
        """What a wrong answer has to do with the right one, as a sentence, or ""."""
        for where, part in self._parts(expected, outcomes):
            answered = _answered(part(expected), part(outcomes))
            case = self._case(answered, seed) if answered else None
            if case and (case.has_nan or case.same(case.expected, case.got)):
                continue
            said = diagnose.by_values(case) or self._other_arguments(part, outcomes, seed)
            if said:
                return f"{where}{said}"
        return ""

    def _case(self, answered, seed):
        names = list(inspect.signature(self.reference).parameters)
        ready = self._prepared(seed)
        calls = [dict(zip(names, ready[number].probe)) for number in answered]
        values = [(wanted.value, got.value) for wanted, got in answered.values()]
        return diagnose.Case.of(values, calls, self.tolerance)

    def _other_arguments(self, part, outcomes, seed):
        """The sentence of the first change of the arguments that makes the answer right."""
        expected = self.expected(seed)
        used = [n for n, wanted in enumerate(expected) if not wanted.raised and n < len(outcomes)]
        if len(used) < 2 or any(outcomes[n].raised for n in used):
            return ""
        answers = part([outcomes[n] for n in used])
        try:
            with own_random_numbers():
                for said, calls in self._variants_of(used, seed):
                    if _all_agree(self._agree, part, calls, answers):
                        return said
        except BaseException:  # such as an interrupt: what ended half-way is begun anew
            self._variants.clear()
            raise
        return ""

    def _variants_of(self, used, seed):
        """(what is said, outcomes) of each change of the arguments of the probes of these numbers.

        Remembered as far as wrong answers have led: they all are compared with the same ones.
        """
        key = seed, *used
        if key not in self._variants:
            if len(self._variants) >= SEEDS_KEPT:
                self._variants.clear()
            self._variants[key] = Remembered(self._try_variants(used, seed))
        return self._variants[key]

    def _try_variants(self, used, seed):
        probes = copied([self._prepared(seed)[n].probe for n in used])
        for variant in diagnose.variants(self.reference, probes):
            calls = prepared(lambda random, v=variant: v.changed, seed)
            outcomes = each_of(self.reference, calls, seed, values_alone=True)
            yield variant.said, Remembered(outcomes)

    # ------------------------------------------------------------------------ helper exercises

    def _unfinished(self, answer, seed):
        """Feedback about the exercise that this answer calls and that isn't right yet, or None."""
        others = vars_of(inspect.getmodule(self.reference))
        for name, function in functions_used(answer).items():
            other = others.get(name)
            if isinstance(other, Check) and other is not self and not other.passes(function, seed):
                message = (
                    f"Your function calls `{name}`, an exercise of its own that isn't right yet. "
                    f"Finish that one first, or go on with `check.{name}.use_solution()`."
                )
                return self._feedback("unfinished helper", message)
        return None


STILL_IN_GRAPH = (
    "it still hangs in the graph that autograd recorded, which keeps memory and stops later cells: "
    "call .detach() on it, or compute it under `with torch.no_grad():`"
)
CUT_OFF = (
    "it is cut off from the graph: later cells ask for its gradient, and none would arrive. "
    "Leave out .detach(), .item(), .data and torch.no_grad() on the way to it"
)
WRONG_GRADIENT = (
    "its gradient is not: something on the way is cut off or computed without autograd. "
    "Look for .detach(), .item(), .data and torch.no_grad()"
)

NAN_GRADIENT = (
    "its gradient is NaN (not a number) in places: something on the way, such as the square root "
    "at 0, has no finite slope there"
)


def check(
    points: int,
    probes: Probes,
    tolerance: float = 1e-4,
    *,
    gradients: bool | Collection[str] = (),
    graph: str = "same",
    integers: bool = False,
    precision: bool = False,
    one_form: Callable[[tuple, Outcome], Outcome] | None = None,
) -> Callable[[Callable], Check]:
    """Decorator: makes a `Check` of the reference that it decorates.

    probes:    takes a NumPy generator -> the calls to try, each a tuple of arguments; torch is
               seeded as well. Several, and not square where a transposed answer would go unseen
    tolerance: two numbers agree if they differ by no more than tolerance x (1 + |expected|);
               whole numbers must be equal
    gradients, graph, integers, precision, one_form: see the head of this module
    """

    def make(reference):
        names = list(inspect.signature(reference).parameters)
        chosen = names if gradients is True else gradients or ()
        tried = with_gradients(probes, chosen, names) if chosen else probes
        return Check(reference, tried, points, tolerance, graph, integers, precision, one_form)

    return make


def is_strict() -> bool:
    """Whether a failed check must raise, as in a headless run, and where nbgrader executes it."""
    strict = os.environ.get("COURSE_STRICT", "")
    return strict != "0" if strict else "NBGRADER_EXECUTION" in os.environ


def source_hash(function: Callable) -> str | None:
    """The hash of a function's source; None where it has no source."""
    try:
        return hash_of_source(inspect.getsource(function))
    except Exception:  # also for objects that raise when they are looked at
        return None


def vars_of(thing: object) -> dict[str, object]:
    """The attributes that an object holds itself; none for one that has no room for any."""
    try:
        return dict(vars(thing))
    except Exception:
        return {}


def _answered(expected, outcomes) -> dict[int, tuple[Outcome, Outcome]]:
    """Pairs of outcomes by the number of their call, up to the first exception.

    Calls with networks that fail on purpose are left out.
    """
    pairs = {}
    for number, (wanted, got) in enumerate(zip(expected, outcomes)):
        if wanted.raised:
            continue
        if got.raised:
            break
        pairs[number] = wanted, got
    return pairs


def _is_left_open(raised):
    """Whether a stub raised this; PyTorch raises the same kind where an operation fits no dtype."""
    stub = "NotImplementedError" in raised.line or not (raised.message or raised.cause)
    return raised.type == "NotImplementedError" and stub


def _length(value):
    """How many items a value unpacks into; -1 if it doesn't, or has keys instead of places."""
    try:
        return -1 if isinstance(value, dict) else len(value)
    except TypeError:
        return -1


def _items(number, outcomes) -> list[Outcome]:
    """Outcomes with one item of their values."""
    items = []
    for outcome in outcomes:
        item = outcome.value[number] if _length(outcome.value) > number else None
        items.append(Outcome(item, outcome.raised, outcome.changed, outcome.in_graph))
    return items


def _all_agree(agree, part, calls: Iterator[Outcome], answers) -> bool:
    """Whether calls give these answers; stops at the first that doesn't."""
    count = 0
    for outcome, answer in zip(calls, answers):
        (mine,) = part([outcome])
        if mine.raised or not agree(mine.value, answer.value):
            return False
        count += 1
    return count == len(answers)


def _same_asides(one, other):
    """Whether two functions did the same besides returning their values."""
    return all(
        a.changed == b.changed
        and a.in_graph == b.in_graph
        and (a.gradients is None) == (b.gradients is None)
        for a, b in zip(one, other)
    )


def _is_empty(function):
    """Whether a function's body is nothing but a docstring, `pass` or `...`."""
    try:
        if inspect.unwrap(function).__code__.co_names:  # it uses something; a quick test, for most
            return False
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except Exception:  # no source, or an object that raises when it is looked at
        return False
    if not tree.body or not isinstance(tree.body[0], ast.FunctionDef):
        return False
    return all(
        isinstance(line, ast.Pass)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))
        for line in tree.body[0].body
    )
