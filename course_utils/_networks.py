"""What every technique does with a network before it looks inside, and undoes afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """While it lasts, every module is in eval mode; then each has its own mode again.

    In training mode, dropout and batch norm would make the answer for a picture depend on chance
    and on the other pictures of its batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
