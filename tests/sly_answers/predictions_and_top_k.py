"""Sly wrong answers of notebook 2."""

import torch
import torch.nn.functional as F

from course_utils.exercises import predictions_and_top_k as check
from sly_answers import sly

# ---------------------------------------------------------------------------- preprocessing


@sly("preprocess", breaks="float32", told="^The answer has the dtype torch.float64")
def in_double_precision(picture, size, mean, std):
    return check.preprocess.reference(picture, size, mean, std).double()


@sly("preprocess", breaks="float32", told="half precision")
def in_half_precision(picture, size, mean, std):
    return check.preprocess.reference(picture, size, mean, std).half()


# ---------------------------------------------------------------------------- softmax


@sly("softmax", breaks='logits "of any size", "none is NaN"', told="overflows|NaN")
def in_double_precision_alone(logits):
    powers = logits.double().exp()
    return (powers / powers.sum(1, keepdim=True)).float()


@sly("softmax", breaks="probabilities as exact as float32 has them", told="rounded")
def to_three_digits(logits):
    return (logits.softmax(1) * 1000).round() / 1000


# ---------------------------------------------------------------------------- top-k accuracy


@sly("top_k_accuracy", breaks='"k: from 1 to C"', told="IndexError")
def above_the_next(logits, labels, k):
    limit = logits.sort(1, descending=True)[0][:, k]
    return (logits.gather(1, labels[:, None])[:, 0] > limit).float().mean().item()


@sly("top_k_accuracy", breaks="the order of logits of any size")
def of_probabilities(logits, labels, k):
    best = logits.softmax(1).topk(k).indices
    return (best == labels[:, None]).any(1).float().mean().item()


@sly("top_k_accuracy", breaks="a number", told="^The answer is NaN")
def not_a_number(logits, labels, k):
    return float("nan")


# ---------------------------------------------------------------------------- confusion


@sly("confusion_matrix", breaks='"a tensor of integers"', told="dtype torch.float32")
def of_floats(predictions, labels, classes):
    counts = torch.zeros(classes, classes)
    for label, prediction in zip(labels, predictions):
        counts[label, prediction] += 1
    return counts


@sly("confusion_matrix", breaks='"a tensor of integers"', told="dtype torch.float32")
def by_a_product_of_floats(predictions, labels, classes):
    return F.one_hot(labels, classes).float().T @ F.one_hot(predictions, classes).float()


@sly("confusion_matrix", breaks="counts of any size")
def in_one_byte(predictions, labels, classes):
    return check.confusion_matrix.reference(predictions, labels, classes).to(torch.uint8)


@sly("confusion_matrix", breaks="counts of any size")
def in_one_byte_with_signs(predictions, labels, classes):
    return check.confusion_matrix.reference(predictions, labels, classes).to(torch.int8)
