"""Calling a function on probes, and recording all that a check must know about it.

Only data leaves here: values, texts and names. So the calls may happen in another process than
the judgement.
"""

import contextlib
import copy
import random as python_random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from course_utils.exercises.engine.causes import Raised, explain
from course_utils.exercises.engine.compare import difference

Probes = Callable[[np.random.Generator], list[tuple]]


@dataclass
class Outcome:
    """What one call did."""

    value: object = None
    raised: Raised | None = None
    changed: str = ""
    """What it changed of its arguments, in one clause with their numbers in braces, or ""."""
    in_graph: bool = False
    """Whether something of the value requires a gradient."""


def call_on_probes(function: Callable, probes: Probes, seed: int) -> list[Outcome]:
    """Calls `function` with each probe's arguments -> what happened, up to the first exception."""
    return list(each_call(function, probes, seed))


def each_call(function: Callable, probes: Probes, seed: int) -> Iterator[Outcome]:
    """Calls `function` with each probe's arguments, one after the other, up to an exception.

    Every call gets arguments that no other call has touched, also where probes share a network,
    and starts from the same random numbers.
    """
    for number, before in enumerate(make_probes(probes, seed)):
        arguments = copied(before)
        with seeded(seed + number):
            outcome = _call(function, arguments)
        outcome.changed = _first_change(before, arguments)
        outcome.in_graph = requires_grad(outcome.value)
        yield outcome
        if outcome.raised:
            return


def copied(arguments):
    """A copy that shares no memory with the original; a part that occurs twice is one part."""
    return copy.deepcopy(arguments)


def requires_grad(value: object) -> bool:
    """Whether a tensor, or one in a list, tuple or dict, requires a gradient."""
    if isinstance(value, (list, tuple)):
        return any(requires_grad(item) for item in value)
    if isinstance(value, dict):
        return any(requires_grad(item) for item in value.values())
    return isinstance(value, torch.Tensor) and value.requires_grad


def make_probes(probes: Probes, seed: int) -> list[tuple]:
    """The arguments of all calls, the same for the same seed."""
    with seeded(seed):
        return probes(np.random.default_rng(seed))


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch, NumPy and Python inside the block; the notebook's own randomness goes on."""
    numpy_state, python_state = np.random.get_state(), python_random.getstate()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        python_random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
            python_random.setstate(python_state)


def _call(function, arguments):
    try:
        with torch.enable_grad():  # whatever the notebook switched off
            return Outcome(function(*arguments))
    except (Exception, SystemExit) as error:
        return Outcome(raised=explain(error, function, len(arguments)))


# ---------------------------------------------------------------------------- side effects


def _first_change(before, after):
    """How arguments differ from equal ones that were never passed, as in `Outcome.changed`."""
    for number, (old, new) in enumerate(zip(before, after)):
        change = _module_change(old, new) if isinstance(old, nn.Module) else _data_change(old, new)
        if change:
            return change.replace("{argument}", f"{{{number}}}")
    return ""


def _data_change(old, new):
    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
        if old.requires_grad != new.requires_grad:
            return "it switched requires_grad of {argument}: work on a copy, x.detach().clone()"
        old, new = old.detach(), new.detach()
    try:
        same = difference(old, new, tolerance=0) is None
    except TypeError:  # nothing that could be compared, such as a function or a generator
        same = True
    return "" if same else "it changed {argument} itself: work on a copy, for instance x.clone()"


def _module_change(old, new):
    """What happened to a network; it must be left as it was found."""
    modules = list(zip(old.modules(), new.modules()))
    if len(list(old.modules())) != len(list(new.modules())):
        return "it changed the layers of {argument}: work on a copy of the network"
    if any(a.training != b.training for a, b in modules):
        return (
            "it left {argument} in another mode (training or evaluation) than it found it: "
            "restore it at the end"
        )
    if any(_hooks(a) != _hooks(b) for a, b in modules):
        return "it left a hook on {argument}: keep its handle and call handle.remove()"
    if any(a.requires_grad != b.requires_grad for a, b in zip(old.parameters(), new.parameters())):
        return "it switched requires_grad of the parameters of {argument}: restore it at the end"
    if any((a.grad is None) != (b.grad is None) for a, b in _parameters(old, new)):
        return (
            "it left gradients in the parameters of {argument}: "
            "ask for the gradient of x alone, with torch.autograd.grad"
        )
    state = zip(old.state_dict().values(), new.state_dict().values())
    if any(not torch.equal(a, b) for a, b in state):
        return "it changed the weights of {argument}: work on a copy of the network"
    return ""


def _parameters(old, new):
    return zip(old.parameters(), new.parameters())


def _hooks(module):
    """How many hooks of each kind sit on a module."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return [len(getattr(module, kind)) for kind in kinds]
