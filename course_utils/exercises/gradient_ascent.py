"""Checks of notebook 8, gradient ascent."""

from dataclasses import replace

import torch
from torch import nn

from course_utils.exercises import check
from course_utils.exercises.engine.probes import Fails

# ---------------------------------------------------------------------------- the objective


def _scored_inputs(random):
    """Scores of several small x and of a single one; lambda is large enough to count."""
    calls = []
    for count, height, width, l2 in ((2, 4, 5, 0.1), (3, 6, 4, 0.02), (1, 3, 7, 0.3)):
        x = 1.5 * torch.randn(count, 3, height, width)
        calls.append((10 * torch.randn(count), x.requires_grad_(), l2))
    calls[1][0].requires_grad_()
    return calls


@check(points=1, probes=_scored_inputs)
def objective(score, x, l2):
    """What ascent maximizes, score - l2 |x|^2, for each picture: (N,). It can be differentiated.

    score: (N,); x: (N, 3, H, W); l2: lambda, a number
    """
    return score - l2 * x.square().sum(dim=(1, 2, 3))


@objective.mistake(
    "You add the penalty. Ascent would then be paid for making x large; the norm has to count "
    "against the score."
)
def _added(score, x, l2):
    return score + l2 * x.square().sum(dim=(1, 2, 3))


@objective.mistake(
    "This is what one would minimize: penalty minus score. Ascent maximizes, so the score counts "
    "for it and the penalty against it."
)
def _negative(score, x, l2):
    return l2 * x.square().sum(dim=(1, 2, 3)) - score


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
    "You take the mean square of the whole batch. The squared norm is a sum, and each picture has "
    "its own: sum over dims 1 to 3."
)
def _batch_mean(score, x, l2):
    return score - l2 * x.square().mean()


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


@objective.mistake(
    "You sum absolute values. The squared norm is the sum of the squares, which is milder to small "
    "values and harder on large ones."
)
def _absolute(score, x, l2):
    return score - l2 * x.abs().sum(dim=(1, 2, 3))


@objective.mistake("You square the sum. The squared norm is the sum of the squares: square first.")
def _square_of_the_sum(score, x, l2):
    return score - l2 * x.sum(dim=(1, 2, 3)).square()


@objective.mistake("Lambda is missing: the squared norm counts l2 times.")
def _no_lambda(score, x, l2):
    return score - x.square().sum(dim=(1, 2, 3))


@objective.mistake("Lambda is squared as well: multiply by l2 after you have squared x.")
def _lambda_squared(score, x, l2):
    return score - (l2 * x).square().sum(dim=(1, 2, 3))


@objective.mistake(
    "Your brackets take l2 off the score before it meets the norm. The product comes first: "
    "score - l2 * norm."
)
def _brackets(score, x, l2):
    return (score - l2) * x.square().sum(dim=(1, 2, 3))


@objective.mistake(
    "Your penalty is half of what it should be. Some texts write lambda / 2; here it is lambda."
)
def _half(score, x, l2):
    return score - l2 / 2 * x.square().sum(dim=(1, 2, 3))


@objective.mistake(
    "The norm has kept axes of length 1, so scores and norms make a table. Without keepdim=True "
    "both are (N,)."
)
def _table(score, x, l2):
    return score - l2 * x.square().sum(dim=(1, 2, 3), keepdim=True)


@objective.mistake("This is the penalty alone: it is to be subtracted from the score.")
def _penalty_alone(score, x, l2):
    return l2 * x.square().sum(dim=(1, 2, 3))


@objective.mistake("You summed over the batch too. Keep one value for each picture: (N,).")
def _one_number(score, x, l2):
    return (score - l2 * x.square().sum(dim=(1, 2, 3))).sum()


# ---------------------------------------------------------------------------- one step


def _networks(random):
    """Small networks, an x each, a class, a lambda and a step size; one x requires a gradient."""
    calls = []
    for count, size, classes, target, l2, step in (
        (3, (6, 8), 4, 2, 0.05, 0.3),
        (2, (7, 5), 3, 0, 0.2, 0.08),
        (1, (5, 9), 4, 1, 0.1, 1.5),
    ):
        head = nn.Linear(4 * (size[0] - 2) * (size[1] - 2), classes)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), head).eval()
        with torch.no_grad():
            head.weight *= 20
        brightness = torch.arange(1.0, count + 1)[:, None, None, None]
        calls.append((model, brightness * torch.randn(count, 3, *size), target, l2, step))
    calls[1][1].requires_grad_()
    return calls


def _gradient(model, x, value):
    """The gradient of the sum of value(scores, x) over the batch."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(value(model(x), x).sum(), x)[0]


def _slope(model, x, target, l2, sign=-1):
    """The gradient of score - l2 |x|^2."""
    return _gradient(model, x, lambda s, x: s[:, target].sum() + sign * l2 * x.square().sum())


def _size(gradient):
    """The root of the mean square of each picture's gradient, (N, 1, 1, 1)."""
    return gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()


def _moved(x, gradient, step):
    return x.detach() + step * gradient / _size(gradient)


@check(points=2, probes=_networks, graph="any")
def ascent_step(model, x, target, l2, step):
    """One step uphill on score - l2 |x|^2: a new x (N, 3, H, W).

    Each picture moves along its own gradient. The gradient is scaled so that x changes by `step`:
    the root of the mean square change of each picture is `step`.
    """
    x = x.detach().clone().requires_grad_()
    value = objective.reference(model(x)[:, target], x, l2).sum()
    (gradient,) = torch.autograd.grad(value, x)
    length = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return x.detach() + step * gradient / length


@ascent_step.mistake("You go downhill, as in training. Here we want more: add the gradient.")
def _downhill(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, l2), -step)


@ascent_step.mistake("This is the change alone. Add it to x: the answer is the new picture.")
def _change_alone(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return step * gradient / _size(gradient)


@ascent_step.mistake(
    "Your steps are as long as the gradient happens to be. Divide it by the root of its mean "
    "square first, picture by picture."
)
def _not_scaled(model, x, target, l2, step):
    return x.detach() + step * _slope(model, x, target, l2)


@ascent_step.mistake(
    "The gradient has the right length, but `step` is missing: every picture moves by 1."
)
def _no_step(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, l2), 1)


@ascent_step.mistake(
    "You divide by the norm, the root of the sum of squares. With the root of the *mean* square "
    "the step does not shrink as pictures get larger."
)
def _by_norm(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / gradient.square().sum((1, 2, 3), keepdim=True).sqrt()


@ascent_step.mistake(
    "You divide by the mean square. The length is its root: take the square root as well."
)
def _by_mean_square(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / _size(gradient).square()


@ascent_step.mistake(
    "You divide by the mean absolute value. `step` is to be the root of the mean *square* change."
)
def _by_mean_absolute(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / gradient.abs().mean((1, 2, 3), keepdim=True)


@ascent_step.mistake(
    "You divide by the largest absolute value. `step` is to be the root of the *mean square* "
    "change, not the largest change."
)
def _by_largest(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / gradient.abs().amax((1, 2, 3), keepdim=True)


@ascent_step.mistake(
    "You divide by the standard deviation, which is measured from the mean. The length is measured "
    "from 0: the root of the mean square."
)
def _by_spread(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / gradient.std((1, 2, 3), keepdim=True)


@ascent_step.mistake(
    "Every value moves by the same amount, up or down: you step along the gradient's sign. Keep "
    "its values, and divide them by their length."
)
def _along_the_sign(model, x, target, l2, step):
    return x.detach() + step * _slope(model, x, target, l2).sign()


@ascent_step.mistake(
    "All pictures share one length, so a picture's step depends on its neighbours in the batch. "
    "Take the mean over dims 1 to 3 only."
)
def _batch_length(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / gradient.square().mean().sqrt()


@ascent_step.mistake(
    "Each channel has a length of its own, so colours that hardly matter move as far as others do. "
    "Take the mean over dims 1 to 3, channels included."
)
def _channel_length(model, x, target, l2, step):
    gradient = _slope(model, x, target, l2)
    return x.detach() + step * gradient / gradient.square().mean((2, 3), keepdim=True).sqrt()


@ascent_step.mistake(
    "Right, but without the penalty: the gradient must be that of score - l2 |x|^2."
)
def _no_penalty(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, 0.0), step)


@ascent_step.mistake("Your penalty has the wrong sign: l2 times the squared norm is subtracted.")
def _rewarded(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, l2, sign=1), step)


@ascent_step.mistake(
    "Your penalty is the mean of the squares. The squared norm is their sum, and each picture pays "
    "for its own."
)
def _mean_penalty(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, l2 / x[0].numel()), step)


@ascent_step.mistake(
    "Every picture pays the penalty once for each picture of the batch: the squared norm of the "
    "whole batch goes off each score, or the scores are averaged and the penalties are not. Take "
    "each picture's penalty from its own score first."
)
def _penalty_of_the_batch(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, l2 * len(x)), step)


@ascent_step.mistake(
    "You climb the softmax probability. It also rises when other classes fall, and it has hardly "
    "any slope where it is near 1. Take the logit."
)
def _probability(model, x, target, l2, step):
    return _moved(x, _slope(lambda x: model(x).softmax(1), x, target, l2), step)


@ascent_step.mistake(
    "You climb the logarithm of the probability, as training does. It also rises when other "
    "classes fall. Take the logit."
)
def _log_probability(model, x, target, l2, step):
    return _moved(x, _slope(lambda x: model(x).log_softmax(1), x, target, l2), step)


@ascent_step.mistake(
    "You sum the scores of all classes. Pick the target's column before you sum over the batch."
)
def _all_classes(model, x, target, l2, step):
    return _moved(x, _gradient(model, x, lambda s, x: s.sum() - l2 * x.square().sum()), step)


@ascent_step.mistake(
    "You climb each picture's highest score. Climb that of the class `target`, whatever the "
    "network sees at the start."
)
def _highest_class(model, x, target, l2, step):
    gradient = _gradient(model, x, lambda s, x: s.amax(1).sum() - l2 * x.square().sum())
    return _moved(x, gradient, step)


@ascent_step.mistake(
    "Only the first picture's score is climbed. Take the target's column for the whole batch, "
    "`model(x)[:, target]`, and sum it."
)
def _first_picture(model, x, target, l2, step):
    gradient = _gradient(model, x, lambda s, x: s[0, target] - l2 * x.square().sum())
    return _moved(x, gradient, step)


@ascent_step.mistake(
    "`model(x)[target]` is the row of a picture, the one with that number. Scores are "
    "(N, classes): take a column, [:, target]."
)
def _row_of_target(model, x, target, l2, step):
    gradient = _gradient(model, x, lambda s, x: s[target].sum() - l2 * x.square().sum())
    return _moved(x, gradient, step)


@ascent_step.mistake(
    "You cut the new x off at 0 and 1. It is preprocessed, so black and white lie elsewhere; "
    "cutting off is left to the cells below."
)
def _cut_off(model, x, target, l2, step):
    return _moved(x, _slope(model, x, target, l2), step).clamp(0, 1)


@ascent_step.mistake(
    "The first picture's value is the only one that you climb: the others have no gradient, and 0 "
    "divided by 0 is not a number. Sum the values of the whole batch."
)
def _first_value(model, x, target, l2, step):
    gradient = _gradient(model, x, lambda s, x: s[0, target] - l2 * x[0].square().sum())
    return _moved(x, gradient, step)


# ---------------------------------------------------------------------------- total variation


def _inputs(random):
    """Pictures of both signs that are not square, several and a single one; equal neighbours."""
    sizes = ((2, 3, 5, 7), (3, 3, 6, 4), (1, 3, 4, 5), (2, 3, 4, 6))
    inputs = [torch.randn(size) for size in sizes]
    inputs[-1][:, :, 2] = inputs[-1][:, :, 1]
    return [(x.requires_grad_(),) for x in inputs]


def _any_slope_at_zero(call, outcome):
    """Leaves slopes beside equal neighbours out: at 0, |d| has any from -1 to 1, but no NaN."""
    (x,) = call
    at_zero = torch.zeros_like(x, dtype=torch.bool)
    for dim in (2, 3):
        equal = x.diff(dim=dim) == 0
        at_zero.narrow(dim, 0, equal.shape[dim]).logical_or_(equal)
        at_zero.narrow(dim, 1, equal.shape[dim]).logical_or_(equal)
    (slopes,) = outcome.gradients
    return replace(outcome, gradients=[slopes.masked_fill(at_zero & slopes.isfinite(), 0)])


@check(points=1, probes=_inputs, one_form=_any_slope_at_zero)
def total_variation(x):
    """The sum of |difference| over all pairs of neighbours: (N,). It can be differentiated.

    x: (N, 3, H, W). Neighbours stand one above the other or side by side, in the same channel.
    """
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().sum(dim=(1, 2, 3))
    right = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().sum(dim=(1, 2, 3))
    return down + right


def _sum(x):
    return x.sum(dim=(1, 2, 3))


@total_variation.mistake(
    "You square the differences. Absolute values let a picture keep one sharp edge at the price of "
    "many small steps; squares punish the edge far more."
)
def _squares(x):
    return _sum(x.diff(dim=2).square()) + _sum(x.diff(dim=3).square())


@total_variation.mistake(
    "You combine both differences of a pixel by the root of their squares. That is another total "
    "variation; here each pair of neighbours counts for itself, with its absolute difference."
)
def _roots(x):
    squares = x.diff(dim=2)[..., :-1].square() + x.diff(dim=3)[:, :, :-1].square()
    return _sum(squares.sqrt())


@total_variation.mistake("Only neighbours within a row are compared. Add those one above another.")
def _rows_only(x):
    return _sum(x.diff(dim=3).abs())


@total_variation.mistake("Only neighbours one above another are compared. Add those within a row.")
def _columns_only(x):
    return _sum(x.diff(dim=2).abs())


@total_variation.mistake(
    "You compare channels with rows: the axes are one off. In (N, 3, H, W) the rows are axis 2 and "
    "the columns axis 3."
)
def _axes_one_off(x):
    return _sum(x.diff(dim=1).abs()) + _sum(x.diff(dim=2).abs())


@total_variation.mistake(
    "You compare the channels with each other as well. Red and green of a pixel are no neighbours."
)
def _channels_too(x):
    return _axes_one_off(x) + _rows_only(x)


@total_variation.mistake(
    "The last row is compared with the first, and the last column with the first: `roll` goes "
    "round. They are no neighbours; use slices."
)
def _wraps(x):
    return _sum((x - x.roll(1, 2)).abs()) + _sum((x - x.roll(1, 3)).abs())


@total_variation.mistake(
    "You compare each pixel with its diagonal neighbour. Shift by one row for the one difference "
    "and by one column for the other."
)
def _diagonal(x):
    return _sum((x[:, :, 1:, 1:] - x[:, :, :-1, :-1]).abs())


@total_variation.mistake(
    "Pairs at the border are missing: you cut the last column off before you compare rows, and the "
    "last row before you compare columns."
)
def _cut_too_far(x):
    return _sum(x.diff(dim=2)[..., :-1].abs()) + _sum(x.diff(dim=3)[:, :, :-1].abs())


@total_variation.mistake(
    "Pairs in the first row and the first column are missing: you cut both differences to one "
    "shape before you added them. Sum each by itself, then add the sums."
)
def _cut_to_one_shape(x):
    down, right = x.diff(dim=2)[..., 1:], x.diff(dim=3)[:, :, 1:]
    return _sum(down.abs() + right.abs())


@total_variation.mistake(
    "You add both differences of a pixel before you take the absolute value, so that they cancel. "
    "Each pair of neighbours counts for itself."
)
def _added_first(x):
    return _sum((x.diff(dim=2)[..., :-1] + x.diff(dim=3)[:, :, :-1]).abs())


@total_variation.mistake(
    "You compare every pixel with the one after the next. Neighbours are shifted by one: "
    "`x[:, :, 1:] - x[:, :, :-1]`."
)
def _two_apart(x):
    down, right = x[:, :, 2:] - x[:, :, :-2], x[:, :, :, 2:] - x[:, :, :, :-2]
    return _sum(down.abs()) + _sum(right.abs())


@total_variation.mistake("You summed over the batch too. Keep one number for each picture: (N,).")
def _whole_sum(x):
    return x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()


@total_variation.mistake(
    "The channels are still apart. Sum over dims 1 to 3, which leaves one number for each picture."
)
def _channels_apart(x):
    return x.diff(dim=2).abs().sum(dim=(2, 3)) + x.diff(dim=3).abs().sum(dim=(2, 3))


@total_variation.mistake(
    "Without absolute values, differences cancel: all that is left is last minus first."
)
def _signed(x):
    return _sum(x.diff(dim=2)) + _sum(x.diff(dim=3))


@total_variation.mistake(
    "The absolute value comes too late: summed with their signs, differences cancel. Take it of "
    "each difference, and then sum."
)
def _absolute_sum(x):
    return (_sum(x.diff(dim=2)) + _sum(x.diff(dim=3))).abs()


@total_variation.mistake(
    "The absolute values come too late: within each direction differences cancel. Take them of "
    "each difference, and then sum."
)
def _absolute_sums(x):
    return _sum(x.diff(dim=2)).abs() + _sum(x.diff(dim=3)).abs()


@total_variation.mistake(
    "You took the mean. With the sum, as for the squared norm, lambda counts every pair once."
)
def _mean_difference(x):
    return x.diff(dim=2).abs().mean(dim=(1, 2, 3)) + x.diff(dim=3).abs().mean(dim=(1, 2, 3))


# ---------------------------------------------------------------------------- a single unit


def _named_network(height, width, *last):
    """Layers inside a module inside a network, as PlainNet has them."""
    features = nn.Sequential()
    features.add_module("conv1", nn.Conv2d(3, 5, 3, padding=1))
    features.add_module("relu1", nn.ReLU())
    features.add_module("conv2", nn.Conv2d(5, 4, 3, padding=1))
    features.add_module("relu2", nn.ReLU())
    network = nn.Sequential()
    network.add_module("features", features)
    network.add_module("to_vector", nn.Flatten())
    network.add_module("head", nn.Linear(4 * height * width, 2))
    for number, layer in enumerate(last):
        network.add_module(f"last{number}", layer)
    return network.eval()


def _units(random):
    """Units off the diagonal, negative before a ReLU and positive behind it; one network fails."""
    calls = []
    for name, lifted, count, channel, row, column, last in (
        ("features", ("conv2", 5.0), 3, 2, 1, 4, ()),
        ("features.conv1", ("conv1", -5.0), 2, 1, 4, 2, ()),
        ("features.conv2", ("conv2", -5.0), 1, 0, 3, 5, ()),
        ("features.conv1", ("conv1", -5.0), 2, 1, 4, 2, (Fails(),)),
    ):
        model = _named_network(6, 7, *last)
        convolution, bias = lifted
        with torch.no_grad():
            model.features.get_submodule(convolution).bias[channel] = bias
        x = torch.randn(count, 3, 6, 7).requires_grad_()
        calls.append((model, name, x, channel, row, column))
    return calls


@check(points=2, probes=_units)
def unit_score(model, name, x, channel, row, column):
    """One value of a layer's feature maps for each picture: (N,). It can be differentiated.

    name: the layer is model.get_submodule(name); x: (N, 3, H, W)
    No hook stays behind, also where the network raises an error.
    """
    kept = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        model(x)
    finally:
        handle.remove()
    return kept[0][:, channel, row, column]


def _kept(model, name, x, what):
    """what(inputs, output) of the named layer."""
    kept = []
    layer = model.get_submodule(name)
    handle = layer.register_forward_hook(
        lambda m, inputs, output: kept.append(what(inputs, output))
    )
    try:
        model(x)
    finally:
        handle.remove()
    return kept[0]


def _output(model, name, x):
    return _kept(model, name, x, lambda inputs, output: output)


@unit_score.mistake(
    "Row and column are exchanged: a feature map is (N, channels, rows, columns), rows first."
)
def _exchanged(model, name, x, channel, row, column):
    return _output(model, name, x)[:, channel, column, row]


@unit_score.mistake(
    "Your order is row, column, channel. A feature map is (N, channels, rows, columns): the "
    "channel comes first."
)
def _channel_last(model, name, x, channel, row, column):
    return _output(model, name, x)[:, row, column, channel]


@unit_score.mistake("This is the whole channel's mean. A unit is one position of its map.")
def _channel_mean(model, name, x, channel, row, column):
    return _output(model, name, x)[:, channel].mean(dim=(1, 2))


@unit_score.mistake("This is the channel's highest value. A unit is one position of its map.")
def _channel_maximum(model, name, x, channel, row, column):
    return _output(model, name, x)[:, channel].amax(dim=(1, 2))


@unit_score.mistake(
    "You read the layer behind the one that was asked for: the negative values are gone."
)
def _after_relu(model, name, x, channel, row, column):
    return _output(model, name, x)[:, channel, row, column].relu()


@unit_score.mistake(
    "This is what goes *into* the layer. A forward hook gets (module, inputs, output): keep the "
    "third."
)
def _input(model, name, x, channel, row, column):
    return _kept(model, name, x, lambda inputs, output: inputs[0])[:, channel, row, column]


@unit_score.mistake("You sum over the batch. Each picture has its own value: (N,).")
def _summed(model, name, x, channel, row, column):
    return _output(model, name, x)[:, channel, row, column].sum()


@unit_score.mistake(
    "This is the first picture's value alone. The first axis is the batch: take all of it, "
    "`[:, channel, row, column]`."
)
def _first_of_batch(model, name, x, channel, row, column):
    return _output(model, name, x)[0, channel, row, column]


@unit_score.mistake(
    "You took the channel's number for the picture's. An output has the shape (N, channels, rows, "
    "columns): the first axis is the batch."
)
def _no_batch(model, name, x, channel, row, column):
    return _output(model, name, x)[channel, row, column]


@unit_score.mistake(
    "The values are right, but your hook stays on the layer and will go on collecting: keep the "
    "handle that `register_forward_hook` returns, and remove it, also after an error."
)
def _hook_left(model, name, x, channel, row, column):
    kept = []
    model.get_submodule(name).register_forward_hook(lambda m, i, output: kept.append(output))
    model(x)
    return kept[0][:, channel, row, column]


@unit_score.mistake(
    "A name with dots leads into modules inside modules: model.get_submodule(name) follows it, "
    "getattr doesn't."
)
def _by_getattr(model, name, x, channel, row, column):
    getattr(model, name)
    return unit_score.reference(model, name, x, channel, row, column)


@unit_score.mistake("These are the values of the channel's neighbour: channels are counted from 0.")
def _next_channel(model, name, x, channel, row, column):
    return _output(model, name, x)[:, channel - 1, row, column]
