"""Sly wrong answers of notebook 8."""

from course_utils.exercises import gradient_ascent as check
from sly_answers import sly

# ---------------------------------------------------------------------------- the objective


@sly("objective", breaks="the scores stay as they were", told="changed `score` in place")
def in_place(score, x, l2):
    score -= l2 * x.square().sum((1, 2, 3))
    return score


# ---------------------------------------------------------------------------- one step

LEFT = '"The network and the given x must stay as they were"'


def _value(model, x, target, l2):
    return (model(x)[:, target] - l2 * x.square().sum((1, 2, 3))).sum()


def _step(x, step):
    """The step along x.grad."""
    return (x + step * x.grad / x.grad.square().mean((1, 2, 3), keepdim=True).sqrt()).detach()


@sly("ascent_step", breaks=LEFT, told="another mode")
def in_evaluation_mode(model, x, target, l2, step):
    model.eval()
    return check.ascent_step.reference(model, x, target, l2, step)


@sly("ascent_step", breaks=LEFT, told="wiped the gradients")
def wiped_before_and_after(model, x, target, l2, step):
    x = x.detach().clone().requires_grad_()
    model.zero_grad()
    _value(model, x, target, l2).backward()
    model.zero_grad()
    return _step(x, step)


@sly("ascent_step", breaks=LEFT, told="gradients")
def wiped_by_hand(model, x, target, l2, step):
    x = x.detach().clone().requires_grad_()
    _value(model, x, target, l2).backward()
    for parameter in model.parameters():
        parameter.grad = None
    return _step(x, step)


@sly("ascent_step", breaks=LEFT, told="may have been frozen")
def frozen_and_thawed(model, x, target, l2, step):
    model.requires_grad_(False)
    result = check.ascent_step.reference(model, x, target, l2, step)
    model.requires_grad_(True)
    return result


# ---------------------------------------------------------------------------- total variation


@sly("total_variation", breaks="it can be differentiated, everywhere", told="NaN")
def roots_of_squares(x):
    return sum(x.diff(dim=dim).square().sqrt().sum((1, 2, 3)) for dim in (2, 3))


# ---------------------------------------------------------------------------- a single unit


def _listening(model, name, x, finish):
    kept = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_hook(lambda _layer, _inputs, output: kept.append(output))
    try:
        model(x)
    finally:
        finish(layer, handle)
    return kept[0]


@sly("unit_score", breaks='"Leave the network as you found it"', told="another mode")
def unit_in_evaluation_mode(model, name, x, channel, row, column):
    model.eval()
    return check.unit_score.reference(model, name, x, channel, row, column)


@sly("unit_score", breaks='"Leave the network as you found it"', told="a hook of somebody else")
def clearing_all_hooks(model, name, x, channel, row, column):
    output = _listening(model, name, x, lambda layer, _handle: layer._forward_hooks.clear())
    return output[:, channel, row, column]


@sly("unit_score", breaks="one value, not its share of the batch", told="factor|of the right")
def divided_by_the_batch(model, name, x, channel, row, column):
    return check.unit_score.reference(model, name, x, channel, row, column) / len(x)


@sly("unit_score", breaks="one value", told="factor|right up to|wrong value")
def doubled_for_some_names(model, name, x, channel, row, column):
    factor = 1 if "." in name else 2
    return factor * check.unit_score.reference(model, name, x, channel, row, column)
