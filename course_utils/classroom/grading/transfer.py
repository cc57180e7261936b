"""What an answer returned, as bytes that are safe to read back, whoever wrote them.

A pickle would run the sender's code when it is read, so results leave the sandbox as a header of
JSON, with numbers, texts and lists as they are, followed by the bytes of the arrays. Anything else
becomes its type's name, which no reference equals. Nothing read here can take more than a small
multiple of its own size in memory.
"""

import json
import math
import re
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import torch

from course_utils.exercises.engine.calls import Outcome
from course_utils.exercises.engine.causes import Raised

DEPTH = 12
"""Lists in lists, at most; a list that contains itself has no end."""

LONGEST_TEXT = 2000
"""Characters of a text."""

LARGEST_HEADER = 4_000_000
"""Bytes of everything but arrays."""

LARGEST_NUMBER = 10**300
"""Beyond it, an integer stays at it: longer ones overflow a float, and take time to print."""

MOST_LINES = 1_000_000
"""The highest line number."""

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
)  # fmt: skip

_numpy = torch.Tensor.numpy  # this one, whatever an answer puts in its place


_MALFORMED = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
)  # fmt: skip
"""What bytes that nobody promised anything about can raise."""


class Unreadable(ValueError):
    """Bytes that are no result; the message is one clause."""


# ---------------------------------------------------------------------------- inside


def encode(outcomes: list[Outcome]) -> bytes:
    """The outcomes of an answer's calls, with all their fields, as bytes."""
    arrays = []
    header = json.dumps([_outcome(outcome, arrays) for outcome in outcomes]).encode()
    return b"".join([len(header).to_bytes(4), header, *arrays])


def _outcome(outcome, arrays):
    entry = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    raised = entry.pop("raised")
    encoded = {name: _value(value, arrays) for name, value in entry.items()}
    return encoded | {"raised": _raised(raised) if raised else None}


def _raised(raised):
    entry = {field.name: getattr(raised, field.name) for field in fields(raised)}
    number = int(entry.pop("number"))
    return {name: str(text)[:LONGEST_TEXT] for name, text in entry.items()} | {"number": number}


def _value(value, arrays, depth=0):
    if value is None or isinstance(value, (bool, int, float, str)):
        return _plain(value)
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        return _array(value, arrays)
    if isinstance(value, (list, tuple)) and depth < DEPTH:
        items = [_value(item, arrays, depth + 1) for item in value]
        return {"kind": "tuple" if isinstance(value, tuple) else "list", "items": items}
    if isinstance(value, dict) and depth < DEPTH:
        items = [[_value(part, arrays, depth + 1) for part in pair] for pair in value.items()]
        return {"kind": "dict", "items": items}
    return _foreign(value)


def _plain(value):
    """A number or text, also of a class of its own, as the built-in one."""
    if isinstance(value, str):
        return str(value)[:LONGEST_TEXT]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return max(-LARGEST_NUMBER, min(LARGEST_NUMBER, int(value)))
    return float(value)


def _foreign(value):
    return {"kind": "foreign", "name": type(value).__name__}


def _array(value, arrays):
    kind = "tensor" if isinstance(value, torch.Tensor) else "array"
    try:
        array = _as_numpy(value) if kind == "tensor" else np.asarray(value)
        data = np.ascontiguousarray(array).tobytes()
    except Exception:  # sparse, quantized, without data, or an answer's own kind of tensor
        return _foreign(value)
    if array.dtype.name not in DTYPES:
        return _foreign(value)
    arrays.append(data)
    return {"kind": kind, "dtype": array.dtype.name, "shape": list(array.shape), "bytes": len(data)}


def _as_numpy(tensor):
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    return _numpy(tensor.float() if tensor.dtype == torch.bfloat16 else tensor)


# ---------------------------------------------------------------------------- outside


def decode(content: str | bytes) -> list[Outcome]:
    """What `encode` wrote; raises Unreadable for anything else. Runs nobody's code."""
    content = content.encode(errors="replace") if isinstance(content, str) else content
    try:
        return _Reader(content).outcomes()
    except _MALFORMED as error:
        raise Unreadable(f"its results can't be read ({type(error).__name__})") from None


class _Reader:
    """Reads a header, and the arrays behind it one after the other."""

    def __init__(self, content):
        length = int.from_bytes(content[:4])
        if length > LARGEST_HEADER:
            raise ValueError("more than lists of numbers need")
        self.header, self.data = content[4 : 4 + length], memoryview(content)[4 + length :]

    def outcomes(self):
        outcomes = [self.outcome(entry) for entry in json.loads(self.header)]
        if self.data:
            raise ValueError("bytes that belong to nothing")
        return outcomes

    def outcome(self, entry):
        known = {field.name: field for field in fields(Outcome)}
        if entry.keys() != known.keys():
            raise ValueError("other fields than an outcome has")
        raised = None if entry["raised"] is None else _read_raised(entry["raised"])
        read: dict[str, Any] = {name: self.value(entry[name]) for name in known if name != "raised"}
        for name, value in read.items():
            if not _is_of_kind(known[name], value):
                raise ValueError("a field of another kind")
        return Outcome(**read | {"raised": raised, "changed": _without_braces(read["changed"])})

    def value(self, value, depth=0):
        if not isinstance(value, dict):
            return _read_plain(value)
        kind = value["kind"]
        if kind in ("tensor", "array"):
            array = self.array(value)
            return torch.from_numpy(array) if kind == "tensor" else array
        if kind in ("list", "tuple", "dict") and depth > DEPTH:
            raise ValueError("too deep")
        if kind in ("list", "tuple"):
            items = [self.value(item, depth + 1) for item in value["items"]]
            return items if kind == "list" else tuple(items)
        if kind == "dict":
            pairs = value["items"]
            return {self.value(k, depth + 1): self.value(v, depth + 1) for k, v in pairs}
        name = re.sub(r"\W", "", str(value["name"]))[:40]
        return type(name or "object", (), {})()  # an object of that name, and nothing else

    def array(self, value):
        dtype, shape, size = value["dtype"], value["shape"], value["bytes"]
        if dtype not in DTYPES or not all(_is_count(side) for side in (*shape, size)):
            raise ValueError("no shape or kind of array")
        if len(shape) > 32 or math.prod(shape) * np.dtype(dtype).itemsize != size:
            raise ValueError("a shape that doesn't fit its values")
        if size > len(self.data):
            raise ValueError("fewer values than were said")
        data, self.data = self.data[:size], self.data[size:]
        return np.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def _read_plain(value):
    if isinstance(value, list):
        raise ValueError("a bare list")
    return _plain(value)


def _read_raised(entry):
    number = entry["number"]
    texts = {
        field.name: str(entry[field.name])[:LONGEST_TEXT]
        for field in fields(Raised)
        if field.name != "number"
    }
    if not _is_count(number) or number > MOST_LINES:
        raise ValueError("no line number")
    return Raised(number=number, **texts)


def _is_count(number):
    return type(number) is int and 0 <= number < 2**62


def _is_of_kind(field, value):
    """Whether a field's value is of the kind of its default; one that is None fits any."""
    if field.default is MISSING or field.default is None:
        return True
    return type(value) is type(field.default)


def _without_braces(clause):
    """A clause in which braces hold nothing but the number of an argument."""
    return re.sub(r"\{(?!\d\})|(?<!\{\d)\}", "", clause)
