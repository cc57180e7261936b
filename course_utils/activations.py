"""What a network computes on the way: the outputs of its layers, and what each unit can see.

maps = record(model, classifier.layers, x)             # {"conv1": (N, C, H, W), ...}
field = receptive_fields(classifier.layers)["relu4"]   # ReceptiveField(size=26, stride=4, ...)
field.box(row=3, column=5)                             # the pixels that this unit can see
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils._arguments import checks_arguments
from course_utils._devices import is_hooked
from course_utils._networks import Ready, feature_maps, gradients_of, looks_inside, outputs_of
from course_utils._random import gaussian, seeded_generator
from course_utils.boxes import Box
from course_utils.incremental import POINTWISE_MODULES


@looks_inside
def record(model: nn.Module, layers: Mapping[str, nn.Module], x: Tensor) -> dict[str, Tensor]:
    """The outputs of some layers for x (N, 3, H, W), by name; without gradients.

    The network runs once, in eval mode. Hooks are removed also after an error. A layer that runs
    several times is recorded the last time. Raises ValueError for a layer that did not run.
    """
    with torch.no_grad(), ExitStack() as stack:
        caught = {
            name: stack.enter_context(outputs_of(layer, name=name))
            for name, layer in layers.items()
        }
        Ready(model)(x)
    return {name: outputs[-1] for name, outputs in caught.items()}


@dataclass(frozen=True)
class ReceptiveField:
    """What the units of a layer can see, along one axis (both axes are alike).

    Unit i sees the pixels from start + i * stride on, `size` of them.
    """

    size: int
    stride: int
    start: int

    @checks_arguments
    def box(
        self, row: int, column: int, height: int | None = None, width: int | None = None
    ) -> Box:
        """The pixels that a unit can see; clipped to a picture, if its size is given.

        Clipped, the box of a unit that sees nothing but padding is empty: it ends where it begins.
        """
        top, left = self.start + row * self.stride, self.start + column * self.stride
        bottom, right = top + self.size, left + self.size
        if height is not None:
            top, bottom = min(max(top, 0), height), min(max(bottom, 0), height)
        if width is not None:
            left, right = min(max(left, 0), width), min(max(right, 0), width)
        return top, left, bottom, right


POINTWISE = (
    *POINTWISE_MODULES, nn.PReLU, nn.RReLU, nn.SELU, nn.CELU, nn.Softsign, nn.LogSigmoid,
    nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Threshold, nn.AlphaDropout,
)  # fmt: skip
"""Layers that change each value by itself, in eval mode."""

SLIDING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d, nn.LPPool2d)
SLIDING_WAYS = {kind.forward for kind in SLIDING}
"""How these compute; classes derived from them may do it in ways of their own."""

PADS = (nn.ZeroPad2d, nn.ConstantPad2d)
"""Borders of one value; others repeat pixels, which a unit then sees far from its own place."""


@checks_arguments
def receptive_fields(layers: Mapping[str, nn.Module]) -> dict[str, ReceptiveField]:
    """The receptive field of each layer of a sequence, as far as it follows one simple rule.

    layers: in the order in which they run, such as `classifier.layers`
    A layer with kernel k, stride s and padding p on units that see `size` pixels, `stride` apart:
    size grows by (k - 1) * stride, start falls by p * stride, stride is multiplied by s.
    It ends before the first layer that is no convolution or pooling and doesn't change each value
    by itself: one whose units see everything, such as a linear layer or a norm over positions; one
    that makes maps larger; a block of several layers, inside of which nothing is known to follow
    anything else; one whose border repeats pixels, as reflect and circular padding do; and one
    with hooks or a `forward` of its own. There, ask `box_by_gradient`. Raises ValueError for
    convolutions, poolings and paddings that are not square.
    """
    size, stride, start = 1, 1, 0
    fields = {}
    for name, layer in layers.items():
        if _does_more_than_its_kind(layer):
            break
        if isinstance(layer, SLIDING) and type(layer).forward in SLIDING_WAYS:
            kernel, step, padding = _geometry(name, layer)
            size, start = size + (kernel - 1) * stride, start - padding * stride
            stride *= step
        elif isinstance(layer, PADS) and type(layer) in PADS:
            start -= _padding(name, layer) * stride
        elif type(layer) not in POINTWISE:
            break
        fields[name] = ReceptiveField(size, stride, start)
    return fields


def _does_more_than_its_kind(layer):
    """Whether a layer may see more than its settings tell."""
    is_batch_wide = isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None
    repeats_pixels = getattr(layer, "padding_mode", "zeros") != "zeros"
    return is_batch_wide or repeats_pixels or is_hooked(layer) or "forward" in vars(layer)


def _padding(name, layer):
    """The width of a square border."""
    left, _right, top, _bottom = layer.padding
    return left if left == top else _refuse_oblong(name)


def _refuse_oblong(name):
    raise ValueError(f"The layer {name!r} is not square, so its two axes differ.")


def _geometry(name, layer):
    """(kernel, stride, padding) of a square layer; a dilated kernel counts its gaps."""
    values = []
    for setting in ("kernel_size", "stride", "dilation"):
        pair = getattr(layer, setting, 1)
        pair = pair if isinstance(pair, tuple) else (pair, pair)
        values.append(pair[0] if pair[0] == pair[1] else _refuse_oblong(name))
    kernel, stride, dilation = values
    reach = dilation * (kernel - 1)
    padding = getattr(layer, "padding", 0)
    if isinstance(padding, str):
        padding = {"valid": 0, "same": reach // 2}[padding]
    if isinstance(padding, tuple):
        padding = padding[0] if padding[0] == padding[1] else _refuse_oblong(name)
    return reach + 1, stride, padding


@looks_inside
def box_by_gradient(model: nn.Module, layer: nn.Module, row: int, column: int, x: Tensor) -> Box:
    """The pixels that a unit does see: where its gradient is not zero for some input of x.

    model, layer: the unit is at (row, column) of the layer's maps, in any of its channels
    x: several inputs (N, 3, H, W), because a ReLU or max-pool lets a gradient pass in some only

    Never larger than the receptive field, and smaller where N is too small or weights are zero.
    Raises ValueError for a unit that the layer doesn't have or that nothing reaches.
    """
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad(), outputs_of(layer) as outputs:
        Ready(model)(x)
    with torch.enable_grad():
        maps = feature_maps(outputs[-1], x, "A receptive field")
        height, width = maps.shape[2:]
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(
                f"The layer's maps have {height} x {width} units; there is none at"
                f" ({row}, {column})."
            )
        # With weights, so that channels that mirror each other don't cancel.
        weights = gaussian(maps.shape[1], generator=seeded_generator(0)).to(maps)
        unit = (maps[:, :, row, column] * weights).sum()
        if not unit.requires_grad:
            raise ValueError("No gradient reaches this layer: something on the way cuts it off.")
        (gradient,) = gradients_of(unit, x, allow_unused=True)
    seen = torch.zeros(x.shape[2:]) if gradient is None else gradient.abs().amax((0, 1))
    rows = seen.any(1).nonzero()[:, 0]
    columns = seen.any(0).nonzero()[:, 0]
    if not len(rows):
        raise ValueError(f"No input reached the unit at ({row}, {column}) of this layer.")
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
