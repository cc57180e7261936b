"""The first way in which an answer differs from the expected one."""

import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Mismatch:
    """One difference between an answer and the expected one."""

    kind: str
    """"type", "shape", "dtype", "device", "NaN" or "values"."""
    message: str
    """What was got and what was expected, in one sentence."""
    got: np.ndarray | None = None
    expected: np.ndarray | None = None
    """The two arrays, where the values differ."""


def difference(expected, got, tolerance: float = 1e-4, where: str = "") -> Mismatch | None:
    """Compares two answers, also nested ones -> the first mismatch, or None if they agree.

    Numbers agree if they differ by no more than tolerance x (1 + |expected|). A list may stand for
    a tuple, and a tensor or array without dimensions for a number; single and double precision
    are both fine. Raises TypeError for an expected value of a kind that can't be compared.
    """
    expected, got = _plain(expected), _plain(got)
    family = _family(expected)
    if family is None:
        raise TypeError(f"Checks can't compare a {type(expected).__name__}.")
    if family != _family(got):
        return _wrong_type(expected, got, where)
    if family == "sequence":
        return _sequences(expected, got, tolerance, where)
    if family == "dict":
        return _dicts(expected, got, tolerance, where)
    if family in ("tensor", "array"):
        return _arrays(expected, got, tolerance, where)
    if family == "number":
        return _numbers(expected, got, tolerance, where)
    if expected != got:
        return Mismatch("values", f"{_place(where)} is {got!r}; expected {expected!r}.")
    return None


def _plain(value):
    """Tensors and arrays without dimensions as Python numbers; everything else as it is."""
    if isinstance(value, (torch.Tensor, np.ndarray)) and value.ndim == 0:
        return value.item()
    return value.item() if isinstance(value, np.generic) else value


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
    return next((name for name, kind in FAMILIES.items() if isinstance(value, kind)), None)


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


def _wrong_type(expected, got, where):
    if got is None:
        message = f"{_place(where)} is None. Is there a `return` on every way out of the function?"
    else:
        message = f"{_place(where)} is {_describe(got)}; expected {_describe(expected)}."
    return Mismatch("type", message)


def _sequences(expected, got, tolerance, where):
    if len(expected) != len(got):
        message = f"{_place(where)} has {len(got)} items; expected {len(expected)}."
        return Mismatch("shape", message)
    for number, (a, b) in enumerate(zip(expected, got), 1):
        inner = f"Item {number}" + (f" of {where[0].lower()}{where[1:]}" if where else "")
        mismatch = difference(a, b, tolerance, inner)
        if mismatch:
            return mismatch
    return None


def _dicts(expected, got, tolerance, where):
    if set(expected) != set(got):
        message = f"{_place(where)} has the keys {_keys(got)}; expected {_keys(expected)}."
        return Mismatch("shape", message)
    for key in expected:
        mismatch = difference(expected[key], got[key], tolerance, f"The entry {key!r}")
        if mismatch:
            return mismatch
    return None


def _keys(mapping):
    shown = ", ".join(repr(key) for key in list(mapping)[:6])
    return (shown or "of an empty dict") + (", ..." if len(mapping) > 6 else "")


def _numbers(expected, got, tolerance, where):
    if isinstance(expected, int) and not isinstance(got, int):
        return Mismatch("type", f"{_place(where)} is {_describe(got)}; expected an int.")
    if math.isnan(got) and not math.isnan(expected):
        return Mismatch("NaN", f"{_place(where)} is NaN (not a number); expected {expected:.6g}.")
    if _close(np.float64(expected), np.float64(got), tolerance):
        return None
    return Mismatch("values", f"{_place(where)} is {got:.6g}; expected {expected:.6g}.")


# ---------------------------------------------------------------------------- arrays


def _arrays(expected, got, tolerance, where):
    place = _place(where)
    if tuple(expected.shape) != tuple(got.shape):
        message = f"{place} has the shape {tuple(got.shape)}; expected {tuple(expected.shape)}."
        return Mismatch("shape", message)
    if isinstance(expected, torch.Tensor):
        if expected.device.type != got.device.type:
            message = f"{place} is on the device {got.device}; expected {expected.device}."
            return Mismatch("device", message)
        names = str(got.dtype), str(expected.dtype)
        expected, got = _to_numpy(expected), _to_numpy(got)
    else:
        names = str(got.dtype), str(expected.dtype)
    if expected.dtype.kind != got.dtype.kind:
        return Mismatch("dtype", f"{place} has the dtype {names[0]}; expected {names[1]}.")
    return _values(expected, got, tolerance, place)


def _to_numpy(tensor):
    tensor = tensor.detach().cpu()
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.numpy()


def _values(expected, got, tolerance, place):
    if expected.dtype.kind not in "biufc":  # texts and other things have no distance
        wrong = expected != got
        distance = wrong.astype(float)
    else:
        if expected.dtype.kind in "fc":
            not_numbers = np.isnan(got) & ~np.isnan(expected)
            if not_numbers.any():
                share = f"{not_numbers.sum():,} of {not_numbers.size:,} values"
                return Mismatch("NaN", f"{place} has NaN (not a number) in {share}.")
        wrong = ~_close(expected, got, tolerance)
        with np.errstate(invalid="ignore"):
            distance = np.abs(got.astype(np.float64) - expected.astype(np.float64))
    if not wrong.any():
        return None
    worst = np.unravel_index(np.argmax(np.where(wrong, distance, -1)), wrong.shape)
    message = (
        f"{place} has {wrong.sum():,} wrong values of {wrong.size:,}. The largest difference is at "
        f"{_index(worst)}: got {_value(got[worst])}, expected {_value(expected[worst])}."
    )
    return Mismatch("values", message, got, expected)


def _close(expected, got, tolerance):
    """Element by element; NaN equals NaN, and infinity itself."""
    with np.errstate(invalid="ignore"):
        near = np.abs(got.astype(np.float64) - expected.astype(np.float64)) <= tolerance * (
            1 + np.abs(expected.astype(np.float64))
        )
        both_nan = np.isnan(expected.astype(np.float64)) & np.isnan(got.astype(np.float64))
    return near | both_nan | (expected == got)


def _index(position):
    return "[" + ", ".join(str(int(i)) for i in position) + "]"


def _value(value):
    return f"{value:.5g}" if isinstance(value, np.floating) else f"{value}"
