"""Parts that probes are made of: networks that fail or have little memory, gradients asked for.

A probe is a tuple of arguments. It is copied for every call, so a call can't spoil the next one,
and pickled for the grader's sandbox, where the modules with the references are missing. So every
class of which a probe is made stands here.
"""

import weakref
from collections.abc import Callable, Collection

import torch
from torch import nn


class NetworkFailed(RuntimeError):
    """Raised by `Fails`."""


class TooManyAtOnce(RuntimeError):
    """Raised by `LittleMemory`."""


class Fails(nn.Module):
    """A layer that raises: put it at the end of a network to see what an answer leaves behind.

    Where an argument contains it, an answer may raise, and whatever it returns is passed over. Its
    hooks, modes and switches must be as they were all the same.
    """

    def forward(self, x):
        raise NetworkFailed("This network fails on purpose; nothing may stay behind on it.")


class LittleMemory(nn.Module):
    """A network that fails where too many of the pictures it was ever given are still in memory.

    most:  how many, the size of the present ones being the measure
    batch: how many it takes at a time; without it, as many as there is memory for
    For exercises whose text forbids to make all copies of a picture at once.
    """

    def __init__(self, model: nn.Module, most: int, batch: int | None = None):
        super().__init__()
        self.model = model
        self.most = most
        self.batch = batch or most
        self.given = {}
        self.train(model.training)

    def forward(self, x):
        memory = x.untyped_storage()
        self.given[memory.data_ptr()] = weakref.ref(x), memory.nbytes()
        alive = [size for picture, size in self.given.values() if picture() is not None]
        if sum(alive) > self.most * x[0].nbytes or len(x) > self.batch:
            raise TooManyAtOnce(
                "Too many covered copies are in memory at once; with larger pictures no computer "
                "has room for them. Make each copy when it is needed, without a graph, and keep "
                "nothing but its score."
            )
        return self.model(x)


class Branching(nn.Module):
    """A small network that is no sequence of its parts. All its maps have three channels."""

    def __init__(self, ending: nn.Module):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True), nn.Tanh())
        self.head = nn.Sequential(nn.Conv2d(3, 3, 2), ending)

    def forward(self, x):
        start = self.stem(x)
        return self.head(start + 2 * self.body(start))


def middling_class(scores: torch.Tensor, taken: Collection[int] = ()) -> int:
    """A class that is not the likeliest by its scores (C,), and none of those taken before.

    So that no draw makes a class that is fixed, or the highest, come out right in every probe.
    """
    order = scores.argsort().tolist()[:-1]
    return next(number for number in order[::-1] if number not in taken)


def contains_failure(argument: object) -> bool:
    """Whether an argument is, or a list of arguments contains, a network that fails."""
    if isinstance(argument, (list, tuple)):
        return any(contains_failure(item) for item in argument)
    if not isinstance(argument, nn.Module):
        return False
    # by name: in the grader's sandbox a probe's classes come from another copy of this module
    return any(type(module).__name__ == Fails.__name__ for module in argument.modules())


def with_gradients(
    probes: Callable, names: Collection[str], parameters: Collection[str]
) -> Callable:
    """The same probes, with arguments that require a gradient: those of these names."""
    chosen = [name in names for name in parameters]

    def differentiable(random):
        return [
            tuple(_leaf(argument) if wanted else argument for argument, wanted in zip(call, chosen))
            for call in probes(random)
        ]

    return differentiable


def _leaf(argument):
    if isinstance(argument, torch.Tensor) and argument.is_floating_point():
        return argument.detach().clone().requires_grad_()
    return argument
