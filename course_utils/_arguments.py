"""What the arguments of a public function may be: one check for all, by what its signature says.

`checks_arguments` reads the annotations of a function once. With each call it compares what is
given with them, so that an array, a list or a text gets one sentence instead of an error from deep
inside. `looks_inside` of `_networks.py` does the same for techniques.
"""

import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.errors import as_whole, check_count, shown

Function = TypeVar("Function", bound=Callable)

ELSEWHERE = ("self", "model", "network", "target", "targets")
"""Parameters that other checks know more about: `network_of`, `whole_targets`."""

CLASSES = (nn.Module, torch.Generator)
"""Classes of which, as of the course's own, an argument is asked to be one or a derived one."""


def checks_arguments(function: Function) -> Function:
    """A decorator: the function raises ValueError for arguments that its signature doesn't allow.

    NumPy's and torch's single numbers reach it as Python's.
    """
    signature = inspect.signature(function)
    allowed = allowed_by(signature)

    @functools.wraps(function)
    def wrapper(*args, **options):
        given = signature.bind(*args, **options)
        check_arguments(allowed, given.arguments)
        return function(*given.args, **given.kwargs)

    return typing.cast(Function, wrapper)


def allowed_by(signature: inspect.Signature) -> dict[str, tuple]:
    """The kinds that each parameter may have, without those of which one isn't checked here."""
    allowed = {
        name: _kinds(parameter.annotation)
        for name, parameter in signature.parameters.items()
        if name not in ELSEWHERE
    }
    return {name: kinds for name, kinds in allowed.items() if all(map(_check_of, kinds))}


def _check_of(kind):
    """The check for a kind of argument, a function of name and value; None if there is none."""
    if kind not in CHECKS and isinstance(kind, type) and _is_asked_for(kind):
        return functools.partial(_check_class, kind)
    return CHECKS.get(kind)


def _is_asked_for(kind):
    is_of_the_course = kind.__module__.startswith(f"{__package__}.")
    return is_of_the_course or issubclass(kind, CLASSES)


def _kinds(annotation):
    """The kinds in an annotation: (int, None) for `int | None`, (Mapping,) for `Mapping[...]`."""
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    kinds = [typing.get_origin(member) or member for member in members]
    return tuple(types.NoneType if kind is None else kind for kind in kinds)


def _is_union(annotation):
    return typing.get_origin(annotation) in (types.UnionType, typing.Union)


def check_arguments(allowed: Mapping[str, tuple], given: dict[str, Any]) -> None:
    """Raises ValueError for the first argument that is of no allowed kind; converts numbers."""
    for name, value in given.items():
        kinds = allowed.get(name)
        if kinds is not None and type(value) not in kinds:
            given[name] = _as_one_of(kinds, name, value)
        elif type(value) is Tensor:
            given[name] = check_tensor(name, value)


def _as_one_of(kinds, name, value):
    """The value, if a check of one of the kinds lets it pass; else the sentence of the first."""
    if value is None and types.NoneType in kinds:
        return None
    sentence = None
    for kind in kinds:
        try:
            check = _check_of(kind)
            return value if check is None else check(name, value)
        except ValueError as error:
            sentence = sentence or error
    raise sentence or ValueError(f"{name}={value!r} can't be used.")


# ---------------------------------------------------------------------------- sizes and colours


def height_and_width(size: int | Sequence[int]) -> tuple[int, int]:
    """`size` = H = W, or (H, W), as two numbers. Raises ValueError for anything else."""
    sides = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size={shown(size)}: give H = W, or (H, W), in pixels.")
    height, width = (check_count("size", side) for side in sides)
    return height, width


def check_colours(
    mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of x = (picture - mean) / std, three of Python's floats each.

    Raises ValueError for what no network wants.
    """
    centre, spread = three_numbers("mean", mean), three_numbers("std", std)
    if centre.abs().max() > 1:
        raise ValueError(
            f"mean={shown(mean)}: pictures lie in [0, 1], so divide mean and std by 255."
        )
    if spread.min() <= 0:
        raise ValueError(f"std={shown(std)}: pictures are divided by it, so it is positive.")
    return tuple(centre.tolist()), tuple(spread.tolist())


def three_numbers(name: str, values: object) -> Tensor:
    """Three finite numbers, one for each colour, as a tensor (3,) of double precision."""
    try:
        found = torch.as_tensor(values, dtype=torch.float64).flatten()
    except (TypeError, ValueError, RuntimeError):
        found = torch.empty(0)
    if len(found) != 3:
        raise ValueError(
            f"{name}={shown(values)}: give three numbers, one each for red, green and blue, such"
            " as (0.5, 0.5, 0.5)."
        )
    if not found.isfinite().all():
        raise ValueError(f"{name}={shown(values)}: these must be finite numbers.")
    return found


def check_picture(picture: Tensor) -> None:
    """Raises ValueError for what is no single picture (3, H, W) of floats."""
    if picture.dim() != 3 or len(picture) != 3 or not picture.numel():
        raise ValueError(f"A picture has the shape (3, H, W), not {tuple(picture.shape)}.")
    if not picture.is_floating_point():
        raise ValueError(f"A picture holds floats in [0, 1], not {picture.dtype}: divide by 255.")


# ---------------------------------------------------------------------------- one kind each


def check_tensor(name: str, value: object) -> Tensor:
    """The value. Raises ValueError for anything but a tensor of real numbers, all of them there.

    Floats of 8 bits, with which torch computes next to nothing, come in single precision.
    """
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a tensor, not a {_kind_of(value)}{_cure(value)}.")
    if value.is_meta or value.is_nested or value.is_quantized or not _holds_real_numbers(value):
        raise ValueError(f"{name} must be a tensor of real numbers, not {_odd_kind(value)}.")
    if value.layout is not torch.strided:
        raise ValueError(f"{name} must be a dense tensor: pass {name}.to_dense().")
    return computable(value)


def check_finite(what: str, *tensors: Tensor) -> None:
    """Raises ValueError, "<what> NaN ... or infinity.", if a number in one of them is not finite.

    what: such as "The heatmap contains"
    """
    if not all(values.isfinite().all() for values in tensors):
        raise ValueError(f"{what} NaN (not a number) or infinity.")


def _holds_real_numbers(tensor):
    """Whether each item is one real number; a few kinds pack two of them, or bits, into a byte."""
    return tensor.dtype in EIGHT_BITS | PLAIN


PLAIN = {
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.bool,
}  # fmt: skip
EIGHT_BITS = {kind for name, kind in vars(torch).items() if name.startswith("float8_")}


def computable(values: Tensor) -> Tensor:
    """Floats of 8 bits in single precision, all others as they are."""
    return values.float() if values.dtype in EIGHT_BITS else values


def _odd_kind(tensor):
    kinds = {"meta": tensor.is_meta, "quantized": tensor.is_quantized, "nested": tensor.is_nested}
    return next((f"a {kind} one" for kind, is_it in kinds.items() if is_it), str(tensor.dtype))


def _kind_of(value):
    kind = type(value)
    is_pythons = kind.__module__ in ("builtins", "torch")
    return kind.__name__ if is_pythons else f"{kind.__module__.split('.')[0]} {kind.__name__}"


def _cure(value):
    """How a tensor is made of what was given, where that is plain."""
    if isinstance(value, (np.ndarray, list, tuple)):
        return ": torch.as_tensor makes one of it"
    if type(value).__module__.startswith("PIL"):
        return ": photos.open_picture reads pictures as tensors"
    return ""


def check_layer(name: str, value: object) -> nn.Module:
    """The value. Raises ValueError for anything but one layer."""
    if not isinstance(value, nn.Module):
        called = f"The layer {name!r}" if name != "layer" else "The layer"
        raise ValueError(
            f"{called} must be an nn.Module or the name of one, not a {_kind_of(value)}."
        )
    return value


def _check_class(kind, name, value):
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be a {kind.__name__}, not a {_kind_of(value)}.")
    return value


def _check_mapping(name, value):
    if not isinstance(value, Mapping):
        raise ValueError(
            f"{name} must be a dict of names and layers, such as classifier.layers, not a"
            f" {_kind_of(value)}."
        )
    return value


def _check_whole(name, value):
    number = as_whole(value)
    if number is None:
        raise ValueError(f"{name}={shown(value)}: a whole number is needed.")
    return number


def check_number(name: str, value: object) -> float:
    """The value. Raises ValueError for anything but one number.

    It may be NaN: each function says which numbers mean something to it.
    """
    if isinstance(value, (int, float)):
        return value
    try:
        if isinstance(value, numbers.Real) or _is_single(value):
            return float(typing.cast(Any, value))
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass  # such as a complex one, or one on the device meta
    raise ValueError(f"{name}={shown(value)}: a number is needed.")


def _is_single(value):
    return isinstance(value, (Tensor, np.ndarray)) and value.ndim == 0


def _check_text(name, value):
    if not isinstance(value, str):
        raise ValueError(f"{name}={shown(value)}: a name is needed, a text.")
    return value


def _check_several(name, value):
    try:
        if not isinstance(value, str) and iter(value) is not None:
            return value
    except TypeError:
        pass  # nothing that can be gone through
    raise ValueError(f"{name}={shown(value)}: a list is needed.")


def _check_function(name, value):
    if not callable(value):
        raise ValueError(f"{name} must be a function, not a {_kind_of(value)}.")
    return value


def _check_array(name, value):
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{name}={shown(value)}: an array is needed.")
    return value


def _refuse(name, value):
    raise ValueError(f"{name}={shown(value)} can't be used.")


CHECKS = {
    Tensor: check_tensor, nn.Module: check_layer, Mapping: _check_mapping, int: _check_whole,
    float: check_number, str: _check_text, Sequence: _check_several, Iterable: _check_several,
    tuple: _check_several, Callable: _check_function, np.ndarray: _check_array,
    types.NoneType: _refuse,
}  # fmt: skip
"""What is asked of an argument whose annotation names this kind: a function of name and value."""
