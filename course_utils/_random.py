"""Seeded random numbers that are the same whatever torch's default precision is."""

import torch
from torch import Tensor

from course_utils.errors import check_seed


def seeded_generator(seed: int) -> torch.Generator:
    """Where random numbers come from that depend on nothing but `seed`.

    Raises ValueError for what is no seed.
    """
    return torch.Generator().manual_seed(check_seed(seed))


def uniform(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Numbers drawn evenly from [0, 1), float32, on the CPU."""
    return torch.rand(shape, generator=generator, dtype=torch.float32)


def gaussian(*shape: int, generator: torch.Generator | None) -> Tensor:
    """Numbers from the normal distribution with mean 0 and variance 1, float32, on the CPU."""
    return torch.randn(shape, generator=generator, dtype=torch.float32)
