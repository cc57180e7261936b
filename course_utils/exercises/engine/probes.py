"""Parts that probes are made of: networks that fail or take few pictures, gradients asked for.

A probe is a tuple of arguments. It is copied for every call, so a call can't spoil the next one.
"""

from collections.abc import Callable, Collection

import torch
from torch import nn


class NetworkFailed(RuntimeError):
    """Raised by `Fails`."""


class TooManyAtOnce(RuntimeError):
    """Raised by `AtMost`."""


class Fails(nn.Module):
    """A layer that raises: put it at the end of a network to see what an answer leaves behind.

    Where an argument contains it, an answer may raise, and whatever it returns is passed over. Its
    hooks, modes and switches must be as they were all the same.
    """

    def forward(self, x):
        raise NetworkFailed("This network fails on purpose; nothing may stay behind on it.")


class AtMost(nn.Module):
    """A network that takes only so many pictures at once, as memory would have it.

    For exercises whose text forbids to make all copies of a picture at once.
    """

    def __init__(self, model: nn.Module, pictures: int):
        super().__init__()
        self.model = model
        self.pictures = pictures
        self.train(model.training)

    def forward(self, x):
        if len(x) > self.pictures:
            raise TooManyAtOnce(
                f"{len(x)} pictures at once. This network takes at most {self.pictures}, as a "
                "larger one would on a small computer: give it fewer, several times."
            )
        return self.model(x)


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
    return isinstance(argument, nn.Module) and any(
        isinstance(module, Fails) for module in argument.modules()
    )


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
