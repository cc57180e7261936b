"""Sly wrong answers of notebook 7."""

import numpy as np
from scipy import ndimage

from course_utils.exercises import cam_localization as check
from sly_answers import sly

# ---------------------------------------------------------------------------- boxes


def _box(regions, weights=None):
    largest = np.bincount(regions.ravel(), weights)[1:].argmax()
    rows, columns = ndimage.find_objects(regions)[largest]
    return rows.start, columns.start, rows.stop, columns.stop


def _regions(hot):
    return ndimage.label(np.asarray(hot), np.ones((3, 3)))[0]


def _scaled(heatmap):
    return (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())


@sly("largest_box", breaks="the threshold's scale", told="a quantile, which counts pixels")
def above_a_quantile(heatmap, threshold):
    return _box(_regions(heatmap >= heatmap.quantile(threshold)))


@sly("largest_box", breaks='"the largest has the most pixels"', told="have the largest sum")
def with_the_most_heat(heatmap, threshold):
    regions = _regions(_scaled(heatmap) >= threshold)
    return _box(regions, _scaled(heatmap).numpy().ravel())


@sly("largest_box", breaks='"the map\'s smallest value is 0"', told="cut negative values off")
def without_negative_values(heatmap, threshold):
    positive = heatmap.clamp(min=0)
    if positive.max() == 0:
        return 0, 0, *heatmap.shape
    return _box(_regions(_scaled(positive) >= threshold))


@sly("largest_box", breaks='"what reaches it is hot"', told="just reaches the threshold")
def with_a_constant(heatmap, threshold):
    values = heatmap.double().numpy()
    scaled = (values - values.min()) / (values.max() - values.min() + 1e-8)
    return _box(_regions(scaled >= threshold))


@sly("largest_box", breaks='"what reaches it is hot"', told="just reaches the threshold")
def with_a_constant_in_single_precision(heatmap, threshold):
    scaled = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min() + 1e-6)
    return _box(_regions(scaled >= threshold))


@sly("largest_box", breaks='"what reaches it is hot", and nothing else')
def in_whole_bytes(heatmap, threshold):
    levels = (255 * _scaled(heatmap)).numpy().astype(np.uint8)
    return _box(_regions(levels >= int(255 * threshold)))


# ---------------------------------------------------------------------------- overlap


@sly("overlap", breaks="the shared part of boxes that cross each other")
def where_a_corner_lies_inside(box, other):
    def inside(y, x, of):
        return of[0] <= y <= of[2] and of[1] <= x <= of[3]

    pairs = ((box, other), (other, box))
    corners = [inside(y, x, b) for a, b in pairs for y in (a[0], a[2]) for x in (a[1], a[3])]
    return check.overlap.reference(box, other) if any(corners) else 0.0
