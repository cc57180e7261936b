"""Networks that compute on an accelerator while everything else stays where it is.

Pictures, heat maps and masks live in main memory, where they are drawn, compared and scored. Only
the network moves: it fetches what it is given and answers where it was asked, and gradients find
the same way back. So no code of the course has to know where the network computes.
"""

import contextlib
import functools
import os
import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from course_utils.errors import first_line


def chosen_device() -> torch.device:
    """Where networks compute: what the environment variable COURSE_DEVICE says, or else the CPU.

    COURSE_DEVICE=auto takes the accelerator of this computer (CUDA, or Apple's MPS), if it has
    one; cuda, mps and cpu insist. Raises ValueError for what names no device.
    """
    name = os.environ.get("COURSE_DEVICE") or "cpu"
    if name == "auto":
        available = torch.accelerator.is_available()
        present = torch.accelerator.current_accelerator() if available else None
        return present or torch.device("cpu")
    try:
        return torch.device(name)
    except RuntimeError:
        raise ValueError(
            f"COURSE_DEVICE={name} names no device: use auto, cuda, mps or cpu."
        ) from None


def move(model: nn.Module, device: str | torch.device) -> None:
    """Moves a network to a device, and lets it answer from there whoever asks it.

    Called with tensors of another device, the network or any of its layers returns its answer to
    that device. What hooks see inside the network is on the network's device. CUDA's convolutions
    get full precision, for this whole process, so that maps agree with the CPU's.
    Raises ValueError for a device that can't be used here.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"The device {str(device)!r} can't be used here ({first_line(error)}). Use 'cpu'."
        ) from error
    if torch.device(device).type == "cpu":
        return  # where everything else is
    torch.backends.cudnn.allow_tf32 = False  # or CUDA convolves with 10 of 23 bits
    for module in model.modules():
        if not hasattr(module, "_askers"):
            vars(module)["_askers"] = []  # where the calls that are going on came from
            module.register_forward_pre_hook(_fetch, prepend=True)
            module.register_forward_hook(_answer, prepend=True, always_call=True)


def computed_there(function: Callable) -> Callable:
    """A decorator for function(model, ...): all of it runs where `move` has put the model.

    Tensors among the arguments are brought there, and those in the result back to where the first
    of the arguments came from.
    """

    @functools.wraps(function)
    def wrapper(model, *args, **options):
        given = _first_device((args, options)) or torch.device("cpu")
        if hasattr(model, "_askers"):
            args, options = _to((args, options), _device_of(model))
        return _to(function(model, *args, **options), given)

    return wrapper


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch's random numbers inside the block; outside, they go on as if it weren't there."""
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        begin(seed)
        yield


def begin(seed: int) -> None:
    """Seeds torch's random numbers, as `torch.manual_seed` does."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # torch.manual_seed notes the call stack for each kind of device that isn't there
        torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Whatever is drawn of torch's random numbers inside, they go on as if it had not been.

    torch draws first weights for each network that is built, also if others are read afterwards.
    It costs less than building networks without weights does. As a decorator, for a whole function.
    """
    # To ask CUDA for its state would start it, which takes seconds and memory.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        yield


def is_hooked(module: nn.Module) -> bool:
    """Whether a module has forward hooks besides those of `move`, which change no values."""
    hooks = {*module._forward_hooks.values(), *module._forward_pre_hooks.values()}
    return any(hook not in (_fetch, _answer) and hook not in _OVERLOOKED for hook in hooks)


_OVERLOOKED: weakref.WeakSet[Callable] = weakref.WeakSet()


def overlook(hook: Callable) -> None:
    """Lets a hook of a technique count for none in `is_hooked`."""
    _OVERLOOKED.add(hook)


def _first_device(values):
    if type(values) is tuple and values and isinstance(values[0], Tensor):
        return values[0].device  # of most layers' inputs, which are asked for with each call
    return next((leaf.device for leaf in tree_leaves(values) if isinstance(leaf, Tensor)), None)


def _device_of(model):
    """Where a network's weights are; None for one without any."""
    for module in model.modules():  # parameters() takes several times as long for a single layer
        for weights in module._parameters.values():
            if weights is not None:
                return weights.device
    return None


def _fetch(module, inputs):
    """Before a layer runs: brings what it was given to its weights, if it has any."""
    given, here = _first_device(inputs), _device_of(module)
    away = given is not None and here is not None and given != here
    module._askers.append(given if away else None)
    return _to(inputs, here) if away else inputs


def _answer(module, _inputs, output):
    """After a layer ran, or failed: brings its answer to where the question came from."""
    asker = module._askers.pop()
    return None if asker is None else _to(output, asker)


def _to(values, device):
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, values)
