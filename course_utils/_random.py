"""Seeded random numbers that are the same whatever torch's default precision is."""

import torch
from torch import Tensor


def uniform(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Numbers drawn evenly from [0, 1), float32, on the CPU."""
    return torch.rand(shape, generator=generator, dtype=torch.float32)


def gaussian(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Numbers from the normal distribution with mean 0 and variance 1, float32, on the CPU."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)
