"""Checks of notebook 3, filters and activation maps."""

import torch
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- filters as pictures


def _weights(random):
    """Weights of very different sizes, some of them all positive or all negative."""
    calls = []
    for filters, size in ((6, 3), (4, 5)):
        scale = 10 ** torch.linspace(-2, 1, filters)[:, None, None, None]
        shift = torch.randn(filters, 1, 1, 1)
        calls.append(((torch.randn(filters, 3, size, size) + shift) * scale,))
    return calls


@check(points=1, probes=_weights)
def filters_as_pictures(weight):
    """Filters (F, 3, k, k) as pictures (F, 3, k, k) in [0, 1].

    A weight of zero becomes 0.5, and in each filter the largest absolute weight 0 or 1.
    """
    largest = weight.abs().amax((1, 2, 3), keepdim=True)
    return 0.5 + weight / (2 * largest)


@filters_as_pictures.mistake(
    "You stretch each filter from its minimum to its maximum, so that zero gets another grey in "
    'each. Divide by the largest absolute value, so that grey stays "no weight".'
)
def _minimum_to_maximum(weight):
    low = weight.amin((1, 2, 3), keepdim=True)
    return (weight - low) / (weight.amax((1, 2, 3), keepdim=True) - low)


@filters_as_pictures.mistake(
    "You scale all filters together; weak ones stay grey. Each filter has its own largest weight."
)
def _all_together(weight):
    return 0.5 + weight / (2 * weight.abs().max())


@filters_as_pictures.mistake(
    "You scale each colour of a filter by itself, which changes the filter's colours. Take the "
    "largest weight over all three colours."
)
def _each_colour(weight):
    return 0.5 + weight / (2 * weight.abs().amax((2, 3), keepdim=True))


@filters_as_pictures.mistake(
    "Your pictures lie in [-1, 1]: shift and halve them, so that zero becomes 0.5."
)
def _not_shifted(weight):
    return weight / weight.abs().amax((1, 2, 3), keepdim=True)


@filters_as_pictures.mistake(
    "You clamp the weights, which makes all negative ones equal. Scale first; then nothing is cut "
    "off."
)
def _clamped(weight):
    return weight.clamp(0, 1)


# ---------------------------------------------------------------------------- recording


def _networks(random):
    calls = []
    for layer in (0, 1, 3):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.Tanh(), nn.Dropout(0.5)
        ).eval()
        calls.append((model, model[layer], torch.randn(2, 3, 9, 12)))
    return calls


def _hooked(model, layer, x, keep):
    """Runs the model with a hook on the layer; the hook's handle is the caller's."""
    return layer.register_forward_hook(lambda _layer, inputs, output: keep.append((inputs, output)))


@check(points=2, probes=_networks)
def activation(model, layer, x):
    """The output of one layer of the model for x (N, 3, H, W), without gradients."""
    kept = []
    handle = layer.register_forward_hook(lambda _layer, _inputs, output: kept.append(output))
    try:
        with torch.no_grad():
            model(x)
    finally:
        handle.remove()
    return kept[0]


@activation.mistake(
    "Right, but your hook stays on the layer and runs again with every later picture. Keep the "
    "handle that `register_forward_hook` returns, and remove it."
)
def _left_behind(model, layer, x):
    kept = []
    _hooked(model, layer, x, kept)
    with torch.no_grad():
        model(x)
    return kept[0][1]


@activation.mistake(
    "This is what goes into the layer. The hook gets (layer, inputs, output): take the third."
)
def _input(model, layer, x):
    kept = []
    handle = _hooked(model, layer, x, kept)
    with torch.no_grad():
        model(x)
    handle.remove()
    return kept[0][0][0]


@activation.mistake("This is the output of the whole model, not of the layer.")
def _output(model, layer, x):
    with torch.no_grad():
        return model(x)


@activation.mistake(
    "You run the layer on the picture by itself. Layers before it belong to the way: run the model "
    "and listen with a hook."
)
def _first_only(model, layer, x):
    kept = []
    handle = _hooked(model, model[0], x, kept)
    with torch.no_grad():
        model(x)
    handle.remove()
    return kept[0][1].relu()


@activation.mistake("You keep only the first picture of the batch: return (N, C, H, W).")
def _first_picture(model, layer, x):
    return activation.reference(model, layer, x)[:1]


# ---------------------------------------------------------------------------- selectivity


def _responses(random):
    """Non-negative responses of channels to labelled pictures."""
    calls = []
    for pictures, channels, classes in ((40, 5, 4), (30, 7, 3)):
        labels = torch.arange(pictures) % classes
        strength = torch.rand(classes, channels) ** 3
        responses = (torch.rand(pictures, channels) + 4 * strength[labels]).relu()
        calls.append((responses, labels, classes))
    return calls


def _means(responses, labels, classes):
    return torch.stack([responses[labels == index].mean(0) for index in range(classes)])


@check(points=2, probes=_responses)
def selectivity(responses, labels, classes):
    """How much each channel prefers one class, in [0, 1] -> (C,).

    responses: (N, C), not negative; labels: (N,) class indices; every class occurs
    With the mean response to each class: (best - rest) / (best + rest), where best is the largest
    of them and rest the mean of the others.
    """
    means = torch.stack([responses[labels == index].mean(0) for index in range(classes)])
    best = means.amax(0)
    rest = (means.sum(0) - best) / (classes - 1)
    return (best - rest) / (best + rest)


@selectivity.mistake(
    "Your rest is the mean over all classes, the best one included. It should be the mean of the "
    "others."
)
def _rest_of_all(responses, labels, classes):
    means = _means(responses, labels, classes)
    best, rest = means.amax(0), means.mean(0)
    return (best - rest) / (best + rest)


@selectivity.mistake(
    "You compare with the least preferred class. The rest is the mean of all other classes."
)
def _against_the_least(responses, labels, classes):
    means = _means(responses, labels, classes)
    best, rest = means.amax(0), means.amin(0)
    return (best - rest) / (best + rest)


@selectivity.mistake(
    "You compare with the second best class alone. The rest is the mean of all other classes."
)
def _against_the_second(responses, labels, classes):
    best, rest = _means(responses, labels, classes).topk(2, dim=0).values
    return (best - rest) / (best + rest)


@selectivity.mistake(
    "You take the largest single response instead of the largest class mean: one picture does not "
    "make a preference."
)
def _single_pictures(responses, labels, classes):
    means = _means(responses, labels, classes)
    rest = (means.sum(0) - means.amax(0)) / (classes - 1)
    best = responses.amax(0)
    return (best - rest) / (best + rest)


@selectivity.mistake(
    "You return differences, which grow with a channel's strength. Divide by best + rest."
)
def _difference(responses, labels, classes):
    means = _means(responses, labels, classes)
    best = means.amax(0)
    return best - (means.sum(0) - best) / (classes - 1)


# ---------------------------------------------------------------------------- receptive field


def _sequences(random):
    """(kernel, stride, padding) of each layer of a few networks."""
    drawn = [
        (int(random.integers(2, 6)), int(random.integers(1, 4)), int(random.integers(0, 3)))
        for _ in range(5)
    ]
    return [([(3, 1, 1), (2, 2, 0), (3, 1, 1)],), ([(7, 2, 3), (3, 2, 1), (3, 1, 1)],), (drawn,)]


@check(points=2, probes=_sequences)
def receptive_field(layers):
    """What unit i of the last layer sees -> (size, stride, start).

    layers: (kernel, stride, padding) of each, first to last. The unit sees the pixels from
    start + i * stride on, `size` of them.
    """
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * stride
        start -= padding * stride
        stride *= step
    return size, stride, start


@receptive_field.mistake(
    "You multiply the stride before you use it. A layer's kernel steps over units of the layer "
    "before, which lie the *old* stride apart."
)
def _stride_first(layers):
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        stride *= step
        size += (kernel - 1) * stride
        start -= padding * stride
    return size, stride, start


@receptive_field.mistake(
    "You add kernel - 1 pixels for each layer, however far apart its inputs lie: multiply by the "
    "stride reached so far."
)
def _without_stride(layers):
    _, stride, start = receptive_field.reference(layers)
    return 1 + sum(kernel - 1 for kernel, _, _ in layers), stride, start


@receptive_field.mistake(
    "You add the whole kernel. The first of its inputs is counted already: add kernel - 1."
)
def _whole_kernel(layers):
    size, stride = 1, 1
    for kernel, step, _ in layers:
        size += kernel * stride
        stride *= step
    return size, stride, receptive_field.reference(layers)[2]


@receptive_field.mistake(
    "You multiply the kernels. Two 3 x 3 layers see 5 x 5 pixels, not 9 x 9: the sizes add up."
)
def _multiplied(layers):
    size = 1
    for kernel, _, _ in layers:
        size *= kernel
    return size, *receptive_field.reference(layers)[1:]


@receptive_field.mistake(
    "Size and stride are right, but the start ignores the padding: each layer's padding moves it "
    "by padding * stride pixels towards smaller indices."
)
def _no_padding(layers):
    return *receptive_field.reference(layers)[:2], 0
