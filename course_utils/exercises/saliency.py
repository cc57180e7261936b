"""Checks of notebook 5, saliency."""

import torch
from torch import nn

from course_utils.exercises import check
from course_utils.exercises.engine.probes import middling_class

# ---------------------------------------------------------------------------- the gradient


def _small_networks(random):
    """Networks with trainable weights, a picture each, and a class that is not the highest."""
    calls = []
    for height, width in ((7, 9), (8, 6)):
        model = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(),
            nn.Linear(6 * (height - 2) * (width - 2), 4),
        ).eval()  # fmt: skip
        x = torch.randn(1, 3, height, width)
        with torch.no_grad():
            model[3].weight *= 4
            target = middling_class(model(x)[0], [target for _, _, target in calls])
        calls.append((model, x, target))
    return calls


def _gradient(model, x, of):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(of(model(x)), x)[0]


@check(points=1, probes=_small_networks)
def score_gradient(model, x, target):
    """The gradient of the score of class `target` with respect to x -> (1, 3, H, W), with signs.

    A tensor without a graph. x: one preprocessed picture (1, 3, H, W); the model's output are the
    scores (1, classes). The model and x are left as they were: no gradient is kept in either.
    """
    x = x.detach().clone().requires_grad_()
    score = model(x)[0, target]
    return torch.autograd.grad(score, x)[0]


@score_gradient.mistake(
    "That is the gradient of the softmax probability. The score is what comes before: take it from "
    "the model's output as it is."
)
def _of_the_probability(model, x, target):
    return _gradient(model, x, lambda scores: scores.softmax(1)[0, target])


@score_gradient.mistake(
    "You explain the highest score, whatever class was asked for. Use `target`."
)
def _of_the_highest(model, x, target):
    return _gradient(model, x, lambda scores: scores.max())


@score_gradient.mistake(
    "You added up the scores of all classes before going back, so the map belongs to none of them. "
    "Pick the score of `target`."
)
def _of_all_scores(model, x, target):
    return _gradient(model, x, lambda scores: scores.sum())


@score_gradient.mistake(
    "The signs are gone. Keep the gradient as it is; what to do with signs is decided later."
)
def _absolute(model, x, target):
    return score_gradient.reference(model, x, target).abs()


@score_gradient.mistake(
    "The values are right, but `backward()` left gradients in all of the model's weights, which "
    "costs time and would add up from call to call. Ask for the gradient of x alone, with "
    "`torch.autograd.grad`."
)
def _with_backward(model, x, target):
    x = x.detach().clone().requires_grad_()
    model(x)[0, target].backward()
    return x.grad


@score_gradient.mistake(
    "That is the gradient of the loss (cross-entropy). Training uses it; here the score itself is "
    "differentiated."
)
def _of_the_loss(model, x, target):
    return _gradient(model, x, lambda scores: -scores.log_softmax(1)[0, target])


@score_gradient.mistake(
    "You multiplied the gradient by the picture. That is a method of its own, which the notebook "
    "comes to; here the gradient alone is asked for."
)
def _times_x(model, x, target):
    return x * score_gradient.reference(model, x, target)


@score_gradient.mistake(
    "You combined the three colours. How to do that, the notebook asks later; here each has its "
    "own slope, (1, 3, H, W)."
)
def _largest_colour(model, x, target):
    return score_gradient.reference(model, x, target).abs().amax(1)


# ---------------------------------------------------------------------------- the probability


def _gradients_of_all_scores(random):
    """Four and six classes of which none is sure, and two so large that exponentials overflow.

    Of twelve more, some are so large that they overflow in double precision, too.
    """
    few, many = torch.tensor([1.0, 0.4, -0.5, 0.1]), torch.tensor([0.2, -0.9, 0.6, 0.0, 1.1, 0.5])
    huge = torch.tensor([1000.0, 999.4, 999.0, *range(-1000, -990), 999.8])[torch.randperm(14)]
    return [
        (torch.randn(4, 3, 5, 7), few[torch.randperm(4)], 1),
        (torch.randn(6, 3, 4, 3), many[torch.randperm(6)], 5),
        (torch.randn(2, 3, 2, 6), torch.tensor([200.0, 200.3]), 0),
        (torch.randn(14, 3, 3, 4), huge, middling_class(huge)),
    ]


@check(points=2, probes=_gradients_of_all_scores, tolerance=1e-5)
def probability_gradient(gradients, scores, target):
    """The gradient of the softmax probability of `target` -> (3, H, W).

    gradients: (C, 3, H, W), those of all C scores; scores: (C,), the logits, of any size; target:
    the number of a class
    """
    p = scores.softmax(0)
    mean = (p[:, None, None, None] * gradients).sum(0)
    return p[target] * (gradients[target] - mean)


def _weighted_sum(weights, gradients):
    return (weights[:, None, None, None] * gradients).sum(0)


@probability_gradient.mistake(
    "Your gradient contains the class itself only. Softmax lowers a probability when any other "
    "score rises: subtract the mean of all gradients, weighted with the probabilities."
)
def _own_class_only(gradients, scores, target):
    return scores.softmax(0)[target] * gradients[target]


@probability_gradient.mistake(
    "The factor in front is missing: everything is multiplied by the probability of the target. "
    "Without it, this is the gradient of the logarithm of the probability."
)
def _of_the_logarithm(gradients, scores, target):
    p = scores.softmax(0)
    return gradients[target] - (p[:, None, None, None] * gradients).sum(0)


@probability_gradient.mistake(
    "You subtract the plain mean of all gradients. Each class counts with its probability: a class "
    "that is out of the question should not matter."
)
def _plain_mean(gradients, scores, target):
    return scores.softmax(0)[target] * (gradients[target] - gradients.mean(0))


@probability_gradient.mistake(
    "You left the target out of the sum. It competes with itself, too: that is what makes the "
    "gradient vanish when the probability is nearly 1."
)
def _target_left_out(gradients, scores, target):
    p = scores.softmax(0)
    mean = (p[:, None, None, None] * gradients).sum(0) - p[target] * gradients[target]
    return p[target] * (gradients[target] - mean)


@probability_gradient.mistake(
    "You weight with the scores themselves. They are not probabilities and may be negative: take "
    "their softmax first."
)
def _weighted_with_scores(gradients, scores, target):
    mean = (scores[:, None, None, None] * gradients).sum(0)
    return scores[target] * (gradients[target] - mean)


@probability_gradient.mistake(
    "You take the mean over the classes after weighting, so the sum is divided by their number. "
    "The weights add up to 1 already: take the sum."
)
def _weighted_and_averaged(gradients, scores, target):
    p = scores.softmax(0)
    return p[target] * (gradients[target] - _weighted_sum(p, gradients) / len(p))


@probability_gradient.mistake(
    "You add the weighted sum. A rival's rising score *lowers* the probability: subtract it."
)
def _plus(gradients, scores, target):
    p = scores.softmax(0)
    return p[target] * (gradients[target] + _weighted_sum(p, gradients))


@probability_gradient.mistake(
    "The factor belongs to the whole bracket: multiply the weighted sum by the target's "
    "probability as well."
)
def _without_bracket(gradients, scores, target):
    p = scores.softmax(0)
    return p[target] * gradients[target] - _weighted_sum(p, gradients)


@probability_gradient.mistake(
    "p (1 - p) is the slope with respect to the own score alone. The other scores depend on the "
    "picture, too: each comes in with its own gradient."
)
def _own_slope(gradients, scores, target):
    p = scores.softmax(0)[target]
    return p * (1 - p) * gradients[target]


@probability_gradient.mistake(
    "You weight all gradients with the target's probability. In the sum each class has its own."
)
def _weighted_with_one(gradients, scores, target):
    p = scores.softmax(0)
    return p[target] * (gradients[target] - p[target] * gradients.sum(0))


@probability_gradient.mistake(
    "Your sum runs over colours and pixels too, and is one number. Sum over the classes alone: "
    "`.sum(0)`."
)
def _summed_over_everything(gradients, scores, target):
    p = scores.softmax(0)
    return p[target] * (gradients[target] - _weighted_sum(p, gradients).sum())


@probability_gradient.mistake(
    "These are the gradients of the probabilities of all classes. Pick that of `target`."
)
def _of_all_classes(gradients, scores, target):
    p = scores.softmax(0)
    return p[:, None, None, None] * (gradients - _weighted_sum(p, gradients))


@probability_gradient.mistake(
    "You cut large scores off, which makes them equal. `scores.softmax(0)` subtracts the largest "
    "instead, which avoids the overflow and keeps all differences."
)
def _cut_off(gradients, scores, target):
    return probability_gradient.reference(gradients, scores.clamp(max=80), target)


@probability_gradient.mistake(
    "`exp` overflows for large scores, and the quotient is NaN. `scores.softmax(0)` subtracts the "
    "largest first."
)
def _overflows(gradients, scores, target):
    p = scores.exp() / scores.exp().sum()
    return p[target] * (gradients[target] - _weighted_sum(p, gradients))


# ---------------------------------------------------------------------------- SmoothGrad


def _with_noise(random):
    """Five and seven noises, and one alone."""
    (model, x, target), other = _small_networks(random)
    calls = [(model, x, target, 5), (*other, 7), (model, x, target, 1)]
    return [(m, x, c, 0.7 * torch.randn(count, *x.shape[1:])) for m, x, c, count in calls]


def _noisy_gradients(model, x, target, noises):
    return _gradient(model, x + noises, lambda scores: scores[:, target].sum())


@check(points=2, probes=_with_noise)
def smooth_gradient(model, x, target, noises):
    """The mean of the score's gradients at x plus each of the noises -> (1, 3, H, W), with signs.

    A tensor without a graph. x: one preprocessed picture (1, 3, H, W); noises: (n, 3, H, W). The
    model and x are left as they were: no gradient is kept in either.
    """
    noisy = (x + noises).requires_grad_()
    total = model(noisy)[:, target].sum()
    return torch.autograd.grad(total, noisy)[0].mean(0, keepdim=True)


@smooth_gradient.mistake(
    "You took absolute values before averaging. That is a method of its own, which the notebook "
    "comes to; here signs may cancel."
)
def _absolute_first(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises).abs().mean(0, keepdim=True)


@smooth_gradient.mistake(
    "That is the sum of the gradients. Divide it by the number of noisy copies: more samples "
    "should make the map steadier, not larger."
)
def _sum(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises).sum(0, keepdim=True)


@smooth_gradient.mistake(
    "You averaged the noise, and took one gradient there. The noises nearly cancel, so this is the "
    "plain gradient again. Average the gradients."
)
def _mean_noise(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises.mean(0, keepdim=True))


@smooth_gradient.mistake(
    "You added noise to the gradients instead of to the picture. The network has to see the noisy "
    "copies."
)
def _noise_on_the_gradient(model, x, target, noises):
    plain = score_gradient.reference(model, x, target)
    return (plain + noises).mean(0, keepdim=True)


@smooth_gradient.mistake(
    "The noise replaces the picture: your network sees nothing else. Add it to x."
)
def _noise_alone(model, x, target, noises):
    return _noisy_gradients(model, 0 * x, target, noises).mean(0, keepdim=True)


@smooth_gradient.mistake(
    "The noises pile up: each copy gets its own noise and that of all copies before it. Start from "
    "the clean x each time."
)
def _piled_up(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises.cumsum(0)).mean(0, keepdim=True)


@smooth_gradient.mistake(
    "You squared the gradients before averaging. That is a method of its own; here signs may "
    "cancel."
)
def _squared_first(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises).square().mean(0, keepdim=True)


@smooth_gradient.mistake(
    "You average twice: the scores before going back, and then the gradients. Take the *sum* of "
    "the scores; then each copy has its whole gradient."
)
def _averaged_twice(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises).mean(0, keepdim=True) / len(noises)


@smooth_gradient.mistake(
    "That is one gradient for each noisy copy. Take their mean: `.mean(0, keepdim=True)`."
)
def _not_averaged(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises)


@smooth_gradient.mistake(
    "`[0, target]` is the score of the first copy alone, so all others get the gradient 0. Go back "
    "from the sum over all copies, `[:, target].sum()`."
)
def _first_score(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises)[:1] / len(noises)


@smooth_gradient.mistake(
    "That is the gradient at the last noisy copy alone. Does your loop overwrite the one before? "
    "Add them up."
)
def _last_copy(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises)[-1:]


@smooth_gradient.mistake(
    "That is the gradient at the first noisy copy alone. Does your `return` stand inside the loop?"
)
def _first_copy(model, x, target, noises):
    return _noisy_gradients(model, x, target, noises)[:1]


@smooth_gradient.mistake(
    "That is the gradient at x itself, without noise. Add each noise to x before the network runs."
)
def _without_noise(model, x, target, noises):
    return score_gradient.reference(model, x, target)


@smooth_gradient.mistake(
    "The picture without noise is one of your copies. Only those with noise count."
)
def _with_the_clean_one(model, x, target, noises):
    return _noisy_gradients(model, x, target, torch.cat([0 * x, noises])).mean(0, keepdim=True)


# ---------------------------------------------------------------------------- a rule for ReLUs


def _values_and_gradients(random):
    """All signs of both, and values of exactly 0, where a ReLU is off."""
    values = torch.randn(2, 3, 4, 5)
    values[:, 1, 1:3] = 0
    return [(values, torch.randn(2, 3, 4, 5)), (torch.randn(17), torch.randn(17))]


@check(points=1, probes=_values_and_gradients)
def guided_rule(values, gradient):
    """What guided backprop sends back through a ReLU -> a new tensor of the same shape.

    values: what went into the ReLU, which is on where they are greater than 0; gradient: what
    arrives from above at its output. Both stay as they are.
    """
    return gradient.relu() * (values > 0)


@guided_rule.mistake(
    "That is the plain rule, the true derivative: it looks at the values alone. Guided backprop "
    "drops what is negative on the way back as well."
)
def _plain_rule(values, gradient):
    return gradient * (values > 0)


@guided_rule.mistake(
    "That is the deconvnet's rule: it looks at the gradient alone. Guided backprop also asks "
    "whether the ReLU was on."
)
def _deconvnet_rule(values, gradient):
    return gradient.relu()


@guided_rule.mistake(
    "You multiply by the ReLU's output. It only decides whether something passes: multiply by 1 or "
    "0."
)
def _times_output(values, gradient):
    return gradient.relu() * values.relu()


@guided_rule.mistake(
    "Either condition is enough in your rule. Both must hold: the ReLU was on, and the gradient is "
    "positive."
)
def _either(values, gradient):
    return torch.where((values > 0) | (gradient > 0), gradient, 0.0)


@guided_rule.mistake("Negative gradients come out positive. They are dropped, not turned round.")
def _turned_round(values, gradient):
    return gradient.abs() * (values > 0)


@guided_rule.mistake(
    "A ReLU is off where its input is exactly 0: it passes what is greater than 0, so `> 0`."
)
def _on_at_zero(values, gradient):
    return gradient.relu() * (values >= 0)


@guided_rule.mistake(
    "You multiply the gradient by the values. They only decide whether something passes: multiply "
    "by the condition `values > 0`."
)
def _product(values, gradient):
    return gradient * values


@guided_rule.mistake(
    "You let pass where both have the *same sign*, also where both are negative. Both must be "
    "positive."
)
def _same_sign(values, gradient):
    return gradient * (values * gradient > 0)


@guided_rule.mistake(
    "You keep the negative gradients and drop the positive ones: it is the other way round."
)
def _negative_kept(values, gradient):
    return -(-gradient).relu() * (values > 0)


@guided_rule.mistake("That is the condition itself, True or False. Multiply it by the gradient.")
def _condition(values, gradient):
    return (values > 0) & (gradient > 0)


@guided_rule.mistake(
    "Indexing with a condition returns only the places where it holds, in one row. The shape must "
    "stay: multiply by the condition, or use `torch.where`."
)
def _picked(values, gradient):
    return gradient[(values > 0) & (gradient > 0)]


# ---------------------------------------------------------------------------- seeds


def _heatmaps(random):
    """Skewed maps, as saliency maps are, with some negative values, and no two values alike.

    All shares are whole numbers of pixels. The last map has no positive value.
    """
    calls = []
    for (rows, columns), high, low in (
        ((10, 14), 0.05, 0.5),
        ((12, 10), 0.1, 0.3),
        ((8, 25), 0.25, 0.2),
    ):
        ranks = torch.randperm(rows * columns).view(rows, columns) / (rows * columns)
        calls.append((ranks**6 - 0.1 * (1 - ranks), high, low))
    heatmap, high, low = calls[-1]
    return [*calls, (heatmap.flip(0) - 1.5, high, low)]


@check(points=2, probes=_heatmaps, integers=True)
def seeds(heatmap, high, low):
    """Where to start a segmentation -> a tensor of integers (H, W).

    1 is object, 2 background, 0 undecided. heatmap: (H, W), of any sign
    high: the share of all pixels, those with the highest values, that surely are object
    low:  the share of all pixels, those with the lowest values, that surely are background
    Neither is 0, and together they are at most 1. Where a share is no whole number of pixels, round
    as you like; of equal values, either may come first.
    """
    labels = torch.zeros(heatmap.shape, dtype=torch.int64)
    labels[heatmap >= heatmap.quantile(1 - high)] = 1
    labels[heatmap <= heatmap.quantile(low)] = 2
    return labels


def _labelled(heatmap, object_from, background_to):
    """1 from the first limit on, 2 up to the second."""
    labels = torch.zeros(heatmap.shape, dtype=torch.int64)
    labels[heatmap >= object_from] = 1
    labels[heatmap <= background_to] = 2
    return labels


@seeds.mistake(
    "You compare with shares of the highest value. A saliency map has a few very bright pixels, so "
    "hardly any reaches 95 % of the maximum: use quantiles, which count pixels."
)
def _shares_of_the_maximum(heatmap, high, low):
    return _labelled(heatmap, (1 - high) * heatmap.max(), low * heatmap.max())


@seeds.mistake(
    "You cut the range from the lowest to the highest value into shares. A saliency map has a few "
    "very bright pixels, and most lie far below: use quantiles, which count pixels."
)
def _shares_of_the_range(heatmap, high, low):
    lowest, highest = heatmap.min(), heatmap.max()
    span = highest - lowest
    return _labelled(heatmap, highest - high * span, lowest + low * span)


@seeds.mistake(
    "You compare the values with `high` and `low` themselves. They are shares of the pixels: "
    "`heatmap.quantile` turns a share into a value."
)
def _as_values(heatmap, high, low):
    return _labelled(heatmap, high, low)


@seeds.mistake("Object and background are exchanged: the highest values get a 1, the lowest a 2.")
def _exchanged(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels > 0, 3 - labels, 0)


@seeds.mistake(
    "Background and undecided are exchanged: the lowest values get a 2, and what is in between a 0."
)
def _undecided_exchanged(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels == 1, 1, 2 - labels)


@seeds.mistake(
    "Nothing is left undecided: everything that is not object is background in your labels. The "
    "pixels in between are the question that the segmentation shall answer."
)
def _nothing_undecided(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels == 1, 1, 2)


@seeds.mistake(
    "`high` is the share that counts as object, 5 % for instance, so the limit is the quantile "
    "1 - high. Yours marks nearly everything."
)
def _high_as_quantile(heatmap, high, low):
    return _labelled(heatmap, heatmap.quantile(high), heatmap.quantile(low))


@seeds.mistake(
    "Your comparisons are turned round: object lies *above* its limit, background *below*."
)
def _limits_exchanged(heatmap, high, low):
    labels = torch.zeros(heatmap.shape, dtype=torch.int64)
    labels[heatmap <= heatmap.quantile(1 - high)] = 1
    labels[heatmap >= heatmap.quantile(low)] = 2
    return labels


@seeds.mistake(
    "Every row gets its own limits, so each has its share of object. One limit holds for the whole "
    "map: `heatmap.quantile(q)` without `dim`."
)
def _row_by_row(heatmap, high, low):
    top = heatmap.quantile(1 - high, dim=1, keepdim=True)
    return _labelled(heatmap, top, heatmap.quantile(low, dim=1, keepdim=True))


@seeds.mistake("Undecided pixels are -1 in your labels. They get a 0.")
def _minus_one(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels == 0, -1, labels)


@seeds.mistake("You forgot the background: without a single 2, everything would end up as object.")
def _object_only(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels == 1, 1, 0)
