"""Sly wrong answers of notebook 3."""

import torch

from course_utils.exercises import filters_and_activation_maps as check
from sly_answers import sly

# ---------------------------------------------------------------------------- filters


@sly("filters_as_pictures", breaks="(F, 3, k, k), also for one filter", told="axis of length 1")
def without_the_axis_of_one(weight):
    return check.filters_as_pictures.reference(weight).squeeze(0)


@sly("filters_as_pictures", breaks="negative weights below 0.5", told="^(?!Only the)")
def above_the_middle(weight):
    return 0.5 + weight.abs() / (2 * weight.abs().amax((1, 2, 3), keepdim=True))


@sly("filters_as_pictures", breaks="the largest becomes 0 or 1", told="^(?!Only the)")
def with_a_constant(weight):
    return 0.5 + weight / (2 * weight.abs().amax((1, 2, 3), keepdim=True) + 1e-3)


# ---------------------------------------------------------------------------- recording


def _listening(model, layer, x, finish):
    kept = []
    handle = layer.register_forward_hook(
        lambda _layer, _inputs, output: kept.append(output.clone())
    )
    try:
        with torch.no_grad():
            model(x)
    finally:
        finish(handle)
    return kept[0]


@sly("activation", breaks='"the model is left as it was"', told="a hook of somebody else")
def clearing_all_hooks(model, layer, x):
    return _listening(model, layer, x, lambda _handle: layer._forward_hooks.clear())


@sly("activation", breaks='"the model is left as it was"', told="the attribute `saved`")
def saving_on_the_layer(model, layer, x):
    layer.saved = _listening(model, layer, x, lambda handle: handle.remove())
    return layer.saved


@sly("activation", breaks='"in its mode", of each layer', told="another mode")
def with_one_mode(model, layer, x):
    was = model.training
    model.eval()
    try:
        return check.activation.reference(model, layer, x)
    finally:
        model.train(was)


# ---------------------------------------------------------------------------- selectivity


def _means(responses, labels, classes):
    return torch.stack([responses[labels == index].mean(0) for index in range(classes)])


def _contrast(best, rest):
    return (best - rest) / (best + rest)


@sly("selectivity", breaks='"each class counting once", also beside an equal')
def of_the_smaller_ones(responses, labels, classes):
    means = _means(responses, labels, classes)
    smaller = means < means.amax(0)
    return _contrast(means.amax(0), (means * smaller).sum(0) / smaller.sum(0).clamp(min=1))


@sly("selectivity", breaks='"each class counting once", also beside an equal', told="^(The|Item)")
def without_the_best(responses, labels, classes):
    means = _means(responses, labels, classes)
    rest = torch.where(means == means.amax(0), torch.nan, means).nanmean(0)
    return _contrast(means.amax(0), rest)


@sly("selectivity", breaks="`classes`", told="^The answer has NaN .* mean of nothing")
def of_ten_classes(responses, labels, classes):
    return check.selectivity.reference(responses, labels, 10)


# ---------------------------------------------------------------------------- receptive field


@sly("receptive_field", breaks="stride and padding of each layer, also of one 1 pixel wide")
def without_single_pixels(layers):
    return check.receptive_field.reference([layer for layer in layers if layer[0] > 1])


@sly("receptive_field", breaks="the padding that is given", told="^(?!.*negative are wrong)")
def with_the_usual_padding(layers):
    usual = [(kernel, stride, kernel // 2) for kernel, stride, _ in layers]
    return check.receptive_field.reference(usual)
