"""Checks of notebook 7, CAM localization."""

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- CAM


def _maps_and_weights(random):
    return [
        (torch.rand(6, 4, 7), torch.randn(3, 6), 1),
        (torch.rand(5, 6, 3), torch.randn(4, 5), 0),
        (torch.rand(2, 5, 8), torch.randn(2, 2), 1),
    ]


@check(points=2, probes=_maps_and_weights)
def class_activation_map(features, weights, target):
    """The class activation map (h, w) of one picture for class `target`.

    features: (K, h, w), the last feature maps; weights: (classes, K), of the layer behind GAP
    """
    return torch.einsum("k,khw->hw", weights[target], features)


@class_activation_map.mistake(
    "Your map is the same for every class: it averages the channels as they are. Multiply each "
    "channel by the weight that the class gives it before you add them up."
)
def _unweighted(features, weights, target):
    return features.mean(0)


@class_activation_map.mistake(
    "You averaged over the channels. The score is a sum over the channels, and so is the map: "
    "divided by K it no longer adds up to the score."
)
def _mean_over_channels(features, weights, target):
    return class_activation_map.reference(features, weights, target) / len(features)


@class_activation_map.mistake(
    "You cut off what is negative. Cells that speak against the class belong to its CAM: without "
    "them the mean of the map is no longer the score."
)
def _without_negatives(features, weights, target):
    return class_activation_map.reference(features, weights, target).relu()


@class_activation_map.mistake(
    "Your map is scaled to the range from 0 to 1. That is for drawing; here keep the values, which "
    "are in units of the score."
)
def _scaled(features, weights, target):
    heatmap = class_activation_map.reference(features, weights, target)
    return (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())


@class_activation_map.mistake(
    "That is one number, the mean over all positions: the score without its bias. For a map, stop "
    "before the averaging and keep the positions."
)
def _score(features, weights, target):
    return weights[target] @ features.mean((1, 2))


# ---------------------------------------------------------------------------- Grad-CAM


def _networks_cut_in_two(random):
    """The two halves of small frozen networks, a picture and a class that is not the highest."""
    calls = []
    for height, width in ((9, 12), (12, 8)):
        first = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3))
        cells = (height - 6) * (width - 6)
        second = nn.Sequential(nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * cells, 3))
        for module in (first, second):
            module.requires_grad_(False)
            for layer in module:
                if not isinstance(layer, (nn.ReLU, nn.Tanh, nn.Flatten)):
                    layer.weight *= 3
        x = torch.randn(1, 3, height, width)
        scores = second(first(x))[0]
        calls.append((first, second, x, int(scores.argsort()[1])))
    return calls


def _activation_and_gradient(first, second, x, target, of=lambda scores: scores):
    activation = first(x).detach().requires_grad_()
    score = of(second(activation))[0, target]
    return activation.detach()[0], torch.autograd.grad(score, activation)[0][0]


@check(points=3, probes=_networks_cut_in_two, tolerance=1e-4)
def grad_cam_by_hand(first, second, x, target):
    """The Grad-CAM map (h, w) of one picture at the place where a network is cut in two.

    first, second: the halves: second(first(x)) are the scores (1, classes)
    x: (1, 3, H, W), preprocessed; target: a class index
    """
    activation, gradient = _activation_and_gradient(first, second, x, target)
    weights = gradient.mean((1, 2))
    return (weights[:, None, None] * activation).sum(0).relu()


@grad_cam_by_hand.mistake(
    "Your map still has negative cells. Grad-CAM ends with a ReLU: it shows only what speaks for "
    "the class."
)
def _no_relu(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient.mean((1, 2))[:, None, None] * activation).sum(0)


@grad_cam_by_hand.mistake(
    "You added the gradients of a channel up. Grad-CAM averages them over the positions, so the "
    "size of the map has no influence on the weights."
)
def _summed_gradients(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient.sum((1, 2))[:, None, None] * activation).sum(0).relu()


@grad_cam_by_hand.mistake(
    "You took the gradient of the softmax probability. Then the other classes' scores move the "
    "map too; use the score itself, the logit."
)
def _of_the_probability(first, second, x, target):
    activation, gradient = _activation_and_gradient(
        first, second, x, target, of=lambda scores: scores.softmax(1)
    )
    return (gradient.mean((1, 2))[:, None, None] * activation).sum(0).relu()


@grad_cam_by_hand.mistake(
    "You multiplied gradient and activation position by position. That is a map of its own "
    "(HiResCAM); Grad-CAM first averages the gradient over all positions to one weight a channel."
)
def _position_by_position(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient * activation).sum(0).relu()


@grad_cam_by_hand.mistake(
    "You explain the highest score instead of the class that was asked for. Use `target`."
)
def _highest_class(first, second, x, target):
    highest = int(second(first(x)).argmax())
    return grad_cam_by_hand.reference(first, second, x, highest)


@grad_cam_by_hand.mistake(
    "Your ReLU sits on the wrong thing: the weights may be negative, and a channel that speaks "
    "against the class must count. Cut off only in the finished map."
)
def _relu_on_weights(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient.mean((1, 2)).relu()[:, None, None] * activation).sum(0).relu()


# ---------------------------------------------------------------------------- boxes


def _two_blobs(random):
    """A small strong blob above a large weaker one, on a background that is not zero."""
    calls = []
    for rows, columns, base in ((14, 20, -3.0), (18, 13, 2.0), (16, 16, 0.5)):
        heatmap = torch.full((rows, columns), base) + 0.1 * torch.rand(rows, columns)
        left = int(random.integers(1, columns - 8))
        heatmap[1:3, left + 1 : left + 3] = base + 6
        top = int(random.integers(5, rows - 6))
        heatmap[top : top + 4, left : left + 7] = base + 4
        calls.append((heatmap, float(random.uniform(0.3, 0.5))))
    return calls


def _regions(heatmap, threshold):
    scaled = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
    return ndimage.label((scaled >= threshold).numpy(), np.ones((3, 3)))[0]


def _corners(slices):
    rows, columns = slices
    return rows.start, columns.start, rows.stop, columns.stop


@check(points=3, probes=_two_blobs)
def largest_box(heatmap, threshold):
    """The box (top, left, bottom, right) around the largest hot region of a map (H, W).

    threshold: in [0, 1], on the scale on which the map's smallest value is 0 and its largest 1
    Regions may be joined at a corner. Bottom and right are the first row and column outside.
    """
    regions = _regions(heatmap, threshold)
    largest = np.bincount(regions.ravel())[1:].argmax()
    return _corners(ndimage.find_objects(regions)[largest])


@largest_box.mistake(
    "Your box holds everything hot. A second hot spot elsewhere stretches it over the picture: "
    "keep only the connected region with the most pixels."
)
def _box_of_everything(heatmap, threshold):
    return _corners(ndimage.find_objects((_regions(heatmap, threshold) > 0).astype(int))[0])


@largest_box.mistake(
    "You took the first region that `label` numbers, or the one with the hottest pixel. Count the "
    "pixels of each region and take the largest."
)
def _first_region(heatmap, threshold):
    return _corners(ndimage.find_objects(_regions(heatmap, threshold))[0])


@largest_box.mistake(
    "Your bottom and right are the last row and column inside. Here they are the first outside, as "
    "in a slice: `heatmap[top:bottom, left:right]`."
)
def _inclusive(heatmap, threshold):
    top, left, bottom, right = largest_box.reference(heatmap, threshold)
    return top, left, bottom - 1, right - 1


@largest_box.mistake(
    "Rows and columns are exchanged: the order is top, left, bottom, right, and top and bottom are "
    "rows."
)
def _x_before_y(heatmap, threshold):
    top, left, bottom, right = largest_box.reference(heatmap, threshold)
    return left, top, right, bottom


@largest_box.mistake(
    "You compared the map's raw values with the threshold. Bring the map to the range from 0 to 1 "
    "first: subtract its smallest value, then divide by the new largest."
)
def _raw_values(heatmap, threshold):
    regions = ndimage.label((heatmap >= threshold).numpy(), np.ones((3, 3)))[0]
    largest = np.bincount(regions.ravel())[1:].argmax()
    return _corners(ndimage.find_objects(regions)[largest])


@largest_box.mistake(
    "This is (top, left, height, width). Give the lower right corner instead of the size."
)
def _with_size(heatmap, threshold):
    top, left, bottom, right = largest_box.reference(heatmap, threshold)
    return top, left, bottom - top, right - left


# ---------------------------------------------------------------------------- overlap


def _pairs_of_boxes(random):
    """Overlapping, diagonally apart, above one another, and one inside the other."""
    top, left = (int(value) for value in random.integers(2, 9, 2))
    height, width = (int(value) for value in random.integers(6, 14, 2))
    bottom, right = top + height, left + width
    box = (top, left, bottom, right)
    return [
        (box, (top + 2, left - 1, bottom + 3, left + 5)),
        (box, (bottom + 2, right + 3, bottom + 5, right + 5)),
        (box, (bottom + 3, left + 2, bottom + 6, left + 5)),
        (box, (top + 1, left + 2, top + 4, left + 5)),
    ]


@check(points=2, probes=_pairs_of_boxes)
def overlap(box, other):
    """Intersection over union of two boxes (top, left, bottom, right), a number in [0, 1]."""
    shared = _shared(box, other)
    return shared / (_area(box) + _area(other) - shared)


def _shared(box, other):
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    return max(height, 0) * max(width, 0)


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


@overlap.mistake(
    "Boxes that don't touch overlap in your function: there the height or the width of the shared "
    "part comes out negative (and twice negative gives a positive area). Cut both off at 0."
)
def _negative_sides(box, other):
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    return height * width / (_area(box) + _area(other) - height * width)


@overlap.mistake(
    "You divide by the sum of both areas, which counts the shared part twice. Two equal boxes must "
    "give 1."
)
def _by_the_sum(box, other):
    return _shared(box, other) / (_area(box) + _area(other))


@overlap.mistake(
    "You divide by the smaller box, so a tiny box inside a large one gets full marks. Divide by "
    "the area that either of them covers."
)
def _by_the_smaller(box, other):
    return _shared(box, other) / min(_area(box), _area(other))


@overlap.mistake(
    "You divide by the first box's area alone. Exchanging the two boxes must not change the result."
)
def _by_the_first(box, other):
    return _shared(box, other) / _area(box)


@overlap.mistake(
    "You count one row and one column too many: bottom and right are already outside, so the "
    "height is `bottom - top` without + 1."
)
def _one_too_many(box, other):
    grown, others = ((*b[:2], b[2] + 1, b[3] + 1) for b in (box, other))
    return overlap.reference(grown, others)
