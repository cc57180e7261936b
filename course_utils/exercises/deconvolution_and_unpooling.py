"""Checks of notebook 10, deconvolution and unpooling."""

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- the matrix


def _filters(random):
    """Filter, size and stride; sizes that the last window does not fill, too."""
    return [(torch.randn(4), 12, 2), (torch.randn(3), 11, 3), (torch.randn(5), 8, 1)]


def _rows(filter, count, size, stride):
    matrix = torch.zeros(count, size)
    for row in range(count):
        matrix[row, row * stride : row * stride + len(filter)] = filter
    return matrix


@check(points=1, probes=_filters)
def convolution_matrix(filter, size, stride):
    """W (n, size): row i holds the filter (f,) from column i * stride on, and zeros elsewhere.

    n = floor((size - f) / stride) + 1: only windows that lie inside.
    """
    return _rows(filter, (size - len(filter)) // stride + 1, size, stride)


@convolution_matrix.mistake(
    "Your filter is flipped. Mathematicians flip it in a convolution, networks don't: row i holds "
    "the weights in their own order."
)
def _flipped(filter, size, stride):
    return convolution_matrix.reference(filter.flip(0), size, stride)


@convolution_matrix.mistake(
    "Your rows move on by one column each. With a stride, row i begins at column i * stride."
)
def _no_stride(filter, size, stride):
    return _rows(filter, (size - len(filter)) // stride + 1, size, 1)


@convolution_matrix.mistake(
    "A row is missing: between the first and the last window lie (size - f) // stride steps, and "
    "the first window counts too."
)
def _one_too_few(filter, size, stride):
    return convolution_matrix.reference(filter, size, stride)[:-1]


@convolution_matrix.mistake(
    "This is the transpose of W. y = W @ x, so each *row* makes one output and holds one filter."
)
def _transposed(filter, size, stride):
    return convolution_matrix.reference(filter, size, stride).T


# ---------------------------------------------------------------------------- zeros and flip


def _outputs(random):
    return [
        (torch.randn(5), torch.randn(4), 2),
        (torch.randn(4), torch.randn(3), 3),
        (torch.randn(6), torch.randn(5), 1),
    ]


def _spread(y, stride):
    spread = torch.zeros((len(y) - 1) * stride + 1)
    spread[::stride] = y
    return spread


def _slid(padded, filter):
    return F.conv1d(padded[None, None], filter[None, None])[0, 0]


@check(points=2, probes=_outputs)
def transpose_by_zeros(y, filter, stride):
    """W.T @ y for y (n,) and a filter (f,), by a convolution of stride 1: ((n - 1) * stride + f,).

    stride - 1 zeros go between neighbours in y, f - 1 zeros to either end; the filter is flipped.
    """
    margin = len(filter) - 1
    return _slid(F.pad(_spread(y, stride), (margin, margin)), filter.flip(0))


@transpose_by_zeros.mistake(
    "The filter is not flipped. Column j of W meets the outputs in order and so the weights in "
    "*reverse* order: slide filter.flip(0)."
)
def _not_flipped(y, filter, stride):
    return transpose_by_zeros.reference(y, filter.flip(0), stride)


@transpose_by_zeros.mistake(
    "There are zeros at the ends but none between the values. They are what brings the stride "
    "back: with stride 2, every second place of the longer vector is zero."
)
def _only_padded(y, filter, stride):
    margin = len(filter) - 1
    return _slid(F.pad(y, (margin, margin)), filter.flip(0))


@transpose_by_zeros.mistake(
    "The ends are not padded, so the first and the last values meet only a part of the filter. "
    "Each end needs f - 1 zeros."
)
def _not_padded(y, filter, stride):
    return _slid(F.pad(_spread(y, stride), (len(filter), len(filter))), filter.flip(0))[
        len(filter) : -len(filter)
    ]


@transpose_by_zeros.mistake(
    "Each value is repeated instead of being followed by zeros. That is nearest-neighbour "
    "upsampling and then a convolution: a good layer too, but not W.T @ y."
)
def _repeated(y, filter, stride):
    margin = len(filter) - 1
    repeated = y.repeat_interleave(stride)[: (len(y) - 1) * stride + 1]
    return _slid(F.pad(repeated, (margin, margin)), filter.flip(0))


# ---------------------------------------------------------------------------- unpooling


def _pooled(random):
    """With and without overlapping windows; maps that are not square; negative values."""
    probes = []
    for size, kernel, stride in (((6, 8), 2, 2), ((7, 5), 3, 2), ((5, 9), 3, 1)):
        maps = torch.randn(2, 3, *size)
        values, switches = F.max_pool2d(maps, kernel, stride, return_indices=True)
        probes.append((values, switches, size))
    return probes


def _scattered(values, switches, size, reduce):
    maps = torch.zeros(*values.shape[:2], size[0] * size[1])
    places, flat = switches.flatten(2), values.flatten(2)
    if reduce == "last":
        maps.scatter_(2, places, flat)
    else:
        maps.scatter_reduce_(2, places, flat, reduce)
    return maps.view(*values.shape[:2], *size)


@check(points=2, probes=_pooled)
def unpool(values, switches, size):
    """Values (N, C, h, w) at the places of their maxima, zeros elsewhere: (N, C, H, W).

    switches: (N, C, h, w), places in a map of size (H, W) in reading order
    Where windows overlap, one place may get several values: they are added.
    """
    return _scattered(values, switches, size, "sum")


@unpool.mistake(
    "Where windows overlap you keep one of the values that share a place. torch's max_unpool2d "
    "does that too; the transpose of the pooling adds them: scatter_add_."
)
def _kept_one(values, switches, size):
    return _scattered(values, switches, size, "last")


@unpool.mistake(
    "Your values fill their windows. Unpooling puts each one back to the place its switch names, "
    "and leaves zeros elsewhere."
)
def _upsampled(values, switches, size):
    return F.interpolate(values, size)


@unpool.mistake(
    "Your values stand in the corner of their windows. The switches say where each maximum was; "
    "they are needed."
)
def _corners(values, switches, size):
    maps = torch.zeros(*values.shape[:2], *size)
    steps = [-(-n // m) for n, m in zip(size, values.shape[2:])]
    rows, columns = maps[:, :, :: steps[0]].shape[2], maps[:, :, :, :: steps[1]].shape[3]
    maps[:, :, :: steps[0], :: steps[1]] = values[:, :, :rows, :columns]
    return maps


@unpool.mistake(
    "Switches count along the rows of the *large* map, so a place is row * W + column. You counted "
    "along columns."
)
def _by_columns(values, switches, size):
    turned = switches % size[1] * size[0] + switches // size[1]
    return _scattered(values, turned, size, "sum")


# ---------------------------------------------------------------------------- the deconvnet


def _networks(random):
    """A few layers of a classifier, pictures that are not square, and a channel that fires."""
    layers = [
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 4, 3, padding=1),
        nn.ReLU(),
    ]
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.3)
            nn.init.constant_(layer.bias, 0.2)
        layer.requires_grad_(False)
    probes = []
    for size, count in (((16, 24), 8), ((20, 12), 5), ((12, 16), 8)):
        x = torch.randn(2, 3, *size)
        maps = nn.Sequential(*layers[:count])(x)
        channel = int(maps.amax((2, 3)).amin(0).argmax())
        probes.append((layers[:count], x, channel))
    return probes


def _way(layers, x, channel, relu=None, transpose=None, unpooled=None, keep=None):
    """The deconvnet, with steps that a mistake may replace."""
    seen, switches = [], []
    with torch.no_grad():
        for layer in layers:
            seen.append(x)
            places = None
            if isinstance(layer, nn.MaxPool2d):
                x, places = F.max_pool2d(x, layer.kernel_size, return_indices=True)
            else:
                x = layer(x)
            switches.append(places)
        signal = (keep or _strongest)(x, channel)
        for layer, before, places in zip(layers[::-1], seen[::-1], switches[::-1]):
            if isinstance(layer, nn.MaxPool2d):
                signal = (unpooled or unpool.reference)(signal, places, before.shape[2:])
            elif isinstance(layer, nn.ReLU):
                signal = (relu or _rectified)(signal, before)
            else:
                signal = (transpose or _transpose)(signal, layer)
    return signal


def _strongest(maps, channel):
    kept = torch.zeros_like(maps)
    best = maps[:, channel].amax((1, 2), keepdim=True)
    kept[:, channel] = maps[:, channel] * (maps[:, channel] == best)
    return kept


def _rectified(signal, before):
    return signal.relu()


def _transpose(signal, layer):
    return F.conv_transpose2d(signal, layer.weight, padding=layer.padding)


@check(points=4, probes=_networks)
def deconvnet(layers, x, channel):
    """The strongest activation of a channel after the last layer, sent back to x: (N, 3, H, W).

    layers: a list of nn.Conv2d (stride 1), nn.ReLU and nn.MaxPool2d; x: (N, 3, H, W)
    On the way back: unpool by switches, rectify, transposed filter without bias.
    """
    return _way(layers, x, channel)


@deconvnet.mistake(
    "This is the gradient's rule: the signal passes where the ReLU's *input* was positive. The "
    "deconvnet doesn't ask for that; it rectifies the signal itself."
)
def _gradients_rule(layers, x, channel):
    return _way(layers, x, channel, relu=lambda signal, before: signal * (before > 0))


@deconvnet.mistake(
    "This is guided backpropagation: both rules at once. The deconvnet rectifies the signal and "
    "does not look at what the ReLU saw."
)
def _guided(layers, x, channel):
    return _way(layers, x, channel, relu=lambda signal, before: signal.relu() * (before > 0))


@deconvnet.mistake(
    "Negative signals pass your ReLUs. On the way back, too, every ReLU sets negative values to "
    "zero."
)
def _not_rectified(layers, x, channel):
    return _way(layers, x, channel, relu=lambda signal, before: signal)


@deconvnet.mistake(
    "You send back the channel's whole map. Only its strongest place stays, for each picture; all "
    "else becomes zero."
)
def _whole_map(layers, x, channel):
    def keep(maps, channel):
        kept = torch.zeros_like(maps)
        kept[:, channel] = maps[:, channel]
        return kept

    return _way(layers, x, channel, keep=keep)


@deconvnet.mistake(
    "You upsample instead of unpooling: the values must go back to where their maxima were; the "
    "switches of the way up know it."
)
def _without_switches(layers, x, channel):
    return _way(layers, x, channel, unpooled=lambda s, places, size: F.interpolate(s, size))


@deconvnet.mistake(
    "You subtract the convolutions' biases on the way back. A transposed filter has no bias: it "
    "spreads the signal, it does not undo the layer."
)
def _with_bias(layers, x, channel):
    def transpose(signal, layer):
        return _transpose(signal - layer.bias[:, None, None], layer)

    return _way(layers, x, channel, transpose=transpose)


@deconvnet.mistake(
    "You keep the strongest place of the whole batch. Every picture has its own: take the maximum "
    "over rows and columns alone."
)
def _of_the_batch(layers, x, channel):
    def keep(maps, channel):
        kept = torch.zeros_like(maps)
        kept[:, channel] = maps[:, channel] * (maps[:, channel] == maps[:, channel].max())
        return kept

    return _way(layers, x, channel, keep=keep)
