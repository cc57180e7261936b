"""Many copies of one thing, each as `copy.deepcopy` makes it, at a fraction of its time.

Every call gets arguments of its own, so most of what a check does is copying networks, and most of
that is Python going through the dicts of their layers. So those are pickled once, without tensors
and arrays, and each copy is read from there.
"""

import copy
import io
import pickle

import numpy as np
import torch
from torch import nn


class Copies:
    """Makes copies that share no memory with the original; a part that occurs twice is one part.

    The original must stay as it is.
    """

    def __init__(self, original: object):
        self._original = original
        self._parts = []
        self._frame = self._pickled()
        self._is_plain = _are_plain(self._parts)

    def _pickled(self):
        """The original but for its parts; None if it contains what can't be pickled."""
        file = io.BytesIO()
        try:
            _Writer(file, self._parts).dump(self._original)
        except Exception:  # lambdas and local classes, which deepcopy takes as they are
            return None
        return file.getvalue()

    def make(self) -> object:
        """The next copy."""
        if self._frame is None:
            return copy.deepcopy(self._original)
        memo = {}
        parts = [
            _quick_copy(part) if is_plain else copy.deepcopy(part, memo)
            for part, is_plain in zip(self._parts, self._is_plain)
        ]
        return _Reader(self._frame, parts).load()


class _Writer(pickle.Pickler):
    """Collects tensors and arrays instead of writing them."""

    def __init__(self, file, parts):
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.parts = parts
        self.places = {}

    def persistent_id(self, obj):
        if not isinstance(obj, (torch.Tensor, np.ndarray)):
            return None
        if id(obj) not in self.places:
            self.places[id(obj)] = len(self.parts)
            self.parts.append(obj)
        return self.places[id(obj)]


class _Reader(pickle.Unpickler):
    """Puts the copied parts where the others were."""

    def __init__(self, frame, parts):
        super().__init__(io.BytesIO(frame))
        self.parts = parts

    def persistent_load(self, pid):
        return self.parts[pid]


def _are_plain(parts):
    """For each part, whether all of it is its values and `requires_grad`.

    A tensor that shares its memory with another one is not: their copies share theirs.
    """
    owners = [part.untyped_storage().data_ptr() for part in parts if type(part) is torch.Tensor]
    return [
        _is_plain(part) and (type(part) is not torch.Tensor or _is_alone(part, owners))
        for part in parts
    ]


def _is_plain(part):
    return (
        type(part) in (torch.Tensor, nn.Parameter)
        and part.layout == torch.strided
        and part.device.type == "cpu"
        and part.is_leaf
        and part.grad is None
        and not part._backward_hooks
        and not vars(part)
        and part.is_contiguous()
    )


def _is_alone(tensor, owners):
    storage = tensor.untyped_storage()
    return storage.nbytes() == tensor.nbytes and owners.count(storage.data_ptr()) == 1


def _quick_copy(tensor):
    values = tensor.detach().clone()
    if type(tensor) is nn.Parameter:
        return nn.Parameter(values, tensor.requires_grad)
    return values.requires_grad_() if tensor.requires_grad else values
