"""Unusual right answers of notebook 10."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# ---------------------------------------------------------------------------- the matrix


def in_double_from_rows(filter, size, stride):
    starts = range(0, size - len(filter) + 1, stride)
    rows = [np.pad(filter.double(), (start, size - len(filter) - start)) for start in starts]
    return torch.from_numpy(np.stack(rows))


def by_convolving_the_identity(filter, size, stride):
    return F.conv1d(torch.eye(size)[:, None], filter[None, None], stride=stride)[:, 0].T


def by_distances(filter, size, stride):
    count = (size - len(filter)) // stride + 1
    place = torch.arange(size) - stride * torch.arange(count)[:, None]
    inside = (place >= 0) & (place < len(filter))
    return filter[place.clamp(0, len(filter) - 1)] * inside


def by_unfolding(filter, size, stride):
    windows = torch.eye(size).unfold(0, len(filter), stride)  # (n, size, f)
    return windows @ filter


# ---------------------------------------------------------------------------- zeros and flip


def in_double_with_numpy(y, filter, stride):
    spread = np.zeros((len(y) - 1) * stride + 1)
    spread[::stride] = y
    return torch.from_numpy(np.convolve(spread, filter.double()))


def by_torch(y, filter, stride):
    return F.conv_transpose1d(y[None, None], filter[None, None], stride=stride).flatten()


def entry_by_entry(y, filter, stride):
    result = torch.zeros((len(y) - 1) * stride + len(filter))
    for place, value in enumerate(y.tolist()):
        result[place * stride : place * stride + len(filter)] += value * filter
    return result


def by_the_gradient(y, filter, stride):
    x = torch.zeros((len(y) - 1) * stride + len(filter), requires_grad=True)
    F.conv1d(x[None, None], filter[None, None], stride=stride)[0, 0].backward(y)
    return x.grad


# ---------------------------------------------------------------------------- unpooling


def in_double_by_counting(values, switches, size):
    cells = size[0] * size[1]
    own = np.arange(values[:, :, 0, 0].numel())[:, None] * cells
    places = switches.flatten(0, 1).flatten(1).numpy() + own
    weights = values.double().numpy().ravel()
    flat = np.bincount(places.ravel(), weights, minlength=own.size * cells)
    return torch.from_numpy(flat).view(*values.shape[:2], *size)


def by_one_hot(values, switches, size):
    places = F.one_hot(switches.flatten(2), size[0] * size[1]).to(values)
    return (values.flatten(2)[..., None] * places).sum(2).unflatten(2, size)


def one_by_one(values, switches, size):
    maps = torch.zeros(*values.shape[:2], *size)
    for place in np.ndindex(*values.shape):
        row, column = divmod(int(switches[place]), size[1])
        maps[(*place[:2], row, column)] += values[place]
    return maps


def by_accumulating(values, switches, size):
    count, channels = values.shape[:2]
    maps = values.new_zeros(count, channels, size[0] * size[1])
    index = torch.arange(count)[:, None, None], torch.arange(channels)[:, None], switches.flatten(2)
    return maps.index_put(index, values.flatten(2), accumulate=True).reshape(count, channels, *size)


# ---------------------------------------------------------------------------- the deconvnet


def _with_switches(layers, x):
    sizes, switches = [], []
    for layer in layers:
        sizes.append(x.shape[2:])
        if isinstance(layer, nn.MaxPool2d):
            x, places = F.max_pool2d(x, layer.kernel_size, return_indices=True)
        else:
            x, places = layer(x), None
        switches.append(places)
    return x, sizes, switches


@torch.no_grad()
def in_double_by_torchs_unpooling(layers, x, channel):
    maps, sizes, switches = _with_switches(layers, x)
    flat = maps.double().flatten(2)
    signal = torch.zeros_like(flat)
    everyone, best = torch.arange(len(x)), flat[:, channel].argmax(1)
    signal[everyone, channel, best] = flat[everyone, channel, best]
    signal = signal.view_as(maps)
    for layer in range(len(layers) - 1, -1, -1):
        this = layers[layer]
        if isinstance(this, nn.MaxPool2d):
            where, size = switches[layer], sizes[layer]
            signal = F.max_unpool2d(signal, where, this.kernel_size, output_size=size)
        elif isinstance(this, nn.ReLU):
            signal = signal.clamp(min=0)
        else:
            signal = F.conv_transpose2d(signal, this.weight.double(), padding=this.padding)
    return signal


class _Deconvnet(torch.autograd.Function):
    """A ReLU that rectifies the signal on the way back."""

    @staticmethod
    def forward(context, x):
        return x.relu()

    @staticmethod
    def backward(context, signal):
        return signal.relu()


def by_autograd_with_another_rule(layers, x, channel):
    x = x.detach().clone().requires_grad_()
    maps = x
    for layer in layers:
        maps = _Deconvnet.apply(maps) if isinstance(layer, nn.ReLU) else layer(maps)
    strongest = maps[:, channel].flatten(1).amax(1)
    one = (maps[:, channel] == strongest.detach()[:, None, None]).float()
    signal = torch.zeros_like(maps)
    signal[:, channel] = one * maps.detach()[:, channel]
    return torch.autograd.grad(maps, x, signal)[0]


def picture_by_picture_with_flipped_filters(layers, x, channel):
    projected = []
    for picture in x:
        maps, sizes, switches = _with_switches(layers, picture[None])
        signal = torch.zeros_like(maps)
        place = np.unravel_index(int(maps[0, channel].argmax()), maps.shape[2:])
        signal[(0, channel, *place)] = maps[(0, channel, *place)]
        for layer, size, where in list(zip(layers, sizes, switches))[::-1]:
            if isinstance(layer, nn.MaxPool2d):
                signal = by_accumulating(signal, where, size)
            elif isinstance(layer, nn.ReLU):
                signal = torch.relu(signal)
            else:
                turned = layer.weight.flip(2, 3).transpose(0, 1)
                ends = [k - 1 - p for k, p in zip(layer.kernel_size, layer.padding)]
                signal = F.conv2d(signal, turned, padding=ends)
        projected.append(signal[0])
    return torch.stack(projected)


# ---------------------------------------------------------------------------- which channel


def in_double_with_numpy_one_by_one(pictures, examples):
    answers = []
    for picture in pictures.double().numpy():
        likeness = []
        for drawings in examples.double().numpy():
            cosines = [
                (picture * drawing).sum() / np.linalg.norm(picture) / np.linalg.norm(drawing)
                for drawing in drawings
            ]
            likeness.append(sum(cosines))
        answers.append(int(np.argmax(likeness)))
    return torch.tensor(answers, dtype=torch.int16)


def by_torchs_cosine(pictures, examples):
    pairs = pictures.flatten(1)[:, None, None], examples.flatten(2)[None]
    return F.cosine_similarity(*pairs, dim=3).mean(dim=2).argmax(dim=1)


def by_the_smallest_angle_of_unit_vectors(pictures, examples):
    units = examples / examples.square().sum((2, 3, 4), keepdim=True).sqrt()
    flat = units.mean(1).flatten(1)  # of unit vectors: products with it are mean cosines
    return torch.stack([-(flat @ picture.flatten()) for picture in pictures]).min(dim=1).indices


ODD = {
    "convolution_matrix": [
        in_double_from_rows,
        by_convolving_the_identity,
        by_distances,
        by_unfolding,
    ],
    "transpose_by_zeros": [in_double_with_numpy, by_torch, entry_by_entry, by_the_gradient],
    "unpool": [in_double_by_counting, by_one_hot, one_by_one, by_accumulating],
    "deconvnet": [
        in_double_by_torchs_unpooling,
        by_autograd_with_another_rule,
        picture_by_picture_with_flipped_filters,
    ],
    "which_channel": [
        in_double_with_numpy_one_by_one,
        by_torchs_cosine,
        by_the_smallest_angle_of_unit_vectors,
    ],
}
