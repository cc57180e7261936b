"""Sly wrong answers of notebook 6."""

import numpy as np
import torch

from course_utils.exercises import integrated_and_expected_gradients as check
from sly_answers import sly

# ---------------------------------------------------------------------------- path


@sly("path", breaks='"in the same precision as x"', told="^The answer has the dtype torch.float64")
def through_numpy(x, baseline, steps):
    places = torch.from_numpy((np.arange(steps) + 0.5) / steps)
    return baseline + places[:, None, None, None] * (x - baseline)


@sly("path", breaks='"in the same precision as x"', told="^The answer has the dtype torch.float32")
def always_single(x, baseline, steps):
    return check.path.reference(x, baseline, steps).float()


@sly("path", breaks='"in the same precision as x"')
def in_half_precision(x, baseline, steps):
    return check.path.reference(x, baseline, steps).half()


# ---------------------------------------------------------------------------- attributions

LEFT = '"the model ... left as they were"'


@sly("integrated_gradients", breaks=LEFT, told="another mode")
def in_evaluation_mode(model, x, target, baseline, steps):
    model.eval()
    return check.integrated_gradients.reference(model, x, target, baseline, steps)


@sly("integrated_gradients", breaks=LEFT, told="may have been frozen")
def frozen_and_thawed(model, x, target, baseline, steps):
    model.requires_grad_(False)
    attributions = check.integrated_gradients.reference(model, x, target, baseline, steps)
    model.requires_grad_(True)
    return attributions


@sly(
    "expected_gradients", breaks='"everything passed is left as it was"', told="wiped the gradients"
)
def wiped_first(model, x, target, baselines, places):
    model.zero_grad()
    return check.expected_gradients.reference(model, x, target, baselines, places)


@sly("expected_gradients", breaks="numbers", told="^The answer has NaN")
def nothing_but_nan(model, x, target, baselines, places):
    return torch.full_like(x, torch.nan)
