"""An accelerator that isn't there: a torch device called "pretend", computed on the CPU.

Like a GPU it refuses to mix its tensors with the CPU's in one operation, to draw from a generator
of the CPU, and to become a numpy array. So what runs on it leaves no tensor on the wrong device.
It can be without double precision, as Apple's MPS is. It can't show what else differs on a real
one: rounding, speed, operations that are not there.

It uses torch's private way to write a device in Python, which older versions lack: AVAILABLE.
"""

import functools
from functools import partial

import torch
from torch.utils import backend_registration

AVAILABLE = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")

KEY = "PrivateUse1"  # what torch calls a device of somebody else
MAY_MIX = {"_copy_from", "_copy_from_and_resize", "index", "index_put", "index_put_"}
PLAIN = {int, float, bool, type(None)}
LEFT_TO_TORCH = {"_to_copy", "copy_", "copy", "lift", "lift_fresh"}

_without = set()  # types that the device doesn't have
_registered = []  # torch forgets a registration when its library is deleted


def register(has_double: bool = True) -> None:
    """Makes the device "pretend" known to torch, for the rest of this process."""
    if not has_double:
        _without.add(torch.float64)
    if _registered:
        return
    backend_registration._setup_privateuseone_for_python_backend("pretend", _module())
    everything, operators = (
        torch.library.Library("_", "IMPL"),
        torch.library.Library("aten", "IMPL"),
    )
    _registered.extend((everything, operators))
    everything.fallback(_compute, KEY)
    for name in _composed():
        base, _, overload = name.partition(".")
        operator = getattr(getattr(torch.ops.aten, base), overload or "default")
        operators.impl(name, partial(_compute, operator), KEY)


def _module():
    """What torch asks about the device."""

    class Module(backend_registration._DummyBackendModule):
        def get_rng_state(self, device=None):
            return torch.zeros(1)

        def set_rng_state(self, state, device=None):
            pass

        def manual_seed(self, seed):
            pass

        def synchronize(self, device=None):
            pass

    return Module()


def _composed():
    """Operators that torch would put together from others, with strides that we don't keep."""
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    kinds = ("CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional")
    for full in torch._C._dispatch_get_all_op_names():
        name = full.removeprefix("aten::")
        if name == full or "imname" in name or name.split(".")[0] in LEFT_TO_TORCH:
            continue
        if any(has(full, kind) for kind in kinds) and not has(full, KEY):
            yield name


class PretendTensor(torch.Tensor):
    """A tensor of the device; what it holds is on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        if held.dtype in _without:
            raise TypeError(f"The device has no {held.dtype}")
        if torch.is_inference_mode_enabled():  # its tensors can't be shared with what torch derives
            with torch.inference_mode(False):  # entering it takes longer than many operations do
                return cls.__new__(cls, held)
        tensor = torch._C._acc.create_empty_tensor(held.shape, held.dtype)
        tensor.__class__ = PretendTensor
        return tensor

    def __init__(self, held):
        # torch copies tensors without their Python part, but not their storage, which keeps its own
        self.untyped_storage().held = held

    def __repr__(self):
        return f"pretend {_on_cpu(self)}"

    def __format__(self, how):
        return format(_on_cpu(self).detach(), how)


def _is_ours(value):
    return isinstance(value, torch.Tensor) and not value.is_cpu


def _on_cpu(value):
    return value.untyped_storage().held if _is_ours(value) else value


def _compute(operator, *args, **options):
    """Runs an operator on the CPU, after the checks that a GPU would make."""
    name = _name(operator)
    given = {}  # {id of what a tensor holds: the tensor}
    inside = [_held(value, operator, given) for value in args]
    for option, value in options.items():
        options[option] = _held(value, operator, given)
    if name == "_copy_from":
        _on_cpu(args[1]).copy_(inside[0])
        return args[1]
    if name == "view":  # what we hold may have other strides than torch thinks
        return PretendTensor(inside[0].reshape(args[1]))
    if options.get("device") is not None:
        options["device"] = torch.device("cpu")
    if "convolution" in name:  # the order of memory in which a CPU is fastest
        inside = [_channels_last(value) for value in inside]
    return _ours(operator(*inside, **options), given)


# No functions inside of `_compute`: one that calls itself would keep all tensors of the call alive
# until Python next looks for cycles.


def _held(value, operator, given):
    """What a value holds on the CPU, or everything in a tuple or list does; noted in `given`."""
    if type(value) in PLAIN:
        return value
    if isinstance(value, torch.Tensor):
        if not value.is_cpu:
            inside = value.untyped_storage().held
            given[id(inside)] = value
            return inside
        if value.dim() and _name(operator) not in MAY_MIX:
            raise RuntimeError(f"{operator}: tensors of the CPU and of another device")
    elif type(value) in (tuple, list):
        if value and type(value[0]) is int:  # most of them are sizes
            return value
        return type(value)([_held(one, operator, given) for one in value])
    elif type(value) is torch.Generator and value.device.type == "cpu":
        raise RuntimeError(f"{operator}: a generator of the CPU on another device")
    return value


def _ours(value, given):
    """A value of the device, or a tuple or list of them; what was given stays itself."""
    if isinstance(value, torch.Tensor):
        same = given.get(id(value))
        return same if same is not None and same.shape == value.shape else PretendTensor(value)
    if type(value) in (tuple, list):
        return type(value)([_ours(one, given) for one in value])
    return value


def _channels_last(value):
    if isinstance(value, torch.Tensor) and value.dim() == 4:
        return value.contiguous(memory_format=torch.channels_last)
    return value


@functools.cache
def _name(operator):
    return operator.overloadpacket.__name__
