"""Whatever an answer returned, as plain data: nothing in it can surprise who compares it.

Learners return all kinds of things: generators, sparse tensors, lists that contain themselves,
objects whose `==` raises. What leaves here is made of None, bool, int, float, str, list, tuple,
dict, dense tensors and NumPy arrays, all of them of exactly these types; everything else becomes a
`Foreign`, which has a name and a word of advice, and equals nothing.
"""

from functools import lru_cache

import numpy as np
import torch

DEPTH = 12
"""Lists in lists, at most; one that contains itself has no end."""

MOST_ITEMS = 50_000
"""Items of lists that are read; a list with itself in it, many times, has far more."""

MOST_BITS = 1000
"""Of a whole number; a longer one is no answer, and can't be printed everywhere."""

LARGEST = 2**28
"""Bytes of an array of which a copy is kept; a larger one stays as it is."""

KEPT_KINDS = "biufcU"
"""Kinds of NumPy's dtypes whose elements are plain."""


class Foreign:
    """In place of a value that no check can compare; its class has the value's own name."""

    advice = ""
    """What to do about it, as a sentence; "" if there is nothing to say."""


def read(value: object) -> tuple[object, list[torch.Tensor]]:
    """The value as plain data, and the tensors in it as they were.

    Never raises, whatever the value does when it is looked at.
    """
    reader = _Reader()
    try:
        return reader.read(value, 0), reader.tensors
    except _TooMany:
        return foreign(value, "It has far too many items; does it contain itself?"), []
    except Exception:
        return foreign(value), reader.tensors


def plain(value: object) -> object:
    """The value as plain data alone."""
    return read(value)[0]


def foreign(value: object, advice: str = "") -> Foreign:
    """What stands for a value of this type."""
    name = "".join(c for c in type(value).__name__ if c.isalnum() or c == "_") or "object"
    stand_in = _foreign_class(name)()
    stand_in.advice = advice
    return stand_in


@lru_cache
def _foreign_class(name):
    return type(name, (Foreign,), {})


def printable(text: str) -> str:
    """Text that every terminal and page can show: halves of characters become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


class _TooMany(Exception):
    """There are more items than any answer has."""


class _Reader:
    """Goes through a value once, and counts what it meets."""

    def __init__(self):
        self.left = MOST_ITEMS
        self.tensors = []

    def read(self, value, depth):
        self.left -= 1
        if self.left < 0:
            raise _TooMany
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float, str)):
            return _plain_scalar(value)
        if isinstance(value, torch.Tensor):
            self.tensors.append(value)
            return _plain_tensor(value)
        if isinstance(value, np.ndarray):
            return _plain_array(value)
        if isinstance(value, np.generic):
            known = value.dtype.kind in "biufU"
            return self.read(value.item(), depth) if known else foreign(value)
        if isinstance(value, (list, tuple, range, dict)):
            return self._container(value, depth)
        return foreign(value, ADVICE.get(type(value).__name__, ""))

    def _container(self, value, depth):
        if depth >= DEPTH:
            return foreign(value, "It is nested too deeply; does it contain itself?")
        if isinstance(value, dict):
            keys = [self._key(key) for key in dict.keys(value)]
            return dict(zip(keys, self._items(dict.values(value), depth)))
        kind = next(kind for kind in (list, tuple, range) if isinstance(value, kind))
        items = self._items(kind.__iter__(value), depth)
        return tuple(items) if kind is tuple else items

    def _items(self, items, depth):
        return [self.read(item, depth + 1) for item in items]

    def _key(self, key):
        """A key of a dict; a tensor is taken for the number that it holds."""
        key = self.read(key, DEPTH - 1)
        if isinstance(key, (torch.Tensor, np.ndarray)) and key.ndim == 0:
            return key.item()
        return key if isinstance(key, (type(None), bool, int, float, str, tuple)) else foreign(key)


def _plain_scalar(value):
    """A number or text, also one of a class of its own, as the built-in one."""
    if isinstance(value, str):
        return printable(str.__str__(value))
    if isinstance(value, float):
        return float.__add__(value, 0.0)
    number = int.__add__(value, 0)
    if number.bit_length() > MOST_BITS:
        digits = round(number.bit_length() * 0.30103)
        return foreign(value, f"It has about {digits} digits.")
    return number


def _plain_tensor(tensor):
    if type(tensor) is not torch.Tensor:
        with torch._C.DisableTorchFunctionSubclass():
            tensor = tensor.as_subclass(torch.Tensor)
    for odd, advice in (
        (tensor.is_quantized, "It is quantized: call .dequantize() on it."),
        (tensor.is_nested, "It is a nested tensor: stack tensors of one shape with torch.stack."),
        (tensor.layout != torch.strided, "It is a sparse tensor: call .to_dense() on it."),
    ):
        if odd:
            return foreign(tensor, advice)
    tensor = tensor.detach()
    if tensor.device.type != "meta" and tensor.numel() * tensor.element_size() <= LARGEST:
        tensor = tensor.resolve_conj().resolve_neg().clone()
    return tensor


def _plain_array(array):
    array = np.asarray(array)
    if array.dtype.kind not in KEPT_KINDS:
        advice = f"Its dtype is {array.dtype}: make an array of numbers, with .astype(float)."
        return foreign(array, printable(advice))
    return array.copy() if array.nbytes <= LARGEST else array


ADVICE = {
    **dict.fromkeys(
        "generator map zip filter enumerate reversed dict_values dict_keys dict_items".split(),
        "Put list(...) around it.",
    ),
    "Fraction": "Put float(...) around it.",
    "Decimal": "Put float(...) around it.",
    "set": "A set has no order: return a list.",
    "complex": "A complex number is none that was asked for.",
    "function": "Is there a pair of brackets missing, so that it is called?",
    "builtin_function_or_method": "Is there a pair of brackets missing, so that it is called?",
    "method": "Is there a pair of brackets missing, so that it is called?",
}
"""What to do about values of a type, by its name."""
