"""Checks of notebook 6, integrated and expected gradients."""

import torch
from torch import nn

from course_utils.exercises import check


def _network(height, width):
    """A small network that is not linear, so that the path matters."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * (height - 2) * (width - 2), 4)
    ).eval()


def _inputs(height, width):
    return 2 * torch.randn(1, 3, height, width), 2 * torch.randn(1, 3, height, width)


# ---------------------------------------------------------------------------- path


def _ends(random):
    return [(*_inputs(5, 7), 4), (*_inputs(6, 4), 9)]


def _middles(steps):
    return (torch.arange(steps) + 0.5) / steps


@check(points=1, probes=_ends)
def path(x, baseline, steps):
    """Points on the straight line from the baseline to x, both (1, 3, H, W) -> (steps, 3, H, W).

    The line is cut into `steps` equal pieces; the points are the middles of the pieces.
    """
    places = (torch.arange(steps) + 0.5) / steps
    return baseline + places[:, None, None, None] * (x - baseline)


@path.mistake("You walk from x to the baseline. The first point lies next to the baseline.")
def _backwards(x, baseline, steps):
    return path.reference(x, baseline, steps).flip(0)


@path.mistake(
    "Your first point is the baseline itself: these are the left ends of the pieces, not their "
    "middles. Half a piece is missing."
)
def _left_ends(x, baseline, steps):
    places = torch.arange(steps) / steps
    return baseline + places[:, None, None, None] * (x - baseline)


@path.mistake("Your points include both ends, so they are not the middles of equal pieces.")
def _both_ends(x, baseline, steps):
    places = torch.linspace(0, 1, steps)
    return baseline + places[:, None, None, None] * (x - baseline)


@path.mistake("You only scale x up, as if the baseline were zero. The line starts at the baseline.")
def _from_zero(x, baseline, steps):
    return _middles(steps)[:, None, None, None] * x


# ---------------------------------------------------------------------------- IG


def _problems(random):
    calls = []
    for height, width, steps in ((6, 9, 5), (8, 5, 8)):
        x, baseline = _inputs(height, width)
        target = int(random.integers(4))
        calls.append((_network(height, width), x, target, baseline, steps))
    return calls


def _gradients(model, points, target):
    points = points.detach().clone().requires_grad_()
    return torch.autograd.grad(model(points)[:, target].sum(), points)[0]


@check(points=3, probes=_problems)
def integrated_gradients(model, x, target, baseline, steps):
    """(x - baseline) times the mean gradient of the target's score along `path` -> (1, 3, H, W).

    x, baseline: (1, 3, H, W)
    """
    points = path.reference(x, baseline, steps).requires_grad_()
    (gradient,) = torch.autograd.grad(model(points)[:, target].sum(), points)
    return (x - baseline) * gradient.mean(0, keepdim=True)


@integrated_gradients.mistake(
    "This is the mean gradient. Multiply it by how far each pixel has come: x - baseline."
)
def _only_mean(model, x, target, baseline, steps):
    return _gradients(model, path.reference(x, baseline, steps), target).mean(0, keepdim=True)


@integrated_gradients.mistake(
    "You multiply by x. The pixels came from the baseline, not from zero: multiply by x - baseline."
)
def _times_x(model, x, target, baseline, steps):
    return x * _only_mean(model, x, target, baseline, steps)


@integrated_gradients.mistake(
    "You use the gradient at x alone. Along the path it changes, and that change is the point: "
    "take the mean over the path."
)
def _at_x(model, x, target, baseline, steps):
    return (x - baseline) * _gradients(model, x, target)


@integrated_gradients.mistake(
    "You add the gradients of all points. Take their mean, or the result grows with the number of "
    "steps."
)
def _summed(model, x, target, baseline, steps):
    return steps * integrated_gradients.reference(model, x, target, baseline, steps)


@integrated_gradients.mistake("You differentiate the softmax probability. The score is the logit.")
def _softmax(model, x, target, baseline, steps):
    model = nn.Sequential(model, nn.Softmax(1))
    return integrated_gradients.reference(model, x, target, baseline, steps)


@integrated_gradients.mistake(
    "Attributions have signs: some pixels speak against the class. You take absolute values, and "
    "then they no longer sum to the change of the score."
)
def _absolute(model, x, target, baseline, steps):
    return integrated_gradients.reference(model, x, target, baseline, steps).abs()


@integrated_gradients.mistake(
    "The sign is turned round: the factor is x - baseline, not baseline - x."
)
def _turned_round(model, x, target, baseline, steps):
    return -integrated_gradients.reference(model, x, target, baseline, steps)


# ---------------------------------------------------------------------------- completeness


def _attributed(random):
    calls = []
    for height, width in ((6, 9), (8, 5)):
        model, (x, baseline) = _network(height, width), _inputs(height, width)
        calls.append((0.1 * torch.randn(x.shape), model, x, int(random.integers(4)), baseline))
    return calls


@check(points=2, probes=_attributed)
def completeness_gap(attributions, model, x, target, baseline):
    """What is missing from completeness, relative to the change of the score -> a float.

    |sum of the attributions - change| / |change|, with change = score(x) - score(baseline)
    """
    with torch.no_grad():
        change = (model(x) - model(baseline))[0, target]
    return ((attributions.sum() - change).abs() / change.abs()).item()


@completeness_gap.mistake(
    "You compare with the score of x. The attributions explain the change from the baseline's "
    "score."
)
def _without_baseline(attributions, model, x, target, baseline):
    with torch.no_grad():
        score = model(x)[0, target]
    return ((attributions.sum() - score).abs() / score.abs()).item()


@completeness_gap.mistake(
    "You sum absolute values. Completeness is about the signed sum, in which pro and contra cancel."
)
def _absolute_sum(attributions, model, x, target, baseline):
    return completeness_gap.reference(attributions.abs(), model, x, target, baseline)


@completeness_gap.mistake("You do not divide by the change: a gap of 0.1 may be large or small.")
def _not_relative(attributions, model, x, target, baseline):
    with torch.no_grad():
        change = (model(x) - model(baseline))[0, target]
    return (attributions.sum() - change).abs().item()


@completeness_gap.mistake(
    "You take the mean of the attributions. All pixels and colours together make the change: sum."
)
def _mean(attributions, model, x, target, baseline):
    size = attributions.numel()
    return completeness_gap.reference(attributions / size, model, x, target, baseline)


@completeness_gap.mistake("You compare probabilities; the attributions are about logits.")
def _probabilities(attributions, model, x, target, baseline):
    model = nn.Sequential(model, nn.Softmax(1))
    return completeness_gap.reference(attributions, model, x, target, baseline)


# ---------------------------------------------------------------------------- expected gradients


def _samples(random):
    calls = []
    for height, width, count in ((6, 9, 7), (8, 5, 4)):
        x, _ = _inputs(height, width)
        baselines, places = 2 * torch.randn(count, 3, height, width), torch.rand(count)
        target = int(random.integers(4))
        calls.append((_network(height, width), x, target, baselines, places))
    return calls


def _column(places):
    return places[:, None, None, None]


@check(points=2, probes=_samples)
def expected_gradients(model, x, target, baselines, places):
    """The mean over samples of (x - baseline) times one gradient on the way -> (1, 3, H, W).

    x: (1, 3, H, W); baselines: (K, 3, H, W), one for each sample; places: (K,) in [0, 1], how far
    from its baseline (0) to x (1) each sample looks
    """
    points = baselines + places[:, None, None, None] * (x - baselines)
    points.requires_grad_()
    (gradient,) = torch.autograd.grad(model(points)[:, target].sum(), points)
    return ((x - baselines) * gradient).mean(0, keepdim=True)


@expected_gradients.mistake(
    "You average gradients and distances separately, and multiply the means. Each sample's "
    "gradient belongs to its own distance: multiply first."
)
def _means_multiplied(model, x, target, baselines, places):
    gradient = _gradients(model, baselines + _column(places) * (x - baselines), target)
    return (x - baselines).mean(0, keepdim=True) * gradient.mean(0, keepdim=True)


@expected_gradients.mistake(
    "You average the baselines to one picture first. That mean picture is no picture of the "
    "background; each sample keeps its own."
)
def _mean_baseline(model, x, target, baselines, places):
    middle = baselines.mean(0, keepdim=True).expand_as(baselines)
    return expected_gradients.reference(model, x, target, middle, places)


@expected_gradients.mistake("Your places are turned round: 0 is the baseline, 1 is x.")
def _places_turned(model, x, target, baselines, places):
    return expected_gradients.reference(model, x, target, baselines, 1 - places)


@expected_gradients.mistake(
    "You look at x itself, whatever the place says. A sample's gradient is taken on its way."
)
def _ends_only(model, x, target, baselines, places):
    return expected_gradients.reference(model, x, target, baselines, torch.ones_like(places))


@expected_gradients.mistake("You add the samples up; take their mean.")
def _added(model, x, target, baselines, places):
    return len(places) * expected_gradients.reference(model, x, target, baselines, places)
