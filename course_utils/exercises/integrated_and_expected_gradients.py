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
    """Several points, and one alone; once in double precision."""
    double = [picture.double() for picture in _inputs(6, 4)]
    return [(*_inputs(5, 7), 4), (*double, 9), (*_inputs(3, 8), 1)]


@check(points=1, probes=_ends, precision=True)
def path(x, baseline, steps):
    """Points on the straight line from the baseline to x, both (1, 3, H, W) -> (steps, 3, H, W).

    The line is cut into `steps` equal pieces; the points are the middles of the pieces, that next
    to the baseline first. One tensor, in the same precision as x.
    """
    places = (torch.arange(steps) + 0.5) / steps
    return baseline + places[:, None, None, None] * (x - baseline)


def _column(places):
    return places[:, None, None, None]


def _on_the_line(x, baseline, places):
    return baseline + _column(places) * (x - baseline)


def _middles(steps):
    return (torch.arange(steps) + 0.5) / steps


@path.mistake("You walk from x to the baseline. The first point lies next to the baseline.")
def _backwards(x, baseline, steps):
    return path.reference(x, baseline, steps).flip(0)


@path.mistake(
    "Your first point is the baseline itself: these are the left ends of the pieces, not their "
    "middles. Half a piece is missing."
)
def _left_ends(x, baseline, steps):
    return _on_the_line(x, baseline, torch.arange(steps) / steps)


@path.mistake(
    "Your last point is x itself: these are the right ends of the pieces, half a piece too far. "
    "The middles lie at (i + 0.5) / n, with i from 0."
)
def _right_ends(x, baseline, steps):
    return _on_the_line(x, baseline, (torch.arange(steps) + 1) / steps)


@path.mistake("Your points include both ends, so they are not the middles of equal pieces.")
def _both_ends(x, baseline, steps):
    return _on_the_line(x, baseline, torch.linspace(0, 1, steps))


@path.mistake(
    "There is a point too many: both ends of all pieces. Each piece has one point, its middle."
)
def _all_ends(x, baseline, steps):
    return _on_the_line(x, baseline, torch.linspace(0, 1, steps + 1))


@path.mistake(
    "`i + 0.5 / n` divides the half alone, and your points run far beyond x. Put parentheses "
    "around i + 0.5."
)
def _half_divided_alone(x, baseline, steps):
    return _on_the_line(x, baseline, torch.arange(steps) + 0.5 / steps)


@path.mistake(
    "Your pieces are counted from 1, so every point lies a whole piece too far. The first middle "
    "lies at 0.5 / n."
)
def _counted_from_one(x, baseline, steps):
    return _on_the_line(x, baseline, _middles(steps) + 1 / steps)


@path.mistake("You only scale x up, as if the baseline were zero. The line starts at the baseline.")
def _from_zero(x, baseline, steps):
    return _column(_middles(steps)) * x


@path.mistake(
    "These are the steps away from the baseline. Add the baseline, or the network sees differences "
    "instead of pictures."
)
def _baseline_not_added(x, baseline, steps):
    return _column(_middles(steps)) * (x - baseline)


@path.mistake(
    "You add a part of x to the whole baseline, so the line ends at their sum. What is added is a "
    "part of the *difference*, x - baseline."
)
def _sum_of_both(x, baseline, steps):
    return baseline + _column(_middles(steps)) * x


# ---------------------------------------------------------------------------- IG


def _problems(random):
    """Few and many steps, and one alone."""
    calls = []
    sizes = ((6, 9, 5), (8, 5, 8), (4, 7, 1))
    for (height, width, steps), target in zip(sizes, random.permutation(4)):
        x, baseline = _inputs(height, width)
        calls.append((_network(height, width), x, int(target), baseline, steps))
    return calls


def _gradients(model, points, target):
    points = points.detach().clone().requires_grad_()
    return torch.autograd.grad(model(points)[:, target].sum(), points)[0]


@check(points=3, probes=_problems)
def integrated_gradients(model, x, target, baseline, steps):
    """(x - baseline) times the mean gradient of the target's score along the path -> (1, 3, H, W).

    A tensor without a graph, with signs. The path is that of exercise 1, with `steps` points.
    x, baseline: (1, 3, H, W); the model's output are the scores (N, classes). The model, x and the
    baseline are left as they were: no gradient is kept in any.
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


@integrated_gradients.mistake(
    "You average over colours and pixels as well, so all have the same gradient. Average over the "
    "points alone: `mean(0, keepdim=True)`."
)
def _mean_of_everything(model, x, target, baseline, steps):
    points = path.reference(x, baseline, steps)
    return (x - baseline) * _gradients(model, points, target).mean()


@integrated_gradients.mistake(
    "You average twice: the scores before going back, and then the gradients. Take the *sum* of "
    "the scores; then each point has its whole gradient."
)
def _averaged_twice(model, x, target, baseline, steps):
    return integrated_gradients.reference(model, x, target, baseline, steps) / steps


@integrated_gradients.mistake(
    "That is one result for each point of the path. Take the mean of their gradients: "
    "`.mean(0, keepdim=True)`."
)
def _not_averaged(model, x, target, baseline, steps):
    return (x - baseline) * _gradients(model, path.reference(x, baseline, steps), target)


@integrated_gradients.mistake(
    "`[0, target]` is the score of the first point alone, so all others get the gradient 0. Go "
    "back from the sum over all points, `[:, target].sum()`."
)
def _first_point(model, x, target, baseline, steps):
    first = path.reference(x, baseline, steps)[:1]
    return (x - baseline) * _gradients(model, first, target) / steps


@integrated_gradients.mistake(
    "You multiply each gradient by the way to its own point. Every gradient counts for the whole "
    "way, x - baseline."
)
def _own_ways(model, x, target, baseline, steps):
    points = path.reference(x, baseline, steps)
    return ((points - baseline) * _gradients(model, points, target)).mean(0, keepdim=True)


@integrated_gradients.mistake(
    "Your path is not that of exercise 1: it has both ends as points. Call your `path`, which "
    "takes the middles."
)
def _along_both_ends(model, x, target, baseline, steps):
    points = _both_ends(x, baseline, steps)
    return (x - baseline) * _gradients(model, points, target).mean(0, keepdim=True)


@integrated_gradients.mistake(
    "Your path has 50 points, however many are asked for: pass `steps` on to `path`."
)
def _fifty(model, x, target, baseline, steps):
    return integrated_gradients.reference(model, x, target, baseline, 50)


# ---------------------------------------------------------------------------- completeness


def _attributed(random):
    """Attributions that fall short of a rise, go beyond a fall, and have the wrong sign."""
    return [
        _missing_part(6, 9, rising=True, share=random.uniform(0.5, 0.8)),
        _missing_part(8, 5, rising=False, share=random.uniform(1.3, 1.6)),
        _missing_part(5, 6, rising=False, share=random.uniform(-0.9, -0.3)),
    ]


def _missing_part(height, width, rising, share):
    """Arguments with attributions that sum to this share of the score's change."""
    model, (x, baseline) = _network(height, width), _inputs(height, width)
    changes = (model(x) - model(baseline))[0].detach()
    target = int(changes.abs().argmax())
    if (changes[target] > 0) != rising:
        x, baseline, changes = baseline, x, -changes
    attributions = 0.1 * torch.randn(x.shape)
    attributions += (share * changes[target] - attributions.sum()) / attributions.numel()
    return attributions, model, x, target, baseline


@check(points=2, probes=_attributed)
def completeness_gap(attributions, model, x, target, baseline):
    """What is missing from completeness, as a share of the score's change -> a float, not negative.

    |sum of the attributions - change| / |change|, with change = score(x) - score(baseline), where
    the score is the target's logit. attributions, x, baseline: (1, 3, H, W)
    """
    with torch.no_grad():
        change = (model(x) - model(baseline))[0, target]
    return ((attributions.sum() - change).abs() / change.abs()).item()


def _score(model, x, target):
    with torch.no_grad():
        return model(x)[0, target]


def _gap(total, change):
    return float(abs(total - change) / abs(change))


@completeness_gap.mistake(
    "You compare with the score of x. The attributions explain the change from the baseline's "
    "score."
)
def _without_baseline(attributions, model, x, target, baseline):
    return _gap(attributions.sum(), _score(model, x, target))


@completeness_gap.mistake(
    "You take the score of the difference, model(x - baseline). The change is the difference of "
    "two scores."
)
def _score_of_the_difference(attributions, model, x, target, baseline):
    return _gap(attributions.sum(), _score(model, x - baseline, target))


@completeness_gap.mistake(
    "Your change is turned round: it is the score of x minus that of the baseline."
)
def _change_turned_round(attributions, model, x, target, baseline):
    change = _score(model, baseline, target) - _score(model, x, target)
    return _gap(attributions.sum(), change)


@completeness_gap.mistake(
    "You add up the changes of all classes. The attributions are about the target: `[0, target]`."
)
def _all_classes(attributions, model, x, target, baseline):
    with torch.no_grad():
        return _gap(attributions.sum(), (model(x) - model(baseline)).sum())


@completeness_gap.mistake(
    "You sum absolute values. Completeness is about the signed sum, in which pro and contra cancel."
)
def _absolute_sum(attributions, model, x, target, baseline):
    return completeness_gap.reference(attributions.abs(), model, x, target, baseline)


@completeness_gap.mistake(
    "You take the mean of the attributions. All pixels and colours together make the change: sum."
)
def _mean(attributions, model, x, target, baseline):
    size = attributions.numel()
    return completeness_gap.reference(attributions / size, model, x, target, baseline)


@completeness_gap.mistake("You do not divide by the change: a gap of 0.1 may be large or small.")
def _not_relative(attributions, model, x, target, baseline):
    change = _score(model, x, target) - _score(model, baseline, target)
    return float(abs(attributions.sum() - change))


@completeness_gap.mistake("You divide by the score of x. Divide by the change of the score.")
def _relative_to_the_score(attributions, model, x, target, baseline):
    score = _score(model, x, target)
    change = score - _score(model, baseline, target)
    return float(abs(attributions.sum() - change) / abs(score))


@completeness_gap.mistake(
    "You divide by the sum of the attributions. What they should sum to is the change: divide by "
    "that."
)
def _relative_to_the_sum(attributions, model, x, target, baseline):
    change = _score(model, x, target) - _score(model, baseline, target)
    return _gap(change, attributions.sum())


@completeness_gap.mistake(
    "Your gap has a sign. Take absolute values, above and below: |sum - change| / |change|."
)
def _signed(attributions, model, x, target, baseline):
    change = _score(model, x, target) - _score(model, baseline, target)
    return float((attributions.sum() - change) / change)


@completeness_gap.mistake(
    "Your gap is negative where the score falls: take the absolute value of the change, too."
)
def _signed_change(attributions, model, x, target, baseline):
    change = _score(model, x, target) - _score(model, baseline, target)
    return float(abs(attributions.sum() - change) / change)


@completeness_gap.mistake(
    "That is what the attributions reach, sum / change. The gap is what is missing from it."
)
def _reached(attributions, model, x, target, baseline):
    change = _score(model, x, target) - _score(model, baseline, target)
    return float(attributions.sum() / change)


@completeness_gap.mistake("You compare probabilities; the attributions are about logits.")
def _probabilities(attributions, model, x, target, baseline):
    model = nn.Sequential(model, nn.Softmax(1))
    return completeness_gap.reference(attributions, model, x, target, baseline)


# ---------------------------------------------------------------------------- expected gradients


def _samples(random):
    """Several samples, and one alone."""
    calls = []
    sizes = ((6, 9, 7), (8, 5, 4), (5, 7, 1))
    for (height, width, count), target in zip(sizes, random.permutation(4)):
        x, _ = _inputs(height, width)
        baselines, places = 2 * torch.randn(count, 3, height, width), torch.rand(count)
        calls.append((_network(height, width), x, int(target), baselines, places))
    return calls


@check(points=2, probes=_samples)
def expected_gradients(model, x, target, baselines, places):
    """The mean over samples of (x - baseline) times one gradient on the way -> (1, 3, H, W).

    A tensor without a graph, with signs. x: (1, 3, H, W); baselines: (K, 3, H, W), one for each
    sample; places: (K,) in [0, 1], how far from its baseline (0) to x (1) each sample looks. The
    model's output are the scores (N, classes); everything passed is left as it was.
    """
    points = baselines + places[:, None, None, None] * (x - baselines)
    points.requires_grad_()
    (gradient,) = torch.autograd.grad(model(points)[:, target].sum(), points)
    return ((x - baselines) * gradient).mean(0, keepdim=True)


def _one_gradient_each(model, x, target, baselines, places):
    return _gradients(model, _on_the_line(x, baselines, places), target)


@expected_gradients.mistake(
    "You average gradients and distances separately, and multiply the means. Each sample's "
    "gradient belongs to its own distance: multiply first."
)
def _means_multiplied(model, x, target, baselines, places):
    gradient = _one_gradient_each(model, x, target, baselines, places)
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


@expected_gradients.mistake(
    "These are mean gradients. Multiply each by how far its sample has come, x - baseline, before "
    "you average."
)
def _not_multiplied(model, x, target, baselines, places):
    return _one_gradient_each(model, x, target, baselines, places).mean(0, keepdim=True)


@expected_gradients.mistake(
    "You multiply by x. Each sample comes from its own baseline, not from zero: multiply by "
    "x - baseline."
)
def _multiplied_by_x(model, x, target, baselines, places):
    return x * _not_multiplied(model, x, target, baselines, places)


@expected_gradients.mistake(
    "You multiply each gradient by the way to its own point. It counts for the whole way, "
    "x - baseline."
)
def _way_to_the_point(model, x, target, baselines, places):
    gradient = _one_gradient_each(model, x, target, baselines, places)
    return (_column(places) * (x - baselines) * gradient).mean(0, keepdim=True)


@expected_gradients.mistake(
    "All your samples look at the place of the first. Each has its own: "
    "`places[:, None, None, None]`."
)
def _first_place(model, x, target, baselines, places):
    places = places[:1].expand_as(places)
    return expected_gradients.reference(model, x, target, baselines, places)


@expected_gradients.mistake(
    "You take absolute values before averaging. Attributions have signs: they sum to the change "
    "of the score."
)
def _absolute_first(model, x, target, baselines, places):
    gradient = _one_gradient_each(model, x, target, baselines, places)
    return ((x - baselines) * gradient).abs().mean(0, keepdim=True)


@expected_gradients.mistake(
    "All your samples come from the first baseline. Each has its own: `baselines` and `places` "
    "belong together, one by one."
)
def _first_baseline(model, x, target, baselines, places):
    baselines = baselines[:1].expand_as(baselines)
    return expected_gradients.reference(model, x, target, baselines, places)


@expected_gradients.mistake(
    "You look at every place on every line. Sample k has one baseline and one place, the k-th of "
    "both: pair them."
)
def _all_pairs(model, x, target, baselines, places):
    results = [
        expected_gradients.reference(model, x, target, baselines, place.expand_as(places))
        for place in places
    ]
    return torch.stack(results).mean(0)


@expected_gradients.mistake(
    "You average twice: the scores before going back, and then the samples. Take the *sum* of the "
    "scores; then each point has its whole gradient."
)
def _averaged_twice_over(model, x, target, baselines, places):
    return expected_gradients.reference(model, x, target, baselines, places) / len(places)


@expected_gradients.mistake(
    "`[0, target]` is the score of the first sample alone, so all others get the gradient 0. Go "
    "back from the sum over all samples, `[:, target].sum()`."
)
def _first_sample(model, x, target, baselines, places):
    first = expected_gradients.reference(model, x, target, baselines[:1], places[:1])
    return first / len(places)
