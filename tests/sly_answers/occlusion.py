"""Sly wrong answers of notebook 4."""

import torch

from course_utils.exercises import occlusion as check
from sly_answers import sly

# ---------------------------------------------------------------------------- drops


def _in_batches(model, x, replacement, places, target, size):
    masks = torch.zeros(len(places), 1, *x.shape[2:], dtype=torch.bool)
    for mask, (top, left, bottom, right) in zip(masks, places):
        mask[:, top:bottom, left:right] = True
    with torch.no_grad():
        after = [model(torch.where(part, replacement, x))[:, target] for part in masks.split(size)]
        return model(x)[0, target] - torch.cat(after)


@sly("drops", breaks='"never more than eight at a time"', told="at once|at a time")
def in_batches_of_twelve(model, x, replacement, places, target):
    return _in_batches(model, x, replacement, places, target, 12)


@sly("drops", breaks='"never more than eight at a time"', told="at once|at a time")
def in_batches_of_sixteen(model, x, replacement, places, target):
    return _in_batches(model, x, replacement, places, target, 16)


@sly("drops", breaks="numbers", told="^The answer has NaN")
def nothing_but_nan(model, x, replacement, places, target):
    return torch.full((len(places),), torch.nan)


# ---------------------------------------------------------------------------- map


@sly("to_map", breaks="the mean over all windows, also those of value 0")
def where_something_was_added(values, places, height, width):
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        window = torch.zeros(height, width)
        window[top:bottom, left:right] = value
        total += window
        count += window != 0
    return total / count.clamp(min=1)


# ---------------------------------------------------------------------------- planted


@sly("planted", breaks="the mean, with its sign", told="The sign of the mean is lost")
def without_the_sign(x, window):
    score = check.planted.reference(x, window)[:, :1].abs()
    return torch.cat([score, -score], 1)


@sly(
    "planted",
    breaks="(N, 2)",
    told="^The values are right, but the answer is transposed.* shape \\(",
)
def lying_on_its_side(x, window):
    return check.planted.reference(x, window).T
