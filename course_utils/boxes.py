"""Boxes around what a heat map points at, and around objects.

box = box_from_map(heatmap, threshold=0.4)        # (top, left, bottom, right)
iou(box, box_of_mask(mask))                       # how well two boxes agree
"""

import math
from collections.abc import Iterable

import numpy as np
from scipy import ndimage
from torch import Tensor

from course_utils._arguments import check_number, checks_arguments
from course_utils.errors import shown

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels; bottom and right are the first row and column outside."""

EMPTY_BOX = (0, 0, 0, 0)

TOUCHING = np.ones((3, 3))
"""What is connected with the cell in the middle: corners count."""


@checks_arguments
def box_from_map(heatmap: Tensor, threshold: float) -> Box:
    """The box around the largest hot region of a map (H, W).

    threshold: in [0, 1], on the scale on which the map's smallest value is 0 and its largest is 1.
               What reaches it is hot; the largest connected region of that counts (cells that
               touch at a corner are connected; of equals, the uppermost).

    A map that is the same everywhere points nowhere: its box is (0, 0, 0, 0), which overlaps none.

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
    section 3.2 and their code, of which this is the definition without OpenCV.
    """
    return boxes_from_map(heatmap, [threshold])[0]


@checks_arguments
def boxes_from_map(heatmap: Tensor, thresholds: Iterable[float]) -> list[Box]:
    """`box_from_map` for each of several thresholds; the map is scaled only once."""
    values = heatmap.detach().cpu().double().numpy()
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"A heatmap has the shape (H, W), not {tuple(heatmap.shape)}.")
    thresholds = [check_number("threshold", threshold) for threshold in thresholds]
    for threshold in thresholds:
        if not 0 <= threshold <= 1:
            raise ValueError(f"The threshold lies between 0 and 1; got {threshold}.")
    low = values.min()
    span = values.max() - low
    if not np.isfinite(span):
        raise ValueError("The heatmap holds NaN or infinity, so it has no hottest region.")
    if span == 0:
        return [EMPTY_BOX] * len(thresholds)
    return [_box_of_largest(values - low >= threshold * span) for threshold in thresholds]


def _box_of_largest(hot):
    """The box of the largest connected region in (H, W) bool, which is not empty."""
    top, left, bottom, right = _box_around(hot)
    hot = hot[top:bottom, left:right]  # looking for regions takes long, so only where they are
    regions = np.zeros(hot.shape, dtype=np.int32)
    if ndimage.label(hot, TOUCHING, output=regions) == 1:
        return top, left, bottom, right
    largest = np.bincount(regions.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(regions)[largest]
    return top + rows.start, left + columns.start, top + rows.stop, left + columns.stop


@checks_arguments
def box_of_mask(mask: Tensor) -> Box:
    """The smallest box that holds everything that is True in a mask (H, W)."""
    if mask.dim() != 2:
        raise ValueError(f"A mask has the shape (H, W), not {tuple(mask.shape)}.")
    inside = mask.cpu().numpy().astype(bool)
    return _box_around(inside) if inside.any() else EMPTY_BOX


def _box_around(inside):
    """The smallest box that holds everything that is True in (H, W) bool, which is not empty."""
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


@checks_arguments
def iou(box: Box, other: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]: shared area by the area of both.

    Raises ValueError for what is no box of finite numbers, in the order of `Box`.
    """
    one, two = _sides(box), _sides(other)
    height = min(one[2], two[2]) - max(one[0], two[0])
    width = min(one[3], two[3]) - max(one[1], two[1])
    shared = max(height, 0) * max(width, 0)
    union = _area(one) + _area(two) - shared
    return shared / union if union else 0.0


def _sides(box):
    """The four sides as Python's numbers: small integers of other libraries would overflow."""
    sides = [check_number("box", side) for side in box]
    if len(sides) != 4 or not all(map(math.isfinite, sides)):
        raise ValueError(f"A box is (top, left, bottom, right), in pixels, not {shown(box)}.")
    if sides[2] < sides[0] or sides[3] < sides[1]:
        raise ValueError(
            f"A box is (top, left, bottom, right); {shown(box)} ends before it begins."
        )
    return sides


def _area(box):
    top, left, bottom, right = box
    return (bottom - top) * (right - left)
