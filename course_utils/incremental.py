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
be traced, or whose graph turns out to give something else than the network, is run the plain way,
with a warning. Convolutions with many channels take fewer multiplications (`_winograd.py`).
"""

import copy
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from course_utils import _winograd, occlusion
from course_utils._arguments import checks_arguments
from course_utils._devices import is_hooked
from course_utils._networks import (
    Ready,
    evaluating,
    explained,
    fast_layout,
    looks_inside,
    network_of,
    output_in,
    trains_otherwise,
)
from course_utils._warnings import warn
from course_utils.errors import check_count, first_line

MOSTLY = 0.85
"""From this share of a map on, whole maps are cheaper than windows."""

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-3}
"""How far the graph's output may be from the network's, as a share of a class's largest score."""


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


@checks_arguments
def occluded_outputs(
    model: nn.Module, x: Tensor, replacement: Tensor, places: Tensor, batch: int = 64
) -> Iterator[Tensor]:
    """The model's outputs for x (1, 3, H, W) covered at each of `places` (N, 4), in batches.

    As `occlusion.occluded_outputs`, to within rounding.
    """
    check_count("batch", batch)
    occlusion.check_places(x, replacement, places)
    model = network_of(model)
    begun = _begun(model, x, replacement, places, batch)
    if begun is None:
        yield from occlusion.occluded_outputs(model, x, replacement, places)
        return
    kept, outputs = begun
    yield outputs
    for start in range(batch, len(places), batch):
        with torch.no_grad(), _as_it_was(model), evaluating(kept.network):
            part = places[start : start + batch]
            outputs = Run(kept, _input_windows(x, replacement, part)).output()
        yield outputs


@torch.no_grad()
def _begun(model, x, replacement, places, batch):
    """What windows need, and the outputs under the first batch of them.

    None, with a warning, if windows would not give what the network gives. That is tried for three
    of them: more than one, because a number of pictures can be lost, too, and at both ends, because
    a part of the picture can be the only one that is treated differently.
    """
    network = trace(model)
    if network is None:
        return None
    few = places[[0, len(places) // 2, len(places) - 1]]
    with _as_it_was(model), evaluating(network):
        try:
            kept = Kept(network, x)
            # The other two come with the first batch, for a run of their own would take longer.
            windows = torch.cat([places[:batch], few[1:]])
            outputs = Run(kept, _input_windows(x, replacement, windows)).output()
            reason = "its graph returns something else"
            if isinstance(outputs, Tensor) and outputs.shape[:1] == (len(windows),):
                reason = _difference(model, outputs[[0, -2, -1]], x, replacement, few)
        except Exception as error:  # whatever the model's own code raises in a graph
            reason = first_line(error)
    if reason:
        _warn(reason)
        return None
    return kept, outputs[:-2]


def _difference(model, fast, x, replacement, few):
    """How outputs under a few windows differ from the network's, in words; "" if they are the same.

    Python code that torch.fx can't see, such as `y += 1` where y is another name of x, is lost in
    the graph without an error.
    """
    plain = Ready(model)(occlusion.occluded(x, replacement, few))
    if fast.shape != plain.shape:
        return "its graph returns something else"
    finite = plain.isfinite()  # classes may be masked by minus infinity
    allowed = _allowed(plain.where(finite, 0), max(plain.dtype, x.dtype, key=_tolerance))
    off = (fast - plain).abs().where(finite, 0) > allowed
    if off.any() or not torch.equal(finite, fast.isfinite()):
        return "its graph gives other numbers"
    return ""


def _tolerance(dtype):
    return TOLERANCES.get(dtype, 0.05)


def _allowed(plain, dtype):
    """How far outputs (N, C, ...) may be off by rounding in a type, as (1, C, 1, ...).

    Of each class, or channel, so that one with large scores doesn't hide what others lose; those
    that are smaller than usual may be off as much as usual, since they come from sums as large.
    """
    others = [dimension for dimension in range(plain.dim()) if dimension != 1]
    scale = plain.abs().amax(others, keepdim=True)
    alive = scale[scale > 0]  # most channels of rectified maps may be zero
    usual = alive.median().clamp(min=1e-6) if len(alive) else 1e-6
    return _tolerance(dtype) * scale.clamp(min=usual)


def trace(model: nn.Module) -> fx.GraphModule | None:
    """The model as a graph of operations; None, with a warning, if windows can't be exact in it.

    In the graph, batch norms are folded into the convolutions before them and nothing is written
    in place; the model itself is left as it is. The graph is read node by node, so its code is not
    made anew.
    """
    try:
        # In eval mode, a functional dropout is traced as one that does nothing.
        with _as_it_was(model), _attributes_kept(model):
            network = fx.symbolic_trace(model)
            reason = _obstacle(model, network)
    except Exception as error:  # whatever the model's own code raises on symbolic inputs
        reason = first_line(error)
    if reason:
        _warn(reason)
        return None
    return _folded(_without_writing(_without_keywords(network)))


@contextmanager
def _as_it_was(model):
    """The model in eval mode; at the end in its own, and with the values that its buffers had.

    A graph shares its buffers, and tracing runs what writes into them.
    """
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with evaluating(model):
            yield
    finally:
        with torch.no_grad():
            for buffer, values in before:
                if not torch.equal(buffer, values):
                    buffer.copy_(values)


@contextmanager
def _attributes_kept(model):
    """Takes back what tracing leaves on the modules of a model.

    torch.fx adds constants of the code, and whatever a network itself keeps while it runs, such as
    its last maps, would be symbols of the trace from then on.
    """
    before = [(kept, _items(kept)) for module in model.modules() for kept in _containers(module)]
    try:
        yield
    finally:
        for container, items in before:
            now = _items(container)
            if len(now) == len(items) and all(one is other for one, other in zip(now, items)):
                continue
            container.clear()
            if isinstance(container, dict):
                container.update(zip(items[::2], items[1::2]))
            else:
                container.extend(items)


def _containers(module):
    """What a module keeps things in: its attributes, and the lists and dicts among them."""
    attributes = vars(module)
    return [attributes, *(a for a in attributes.values() if isinstance(a, (list, dict)))]


def _items(container):
    """What is in a list; keys and values of a dict by turns."""
    if isinstance(container, dict):
        return [part for item in container.items() for part in item]
    return list(container)


def _warn(reason):
    warn(
        f"torch.fx can't trace this network ({reason}): occlusion runs the plain way.",
    )


def _obstacle(model, network):
    """Why windows would not give what the network gives, or ""."""
    called = {node.target for node in network.graph.nodes if node.op == "call_module"}
    for name, module in model.named_modules():
        if is_hooked(module) and name not in called:
            where = f"its part {name!r}" if name else "the network itself"
            return f"{where} has hooks, which tracing leaves out"
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is None:
            return f"{name!r} normalizes by the batch"
        if module.training and trains_otherwise(module):
            return f"{name!r} stays in training mode"
    place = {node: number for number, node in enumerate(network.graph.nodes)}
    for node in network.graph.nodes:
        if node.kwargs.get("out") is not None:
            return f"{node.name} writes into what it is given as out="
        if _writes(network, node):
            names = _aliases(network, node)
            readers = {user for name in names for user in name.users}
            later = [reader for reader in readers if place[reader] > place[node]]
            if later:
                return f"{later[0].name} reads what {node.name} has overwritten"
    return ""


def _aliases(network, writer):
    """All nodes that may share their memory with what a node writes into, as views do.

    Not what comes from the writer itself: there, the new values are meant.
    """
    links = [
        {node, node.args[0]}
        for node in network.graph.nodes
        if node is not writer and node.args and isinstance(node.args[0], fx.Node)
        if _may_share(network, node)
    ]
    found = {writer.args[0]}
    while True:
        linked = [link for link in links if link & found and not link <= found]
        if not linked:
            return found
        found = found.union(*linked)


def _may_share(network, node):
    """Whether a node may return a view of its first input, or that input itself."""
    if node.op == "call_module":
        layer = network.get_submodule(node.target)
        return isinstance(layer, (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Unflatten))
    name = _name(node)
    return name in SHARING or _is_underlined(name)


def _writes(network, node):
    """Whether a node overwrites its input instead of making something new."""
    if node.op == "call_module":
        return getattr(network.get_submodule(node.target), "inplace", False)
    name = _name(node)
    flags = node.kwargs.get("inplace") or (name in INPLACE_FLAG and True in node.args[1:])
    return _is_underlined(name) or bool(flags) or node.target in OUT_OF_PLACE


def _name(node):
    """The name of the function or method that a node calls; "" if it calls none."""
    if node.op == "call_method":
        return node.target
    return getattr(node.target, "__name__", "") if node.op == "call_function" else ""


def _is_underlined(name):
    """Whether a function writes into its first input and returns it, as torch's names tell."""
    return name.endswith("_") and not name.endswith("__")


def _without_keywords(network):
    """The same graph with `layer(x)` for `layer(input=x)`."""
    for node in network.graph.nodes:
        if node.op == "call_module" and not node.args and "input" in node.kwargs:
            node.args = (node.kwargs["input"],)
            node.kwargs = {name: v for name, v in node.kwargs.items() if name != "input"}
    return network


def _without_writing(network):
    """The same graph with twins for the modules that write in place: what is kept must stay."""
    for name, module in list(network.named_modules()):
        if getattr(module, "inplace", False):
            twin = copy.copy(module)  # the model's own module remains as it is
            twin.inplace = False
            network.add_submodule(name, twin)
    return network


def _folded(network):
    """The same graph without the batch norms that directly follow a convolution."""
    for node in list(network.graph.nodes):
        conv = _layer(network, node)
        if not isinstance(conv, nn.Conv2d) or len(node.users) != 1:
            continue
        (user,) = node.users
        norm = _layer(network, user)
        if not isinstance(norm, nn.BatchNorm2d) or hasattr(conv, "parametrizations"):
            continue
        with evaluating(conv), evaluating(norm):
            folded = fuse_conv_bn_eval(conv, norm)
        name = f"folded_{node.name}"
        network.add_submodule(name, folded.requires_grad_(False))
        node.target = name
        user.replace_all_uses_with(node)
        network.graph.erase_node(user)
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
        self.layout, self.values = _recorded(network, x)
        self.maps = {
            node: _rows_last(value)[0].contiguous()
            for node, value in self.values.items()
            if isinstance(value, Tensor) and value.dim() == 4 and len(value) == 1
        }
        self.dependent = _dependent(self.nodes)
        self._padded = {}
        self._filters = {}

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

    def convolved(self, node, layer, seen, side):
        """A node's convolution of maps (N, C, H, W) that already hold its padding, by tiles."""
        if node not in self._filters or self._filters[node].side != side:
            # Others are made anew, which takes less than it takes memory to keep them all.
            self._filters[node] = _winograd.Filters(layer, side)
        return self._filters[node].convolve(seen)


def _dependent(nodes):
    """The nodes that depend on the picture: all others are the same under every patch."""
    dependent = set()
    for node in nodes:
        if (node.op == "placeholder" and not dependent) or dependent & set(node.all_input_nodes):
            dependent.add(node)
    return dependent


def _recorded(network, x):
    """The order of memory that the network can take, and what every node returned in it."""
    for layout in {fast_layout(network, x): None, torch.contiguous_format: None}:
        recorder = _Recorder(network)
        try:
            recorder.run(x.clone(memory_format=layout))
        except RuntimeError as error:
            if "view" not in str(error) or layout == torch.contiguous_format:
                raise
            continue
        return layout, recorder.values
    raise AssertionError("the usual order of memory comes last")


class _Recorder(fx.Interpreter):
    """Runs a graph and remembers what every node returned, before anything overwrites it."""

    def __init__(self, network):
        super().__init__(network, garbage_collect_values=False)
        self.values = {}

    def run_node(self, n):
        value = super().run_node(n)
        self.values[n] = value.clone() if isinstance(value, Tensor) else value
        return value


@looks_inside
@checks_arguments
def growth(model: nn.Module, x: Tensor, place: Tensor) -> list[tuple[str, tuple, tuple]]:
    """How the changed window of one occlusion (4,) grows -> [(layer, window, map size), ...].

    A window is (top, left, height, width) in the layer's own map (H, W); one entry for each layer
    that makes feature maps, until whole maps are used. Raises ValueError if torch.fx can't trace
    the model.
    """
    occlusion.check_places(x, x, place[None])
    network = trace(model)
    if network is None:
        raise ValueError("torch.fx can't trace this network, so its windows are not known.")
    steps = []
    with _as_it_was(model), evaluating(network), torch.no_grad(), explained(model, x):
        kept = Kept(network, x)
        run = Run(kept, _input_windows(x, x, place[None]))
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
                return output_in(map_arg(node.args[0], self._whole))
            self.state[node] = self.step(node)
            for used in node.all_input_nodes:
                if self.kept.last_use[used] is node:
                    self.state.pop(used, None)
        raise AssertionError("a traced graph ends with its output")

    def step(self, node: fx.Node) -> Windows | Tensor | object:
        """What one node returns for this batch."""
        if node not in self.kept.dependent:
            return self.kept.values[node]
        if node.op == "placeholder":
            return self.changed
        inputs = [self.state[used] for used in node.all_input_nodes]
        layer = _layer(self.kept.network, node)
        if any(isinstance(value, Windows) for value in inputs):
            size = self._size(node)
            if size is not None:
                return size
            if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)) and _is_plain(layer):
                return self._slide(node, layer)
            if _is_padding(layer):
                return self._pad(node, layer)
            if _is_joining(node) and all(isinstance(value, Windows) for value in inputs):
                return self._join(node)
            if self._is_pointwise(node, layer):
                return self._pointwise(node)
        elif isinstance(layer, nn.Conv2d) and _is_plain(layer):
            return self._slide_on_whole_maps(node, layer)
        return self._on_whole_maps(node)

    def _size(self, node):
        """What a node that asks for a size returns, without making the maps; else None."""
        is_attribute = node.target is getattr and node.args[1:] == ("shape",)
        is_method = node.op == "call_method" and node.target in ("size", "dim", "ndimension")
        source = node.args[0] if node.args else None
        if not (is_attribute or is_method) or not isinstance(self.state[source], Windows):
            return None
        size = torch.Size((self.count, *self.kept.values[source].shape[1:]))
        if is_attribute:
            return size
        if node.target != "size":
            return len(size)
        where = (*node.args[1:], *node.kwargs.values())
        return size[where[0]] if where else size

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
            return self._slide_on_whole_maps(node, layer)
        needed = (high - 1) * stride[0] + kernel[0], (wide - 1) * stride[1] + kernel[1]
        border = -torch.inf if isinstance(layer, nn.MaxPool2d) else 0.0
        seen = self._window(source, top * stride[0], left * stride[1], needed, padding, border)
        side = _winograd.best_tile(layer, seen)
        if side is None:
            return Windows(_without_padding(layer, seen), top, left)
        return Windows(self.kept.convolved(node, layer, seen, side), top, left)

    def _slide_on_whole_maps(self, node, layer):
        """A convolution or pooling of maps of which most has changed."""
        maps = self._whole(node.args[0])
        rows, columns = map(int, _pair(layer.padding))
        side = _winograd.best_tile(layer, maps, (rows, columns))
        if side is None:
            return layer(maps)
        seen = functional.pad(maps, (columns, columns, rows, rows))
        convolved = self.kept.convolved(node, layer, seen, side)
        return convolved.contiguous(memory_format=self.kept.layout)

    def _pad(self, node, layer):
        """Zeros around a map: the window stays as it is and has moved on."""
        windows = self.state[node.args[0]]
        left, _, top, _ = layer.padding
        return Windows(windows.values.clone(), windows.top + top, windows.left + left)

    def _join(self, node):
        """Sums, products, ...: all inputs on the smallest windows that hold all their changes."""
        sources = node.all_input_nodes
        if len(sources) == 1 and node.target is not torch.cat:  # x + x
            return self._pointwise(node)
        height, width = self.kept.size(node)
        if any(self.kept.size(source) != (height, width) for source in sources):
            return self._on_whole_maps(node)  # one that broadcasts
        states = [self.state[source] for source in sources]
        top, high = _union([(state.top, state.size[0]) for state in states], height)
        left, wide = _union([(state.left, state.size[1]) for state in states], width)
        seen = {source: self._window(source, top, left, (high, wide)) for source in sources}
        return Windows(self._call(node, seen), top, left)

    def _is_pointwise(self, node, layer):
        """Whether a node changes each value by itself, and all of its inputs but one are fixed."""
        source = node.args[0] if node.args else None
        changing = [used for used in node.all_input_nodes if used in self.kept.dependent]
        if changing != [source] or not isinstance(self.state[source], Windows):
            return False
        fixed = [used for used in node.all_input_nodes if used is not source]
        if node.target in NORMS:
            return not node.kwargs.get("training") and (len(node.args) < 6 or not node.args[5])
        if not all(_is_per_channel(self.kept.values[used]) for used in fixed):
            return False
        return _is_pointwise(node, layer) or node.target in JOINING - {torch.cat}

    def _pointwise(self, node):
        """An operation on each value by itself (or each channel): the window stays."""
        source = node.args[0]
        windows = self.state[source]
        values = self._in_place(node, source, windows)
        if values is None:
            values = self._call(node, {source: windows.values})
        return Windows(values, windows.top, windows.left)

    def _in_place(self, node, source, windows):
        """A ReLU on values that nothing else reads, written over them; else None."""
        network = self.kept.network
        layer = _layer(network, node)
        unread = self.kept.last_use[source] is node and windows is not self.changed
        if not unread or type(layer) not in (nn.ReLU, nn.ReLU6):
            return None
        if any(_may_share(network, each) for each in (source, *source.users)):
            return None  # it has another name, by which it may be read
        return windows.values.clamp_(0, 6 if isinstance(layer, nn.ReLU6) else None)

    def _on_whole_maps(self, node):
        """Anything else, such as flattening, pooling over all positions or a linear layer."""
        return self._call(node, {used: self._whole(used) for used in node.all_input_nodes})

    def _call(self, node, values):
        """Runs a node on given inputs; those that are not given are the same under every patch."""

        def value_of(used):
            return values[used] if used in values else self.kept.values[used]

        arguments = map_arg(node.args, value_of)
        keywords = map_arg(node.kwargs, value_of)
        if node.op == "get_attr":
            return self.kept.values[node]
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
        """What a node returns for the whole batch, its maps as one tensor."""
        value = self.state[node]
        if isinstance(value, Windows):
            zeros = torch.zeros_like(value.top)
            maps = self._window(node, zeros, zeros, self.kept.size(node))
            return maps.contiguous(memory_format=self.kept.layout)
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


def _union(windows, length):
    """The windows that hold several (starts, size) each, along one axis -> starts, one size."""
    start = torch.stack([first for first, _ in windows]).amin(0)
    end = torch.stack([first + size for first, size in windows]).amax(0)
    size = int((end - start).max())
    return start.clamp(max=length - size), size


def _rows_last(maps):
    """(N, C, H, W) seen as (N, H, W, C): all channels of a pixel lie side by side in memory."""
    return maps.permute(0, 2, 3, 1)


def _gather(kept, top, left, height, width):
    """Windows of one map (H, W, C), starting at (top, left) (N,) -> (N, C, height, width)."""
    channels = kept.shape[2]
    strips = kept.flatten().unfold(0, width * channels, channels)  # a view: nothing is copied
    rows = top[:, None] + torch.arange(height, device=top.device)
    starts = rows * kept.shape[1] + left[:, None]
    # index_select copies a strip at once; an index of two dimensions goes value by value.
    windows = strips.index_select(0, starts.flatten())
    return windows.view(len(top), height, width, channels).permute(0, 3, 1, 2)


def _paste(change, onto, down, right):
    """Writes windows (N, C, h, w) into larger ones, shifted by `down` and `right` (N,), clipped.

    onto: as `_gather` makes them, all channels of a pixel side by side: they are copied at once
    """
    count, channels, height, width = onto.shape
    rows = down[:, None] + torch.arange(change.shape[2], device=down.device)
    columns = right[:, None] + torch.arange(change.shape[3], device=right.device)
    held_rows = (rows >= 0) & (rows < height)
    held_columns = (columns >= 0) & (columns < width)
    held = (held_rows[:, :, None] & held_columns[:, None, :]).flatten()
    window = torch.arange(count, device=down.device)[:, None, None]
    pixels = ((window * height + rows[:, :, None]) * width + columns[:, None, :]).flatten()
    values = _rows_last(change).reshape(-1, channels)
    if not held.all():
        pixels, values = pixels[held], values[held]
    _rows_last(onto).view(-1, channels).index_copy_(0, pixels, values)


# ---------------------------------------------------------------------------- kinds of nodes

POINTWISE_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Mish, nn.Sigmoid, nn.Tanh,
    nn.Softplus, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Identity, nn.Dropout, nn.Dropout2d,
    nn.BatchNorm2d,
)  # fmt: skip
POINTWISE_FUNCTIONS = {
    torch.relu, functional.relu, functional.relu6, functional.leaky_relu, functional.gelu,
    functional.silu, functional.hardswish, functional.hardsigmoid, torch.sigmoid, torch.tanh,
    functional.dropout, operator.neg, torch.abs, functional.elu, functional.mish,
    functional.hardtanh, torch.clamp, functional.batch_norm, torch.batch_norm,
}  # fmt: skip
POINTWISE_METHODS = {"relu", "sigmoid", "tanh", "clone", "neg", "abs"}
NORMS = {functional.batch_norm, torch.batch_norm}
JOINING = {
    operator.add, operator.iadd, torch.add, operator.sub, operator.isub, torch.sub, operator.mul,
    operator.imul, torch.mul, operator.truediv, torch.div, torch.maximum, torch.minimum, torch.cat,
}  # fmt: skip
"""What computes with several maps, place by place."""

OUT_OF_PLACE = {
    operator.isub: operator.sub,
    operator.iadd: operator.add,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
INPLACE_FLAG = {
    "relu", "relu6", "leaky_relu", "elu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh",
    "celu", "selu", "threshold", "dropout", "dropout2d",
}  # fmt: skip
"""Functions that write in place if they are told so."""

SHARING = {
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "chunk", "split",
    "tensor_split", "unbind", "getitem", "transpose", "swapaxes", "permute", "movedim", "squeeze",
    "getattr", "swapdims", "moveaxis", "broadcast_to", "type", "half", "bfloat16", "cpu", "real",
    "adjoint", "positive", "dsplit",
    "unsqueeze", "narrow", "select", "expand", "expand_as", "contiguous", "detach", "to", "float",
    "diagonal", "unfold", "t", "dropout", "dropout2d", "alpha_dropout", "feature_dropout",
    "pixel_shuffle", "type_as", "double", "as_strided", "hsplit", "vsplit",
    "iadd", "imul", "isub", "itruediv",
}  # fmt: skip
"""Functions and methods that may return a view of their first input, or that input itself."""


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


def _is_joining(node):
    """Whether a node computes with several maps place by place, with usual settings."""
    if node.op != "call_function" or node.target not in JOINING:
        return False
    if node.target is torch.cat:
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        return dim in (1, -3)
    plain = len(node.args) == 2 and not node.kwargs
    return plain and all(isinstance(side, fx.Node) for side in node.args)


def _is_per_channel(value):
    """Whether a fixed value is the same at all places of a map."""
    if isinstance(value, Tensor):
        return value.dim() == 0 or (value.dim() in (3, 4) and tuple(value.shape[-2:]) == (1, 1))
    return isinstance(value, (int, float))


def _is_padding(layer):
    """Whether a layer adds a constant margin to maps, and cuts nothing off."""
    return isinstance(layer, nn.ConstantPad2d) and min(layer.padding) >= 0


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
