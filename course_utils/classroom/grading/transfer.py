"""What an answer returned, as text that is safe to read back, whoever wrote it.

A pickle would run the sender's code when it is read, so results leave the sandbox as JSON: numbers,
texts and lists as they are, arrays as their bytes. Anything else becomes its type's name, which no
reference equals.
"""

import base64
import json

import numpy as np
import torch

from course_utils.exercises.engine.calls import Outcome
from course_utils.exercises.engine.causes import Raised

DEPTH = 12
"""Lists in lists, at most; a list that contains itself has no end."""

LONGEST = 2000
"""Characters of an error's message."""

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


class Unreadable(ValueError):
    """Text that is no result; the message is one clause."""


# ---------------------------------------------------------------------------- inside


def encode(outcomes: list[Outcome]) -> str:
    """The outcomes of an answer's calls as one line of JSON."""
    return json.dumps([_outcome(outcome) for outcome in outcomes], allow_nan=True)


def _outcome(outcome):
    raised = None
    if outcome.raised:
        raised = {
            k: v if k == "number" else str(v)[:LONGEST] for k, v in vars(outcome.raised).items()
        }
    return {"value": _value(outcome.value), "raised": raised, "changed": outcome.changed}


def _value(value, depth=0):
    if value is None or isinstance(value, (bool, int, float, str)):
        return value if type(value) in (type(None), bool, int, float, str) else _plain(value)
    if isinstance(value, torch.Tensor):
        return {"kind": "tensor", **_array(_as_numpy(value))}
    if isinstance(value, (np.ndarray, np.generic)):
        return {"kind": "array", **_array(np.asarray(value))}
    if isinstance(value, (list, tuple)) and depth < DEPTH:
        items = [_value(item, depth + 1) for item in value]
        return {"kind": "tuple" if isinstance(value, tuple) else "list", "items": items}
    if isinstance(value, dict) and depth < DEPTH:
        items = [[_value(k, depth + 1), _value(v, depth + 1)] for k, v in value.items()]
        return {"kind": "dict", "items": items}
    return {"kind": "foreign", "name": type(value).__name__}


def _plain(value):
    """A number or text of a class of its own, as the built-in one."""
    kind = next(kind for kind in (bool, int, float, str) if isinstance(value, kind))
    return kind(value)


def _as_numpy(tensor):
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _array(array):
    if array.dtype.name not in DTYPES:
        return {"dtype": "foreign", "shape": list(array.shape), "data": ""}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": data}


# ---------------------------------------------------------------------------- outside


def decode(text: str | bytes) -> list[Outcome]:
    """What `encode` wrote; raises Unreadable for anything else. Runs nobody's code."""
    try:
        return [_read_outcome(entry) for entry in json.loads(text)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Unreadable(f"its results can't be read ({type(error).__name__})") from None


def _read_outcome(entry):
    raised = entry["raised"]
    if raised is not None:
        texts = {name: str(raised[name])[:LONGEST] for name in ("type", "message", "line", "cause")}
        raised = Raised(number=int(raised["number"]), **texts)
    changed = str(entry["changed"])[:LONGEST]
    return Outcome(_read_value(entry["value"]), raised, changed)


def _read_value(value):
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise ValueError("a bare list")
        return value
    kind = value["kind"]
    if kind in ("list", "tuple"):
        items = [_read_value(item) for item in value["items"]]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {_read_value(k): _read_value(v) for k, v in value["items"]}
    if kind in ("tensor", "array") and value["dtype"] in DTYPES:
        array = _read_array(value)
        return torch.from_numpy(array) if kind == "tensor" else array
    name = "".join(c for c in str(value.get("name", kind)) if c.isalnum() or c == "_")[:40]
    return type(name or "object", (), {})()  # an object of that name, and nothing else


def _read_array(value):
    data = base64.b64decode(value["data"], validate=True)
    shape = [int(side) for side in value["shape"]]
    if any(side < 0 for side in shape):
        raise ValueError("a negative shape")
    return np.frombuffer(data, dtype=value["dtype"]).reshape(shape).copy()
