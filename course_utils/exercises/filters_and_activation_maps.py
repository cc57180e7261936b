"""Checks of notebook 3, filters and activation maps."""

import torch
from torch import nn

from course_utils.exercises import check
from course_utils.exercises.engine.probes import Branching, Fails

# ---------------------------------------------------------------------------- filters as pictures


def _weights(random):
    """Filters of very different size, some all positive and some all negative; one alone.

    Neither stands at an end, so that no mistake leaves the first or the last filter right alone.
    """
    calls = []
    for filters, size in ((6, 3), (4, 5), (1, 4)):
        scale = 10 ** torch.tensor([0.4, -2.0, 1.0, -0.2, -1.4, -0.8])[:filters, None, None, None]
        shift = torch.tensor([0.3, 1.2, -1.2, -0.2, 0.0, 0.1])[:filters, None, None, None]
        weight = 2 * torch.rand(filters, 3, size, size) - 1
        calls.append(((weight + shift) * scale,))
    return calls


@check(points=1, probes=_weights)
def filters_as_pictures(weight):
    """Filters (F, 3, k, k) as pictures (F, 3, k, k) in [0, 1].

    A weight of zero becomes 0.5, and in each filter the largest absolute weight, over colours, rows
    and columns, 0 or 1. No filter is zero everywhere.
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
    "You stretch all filters together from the smallest to the largest weight, so that zero is no "
    "middle grey. Divide each filter by its own largest absolute weight."
)
def _stretched_together(weight):
    return (weight - weight.min()) / (weight.max() - weight.min())


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
    "You divide by the largest weight, which in a filter of negative weights is the *smallest* in "
    "size. Take absolute values before the maximum: `weight.abs().amax(...)`."
)
def _without_absolute(weight):
    return 0.5 + weight / (2 * weight.amax((1, 2, 3), keepdim=True))


@filters_as_pictures.mistake(
    "The signs are gone: negative weights look like positive ones, and zero is black. Take "
    "absolute values for the maximum alone."
)
def _absolute(weight):
    return weight.abs() / weight.abs().amax((1, 2, 3), keepdim=True)


@filters_as_pictures.mistake(
    "Your pictures lie in [-0.5, 1.5]: values in [-1, 1] are to be halved before 0.5 is added."
)
def _not_halved(weight):
    return 0.5 + weight / weight.abs().amax((1, 2, 3), keepdim=True)


@filters_as_pictures.mistake(
    "You add 0.5 first and halve then, so that zero becomes 0.25. Halve first."
)
def _halved_last(weight):
    return (weight / weight.abs().amax((1, 2, 3), keepdim=True) + 0.5) / 2


@filters_as_pictures.mistake(
    "Your maximum goes over all filters, one for each colour. Dimension 0 counts the filters: take "
    "it over the others, (1, 2, 3)."
)
def _over_the_filters(weight):
    return 0.5 + weight / (2 * weight.abs().amax((0, 2, 3), keepdim=True))


@filters_as_pictures.mistake(
    "You cut the weights off at 0 and 1, so large ones become equal. Scale by the largest absolute "
    "weight; then nothing is cut off."
)
def _clamped(weight):
    return (weight + 0.5).clamp(0, 1)


# ---------------------------------------------------------------------------- recording


def _networks(random):
    """A layer at each depth, one before a ReLU in place, training mode, a network that fails."""
    calls = []
    for path, training, ending in (
        ("head.0", False, nn.Tanh()),
        ("body.2", True, nn.Tanh()),
        ("body.0", False, nn.Tanh()),  # the layer after it writes into its output
        ("stem", False, Fails()),
    ):
        model = Branching(ending).train(training)
        calls.append((model, model.get_submodule(path), torch.randn(2, 3, 9, 12)))
    return calls


@check(points=2, probes=_networks)
def activation(model, layer, x):
    """The output of one layer of the model for a batch x (N, 3, H, W), without gradients.

    A copy, which stays as it is where a later layer works in place. The model is left as it was,
    without a hook and in its mode, also when it raises an error. layer: a part of the model, at any
    depth, that runs once
    """
    kept = []
    handle = layer.register_forward_hook(
        lambda _layer, _inputs, output: kept.append(output.clone())
    )
    try:
        with torch.no_grad():
            model(x)
    finally:
        handle.remove()
    return kept[0]


def _recorded(model, layer, x, keep):
    """What `keep` takes from (inputs, output) of the layer."""
    kept = []
    handle = layer.register_forward_hook(
        lambda _layer, inputs, output: kept.append(keep(inputs, output))
    )
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
    layer.register_forward_hook(lambda _layer, _inputs, output: kept.append(output.clone()))
    with torch.no_grad():
        model(x)
    return kept[0]


@activation.mistake(
    "You keep the output itself, and a ReLU that works in place has written into it: what you "
    "return has no negative values any more. Let the hook keep a copy, `output.clone()`."
)
def _overwritten(model, layer, x):
    return _recorded(model, layer, x, lambda inputs, output: output)


@activation.mistake(
    "This is what goes into the layer. The hook gets (layer, inputs, output): take the third."
)
def _input(model, layer, x):
    return _recorded(model, layer, x, lambda inputs, output: inputs[0].clone())


@activation.mistake("This is the output of the whole model, not of the layer.")
def _output(model, layer, x):
    with torch.no_grad():
        return model(x)


@activation.mistake(
    "You run the layer on the picture by itself. Layers before it belong to the way: run the model "
    "and listen with a hook."
)
def _layer_alone(model, layer, x):
    with torch.no_grad():
        return layer(x)


@activation.mistake("You keep only the first picture of the batch: return (N, C, H, W).")
def _first_picture(model, layer, x):
    return activation.reference(model, layer, x)[0]


# ---------------------------------------------------------------------------- selectivity


def _responses(random):
    """Unequally many pictures of each class.

    One channel is alike for all, one answers to one class alone, and one likes two classes best.
    """
    return [_preferring((9, 4, 15, 6), channels=5), _preferring((12, 3, 7), channels=7)]


def _preferring(counts, channels):
    """(responses, labels, classes); channel 0 likes the last class best, the others all in turn."""
    classes = len(counts)
    labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels))]
    strength = 1 + torch.rand(classes, channels)
    strength[(-1 - torch.arange(channels)) % classes, torch.arange(channels)] += 2
    strength[1:, -1] = 0
    responses = strength[labels] * (0.5 + torch.rand(len(labels), channels))
    responses[:, 1] = 0.5  # numbers of which every mean is exact
    responses[:, 2] = torch.where(labels < 2, 1.0, 0.25)
    return responses, labels, classes


def _means(responses, labels, classes):
    return torch.stack([responses[labels == index].mean(0) for index in range(classes)])


def _contrast(best, rest):
    return (best - rest) / (best + rest)


@check(points=2, probes=_responses)
def selectivity(responses, labels, classes):
    """How much each channel prefers one class, in [0, 1] -> (C,).

    With the mean response to each class: (best - rest) / (best + rest), where best is the largest
    of them and rest the mean of the others, each class counting once.
    responses: (N, C), not negative, and no channel is zero for all; labels: (N,) class indices;
    classes: how many there are; every one occurs
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
    return _contrast(means.amax(0), means.mean(0))


@selectivity.mistake(
    "Your rest is divided by the number of all classes. It is the mean of the others, which are "
    "one fewer."
)
def _divided_by_all(responses, labels, classes):
    means = _means(responses, labels, classes)
    return _contrast(means.amax(0), (means.sum(0) - means.amax(0)) / classes)


@selectivity.mistake(
    "Your rest is the sum over the other classes. Divide it by their number: it should be their "
    "mean."
)
def _sum_of_others(responses, labels, classes):
    means = _means(responses, labels, classes)
    return _contrast(means.amax(0), means.sum(0) - means.amax(0))


@selectivity.mistake(
    "`sum - best / (classes - 1)` divides `best` alone. Put parentheses around sum - best."
)
def _best_divided_alone(responses, labels, classes):
    means = _means(responses, labels, classes)
    return _contrast(means.amax(0), means.sum(0) - means.amax(0) / (classes - 1))


@selectivity.mistake(
    "You compare with the least preferred class. The rest is the mean of all other classes."
)
def _against_the_least(responses, labels, classes):
    means = _means(responses, labels, classes)
    return _contrast(means.amax(0), means.amin(0))


@selectivity.mistake(
    "You compare with the second best class alone. The rest is the mean of all other classes."
)
def _against_the_second(responses, labels, classes):
    return _contrast(*_means(responses, labels, classes).topk(2, dim=0).values)


@selectivity.mistake(
    "You add up the responses to a class, so classes with many pictures seem to be preferred. Take "
    "the mean of each class."
)
def _sums(responses, labels, classes):
    means = _means(responses, labels, classes)
    sums = means * torch.bincount(labels, minlength=classes)[:, None]
    return _contrast(sums.amax(0), (sums.sum(0) - sums.amax(0)) / (classes - 1))


@selectivity.mistake(
    "Your rest is the mean over all other *pictures*. Take the mean of each class first: a class "
    "with many pictures counts as much as one with few."
)
def _rest_of_pictures(responses, labels, classes):
    best, preferred = _means(responses, labels, classes).max(0)
    others = labels[:, None] != preferred
    return _contrast(best, (responses * others).sum(0) / others.sum(0))


@selectivity.mistake(
    "You take the largest single response instead of the largest class mean: one picture does not "
    "make a preference."
)
def _single_pictures(responses, labels, classes):
    means = _means(responses, labels, classes)
    return _contrast(responses.amax(0), (means.sum(0) - means.amax(0)) / (classes - 1))


@selectivity.mistake(
    "You compare the largest response to one picture with those to all others; the labels play no "
    "part. Take the mean over the pictures of each class first."
)
def _without_classes(responses, labels, classes):
    best = responses.amax(0)
    return _contrast(best, (responses.sum(0) - best) / (len(responses) - 1))


@selectivity.mistake(
    "You look for the best channel of each class. Each channel has a best class: with means of the "
    "shape (classes, C), take the maximum over dimension 0."
)
def _over_channels(responses, labels, classes):
    means = _means(responses, labels, classes)
    return _contrast(means.amax(1), (means.sum(1) - means.amax(1)) / (classes - 1))


@selectivity.mistake(
    "The last class is missing from your means: `range(classes)` goes from 0 to classes - 1."
)
def _last_class_missing(responses, labels, classes):
    means = _means(responses, labels, classes - 1)
    return _contrast(means.amax(0), (means.sum(0) - means.amax(0)) / (classes - 1))


@selectivity.mistake(
    "You return differences, which grow with a channel's strength. Divide by best + rest."
)
def _difference(responses, labels, classes):
    means = _means(responses, labels, classes)
    best = means.amax(0)
    return best - (means.sum(0) - best) / (classes - 1)


@selectivity.mistake("You divide by best alone. Divide by best + rest.")
def _divided_by_best(responses, labels, classes):
    means = _means(responses, labels, classes)
    best = means.amax(0)
    return 1 - (means.sum(0) - best) / (classes - 1) / best


# ---------------------------------------------------------------------------- receptive field


def _sequences(random):
    """(kernel, stride, padding) of each layer of a few networks; the last one is drawn."""
    drawn = [
        (int(random.integers(2, 6)), int(random.integers(1, 4)), int(random.integers(0, 3)))
        for _ in range(5)
    ]
    return [
        ([(3, 1, 1), (2, 2, 0), (3, 1, 1)],),
        ([(7, 2, 3), (3, 2, 1), (3, 1, 1)],),
        ([(5, 3, 0), (4, 2, 2), (1, 1, 0), (2, 2, 1)],),
        ([(3, 1, 1), (1, 2, 0), (5, 1, 2)],),  # a shortcut, as in a ResNet
        ([(3, 2, 1), (1, 1, 1), (3, 1, 0)],),
        (drawn,),
    ]


@check(points=2, probes=_sequences)
def receptive_field(layers):
    """What unit i of the last layer sees -> three whole numbers (size, stride, start).

    layers: a list with (kernel, step, padding) of each layer, first to last. Along one axis, the
    unit sees the pixels from start + i * stride on, `size` of them; a negative start lies in the
    padding.
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
    "You multiply kernel - 1 by the layer's own stride. Its inputs lie as far apart as all layers "
    "*before* it have moved them: multiply by the stride reached so far."
)
def _own_stride(layers):
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * step
        start -= padding * step
        stride *= step
    return size, stride, start


@receptive_field.mistake(
    "You ignore the strides for size and start. Every layer's steps of one unit are steps of "
    "`stride` pixels in the picture: multiply by the stride reached so far."
)
def _in_units(layers):
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        size += kernel - 1
        start -= padding
        stride *= step
    return size, stride, start


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
    "Padding doesn't shrink what a unit sees, it moves it: it belongs to the start alone."
)
def _shrunk_by_padding(layers):
    size, stride, start = receptive_field.reference(layers)
    return size + 2 * start, stride, start


@receptive_field.mistake(
    "You add the strides. A step of a step multiplies: two layers with stride 2 move by 4 pixels."
)
def _strides_added(layers):
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * stride
        start -= padding * stride
        stride += step
    return size, stride, start


@receptive_field.mistake(
    "Your stride is that of the last layer alone. The steps of all layers multiply."
)
def _last_stride(layers):
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * stride
        start -= padding * stride
        stride = step
    return size, stride, start


@receptive_field.mistake(
    "Size and stride are right, but the start ignores the padding: each layer's padding moves it "
    "by padding * stride pixels towards smaller indices."
)
def _no_padding(layers):
    return *receptive_field.reference(layers)[:2], 0


@receptive_field.mistake(
    "Size and stride are right, but each layer moves the start by its padding as if all units lay "
    "one pixel apart: multiply the padding by the stride reached so far."
)
def _padding_in_units(layers):
    paddings = sum(padding for _, _, padding in layers)
    return *receptive_field.reference(layers)[:2], -paddings


@receptive_field.mistake(
    "Size and stride are right, but you multiply the stride before you move the start. A layer's "
    "padding is counted in units of the layer *before*."
)
def _start_last(layers):
    size, stride, start = 1, 1, 0
    for kernel, step, padding in layers:
        size += (kernel - 1) * stride
        stride *= step
        start -= padding * stride
    return size, stride, start


@receptive_field.mistake(
    "Size and stride are right. The start is not minus half the size: it depends on the paddings, "
    "and without any it stays 0."
)
def _centred(layers):
    size, stride, _ = receptive_field.reference(layers)
    return size, stride, -(size // 2)


@receptive_field.mistake("You go through the layers from the last to the first.")
def _backwards(layers):
    return receptive_field.reference(layers[::-1])


@receptive_field.mistake("That is the first layer alone. Does your `return` stand inside the loop?")
def _returned_early(layers):
    return receptive_field.reference(layers[:1])


@receptive_field.mistake("The order is another one: size, stride, start.")
def _other_order(layers):
    size, stride, start = receptive_field.reference(layers)
    return stride, size, start
