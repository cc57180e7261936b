"""Maps from masks: random ones that are averaged (RISE), and one that is learned.

    heatmap = rise(classifier, x, target, baseline, count=1000)     # (H, W)
    heatmap = learned_mask(classifier, x, target, baseline)         # (H, W) in [0, 1]

A mask (H, W) is 1 where the picture shows and 0 where the baseline does. Both work with the class's
softmax probability, as their authors do; x and baseline are one preprocessed picture each,
(1, 3, H, W). Masks run `batch` at a time, so memory does not grow with their number. A probability
that is NaN raises ValueError.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from course_utils._arguments import checks_arguments
from course_utils._networks import (
    Ready,
    check_pair,
    class_indices,
    gradients_of,
    in_double,
    in_full,
    looks_inside,
)
from course_utils._random import seeded_generator, uniform
from course_utils.errors import check_count, check_not_negative, check_positive

BATCH = 8
"""Pictures at a time: on a CPU, larger batches fall out of its cache and take longer."""

# ---------------------------------------------------------------------------- RISE


@checks_arguments
def random_masks(
    height: int,
    width: int,
    count: int,
    cells: int = 7,
    share: float = 0.5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Smooth random masks (count, height, width) in [0, 1].

    Each is a grid of cells x cells, where a cell is 1 with probability `share`, else 0, enlarged
    bilinearly by a cell more than the picture and cut out at a random place.

    Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
    BMVC 2018, section 3.2.
    """
    for name, number in {"height": height, "width": width, "count": count, "cells": cells}.items():
        check_count(name, number)
    if not 0 < share < 1:
        raise ValueError(f"share={share}: it lies between 0 and 1, without them.")
    if cells > min(height, width):
        raise ValueError(f"cells={cells}: more than the {height} x {width} pixels have room for.")
    high, wide = -(-height // cells), -(-width // cells)
    size = ((cells + 1) * high, (cells + 1) * wide)
    masks = []
    for _ in range(count):  # one after the other, so that it doesn't matter how many at a time
        grid = (uniform(1, 1, cells, cells, generator=generator) < share).float()
        top = int(torch.randint(high, (1,), generator=generator))
        left = int(torch.randint(wide, (1,), generator=generator))
        large = functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)
        masks.append(large[0, 0, top : top + height, left : left + width])
    return torch.stack(masks).clamp(0, 1)  # rounding goes beyond


@looks_inside
def rise(
    model: nn.Module,
    x: Tensor,
    target: int,
    baseline: Tensor,
    count: int = 1000,
    cells: int = 7,
    share: float = 0.5,
    seed: int = 0,
    batch: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """How probable the class is on average while a pixel shows, (H, W).

    The mean of the probability over `count` random masks, each weighted by how much of the pixel it
    shows. Petsiuk et al. (see `random_masks`), equation 6, divide by the weights' expectation; we
    divide by their sum, so that a pixel that happens to show more often does not look important.
    """
    check_pair(x, baseline)
    check_count("count", count)
    check_count("batch", batch)
    network = Ready(model)
    height, width = x.shape[2:]
    generator = seeded_generator(seed)
    total = torch.zeros(height, width, dtype=torch.float64)
    shown = torch.zeros_like(total)
    with torch.no_grad(), tqdm(total=count, disable=not progress, desc="RISE", unit="mask") as bar:
        for start in range(0, count, batch):
            size = min(batch, count - start)
            masks = random_masks(height, width, size, cells, share, generator)
            found = _probabilities(network, blend(x, baseline, masks.to(x)), target)
            masks = in_double(masks.to(x.dtype))
            total += torch.einsum("n,nhw->hw", in_double(found), masks)
            shown += masks.sum(0)
            bar.update(size)
    return (total / shown.clamp(min=1e-12)).to(x.device, x.dtype)


# ---------------------------------------------------------------------------- learned


@looks_inside
def learned_mask(
    model: nn.Module,
    x: Tensor,
    target: int,
    baseline: Tensor,
    cells: int = 16,
    steps: int = 100,
    area: float = 0.5,
    smoothness: float = 0.5,
    rate: float = 0.1,
    progress: bool = False,
) -> Tensor:
    """How much of each pixel must go until the class is gone, (H, W) in [0, 1].

    Adam looks for a small and smooth region whose exchange for the baseline makes the class
    improbable: the least of

        probability + area * (mean of what goes) + smoothness * (mean cubed step to neighbours)

    cells:      the mask has cells x cells values, enlarged bilinearly: fewer of them can't draw the
                fine patterns to which networks are sensitive
    steps:      of Adam, with the step size `rate`; the search begins with half of everything gone
    baseline:   what shows instead, best a blurred copy of the picture

    Fong and Vedaldi, "Interpretable Explanations of Black Boxes by Meaningful Perturbation",
    ICCV 2017, section 4. Without their jitter and noise.
    """
    check_pair(x, baseline)
    check_count("cells", cells)
    check_count("steps", steps)
    check_not_negative(area=area, smoothness=smoothness)
    check_positive(rate=rate)
    network = Ready(model)
    with torch.enable_grad():
        single = torch.promote_types(x.dtype, torch.float32)  # in half, Adam divides by zero
        gone = torch.full((1, 1, cells, cells), 0.5, dtype=single, device=x.device)
        gone.requires_grad_()
        optimizer = torch.optim.Adam([gone], lr=rate)
        for _ in tqdm(range(steps), disable=not progress, desc="learning a mask", unit="step"):
            mask = (1 - _enlarged(gone, x)).to(x.dtype)
            probability = _probabilities(network, blend(x, baseline, mask), target).sum()
            loss = probability + area * gone.mean() + smoothness * _roughness(gone)
            (gradient,) = gradients_of(loss, gone)
            gone.grad = gradient
            optimizer.step()
            gone.data.clamp_(0, 1)
    return _enlarged(gone.detach(), x)[0]


def _enlarged(grid, x):
    """A grid (1, 1, h, w) as large as the picture, (1, H, W)."""
    size = x.shape[2:]
    return functional.interpolate(grid, size=size, mode="bilinear", align_corners=False)[0]


def _roughness(grid):
    """The mean cubed difference of neighbours: the paper's total variation with beta = 3."""
    steps = [grid.diff(dim=dim).abs() ** 3 for dim in (2, 3)]
    return sum(step.sum() for step in steps) / grid.numel()


# ---------------------------------------------------------------------------- what they share


@checks_arguments
def blend(x: Tensor, baseline: Tensor, masks: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) that show x where a mask (N, H, W) is 1, the baseline where it is 0."""
    if masks.dim() != 3 or baseline.shape[-3:] != x.shape[-3:] or masks.shape[1:] != x.shape[-2:]:
        raise ValueError(
            f"Masks (N, H, W) must be as large as the pictures, but x, the baseline and the masks"
            f" are {tuple(x.shape)}, {tuple(baseline.shape)} and {tuple(masks.shape)}."
        )
    return baseline + masks[:, None] * (x - baseline)


def _probabilities(network, pictures, target):
    scores = network.scores(pictures)
    found = in_full(scores).softmax(1).gather(1, class_indices(target, scores)[:, None])[:, 0]
    if found.isnan().any():
        raise ValueError("The probability is NaN (not a number): look at x and the weights.")
    return found
