"""What a wrong answer has to do with the right one, found without a catalogue.

Two ways. `by_values` looks for a simple relation that holds on every probe: a factor, a sign,
exchanged axes, one row too few ... `by_arguments` looks for arguments with which the reference
itself gives the answer: another class, two arguments exchanged, probabilities for scores.
"""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from course_utils.exercises.engine.compare import as_array

Arrays = list[np.ndarray]
"""One array for each probe."""

LARGEST = 10**6
"""Values of an array that is looked into."""

ENOUGH = 3
"""Different numbers that must fit before a relation is more than chance."""


@dataclass
class Case:
    """One part of the answer on all probes, as numbers."""

    expected: Arrays
    got: Arrays
    calls: list[dict[str, object]]
    """The arguments of each of these probes by their names."""
    tolerance: float
    items: bool = False
    """Whether the first axis counts the items of a tuple."""

    @classmethod
    def of(cls, pairs: list[tuple[object, object]], calls: list[dict], tolerance: float):
        """The case of (expected, got) on each probe; None if they are no rectangles of numbers."""
        expected, got = [], []
        for right, answer in pairs:
            if isinstance(right, dict) and isinstance(answer, dict) and set(right) == set(answer):
                right, answer = list(right.values()), [answer[key] for key in right]
            expected.append(numbers_of(right))
            got.append(numbers_of(answer))
        if any(array is None for array in expected + got):
            return None
        items = any(isinstance(right, tuple) for right, _ in pairs)
        return cls(expected, got, calls, tolerance, items)

    def same(self, one: Arrays, other: Arrays) -> bool:
        """Whether two lists of arrays agree in shape and values on every probe."""
        return all(
            a.shape == b.shape and bool(np.all(_near(a, b, self.tolerance)))
            for a, b in zip(one, other)
        )

    def got_is(self, change: Callable[..., np.ndarray], *options) -> bool:
        """Whether the answer is what a change, called with options, makes of the right one."""
        try:
            with np.errstate(all="ignore"):
                changed = [np.asarray(change(a, *options)) for a in self.expected]
                return self.same(changed, self.got)
        except (ValueError, IndexError):
            return False

    def expected_is(self, change: Callable[..., np.ndarray], *options) -> bool:
        """Whether a change makes the right answer of this one."""
        return Case(self.got, self.expected, self.calls, self.tolerance).got_is(change, *options)

    @property
    def has_nan(self) -> bool:
        """Whether the answer has NaN where the right one has numbers: then it resembles anything.

        Changes that are NaN themselves somewhere, such as a quotient, would seem to explain it.
        """
        pairs = zip(self.expected, self.got)
        return any(np.isnan(got).any() and not np.isnan(right).any() for right, got in pairs)

    @property
    def dims(self) -> int:
        """The most axes that an expected array has."""
        return max(a.ndim for a in self.expected)


def _near(a, b, tolerance):
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= tolerance * (1 + np.abs(a))
    return (near & np.isfinite(a)) | (a == b) | (np.isnan(a) & np.isnan(b))


# ---------------------------------------------------------------------------- numbers


def numbers_of(value: object) -> np.ndarray | None:
    """A value as an array of float64, if it is one number or a rectangle of numbers."""
    try:
        if isinstance(value, (torch.Tensor, np.ndarray)):
            if math.prod(value.shape) > LARGEST or getattr(value, "is_meta", False):
                return None
            array = as_array(value)
        elif isinstance(value, (list, tuple)):
            rows = [numbers_of(item) for item in value]
            if any(row is None for row in rows):
                return None
            array = np.array(rows)
        else:
            array = np.array(value)
        return array.astype(np.float64) if array.dtype.kind in "biuf" else None
    except (ValueError, TypeError, OverflowError):
        return None


# ---------------------------------------------------------------------------- relations of values


def by_values(case: Case | None) -> str:
    """The relation between a wrong answer and the right one, as sentences; "" if none is found."""
    if case is None:
        return ""
    for look in (_shapes, _parts, _constants, _formulas, _scales, _orders, _regions):
        for said in look(case):
            return said
    return ""


def _distinct(arrays):
    """How many different numbers other than zero there are."""
    flat = np.concatenate([a.ravel() for a in arrays]) if arrays else np.zeros(0)
    return len(np.unique(flat[np.isfinite(flat) & (flat != 0)].round(9)))


def _shapes(case) -> Iterator[str]:
    """The right numbers in another shape."""
    if all(a.shape == b.shape for a, b in zip(case.expected, case.got)):
        return
    shapes = next((g.shape, e.shape) for e, g in zip(case.expected, case.got) if g.shape != e.shape)
    told = f"the shape {shapes[0]} instead of {shapes[1]}"
    if case.same([a.squeeze() for a in case.expected], [a.squeeze() for a in case.got]):
        if len(shapes[0]) > len(shapes[1]):
            yield f"The values are right, but there is an axis too many: {told}."
        else:
            yield (
                f"The values are right, but an axis of length 1 is missing: {told}. Does a "
                "`squeeze` or an index take it away?"
            )
    for order in _permutations(case):
        if case.got_is(np.transpose, order):
            yield f"The values are right, but {_exchanged(order)}: {told}."
    if case.same([a.ravel() for a in case.expected], [a.ravel() for a in case.got]):
        yield f"The values are right and in the right order, but in {told}."


def _permutations(case):
    """Orders of the axes other than their own, those that exchange two first."""
    if not all(a.ndim == case.dims for a in case.expected) or not 2 <= case.dims <= 4:
        return []
    own = tuple(range(case.dims))
    orders = [order for order in itertools.permutations(own) if order != own]
    return sorted(orders, key=lambda order: sum(a != b for a, b in zip(order, own)))


def _exchanged(order):
    moved = [n for n, axis in enumerate(order) if n != axis]
    if len(order) == 2:
        return "the answer is transposed: rows and columns are exchanged"
    if len(moved) == 2 and moved[1] == len(order) - 1 and moved[0] == len(order) - 2:
        return "rows and columns (the last two axes) are exchanged"
    if len(moved) == 2:
        return f"the axes {moved[0]} and {moved[1]} are exchanged"
    return f"the axes stand in the order {order}"


PARTS = (
    ("the last entry is missing", lambda a: a[:-1]),
    ("the first entry is missing", lambda a: a[1:]),
    ("only the first entry of several is there (the first picture or row)", lambda a: a[:1]),
    ("only the first entry of several is there (the first picture or row)", lambda a: a[0]),
    ("only the last entry of several is there", lambda a: a[-1:]),
    ("only the last entry of several is there", lambda a: a[-1]),
)
"""What may be there of an answer that has several entries."""


def _parts(case) -> Iterator[str]:
    """Some of the rows, or their sum."""
    if all(a.shape == b.shape for a, b in zip(case.expected, case.got)):
        yield from _rows(case)
        return
    several = all(a.ndim and len(a) > 1 for a in case.expected)
    for said, part in PARTS:
        if several and case.got_is(part):
            yield f"The values are right, but {said}."
    if case.expected_is(lambda a: a[:-1]) or case.expected_is(lambda a: a[1:]):
        yield "The values are right, but there is one entry too many at an end."
    for name, reduce in (("sum", np.sum), ("mean", np.mean)):
        for axis in (None, *range(case.dims)):
            if case.got_is(reduce, axis) or case.got_is(_keeping_axes, reduce, axis):
                over = "everything" if axis is None else f"axis {axis} as well"
                yield f"This is the {name} over {over}; it should be left as it is."


def _keeping_axes(a, reduce, axis):
    return reduce(a, axis, keepdims=True)


def _rows(case):
    """Right in the first row, or at some places of each row, only."""
    pairs = [(e, g) for e, g in zip(case.expected, case.got) if e.ndim and len(e) > 1]
    if case.items or not pairs or _distinct(case.expected) < ENOUGH:
        return
    right = [
        np.array([np.all(_near(a, b, case.tolerance)) for a, b in zip(e, g)]) for e, g in pairs
    ]
    if all(rows[0] and not rows[1:].any() for rows in right):
        same = all(np.all(_near(g, np.broadcast_to(g[:1], g.shape), 1e-9)) for _, g in pairs)
        more = ": all others repeat it" if same else ""
        yield f"Only the first entry along axis 0 is right (the first picture or row){more}."
    elif all(rows[-1] and not rows[:-1].any() for rows in right):
        yield "Only the last entry along axis 0 is right (the last picture or row)."


def _constants(case) -> Iterator[str]:
    """The same factor or the same difference everywhere."""
    if not all(a.shape == b.shape for a, b in zip(case.expected, case.got)):
        return
    if _distinct(case.expected) < 2:
        return
    if case.got_is(lambda a: -a):
        yield "The sign is turned round: every value is the negative of the right one."
    factors = [_factor(e, g) for e, g in zip(case.expected, case.got)]
    if None not in factors and _distinct(case.expected) >= ENOUGH:
        yield from _told_factor(case, factors)
    gaps = [_gap(e, g, case.tolerance) for e, g in zip(case.expected, case.got)]
    if None not in gaps and sum(e.size for e in case.expected) >= ENOUGH:
        yield from _told_gap(case, gaps)
    if all(_is_near(e, g) for e, g in zip(case.expected, case.got)):
        yield (
            "All values are right to within a few thousandths of the largest: is something "
            "rounded, computed in half precision, or a small number added?"
        )


def _is_near(expected, got):
    return bool(np.all(np.abs(got - expected) <= 2e-3 * np.abs(expected).max(initial=0)))


def _factor(expected, got):
    """The one number with which the right answer must be multiplied, or None."""
    used = np.abs(expected) > 1e-6 * max(np.abs(expected).max(initial=0), 1e-12)
    if not used.any() or not np.isfinite(got).all():
        return None
    place = np.unravel_index(np.argmax(np.abs(expected)), expected.shape)
    factor = got[place] / expected[place]
    size = np.abs(got).max(initial=0) + 1e-12
    return factor if np.all(np.abs(got - factor * expected) <= 1e-3 * size) else None


def _told_factor(case, factors):
    if all(abs(f) < 1e-9 for f in factors):
        yield "Every value is 0."
        return
    if any(abs(f) < 1e-9 for f in factors):
        return
    off = [factor for factor in factors if not np.isclose(factor, 1, rtol=1e-3)]
    if not off:
        return
    mean = float(np.mean(factors))
    if np.allclose(factors, mean, rtol=1e-3):
        yield f"Everything is {_times(mean)} the right values."
        return
    if np.allclose(np.abs(factors), 1, rtol=1e-3):
        yield "The values are right, but in some calls the sign is turned round."
        return
    named = _named(case, [abs(f) for f in factors]) or _named(case, [abs(1 / f) for f in factors])
    if named:
        large = "large" if abs(factors[0]) > 1 else "small"
        yield f"Everything is too {large} by a factor, in each call {named}."
    elif len(off) < len(factors):
        pass  # some calls are right: what is wrong with the others is no factor
    elif all(e.size >= ENOUGH for e in case.expected):
        shown = ", ".join(f"{factor:.4g}" for factor in factors[:3])
        yield f"Each call's values are right up to a factor, another in each call: {shown}."


def _times(factor):
    if factor < 0:
        return f"{factor:.4g} times"
    if factor >= 1:
        return f"{factor:.4g} x too large: {factor:.4g} times"
    return f"{1 / factor:.4g} x too small: {factor:.4g} times"


def _named(case, numbers):
    """The argument, or its length or size, that is this number in each call; "" if none is."""
    for name in case.calls[0] if case.calls else ():
        for title, read in READINGS.items():
            found = [read(call.get(name)) for call in case.calls]
            if None not in found and np.allclose(found, numbers, rtol=1e-3):
                return title.format(name=name)
    return ""


READINGS = {
    "`{name}`": lambda v: float(v) if isinstance(v, (int, float)) else None,
    "the length of `{name}`": lambda v: len(v) if _is_array(v) and v.ndim else None,
    "the number of values in `{name}`": lambda v: int(np.prod(v.shape)) if _is_array(v) else None,
    "the number of values for each entry of `{name}`": (
        lambda v: int(np.prod(v.shape[1:])) if _is_array(v) and v.ndim > 1 else None
    ),
    "the number of places (height x width) of `{name}`": (
        lambda v: int(np.prod(v.shape[-2:])) if _is_array(v) and v.ndim > 1 else None
    ),
}
"""What a factor may be, and how it is read from an argument."""


def _is_array(value):
    return isinstance(value, (torch.Tensor, np.ndarray))


def _gap(expected, got, tolerance):
    """The one number by which the right answer must be raised, or None."""
    gap = got - expected
    if not np.isfinite(gap).all() or not gap.size:
        return None
    first = float(gap.flat[0])
    return first if np.all(np.abs(gap - first) <= tolerance * (1 + np.abs(expected))) else None


def _told_gap(case, gaps):
    if np.allclose(gaps, gaps[0], atol=1e-6) and abs(gaps[0]) > 1e-6:
        direction = "large" if gaps[0] > 0 else "small"
        yield f"Everything is too {direction} by {abs(gaps[0]):.4g}."
    elif all(e.size >= ENOUGH for e in case.expected) and min(map(abs, gaps)) > 1e-6:
        yield "Each call's values are right up to a number that is added, another in each call."


FORMULAS = {
    "These are absolute values: the signs are lost.": np.abs,
    "What is negative was set to 0 and should not be.": lambda a: np.maximum(a, 0),
    "These are the squares of the right values.": np.square,
    "There is a square root too many.": np.sqrt,
    "These are logarithms of the right values.": np.log,
    "There is an exponential too many.": np.exp,
    "These are one minus the right values.": lambda a: 1 - a,
    "These are the right values turned upside down: one divided by them.": lambda a: 1 / a,
    "True and false are exchanged.": lambda a: np.where(np.isin(a, (0, 1)), 1 - a, np.nan),
    "The values are rounded.": np.round,
    "The values are rounded down.": np.floor,
    "The values are scaled to the range from 0 to 1.": (
        lambda a: (a - a.min()) / (a.max() - a.min())
    ),
    "The values are divided by the largest.": lambda a: a / a.max(),
    "The values are divided by the largest absolute value.": lambda a: a / np.abs(a).max(),
    "The values are divided by their sum.": lambda a: a / a.sum(),
    "The values are divided by their norm.": lambda a: a / np.sqrt((a * a).sum()),
}
"""What may have been done too much."""

UNDONE = {
    "The absolute value is missing: some signs are wrong.": np.abs,
    "Negative values should become 0.": lambda a: np.maximum(a, 0),
    "The logarithm is missing, or an exponential is too many.": np.log,
    "The values are not divided by their sum.": lambda a: a / a.sum(),
    "The values are not divided by their largest.": lambda a: a / a.max(),
    "The values are not scaled to the range from 0 to 1.": (
        lambda a: (a - a.min()) / (a.max() - a.min())
    ),
    "The values should be cut off at 0 and 1.": lambda a: a.clip(0, 1),
}
"""What may be missing."""


def _formulas(case) -> Iterator[str]:
    """A function of each value."""
    if _distinct(case.expected) < ENOUGH:
        return
    for said, change in FORMULAS.items():
        if case.got_is(change):
            yield said
    for said, change in UNDONE.items():
        if case.expected_is(change):
            yield said


def _softmax(a, axis):
    powers = np.exp(a - a.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _divided(a, reduce, axis):
    return a / reduce(a, axis, keepdims=True)


def _scales(case) -> Iterator[str]:
    """A normalization along one axis, done or not done."""
    if _distinct(case.expected) < ENOUGH:
        return
    for axis in range(case.dims):
        if case.got_is(_softmax, axis):
            yield f"There is a softmax too many, along axis {axis}."
        if case.expected_is(_softmax, axis):
            yield f"A softmax is missing, along axis {axis}."
        if case.got_is(_divided, np.sum, axis):
            yield f"The values are divided by their sum along axis {axis}."
        if case.expected_is(_divided, np.sum, axis):
            yield f"The values are not divided by their sum along axis {axis}."
        if case.expected_is(_divided, np.max, axis):
            yield f"The values are not divided by their largest along axis {axis}."


def _orders(case) -> Iterator[str]:
    """The right numbers at other places."""
    if not all(a.shape == b.shape for a, b in zip(case.expected, case.got)):
        return
    if _distinct(case.expected) < ENOUGH:
        return
    for order in _permutations(case):
        if case.got_is(np.transpose, order):
            yield f"The values are right, but {_exchanged(order)}."
        if case.got_is(_transposed_in_shape, order):
            yield (
                f"The values are right, but {_exchanged(order)}, and then brought into shape: "
                "`reshape` and `view` read row by row and exchange nothing; use `transpose` or "
                "`permute`."
            )
    for axis in range(case.dims):
        if case.got_is(np.flip, axis):
            side = _side(case, axis)
            yield f"The values are right, but in reverse order along axis {axis}{side}."
        for step, way in ((1, "far"), (-1, "early")):
            if _shifted(case, axis, step):
                yield f"Every value stands one place too {way} along axis {axis}."
    yield from _columns(case)
    if case.same(*([np.sort(a, None) for a in side] for side in (case.expected, case.got))):
        yield "The right values are all there, but in another order."


def _transposed_in_shape(a, order):
    return a.transpose(order).reshape(a.shape)


def _side(case, axis):
    """What turning an axis round does to a picture."""
    if case.dims < 2 or axis < case.dims - 2:
        return ""
    return ": upside down" if axis == case.dims - 2 else ": mirrored"


def _shifted(case, axis, step):
    """Whether each value stands one place further along an axis, whatever stands at the end."""

    def inner(a, start):
        return np.moveaxis(a, axis, 0)[slice(1, None) if start else slice(None, -1)]

    if any(a.ndim <= axis or a.shape[axis] < 3 for a in case.expected):
        return False
    later = step > 0
    return case.same(
        [inner(a, not later) for a in case.expected], [inner(a, later) for a in case.got]
    )


def _columns(case):
    """Items of every row, such as top, left, bottom, right, in another order."""
    width = case.expected[0].shape[-1] if case.expected[0].ndim else 0
    if not 2 <= width <= 4 or any(a.ndim == 0 or a.shape[-1] != width for a in case.expected):
        return
    for order in itertools.permutations(range(width)):
        if order != tuple(range(width)) and case.got_is(np.take, order, -1):
            yield (
                "The right numbers, but their order is another: "
                f"at the places 0 to {width - 1} stand those that belong to {order}."
            )


def _regions(case) -> Iterator[str]:
    """Right but for one kind of place."""
    if not all(a.shape == b.shape for a, b in zip(case.expected, case.got)):
        return
    wrong = [~_near(e, g, case.tolerance) for e, g in zip(case.expected, case.got)]
    if all(w.ndim >= 2 and min(w.shape[-2:]) > 4 for w in wrong):
        inside = [w[..., 1:-1, 1:-1].any() for w in wrong]
        if not any(inside):
            yield "Only values at the border are wrong."
    signs = [e[w] for e, w in zip(case.expected, wrong)]
    flat = np.concatenate([s.ravel() for s in signs])
    everything = np.concatenate([e.ravel() for e in case.expected])
    if case.items:  # each item is another quantity, and may have a sign of its own
        return
    if len(flat) >= ENOUGH and (everything > 0).sum() >= ENOUGH and (flat < 0).all():
        yield "Only values that should be negative are wrong."


# ---------------------------------------------------------------------------- other arguments


@dataclass
class Variant:
    """The reference's arguments with one thing changed, and what that means."""

    said: str
    changed: list[tuple]


def variants(reference: Callable, probes: list[tuple]) -> Iterator[Variant]:
    """Ways in which the arguments of all probes may have been mixed up.

    probes: copies that may be used up; the arguments of each variant share them
    """
    names = list(inspect.signature(reference).parameters)
    count = min(len(call) for call in probes)
    for place, name in enumerate(names[:count]):
        for said, change in _instead(name, [call[place] for call in probes]):
            yield Variant(said, [_set(call, place, change(call[place])) for call in probes])
    for one, other in itertools.combinations(range(count), 2):
        if all(_alike(call[one], call[other]) for call in probes):
            said = f"This is the answer with `{names[one]}` and `{names[other]}` exchanged."
            exchanged = [_set(_set(c, one, c[other]), other, c[one]) for c in probes]
            yield Variant(said, exchanged)
    yield from _highest_class(names, probes)


def _set(call, place, value):
    """The arguments of a call with another one at this place."""
    if isinstance(value, torch.Tensor) and not value.is_leaf:
        value = value.detach().requires_grad_()
    return (*call[:place], value, *call[place + 1 :])


def _instead(name, values):
    """(what is said, change) for each way in which this argument may have been used wrongly."""
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        yield f"This is the answer with `{name}` one too large.", lambda v: v + 1
        yield f"This is the answer with `{name}` one too small.", lambda v: v - 1
        for number in sorted({0, 1, *values}):
            said = (
                f"`{name}` is ignored: this is the answer with {number} in its place, every time."
            )
            yield said, lambda v, number=number: number
    elif all(isinstance(value, float) for value in values):
        for number in sorted({0.0, 1.0, *values}):
            yield _ignored(name, number), lambda v, number=number: number
        yield f"`{name}` should be one minus what you use.", lambda v: 1 - v
    elif all(isinstance(value, torch.Tensor) for value in values):
        if all(value.is_floating_point() for value in values):
            yield f"This is the answer with 0 in place of `{name}`.", torch.zeros_like
            yield f"The signs in `{name}` are lost on the way.", torch.abs
            yield f"`{name}` is taken with the wrong sign.", torch.neg
    elif all(isinstance(value, nn.Module) for value in values):
        yield (
            (
                f"A softmax stands between `{name}` and your answer: you use probabilities, and "
                "the scores (logits) are asked for."
            ),
            lambda v: nn.Sequential(v, nn.Softmax(1)),
        )
        yield (
            (
                f"You use logarithms of probabilities (log_softmax) where the scores of `{name}` "
                "are asked for."
            ),
            lambda v: nn.Sequential(v, nn.LogSoftmax(1)),
        )
        yield (
            "You add up the scores of all classes; one class is asked for.",
            lambda v: nn.Sequential(v, _Summed()),
        )


def _ignored(name, number):
    return f"`{name}` is ignored: this is the answer with {number:.4g} in its place, every time."


class _Summed(nn.Module):
    """The sum of all scores in place of each."""

    def forward(self, scores):
        return scores.sum(1, keepdim=True).expand_as(scores)


def _alike(a, b):
    """Whether two arguments could be taken for one another."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.ndim == b.ndim
    return type(a) is type(b) and isinstance(a, (int, float, np.ndarray, tuple, list))


def _highest_class(names, probes):
    """The network's own answer in place of the class that was asked for."""
    if not {"model", "x", "target"} <= set(names):
        return
    model, x, target = (names.index(name) for name in ("model", "x", "target"))
    try:
        with torch.no_grad():
            highest = [int(call[model](call[x])[0].argmax()) for call in probes]
    except Exception:  # a probe whose network fails
        return
    yield Variant(
        "You take the class with the highest score. The class that is asked for is `target`.",
        [_set(call, target, number) for call, number in zip(probes, highest)],
    )
