"""Sly wrong answers of notebook 5."""

import torch

from course_utils.exercises import saliency as check
from sly_answers import sly

# ---------------------------------------------------------------------------- gradients

LEFT = '"the model ... left as they were"'


@sly("score_gradient", breaks=LEFT, told="another mode")
def in_evaluation_mode(model, x, target):
    model.eval()
    return check.score_gradient.reference(model, x, target)


@sly("score_gradient", breaks=LEFT, told="may have been frozen")
def frozen_and_thawed(model, x, target):
    model.requires_grad_(False)
    gradient = check.score_gradient.reference(model, x, target)
    model.requires_grad_(True)
    return gradient


@sly("score_gradient", breaks=LEFT, told="wiped the gradients")
def wiped_afterwards(model, x, target):
    x = x.detach().clone().requires_grad_()
    model(x)[0, target].backward()
    model.zero_grad()
    return x.grad


@sly("smooth_gradient", breaks=LEFT, told="another mode")
def smooth_in_evaluation_mode(model, x, target, noises):
    model.eval()
    return check.smooth_gradient.reference(model, x, target, noises)


@sly("smooth_gradient", breaks=LEFT, told="wiped the gradients")
def smooth_and_wiped(model, x, target, noises):
    model.zero_grad()
    return check.smooth_gradient.reference(model, x, target, noises)


# ---------------------------------------------------------------------------- the probability


def _with(p, gradients, target):
    return p[target] * (gradients[target] - torch.einsum("k,kchw->chw", p, gradients))


@sly("probability_gradient", breaks='logits "of any size"', told="overflows|NaN")
def in_double_precision(gradients, scores, target):
    powers = scores.double().exp()
    return _with((powers / powers.sum()).float(), gradients, target)


@sly("probability_gradient", breaks='logits "of any size"', told="overflows|NaN")
def around_the_mean(gradients, scores, target):
    powers = (scores - scores.mean()).exp()
    return _with(powers / powers.sum(), gradients, target)


@sly("probability_gradient", breaks='logits "of any size"', told="cut large scores off")
def cut_off_at_fifty(gradients, scores, target):
    return _with(scores.clamp(max=50).softmax(0), gradients, target)


@sly("probability_gradient", breaks="all C classes")
def of_ten_classes(gradients, scores, target):
    p = scores.softmax(0)
    mean = sum(p[number] * gradients[number] for number in range(min(10, len(p))))
    return p[target] * (gradients[target] - mean)


# ---------------------------------------------------------------------------- seeds


@sly("seeds", breaks='"a tensor of integers"', told="dtype torch.float32")
def of_floats(heatmap, high, low):
    return check.seeds.reference(heatmap, high, low).float()


@sly("seeds", breaks='a map "of any sign"')
def above_zero_alone(heatmap, high, low):
    labels = check.seeds.reference(heatmap, high, low)
    return torch.where((labels == 1) & (heatmap <= 0), 0, labels)
