"""Unusual right answers of notebook 3."""

import contextlib
import functools

import numpy as np
import torch
from torch import nn

# ---------------------------------------------------------------------------- filters as pictures


def in_double_precision(weight):
    flat = weight.double().flatten(1)
    largest = torch.maximum(flat.amax(1), -flat.amin(1))
    return torch.einsum("fckl,f->fckl", weight.double(), 0.5 / largest) + 0.5


def filter_by_filter(weight):
    return torch.stack([(kernel / kernel.abs().max() + 1) / 2 for kernel in weight])


def by_an_infinite_norm(weight):
    norms = torch.linalg.vector_norm(weight, ord=torch.inf, dim=(1, 2, 3), keepdim=True)
    return torch.lerp(torch.zeros_like(weight), weight / norms, 0.5) + 0.5


# ---------------------------------------------------------------------------- recording


def in_double(model, layer, x):
    kept = {}
    with torch.no_grad(), _listening(layer, lambda output: kept.update(output=output.double())):
        model(x)
    return kept["output"]


@contextlib.contextmanager
def _listening(layer, function):
    handle = layer.register_forward_hook(lambda _layer, _inputs, output: function(output))
    try:
        yield
    finally:
        handle.remove()


def detached_without_no_grad(model, layer, x):
    kept = []

    def hook(_layer, _inputs, output):
        kept.append(output.detach().clone())

    handle = layer.register_forward_hook(hook)
    try:
        model(x)
    finally:
        handle.remove()
    return kept.pop()


class _Enough(Exception):
    """Ends a run whose rest isn't needed."""


def stopped_as_soon_as_it_is_there(model, layer, x):
    def hook(_layer, _inputs, output):
        raise _Enough(output)

    handle = layer.register_forward_hook(hook)
    try:
        with torch.inference_mode(False), torch.no_grad():
            model(x)
    except _Enough as enough:
        return enough.args[0]
    finally:
        handle.remove()


def with_a_hook_on_all_modules(model, layer, x):
    kept = []

    def hook(module, _inputs, output):
        if module is layer:
            kept.append(output.numpy().copy())

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        with torch.no_grad():
            model(x)
    finally:
        handle.remove()
    return torch.from_numpy(kept[0])


# ---------------------------------------------------------------------------- selectivity


def in_double_with_numpy(responses, labels, classes):
    values, labels = responses.double().numpy(), labels.numpy()
    means = np.array([values[labels == index].mean(0) for index in range(classes)])
    means = np.sort(means, axis=0)
    best, rest = means[-1], means[:-1].mean(0)
    return torch.from_numpy((best - rest) / (best + rest))


def by_a_matrix_product(responses, labels, classes):
    members = nn.functional.one_hot(labels, classes).to(responses)
    means = (members / members.sum(0)).T @ responses
    shares = means / means.sum(0)
    best = shares.max(0).values
    return (best * classes - 1) / (best * (classes - 2) + 1)


def channel_by_channel(responses, labels, classes):
    found = []
    for channel in responses.T:
        means = sorted(channel[labels == index].mean().item() for index in range(classes))
        *others, best = means
        rest = sum(others) / len(others)
        found.append((best - rest) / (best + rest))
    return torch.tensor(found)


# ---------------------------------------------------------------------------- receptive field


def as_an_array_of_floats(layers):
    kernels, strides, paddings = np.array(layers, dtype=float).T
    steps = np.concatenate([[1.0], np.cumprod(strides)])
    size = 1 + ((kernels - 1) * steps[:-1]).sum()
    return np.array([size, steps[-1], -(paddings * steps[:-1]).sum()])


def from_the_last_layer_on(layers):
    first, last, stride = 0, 0, 1
    for kernel, step, padding in reversed(layers):
        first = first * step - padding
        last = last * step - padding + kernel - 1
        stride *= step
    return [last - first + 1, stride, first]


def by_folding(layers):
    def one_more(seen, layer):
        size, stride, start = seen
        kernel, step, padding = layer
        return size + (kernel - 1) * stride, stride * step, start - padding * stride

    return functools.reduce(one_more, layers, (1, 1, 0))


ODD = {
    "filters_as_pictures": [in_double_precision, filter_by_filter, by_an_infinite_norm],
    "activation": [
        in_double,
        detached_without_no_grad,
        stopped_as_soon_as_it_is_there,
        with_a_hook_on_all_modules,
    ],
    "selectivity": [in_double_with_numpy, by_a_matrix_product, channel_by_channel],
    "receptive_field": [as_an_array_of_floats, from_the_last_layer_on, by_folding],
}
