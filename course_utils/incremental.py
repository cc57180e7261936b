"""Occlusion, exact and several times faster: only what the patch can reach is computed again.

A patch of 16 x 16 pixels changes a window of 18 x 18 of the first layer's output, if that is a
convolution with 3 x 3 weights. Everything outside of it is as in the unoccluded picture, which has
been computed once. So each layer needs its window alone: gathered from the kept output of the layer
before, with the part that changed pasted in. The window grows from layer to layer; where it reaches
most of the map, the rest of the network runs on whole maps. Nothing is approximated.

    outputs = occluded_outputs(model, x, replacement, places)           # as occlusion's, but faster
    occlusion_map(model, x, replacement, 16, 4, measure, outputs=incremental.occluded_outputs)

The idea is Krypton's: Nakandala, Kumar and Papakonstantinou, "Incremental and Approximate Inference
for Faster Occlusion-based Deep CNN Explanations", SIGMOD 2019; here without its approximations.
Networks are traced with torch.fx. A layer of unknown kind gets whole maps, and a network that can't
be traced is run the plain way, with a warning.
"""

import copy
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from course_utils import occlusion
from course_utils._devices import computed_there, is_hooked
from course_utils._networks import evaluating

MOSTLY = 0.85
"""From this share of a map on, whole maps are cheaper than windows."""


@dataclass
class Windows:
    """The changed part of one layer's output, for N occlusions at once."""

    values: Tensor
    """(N, C, h, w): the same size for all N, so that they are one batch."""
    top: Tensor
    left: Tensor
    """(N,) each: where in the map the window starts."""

    @property
    def size(self):
        return tuple(self.values.shape[2:])


def occluded_outputs(
    model: nn.Module, x: Tensor, replacement: Tensor, places: Tensor, batch: int = 64
) -> Iterator[Tensor]:
    """The model's outputs for x (1, 3, H, W) covered at each of `places` (N, 4), in batches.

    As `occlusion.occluded_outputs`, to within rounding.
    """
    network = trace(model)
    if network is None:
        yield from occlusion.occluded_outputs(model, x, replacement, places)
        return
    kept = _keep(model, network, x)
    for part in places.split(batch):
        yield _outputs(model, kept, _input_windows(x, replacement, part))


@torch.no_grad()
def _keep(model, network, x):
    with evaluating(model), evaluating(network):
        return Kept(network, x)


@torch.no_grad()
def _outputs(model, kept, changed):
    with evaluating(model), evaluating(kept.network):
        return Run(kept, changed).output()


def trace(model: nn.Module) -> fx.GraphModule | None:
    """The model as a graph of operations; None, with a warning, if windows can't be exact in it."""
    try:
        with evaluating(model):  # so that a functional dropout is traced as one that does nothing
            network = fx.symbolic_trace(model)
        reason = _obstacle(model, network)
    except Exception as error:  # whatever the model's own code raises on symbolic inputs
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    if reason:
        warnings.warn(
            f"torch.fx can't trace this network ({reason}): occlusion runs the plain way.",
            stacklevel=3,
        )
        return None
    return _without_writing(network)


def _obstacle(model, network):
    """Why windows would not give what the network gives, or ""."""
    if is_hooked(model):
        return "the network itself has hooks, which tracing leaves out"
    place = {node: number for number, node in enumerate(network.graph.nodes)}
    for node in network.graph.nodes:
        if _writes(network, node):
            later = [user for user in node.args[0].users if place[user] > place[node]]
            if later:
                return f"{later[0].name} reads what {node.name} has overwritten"
    return ""


def _writes(network, node):
    """Whether a node overwrites its input instead of making something new."""
    if node.op == "call_module":
        return getattr(network.get_submodule(node.target), "inplace", False)
    if node.op not in ("call_function", "call_method"):
        return False
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    underlined = name.endswith("_") and not name.endswith("__")
    return underlined or bool(node.kwargs.get("inplace")) or node.target in OUT_OF_PLACE


def _without_writing(network):
    """The same graph with twins for the modules that write in place: what is kept must stay."""
    for name, module in list(network.named_modules()):
        if getattr(module, "inplace", False):
            twin = copy.copy(module)  # the model's own module remains as it is
            twin.inplace = False
            network.add_submodule(name, twin)
    return network


def _input_windows(x, replacement, places):
    """The occluded part of the picture itself.

    Windows that are clipped at the border are moved inwards, so that all have one size; what the
    patch doesn't cover of them keeps the picture's own pixels.
    """
    top, left, bottom, right = places.to(x.device).T
    height, width = int((bottom - top).max()), int((right - left).max())
    first_row = top.clamp(max=x.shape[2] - height)
    first_column = left.clamp(max=x.shape[3] - width)
    rows = first_row[:, None] + torch.arange(height, device=x.device)
    columns = first_column[:, None] + torch.arange(width, device=x.device)
    covered_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    covered_columns = (columns >= left[:, None]) & (columns < right[:, None])
    covered = covered_rows[:, None, :, None] & covered_columns[:, None, None, :]
    original = _gather(_rows_last(x)[0], first_row, first_column, height, width)
    patch = _gather(_rows_last(replacement)[0], first_row, first_column, height, width)
    return Windows(torch.where(covered, patch, original), first_row, first_column)


# ---------------------------------------------------------------------------- what is kept


class Kept:
    """The outputs of all layers for the unoccluded picture, computed once."""

    def __init__(self, network: fx.GraphModule, x: Tensor):
        self.network = network
        self.nodes = list(network.graph.nodes)
        self.last_use = {used: node for node in self.nodes for used in node.all_input_nodes}
        recorder = _Recorder(network)
        recorder.run(x.contiguous(memory_format=torch.channels_last))
        self.values = recorder.values
        self.maps = {
            node: _rows_last(value)[0].contiguous()
            for node, value in self.values.items()
            if isinstance(value, Tensor) and value.dim() == 4 and len(value) == 1
        }
        self._padded = {}

    def size(self, node):
        """(H, W) of a node's map."""
        return tuple(self.maps[node].shape[:2])

    def padded(self, node, padding, value):
        """A node's map (H, W, C) with a border, as the next layer will see it."""
        if padding == (0, 0):
            return self.maps[node]
        key = node, padding, value
        if key not in self._padded:
            (rows, columns), border = padding, self.maps[node]
            border = functional.pad(border, (0, 0, columns, columns, rows, rows), value=value)
            self._padded[key] = border.contiguous()
        return self._padded[key]


class _Recorder(fx.Interpreter):
    """Runs a graph and remembers what every node returned."""

    def __init__(self, network):
        super().__init__(network, garbage_collect_values=False)
        self.values = {}

    def run_node(self, n):
        self.values[n] = super().run_node(n)
        return self.values[n]


@computed_there
def growth(model: nn.Module, x: Tensor, place: Tensor) -> list[tuple[str, tuple, tuple]]:
    """How the changed window of one occlusion (4,) grows -> [(layer, window, map size), ...].

    A window is (top, left, height, width) in the layer's own map (H, W); one entry for each layer
    that makes feature maps, until whole maps are used. Raises ValueError if torch.fx can't trace
    the model.
    """
    network = trace(model)
    if network is None:
        raise ValueError("torch.fx can't trace this network, so its windows are not known.")
    kept = _keep(model, network, x)
    with evaluating(model), evaluating(network), torch.no_grad():
        run, steps = Run(kept, _input_windows(x, x, place[None])), []
        for node in kept.nodes:
            if node.op == "output":
                break
            run.state[node] = step = run.step(node)
            if not isinstance(step, Windows):
                break
            window = (int(step.top[0]), int(step.left[0]), *step.size)
            steps.append((node.name, window, kept.size(node)))
    return steps


# ---------------------------------------------------------------------------- one batch


class Run:
    """One batch of occlusions on its way through the network.

    `state` holds what each node returns for the batch: `Windows` as long as only a part of a map
    has changed, a tensor (N, ...) from where on everything has.
    """

    def __init__(self, kept: Kept, changed: Windows):
        self.kept = kept
        self.changed = changed
        self.count = len(changed.values)
        self.state = {}

    def output(self) -> Tensor:
        """The network's output, (N, ...)."""
        for node in self.kept.nodes:
            if node.op == "output":
                return self._whole(node.args[0])
            self.state[node] = self.step(node)
            for used in node.all_input_nodes:
                if self.kept.last_use[used] is node:
                    self.state.pop(used, None)
        raise AssertionError("a traced graph ends with its output")

    def step(self, node: fx.Node) -> Windows | Tensor | object:
        """What one node returns for this batch."""
        if node.op == "placeholder":
            return self.changed
        inputs = [self.state[used] for used in node.all_input_nodes]
        if not any(isinstance(value, (Windows, Tensor)) for value in inputs):
            return self.kept.values[node]  # nothing that it depends on has changed
        if any(isinstance(value, Windows) for value in inputs):
            layer = _layer(self.kept.network, node)
            if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)) and _is_plain(layer):
                return self._slide(node, layer)
            if _is_addition(node) and all(isinstance(value, Windows) for value in inputs):
                return self._add(node)
            if _is_pointwise(node, layer) and len(inputs) == 1:
                return self._pointwise(node)
        return self._on_whole_maps(node)

    # ------------------------------------------------------------------------ kinds of layers

    def _slide(self, node, layer):
        """A convolution or pooling: its windows, or whole maps if they are most of the map."""
        source, windows = node.args[0], self.state[node.args[0]]
        kernel, stride, padding = _geometry(layer)
        height, width = self.kept.size(node)
        rows = (windows.top, windows.size[0], kernel[0], stride[0], padding[0], height)
        columns = (windows.left, windows.size[1], kernel[1], stride[1], padding[1], width)
        (top, high), (left, wide) = reach(*rows), reach(*columns)
        if high * wide >= MOSTLY * height * width:
            return layer(self._whole(source))
        needed = (high - 1) * stride[0] + kernel[0], (wide - 1) * stride[1] + kernel[1]
        border = -torch.inf if isinstance(layer, nn.MaxPool2d) else 0.0
        seen = self._window(source, top * stride[0], left * stride[1], needed, padding, border)
        return Windows(_without_padding(layer, seen), top, left)

    def _add(self, node):
        """A residual sum: both sides on the smallest windows that hold the changes of both."""
        sources = node.all_input_nodes
        sides = [self.state[source] for source in sources]
        if len(sources) == 1:  # x + 3, or x + x
            return self._pointwise(node)
        height, width = self.kept.size(node)
        if any(self.kept.size(source) != (height, width) for source in sources):
            return self._on_whole_maps(node)  # a sum that broadcasts
        rows = [(side.top, side.size[0]) for side in sides]
        columns = [(side.left, side.size[1]) for side in sides]
        (top, high), (left, wide) = _union(*rows, height), _union(*columns, width)
        size = high, wide
        one, other = (self._window(source, top, left, size) for source in sources)
        return Windows(one + other, top, left)

    def _pointwise(self, node):
        """An operation on each value by itself (or each channel): the window stays."""
        (source,) = node.all_input_nodes
        windows = self.state[source]
        return Windows(self._call(node, {source: windows.values}), windows.top, windows.left)

    def _on_whole_maps(self, node):
        """Anything else, such as flattening, pooling over all positions or a linear layer."""
        return self._call(node, {used: self._whole(used) for used in node.all_input_nodes})

    def _call(self, node, values):
        """Runs a node on given inputs."""
        arguments = fx.node.map_arg(node.args, lambda used: values[used])
        keywords = fx.node.map_arg(node.kwargs, lambda used: values[used])
        if node.op == "call_module":
            return self.kept.network.get_submodule(node.target)(*arguments, **keywords)
        if node.op == "call_method":
            return getattr(arguments[0], node.target)(*arguments[1:], **keywords)
        if keywords.get("inplace"):
            keywords = {**keywords, "inplace": False}
        return OUT_OF_PLACE.get(node.target, node.target)(*arguments, **keywords)

    # ------------------------------------------------------------------------ windows and maps

    def _window(self, source, top, left, size, padding=(0, 0), border=0.0):
        """A part of a node's (padded) map as this batch sees it: kept, the change pasted in."""
        windows = self.state[source]
        kept = self.kept.padded(source, padding, border)
        seen = _gather(kept, top, left, *size)
        _paste(
            windows.values, seen, windows.top + padding[0] - top, windows.left + padding[1] - left
        )
        return seen

    def _whole(self, node):
        """What a node returns as one tensor for the whole batch."""
        value = self.state[node]
        if isinstance(value, Windows):
            zeros = torch.zeros_like(value.top)
            return self._window(node, zeros, zeros, self.kept.size(node))
        return value


def reach(first, size, kernel, stride, padding, length):
    """Which outputs of a layer can see inputs first ... first + size - 1, along one axis.

    first:  (N,) where each changed window starts
    length: of the output
    Returns (N,) starts and one size for all. An output i sees the inputs from i * stride - padding
    on, `kernel` of them; so the first that matters is ceil((first + padding - kernel + 1) / stride)
    and the last floor((first + size - 1 + padding) / stride).
    """
    lowest = -((kernel - 1 - first - padding) // stride)
    highest = (first + size - 1 + padding) // stride
    lowest, highest = lowest.clamp(min=0), highest.clamp(max=length - 1)
    extent = max(1, int((highest - lowest + 1).max()))
    return lowest.clamp(max=length - extent), extent


def _union(one, other, length):
    """The windows that hold two windows each, along one axis -> starts, one size for all."""
    (first, size), (second, extent) = one, other
    start = torch.minimum(first, second)
    end = torch.maximum(first + size, second + extent)
    size = int((end - start).max())
    return start.clamp(max=length - size), size


def _rows_last(maps):
    """(N, C, H, W) seen as (N, H, W, C): all channels of a pixel lie side by side in memory."""
    return maps.permute(0, 2, 3, 1)


def _gather(kept, top, left, height, width):
    """Windows of one map (H, W, C), starting at (top, left) (N,) -> (N, C, height, width)."""
    every = kept.contiguous().unfold(0, height, 1).unfold(1, width, 1)  # a view: nothing is copied
    return every.permute(0, 1, 3, 4, 2)[top, left].permute(0, 3, 1, 2)


def _paste(change, onto, down, right):
    """Writes windows (N, C, h, w) into larger ones, shifted by `down` and `right` (N,), clipped.

    Windows with the same shift are written together; there are few different shifts, because they
    repeat with the strides of the network.
    """
    (height, width), (high, wide) = onto.shape[2:], change.shape[2:]
    shifts, group = torch.unique(torch.stack([down, right], 1), dim=0, return_inverse=True)
    for number, (y, x) in enumerate(shifts.tolist()):
        top, left, bottom, edge = max(y, 0), max(x, 0), min(y + high, height), min(x + wide, width)
        if top < bottom and left < edge:
            members = slice(None) if len(shifts) == 1 else (group == number).nonzero()[:, 0]
            part = change[members, :, top - y : bottom - y, left - x : edge - x]
            onto[members, :, top:bottom, left:edge] = part


# ---------------------------------------------------------------------------- kinds of nodes

POINTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Softplus, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Identity, nn.Dropout, nn.Dropout2d,
    nn.BatchNorm2d,
)  # fmt: skip
POINTWISE_FUNCTIONS = {
    torch.relu, functional.relu, functional.relu6, functional.leaky_relu, functional.gelu,
    functional.silu, functional.hardswish, functional.hardsigmoid, torch.sigmoid, torch.tanh,
    functional.dropout, operator.neg, torch.abs,
}  # fmt: skip
POINTWISE_METHODS = {"relu", "sigmoid", "tanh", "clone", "contiguous", "neg", "abs"}
ADDITIONS = {operator.add, operator.iadd, torch.add}
OUT_OF_PLACE = {
    operator.isub: operator.sub,
    operator.iadd: operator.add,
    operator.imul: operator.mul,
}


def _layer(network, node):
    """The module that a node calls, or None; one with hooks counts as unknown."""
    if node.op != "call_module":
        return None
    module = network.get_submodule(node.target)
    return None if is_hooked(module) else module


def _is_pointwise(node, layer):
    if node.op == "call_module":
        return isinstance(layer, POINTWISE_MODULES)
    if node.op == "call_method":
        return node.target in POINTWISE_METHODS
    return node.target in POINTWISE_FUNCTIONS


def _is_addition(node):
    plain = len(node.args) == 2 and not node.kwargs
    return node.op == "call_function" and node.target in ADDITIONS and plain


def _is_plain(layer):
    """Whether a sliding layer has only the settings that `reach` knows about."""
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.MaxPool2d):
        return not layer.ceil_mode and not layer.return_indices
    padded = _pair(layer.padding) != (0, 0)
    return not layer.ceil_mode and not (padded and not layer.count_include_pad)


def _pair(value):
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _geometry(layer):
    """(kernel, stride, padding), each for rows and columns; a dilated kernel counts its gaps."""
    dilation = _pair(getattr(layer, "dilation", 1))
    kernel = tuple(d * (k - 1) + 1 for k, d in zip(_pair(layer.kernel_size), dilation))
    return kernel, _pair(layer.stride), _pair(layer.padding)


def _without_padding(layer, seen):
    """Runs a sliding layer on windows that already hold what its padding would add."""
    if isinstance(layer, nn.Conv2d):
        settings = layer.stride, 0, layer.dilation, layer.groups
        return functional.conv2d(seen, layer.weight, layer.bias, *settings)
    if isinstance(layer, nn.MaxPool2d):
        return functional.max_pool2d(seen, layer.kernel_size, layer.stride, 0, layer.dilation)
    divisor = layer.divisor_override
    return functional.avg_pool2d(seen, layer.kernel_size, layer.stride, 0, divisor_override=divisor)
