"""Calling a function on probes, and recording all that a check must know about it.

Only data leaves here: values, texts and names. So the calls may happen in another process than
the judgement.
"""

import contextlib
import copy
import random as python_random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as every_module

from course_utils import _devices
from course_utils.exercises.engine.causes import Raised, explain
from course_utils.exercises.engine.compare import difference
from course_utils.exercises.engine.copies import Copies
from course_utils.exercises.engine.probes import contains_failure
from course_utils.exercises.engine.values import read
from course_utils.exercises.engine.worn import change_of, wear

Probes = Callable[[np.random.Generator], list[tuple]]


@dataclass
class Outcome:
    """What one call did."""

    value: object = None
    """What it returned, as plain data (see `values`)."""
    raised: Raised | None = None
    changed: str = ""
    """What it changed of its arguments, in one clause with their numbers in braces, or ""."""
    in_graph: bool = False
    """Whether something of the value requires a gradient."""
    gradients: list[torch.Tensor] | None = None
    """Of the value, with respect to each argument that requires one; None if there is none."""


def call_on_probes(function: Callable, probes: Probes, seed: int) -> list[Outcome]:
    """Calls `function` with each probe's arguments -> what happened, up to the first exception.

    A probe whose network fails on purpose ends nothing: the next one follows.
    """
    return call_all(function, prepared(probes, seed), seed)


def call_all(function: Callable, calls: list["Call"], seed: int) -> list[Outcome]:
    """The same for calls that are `prepared` for this seed."""
    with own_random_numbers():
        return list(each_of(function, calls, seed))


def each_of(
    function: Callable, calls: list["Call"], seed: int, *, values_alone: bool = False
) -> Iterator[Outcome]:
    """The same as an iterator, which calls only when it is asked for the next outcome.

    calls:        those that are `prepared` for this seed
    values_alone: look neither for changes nor for gradients

    Every call gets arguments that no other call has touched, also where probes share a network,
    and starts from the same random numbers. Its networks are worn (see `worn`). Whoever asks does
    so within `own_random_numbers`.
    """
    for number, call in enumerate(calls):
        arguments = call.arguments()
        _begin(seed + number)
        outcome = _call(function, arguments, values_alone)
        if not values_alone:
            outcome.changed = outcome.changed or _first_change(call.before, arguments)
        yield outcome
        if outcome.raised and not contains_failure(call.before):
            return


class Call:
    """A probe, and its arguments as they are passed, as often as they are asked for."""

    def __init__(self, probe: tuple, number: int):
        self.probe = probe
        self._number = number
        self._copies = Copies(probe)

    def arguments(self) -> tuple:
        """Another copy each time, with its networks worn."""
        return wear(self._copies.make(), self._number)

    @cached_property
    def before(self) -> tuple:
        """Equal arguments that are never passed."""
        return self.arguments()


def prepared(probes: Probes, seed: int) -> list[Call]:
    """All calls of this seed, whose probes must stay as they are."""
    return [Call(probe, number) for number, probe in enumerate(make_probes(probes, seed))]


def make_probes(probes: Probes, seed: int) -> list[tuple]:
    """The arguments of all calls, the same for the same seed."""
    with seeded(seed):
        return probes(np.random.default_rng(seed))


def copied(arguments: object) -> object:
    """A copy that shares no memory with the original; a part that occurs twice is one part."""
    return copy.deepcopy(arguments)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch, NumPy and Python inside the block; the notebook's own randomness goes on."""
    with own_random_numbers():
        _begin(seed)
        yield


@contextlib.contextmanager
def own_random_numbers() -> Iterator[None]:
    """Whatever is seeded and drawn inside the block, the notebook's own randomness goes on.

    To read NumPy's state and to put it back takes longer than many an answer, so it is done once
    for all calls.
    """
    numpy_state, python_state = np.random.get_state(), python_random.getstate()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            python_random.setstate(python_state)


def _begin(seed):
    _devices.begin(seed)
    np.random.seed(seed % 2**32)
    python_random.seed(seed)


def _call(function, arguments, values_alone):
    with _switches_restored() as changed_switch:
        try:
            value = function(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = Outcome(raised=explain(error, function, len(arguments)))
        else:
            outcome = _recorded(value, () if values_alone else arguments)
    outcome.changed = changed_switch()
    return outcome


def _recorded(value, arguments):
    data, tensors = read(value)
    outcome = Outcome(data)
    try:
        results = [tensor for tensor in tensors if tensor.requires_grad]
        outcome.in_graph = bool(results)
        outcome.gradients = _gradients(results, arguments)
    except Exception:  # tensors of an odd kind: the comparison says so
        pass
    return outcome


def _gradients(results, arguments):
    """Gradients of one number that depends on every element of the results, each in its own way."""
    leaves = [a for a in arguments if isinstance(a, torch.Tensor) and a.requires_grad]
    if not leaves or not results:
        return None
    total = sum((result * _weights(result)).sum() for result in results)
    gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    return [
        torch.zeros_like(leaf) if gradient is None else gradient.detach()
        for leaf, gradient in zip(leaves, gradients)
    ]


def _weights(result):
    return torch.arange(1, result.numel() + 1, device=result.device).cos().view(result.shape)


# ---------------------------------------------------------------------------- side effects


@contextlib.contextmanager
def _switches_restored():
    """Gradients are switched on inside; yields a function that says what was left switched."""
    hooks = _global_hooks()
    dtype = torch.get_default_dtype()
    said = []
    grad_mode = torch.is_grad_enabled()
    torch.set_grad_enabled(True)  # whatever the notebook switched off
    try:
        yield lambda: said[0]
    finally:
        if not torch.is_grad_enabled():
            said.append("it left gradients switched off: use `with torch.no_grad():`")
        elif torch.get_default_dtype() != dtype:
            said.append("it left another default dtype: give the dtype where it is needed")
        elif _global_hooks() != hooks:
            said.append("it left a hook for all modules behind: call its handle.remove()")
        else:
            said.append("")
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad_mode)


def _global_hooks():
    kinds = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
    return [len(getattr(every_module, kind, ())) for kind in kinds]


def _first_change(before, after):
    """How arguments differ from equal ones that were never passed, as in `Outcome.changed`."""
    for number, (old, new) in enumerate(zip(before, after)):
        change = _change(old, new)
        if change:
            return change.replace("{argument}", f"{{{number}}}")
    return ""


def _change(old, new):
    if type(old) is not type(new):  # an item of a list or dict
        return "it changed {argument} itself: work on a copy of it"
    if type(old) in UNCHANGING:  # what it was an item of is told by itself
        return ""
    if isinstance(old, nn.Module):
        return change_of(old, new)
    if isinstance(old, torch.Tensor):
        return _tensor_change(old, new) or _data_change(old.detach(), new.detach())
    if _is_equal_list(old, new):
        return ""
    pairs = ()
    if isinstance(old, dict) and old.keys() == new.keys():
        pairs = [(old[key], new[key]) for key in old]
    elif isinstance(old, (list, tuple)) and len(old) == len(new):
        pairs = zip(old, new)
    return next(filter(None, (_change(*pair) for pair in pairs)), "") or _data_change(old, new)


def _tensor_change(old, new):
    if old.is_leaf and not new.is_leaf:  # it was given the result of something
        return "it changed {argument} in place, as `-=` does: make a new tensor, `x = x - ...`"
    if old.requires_grad != new.requires_grad:
        return "it switched requires_grad of {argument}: work on a copy, x.detach().clone()"
    if (old.grad is None) != (new.grad is None):
        return (
            "it left a gradient in {argument}.grad, where the next one would be added to it: "
            "use torch.autograd.grad"
        )
    if len(old._backward_hooks or ()) != len(new._backward_hooks or ()):
        return "it left a hook on {argument}: keep its handle and call handle.remove()"
    return ""


def _data_change(old, new):
    copy = next((how for kind, how in COPIES.items() if isinstance(old, kind)), "")
    if not copy:
        return ""
    try:
        same = _is_equal(old, new) or difference(old, new, tolerance=0) is None
    except TypeError:  # nothing that could be compared, such as a function or a generator
        same = True
    return "" if same else f"it changed {{argument}} itself: work on a copy, for instance {copy}"


UNCHANGING = {int, float, bool, str, type(None)}


def _is_equal_list(old, new):
    """Whether two lists or tuples hold the same numbers and texts, and nothing else."""
    if type(old) not in (list, tuple):
        return False
    kinds = [type(item) for item in old]
    return UNCHANGING.issuperset(kinds) and kinds == [type(item) for item in new] and old == new


def _is_equal(old, new):
    """Whether two tensors are equal, as most are, by the quickest test; False if it can't say."""
    if type(old) is not torch.Tensor or old.dtype != new.dtype:
        return False
    plain = torch.device("cpu"), torch.strided
    return all((t.device, t.layout) == plain for t in (old, new)) and torch.equal(old, new)


COPIES = {
    torch.Tensor: "x.clone()",
    np.ndarray: "x.copy()",
    list: "list(...)",
    tuple: "list(...)",
    dict: "dict(...)",
}
"""How to copy an argument, by its kind."""
