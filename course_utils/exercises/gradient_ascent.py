"""Checks of notebook 8, gradient ascent."""

import torch
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- the objective


def _scored_inputs(random):
    """Scores of two and three small x; lambda is large enough to count."""
    return [
        (torch.randn(2), torch.randn(2, 3, 4, 5), 0.1),
        (10 * torch.randn(3), torch.randn(3, 3, 6, 4), 0.02),
    ]


@check(points=1, probes=_scored_inputs)
def objective(score, x, l2):
    """What ascent maximizes, score - l2 |x|^2, for each picture: (N,).

    score: (N,); x: (N, 3, H, W); l2: lambda, a number
    """
    return score - l2 * x.square().sum(dim=(1, 2, 3))


@objective.mistake(
    "You add the penalty. Ascent would then be paid for making x large; the norm has to count "
    "against the score."
)
def _added(score, x, l2):
    return score + l2 * x.square().sum(dim=(1, 2, 3))


@objective.mistake("This is the norm, not its square: there is a square root too many.")
def _norm(score, x, l2):
    return score - l2 * x.square().sum(dim=(1, 2, 3)).sqrt()


@objective.mistake(
    "You take the mean of the squares. The squared norm is their sum, so this lambda would be "
    "weaker by the number of values."
)
def _mean(score, x, l2):
    return score - l2 * x.square().mean(dim=(1, 2, 3))


@objective.mistake(
    "Every picture pays for the whole batch: you sum the squares over dim 0 as well. Keep one norm "
    "for each picture."
)
def _whole_batch(score, x, l2):
    return score - l2 * x.square().sum()


@objective.mistake(
    "You sum x itself, so negative values pay for positive ones. Square each value first."
)
def _not_squared(score, x, l2):
    return score - l2 * x.sum(dim=(1, 2, 3))


# ---------------------------------------------------------------------------- one step


def _networks(random):
    """Small networks, an x each, a class, a lambda and a step size."""
    calls = []
    for size, classes, target in (((6, 8), 4, 2), ((7, 5), 3, 0)):
        head = nn.Linear(4 * (size[0] - 2) * (size[1] - 2), classes)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), head).eval()
        x = torch.randn(2, 3, *size)
        calls.append((model, x, target, 0.05, 0.3))
    return calls


def _slope(model, x, target, l2, sign=-1):
    """The gradient of score - l2 |x|^2."""
    x = x.detach().clone().requires_grad_()
    value = model(x)[:, target].sum() + sign * l2 * x.square().sum()
    return torch.autograd.grad(value, x)[0]


def _size(gradient):
    """The root of the mean square of each picture's gradient, (N, 1, 1, 1)."""
    return gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


@check(points=2, probes=_networks)
def ascent_step(model, x, target, l2, step):
    """One step uphill on score - l2 |x|^2: a new x (N, 3, H, W).

    Each picture moves along its own gradient. The gradient is scaled so that x changes by `step`:
    the root of the mean square change of each picture is `step`.
    """
    x = x.detach().clone().requires_grad_()
    value = model(x)[:, target].sum() - l2 * x.square().sum()
    (gradient,) = torch.autograd.grad(value, x)
    length = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return x.detach() + step * gradient / length


@ascent_step.mistake("You go downhill, as in training. Here we want more: add the gradient.")
def _downhill(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x - step * gradient / _size(gradient)


@ascent_step.mistake(
    "Your steps are as long as the gradient happens to be. Divide it by the root of its mean "
    "square first, picture by picture."
)
def _not_scaled(model, x, target, l2, step):
    return x + step * _slope(model, x, target, l2)


@ascent_step.mistake(
    "You divide by the norm, the root of the sum of squares. With the root of the *mean* square "
    "the step does not shrink as pictures get larger."
)
def _by_norm(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x + step * gradient / gradient.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()


@ascent_step.mistake(
    "All pictures share one length, so a picture's step depends on its neighbours in the batch. "
    "Take the mean over dims 1 to 3 only."
)
def _batch_length(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x + step * gradient / gradient.square().mean().sqrt()


@ascent_step.mistake(
    "Right, but without the penalty: the gradient must be that of score - l2 |x|^2."
)
def _no_penalty(model, x, target, l2, step):
    gradient = _slope(model, x, target, 0.0)
    return x + step * gradient / _size(gradient)


@ascent_step.mistake("Your penalty has the wrong sign: l2 times the squared norm is subtracted.")
def _rewarded(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2, sign=1)
    return x + step * gradient / _size(gradient)


@ascent_step.mistake(
    "You climb the softmax probability. It also rises when other classes fall, and it has hardly "
    "any slope where it is near 1. Take the logit."
)
def _probability(model, x, target, l2, step):
    gradient = _slope(lambda x: model(x).softmax(1), x, target, l2)
    return x + step * gradient / _size(gradient)


@ascent_step.mistake(
    "You sum the scores of all classes. Pick the target's column before you sum over the batch."
)
def _all_classes(model, x, target, l2, step):
    x = x.detach().clone().requires_grad_()
    value = model(x).sum() - l2 * x.square().sum()
    (gradient,) = torch.autograd.grad(value, x)
    return x.detach() + step * gradient / _size(gradient)


# ---------------------------------------------------------------------------- total variation


def _inputs(random):
    return [(torch.randn(2, 3, 5, 7),), (torch.rand(3, 3, 6, 4),)]


@check(points=1, probes=_inputs)
def total_variation(x):
    """The sum of |difference| over all pairs of neighbours, vertical and horizontal: (N,).

    x: (N, 3, H, W)
    """
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().sum(dim=(1, 2, 3))
    right = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().sum(dim=(1, 2, 3))
    return down + right


@total_variation.mistake(
    "You square the differences. Absolute values let a picture keep one sharp edge at the price of "
    "many small steps; squares punish the edge far more."
)
def _squares(x):
    return x.diff(dim=2).square().sum(dim=(1, 2, 3)) + x.diff(dim=3).square().sum(dim=(1, 2, 3))


@total_variation.mistake("Only neighbours within a row are compared. Add those one above another.")
def _rows_only(x):
    return x.diff(dim=3).abs().sum(dim=(1, 2, 3))


@total_variation.mistake("Only neighbours one above another are compared. Add those within a row.")
def _columns_only(x):
    return x.diff(dim=2).abs().sum(dim=(1, 2, 3))


@total_variation.mistake(
    "The last row is compared with the first, and the last column with the first: `roll` goes "
    "round. They are no neighbours; use slices."
)
def _wraps(x):
    vertical, horizontal = ((x - x.roll(1, dim)).abs().sum(dim=(1, 2, 3)) for dim in (2, 3))
    return vertical + horizontal


@total_variation.mistake("You summed over the batch too. Keep one number for each picture: (N,).")
def _whole_sum(x):
    return x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()


@total_variation.mistake(
    "Without absolute values, differences cancel: all that is left is last minus first."
)
def _signed(x):
    return x.diff(dim=2).sum(dim=(1, 2, 3)) + x.diff(dim=3).sum(dim=(1, 2, 3))


@total_variation.mistake(
    "You took the mean. With the sum, as for the squared norm, lambda counts every pair once."
)
def _mean_difference(x):
    return x.diff(dim=2).abs().mean(dim=(1, 2, 3)) + x.diff(dim=3).abs().mean(dim=(1, 2, 3))


# ---------------------------------------------------------------------------- a single unit


def _units(random):
    """Networks with named layers, and a unit in one of them, off the diagonal."""
    calls = []
    for name, channel, row, column in (("0", 3, 1, 4), ("2", 1, 2, 0)):
        model = nn.Sequential(
            nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(4 * 6 * 7, 2),
        ).eval()  # fmt: skip
        x = torch.randn(6, 3, 6, 7)
        calls.append((model, name, x, channel, row, column))
    return calls


def _layer_output(model, name, x):
    """What the named layer of a Sequential returns."""
    return model[: int(name) + 1](x)


@check(points=2, probes=_units)
def unit_score(model, name, x, channel, row, column):
    """One value of a layer's feature maps for each picture: (N,).

    name: the layer is model.get_submodule(name); x: (N, 3, H, W). No hook stays behind.
    """
    kept = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        model(x)
    finally:
        handle.remove()
    return kept[0][:, channel, row, column]


@unit_score.mistake(
    "Row and column are exchanged: a feature map is (N, channels, rows, columns), rows first."
)
def _exchanged(model, name, x, channel, row, column):
    return _layer_output(model, name, x)[:, channel, column, row]


@unit_score.mistake("This is the whole channel's mean. A unit is one position of its map.")
def _channel_mean(model, name, x, channel, row, column):
    return _layer_output(model, name, x)[:, channel].mean(dim=(1, 2))


@unit_score.mistake(
    "You read the layer behind the one that was asked for: the negative values are gone."
)
def _after_relu(model, name, x, channel, row, column):
    return _layer_output(model, name, x)[:, channel, row, column].relu()


@unit_score.mistake("You sum over the batch. Each picture has its own value: (N,).")
def _summed(model, name, x, channel, row, column):
    return _layer_output(model, name, x)[:, channel, row, column].sum()


@unit_score.mistake(
    "The values are right, but your hook stays on the layer and will go on collecting: keep the "
    "handle that `register_forward_hook` returns, and remove it, also after an error."
)
def _hook_left(model, name, x, channel, row, column):
    kept = []
    model.get_submodule(name).register_forward_hook(lambda m, i, output: kept.append(output))
    model(x)
    return kept[0][:, channel, row, column]


@unit_score.mistake("These are the values of the channel's neighbour: channels are counted from 0.")
def _next_channel(model, name, x, channel, row, column):
    return _layer_output(model, name, x)[:, channel - 1, row, column]
