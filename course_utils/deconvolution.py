"""Transposed convolution by hand, unpooling with switches, and the deconvnet built from both.

    W = convolution_matrix(filter, 12, stride=2)       # y = W @ x is a strided convolution
    W.T @ y                                            # ... and this its transpose
    transpose_by_zeros(y, filter, stride=2)            # the same, by zeros and a flipped filter
    transpose_by_shuffle(y, filter, stride=2)          # the same, by small filters, interleaved

    picture = deconvnet(model.features, layer, x, channel)           # (N, 3, H, W)
    for name, signal in deconvnet_steps(model.features, layer, x, channel): ...

The deconvnet keeps the strongest activation of one channel, sets all others to zero, and goes back
through every layer to the pixels: unpool by switches, rectify, transposed filter. Here all of it is
spelled out, layer by layer; autograd is not used.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils._arguments import checks_arguments, height_and_width
from course_utils._devices import is_hooked
from course_utils._networks import Refused, explained, looks_inside
from course_utils.errors import check_count

# ---------------------------------------------------------------------------- one dimension


@checks_arguments
def convolution_matrix(filter: Tensor, size: int, stride: int = 1) -> Tensor:
    """W (n, size), whose row i holds the filter (f,) from column i * stride on; zeros elsewhere.

    y = W @ x is the convolution of x (size,) without padding, as torch's conv1d computes it, and
    n = floor((size - f) / stride) + 1.
    """
    _check_filter(filter, stride)
    check_count("size", size)
    if size < len(filter):
        raise ValueError(f"size={size}: the filter has {len(filter)} weights and doesn't fit in.")
    count = (size - len(filter)) // stride + 1
    matrix = filter.new_zeros(count, size)
    for row in range(count):
        matrix[row, row * stride : row * stride + len(filter)] = filter
    return matrix


@checks_arguments
def insert_zeros(y: Tensor, stride: int) -> Tensor:
    """y (..., n) with stride - 1 zeros between neighbours: (..., (n - 1) * stride + 1)."""
    check_count("stride", stride)
    if not y.numel() or not y.dim():
        raise ValueError(f"y has the shape (..., n), not {tuple(y.shape)}.")
    spread = y.new_zeros(*y.shape[:-1], (y.shape[-1] - 1) * stride + 1)
    spread[..., ::stride] = y
    return spread


@checks_arguments
def transpose_by_zeros(y: Tensor, filter: Tensor, stride: int) -> Tensor:
    """W.T @ y for y (n,): insert zeros, pad f - 1 zeros, convolve with the flipped filter (f,).

    Shape ((n - 1) * stride + f,). The convolution has stride 1; most it multiplies are zeros.
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
    """
    _check_filter(filter, stride)
    _check_vector(y)
    padded = functional.pad(insert_zeros(y, stride), (len(filter) - 1, len(filter) - 1))
    return functional.conv1d(padded[None, None], filter.flip(0)[None, None])[0, 0]


@checks_arguments
def transpose_by_shuffle(y: Tensor, filter: Tensor, stride: int) -> Tensor:
    """W.T @ y for y (n,), without inserted zeros: one small convolution for each phase.

    Output positions p, p + stride, p + 2 * stride, ... only meet the weights filter[p::stride].
    So `stride` small filters give `stride` short outputs, which are interleaved: the pixel shuffle
    of Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016. Shape ((n - 1) * stride + f,).
    """
    _check_filter(filter, stride)
    _check_vector(y)
    taps = -(-len(filter) // stride)  # weights of each small filter, the last ones perhaps zero
    phases = functional.pad(filter, (0, taps * stride - len(filter))).view(taps, stride).T
    padded = functional.pad(y, (taps - 1, taps - 1))
    outputs = functional.conv1d(padded[None, None], phases.flip(1)[:, None])[0]
    return outputs.T.reshape(-1)[: (len(y) - 1) * stride + len(filter)]


@checks_arguments
def overlap_counts(count: int, kernel: int, stride: int) -> Tensor:
    """How many of `count` inputs reach each output of a transposed convolution: int64.

    Shape ((count - 1) * stride + kernel,). Where neighbours differ, the output has a checkerboard
    before anything is learned (Odena, Dumoulin and Olah, "Deconvolution and Checkerboard
    Artifacts", Distill 2016).
    """
    check_count("count", count)
    check_count("kernel", kernel)
    check_count("stride", stride)
    return convolution_matrix(torch.ones(kernel), (count - 1) * stride + kernel, stride).sum(
        0, dtype=torch.int64
    )


def _check_vector(y):
    if y.dim() != 1 or not len(y):
        raise ValueError(f"y has the shape (n,), not {tuple(y.shape)}.")


def _check_filter(filter, stride):
    if filter.dim() != 1 or len(filter) == 0:
        raise ValueError(f"A filter is a vector (f,) of weights, not {tuple(filter.shape)}.")
    check_count("stride", stride)


# ---------------------------------------------------------------------------- unpooling


@checks_arguments
def unpool(values: Tensor, switches: Tensor, size: tuple[int, int]) -> Tensor:
    """Values (N, C, h, w) back at the places of their maxima, zeros elsewhere: (N, C, *size).

    switches: as `max_pool2d(..., return_indices=True)` gives them, indices into a flattened map

    Where windows overlap and share a maximum, its values are added up: this is the transpose of
    the pooling (and its gradient). torch's `max_unpool2d` keeps only one of them.
    """
    if values.shape != switches.shape:
        raise ValueError(
            f"Every value needs its switch, but there are values {tuple(values.shape)} and switches"
            f" {tuple(switches.shape)}."
        )
    if switches.is_floating_point() or switches.dim() < 2:
        raise ValueError(
            f"Switches are whole numbers (N, C, h, w), not {tuple(switches.shape)},"
            f" {switches.dtype}."
        )
    height, width = size = height_and_width(size)
    if switches.numel() and not (switches.min() >= 0 and switches.max() < height * width):
        raise ValueError(f"A switch points outside of maps of {height} x {width}.")
    switches = switches.long()
    maps = values.new_zeros(*values.shape[:-2], height * width)
    return maps.scatter_add(-1, switches.flatten(-2), values.flatten(-2)).unflatten(-1, size)


@checks_arguments
def keep_strongest(maps: Tensor, channel: int) -> Tensor:
    """Maps (N, C, h, w) with nothing but the largest value of one channel, for each picture.

    Of equal values the first in reading order stays.
    """
    if maps.dim() != 4 or not maps.numel():
        raise ValueError(f"Feature maps have the shape (N, C, h, w), not {tuple(maps.shape)}.")
    if not 0 <= channel < maps.shape[1]:
        raise ValueError(f"channel={channel}: the layer has the channels 0 to {maps.shape[1] - 1}.")
    peaks, places = maps[:, channel].flatten(1).max(dim=1, keepdim=True)
    kept = torch.zeros_like(maps)
    kept[:, channel].view(len(maps), -1).scatter_(1, places, peaks)
    return kept


# ---------------------------------------------------------------------------- the deconvnet

RELU_RULES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "deconvnet": lambda signal, values: signal.relu(),
    "gradient": lambda signal, values: signal * (values > 0),
    "guided": lambda signal, values: signal.relu() * (values > 0),
}
"""How a signal passes a ReLU on the way back; `values` is what the ReLU saw on the way up.

With "gradient" the whole way back is the gradient of the kept activation times that activation,
and with "guided" guided backpropagation (Springenberg et al., ICLR 2015 workshop).
"""


@dataclass(frozen=True)
class Step:
    """One layer on the way up, with what the way back needs."""

    name: str
    layer: nn.Module
    values: Tensor
    """The layer's input, (N, C, H, W)."""
    switches: Tensor | None = None
    """Of a max-pool: where its maxima were."""


def deconvnet(
    network: nn.Module, layer: nn.Module, x: Tensor, channel: int, rule: str = "deconvnet"
) -> Tensor:
    """What made a channel's strongest activation, projected down to the pixels: (N, 3, H, W).

    network: a sequence of convolutions, ReLUs and max-pools, such as `classifier.model.features`,
             torchvision's `vgg16().features`, or the first two blocks of `load("imagenet").model`
    layer:   one of its layers; channel: of that layer's output
    x:       preprocessed pictures (N, 3, H, W)
    rule:    one of RELU_RULES

    Signed, in the units of x. Without gradients; the network is not changed. Raises ValueError for
    a layer that is not in the network, and for the first layer on the way back that can't be
    reversed, by its name.
    """
    return deconvnet_steps(network, layer, x, channel, rule)[-1][1]


@looks_inside
@torch.no_grad()
def deconvnet_steps(
    network: nn.Module, layer: nn.Module, x: Tensor, channel: int, rule: str = "deconvnet"
) -> list[tuple[str, Tensor]]:
    """All signals of a deconvnet, top first: pairs (name of a layer, what arrives at its input).

    The first pair is the kept activation itself, named by `layer`'s name + " output". The last is
    what `deconvnet` returns.
    """
    maps, steps = ascend(network, layer, x)
    kept = keep_strongest(maps, channel)
    return [(f"{steps[-1].name} output", kept), *descend(steps, kept, rule)]


@checks_arguments
@torch.no_grad()
def ascend(network: nn.Module, layer: nn.Module, x: Tensor) -> tuple[Tensor, list[Step]]:
    """Runs x up to a layer: its output (N, C, h, w), and the steps that lead there."""
    steps, maps = [], x.detach()
    with explained(network, x):
        for name, part in _reversible_layers(network, layer):
            switches = None
            if isinstance(part, nn.MaxPool2d):
                after, switches = _pooled(part, maps)
            elif isinstance(part, (nn.ReLU, nn.ReLU6)):
                # Never in place: the way back needs what the ReLU saw.
                after = maps.clamp(0, _ceiling(part))
            else:
                after = part.forward(maps) if is_hooked(part) else part(maps)
            if is_hooked(part) and not torch.equal(part(maps.clone()), after):
                raise Refused(
                    f"A deconvnet can't reverse the layer {name!r} (its hooks change what it"
                    " returns): remove them."
                )
            steps.append(Step(name, part, maps, switches))
            maps = after
    return maps, steps


@checks_arguments
@torch.no_grad()
def descend(
    steps: list[Step], signal: Tensor, rule: str = "deconvnet"
) -> Iterator[tuple[str, Tensor]]:
    """Sends a signal (N, C, h, w) back through the steps, the last one first.

    Yields (name of a layer, what arrives at its input).
    """
    if rule not in RELU_RULES:
        raise ValueError(
            f"There is no rule {rule!r} for ReLUs; there are: {', '.join(RELU_RULES)}."
        )
    if not isinstance(steps, (list, tuple)) or not all(isinstance(s, Step) for s in steps):
        raise ValueError("The steps are the list of them that `ascend` returns.")
    arrived = []
    for step in reversed(steps):
        height, width = step.values.shape[-2:]
        if step.switches is not None:
            signal = unpool(signal, step.switches, (height, width))
        elif isinstance(step.layer, (nn.ReLU, nn.ReLU6)):
            below = step.values < _ceiling(step.layer)  # beyond it a ReLU6 is off, as below zero
            signal = RELU_RULES[rule](signal, step.values * below)
        elif isinstance(step.layer, nn.ZeroPad2d):
            signal = functional.pad(signal, [-margin for margin in step.layer.padding])
        elif isinstance(step.layer, nn.Conv2d):
            signal = transposed(step.layer, signal, (height, width))
        arrived.append((step.name, signal))
    return iter(arrived)


def _ceiling(relu):
    return 6.0 if isinstance(relu, nn.ReLU6) else torch.inf


@checks_arguments
def transposed(conv: nn.Conv2d, signal: Tensor, size: tuple[int, int]) -> Tensor:
    """The transpose of a convolution, without its bias: (N, C_out, h, w) -> (N, C_in, *size).

    size: of the maps that the convolution saw. Several sizes can lead to the same (h, w) where the
    stride is above 1, so it has to be told.
    """
    size = height_and_width(size)
    if signal.dim() != 4 or signal.shape[1] != conv.out_channels:
        raise ValueError(
            f"The convolution returns maps (N, {conv.out_channels}, h, w); the signal has the shape"
            f" {tuple(signal.shape)}."
        )
    full = functional.conv_transpose2d(
        signal, conv.weight, stride=conv.stride, dilation=conv.dilation, groups=conv.groups
    )
    margins = []  # of the padding, which is cut off, and of pixels that no window reached
    for axis in (1, 0):
        before = _padding_before(conv, axis)
        margins += [-before, size[axis] - (full.shape[-2:][axis] - before)]
    return functional.pad(full, margins)


def _padding_before(conv, axis) -> int:
    if isinstance(conv.padding, str):
        reach = conv.dilation[axis] * (conv.kernel_size[axis] - 1)
        return reach // 2 if conv.padding == "same" else 0
    return conv.padding[axis]


def _pooled(pool, maps):
    return functional.max_pool2d(
        maps, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode,
        return_indices=True,
    )  # fmt: skip


def _reversible_layers(network, layer):
    """(name, layer) of every layer up to and including `layer`, which must all be reversible."""
    if not isinstance(network, nn.Module) or type(network).forward is not nn.Sequential.forward:
        raise Refused(
            f"A deconvnet needs a sequence of layers, nn.Sequential, not {type(network).__name__}:"
            " pass the part that is one, such as model.features."
        )
    layers = [(name, part) for name, part in _flattened(network) if not _passes_through(part)]
    places = [place for place, (_, part) in enumerate(layers) if part is layer]
    if not places:
        raise Refused(_where_it_is_instead(layer, layers))
    layers = layers[: places[-1] + 1]
    for name, part in reversed(layers):
        why = _irreversible(part)
        if why:
            raise Refused(
                f"A deconvnet can't reverse the layer {name!r} ({why}); it knows Conv2d with zero"
                " padding, ZeroPad2d, ReLU, ReLU6 and MaxPool2d."
            )
    return layers


def _where_it_is_instead(layer, layers):
    kind = type(layer).__name__
    for name, part in layers:
        if any(module is layer for module in part.modules()):
            return (
                f"The {kind} is inside of {name!r} ({type(part).__name__}), through which a"
                " deconvnet finds no way back: choose a layer before it."
            )
    return f"The {kind} is not among the layers of this network."


def _flattened(network, prefix=""):
    """The layers of nested sequences in the order in which they run, with their full names.

    `named_children` would leave out those that stand in a sequence twice.
    """
    for name, part in network._modules.items():
        if type(part).forward is nn.Sequential.forward:
            yield from _flattened(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _passes_through(part):
    """Whether a layer does nothing to a picture outside of training."""
    return isinstance(part, (nn.Identity, nn.Dropout, nn.Dropout2d))


def _irreversible(part):
    """What is wrong with a layer, or an empty text."""
    known = (nn.Conv2d, nn.ReLU, nn.ReLU6, nn.MaxPool2d, nn.ZeroPad2d)
    kind = next((kind for kind in known if isinstance(part, kind)), None)
    if kind is None:
        return type(part).__name__
    if type(part).forward is not kind.forward:
        return f"a {type(part).__name__}, which computes in a way of its own"
    if isinstance(part, nn.Conv2d) and part.padding_mode != "zeros":
        return f"its padding is {part.padding_mode!r}"
    return ""
