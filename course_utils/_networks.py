"""What every technique does with a network before it looks inside, and undoes afterwards.

`looks_inside` prepares what a technique is given: a classifier or its network, layers by name,
names of classes, tensors from inference mode. `Ready` runs the network: on a copy of the input,
with frozen weights, in the order of memory that is fastest. `outputs_of` catches what a layer
returns.
"""

import functools
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch._C import _functorch  # type: ignore[attr-defined]
from torch.func import functional_call
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from course_utils._arguments import allowed_by, check_arguments, check_layer
from course_utils._devices import computed_there, is_hooked, overlook
from course_utils._warnings import warn
from course_utils.errors import (
    DataError,
    PictureError,
    UsageError,
    first_line,
    shown,
    unknown_name,
)

# ---------------------------------------------------------------------------- what is given


def looks_inside(function: Callable) -> Callable:
    """A decorator for a technique: function(model, ...), whose `model` may be a `Classifier`.

    A parameter `layer` may be a name, and `target` or `targets` the name of a class, if a
    `Classifier` is given. While the function runs, the network is in eval mode (a warning tells if
    that changes what it computes), gradients can be taken even inside of `torch.inference_mode`,
    and autocast is off, because maps are compared in full precision. All of it runs where the
    network's weights are.
    """
    signature = inspect.signature(function)
    allowed = allowed_by(signature)
    computed = computed_there(function)

    @functools.wraps(function)
    def wrapper(*args, **options):
        given = signature.bind(*args, **options)
        (first, *_) = given.arguments
        model = given.arguments[first]
        network = network_of(model)
        given.arguments[first] = network
        if "x" in given.arguments:
            _check_pictures(given.arguments["x"])
        for name in ("layer", "layers"):
            if given.arguments.get(name) is not None:
                given.arguments[name] = _as_layers(model, given.arguments[name])
        for name in ("target", "targets"):
            if name in given.arguments:
                given.arguments[name] = _as_indices(model, given.arguments[name])
        check_arguments(allowed, given.arguments)
        if any(part.training and trains_otherwise(part) for part in network.modules()):
            warn(
                "The model is in training mode. What is asked is computed in eval mode; afterwards"
                " it is in training mode again.",
            )
        _warn_of_batch_statistics(network)
        with (
            _ONE_AT_A_TIME,
            torch.inference_mode(False),
            _full_precision(network),
            evaluating(network),
            _without_checkpoints(),
        ):
            return computed(*_usable(given.args), **_usable(given.kwargs))

    return wrapper


def _check_pictures(x):
    """Raises ValueError for an x that is no batch of floats.

    Layers take a picture without a batch, too, and then mean other axes.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x must be preprocessed pictures (N, 3, H, W), floats; got {what}.")
    if not x.dim() or not len(x):
        raise ValueError(f"x must be preprocessed pictures (N, 3, H, W), not {tuple(x.shape)}.")
    if x.dim() == 3:
        raise ValueError(
            f"x must be preprocessed pictures (N, 3, H, W), not {tuple(x.shape)}: pass x[None] for"
            " one preprocessed picture."
        )


def _is_classifier(model):
    """Whether this is a `Classifier`, and no network with attributes of these names."""
    return hasattr(model, "class_index") and not isinstance(model, nn.Module)


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """Networks keep what they would compute anew in the backward pass (`torch.utils.checkpoint`).

    By then a technique's hooks and weights are gone, and others would be computed.
    """
    module = sys.modules.get("torch.utils.checkpoint")
    instead = {
        "_checkpoint_without_reentrant_generator": _nothing_around,
        "CheckpointFunction": _CalledAtOnce,
    }
    usual = {name: getattr(module, name) for name in instead if hasattr(module, name)}
    for name in usual:
        setattr(module, name, instead[name])
    try:
        yield
    finally:
        for name, value in usual.items():
            setattr(module, name, value)


def _nothing_around(*_args, **_options):
    """What torch runs before and after a part of a network: nothing."""
    yield


class _CalledAtOnce:
    @staticmethod
    def apply(function, _preserve_rng_state, *args):
        return function(*args)


def network_of(model) -> nn.Module:
    """The network itself: of a `Classifier`, or inside of what torch puts around a network.

    Raises ValueError for what can't be looked into.
    """
    if _is_classifier(model) and isinstance(getattr(model, "model", None), nn.Module):
        return network_of(model.model)
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return network_of(model.module)
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            "This is a TorchScript network, whose layers can't be reached: pass the network that it"
            " was made from."
        )
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"The model must be a Classifier or an nn.Module, not a {type(model).__name__}."
        )
    compiled = getattr(model, "_orig_mod", None)  # of torch.compile
    if isinstance(compiled, nn.Module):
        return network_of(compiled)
    _refuse_lazy_layers(model)
    return model


def _refuse_lazy_layers(model):
    for name, module in model.named_modules():
        # Asked with each call of a technique: named_parameters() takes ten times as long.
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if is_lazy(tensor):
                raise ValueError(
                    f"The network has lazy layers without weights, such as {name!r}: run it once on"
                    " preprocessed pictures, model(x), before anything else."
                )


def _as_layers(model, given):
    """A layer, or several of them by name, where each may be given by its name in the model."""
    if isinstance(given, Mapping):
        return {name: _as_layers(model, layer) for name, layer in given.items()}
    if not isinstance(given, str):
        return given
    if _is_classifier(model):
        return model.layer(given)
    layers = dict(network_of(model).named_modules())
    if given not in layers:
        raise ValueError(unknown_name("layer", given, [name for name in layers if name]))
    return layers[given]


def _as_indices(model, given):
    """A target as it is, but names of classes as their indices."""
    if isinstance(given, (list, tuple)):
        return type(given)(_as_indices(model, one) for one in given)
    if not isinstance(given, str):
        return given
    if _is_classifier(model):
        return model.class_index(given)
    raise ValueError(
        f"A network doesn't know that {given!r} is one of its classes: pass the classifier instead"
        f" of its model, or classifier.class_index({given!r})."
    )


def _usable(values):
    """Arguments whose tensors can take part in gradients, wherever they were made.

    numpy's whole numbers become Python's, which torch wants.
    """

    def usable(leaf):
        if isinstance(leaf, Tensor) and leaf.is_inference():
            return leaf.clone()
        return int(leaf) if isinstance(leaf, np.integer) else leaf

    return tree_map(usable, values)


@contextmanager
def _full_precision(network):
    """While it lasts, autocast is off on the CPU and where the network is."""
    weights = next(network.parameters(), None)
    kinds = {"cpu", "cpu" if weights is None else weights.device.type}
    before = {kind: torch.is_autocast_enabled(kind) for kind in kinds if _has_autocast(kind)}
    try:
        for kind in before:
            torch.set_autocast_enabled(kind, False)
        yield
    finally:
        for kind, enabled in before.items():
            torch.set_autocast_enabled(kind, enabled)


def _has_autocast(kind):
    return torch.amp.is_autocast_available(kind)


TRAIN_OTHERWISE = (
    nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm, nn.RReLU,
    nn.MultiheadAttention, nn.FractionalMaxPool2d, nn.RNNBase,
)  # fmt: skip
"""Modules that compute something else in training mode."""


def trains_otherwise(part: nn.Module) -> bool:
    """Whether a module, or the code of one that is not torch's, asks in which mode it is."""
    if type(part).__module__.startswith("torch.nn."):
        return isinstance(part, TRAIN_OTHERWISE)
    code = getattr(type(part).forward, "__code__", None)
    return isinstance(part, TRAIN_OTHERWISE) or (code is not None and "training" in code.co_names)


def _warn_of_batch_statistics(network):
    name = _norm_without_statistics(network)
    if name is not None:
        warn(
            f"The batch norm {name!r} has no running statistics: what the network says about a"
            " picture depends on the others in its batch, and so do maps. Train it with"
            " track_running_stats=True, or pass batch=1 and one picture at a time.",
        )


def _norm_without_statistics(network):
    """The name of the first batch norm that always normalizes by the batch, or None."""
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            return name
    return None


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """While it lasts, every module is in eval mode; then each has its own mode again.

    In training mode, dropout and batch norm would make the answer for a picture depend on chance
    and on the other pictures of its batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    if not any(mode for _, mode in modes):
        yield
        return
    try:
        model.eval()
    except NotImplementedError:
        raise ValueError(
            f"A {type(model).__name__} can't be put into eval mode (was it exported?): pass the"
            " network that it was made from."
        ) from None
    try:
        yield
    finally:
        for module, mode in modes:
            if mode and type(module).train is not nn.Module.train:
                module.train()  # what it does besides, such as taking merged weights apart
        for module, mode in modes:
            module.training = mode


# ---------------------------------------------------------------------------- the network, running

_ONE_LAYOUT: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""Networks that were seen to need the usual order of memory, as those that call `view` do."""

_TWO_LAYOUTS: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""Networks that were seen to give the same in both orders of memory."""

_ONE_BY_ONE: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""Networks that were seen to say the same of a picture whichever others are in its batch."""

USUAL_ORDER_ONLY = (nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)
"""Layers that torch computes less well channels last; `_Norms` finds their functions."""

MOST_ASKED = 8
"""Pictures among which one is asked for, to see whether the others matter."""

_UNHEARD: list[bool] = []
"""Holds something while a network only runs to be compared with itself."""

_CAUGHT: list[list[Tensor]] = []
"""The lists of `outputs_of` that are being filled."""

_ONE_AT_A_TIME = threading.RLock()
"""Held while a technique runs, which changes the network and a few of torch's functions."""

BEFORE_GRADIENTS: list[Callable[[Tensor], None]] = []
"""What is shown each number before its gradient is taken."""


class Ready:
    """A network as a technique runs it: x (N, 3, H, W) -> its output, a tensor.

    The network gets a copy of x, because it may write into its input. Its weights are handed over
    as detached tensors, so the network's own keep their `requires_grad` and no gradients of them
    are computed. On a CPU, everything is arranged channels last, which makes convolutions faster,
    where the network can take that.
    """

    def __init__(self, model: nn.Module):
        self.model = model
        self._weights = {}
        self._is_asked_about_batches = False
        # TorchScript keeps hold of its weights, so others can't be handed over.
        self._is_fixed = any(isinstance(part, torch.jit.ScriptModule) for part in model.modules())

    def __call__(self, x: Tensor, entering: Callable[[Tensor], None] | None = None) -> Tensor:
        """The network's output; `entering` is told the very tensor that enters the network."""
        with _ONE_AT_A_TIME:
            return self._answer(x, entering)

    def _answer(self, x, entering):
        if len(x) > 1 and not self._is_asked_about_batches:
            self._warn_of_others_in_the_batch(x)
        if fast_layout(self.model, x) == torch.channels_last:
            caught = [(outputs, len(outputs)) for outputs in _CAUGHT]
            try:
                if self._gives_the_same(x):
                    return self._run(x, torch.channels_last, entering)
            except Exception:  # whatever a network says of an order that it can't take
                for outputs, count in caught:
                    del outputs[count:]  # what layers returned in the run that failed
            output = self._run_or_explain(x, entering)
            _ONE_LAYOUT.add(self.model)  # and not if it fails in this order, too
            return output
        return self._run_or_explain(x, entering)

    def _run_or_explain(self, x, entering):
        """The network's output in the usual order of memory.

        Raises ValueError if the network can't compute anything for this x.
        """
        with explained(self.model, x):
            return self._run(x, torch.contiguous_format, entering)

    def _gives_the_same(self, x):
        """Whether the order of memory makes no difference to the network, for one picture.

        Code that computes with strides can be wrong in the other order without an error.
        """
        if self.model in _TWO_LAYOUTS or self._is_watched():
            return True
        with torch.no_grad(), _unheard():
            with _Norms() as norms:
                usual = self._run(x[:1].detach(), torch.contiguous_format, None)
            if norms.found:
                return False
            other = self._run(x[:1].detach(), torch.channels_last, None)
            if _differ(usual, other):
                if len(x) == 1:  # with others, the batch has been looked at
                    again = self._run(x.detach(), torch.contiguous_format, None)
                    self._warn_of_chance(usual, again)
                return False
        _TWO_LAYOUTS.add(self.model)
        return True

    def _warn_of_others_in_the_batch(self, x):
        """Warns if what the network says of the first picture depends on others, or on chance.

        Code that normalizes by its batch, or adds noise, without a module for it, does that.
        """
        self._is_asked_about_batches = True
        if self.model in _ONE_BY_ONE or self._is_watched():
            return
        if _norm_without_statistics(self.model) is not None:
            return  # a warning has told
        one = x[:1].detach()
        try:
            with torch.no_grad(), _unheard():
                alone, again = (self._run(one, torch.contiguous_format, None) for _ in range(2))
                among = self._among_others(one, x[1:MOST_ASKED].detach())
        except Exception:  # a number of pictures that it doesn't take; with its own it may run
            return
        if not alone.dim() or self._warn_of_chance(alone, again):
            return
        if alone.shape[1:] != among.shape[1:] or _differ(alone, among[-1:], among):
            warn(
                "What this network says about a picture depends on the others in its batch, and so"
                " do maps: it seems to normalize by the batch. Pass batch=1 and one picture at a"
                " time.",
            )
        else:
            _ONE_BY_ONE.add(self.model)

    def _among_others(self, one, others):
        """The outputs for other pictures and then for one.

        The others are far brighter and richer in contrast than pictures, so that what mixes them
        with the one shows; and as they are, if the network refuses such.
        """
        try:
            return self._run(torch.cat([10 * others + 1, one]), torch.contiguous_format, None)
        except Exception:  # whatever a network says of such pictures
            return self._run(torch.cat([others, one]), torch.contiguous_format, None)

    def _warn_of_chance(self, once, again):
        """Warns if a network said two things of one picture -> whether it did."""
        if not _differ(once, again):
            return False
        warn(
            "What this network says about a picture changes from run to run, and so do maps: it"
            " seems to draw random numbers, or to remember earlier runs.",
        )
        return True

    def _is_watched(self):
        """Whether somebody's hooks would be called for a picture that nobody passed."""
        return any(is_hooked(part) for part in self.model.modules())

    def scores(self, x: Tensor, entering: Callable[[Tensor], None] | None = None) -> Tensor:
        """The scores (N, classes). Raises ValueError if the output is something else."""
        scores = self(x, entering)
        if scores.dim() != 2:
            raise ValueError(
                f"The model must return scores (N, classes), not {tuple(scores.shape)}."
            )
        if len(scores) != len(x):
            raise ValueError(
                f"The model returns {len(scores)} rows of scores for {len(x)} pictures: pass a"
                " network that returns one for each."
            )
        return scores if scores.is_complex() else as_floats(scores)

    def _run(self, x, layout, entering):
        x = x.clone(memory_format=layout) if x.dim() == 4 else x.clone()
        if entering is not None:
            entering(x)
        if self._is_fixed:
            return _numbers(output_in(self.model(x)))
        if layout not in self._weights:
            self._weights[layout] = _weights_in(self.model, layout)
        # Tied, a module with two names would be handed each weight twice, and keep the second.
        weights = self._weights[layout]
        return _numbers(output_in(functional_call(self.model, weights, (x,), tie_weights=False)))


class _Norms(TorchDispatchMode):
    """Finds whether what runs inside of it normalizes maps by themselves, as code or as a layer.

    Channels last, torch's group norm loses digits where the mean is large, and the gradient of its
    instance norm is wrong for a single picture.
    """

    @classmethod
    def _should_skip_dynamo(cls):
        """Whether torch imports its compiler, only to leave this alone: that takes seconds."""
        return False

    def __init__(self):
        super().__init__()
        self.found = False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.name()
        if "group_norm" in name:
            self.found = True
        elif "batch_norm" in name:  # an instance norm is one, of a picture's maps
            given = dict(zip((argument.name for argument in func._schema.arguments), args))
            self.found |= bool({**given, **kwargs}.get("training"))
        return func(*args, **kwargs)


def _weights_in(model, layout):
    """{name: tensor} of all that a network computes with, each module once, in an order of memory.

    Buffers are copies, because some networks write into them. What is shared stays shared.
    """
    arranged_once = {}

    def ready(tensor):
        if id(tensor) not in arranged_once:
            own = tensor.detach()
            own = own if isinstance(tensor, nn.Parameter) else own.clone()
            arranged_once[id(tensor)] = arranged(own, layout)
        return arranged_once[id(tensor)]

    return {
        f"{path}.{name}" if path else name: ready(tensor)
        for path, module in model.named_modules()
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None
    }


def _differ(usual, other, others=None):
    """Whether outputs differ by more than rounding.

    others: outputs for other pictures, if there are any. They tell how large the numbers are that
            were rounded where these outputs are differences of nearly equal ones.
    Classes may be masked by minus infinity: the finite scores count, and which ones these are.
    """
    finite = usual.isfinite()
    if not torch.equal(finite, other.isfinite()):
        return True
    usual, other = usual[finite], other[finite]
    if not usual.numel():
        return False
    allowed = 1e-3 * usual.abs().max()
    if others is not None:
        allowed = allowed.clamp(min=1e-5 * others[others.isfinite()].abs().max().item())
    return bool((usual - other).abs().max() > allowed)


@contextmanager
def _unheard() -> Iterator[None]:
    """While it lasts, `outputs_of` takes no notice of what runs, and changes nothing."""
    _UNHEARD.append(True)
    try:
        yield
    finally:
        _UNHEARD.pop()


def is_unheard() -> bool:
    """Whether a network only runs to be compared with itself."""
    return bool(_UNHEARD)


class Refused(ValueError):
    """What the course itself says while a network runs, as hooks do: no failure of the network."""


_PASSED_ON = (
    Refused, PictureError, DataError, UsageError, Warning, MemoryError, torch.OutOfMemoryError,
)  # fmt: skip
"""Errors that say themselves what is to be done, and warnings that somebody has made errors."""

_ABOUT_SHAPES = (RuntimeError, AssertionError, ValueError, IndexError)
"""Errors that a network may raise for pictures of the wrong size."""


@contextmanager
def explained(model: nn.Module, x: Tensor) -> Iterator[None]:
    """Raises ValueError, one sentence, for any error of a network that runs on x inside of it.

    The course's own errors pass unchanged.
    """
    try:
        yield
    except _PASSED_ON:
        raise
    except Exception as error:
        raise ValueError(_why_not(model, x, error)) from error


def gradients_of(
    value: Tensor, inputs: Tensor | Sequence[Tensor], allow_unused: bool = False
) -> tuple[Tensor, ...]:
    """The gradients of one number, as `torch.autograd.grad` takes them.

    Raises ValueError, one sentence, for any error on the way back.
    """
    for show in BEFORE_GRADIENTS:
        show(value)
    try:
        return torch.autograd.grad(value, inputs, allow_unused=allow_unused)
    except _PASSED_ON:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {_ended(error)}"
        raise ValueError(f"No gradient can be taken of what this network does: {what}") from error


def in_full(values: Tensor) -> Tensor:
    """Values in single precision if they come in half, whose sums overflow; else as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def warn_of_underflow(gradient: Tensor) -> None:
    """Warns of a gradient so small that float16 has lost digits of all of it, or everything."""
    if gradient.dtype == torch.float16 and gradient.abs().max() < torch.finfo(torch.float16).tiny:
        warn(
            "The gradient is too small for float16, which rounds it to few digits or to zero: use"
            " the network in float32 or bfloat16.",
        )


def first_weights(model: nn.Module) -> Tensor | None:
    """The first of a network's weights that are floats: they tell where it computes, and how."""
    return next((w for w in model.parameters() if w.is_floating_point()), None)


def _why_not(model, x, error):
    """A sentence on why a network failed on x: what doesn't fit, as far as it can be seen."""
    weights = first_weights(model)
    if weights is not None and weights.dtype != x.dtype:
        return (
            f"x is {x.dtype}, but the network's weights are {weights.dtype}: pass"
            f" x.to({weights.dtype})."
        )
    if weights is not None and weights.device != x.device:
        return (
            f"x is on {x.device}, but the network's weights on {weights.device}: move one of both."
        )
    given = f"x of the shape {tuple(x.shape)}"
    if x.dim() != 4:
        return f"The network failed on {given}; preprocessed pictures are (N, 3, H, W)."
    first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
    if first is not None and first.in_channels != x.shape[1]:
        return (
            f"The network takes pictures with {first.in_channels} channels, (N,"
            f" {first.in_channels}, H, W), not {given}."
        )
    if type(error) in _ABOUT_SHAPES and "grad" not in str(error):
        return f"The network failed on {given} (does it need another size?): {_ended(error)}"
    return f"The network failed on {given}: {type(error).__name__}: {_ended(error)}"


def _ended(error):
    """What an error says, as the end of a sentence."""
    return first_line(error).rstrip(". ") + "."


def fast_layout(model: nn.Module, x: Tensor) -> torch.memory_format:
    """The order of memory in which a network is fastest with x, as far as it can take it.

    Channels last makes convolutions on a CPU faster, unless there are no feature maps, or something
    in the network, such as `view`, was seen to insist on the usual order.
    """
    usual = x.dim() != 4 or x.device.type != "cpu" or x.dtype != torch.float32
    if usual or model in _ONE_LAYOUT:
        return torch.contiguous_format
    if model not in _TWO_LAYOUTS and any(
        isinstance(module, USUAL_ORDER_ONLY) for module in model.modules()
    ):
        _ONE_LAYOUT.add(model)
        return torch.contiguous_format
    return torch.channels_last


def arranged(values: Tensor, layout: torch.memory_format) -> Tensor:
    """A tensor of weights or feature maps in this order of memory, which gradients can pass."""
    if values.is_inference():
        values = values.clone()
    return values.contiguous(memory_format=layout) if values.dim() == 4 else values


def output_in(output) -> Tensor:
    """The tensor in what a network returns: itself, `.logits`, or the first item.

    Raises ValueError where no choice is obvious.
    """
    if isinstance(output, Tensor):
        return output
    found = getattr(output, "logits", None)
    if isinstance(output, Mapping):
        only = next(iter(output.values())) if len(output) == 1 else None
        found = output.get("logits", only)
    elif found is None and isinstance(output, (tuple, list)) and output:
        found = output[0]
    if isinstance(found, Tensor) and found.dim():
        return found
    names = f" with {', '.join(map(str, output))}" if isinstance(output, Mapping) else ""
    if isinstance(found, Tensor):
        names = ", at first a single number, maybe a loss"
    raise Refused(
        f"The network returns a {type(output).__name__}{names}, but a classifier returns a tensor"
        " of scores (N, classes): pass a network that returns the part that does."
    )


_NUMBERS = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
)  # fmt: skip
"""What torch can compute with; other types are only stored."""


def _numbers(output):
    """A copy of an output, since a network may write its next one into the same memory.

    Truth values become floats, 0 or 1. Raises ValueError for what torch can't compute with.
    """
    if output.dtype == torch.bool:
        return output.to(torch.get_default_dtype())
    if output.dtype not in _NUMBERS or output.layout != torch.strided:
        raise Refused(
            f"The network's outputs are {output.dtype}, {output.layout}, with which torch can't"
            " compute: let it return output.to_dense().float()."
        )
    return output.clone()


def as_floats(values: Tensor) -> Tensor:
    """The values themselves, or as floats if they are whole numbers or truth values.

    Double precision has all whole numbers up to 2**53; Apple's MPS has none.
    """
    if values.is_floating_point():
        return values
    return values.float() if values.device.type == "mps" else values.double()


def in_double(values: Tensor) -> Tensor:
    """The values in double precision, on the CPU, since not every device has it."""
    return values.cpu().double()


# ---------------------------------------------------------------------------- targets


def check_pair(x: Tensor, other: Tensor, name: str = "baseline") -> None:
    """Raises ValueError unless both are one preprocessed picture, (1, 3, H, W), of one size.

    name: of the other one, for the message
    """
    if x.dim() != 4 or len(x) != 1:
        raise ValueError(f"x must be one preprocessed picture (1, 3, H, W), not {tuple(x.shape)}.")
    if other.shape != x.shape or other.dtype != x.dtype:
        raise ValueError(
            f"The {name} must have the shape of x, {tuple(x.shape)}, and the precision of x,"
            f" {x.dtype}, not {tuple(other.shape)}, {other.dtype}: preprocess it as x was."
        )


def class_indices(target: int | Tensor, scores: Tensor) -> Tensor:
    """The class index of each picture, (N,), checked against the scores (N, C).

    target: one class index for all pictures, or one for each, (N,)
    """
    if scores.dim() != 2:
        raise ValueError(f"The model must return scores (N, C), not {tuple(scores.shape)}.")
    targets = whole_targets(target, len(scores)).to(scores.device)
    classes = scores.shape[1]
    unknown = targets[(targets < 0) | (targets >= classes)].tolist()
    if unknown:
        raise ValueError(
            f"The targets are 0 to {classes - 1}, one for each class; got {unknown[0]}."
        )
    return targets


def chosen_scores(scores: Tensor, targets: int | Tensor) -> Tensor:
    """The score of each picture's class, (N,) of (N, C); `targets` as for `class_indices`.

    Raises ValueError if one of them is NaN.
    """
    chosen = scores.gather(1, class_indices(targets, scores)[:, None])[:, 0]
    if chosen.isnan().any():
        raise ValueError("The score is NaN (not a number): look at x and at the model's weights.")
    return chosen


def whole_targets(target: int | Tensor, count: int) -> Tensor:
    """One whole number for each of `count` pictures, (count,) int64, not yet compared with scores.

    Raises ValueError for what is no class index, and for another number of them.
    """
    try:
        targets = torch.as_tensor(target)
    except (TypeError, ValueError, RuntimeError):
        targets = None
    if targets is None or targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"A target is a class index, a whole number; got {shown(target)}.")
    if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != count):
        raise ValueError(
            f"Give one target, or one for each of the {count} pictures; got the shape"
            f" {tuple(targets.shape)}."
        )
    return targets.long().clone().expand(count)


# ---------------------------------------------------------------------------- layers


@contextmanager
def outputs_of(
    layer: nn.Module, change: Callable[[Tensor], Tensor] | None = None, name: str = ""
) -> Iterator[list[Tensor]]:
    """While it lasts, a list receives what a layer returns, once for each time that it runs.

    The list holds copies, which a later in-place operation can't change; gradients pass them.
    change: what the network goes on with instead of the layer's output, a function of that
    name:   the layer's, for messages

    Raises ValueError if the layer returns no tensor, runs inside of `torch.vmap`, or did not run by
    the end.
    """
    outputs = []
    check_layer(name or "layer", layer)
    called = f"The layer {name!r}" if name else "The layer"

    def hook(_module, _inputs, output):
        if _UNHEARD:
            return None
        if not isinstance(output, Tensor):
            raise Refused(
                f"{called} returns a {type(output).__name__}, not a tensor: choose a layer inside"
                " of it, or the one that takes its output apart."
            )
        if _ends_with_a_transform(output):
            raise Refused(
                f"{called} runs inside of torch.vmap or another of torch's function transforms,"
                " outside of which its output doesn't exist: choose a layer that the network calls"
                " outside of it, or call the layers on the whole batch."
            )
        outputs.append(output.clone())
        return None if change is None else change(output)

    overlook(hook)
    handle = layer.register_forward_hook(hook)
    _CAUGHT.append(outputs)
    try:
        yield outputs
    finally:
        handle.remove()
        _CAUGHT[:] = [caught for caught in _CAUGHT if caught is not outputs]
    if not outputs:
        raise ValueError(f"{called} did not run: is it a layer of this model?")


def _ends_with_a_transform(output):
    """Whether a tensor is the view that `vmap` or `functionalize` has of another one.

    Those of `torch.func.grad` and `jvp` can be used afterwards, too.
    """
    wrapped = _functorch.is_functorch_wrapped_tensor(output)
    return wrapped and not _functorch.is_gradtrackingtensor(output)


def feature_maps(output: Tensor, x: Tensor, what: str) -> Tensor:
    """A layer's output, if it looks like feature maps (N, C, h, w) of the pictures x (N, 3, H, W).

    what: who needs them, such as "Grad-CAM". Raises ValueError for other shapes, and for maps
    (N, h, w, C) with their channels last, as transformers have them.
    """
    if len(output) != len(x):
        raise ValueError(
            f"The layer returns {len(output)} maps for {len(x)} pictures. {what} needs one of each:"
            " choose a layer behind the one that joins them."
        )
    if output.dim() != 4 or output.shape[2] * output.shape[3] == 0:
        raise ValueError(
            f"The layer's output has the shape {tuple(output.shape)}. {what} needs feature maps"
            " (N, C, h, w): choose a layer before the flattening."
        )
    first, second, third = output.shape[1:]
    if _has_shape_of(x, first, second) and not _has_shape_of(x, second, third):
        raise ValueError(
            f"The layer's output has the shape {tuple(output.shape)}: its channels seem to come"
            f" last, (N, h, w, C). {what} needs feature maps (N, C, h, w): choose a layer that"
            " returns them so."
        )
    if _may_be_channels_last(x, output):
        warn(
            f"The layer's output has the shape {tuple(output.shape)}, which may be (N, C, h, w) or"
            " (N, h, w, C). The first is assumed; if the channels come last, as in many"
            " transformers, choose another layer.",
        )
    return output


def _may_be_channels_last(x, output):
    """Whether the shape of maps fits both orders, and the order of memory doesn't tell.

    A convolution that ran channels last returns (N, C, h, w) with its channels side by side.
    """
    first, second, third = output.shape[1:]
    fits_last = _has_shape_of(x, first, second, cells=0) and _has_shape_of(x, second, third)
    return fits_last and output.stride(1) != 1


def _has_shape_of(x, height, width, cells=2):
    """Whether maps have the pictures' proportions, give or take a cell or two."""
    ratio = x.shape[3] / x.shape[2]
    return abs(width - height * ratio) <= cells * max(1.0, ratio)
