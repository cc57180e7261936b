"""Checks of notebook 10, deconvolution and unpooling."""

import itertools

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- the matrix


def _filters(random):
    """Filter, size and stride: windows that fill the size and that don't, gaps, one window.

    In one, size // stride - f // stride + 1 is one too many.
    """
    sizes = ((4, 12, 2), (3, 11, 3), (5, 8, 1), (2, 11, 4), (6, 6, 2), (3, 12, 2))
    return [(torch.randn(length), size, stride) for length, size, stride in sizes]


def _rows(filter, count, size, stride):
    """The filter in `count` rows; what sticks out at the right is cut off."""
    matrix = torch.zeros(count, size + len(filter))
    for row in range(count):
        start = min(row * stride, size)
        matrix[row, start : start + len(filter)] = filter
    return matrix[:, :size]


@check(points=1, probes=_filters)
def convolution_matrix(filter, size, stride):
    """The matrix W of a convolution: a float tensor (n, size), n = floor((size - f) / stride) + 1.

    Row i holds the filter (f,) from column i * stride on, and zeros elsewhere.
    Only windows that lie inside count.
    """
    count = (size - len(filter)) // stride + 1
    matrix = torch.zeros(count, size)
    for row in range(count):
        matrix[row, row * stride : row * stride + len(filter)] = filter
    return matrix


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
    "Your rows move on by one column each, and there are as many as with stride 1. Row i begins at "
    "column i * stride, and there are (size - f) // stride + 1 of them."
)
def _as_with_stride_1(filter, size, stride):
    return convolution_matrix.reference(filter, size, 1)


@convolution_matrix.mistake(
    "Your rows move on by the filter's length. Windows may overlap: row i begins at column "
    "i * stride."
)
def _by_length(filter, size, stride):
    return _rows(filter, (size - len(filter)) // stride + 1, size, len(filter))


@convolution_matrix.mistake(
    "A row is missing: between the first and the last window lie (size - f) // stride steps, and "
    "the first window counts too."
)
def _one_too_few(filter, size, stride):
    return convolution_matrix.reference(filter, size, stride)[:-1]


@convolution_matrix.mistake(
    "You round up, so the last window sticks out where the size is not filled. Only windows that "
    "lie inside count: round down."
)
def _rounded_up(filter, size, stride):
    return _rows(filter, -((len(filter) - size) // stride) + 1, size, stride)


@convolution_matrix.mistake(
    "Windows that stick out at the right have rows, too. Only those that lie inside count: there "
    "are (size - f) // stride + 1."
)
def _all_starts(filter, size, stride):
    return _rows(filter, len(range(0, size, stride)), size, stride)


@convolution_matrix.mistake(
    "The count lacks its brackets: `//` comes before the minus. Divide the difference, "
    "(size - f) // stride, and add 1."
)
def _without_brackets(filter, size, stride):
    return _rows(filter, size - len(filter) // stride + 1, size, stride)


@convolution_matrix.mistake(
    "There are as many rows as with stride 1, and those between are empty. Row i holds the filter "
    "from column i * stride on: no row is left out."
)
def _empty_rows(filter, size, stride):
    matrix = convolution_matrix.reference(filter, size, 1)
    kept = torch.zeros_like(matrix)
    kept[::stride] = matrix[::stride]
    return kept


@convolution_matrix.mistake(
    "This is the transpose of W. y = W @ x, so each *row* makes one output and holds one filter."
)
def _transposed(filter, size, stride):
    return convolution_matrix.reference(filter, size, stride).T


# ---------------------------------------------------------------------------- zeros and flip


def _outputs(random):
    """y, filter and stride: overlapping and not, with gaps, a single y, a single weight."""
    sizes = ((5, 4, 2), (4, 3, 3), (6, 5, 1), (3, 2, 4), (1, 3, 2), (4, 1, 2))
    return [(torch.randn(count), torch.randn(length), stride) for count, length, stride in sizes]


def _spread(y, stride):
    spread = torch.zeros((len(y) - 1) * stride + 1)
    spread[::stride] = y
    return spread


def _slid(line, filter, before, after, stride=1):
    padded = F.pad(line, (before, after))
    return F.conv1d(padded[None, None], filter[None, None], stride=stride)[0, 0]


@check(points=2, probes=_outputs)
def transpose_by_zeros(y, filter, stride):
    """W.T @ y for y (n,) and a filter (f,), by a convolution of stride 1: ((n - 1) * stride + f,).

    stride - 1 zeros go between neighbours in y, f - 1 zeros to either end; the filter is flipped.
    """
    spread = torch.zeros((len(y) - 1) * stride + 1)
    spread[::stride] = y
    padded = F.pad(spread, (len(filter) - 1, len(filter) - 1))
    return F.conv1d(padded[None, None], filter.flip(0)[None, None])[0, 0]


@transpose_by_zeros.mistake(
    "The filter slides the wrong way round. Column j of W meets the outputs in order and so the "
    "weights in *reverse* order. F.conv1d doesn't flip, so give it filter.flip(0); np.convolve "
    "flips by itself, so give it the filter as it is."
)
def _not_flipped(y, filter, stride):
    return transpose_by_zeros.reference(y, filter.flip(0), stride)


@transpose_by_zeros.mistake(
    "You flipped y. What is flipped is the filter; the entries of y stay in their order."
)
def _y_flipped(y, filter, stride):
    return transpose_by_zeros.reference(y.flip(0), filter.flip(0), stride)


@transpose_by_zeros.mistake(
    "Both y and the filter are flipped, which reads the result backwards. Flip the filter alone."
)
def _both_flipped(y, filter, stride):
    return transpose_by_zeros.reference(y.flip(0), filter, stride)


@transpose_by_zeros.mistake(
    "There are zeros at the ends but none between the values. They are what brings the stride "
    "back: with stride 2, every second place of the longer vector is zero."
)
def _only_padded(y, filter, stride):
    return _slid(y, filter.flip(0), len(filter) - 1, len(filter) - 1)


@transpose_by_zeros.mistake(
    "The ends are not padded, so the first and the last values meet only a part of the filter. "
    "Each end needs f - 1 zeros."
)
def _not_padded(y, filter, stride):
    return _slid(_spread(y, stride), filter.flip(0), 0, 0)


@transpose_by_zeros.mistake(
    "There is a zero too many at either end: the first window holds y's first entry as its last, "
    "so f - 1 zeros come before it."
)
def _padded_too_far(y, filter, stride):
    return _slid(_spread(y, stride), filter.flip(0), len(filter), len(filter))


@transpose_by_zeros.mistake("All the zeros are at one end. f - 1 of them belong to either end.")
def _padded_at_the_end(y, filter, stride):
    return _slid(_spread(y, stride), filter.flip(0), 0, 2 * (len(filter) - 1))


@transpose_by_zeros.mistake(
    "The values are right, but further to the right than they should be: all the zeros are at the "
    "beginning. f - 1 of them belong to either end."
)
def _padded_at_the_beginning(y, filter, stride):
    return _slid(_spread(y, stride), filter.flip(0), 2 * (len(filter) - 1), 0)


@transpose_by_zeros.mistake(
    "Zeros also follow the last entry of y. They go between neighbours only, so the longer vector "
    "has (n - 1) * stride + 1 entries."
)
def _zeros_behind(y, filter, stride):
    longer = F.pad(_spread(y, stride), (0, stride - 1))
    return _slid(longer, filter.flip(0), len(filter) - 1, len(filter) - 1)


@transpose_by_zeros.mistake(
    "There is a zero too many between neighbours: with stride 2 every second place is filled, so "
    "stride - 1 zeros lie between two entries."
)
def _stride_too_large(y, filter, stride):
    return transpose_by_zeros.reference(y, filter, stride + 1)


@transpose_by_zeros.mistake(
    "You slide the filter with the stride. The zeros stand for the stride already: this "
    "convolution has stride 1."
)
def _stride_twice(y, filter, stride):
    ends = len(filter) - 1
    return _slid(_spread(y, stride), filter.flip(0), ends, ends, stride)


@transpose_by_zeros.mistake(
    "Each value is repeated instead of being followed by zeros. That is nearest-neighbour "
    "upsampling and then a convolution: a good layer too, but not W.T @ y."
)
def _repeated(y, filter, stride):
    repeated = y.repeat_interleave(stride)[: (len(y) - 1) * stride + 1]
    return _slid(repeated, filter.flip(0), len(filter) - 1, len(filter) - 1)


@transpose_by_zeros.mistake(
    "Your result is cut off at both ends: `same` keeps as many entries as the longer of the two "
    "has. Take the whole, `full`."
)
def _same_length(y, filter, stride):
    whole = transpose_by_zeros.reference(y, filter, stride)
    longer = max((len(y) - 1) * stride + 1, len(filter))
    start = (len(whole) - longer) // 2
    return whole[start : start + longer]


@transpose_by_zeros.mistake(
    "The axes that conv1d needs are still there: take them away again, with [0, 0]."
)
def _with_axes(y, filter, stride):
    return transpose_by_zeros.reference(y, filter, stride)[None, None]


# ---------------------------------------------------------------------------- unpooling


def _pooled(random):
    """Windows apart and overlapping, where some share a maximum; one map is square.

    Values of both signs, and other values than the maxima at their places: a signal on its way
    back is no activation.
    """
    probes = []
    for count, size, kernel, stride in (
        ((2, 3), (6, 6), 2, 2),
        ((1, 4), (7, 5), 3, 2),
        ((3, 2), (5, 9), 3, 1),
    ):
        maps = torch.randn(*count, *size)
        maps[:, :, 2, 3] = 9
        values, switches = F.max_pool2d(maps, kernel, stride, return_indices=True)
        signal = torch.randn(values.shape)
        probes.append((signal, switches, size))
    return probes


def _scattered(values, switches, size, reduce="sum"):
    maps = torch.zeros(*values.shape[:2], size[0] * size[1])
    places, flat = switches.flatten(2), values.flatten(2)
    if reduce == "last":
        maps.scatter_(2, places, flat)
    else:
        maps.scatter_reduce_(2, places, flat, reduce, include_self=reduce != "mean")
    return maps.view(*values.shape[:2], *size)


@check(points=2, probes=_pooled)
def unpool(values, switches, size):
    """Values (N, C, h, w) at the places of their maxima, zeros elsewhere: (N, C, H, W).

    switches: (N, C, h, w), places in a map of size (H, W) in reading order
    Where windows overlap, one place may get several values: they are added.
    """
    height, width = size
    maps = torch.zeros(*values.shape[:2], height * width)
    maps.scatter_add_(2, switches.flatten(2), values.flatten(2))
    return maps.view(*values.shape[:2], height, width)


@unpool.mistake(
    "Where windows overlap you keep one of the values that share a place. torch's max_unpool2d "
    "does that too; the transpose of the pooling adds them: scatter_add_."
)
def _kept_last(values, switches, size):
    return _scattered(values, switches, size, "last")


@unpool.mistake(
    "You keep the largest of the values that share a place, and 0 where they are negative. The "
    "transpose of the pooling adds them."
)
def _kept_largest(values, switches, size):
    return _scattered(values, switches, size, "amax")


@unpool.mistake(
    "Where windows overlap you average the values that share a place. The transpose of the pooling "
    "adds them."
)
def _averaged(values, switches, size):
    return _scattered(values, switches, size, "mean")


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
    return _one_by_one(values, switches, size, lambda place: (place % size[1], place // size[1]))


@unpool.mistake(
    "You divide the switches by the height. A map is read row by row, and each row is as long as "
    "the map is *wide*: row = switch // W, column = switch % W."
)
def _by_height(values, switches, size):
    return _one_by_one(values, switches, size, lambda place: divmod(place, size[0]))


def _one_by_one(values, switches, size, row_and_column):
    maps = torch.zeros(*values.shape[:2], *size)
    for count, channel, i, j in itertools.product(*map(range, values.shape)):
        row, column = row_and_column(int(switches[count, channel, i, j]))
        maps[count, channel, row, column] += values[count, channel, i, j]
    return maps


@unpool.mistake("Height and width are exchanged: `size` is (H, W), rows first.")
def _size_exchanged(values, switches, size):
    return _scattered(values, switches, size[::-1])


@unpool.mistake("The map is still flat. Give it its rows and columns back: `.view(N, C, H, W)`.")
def _flat(values, switches, size):
    return _scattered(values, switches, size).flatten(2)


@unpool.mistake(
    "Only the first map of the first picture is filled. Every channel of every picture has values "
    "and switches of its own."
)
def _first_map(values, switches, size):
    maps = torch.zeros(*values.shape[:2], *size)
    maps[:1, :1] = _scattered(values[:1, :1], switches[:1, :1], size)
    return maps


@unpool.mistake(
    "All channels share one map: switches begin anew in every channel, so a map of its own is "
    "needed for each."
)
def _channels_together(values, switches, size):
    maps = _scattered(values.flatten(1)[:, None, None], switches.flatten(1)[:, None, None], size)
    return maps.expand(-1, values.shape[1], -1, -1)


@unpool.mistake("You mark the places. What belongs there is the values.")
def _marked(values, switches, size):
    return (_scattered(torch.ones_like(values), switches, size) > 0).float()


# ---------------------------------------------------------------------------- the deconvnet


def _layers(*builds):
    """Frozen layers: a number stands for pooling, (in, out, kernel, padding) for a convolution."""
    layers = []
    for build in builds:
        if build == "relu":
            layers.append(nn.ReLU())
        elif isinstance(build, int):
            layers.append(nn.MaxPool2d(build))
        else:
            inputs, outputs, kernel, padding = build
            layers.append(nn.Conv2d(inputs, outputs, kernel, padding=padding))
            nn.init.normal_(layers[-1].weight, std=0.3)
            nn.init.constant_(layers[-1].bias, 0.2)
        layers[-1].requires_grad_(False)
    return layers


def _networks(random):
    """Networks with several kernels, paddings and poolings, some of which leave a row over.

    The channel fires in both pictures but is never the strongest, and the second picture is
    brighter. One network ends in a convolution whose values are all negative.
    """
    long = _layers((3, 5, 3, 1), "relu", 2, (5, 6, 3, 1), "relu", 2, (6, 4, 3, 1), "relu")
    short = _layers((3, 4, 5, 2), "relu", 3, (4, 5, 3, 1), "relu")
    pooled = _layers((3, 6, 3, (0, 1)), "relu", 2)
    below_zero = _layers((3, 4, 3, 0), "relu", (4, 3, 1, 0))
    probes = []
    for layers, size, channel in (
        (long, (16, 24), 2),
        (short, (13, 20), 1),
        (pooled, (9, 12), 0),
        (below_zero, (6, 8), 1),
    ):
        x = torch.randn(2, 3, *size)
        x[1] *= 1.5
        _make_runner_up(layers, x, channel)
        probes.append((layers, x, channel))
    below_zero[-1].bias -= 50
    probes.append((long, probes[0][1][1:], 3))
    return probes


def _make_runner_up(layers, x, channel):
    """Exchanges channels of the last convolution so that `channel` comes second in strength."""
    last = [layer for layer in layers if isinstance(layer, nn.Conv2d)][-1]
    peaks = nn.Sequential(*layers)(x).amax((2, 3)).amin(0)
    order = peaks.argsort(descending=True).tolist()
    order.insert(channel, order.pop(1))
    last.weight.copy_(last.weight[order])


def way_up(layers, x):
    """Runs the layers, and notes what the way back needs -> maps, [(layer, size, switches)]."""
    notes = []
    for layer in layers:
        size, switches = x.shape[2:], None
        if isinstance(layer, nn.MaxPool2d):
            x, switches = F.max_pool2d(x, layer.kernel_size, return_indices=True)
        else:
            x = layer(x)
        notes.append((layer, size, switches))
    return x, notes


@check(points=4, probes=_networks, graph="any")
def deconvnet(layers, x, channel):
    """The strongest activation of a channel after the last layer, sent back to x: (N, 3, H, W).

    layers: a list of nn.Conv2d (stride 1, any padding), nn.ReLU and nn.MaxPool2d (stride = kernel)
    x: (N, 3, H, W); each picture has its own strongest activation, which keeps its value
    On the way back: unpool by switches, rectify, transposed filter without bias.
    """
    with torch.no_grad():
        maps, notes = way_up(layers, x)
        strongest = maps[:, channel].amax(dim=(1, 2), keepdim=True)
        signal = torch.zeros_like(maps)
        signal[:, channel] = maps[:, channel] * (maps[:, channel] == strongest)
        for layer, size, switches in reversed(notes):
            if isinstance(layer, nn.MaxPool2d):
                signal = unpool.reference(signal, switches, size)
            elif isinstance(layer, nn.ReLU):
                signal = signal.relu()
            else:
                signal = F.conv_transpose2d(signal, layer.weight, padding=layer.padding)
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


@torch.no_grad()
def _sent_back(
    layers, x, channel, keep=_strongest, relu=_rectified, transpose=_transpose, unpooled=_scattered
):
    """The deconvnet, with steps that a mistake may replace."""
    maps, notes = way_up(layers, x)
    signal = keep(maps, channel)
    for number, (layer, size, switches) in reversed(list(enumerate(notes))):
        if isinstance(layer, nn.MaxPool2d):
            signal = unpooled(signal, switches, size)
        elif isinstance(layer, nn.ReLU):
            before, _ = way_up(layers[:number], x)
            signal = relu(signal, before)
        else:
            signal = transpose(signal, layer)
    return signal


@deconvnet.mistake(
    "This is the gradient's rule: the signal passes where the ReLU's *input* was positive. The "
    "deconvnet doesn't ask for that; it rectifies the signal itself."
)
def _gradients_rule(layers, x, channel):
    return _sent_back(layers, x, channel, relu=lambda signal, before: signal * (before > 0))


@deconvnet.mistake(
    "This is guided backpropagation: both rules at once. The deconvnet rectifies the signal and "
    "does not look at what the ReLU saw."
)
def _guided(layers, x, channel):
    return _sent_back(layers, x, channel, relu=lambda signal, before: signal.relu() * (before > 0))


@deconvnet.mistake(
    "Negative signals pass your ReLUs. On the way back, too, every ReLU sets negative values to "
    "zero."
)
def _not_rectified(layers, x, channel):
    return _sent_back(layers, x, channel, relu=lambda signal, before: signal)


@deconvnet.mistake(
    "Every convolution is rectified on your way back. The signal is rectified where a ReLU stands, "
    "and the pixels may be negative."
)
def _rectified_everywhere(layers, x, channel):
    def transpose(signal, layer):
        return _transpose(signal, layer).relu()

    return _sent_back(layers, x, channel, transpose=transpose)


@deconvnet.mistake(
    "You send back the channel's whole map. Only its strongest place stays, for each picture; all "
    "else becomes zero."
)
def _whole_map(layers, x, channel):
    def keep(maps, channel):
        kept = torch.zeros_like(maps)
        kept[:, channel] = maps[:, channel]
        return kept

    return _sent_back(layers, x, channel, keep=keep)


@deconvnet.mistake(
    "You send all maps back as they are. Only one number stays for each picture, the strongest "
    "activation of the channel; all else becomes zero."
)
def _all_maps(layers, x, channel):
    return _sent_back(layers, x, channel, keep=lambda maps, channel: maps)


@deconvnet.mistake(
    "You keep the strongest place of the whole batch. Every picture has its own: take the maximum "
    "over rows and columns alone."
)
def _of_the_batch(layers, x, channel):
    def keep(maps, channel):
        kept = torch.zeros_like(maps)
        kept[:, channel] = maps[:, channel] * (maps[:, channel] == maps[:, channel].max())
        return kept

    return _sent_back(layers, x, channel, keep=keep)


@deconvnet.mistake(
    "You keep the strongest activation of all channels. Look for it in the channel that was asked "
    "for, `maps[:, channel]`."
)
def _of_all_channels(layers, x, channel):
    def keep(maps, channel):
        return maps * (maps == maps.amax((1, 2, 3), keepdim=True))

    return _sent_back(layers, x, channel, keep=keep)


@deconvnet.mistake(
    "You keep the strongest activation of every channel. All channels but the one that was asked "
    "for become zero."
)
def _of_each_channel(layers, x, channel):
    def keep(maps, channel):
        return maps * (maps == maps.amax((2, 3), keepdim=True))

    return _sent_back(layers, x, channel, keep=keep)


@deconvnet.mistake(
    "At the strongest place you keep all channels. Only the one that was asked for stays; the "
    "others become zero there, too."
)
def _all_channels_there(layers, x, channel):
    def keep(maps, channel):
        one = maps[:, channel : channel + 1]
        return maps * (one == one.amax((2, 3), keepdim=True))

    return _sent_back(layers, x, channel, keep=keep)


@deconvnet.mistake("You send a 1 back. The strongest activation keeps its own value.")
def _one(layers, x, channel):
    def keep(maps, channel):
        kept = torch.zeros_like(maps)
        one = maps[:, channel]
        kept[:, channel] = (one == one.amax((1, 2), keepdim=True)).float()
        return kept

    return _sent_back(layers, x, channel, keep=keep)


@deconvnet.mistake(
    "You upsample instead of unpooling: the values must go back to where their maxima were; the "
    "switches of the way up know it."
)
def _without_switches(layers, x, channel):
    def unpooled(signal, switches, size):
        return F.interpolate(signal, size)

    return _sent_back(layers, x, channel, unpooled=unpooled)


@deconvnet.mistake(
    "You subtract the convolutions' biases on the way back. A transposed filter has no bias: it "
    "spreads the signal, it does not undo the layer."
)
def _bias_subtracted(layers, x, channel):
    def transpose(signal, layer):
        return _transpose(signal - layer.bias[:, None, None], layer)

    return _sent_back(layers, x, channel, transpose=transpose)


@deconvnet.mistake(
    "Your filters are not flipped: you used `conv2d` with channels exchanged. The transpose of a "
    "convolution is F.conv_transpose2d."
)
def _not_transposed(layers, x, channel):
    def transpose(signal, layer):
        return F.conv2d(signal, layer.weight.transpose(0, 1), padding=layer.padding)

    return _sent_back(layers, x, channel, transpose=transpose)


@deconvnet.mistake(
    "The padding is missing on your way back, so the signal grows with every convolution. Give "
    "F.conv_transpose2d the layer's own: padding=layer.padding."
)
def _no_padding(layers, x, channel):
    def transpose(signal, layer):
        return F.conv_transpose2d(signal, layer.weight)

    return _sent_back(layers, x, channel, transpose=transpose)


@deconvnet.mistake(
    "Your padding is 1 for every convolution. A layer knows its own: padding=layer.padding."
)
def _padding_1(layers, x, channel):
    def transpose(signal, layer):
        return F.conv_transpose2d(signal, layer.weight, padding=1)

    return _sent_back(layers, x, channel, transpose=transpose)


# ---------------------------------------------------------------------------- which channel


def _drawings(random):
    """Pictures of several channels, which have several examples each or one; a single picture.

    Examples differ in length and in noise, some in sign, and the patterns have levels of their own.
    Of many pictures those are taken on which usual mistakes answer otherwise, so that none passes
    by chance. Where two channels are nearly as alike, rounding would decide: these are left out.
    """
    probes = []
    for channels, count, size in ((4, 5, (3, 4)), (3, 4, (5, 2)), (5, 1, (2, 3))):
        patterns = torch.randn(channels, 3, *size) + 2 * torch.randn(channels, 1, 1, 1)
        noise = torch.linspace(0.5, 3, channels).view(-1, 1, 1, 1, 1)
        examples = patterns[:, None] + noise * torch.randn(channels, count, 3, *size)
        examples = examples * 10 ** torch.empty(channels, count, 1, 1, 1).uniform_(-1, 1)
        examples[:2, : count // 2] *= -1
        mixed = torch.einsum("nk,kchw->nchw", torch.randn(400, channels), patterns)
        mixed = (mixed + torch.randn_like(mixed)) * 10 ** torch.empty(400, 1, 1, 1).uniform_(-1, 1)
        best = _likeness(mixed, examples).mean(2).topk(2).values
        clear = mixed[best[:, 0] - best[:, 1] > 0.02]
        probes.append((clear[_telling(clear, examples)], examples))
    pictures, examples = probes[0]
    return [*probes, (pictures[:1], examples)]


def _telling(pictures, examples):
    """The numbers of the first picture, and of two that each mistake below gets wrong."""
    right = which_channel.reference(pictures, examples)
    chosen = [0]
    for mistake in which_channel.mistakes:
        answers = mistake.function(pictures, examples)
        if answers.shape == right.shape:
            chosen += (answers != right).nonzero()[:2, 0].tolist()
    return list(dict.fromkeys(chosen))


def _likeness(pictures, examples):
    """The cosine of each picture (N, ...) with each example (K, M, ...): (N, K, M)."""
    unit = F.normalize(pictures.flatten(1), dim=1)
    return torch.einsum("nd,kmd->nkm", unit, F.normalize(examples.flatten(2), dim=2))


@check(points=2, probes=_drawings, integers=True)
def which_channel(pictures, examples):
    """The channel that drew each picture: whole numbers from 0 to K - 1, a tensor (N,).

    pictures: (N, 3, H, W), signed; examples: (K, M, 3, H, W), M drawings by each of K channels
    It is the channel whose examples have the highest mean cosine with the picture.
    """
    examples = F.normalize(examples.flatten(2), dim=2)
    likeness = torch.einsum("nd,kmd->nkm", pictures.flatten(1), examples)
    return likeness.mean(2).argmax(1)


def _products(pictures, examples):
    return torch.einsum("nd,kmd->nkm", pictures.flatten(1), examples.flatten(2))


@which_channel.mistake(
    "Your products grow with the length of the examples, so the strongest drawings win. A cosine "
    "divides by both lengths."
)
def _as_long_as_they_are(pictures, examples):
    return _products(pictures, examples).mean(2).argmax(1)


@which_channel.mistake(
    "You average a channel's examples as they are, and compare with that one picture: the longest "
    "example decides. Take the cosine with each example, and average the cosines."
)
def _mean_example(pictures, examples):
    return _likeness(pictures, examples.mean(1, keepdim=True))[:, :, 0].argmax(1)


@which_channel.mistake(
    "You average the scaled examples and take the cosine with their mean. The mean of unlike "
    "examples is short, and dividing by its length favours it. Average the cosines."
)
def _mean_of_scaled(pictures, examples):
    scaled = F.normalize(examples.flatten(2), dim=2).mean(1, keepdim=True)
    return _likeness(pictures, scaled)[:, :, 0].argmax(1)


@which_channel.mistake(
    "You go by the single most similar example. What counts is how alike a channel's examples are "
    "on average."
)
def _nearest_example(pictures, examples):
    return _likeness(pictures, examples).amax(2).argmax(1)


@which_channel.mistake(
    "You go by the *least* similar example of each channel. What counts is how alike its examples "
    "are on average."
)
def _farthest_example(pictures, examples):
    return _likeness(pictures, examples).amin(2).argmax(1)


@which_channel.mistake(
    "You go by distances, which depend on how strong a drawing is. The cosine compares patterns "
    "and leaves their strength out."
)
def _by_distance(pictures, examples):
    distances = torch.cdist(pictures.flatten(1)[None], examples.flatten(2))  # (K, N, M)
    return distances.mean(2).argmin(0)


@which_channel.mistake(
    "You average the distances of scaled drawings. For one example they say the same as its "
    "cosine, but their mean is not that of the cosines: average these."
)
def _by_distance_of_scaled(pictures, examples):
    unit, drawn = F.normalize(pictures.flatten(1), dim=1), F.normalize(examples.flatten(2), dim=2)
    return torch.cdist(unit[None], drawn).mean(2).argmin(0)


@which_channel.mistake(
    "You choose the *least* similar channel. The cosine is largest where two pictures are alike."
)
def _least_alike(pictures, examples):
    return _likeness(pictures, examples).mean(2).argmin(1)


@which_channel.mistake(
    "You ignore the sign of the cosine. A picture of the opposite sign is as unlike as can be: "
    "its cosine is -1."
)
def _without_sign(pictures, examples):
    return _likeness(pictures, examples).abs().mean(2).argmax(1)


@which_channel.mistake(
    "You subtract each picture's mean first, which makes a correlation of the cosine. Compare the "
    "pictures as they are; zero means that nothing was drawn."
)
def _centred(pictures, examples):
    pictures = pictures - pictures.mean((1, 2, 3), keepdim=True)
    return which_channel.reference(pictures, examples - examples.mean((2, 3, 4), keepdim=True))


@which_channel.mistake(
    "You return the number of an example, counted through all channels. Each channel has M of "
    "them: average over these first, and then choose among the K channels."
)
def _number_of_example(pictures, examples):
    return _likeness(pictures, examples).flatten(1).argmax(1)


@which_channel.mistake(
    "Your axes are exchanged: you average over the channels and choose among the examples. The "
    "first axis of `examples` counts channels, the second their examples."
)
def _axes_exchanged(pictures, examples):
    return _likeness(pictures, examples).mean(1).argmax(1)


@which_channel.mistake(
    "You choose one channel for all pictures together. Each picture has its own answer: the axis "
    "of the pictures stays."
)
def _one_for_all(pictures, examples):
    best = _likeness(pictures, examples).mean((0, 2)).argmax()
    return best.repeat(len(pictures))


@which_channel.mistake(
    "You return how alike the best channel is. What is asked for is its number: `argmax`, not "
    "`max`."
)
def _how_alike(pictures, examples):
    return _likeness(pictures, examples).mean(2).amax(1)


@which_channel.mistake(
    "You return the likeness of all channels. Choose the number of the best one for each picture."
)
def _all_channels(pictures, examples):
    return _likeness(pictures, examples).mean(2)


@which_channel.mistake(
    "You take a cosine for each colour, and add them: so a colour that was hardly drawn counts as "
    "much as the others. Make one long vector of each picture first: `flatten(1)`."
)
def _colour_by_colour(pictures, examples):
    planes, drawn = F.normalize(pictures.flatten(2), dim=2), F.normalize(examples.flatten(3), dim=3)
    return torch.einsum("ncd,kmcd->nk", planes, drawn).argmax(1)


@which_channel.mistake(
    "Your cosine compares the colours of each pixel, since `F.cosine_similarity` goes along one "
    "axis. Make one long vector of each picture first: `flatten`."
)
def _pixel_by_pixel(pictures, examples):
    # What F.cosine_similarity(pictures[:, None, None], examples[None], dim=3) finds, much faster.
    pixels, drawn = F.normalize(pictures, dim=1), F.normalize(examples, dim=2)
    return torch.einsum("nchw,kmchw->nk", pixels, drawn).argmax(1)
