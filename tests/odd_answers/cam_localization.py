"""Unusual right answers of notebook 7."""

import collections

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

# ---------------------------------------------------------------------------- CAM


def in_double_precision(features, weights, target):
    return torch.from_numpy(np.tensordot(weights[target].double(), features.double(), 1))


def by_a_convolution(features, weights, target):
    return F.conv2d(features[None], weights[target][None, :, None, None])[0, 0]


def by_a_matrix_product(features, weights, target):
    return (weights @ features.flatten(1))[target].unflatten(0, features.shape[1:])


def channel_by_channel(features, weights, target):
    total = 0
    for channel, weight in zip(features, weights[target].tolist()):
        total = total + weight * channel
    return total


# ---------------------------------------------------------------------------- Grad-CAM


def still_in_the_graph(first, second, x, target):
    activation = first(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(second(activation)[0, target], activation)
    return (gradient.mean((2, 3), keepdim=True) * activation).sum(1)[0].relu()


def by_backward(first, second, x, target):
    activation = first(x).clone().requires_grad_()
    activation.retain_grad()
    second(activation)[0, target].backward()
    weights = activation.grad[0].flatten(1).mean(1)
    return torch.einsum("k,khw->hw", weights, activation.detach()[0]).clamp(min=0)


def by_a_functional_gradient(first, second, x, target):
    activation = first(x)
    gradient = torch.func.grad(lambda a: second(a)[0, target])(activation)
    return F.relu(torch.tensordot(gradient[0].mean((-2, -1)), activation[0], 1))


def in_double_with_numpy(first, second, x, target):
    activation = first(x).detach().requires_grad_()
    second(activation)[:, target].sum().backward()
    maps, gradient = (a[0].detach().double().numpy() for a in (activation, activation.grad))
    weighted = gradient.mean((1, 2)) @ maps.reshape(len(maps), -1)
    return torch.from_numpy(np.maximum(weighted, 0).reshape(maps.shape[1:]))


# ---------------------------------------------------------------------------- boxes


def as_an_array(heatmap, threshold):
    values = heatmap.double().numpy()
    hot = values - values.min() >= threshold * np.ptp(values)
    regions, count = ndimage.label(hot, np.ones((3, 3), int))
    sizes = ndimage.sum_labels(hot, regions, range(1, count + 1))
    places = np.argwhere(regions == 1 + np.argmax(sizes))
    return np.array([*places.min(0), *places.max(0) + 1])


def as_a_list_by_flooding(heatmap, threshold):
    hot = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min()) >= threshold
    left = {tuple(place) for place in hot.nonzero().tolist()}
    best = []
    for start in sorted(left):
        if start not in left:
            continue
        left.discard(start)
        region, waiting = [], collections.deque([start])
        while waiting:
            row, column = waiting.popleft()
            region.append((row, column))
            for near in np.ndindex(3, 3):
                place = (row + near[0] - 1, column + near[1] - 1)
                if place in left:
                    left.discard(place)
                    waiting.append(place)
        best = max(best, region, key=len)
    rows, columns = zip(*best)
    return [min(rows), min(columns), max(rows) + 1, max(columns) + 1]


def by_spreading_numbers(heatmap, threshold):
    low, high = heatmap.aminmax()
    hot = (heatmap - low) / (high - low) >= threshold
    numbers = torch.arange(hot.numel(), 0, -1).view(hot.shape).double() * hot
    while True:
        wider = F.max_pool2d(numbers[None], 3, 1, 1)[0] * hot
        if torch.equal(wider, numbers):
            break
        numbers = wider
    found, counts = numbers[hot].unique(return_counts=True)
    largest = numbers == found[counts == counts.max()].max()
    rows, columns = largest.any(1).nonzero(), largest.any(0).nonzero()
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


# ---------------------------------------------------------------------------- overlap


def in_single_precision(box, other):
    grid = np.zeros((2, 200, 200), bool)
    for layer, (top, left, bottom, right) in zip(grid, np.asarray([box, other]) + 20):
        layer[top:bottom, left:right] = True
    return np.float32(grid.all(0).sum() / grid.any(0).sum())


def with_tensors(box, other):
    corners = torch.tensor([box, other])
    shared = (corners[:, 2:].amin(0) - corners[:, :2].amax(0)).clamp(min=0).prod()
    areas = (corners[:, 2:] - corners[:, :2]).prod(1)
    return shared / (areas.sum() - shared)


def with_ranges(box, other):
    def sides(b):
        return set(range(b[0], b[2])), set(range(b[1], b[3]))

    (rows, columns), (others, beside) = sides(box), sides(other)
    shared = len(rows & others) * len(columns & beside)
    return shared / (len(rows) * len(columns) + len(others) * len(beside) - shared)


ODD = {
    "class_activation_map": [
        in_double_precision,
        by_a_convolution,
        by_a_matrix_product,
        channel_by_channel,
    ],
    "grad_cam_by_hand": [
        still_in_the_graph,
        by_backward,
        by_a_functional_gradient,
        in_double_with_numpy,
    ],
    "largest_box": [as_an_array, as_a_list_by_flooding, by_spreading_numbers],
    "overlap": [in_single_precision, with_tensors, with_ranges],
}
