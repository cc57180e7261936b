"""The first way in which an answer differs from the expected one."""

import math
import numbers
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch

from course_utils.exercises.engine.values import Foreign

SHOWN = 3
"""Places of which the values are told."""

ORIGINS = "NaN comes of 0 / 0, of infinite numbers and of the mean of nothing."
"""Where to look for the cause of NaN."""


@dataclass
class Mismatch:
    """One difference between an answer and the expected one."""

    kind: str
    """"type", "shape", "dtype", "device", "NaN" or "values"."""
    told: str | Callable[[], str]
    """The message, or what makes it: that takes longer than to compare, and few are read."""
    got: np.ndarray | None = None
    expected: np.ndarray | None = None
    """The two arrays, where the values differ."""

    @property
    def message(self) -> str:
        """What was got and what was expected, in one sentence."""
        return self.told if isinstance(self.told, str) else self.told()


def difference(
    expected: object,
    got: object,
    tolerance: float = 1e-4,
    where: str = "",
    strict: Collection[str] = (),
) -> Mismatch | None:
    """Compares two answers, also nested ones -> the first mismatch, or None if they agree.

    expected: None, numbers, texts, tensors, arrays, and lists, tuples and dicts of them
    got:      the same kinds, or a `Foreign`, which agrees with nothing (see `values.plain`)
    where:    what the two are called in the message, "The answer" if nothing is given
    strict:   of these, what is refused as well: "integers", 8.0 where 8 is expected, and
              "precision", a tensor or array of float64 where one of float32 is

    Whole numbers agree if they are equal, others if they differ by no more than
    tolerance x (1 + |expected|). A list may stand for a tuple, an array or tensor for a list or
    tuple of its rows, a tensor for an array, one without dimensions for a number; integers of any
    width are fine, and so are single and double precision. Raises TypeError for an expected value
    of another kind.
    """
    expected, got = _without_dimensions(expected), _without_dimensions(got)
    family = _family(expected)
    if family is None:
        raise TypeError(f"Checks can't compare a {type(expected).__name__}.")
    if family == "sequence" and _family(got) in ("tensor", "array") and got.ndim:
        if len(got) != len(expected):
            return _wrong_length(expected, got, where)
        got = list(got)
    if family != _family(got) and (family, _family(got)) != ("array", "tensor"):
        return _wrong_type(expected, got, where)
    if family == "sequence":
        return _sequences(expected, got, tolerance, where, strict)
    if family == "dict":
        return _dicts(expected, got, tolerance, where, strict)
    if family in ("tensor", "array"):
        return _arrays(expected, got, tolerance, where, strict)
    if family == "number":
        return _numbers(expected, got, tolerance, where, strict)
    if expected != got:
        return Mismatch("values", f"{_place(where)} is {_text(got)}; expected {_text(expected)}.")
    return None


def _without_dimensions(value):
    """Tensors and arrays without dimensions as Python numbers; everything else as it is."""
    if isinstance(value, torch.Tensor) and value.ndim == 0 and value.device.type != "meta":
        return value.item()
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value


FAMILIES = {
    "tensor": torch.Tensor,
    "array": np.ndarray,
    "dict": dict,
    "sequence": (list, tuple),
    "text": str,
    "truth value": (bool, np.bool_),  # before numbers: Python's bool is one
    "number": numbers.Real,
    "None": type(None),
}


def _family(value):
    return _family_of(type(value))


@lru_cache
def _family_of(kind):
    return next((name for name, kinds in FAMILIES.items() if issubclass(kind, kinds)), None)


def _place(where):
    return where or "The answer"


def _describe(value):
    """A value's type as a learner would say it."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        kind = "tensor" if isinstance(value, torch.Tensor) else "NumPy array"
        return f"a {kind} of shape {tuple(value.shape)}"
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None:
        return "None"
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    return f"{article} {type(value).__name__}"


def _text(value):
    """A text or truth value as Python writes it, if it is not too long."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _wrong_type(expected, got, where):
    if got is None:
        message = f"{_place(where)} is None. Is there a `return` on every way out of the function?"
    else:
        message = f"{_place(where)} is {_describe(got)}; expected {_describe(expected)}."
    if isinstance(got, Foreign) and got.advice:
        message += f" {got.advice}"
    return Mismatch("type", message)


def _sequences(expected, got, tolerance, where, strict):
    if len(expected) != len(got):
        return _wrong_length(expected, got, where)
    for number, (a, b) in enumerate(zip(expected, got), 1):
        inner = f"Item {number}" + (f" of {where[0].lower()}{where[1:]}" if where else "")
        mismatch = difference(a, b, tolerance, inner, strict)
        if mismatch:
            return mismatch
    return None


def _wrong_length(expected, got, where):
    message = f"{_place(where)} has {_count(len(got), 'item')}; expected {len(expected)}."
    return Mismatch("shape", message)


def _count(number, noun):
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _dicts(expected, got, tolerance, where, strict):
    if set(expected) != set(got):
        message = f"{_place(where)} has the keys {_keys(got)}; expected {_keys(expected)}."
        return Mismatch("shape", message)
    for key in expected:
        mismatch = difference(expected[key], got[key], tolerance, f"The entry {key!r}", strict)
        if mismatch:
            return mismatch
    return None


def _keys(mapping):
    shown = ", ".join(_text(key) for key in list(mapping)[:6])
    return (shown or "of an empty dict") + (", ..." if len(mapping) > 6 else "")


def _numbers(expected, got, tolerance, where, strict):
    if math.isnan(got):
        if math.isnan(expected):
            return None
        message = f"{_place(where)} is NaN (not a number); expected {expected:.6g}. {ORIGINS}"
        return Mismatch("NaN", message)
    if isinstance(expected, int):
        if not isinstance(got, int) and ("integers" in strict or got != expected):
            kind = "type" if "integers" in strict else "values"
            message = f"{_place(where)} is {_number(got)}, {_describe(got)}; "
            return Mismatch(kind, f"{message}expected {_number(expected)}, an int.")
        if got == expected:
            return None
    elif _close(_float(expected), _float(got), tolerance):
        return None
    return Mismatch("values", f"{_place(where)} is {_number(got)}; expected {_number(expected)}.")


def _float(number):
    """As a NumPy number; infinite if it is too large for one."""
    try:
        return np.float64(number)
    except OverflowError:
        return np.float64(math.copysign(math.inf, number))


def _number(value):
    """A number as it is told: whole ones in full, others with six digits."""
    return f"{value}" if isinstance(value, int) and abs(value) < 10**15 else f"{_float(value):.6g}"


# ---------------------------------------------------------------------------- arrays


def _arrays(expected, got, tolerance, where, strict):
    place = _place(where)
    if tuple(expected.shape) != tuple(got.shape):
        message = f"{place} has the shape {tuple(got.shape)}; expected {tuple(expected.shape)}."
        return Mismatch("shape", message, *_both(expected, got))
    names = got.dtype, expected.dtype
    device = expected.device if isinstance(expected, torch.Tensor) else torch.device("cpu")
    if isinstance(got, torch.Tensor) and got.device.type != device.type:
        message = f"{place} is on the device {got.device}; expected {device}."
        return Mismatch("device", message)
    expected, got = as_array(expected), as_array(got)
    if not _dtypes_agree(expected, got, strict):
        message = f"{place} has the dtype {names[0]}; expected {names[1]}."
        return Mismatch("dtype", message, got, expected)
    if np.array_equal(expected, got):  # most are, and the rest takes many times as long
        return None
    return _values(expected, got, tolerance, place)


def _both(expected, got):
    """Got and expected as arrays, unless one is too large to be worth it or has no values."""
    empty = isinstance(got, torch.Tensor) and got.device.type == "meta"
    if empty or math.prod(got.shape) > 10**7:
        return None, None
    return as_array(got), as_array(expected)


def as_array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    """A tensor as a NumPy array; an array as it is."""
    if isinstance(values, np.ndarray):
        return values
    tensor = values.detach().cpu()
    if tensor.dtype.is_floating_point and tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor.numpy()


def _dtypes_agree(expected, got, strict):
    """Whether an array has a fitting dtype; its values are another matter."""
    wanted, given = ("i" if a.dtype.kind == "u" else a.dtype.kind for a in (expected, got))
    if wanted == "i" and given == "f" and "integers" not in strict:
        return True
    if wanted == given == "f" and "precision" in strict and expected.itemsize != got.itemsize:
        return False
    return wanted == given


def _values(expected, got, tolerance, place):
    if expected.dtype.kind not in "biufc":  # texts and other things have no distance
        wrong = expected != got
    else:
        if expected.dtype.kind in "fc" or got.dtype.kind in "fc":
            not_numbers = np.isnan(got) & ~np.isnan(expected)
            if not_numbers.any():
                share = f"{not_numbers.sum():,} of {_count(not_numbers.size, 'value')}"
                return Mismatch("NaN", f"{place} has NaN (not a number) in {share}. {ORIGINS}")
        exact = expected.dtype.kind in "biu"
        wrong = expected != got if exact else ~_close(expected, got, tolerance)
    if not wrong.any():
        return None
    told = partial(_told_values, expected, got, wrong, place)
    return Mismatch("values", told, got, expected)


def _told_values(expected, got, wrong, place):
    message = f"{place} has {_count(wrong.sum(), 'wrong value')} of {wrong.size:,}: "
    places = _worst_places(wrong, expected, got)
    told = [f"at {_index(p)} got {_value(got[p])}, expected {_value(expected[p])}" for p in places]
    return f"{message}{'; '.join(told)}.{_from_nan(got)}"


def _worst_places(wrong, expected, got):
    """The first wrong place, the worst one and the last, each once, in this order."""
    flat = np.flatnonzero(wrong)
    distance = wrong.astype(np.float64)
    if expected.dtype.kind in "biufc":
        with np.errstate(invalid="ignore"):
            distance = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    worst = int(np.argmax(np.where(wrong, np.nan_to_num(distance, posinf=np.inf), -1)))
    chosen = dict.fromkeys([int(flat[0]), worst, int(flat[-1])])
    return [np.unravel_index(place, wrong.shape) for place in list(chosen)[:SHOWN]]


def _from_nan(got):
    """What an impossible whole number probably was."""
    if got.dtype.kind == "i" and (got == np.iinfo(got.dtype).min).any():
        smallest = np.iinfo(got.dtype).min
        return f" {smallest} is what NaN becomes as a whole number: is something divided by 0?"
    return ""


def _close(expected, got, tolerance):
    """Element by element; NaN equals NaN, and infinity itself."""
    wide = np.complex128 if "c" in (expected.dtype.kind, got.dtype.kind) else np.float64
    expected, got = expected.astype(wide), got.astype(wide)
    with np.errstate(invalid="ignore"):
        near = np.abs(got - expected) <= tolerance * (1 + np.abs(expected))
    near &= np.isfinite(expected)  # or anything would be near to infinity
    return near | (np.isnan(expected) & np.isnan(got)) | (expected == got)


def _index(position):
    return "[" + ", ".join(str(int(i)) for i in position) + "]"


def _value(value):
    return f"{value:.5g}" if isinstance(value, np.floating) else f"{value}"
