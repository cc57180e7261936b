"""Networks that have been in use, and what a call did to them.

A network as its constructor leaves it hides what an answer does to it: where every part is in
evaluation mode, `model.eval()` leaves no trace; where every weight can be trained, nor does
`requires_grad_(True)`; without gradients, `zero_grad()`; without anyone else's hooks, clearing all.
So the networks among a call's arguments are worn first, in ways that change nothing they compute:

modes      every other layer that does the same in both modes is in the other one
frozen     every other bias. Weights stay trainable, so that a graph that begins at them is whole
gradients  half of what can be trained has one already
hooks      every part has two that do nothing. None runs on the way back: it would forbid what works
           in place behind it, and `torch.func`
"""

from collections.abc import Iterator

import torch
from torch import nn

INDIFFERENT = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear, nn.Flatten, nn.Identity,
    nn.Upsample, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ReLU,
    nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Tanh, nn.Sigmoid, nn.Softmax,
)  # fmt: skip
"""Layers that do the same in training and in evaluation; of an unknown one nobody can say."""

KINDS_OF_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def wear(arguments: tuple, number: int) -> tuple:
    """Wears the networks among the arguments of call `number`, counted from 0; the same each time.

    The second call of three gets its networks as they are. Changes the arguments and returns them:
    gradients and hooks would not survive every way of copying.
    """
    modules = list(
        dict.fromkeys(m for network in networks_in(arguments) for m in network.modules())
    )
    if number % 3 != 1:
        _mix_modes(modules)
        _freeze_biases(modules)
        _give_gradients(modules)
        _hang_hooks(modules)
    return arguments


def networks_in(argument: object) -> Iterator[nn.Module]:
    """All networks that an argument is, or contains."""
    if isinstance(argument, nn.Module):
        yield argument
    elif isinstance(argument, dict):
        yield from networks_in(list(argument.values()))
    elif isinstance(argument, (list, tuple)):
        for item in argument:
            yield from networks_in(item)


def _mix_modes(modules):
    for module in [m for m in modules if type(m) in INDIFFERENT][::2]:
        module.training = not module.training


def _freeze_biases(modules):
    for bias in [p for p in _trainable(modules) if p.ndim == 1][::2]:
        bias.requires_grad_(False)


def _give_gradients(modules):
    for parameter in _trainable(modules)[::2]:
        parameter.grad = torch.ones_like(parameter)


def _trainable(modules):
    parameters = dict.fromkeys(p for m in modules for p in m.parameters(recurse=False))
    return [parameter for parameter in parameters if parameter.requires_grad]


def _hang_hooks(modules):
    for module in modules:
        module.register_forward_pre_hook(passes_by)
        module.register_forward_hook(passes_by)


def passes_by(*_):
    """A hook of somebody else, which does nothing."""


# ---------------------------------------------------------------------------- afterwards


def change_of(old: nn.Module, new: nn.Module) -> str:
    """What happened to a network, as a clause about {argument}; "" if it is as it was found.

    old: an equal one that was never passed
    """
    if [type(module) for module in old.modules()] != [type(module) for module in new.modules()]:
        return "it changed the layers of {argument}: work on a copy of the network"
    modules = list(zip(old.modules(), new.modules()))
    for look in (_mode_change, _hook_change, _attribute_change, _gradient_change):
        change = look(modules)
        if change:
            return change
    state = old.state_dict(), new.state_dict()
    same = state[0].keys() == state[1].keys()
    if not same or any(not torch.equal(a, b) for a, b in zip(*(s.values() for s in state))):
        return "it changed the weights of {argument}: work on a copy of the network"
    return ""


def _mode_change(modules):
    root, *_ = modules
    if root[0].training != root[1].training:
        return (
            "it left {argument} in another mode (training or evaluation) than it found it: "
            "restore it at the end"
        )
    if any(a.training != b.training for a, b in modules):
        return (
            "it left layers of {argument} in another mode (training or evaluation) than it found "
            "them, since train() and eval() set all, and each may have its own: do without, or "
            "restore `training` of each module at the end"
        )
    return ""


def _hook_change(modules):
    hooks = [[_hooks(module) for module in pair] for pair in modules]
    if any(after < before for a, b in hooks for before, after in zip(a, b)):
        return (
            "it took away a hook of somebody else from {argument}: remove your own alone, "
            "by its handle.remove()"
        )
    if any(a != b for a, b in hooks):
        return (
            "it left a hook on {argument}: keep its handle and call handle.remove(), "
            "in `finally`, so that it happens after an error too"
        )
    return ""


def _hooks(module):
    """For each kind of hooks, how many sit on a module: those that pass by, and all."""
    hooks = [list(getattr(module, kind).values()) for kind in KINDS_OF_HOOKS]
    return [n for each in hooks for n in (sum(hook is passes_by for hook in each), len(each))]


def _attribute_change(modules):
    for a, b in modules:
        new = [name for name in vars(b) if name not in vars(a) and name != "forward"]
        if new:
            return (
                f"it left the attribute `{new[0]}` on a layer of {{argument}}, which keeps memory: "
                "collect what you need in a variable of your function"
            )
    if any(_settings(a) != _settings(b) for a, b in modules):
        return "it changed a setting of a layer of {argument}: restore it at the end"
    return ""


def _settings(module):
    """What a layer's printed form says of it, its plain attributes, and the names of all."""
    plain = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, (bool, int, float, str)) and not name.startswith("_")
    }
    return module.extra_repr(), plain, vars(module).keys()


def _gradient_change(modules):
    pairs = [
        pair
        for a, b in modules
        for pair in zip(a.parameters(recurse=False), b.parameters(recurse=False))
    ]
    if any(a.requires_grad != b.requires_grad for a, b in pairs):
        return (
            "it switched requires_grad of parameters of {argument}, some of which may have been "
            "frozen: leave it alone, or restore that of each at the end"
        )
    if any(a.grad is not None and _is_gone(b.grad) for a, b in pairs):
        return (
            "it wiped the gradients that parameters of {argument} had in .grad: call no "
            "zero_grad(), and ask for the gradient of x alone, with torch.autograd.grad"
        )
    if any(not _same_gradient(a.grad, b.grad) for a, b in pairs):
        return (
            "it left gradients in the parameters of {argument}: "
            "ask for the gradient of x alone, with torch.autograd.grad"
        )
    if any(len(a._backward_hooks or ()) != len(b._backward_hooks or ()) for a, b in pairs):
        return "it left a hook on a parameter of {argument}: call its handle.remove()"
    return ""


def _is_gone(gradient):
    return gradient is None or not gradient.any()


def _same_gradient(a, b):
    return (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
