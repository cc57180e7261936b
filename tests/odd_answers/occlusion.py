"""Unusual right answers of notebook 4."""

import itertools

import numpy as np
import torch

# ---------------------------------------------------------------------------- windows


def as_a_tensor(height, width, patch, stride):
    tops = torch.arange(0, height - patch + stride, stride)
    lefts = torch.arange(0, width - patch + stride, stride)
    corners = torch.cartesian_prod(tops, lefts)
    ends = torch.minimum(corners + patch, torch.tensor([height, width]))
    return torch.cat([corners, ends], 1)


def as_lists_until_the_end_is_reached(height, width, patch, stride):
    found, top = [], 0
    while True:
        left = 0
        while True:
            found.append([top, left, min(height, top + patch), min(width, left + patch)])
            if left + patch >= width:
                break
            left += stride
        if top + patch >= height:
            return found
        top += stride


def by_recursion(height, width, patch, stride):
    def starts(length):
        return [0] if length <= patch else [0, *(stride + s for s in starts(length - stride))]

    return tuple(
        (top, left, min(top + patch, height), min(left + patch, width))
        for top, left in itertools.product(starts(height), starts(width))
    )


# ---------------------------------------------------------------------------- drops


def in_double_precision(model, x, replacement, places, target):
    found = torch.zeros(len(places), dtype=torch.float64)
    with torch.no_grad():
        whole = model(x)[0, target].double()
        for number, (top, left, bottom, right) in enumerate(places):
            covered = torch.zeros(x.shape[2:], dtype=torch.bool)
            covered[top:bottom, left:right] = True
            found[number] = whole - model(torch.where(covered, replacement, x))[0, target]
    return found


@torch.inference_mode()
def in_batches_of_eight(model, x, replacement, places, target):
    scores = []
    for start in range(0, len(places), 8):
        part = places[start : start + 8]
        batch = x.repeat(len(part), 1, 1, 1)
        for copy, (top, left, bottom, right) in zip(batch, part):
            copy[:, top:bottom, left:right] = replacement[0, :, top:bottom, left:right]
        scores.append(model(batch)[:, target])
    return model(x)[0, target] - torch.cat(scores)


@torch.no_grad()
def with_one_copy_restored(model, x, replacement, places, target):
    copy, found = x.clone(), []
    for top, left, bottom, right in places:
        window = (..., slice(top, bottom), slice(left, right))
        copy[window] = replacement[window]
        found.append((model(x) - model(copy))[0, target].item())
        copy[window] = x[window]
    return torch.tensor(found)


def with_a_generator(model, x, replacement, places, target):
    def copies():
        for top, left, bottom, right in places:
            copy = x.detach().clone()
            copy[0, :, top:bottom, left:right] = replacement[0, :, top:bottom, left:right]
            yield copy

    before = model(x).detach()[:, target]
    return torch.cat([before - model(copy).detach()[:, target] for copy in copies()])


# ---------------------------------------------------------------------------- map


def in_double_with_numpy(values, places, height, width):
    total = np.zeros((2, height, width))
    for value, (top, left, bottom, right) in zip(values.double().numpy(), places):
        total[:, top:bottom, left:right] += np.array([value, 1])[:, None, None]
    return torch.from_numpy(total[0] / total[1])


def by_a_matrix_product_of_masks(values, places, height, width):
    places = torch.as_tensor(places)
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (places[:, :1] <= rows) & (rows < places[:, 2:3])
    in_columns = (places[:, 1:2] <= columns) & (columns < places[:, 3:])
    masks = (in_rows[:, :, None] & in_columns[:, None]).float()
    return torch.einsum("n,nhw->hw", values, masks) / masks.sum(0)


def pixel_by_pixel(values, places, height, width):
    heatmap = torch.empty(height, width)
    for row, column in itertools.product(range(height), range(width)):
        on_it = [
            value
            for value, (top, left, bottom, right) in zip(values.tolist(), places)
            if top <= row < bottom and left <= column < right
        ]
        heatmap[row, column] = sum(on_it) / len(on_it)
    return heatmap


def by_a_running_mean(values, places, height, width):
    mean, count = values.new_zeros(height, width), values.new_zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        window = slice(top, bottom), slice(left, right)
        count[window] += 1
        mean[window] += (value - mean[window]) / count[window]
    return mean


# ---------------------------------------------------------------------------- reach


def as_floats_in_an_array(first, size, kernel, stride, padding, length):
    ends = np.array([first + padding - kernel + 1, first + size - 1 + padding]) / stride
    return np.clip([np.ceil(ends[0]), np.floor(ends[1])], 0, length - 1)


def by_trying_all(first, size, kernel, stride, padding, length):
    seeing = [
        output
        for output in range(length)
        if set(range(output * stride - padding, output * stride - padding + kernel))
        & set(range(first, first + size))
    ]
    return [seeing[0], seeing[-1]]


def by_a_convolution(first, size, kernel, stride, padding, length):
    inputs = torch.zeros(1, 1, (length - 1) * stride + kernel + first + size + padding)
    inputs[..., first + padding : first + padding + size] = 1
    ones = torch.ones(1, 1, kernel)
    outputs = torch.nn.functional.conv1d(inputs, ones, stride=stride)[0, 0, :length]
    changed = outputs.nonzero()
    return changed.min(), changed.max()


def by_whole_numbers(first, size, kernel, stride, padding, length):
    lowest = -((kernel - 1 - padding - first) // stride)
    return sorted((lowest, 0))[1], sorted(((first + size - 1 + padding) // stride, length - 1))[0]


# ---------------------------------------------------------------------------- score


def as_a_quotient_of_shares_in_numpy(heatmap, mask):
    weight = np.maximum(heatmap.double().numpy(), 0)
    if not weight.any():
        return np.float64(1)
    return weight[mask.numpy()].sum() / weight.sum() / mask.numpy().mean()


def as_a_tensor_of_one_value(heatmap, mask):
    weight = torch.where(heatmap > 0, heatmap, 0)
    share = (weight * mask).sum() / weight.sum()
    return torch.nan_to_num(share * mask.numel() / mask.sum(), nan=1.0)


def pixel_after_pixel(heatmap, mask):
    inside, everywhere = 0.0, 0.0
    for value, is_inside in zip(heatmap.flatten().tolist(), mask.flatten().tolist()):
        everywhere += max(value, 0)
        inside += max(value, 0) * is_inside
    return 1 if everywhere == 0 else inside / everywhere / (mask.sum().item() / mask.numel())


# ---------------------------------------------------------------------------- planted


def by_a_mask_of_weights(x, window):
    top, left, bottom, right = window
    weights = torch.zeros_like(x[0])
    weights[:, top:bottom, left:right] = 1 / (3 * (bottom - top) * (right - left))
    score = torch.einsum("nchw,chw->n", x, weights)
    return torch.stack([score, -score]).T


def picture_after_picture(x, window):
    top, left, bottom, right = window
    rows = []
    for picture in x:
        score = picture[:, top:bottom, left:right].double().mean()
        rows.append(torch.stack([score, -score]))
    return torch.stack(rows)


def by_a_sign_for_each_score(x, window):
    top, left, bottom, right = window
    inside = x[..., top:bottom, left:right].flatten(1)
    return inside.mean(1, keepdim=True) * torch.tensor([1.0, -1.0])


ODD = {
    "windows": [as_a_tensor, as_lists_until_the_end_is_reached, by_recursion],
    "drops": [
        in_double_precision,
        in_batches_of_eight,
        with_one_copy_restored,
        with_a_generator,
    ],
    "to_map": [
        in_double_with_numpy,
        by_a_matrix_product_of_masks,
        pixel_by_pixel,
        by_a_running_mean,
    ],
    "reach": [as_floats_in_an_array, by_trying_all, by_a_convolution, by_whole_numbers],
    "weight_on": [
        as_a_quotient_of_shares_in_numpy,
        as_a_tensor_of_one_value,
        pixel_after_pixel,
    ],
    "planted": [by_a_mask_of_weights, picture_after_picture, by_a_sign_for_each_score],
}
