"""Checks of notebook 7, CAM localization."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import nn

from course_utils.exercises import check


def _runner_up_at(place, scores):
    """An order of the classes that brings the second highest score to a place.

    The class that is asked for is then neither the one that the network would choose nor the
    last, whatever the random weights are.
    """
    order = scores.argsort(descending=True).tolist()
    order.insert(place, order.pop(1))
    return order


# ---------------------------------------------------------------------------- CAM


def _maps_and_weights(random):
    """As many classes as channels, so that a column of the weights fits where a row belongs."""
    calls = []
    for size, target in (((4, 4, 7), 1), ((5, 6, 3), 3), ((3, 5, 8), 0)):
        features, weights = torch.randn(size), torch.randn(size[0], size[0])
        scores = weights @ features.mean((1, 2))
        calls.append((features, weights[_runner_up_at(target, scores)], target))
    return calls


@check(points=2, probes=_maps_and_weights)
def class_activation_map(features, weights, target):
    """The class activation map of one picture for class `target`: a tensor (h, w).

    features: (K, h, w), the last feature maps; weights: (classes, K), of the layer behind GAP
    The values are as they come, negative ones too.
    """
    return torch.einsum("k,khw->hw", weights[target], features)


@class_activation_map.mistake(
    "Your map is the same for every class: it averages the channels as they are. Multiply each "
    "channel by the weight that the class gives it before you add them up."
)
def _unweighted(features, weights, target):
    return features.mean(0)


@class_activation_map.mistake(
    "Your map is the same for every class: it adds the channels up as they are. Multiply each "
    "channel first by the weight that the class gives it."
)
def _unweighted_sum(features, weights, target):
    return features.sum(0)


@class_activation_map.mistake(
    "You took a column of the weights: one channel's weight for every class. The weights of one "
    "class are a row, `weights[target]`."
)
def _column(features, weights, target):
    return torch.einsum("k,khw->hw", weights[:, target], features)


@class_activation_map.mistake(
    "You drew the map of the class with the highest score. Any class can be asked for: `target`."
)
def _highest_score(features, weights, target):
    highest = int((weights @ features.mean((1, 2))).argmax())
    return class_activation_map.reference(features, weights, highest)


@class_activation_map.mistake(
    "You averaged over the channels. The score is a sum over the channels, and so is the map: "
    "divided by K it no longer adds up to the score."
)
def _mean_over_channels(features, weights, target):
    return class_activation_map.reference(features, weights, target) / len(features)


@class_activation_map.mistake(
    "You divided by the number of cells. The mean of the map is to be the score, so the division "
    "comes later, when that mean is taken."
)
def _by_cells(features, weights, target):
    return class_activation_map.reference(features, weights, target) / features[0].numel()


@class_activation_map.mistake(
    "You cut off what is negative. Cells that speak against the class belong to its CAM: without "
    "them the mean of the map is no longer the score."
)
def _without_negatives(features, weights, target):
    return class_activation_map.reference(features, weights, target).relu()


@class_activation_map.mistake(
    "You took the weights' absolute values. A channel with a negative weight speaks against the "
    "class and has to be subtracted."
)
def _absolute_weights(features, weights, target):
    return class_activation_map.reference(features, weights.abs(), target)


@class_activation_map.mistake(
    "Your map is scaled to the range from 0 to 1. That is for drawing; here keep the values, which "
    "are in units of the score."
)
def _scaled(features, weights, target):
    heatmap = class_activation_map.reference(features, weights, target)
    return (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())


@class_activation_map.mistake(
    "Your map is divided by its largest value. That is for drawing; here keep the values, which "
    "are in units of the score."
)
def _by_largest(features, weights, target):
    heatmap = class_activation_map.reference(features, weights, target)
    return heatmap / heatmap.max()


@class_activation_map.mistake(
    "That is one number, the mean over all positions: the score without its bias. For a map, stop "
    "before the averaging and keep the positions."
)
def _score(features, weights, target):
    return weights[target] @ features.mean((1, 2))


@class_activation_map.mistake(
    "That is one number for each channel: you summed over the positions. Sum over the channels, "
    "which are the first axis, and keep the positions."
)
def _over_positions(features, weights, target):
    return (weights[target][:, None, None] * features).sum((1, 2))


@class_activation_map.mistake(
    "These are the maps of all classes. Take the weights of class `target` alone."
)
def _all_classes(features, weights, target):
    return torch.einsum("ck,khw->chw", weights, features)


@class_activation_map.mistake(
    "`reshape` and `view` cut the numbers anew, so a row of yours is no position with its "
    "channels. Flatten the positions, `features.flatten(1)`, and multiply from the left."
)
def _mixed_up(features, weights, target):
    channels, height, width = features.shape
    return (features.reshape(-1, channels) @ weights[target]).view(height, width)


@class_activation_map.mistake(
    "Each channel is weighted, but they are still apart. Add them up: sum over the first axis."
)
def _not_summed(features, weights, target):
    return weights[target][:, None, None] * features


# ---------------------------------------------------------------------------- Grad-CAM


def _networks_cut_in_two(random):
    """Small frozen networks; before the cut there is no ReLU, so channels have both signs."""
    calls = []
    for (height, width), channels, target in (((9, 12), 6, 1), ((12, 8), 4, 0), ((7, 10), 5, 2)):
        first = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, channels, 3))
        cells = (height - 6) * (width - 6)
        head = nn.Linear(4 * cells, 3)
        second = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Tanh(), nn.Flatten(), head)
        for module in (first, second):
            module.requires_grad_(False)
            for layer in module:
                if isinstance(layer, (nn.Conv2d, nn.Linear)):
                    layer.weight *= 3
                    layer.bias *= 0
        x = torch.randn(1, 3, height, width)
        head.weight.copy_(head.weight[_runner_up_at(target, second(first(x))[0])])
        calls.append((first, second, x, target))
    return calls


def _activation_and_gradient(first, second, x, target, of=lambda scores: scores):
    activation = first(x).detach().requires_grad_()
    score = of(second(activation))[0, target]
    return activation.detach()[0], torch.autograd.grad(score, activation)[0][0]


def _weighted(weights, activation):
    return (weights[:, None, None] * activation).sum(0)


@check(points=3, probes=_networks_cut_in_two, graph="any")
def grad_cam_by_hand(first, second, x, target):
    """The Grad-CAM map of one picture at the place where a network is cut in two: a tensor (h, w).

    first, second: the halves: second(first(x)) are the scores (1, classes)
    x: (1, 3, H, W), preprocessed; target: a class index
    """
    activation = first(x).detach().requires_grad_()
    score = second(activation)[0, target]
    (gradient,) = torch.autograd.grad(score, activation)
    weights = gradient[0].mean((1, 2))
    return (weights[:, None, None] * activation.detach()[0]).sum(0).relu()


@grad_cam_by_hand.mistake(
    "Your map still has negative cells. Grad-CAM ends with a ReLU: it shows only what speaks for "
    "the class."
)
def _no_relu(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.mean((1, 2)), activation)


@grad_cam_by_hand.mistake(
    "You took absolute values at the end. What speaks against the class is to become 0, not "
    "positive: Grad-CAM ends with a ReLU."
)
def _absolute(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.mean((1, 2)), activation).abs()


@grad_cam_by_hand.mistake(
    "You added the gradients of a channel up. Grad-CAM averages them over the positions, so the "
    "size of the map has no influence on the weights."
)
def _summed_gradients(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.sum((1, 2)), activation).relu()


@grad_cam_by_hand.mistake(
    "All channels got the same weight: you averaged the gradient over the channels as well. "
    "Average over rows and columns alone, which leaves one weight for each channel."
)
def _one_weight(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient.mean() * activation).sum(0).relu()


@grad_cam_by_hand.mistake("You took the mean over the weighted channels. The map is their sum.")
def _mean_over_weighted(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient.mean((1, 2))[:, None, None] * activation).mean(0).relu()


@grad_cam_by_hand.mistake(
    "You took the gradient of the softmax probability. Then the other classes' scores move the "
    "map too; use the score itself, the logit."
)
def _of_the_probability(first, second, x, target):
    activation, gradient = _activation_and_gradient(
        first, second, x, target, of=lambda scores: scores.softmax(1)
    )
    return _weighted(gradient.mean((1, 2)), activation).relu()


@grad_cam_by_hand.mistake(
    "You took the gradient of the logarithm of the probability, as a loss does. Then the other "
    "classes' scores move the map too; use the score itself, the logit."
)
def _of_the_loss(first, second, x, target):
    activation, gradient = _activation_and_gradient(
        first, second, x, target, of=lambda scores: scores.log_softmax(1)
    )
    return _weighted(gradient.mean((1, 2)), activation).relu()


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
    "You explain the sum of all scores instead of the class that was asked for. Pick its score, "
    "`scores[0, target]`, before you ask for the gradient."
)
def _all_scores(first, second, x, target):
    activation = first(x).detach().requires_grad_()
    gradient = torch.autograd.grad(second(activation).sum(), activation)[0][0]
    return _weighted(gradient.mean((1, 2)), activation.detach()[0]).relu()


@grad_cam_by_hand.mistake(
    "Your ReLU sits on the weights alone. They may be negative, since a channel that speaks "
    "against the class must count: cut off in the finished map, and only there."
)
def _relu_on_weights_alone(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.mean((1, 2)).relu(), activation)


@grad_cam_by_hand.mistake(
    "One ReLU is too many: the weights may be negative, since a channel that speaks against the "
    "class must count. Cut off only in the finished map."
)
def _relu_on_weights(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.mean((1, 2)).relu(), activation).relu()


@grad_cam_by_hand.mistake(
    "You cut off each channel's share before you added the channels up. Add first, and put the "
    "ReLU last."
)
def _relu_before_the_sum(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return (gradient.mean((1, 2))[:, None, None] * activation).relu().sum(0)


@grad_cam_by_hand.mistake(
    "Your map is divided by its largest value. That is for drawing; here keep the values, which "
    "are in units of the score."
)
def _by_largest_cell(first, second, x, target):
    heatmap = grad_cam_by_hand.reference(first, second, x, target)
    return heatmap / heatmap.max()


@grad_cam_by_hand.mistake(
    "You took the weights' absolute values. A channel that speaks against the class has a negative "
    "weight, and is to be subtracted."
)
def _absolute_weights_of_channels(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.mean((1, 2)).abs(), activation).relu()


@grad_cam_by_hand.mistake(
    "You averaged the gradient's absolute values. Their signs say whether a channel speaks for or "
    "against the class: average them as they are."
)
def _mean_of_absolute_gradients(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(gradient.abs().mean((1, 2)), activation).relu()


@grad_cam_by_hand.mistake(
    "The sign of your gradient is turned round, as if the score were a loss. What raises the score "
    "speaks for the class."
)
def _of_the_negative_score(first, second, x, target):
    activation, gradient = _activation_and_gradient(first, second, x, target)
    return _weighted(-gradient.mean((1, 2)), activation).relu()


@grad_cam_by_hand.mistake(
    "You put a ReLU between the halves. The network is cut as it is: what comes out of `first` "
    "goes into `second`, negative values too."
)
def _relu_at_the_cut(first, second, x, target):
    return grad_cam_by_hand.reference(nn.Sequential(first, nn.ReLU()), second, x, target)


@grad_cam_by_hand.mistake(
    "You asked for the gradient of the picture. Grad-CAM is made at the cut: detach the output of "
    "`first`, and ask for the gradient with respect to that."
)
def _at_the_picture(first, second, x, target):
    whole = nn.Sequential(first, second)
    return grad_cam_by_hand.reference(nn.Identity(), whole, x, target)


@grad_cam_by_hand.mistake(
    "This is the gradient averaged over the channels: the feature maps are missing. The averaged "
    "gradients are weights, and what they weigh is the output of `first`."
)
def _gradient_alone(first, second, x, target):
    _, gradient = _activation_and_gradient(first, second, x, target)
    return gradient.mean(0).relu()


# ---------------------------------------------------------------------------- boxes


SCATTERED = """
5...........
...44....8..
...44...8...
.44..3.8....
.44...8..666
.....8...666
4...........
"""
"""The largest region, from 4 on, has two blocks that touch at a corner. Others are the first, the
last, the hottest, the one with the largest box, and the largest without joining corners."""

IN_THE_CORNER = """
.888...
.......
.55..2.
.55.333
....666
6...666
"""
"""The largest region, from 3 on, reaches the map's corner, and one of its rows just reaches 3."""

EQUALS = """
.....44.
.....44.
8.......
..5555..
"""
"""Two regions of equal size; the upper one counts."""

NEARLY = """
........5..
.44n.......
.44n...88..
.44n...88..
...........
.........5.
"""
"""The largest region, from 4 on, is not the one with the most heat; n, beside it, is just below."""

CELLS = {".": 0.0, "n": 3.997}


def _drawn(drawing, lowest, step, random):
    """The map of a drawing, with dots for 0, and more 0 above and before it."""
    rows = [[CELLS[c] if c in CELLS else float(c) for c in row] for row in drawing.split()]
    above, before = random.integers(0, 6, 2)
    return lowest + step * F.pad(torch.tensor(rows), (before, 0, above, 0)).float()


def _regions_of_many_kinds(random):
    """Values below and above 0, around it and all negative; a threshold that all values reach."""
    lowest = float(random.integers(1, 9))
    return [
        (_drawn(SCATTERED, -lowest, 2, random), 4 / 8),
        (_drawn(IN_THE_CORNER, lowest, 0.5, random), 3 / 8),
        (_drawn(EQUALS, -40 - lowest, 2, random), 4 / 8),
        (_drawn(EQUALS, 0, 1, random), 0.0),
        (_drawn(EQUALS, 1, 1, random), 0.98),
        (_drawn(NEARLY, -2, 1, random), 4 / 8),
    ]


def _hot(heatmap, threshold):
    return (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min()) >= threshold


def _regions(hot):
    return ndimage.label(hot.numpy(), np.ones((3, 3)))[0]


def _corners(slices):
    rows, columns = slices
    return rows.start, columns.start, rows.stop, columns.stop


def _largest(regions):
    largest = np.bincount(regions.ravel())[1:].argmax()
    return _corners(ndimage.find_objects(regions)[largest])


@check(points=3, probes=_regions_of_many_kinds)
def largest_box(heatmap, threshold):
    """The box around the largest hot region of a map (H, W): four ints (top, left, bottom, right).

    threshold: in [0, 1], on the scale on which the map's smallest value is 0 and its largest 1;
    what reaches it is hot. Regions may be joined at a corner, and the largest has the most pixels:
    of equals, the first in reading order. Bottom and right are the first row and column outside.
    """
    scaled = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
    regions, _ = ndimage.label((scaled >= threshold).numpy(), np.ones((3, 3)))
    largest = np.bincount(regions.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(regions)[largest]
    return rows.start, columns.start, rows.stop, columns.stop


@largest_box.mistake(
    "Your box holds everything hot. A second hot spot elsewhere stretches it over the picture: "
    "keep only the connected region with the most pixels."
)
def _box_of_everything(heatmap, threshold):
    return _corners(ndimage.find_objects(_hot(heatmap, threshold).int().numpy())[0])


@largest_box.mistake(
    "You took the first region that `label` numbers. Count the pixels of each region and take the "
    "largest."
)
def _first_region(heatmap, threshold):
    return _corners(ndimage.find_objects(_regions(_hot(heatmap, threshold)))[0])


@largest_box.mistake(
    "You took the last region that `label` numbers. If you counted with `bincount`, its first "
    "entry is the background's: leave it out before you look for the largest."
)
def _last_region(heatmap, threshold):
    return _corners(ndimage.find_objects(_regions(_hot(heatmap, threshold)))[-1])


@largest_box.mistake(
    "Your region is one off: `bincount` counts the background as number 0, `find_objects` begins "
    "with region 1."
)
def _one_off(heatmap, threshold):
    regions = _regions(_hot(heatmap, threshold))
    largest = np.bincount(regions.ravel())[1:].argmax()
    return _corners(ndimage.find_objects(regions)[largest - 1])


@largest_box.mistake(
    "Your region's number is one too small: without the background `argmax` counts from 0, and "
    "regions are numbered from 1."
)
def _number_off(heatmap, threshold):
    regions = _regions(_hot(heatmap, threshold))
    rows, columns = np.nonzero(regions == np.bincount(regions.ravel())[1:].argmax())
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


@largest_box.mistake("You took the smallest region. The largest has the most pixels.")
def _smallest_region(heatmap, threshold):
    regions = _regions(_hot(heatmap, threshold))
    return _corners(ndimage.find_objects(regions)[np.bincount(regions.ravel())[1:].argmin()])


@largest_box.mistake(
    "You kept what is below the threshold. Hot is what reaches it: compare with >=."
)
def _cold_region(heatmap, threshold):
    scaled = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
    return _box_or_nothing(scaled <= threshold)


@largest_box.mistake(
    "You took the region with the hottest pixel. The largest is the one with the most pixels."
)
def _hottest_region(heatmap, threshold):
    regions = _regions(_hot(heatmap, threshold))
    number = regions.ravel()[int(heatmap.argmax())]
    return _corners(ndimage.find_objects(regions)[number - 1])


@largest_box.mistake(
    "You compared the boxes' areas. A thin region may have a large box: count the pixels of each "
    "region instead."
)
def _largest_area(heatmap, threshold):
    boxes = [_corners(found) for found in ndimage.find_objects(_regions(_hot(heatmap, threshold)))]
    return max(boxes, key=_area)


@largest_box.mistake(
    "Your regions end where only corners touch: `label` joins four neighbours unless it is given "
    "`np.ones((3, 3))`."
)
def _four_neighbours(heatmap, threshold):
    return _largest(ndimage.label(_hot(heatmap, threshold).numpy())[0])


@largest_box.mistake("A value that just reaches the threshold is hot too: compare with >=.")
def _strictly(heatmap, threshold):
    scaled = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
    return _largest(_regions(scaled > threshold))


@largest_box.mistake(
    "You add a small number to what you divide by, so a value that just reaches the threshold "
    "falls short of it. Divide by the largest minus the smallest value alone."
)
def _constant_added(heatmap, threshold):
    above = (heatmap - heatmap.min()).double()
    return _largest(_regions(above / (above.max() + 1e-6) >= threshold))


@largest_box.mistake(
    "You compare with a quantile, which counts pixels. The threshold is a value, on the scale from "
    "the map's smallest value, 0, to its largest, 1."
)
def _at_a_quantile(heatmap, threshold):
    return _largest(_regions(heatmap >= heatmap.quantile(threshold)))


@largest_box.mistake(
    "You took the region whose values have the largest sum. The largest is the one with the most "
    "pixels, however hot they are."
)
def _most_heat(heatmap, threshold):
    regions = _regions(_hot(heatmap, threshold))
    heat = np.bincount(regions.ravel(), (heatmap - heatmap.min()).ravel())
    return _corners(ndimage.find_objects(regions)[heat[1:].argmax()])


@largest_box.mistake(
    "You cut negative values off before you scale. The map's smallest value, negative or not, is "
    "the 0 of the threshold's scale."
)
def _cut_off_at_zero(heatmap, threshold):
    positive = heatmap.relu()
    if not positive.any():
        return 0, 0, *heatmap.shape
    return _box_or_nothing(_hot(positive, threshold))


@largest_box.mistake(
    "Of two regions with equally many pixels you took the later one. The one that `label` numbers "
    "first counts, and `argmax` finds it."
)
def _last_of_equals(heatmap, threshold):
    regions = _regions(_hot(heatmap, threshold))
    counts = np.bincount(regions.ravel())[1:]
    return _corners(ndimage.find_objects(regions)[len(counts) - 1 - counts[::-1].argmax()])


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
    "Your order is top, bottom, left, right. A box has its upper left corner first: top, left, "
    "bottom, right."
)
def _rows_first(heatmap, threshold):
    top, left, bottom, right = largest_box.reference(heatmap, threshold)
    return top, bottom, left, right


@largest_box.mistake(
    "This is (top, left, height, width). Give the lower right corner instead of the size."
)
def _with_size(heatmap, threshold):
    top, left, bottom, right = largest_box.reference(heatmap, threshold)
    return top, left, bottom - top, right - left


@largest_box.mistake(
    "You compared the map's raw values with the threshold. Bring the map to the range from 0 to 1 "
    "first: subtract its smallest value, then divide by the new largest."
)
def _raw_values(heatmap, threshold):
    return _box_or_nothing(heatmap >= threshold)


@largest_box.mistake(
    "You divided by the largest value and left the smallest as it was. On the scale of the "
    "threshold the map's smallest value is 0: subtract it first, from both."
)
def _by_the_largest(heatmap, threshold):
    return _box_or_nothing(heatmap / heatmap.max() >= threshold)


@largest_box.mistake(
    "You subtracted the smallest value, but divided by the old largest. The largest value is to "
    "become 1: divide by the largest minus the smallest."
)
def _by_the_old_largest(heatmap, threshold):
    return _box_or_nothing((heatmap - heatmap.min()) / heatmap.max() >= threshold)


def _box_or_nothing(hot):
    return _largest(_regions(hot)) if hot.any() else None


# ---------------------------------------------------------------------------- overlap


def _pairs_of_boxes(random):
    """Partly over each other, apart, touching, one inside the other, equal, crossing.

    Each pair in both orders.
    """
    top, left = int(random.integers(2, 9)), int(random.integers(21, 30))
    height, width = (int(value) for value in random.integers(6, 13, 2))
    bottom, right = top + height, left + width
    box = (top, left, bottom, right)
    others = [
        (top + 2, left - 1, bottom + 1, left + 3),
        (bottom + 2, right + 3, bottom + 5, right + 5),
        (bottom + 3, left + 2, bottom + 6, left + 5),
        (top + 1, right + 2, top + 4, right + 6),
        (top + 1, left + 2, top + 4, left + 5),
        (top - 2, left - 1, bottom + 1, right + 3),
        (top + 1, right, bottom + 2, right + 3),
        box,
        (top + 1, left - 2, top + 3, right + 1),
    ]
    return [pair for other in others for pair in ((box, other), (other, box))]


@check(points=2, probes=_pairs_of_boxes)
def overlap(box, other):
    """Intersection over union of two boxes: a number in [0, 1].

    box, other: four ints each (top, left, bottom, right); bottom and right are outside
    """
    height = max(min(box[2], other[2]) - max(box[0], other[0]), 0)
    width = max(min(box[3], other[3]) - max(box[1], other[1]), 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, other)]
    return height * width / (sum(areas) - height * width)


def _sides(box, other):
    """Height and width of the shared part, negative where the boxes are apart."""
    return (
        min(box[2], other[2]) - max(box[0], other[0]),
        min(box[3], other[3]) - max(box[1], other[1]),
    )


def _shared(box, other):
    height, width = _sides(box, other)
    return max(height, 0) * max(width, 0)


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def _hull(box, other):
    """The area of the box around both."""
    height = max(box[2], other[2]) - min(box[0], other[0])
    return height * (max(box[3], other[3]) - min(box[1], other[1]))


@overlap.mistake(
    "Boxes that don't touch overlap in your function: there the height or the width of the shared "
    "part comes out negative (and twice negative gives a positive area). Cut both off at 0."
)
def _negative_sides(box, other):
    height, width = _sides(box, other)
    return height * width / (_area(box) + _area(other) - height * width)


@overlap.mistake(
    "You cut off the product at 0, but height and width can both be negative, and then the product "
    "is positive. Cut off each of the two before you multiply."
)
def _negative_product(box, other):
    height, width = _sides(box, other)
    shared = max(height * width, 0)
    return shared / (_area(box) + _area(other) - shared)


@overlap.mistake(
    "The part that you take for shared is the box around both: `min` and `max` are exchanged. The "
    "shared part begins at the *larger* top and ends at the *smaller* bottom."
)
def _around_both(box, other):
    return _hull(box, other) / (_area(box) + _area(other) - _hull(box, other))


@overlap.mistake(
    "You divide by the sum of both areas, which counts the shared part twice. Two equal boxes must "
    "give 1."
)
def _by_the_sum(box, other):
    return _shared(box, other) / (_area(box) + _area(other))


@overlap.mistake(
    "This is the Dice coefficient, twice the shared part over the sum of the areas. Divide the "
    "shared part, once, by the area that either of the boxes covers."
)
def _dice(box, other):
    return 2 * _shared(box, other) / (_area(box) + _area(other))


@overlap.mistake(
    "You divide by the smaller box, so a tiny box inside a large one gets full marks. Divide by "
    "the area that either of them covers."
)
def _by_the_smaller(box, other):
    return _shared(box, other) / min(_area(box), _area(other))


@overlap.mistake(
    "You divide by the larger box alone. The area that either of them covers is larger, as soon as "
    "one sticks out of the other."
)
def _by_the_larger(box, other):
    return _shared(box, other) / max(_area(box), _area(other))


@overlap.mistake(
    "You divide by the first box's area alone. Exchanging the two boxes must not change the result."
)
def _by_the_first(box, other):
    return _shared(box, other) / _area(box)


@overlap.mistake(
    "You divide by the second box's area alone. Exchanging the two boxes must not change the "
    "result."
)
def _by_the_second(box, other):
    return _shared(box, other) / _area(other)


@overlap.mistake(
    "You divide by the area of the box around both. It has corners that neither of the two covers: "
    "divide by both areas together, the shared part counted once."
)
def _by_the_hull(box, other):
    return _shared(box, other) / _hull(box, other)


@overlap.mistake(
    "You add the shared part to both areas. They count it twice already: subtract it once."
)
def _shared_added(box, other):
    return _shared(box, other) / (_area(box) + _area(other) + _shared(box, other))


@overlap.mistake(
    "Brackets are missing: only the first area is divided by. Put brackets around the whole union."
)
def _without_brackets(box, other):
    return _shared(box, other) / _area(box) + _area(other) - _shared(box, other)


@overlap.mistake(
    "You took the absolute values of height and width. Where boxes are apart these come out "
    "negative, and then nothing is shared: cut them off at 0."
)
def _absolute_sides(box, other):
    height, width = _sides(box, other)
    shared = abs(height) * abs(width)
    return shared / (_area(box) + _area(other) - shared)


@overlap.mistake(
    "You count one row and one column too many: bottom and right are already outside, so the "
    "height is `bottom - top` without + 1."
)
def _one_too_many(box, other):
    grown, others = ((*b[:2], b[2] + 1, b[3] + 1) for b in (box, other))
    return overlap.reference(grown, others)


@overlap.mistake(
    "You read the boxes as (top, left, height, width). They are (top, left, bottom, right): the "
    "height is box[2] - box[0]."
)
def _as_sizes(box, other):
    corners = [(top, left, top + height, left + width) for top, left, height, width in (box, other)]
    return overlap.reference(*corners)


@overlap.mistake(
    "You read the boxes as (top, bottom, left, right). They are (top, left, bottom, right): the "
    "height is box[2] - box[0]."
)
def _as_ranges(box, other):
    corners = [(b[0], b[2], b[1], b[3]) for b in (box, other)]
    return overlap.reference(*corners)


@overlap.mistake(
    "You divide with //, which drops everything after the decimal point. A share needs /."
)
def _whole_numbers(box, other):
    return int(overlap.reference(box, other))


@overlap.mistake(
    "This is the area of the shared part. Divide it by the area that either of the boxes covers."
)
def _area_alone(box, other):
    return _shared(box, other)
