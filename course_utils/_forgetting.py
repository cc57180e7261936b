"""Networks that forget what they learned: the control that heat maps are compared with."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm

from course_utils._devices import seeded

POWER_ITERATIONS = 20
"""So often a spectral norm estimates the norm of its weights anew."""


def copy_of(network: nn.Module) -> nn.Module:
    """A copy of a network, which may forget while the network itself doesn't.

    Pruning and older weight norms keep in each layer a weight that they compute with every pass.
    torch copies no such results of a computation, so the copy gets their values.
    """
    computed = {
        id(tensor): tensor.detach().clone()
        for module in network.modules()
        for tensor in vars(module).values()
        if isinstance(tensor, Tensor) and not tensor.is_leaf
    }
    return copy.deepcopy(network, computed)


def forget(module: nn.Module, seed: int) -> None:
    """Draws all weights of a module and its parts anew, in place, as at the start of training.

    Parts that know how they start (`reset_parameters`) do so. Weights that this leaves as they
    were, such as parametrized ones, embeddings of positions or scales of layers, get normal noise
    of their own mean and spread. Weights that are all alike, such as zeros, hold nothing learned
    and may stay.

    Raises ValueError for a module without weights, and RuntimeError if some of them stayed.
    """
    before = {name: tensor.detach().clone() for name, tensor in _weights(module)}
    if not before:
        raise ValueError("The module has no weights to draw anew.")
    with seeded(seed):
        for part in module.modules():
            for name in ("reset_parameters", "_reset_parameters"):
                if hasattr(part, name):
                    getattr(part, name)()
                    break
        with torch.no_grad():
            for name, tensor in _weights(module):
                if _is_unchanged(before[name], tensor):
                    old = before[name]
                    tensor.copy_(torch.randn_like(old) * old.std() + old.mean())
            _settle_norms(module)
    stayed = [name for name, tensor in _weights(module) if _is_unchanged(before[name], tensor)]
    if stayed:
        raise RuntimeError(f"These weights can't be drawn anew: {', '.join(stayed)}.")


def _settle_norms(module):
    """Lets spectral norms find the norm of their new weights, which they do in training mode."""
    for part in module.modules():
        for hook in part._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):  # of torch.nn.utils.spectral_norm
                for _ in range(POWER_ITERATIONS):
                    hook.compute_weight(part, do_power_iteration=True)
        if not parametrize.is_parametrized(part):
            continue
        modes = [(each, each.training) for each in part.parametrizations.modules()]
        part.parametrizations.train()
        for name in part.parametrizations:
            for _ in range(POWER_ITERATIONS):
                getattr(part, name)
        for each, mode in modes:
            each.training = mode


def _weights(module):
    """All tensors that training changes, by name: parameters, and statistics of batch norms."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return [(name, tensor) for name, tensor in tensors if tensor.is_floating_point()]


def _is_unchanged(before: Tensor, after: Tensor) -> bool:
    """Whether a tensor that holds more than one repeated value is what it was."""
    varies = before.numel() > 1 and bool((before != before.flatten()[0]).any())
    return varies and torch.equal(before, after.detach())
