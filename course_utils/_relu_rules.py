"""Other ways back through a ReLU: the rules of guided backpropagation and of the deconvnet.

    with replaced(Guided, model):
        ...                     # gradients taken in here obey the rule at every ReLU and ReLU6

ReLUs are met where they run, as modules, functions, methods, in place and reused.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from course_utils._networks import BEFORE_GRADIENTS, is_unheard
from course_utils._warnings import warn


class Guided(torch.autograd.Function):
    """min(max(values, 0), ceiling); a gradient passes where it is positive and the ReLU was on."""

    @staticmethod
    def forward(ctx, values, ceiling):
        ctx.save_for_backward((values > 0) & (values < ceiling))
        return values.clamp(0, ceiling)

    @staticmethod
    def backward(ctx, gradient):
        (on,) = ctx.saved_tensors
        return gradient.relu() * on, None


class Deconvnet(torch.autograd.Function):
    """min(max(values, 0), ceiling); a gradient passes where it is positive."""

    @staticmethod
    def forward(ctx, values, ceiling):
        return values.clamp(0, ceiling)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.relu(), None


@contextmanager
def replaced(rule: type[torch.autograd.Function], model: nn.Module) -> Iterator[None]:
    """While it lasts, the rule takes the place of every ReLU and ReLU6, called in whatever way.

    Raises ValueError at the end if none ran. Warns of rectifiers that keep their own way back:
    other bounds, leaky and smooth ones, those in an autograd.Function, and parts in TorchScript,
    which can't be seen into.
    """
    mode = _ReluRule(rule)
    BEFORE_GRADIENTS.append(mode.look_back)
    try:
        with mode:
            yield
    finally:
        BEFORE_GRADIENTS.remove(mode.look_back)
    if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
        mode.others.add("a part in TorchScript")
    if not mode.met:
        others = f" (It has {_listed(mode.others)}.)" if mode.others else ""
        raise ValueError(
            "No ReLU ran in this model, so this is nothing but saliency: the rule changes how"
            f" gradients pass a ReLU.{others}"
        )
    if mode.others:
        warn(
            f"Besides ReLUs this model has {_listed(mode.others)}: gradients pass there the plain"
            " way, since the rule is made for ReLUs.",
        )


def _listed(names):
    return ", ".join(sorted(names))


def _operators(*names):
    """torch's own operators of these names, as exported networks call them."""
    packets = [getattr(torch.ops.aten, name) for name in names]
    return *packets, *(packet.default for packet in packets)


RELU = (
    torch.relu, torch.relu_, functional.relu, Tensor.relu, Tensor.relu_,
    *_operators("relu", "relu_"),
)  # fmt: skip
RELU6 = (functional.relu6, *_operators("relu6", "relu6_"))
BOUNDED = (
    torch.clamp, torch.clamp_, torch.clip, torch.clip_, Tensor.clamp, Tensor.clamp_, Tensor.clip,
    Tensor.clip_, torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_,
    functional.hardtanh, functional.hardtanh_,
    *_operators("clamp", "clamp_", "clamp_min", "clamp_min_", "hardtanh", "hardtanh_"),
)  # fmt: skip
"""Functions that are a ReLU or a ReLU6 with the right bounds."""

OTHERS = {
    getattr(functional, name): name
    for name in (
        "leaky_relu", "leaky_relu_", "rrelu", "rrelu_", "prelu", "elu", "elu_", "selu", "selu_",
        "celu", "celu_", "gelu", "silu", "mish", "softplus", "hardswish", "threshold", "threshold_",
        "softshrink", "hardshrink",
    )
} | {torch.threshold: "threshold", torch.prelu: "prelu"}  # fmt: skip
"""Rectifiers that the rules were not made for."""

COMPARISONS = "gt ge lt le greater greater_equal less less_equal sign sgn heaviside".split()
HOMEMADE = [*COMPARISONS, "maximum", "fmax", "max", "minimum", "fmin", "min", "abs"]
"""Names of what a rectifier is written with where somebody writes one out: masks compare."""


class _ReluRule(TorchFunctionMode):
    """While it is active, a rule takes the place of every ReLU, called in whatever way."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule
        self.met = False
        self.others = set()

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if is_unheard():
            return function(*args, **kwargs)
        ceiling = _ceiling(function, args, kwargs)
        if ceiling is not None and not torch.is_grad_enabled():
            # Inside of an autograd.Function, which has a way back of its own.
            self.others.add("a ReLU with a way back of its own")
            return function(*args, **kwargs)
        if ceiling is None:
            if function in OTHERS:
                self.others.add(OTHERS[function].rstrip("_"))
            elif _may_rectify(function, args, kwargs):
                name = _name(function)
                self.others.add("comparisons with numbers" if name in COMPARISONS else name)
            return function(*args, **kwargs)
        self.met = True
        values = args[0] if args else kwargs["input"]
        if not _is_in_place(function, args, kwargs):
            return self.rule.apply(values, ceiling)
        # A copy goes through the rule, because the rule's own output must not change afterwards.
        return values.copy_(self.rule.apply(values.clone(), ceiling))

    def look_back(self, value):
        """Notes a ReLU on the way back from a number that has not taken the rule.

        Functions in TorchScript call theirs where nothing in Python hears of it.
        """
        if "ReluBackward0" in _names_on_the_way(value):
            self.others.add("a ReLU in compiled code, as of TorchScript")


def _names_on_the_way(value):
    """The names of all functions on the way back from a number."""
    seen, waiting = set(), [value.grad_fn]
    while waiting:
        function = waiting.pop()
        if function is not None and function not in seen:
            seen.add(function)
            waiting += [following for following, _ in function.next_functions]
    return {function.name() for function in seen}


def _ceiling(function, args, kwargs):
    """Where a call of a ReLU stops rising, or None if it is no ReLU."""
    if function in RELU:
        return torch.inf
    if function in RELU6:
        return 6.0
    if function not in BOUNDED:
        return None
    low, high = _bounds(function, args, kwargs)
    if isinstance(low, Tensor) or isinstance(high, Tensor) or low != 0:
        return None
    if high is None:
        return torch.inf
    return 6.0 if high == 6 else None


def _bounds(function, args, kwargs):
    """The lower and upper bound of a call, None where there is none."""
    given = dict(zip(("input", "min", "max"), args)) | kwargs
    if "hardtanh" in function.__name__:
        given = dict(zip(inspect.signature(functional.hardtanh).parameters, args)) | kwargs
        return given.get("min_val", -1.0), given.get("max_val", 1.0)
    return given.get("min"), given.get("max")


def _may_rectify(function, args, kwargs):
    """Whether a call does to feature maps, on the way of a gradient, what a rectifier may do.

    The largest value of maps along an axis (`max` with a number or nothing else) is a pooling.
    """
    given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    maps = [value for value in given if value.dim() == 4]
    is_detached = _name(function) in COMPARISONS and any(v.is_floating_point() for v in maps)
    if not is_detached and not any(value.requires_grad for value in maps):
        return False
    if _name(function) in ("max", "min"):
        return len(given) > 1
    return function in BOUNDED or _name(function) in HOMEMADE


def _name(function):
    return _full_name(function).strip("_")


def _full_name(function):
    """ "relu_" of torch.relu_, and of the operator torch.ops.aten.relu_.default."""
    return getattr(function, "__name__", "").split(".")[0]


def _is_in_place(function, args, kwargs):
    if _full_name(function).endswith("_"):
        return True
    if "inplace" in kwargs:
        return bool(kwargs["inplace"])
    flags = [value for value in args[1:] if isinstance(value, bool)]
    return bool(flags) and flags[-1]
