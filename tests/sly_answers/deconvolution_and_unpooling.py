"""Sly wrong answers of notebook 10."""

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import deconvolution_and_unpooling as check
from sly_answers import sly

# ---------------------------------------------------------------------------- the matrix


@sly("convolution_matrix", breaks="n = floor((size - f) / stride) + 1")
def rounded_before_subtracting(filter, size, stride):
    matrix = torch.zeros(size // stride - len(filter) // stride + 1, size)
    for row in range(len(matrix)):
        matrix[row, row * stride : row * stride + len(filter)] = filter[: size - row * stride]
    return matrix


# ---------------------------------------------------------------------------- deconvnet


@sly("deconvnet", breaks='"Leave the layers as you found them"', told="changed a setting")
def with_indices_from_now_on(layers, x, channel):
    for layer in layers:
        if isinstance(layer, nn.MaxPool2d):
            layer.return_indices = True
    return check.deconvnet.reference(layers, x, channel)


# ---------------------------------------------------------------------------- which channel


@sly("which_channel", breaks="(N,), also for one picture", told="axis of length 1")
def squeezed(pictures, examples):
    return check.which_channel.reference(pictures, examples).squeeze()


@sly("which_channel", breaks="whole numbers", told="dtype torch.float32")
def as_floats(pictures, examples):
    return check.which_channel.reference(pictures, examples).float()


@sly("which_channel", breaks="the highest mean cosine", told="average these")
def nearest_on_the_sphere(pictures, examples):
    unit = F.normalize(pictures.flatten(1), dim=1)
    drawn = F.normalize(examples.flatten(2), dim=2).flatten(0, 1)
    distances = torch.cdist(unit, drawn).view(len(unit), *examples.shape[:2])
    return distances.mean(2).argmin(1)
