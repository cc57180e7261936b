"""The places that a claim can mean, as masks; a claim's own mask is taken for the nearest one."""

import torch
from torch import Tensor

from course_utils.audit.cases import SIZE

RIM = 2
"""Pixels from the edge that make the rim."""

NAMES = (
    "top left corner",
    "top right corner",
    "bottom left corner",
    "bottom right corner",
    "rim",
    "object",
    "backdrop",
    "everywhere",
)


def place(name: str, masks: Tensor) -> Tensor:
    """Where a place is in pictures whose objects are at `masks` (N, 64, 64): (N, 64, 64) bool.

    name: one of `NAMES`; raises ValueError for any other
    """
    if name not in NAMES:
        raise ValueError(f"There is no place {name!r}; there are: {', '.join(NAMES)}.")
    if name == "object":
        return masks.clone()
    if name == "backdrop":
        return ~masks
    if name == "everywhere":
        return torch.ones_like(masks)
    fixed = torch.zeros(masks.shape[1:], dtype=torch.bool)
    if name == "rim":
        fixed[:] = True
        fixed[RIM:-RIM, RIM:-RIM] = False
    else:
        fixed[corner(name)] = True
    return fixed.expand(masks.shape).clone()


def corner(name: str) -> tuple[slice, slice]:
    """Rows and columns of the 5 x 9 pixels near a corner in which labels are stuck."""
    rows = slice(SIZE - 7, SIZE - 2) if name.startswith("bottom") else slice(2, 7)
    columns = slice(SIZE - 11, SIZE - 2) if "right" in name else slice(2, 11)
    return rows, columns


def nearest(where: Tensor, masks: Tensor) -> tuple[str, float]:
    """The place that a mask overlaps best, and the overlap (mean IoU over the pictures).

    where: (N, 64, 64) bool; masks: (N, 64, 64) bool, where the objects are

    So "everywhere" is never taken for the backdrop, however small the objects are.
    """
    overlaps = {name: _iou(where, place(name, masks)) for name in NAMES}
    best = max(overlaps, key=lambda name: overlaps[name])
    return best, overlaps[best]


def _iou(one, other):
    both = (one & other).sum((1, 2))
    either = (one | other).sum((1, 2))
    return (both / either.clamp(min=1)).double().mean().item()
