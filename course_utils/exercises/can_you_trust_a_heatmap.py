"""Checks of notebook 11, can you trust a heat map?"""

import torch
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- relevance mass


def _maps_and_masks(random):
    """Signed maps that are not square, with masks of different sizes."""
    probes = []
    for height, width, size in ((6, 9, 3), (8, 5, 2), (7, 7, 4)):
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[1 : 1 + size, 2 : 2 + size] = True
        probes.append((torch.randn(height, width), mask))
    return probes


@check(points=1, probes=_maps_and_masks)
def relevance_mass(heatmap, mask):
    """The share of the positive relevance that lies on the object: a number in [0, 1].

    heatmap: (H, W), signed; mask: (H, W) bool
    """
    positive = heatmap.clamp(min=0)
    return float(positive[mask].sum() / positive.sum())


@relevance_mass.mistake(
    "You count negative relevance as if it spoke for the class. Cut it off at zero first; what "
    "speaks against the class is no reason for it."
)
def _absolute(heatmap, mask):
    return float(heatmap.abs()[mask].sum() / heatmap.abs().sum())


@relevance_mass.mistake(
    "You divide sums of signed values. Positive and negative ones cancel, and the share can leave "
    "[0, 1]: cut off negative values first."
)
def _signed(heatmap, mask):
    return float(heatmap[mask].sum() / heatmap.sum())


@relevance_mass.mistake(
    "You divide by the size of the mask: that is the mean relevance on the object. A share divides "
    "by the relevance of the whole map."
)
def _mean_on_object(heatmap, mask):
    return float(heatmap.clamp(min=0)[mask].mean())


@relevance_mass.mistake(
    "You count pixels. The mass weighs each pixel by its relevance: sum the values, not how many "
    "are positive."
)
def _counted(heatmap, mask):
    return float((heatmap[mask] > 0).sum() / (heatmap > 0).sum())


# ---------------------------------------------------------------------------- bootstrap


def _samples(random):
    """Values of a few pictures, and which pictures each bootstrap sample drew."""
    probes = []
    for count, draws in ((12, 200), (30, 400), (5, 100)):
        values = torch.from_numpy(random.gamma(2.0, size=count)).float()
        probes.append((values, torch.randint(count, (draws, count))))
    return probes


@check(points=2, probes=_samples)
def bootstrap_interval(values, picks, level=0.95):
    """The interval that holds the mean with a confidence of `level` -> low, high.

    values: (N,) one score for each picture; picks: (B, N) the pictures of each of B samples
    """
    means = values[picks].mean(dim=1)
    tail = (1 - level) / 2
    low, high = means.quantile(torch.tensor([tail, 1 - tail]))
    return float(low), float(high)


@bootstrap_interval.mistake(
    "These are quantiles of the values: where single pictures lie. The question is how far the "
    "*mean* would vary: take the mean of each sample first."
)
def _of_values(values, picks, level=0.95):
    tail = (1 - level) / 2
    return tuple(values.quantile(torch.tensor([tail, 1 - tail])).tolist())


@bootstrap_interval.mistake(
    "You average over the samples instead of within each: every row of values[picks] is a sample, "
    "so its mean is taken along dim=1."
)
def _wrong_axis(values, picks, level=0.95):
    tail = (1 - level) / 2
    return tuple(values[picks].mean(dim=0).quantile(torch.tensor([tail, 1 - tail])).tolist())


@bootstrap_interval.mistake(
    "Your interval leaves out 5 % on each side and so holds 90 %. For 95 %, cut 2.5 % off either "
    "end."
)
def _ninety(values, picks, level=0.95):
    means = values[picks].mean(dim=1)
    return tuple(means.quantile(torch.tensor([1 - level, level])).tolist())


@bootstrap_interval.mistake(
    "These are the lowest and the highest of all samples. They grow with the number of samples; an "
    "interval of a given confidence is made of quantiles."
)
def _extremes(values, picks, level=0.95):
    means = values[picks].mean(dim=1)
    return float(means.min()), float(means.max())


# ---------------------------------------------------------------------------- rank correlation


def _two_maps(random):
    """Maps without ties, related and not, one with an outlier."""
    one, other = torch.randn(6, 8), torch.randn(6, 8)
    related = (one + 0.3 * other).exp()
    outlier = one.clone()
    outlier[2, 3] = 1e4
    return [(one, related), (one, other), (outlier, related)]


def _pearson(a, b):
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


def _ranks(values):
    return values.flatten().argsort().argsort()


@check(points=2, probes=_two_maps)
def rank_correlation(one, other):
    """Spearman's rank correlation of two maps (H, W) without ties: a number in [-1, 1]."""
    return _pearson(_ranks(one), _ranks(other))


@rank_correlation.mistake(
    "This is the correlation of the values: one large pixel decides it. Replace values by their "
    "ranks first."
)
def _of_the_values(one, other):
    return _pearson(one.flatten(), other.flatten())


@rank_correlation.mistake(
    "argsort gives the places of the sorted values, not their ranks. The argsort of the argsort "
    "gives the ranks."
)
def _one_argsort(one, other):
    return _pearson(one.flatten().argsort(), other.flatten().argsort())


@rank_correlation.mistake(
    "You rank the pixels within each row. All pixels of a map compete with each other: flatten it "
    "first."
)
def _by_rows(one, other):
    ranks = [m.argsort(dim=1).argsort(dim=1).flatten() for m in (one, other)]
    return _pearson(*ranks)


# ---------------------------------------------------------------------------- deletion


def _pictures(random):
    """A small classifier, pictures and replacements that are not square, maps, targets."""
    probes = []
    for size, steps in (((8, 12), 4), ((10, 6), 5), ((6, 6), 3)):
        model = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3)
        )
        x = torch.randn(1, 3, *size)
        model(x)
        for parameter in model.parameters():
            parameter.requires_grad_(False)
            parameter.mul_(2.5)
        heatmap = torch.randperm(size[0] * size[1]).view(size).float()
        probes.append((model.eval(), x, 1, heatmap, torch.zeros_like(x), steps))
    return probes


def _probabilities(model, x, target, heatmap, replacement, steps, order=None, keep=None):
    """The class's probability after 0, 1, ... steps of replacing; a mistake may alter parts."""
    order = heatmap.flatten().argsort(descending=True) if order is None else order
    count, probabilities = len(order), []
    with torch.no_grad():
        for step in range(steps + 1):
            gone = torch.zeros(count, dtype=torch.bool)
            first = 0 if keep is None else keep(step, steps, count)
            gone[order[first : round(step * count / steps)]] = True
            mixed = torch.where(gone.view(heatmap.shape), replacement, x)
            probabilities.append(model(mixed).softmax(dim=1)[0, target])
    return torch.stack(probabilities)


@check(points=3, probes=_pictures)
def deletion_curve(model, x, target, heatmap, replacement, steps):
    """The class's probability after 0, 1, ..., `steps` steps of deleting: (steps + 1,).

    After step k the k / steps of all pixels with the highest values in the heatmap (H, W) come from
    `replacement` (1, 3, H, W), the others from x (1, 3, H, W). Round the number of pixels.
    """
    return _probabilities(model, x, target, heatmap, replacement, steps)


@deletion_curve.mistake(
    "You delete the *lowest* pixels first. A good map makes the class disappear early, so its "
    "highest pixels go first."
)
def _lowest_first(model, x, target, heatmap, replacement, steps):
    order = heatmap.flatten().argsort()
    return _probabilities(model, x, target, heatmap, replacement, steps, order)


@deletion_curve.mistake(
    "Each step replaces only its own pixels and brings the earlier ones back. What was deleted "
    "stays deleted."
)
def _only_the_last(model, x, target, heatmap, replacement, steps):
    def keep(step, steps, count):
        return round(max(0, step - 1) * count / steps)

    return _probabilities(model, x, target, heatmap, replacement, steps, keep=keep)


@deletion_curve.mistake(
    "This is insertion: you begin with the replacement and bring the picture back. Begin with x."
)
def _inserted(model, x, target, heatmap, replacement, steps):
    return _probabilities(model, replacement, target, heatmap, x, steps)


@deletion_curve.mistake(
    "These are scores. The curve is of the class's probability: apply softmax to the scores."
)
def _scores(model, x, target, heatmap, replacement, steps):
    with torch.no_grad():
        order = heatmap.flatten().argsort(descending=True)
        curve = []
        for step in range(steps + 1):
            gone = torch.zeros(len(order), dtype=torch.bool)
            gone[order[: round(step * len(order) / steps)]] = True
            curve.append(model(torch.where(gone.view(heatmap.shape), replacement, x))[0, target])
    return torch.stack(curve)


@deletion_curve.mistake(
    "The first point is missing: after 0 steps nothing is deleted yet, and the curve has steps + 1 "
    "points."
)
def _without_the_start(model, x, target, heatmap, replacement, steps):
    return _probabilities(model, x, target, heatmap, replacement, steps)[1:]
