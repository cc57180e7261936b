"""What every technique does with a network before it looks inside, and undoes afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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


def class_indices(target: int | Tensor, scores: Tensor) -> Tensor:
    """The class index of each picture, (N,), checked against the scores (N, C).

    target: one class index for all pictures, or one for each, (N,)
    """
    if scores.dim() != 2:
        raise ValueError(f"The model must return scores (N, C), not {tuple(scores.shape)}.")
    count, classes = scores.shape
    targets = torch.as_tensor(target, device=scores.device)
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"A target is a class index, a whole number; got {target}.")
    if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != count):
        raise ValueError(
            f"Give one target, or one for each of the {count} pictures; got the shape"
            f" {tuple(targets.shape)}."
        )
    if targets.numel() and not (0 <= targets.min() and targets.max() < classes):
        raise ValueError(f"The targets are 0 to {classes - 1}, one for each class; got {target}.")
    return targets.long().expand(count)
