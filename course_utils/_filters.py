"""Filters of pictures that several techniques share."""

import math

import torch
from torch import Tensor
from torch.nn import functional


def gaussian_blur(x: Tensor, sigma: float) -> Tensor:
    """x (N, C, H, W) smoothed by a Gaussian of `sigma` pixels; borders are continued.

    One axis after the other; the kernel ends after three sigma.
    """
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    weights = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (weights / weights.sum()).expand(x.shape[1], 1, -1)
    down = functional.pad(x, (0, 0, radius, radius), mode="replicate")
    x = functional.conv2d(down, kernel[..., None], groups=x.shape[1])
    across = functional.pad(x, (radius, radius, 0, 0), mode="replicate")
    return functional.conv2d(across, kernel[:, :, None], groups=x.shape[1])
