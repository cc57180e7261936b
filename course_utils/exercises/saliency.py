"""Checks of notebook 5, saliency."""

import torch
from torch import nn

from course_utils.exercises import check

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
            second = int(model(x)[0].argsort()[-2])
        calls.append((model, x, second))
    return calls


def _gradient(model, x, of):
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(of(model(x)), x)[0]


@check(points=1, probes=_small_networks)
def score_gradient(model, x, target):
    """The gradient of the score of class `target` with respect to x, (1, 3, H, W).

    x: one preprocessed picture (1, 3, H, W). The model and x are left as they were.
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


# ---------------------------------------------------------------------------- the probability


def _gradients_of_all_scores(random):
    return [
        (torch.randn(4, 3, 5, 7), 2 * torch.randn(4), 1),
        (torch.randn(6, 3, 4, 3), torch.randn(6), 5),
    ]


@check(points=2, probes=_gradients_of_all_scores, tolerance=1e-5)
def probability_gradient(gradients, scores, target):
    """The gradient of the softmax probability of `target`, (3, H, W).

    gradients: (C, 3, H, W), those of all C scores; scores: (C,), the logits
    """
    p = scores.softmax(0)
    mean = (p[:, None, None, None] * gradients).sum(0)
    return p[target] * (gradients[target] - mean)


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


# ---------------------------------------------------------------------------- SmoothGrad


def _with_noise(random):
    return [
        (model, x, target, 0.7 * torch.randn(count, *x.shape[1:]))
        for (model, x, target), count in zip(_small_networks(random), (5, 7))
    ]


def _noisy_gradients(model, x, target, noises):
    return _gradient(model, x + noises, lambda scores: scores[:, target].sum())


@check(points=2, probes=_with_noise)
def smooth_gradient(model, x, target, noises):
    """The mean of the score's gradients at x plus each of the noises, (1, 3, H, W).

    x: one preprocessed picture (1, 3, H, W); noises: (n, 3, H, W)
    """
    noisy = (x + noises).detach().requires_grad_()
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


# ---------------------------------------------------------------------------- a rule for ReLUs


def _values_and_gradients(random):
    return [(torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)), (torch.randn(17), torch.randn(17))]


@check(points=1, probes=_values_and_gradients)
def guided_rule(values, gradient):
    """What guided backprop sends back through a ReLU, a tensor of the same shape.

    values: what went into the ReLU; gradient: what arrives from above at its output
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


# ---------------------------------------------------------------------------- seeds


def _heatmaps(random):
    """Skewed maps, as saliency maps are: their mean is far from their median."""
    calls = []
    for (rows, columns), high, low in (((10, 14), 0.05, 0.5), ((12, 9), 0.1, 0.3)):
        calls.append((torch.rand(rows, columns) ** 6, high, low))
    return calls


@check(points=2, probes=_heatmaps)
def seeds(heatmap, high, low):
    """Where to start a segmentation: 1 object, 2 background, 0 undecided; integers (H, W).

    high: the share of all pixels, those with the highest values, that surely are object
    low:  the share of all pixels, those with the lowest values, that surely are background
    """
    labels = torch.zeros(heatmap.shape, dtype=torch.int64)
    labels[heatmap >= heatmap.quantile(1 - high)] = 1
    labels[heatmap <= heatmap.quantile(low)] = 2
    return labels


@seeds.mistake(
    "You compare with shares of the highest value. A saliency map has a few very bright pixels, so "
    "hardly any reaches 95 % of the maximum: use quantiles, which count pixels."
)
def _shares_of_the_maximum(heatmap, high, low):
    labels = torch.zeros(heatmap.shape, dtype=torch.int64)
    labels[heatmap >= (1 - high) * heatmap.max()] = 1
    labels[heatmap <= low * heatmap.max()] = 2
    return labels


@seeds.mistake("Object and background are exchanged: the highest values get a 1, the lowest a 2.")
def _exchanged(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels > 0, 3 - labels, 0)


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
    labels = torch.zeros(heatmap.shape, dtype=torch.int64)
    labels[heatmap >= heatmap.quantile(high)] = 1
    labels[heatmap <= heatmap.quantile(low)] = 2
    return labels


@seeds.mistake("You forgot the background: without a single 2, everything would end up as object.")
def _object_only(heatmap, high, low):
    labels = seeds.reference(heatmap, high, low)
    return torch.where(labels == 1, 1, 0)
