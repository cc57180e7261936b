"""Checks of notebook 11, can you trust a heat map?"""

import itertools

import torch
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- relevance mass


def _maps_and_masks(random):
    """Signed maps that are not square; masks of several sizes, one with a hole, one of nothing.

    Each map speaks for the class on the object as well as beside it, and against it in both.
    """
    probes = []
    for height, width, size, scale in ((6, 9, 3, 1.0), (8, 5, 2, 40.0), (7, 10, 5, 0.03)):
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[1 : 1 + size, 2 : 2 + size] = True
        heatmap = torch.rand(height, width) + 0.1
        heatmap[::2] *= -0.4
        probes.append((scale * heatmap, mask))
    probes[2][1][3, 4] = False
    return [*probes, (probes[0][0], torch.zeros_like(probes[0][1]))]


@check(points=1, probes=_maps_and_masks)
def relevance_mass(heatmap, mask):
    """The share of the positive relevance that lies on the object: a number in [0, 1].

    heatmap: (H, W), signed, somewhere positive; mask: (H, W) bool
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
    "You cut off negative values on the object, but not in the whole map by which you divide. Cut "
    "them off once, before both sums."
)
def _signed_below(heatmap, mask):
    return float(heatmap.clamp(min=0)[mask].sum() / heatmap.sum())


@relevance_mass.mistake(
    "You cut off negative values in the whole map, but not on the object. Cut them off once, "
    "before both sums."
)
def _signed_above(heatmap, mask):
    return float(heatmap[mask].sum() / heatmap.clamp(min=0).sum())


@relevance_mass.mistake(
    "You divide by the size of the mask: that is the mean relevance on the object. A share divides "
    "by the relevance of the whole map."
)
def _mean_on_object(heatmap, mask):
    return float(heatmap.clamp(min=0)[mask].mean())


@relevance_mass.mistake(
    "You divide the mean on the object by the mean of the map. That says how dense it is there; "
    "the mass is a quotient of sums."
)
def _density(heatmap, mask):
    return float(heatmap.clamp(min=0)[mask].mean() / heatmap.clamp(min=0).mean())


@relevance_mass.mistake(
    "You divide the mean on the object by the mean beside it. The mass is a share: the sum on the "
    "object, divided by the sum of the whole map."
)
def _contrast(heatmap, mask):
    positive = heatmap.clamp(min=0)
    return float(positive[mask].mean() / positive[~mask].mean())


@relevance_mass.mistake(
    "You divide by the relevance beside the object. A share divides by that of the whole map, the "
    "object included."
)
def _odds(heatmap, mask):
    positive = heatmap.clamp(min=0)
    return float(positive[mask].sum() / positive[~mask].sum())


@relevance_mass.mistake("This is the share beside the object. `mask` is True on the object.")
def _beside(heatmap, mask):
    positive = heatmap.clamp(min=0)
    return float(positive[~mask].sum() / positive.sum())


@relevance_mass.mistake(
    "You count pixels. The mass weighs each pixel by its relevance: sum the values, not how many "
    "are positive."
)
def _counted(heatmap, mask):
    return float((heatmap[mask] > 0).sum() / (heatmap > 0).sum())


@relevance_mass.mistake(
    "This is the share of the object that is positive. The mass weighs each pixel by its "
    "relevance, and divides by that of the whole map."
)
def _share_of_the_object(heatmap, mask):
    return float((heatmap[mask] > 0).float().mean())


@relevance_mass.mistake(
    "This is the share of the area. The heat map plays no part in it: sum its values."
)
def _area(heatmap, mask):
    return float(mask.float().mean())


@relevance_mass.mistake(
    "This is the relevance on the object. To make a share of it, divide by that of the whole map."
)
def _sum_on_object(heatmap, mask):
    return float(heatmap.clamp(min=0)[mask].sum())


@relevance_mass.mistake(
    "You scaled the map so that its smallest value is 0. Then what speaks against the class counts "
    "as well: cut off at 0 instead, and leave positive values as they are."
)
def _scaled(heatmap, mask):
    raised = heatmap - heatmap.min()
    return float(raised[mask].sum() / raised.sum())


@relevance_mass.mistake(
    "You ask whether the largest value lies on the object: a hit or a miss, known as the pointing "
    "game. The mass is a share, to which every positive value counts."
)
def _pointing_game(heatmap, mask):
    return float(mask.flatten()[heatmap.argmax()])


@relevance_mass.mistake("This is in percent. The share is a number between 0 and 1.")
def _percent(heatmap, mask):
    return 100 * relevance_mass.reference(heatmap, mask)


# ---------------------------------------------------------------------------- bootstrap

DRAWS = 201
"""Samples, so that each end lies exactly at one of them, however quantiles are interpolated."""


def _samples(random):
    """Values of a few pictures, which pictures each bootstrap sample drew, and several levels."""
    probes = []
    for count, level in ((12, ()), (30, (0.9,)), (5, (0.5,)), (8, (0.95,))):
        values = torch.from_numpy(random.gamma(2.0, size=count)).float()
        values[0] -= 9
        probes.append((values, torch.randint(count, (DRAWS, count)), *level))
    return probes


def _between(numbers, low, high):
    return float(numbers.quantile(low)), float(numbers.quantile(high))


@check(points=2, probes=_samples)
def bootstrap_interval(values, picks, level=0.95):
    """The interval that holds the mean with a confidence of `level` -> low, high: two numbers.

    values: (N,) one score for each picture; picks: (B, N) the pictures of each of B samples
    level: in (0, 1). Of the samples' means, (1 - level) / 2 lie below low and as many above high.
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
    return _between(values, tail, 1 - tail)


@bootstrap_interval.mistake(
    "These are quantiles of all values that were drawn: where single pictures lie. Take the mean "
    "of each sample, a row of values[picks], first."
)
def _of_all_drawn(values, picks, level=0.95):
    tail = (1 - level) / 2
    return _between(values[picks].flatten(), tail, 1 - tail)


@bootstrap_interval.mistake(
    "You average over the samples instead of within each: every row of values[picks] is a sample, "
    "so its mean is taken along dim=1."
)
def _wrong_axis(values, picks, level=0.95):
    tail = (1 - level) / 2
    return _between(values[picks].mean(dim=0), tail, 1 - tail)


@bootstrap_interval.mistake("You take the median of each sample. The interval is to hold the mean.")
def _medians(values, picks, level=0.95):
    tail = (1 - level) / 2
    return _between(values[picks].median(dim=1).values, tail, 1 - tail)


@bootstrap_interval.mistake("You take the sum of each sample. The interval is to hold the mean.")
def _sums(values, picks, level=0.95):
    tail = (1 - level) / 2
    return _between(values[picks].sum(dim=1), tail, 1 - tail)


@bootstrap_interval.mistake(
    "Your interval leaves out 1 - level on each side, twice as much as it should: for 95 %, cut "
    "2.5 % off either end."
)
def _full_tails(values, picks, level=0.95):
    return _between(values[picks].mean(dim=1), min(1 - level, level), max(1 - level, level))


@bootstrap_interval.mistake(
    "`level` is ignored: 2.5 % are cut off, whatever is asked for. That is right for 0.95 alone; "
    "in general it is (1 - level) / 2."
)
def _always_95(values, picks, level=0.95):
    return _between(values[picks].mean(dim=1), 0.025, 0.975)


@bootstrap_interval.mistake(
    "Both ends lie on one side: what is cut off is half of 1 - level at either end, and the upper "
    "end is the quantile at 1 - that."
)
def _one_sided(values, picks, level=0.95):
    return _between(values[picks].mean(dim=1), 0.0, level)


@bootstrap_interval.mistake("Low and high are exchanged: the lower end comes first.")
def _high_first(values, picks, level=0.95):
    return bootstrap_interval.reference(values, picks, level)[::-1]


@bootstrap_interval.mistake(
    "These are the lowest and the highest of all samples. They grow with the number of samples; an "
    "interval of a given confidence is made of quantiles."
)
def _extremes(values, picks, level=0.95):
    means = values[picks].mean(dim=1)
    return float(means.min()), float(means.max())


@bootstrap_interval.mistake(
    "You assume a bell curve: mean plus and minus 1.96 standard deviations. The bootstrap needs no "
    "such thing: cut off the ends of the samples' means, with quantiles."
)
def _bell_curve(values, picks, level=0.95):
    means = values[picks].mean(dim=1)
    return float(means.mean() - 1.96 * means.std()), float(means.mean() + 1.96 * means.std())


@bootstrap_interval.mistake(
    "You assume a bell curve of the width that `level` asks for. The bootstrap needs no such "
    "thing: cut off the ends of the samples' means, with quantiles."
)
def _bell_curve_of_level(values, picks, level=0.95):
    means = values[picks].mean(dim=1)
    reach = means.std() * torch.distributions.Normal(0, 1).icdf(torch.tensor((1 + level) / 2))
    return float(means.mean() - reach), float(means.mean() + reach)


@bootstrap_interval.mistake(
    "This is the mean plus and minus one standard deviation. An interval of a given confidence is "
    "made of quantiles of the samples' means."
)
def _one_deviation(values, picks, level=0.95):
    means = values[picks].mean(dim=1)
    return float(means.mean() - means.std()), float(means.mean() + means.std())


@bootstrap_interval.mistake(
    "Brackets are missing: half of what the level leaves is cut off either end, (1 - level) / 2. "
    "You divide the level alone."
)
def _without_brackets(values, picks, level=0.95):
    return _between(values[picks].mean(dim=1), level / 2, 1 - level / 2)


@bootstrap_interval.mistake(
    "You use the formula for the standard error, mean plus and minus 1.96 s / sqrt(N). The "
    "bootstrap reads the interval off the samples: take the quantiles of their means."
)
def _standard_error(values, picks, level=0.95):
    reach = 1.96 * values.std() / len(values) ** 0.5
    return float(values.mean() - reach), float(values.mean() + reach)


@bootstrap_interval.mistake("This is the middle and half the width. Give both ends: low, high.")
def _middle_and_width(values, picks, level=0.95):
    low, high = bootstrap_interval.reference(values, picks, level)
    return (low + high) / 2, (high - low) / 2


@bootstrap_interval.mistake("This is the mean and half the width. Give both ends: low, high.")
def _mean_and_width(values, picks, level=0.95):
    low, high = bootstrap_interval.reference(values, picks, level)
    return float(values[picks].mean()), (high - low) / 2


# ---------------------------------------------------------------------------- rank correlation


def _two_maps(random):
    """Maps without ties: alike, opposed, unrelated, and one with an outlier; not square."""
    one, other = torch.randn(6, 8), torch.randn(6, 8)
    related = (one + 0.3 * other).exp()
    outlier = one.clone()
    outlier[2, 3] = 1e4
    small = torch.randn(5, 3)
    return [
        (one, related),
        (one - 9, -related),
        (one, other),
        (outlier, related),
        (small, -2 * small.exp()),
    ]


def _pearson(a, b):
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


def _ranks(values):
    return values.flatten().argsort().argsort().double()


@check(points=2, probes=_two_maps)
def rank_correlation(one, other):
    """Spearman's rank correlation of two maps (H, W) without ties: a number in [-1, 1]."""
    a, b = (m.flatten().argsort().argsort().double() for m in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / (a.norm() * b.norm()))


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


@rank_correlation.mistake(
    "The ranks are right, but their means are still in them, so that any two maps seem alike. "
    "Subtract from each its mean before you multiply."
)
def _not_centred(one, other):
    a, b = _ranks(one), _ranks(other)
    return float((a * b).sum() / (a.norm() * b.norm()))


@rank_correlation.mistake(
    "This is the covariance of the ranks. Divide by both lengths, then it lies between -1 and 1."
)
def _covariance(one, other):
    a, b = _ranks(one), _ranks(other)
    return float(((a - a.mean()) * (b - b.mean())).mean())


@rank_correlation.mistake(
    "This is the scalar product of the ranks. Divide by both lengths, then it lies between -1 "
    "and 1."
)
def _not_divided(one, other):
    a, b = _ranks(one), _ranks(other)
    return float(((a - a.mean()) * (b - b.mean())).sum())


@rank_correlation.mistake(
    "`std` divides by n - 1 and `mean` by n, so a map's correlation with itself would not be 1. "
    "Use the same for both: sums, and lengths (`norm`)."
)
def _mixed_counts(one, other):
    a, b = _ranks(one), _ranks(other)
    return float(((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std()))


@rank_correlation.mistake(
    "You divide by the squares of both lengths. Their roots are missing: `norm`, or the square "
    "root of the product."
)
def _by_squared_lengths(one, other):
    a, b = (_ranks(m) - _ranks(m).mean() for m in (one, other))
    return float((a * b).sum() / (a.square().sum() * b.square().sum()))


@rank_correlation.mistake(
    "You sorted each map by itself, so that pixels lost their partners. Ranks stay at their "
    "pixels: the argsort of the argsort."
)
def _sorted_values(one, other):
    return _pearson(one.flatten().sort().values, other.flatten().sort().values)


@rank_correlation.mistake(
    "In the formula with differences these have to be squared: 1 - 6 * sum(d ** 2) / (n * (n ** 2 "
    "- 1))."
)
def _differences_not_squared(one, other):
    a, b = _ranks(one), _ranks(other)
    return float(1 - 6 * (a - b).abs().sum() / (len(a) * (len(a) ** 2 - 1)))


@rank_correlation.mistake(
    "The formula with differences divides by n * (n ** 2 - 1): a factor n is missing in yours."
)
def _wrong_divisor(one, other):
    a, b = _ranks(one), _ranks(other)
    return float(1 - 6 * (a - b).square().sum() / (len(a) ** 2 - 1))


@rank_correlation.mistake(
    "One map is ranked from the top and the other from the bottom, which turns the sign round. "
    "Rank both in the same order."
)
def _one_descending(one, other):
    return -rank_correlation.reference(one, other)


@rank_correlation.mistake(
    "You took the absolute value. Opposed maps have a correlation of -1, and that is not the same "
    "as 1."
)
def _without_sign(one, other):
    return abs(rank_correlation.reference(one, other))


@rank_correlation.mistake("This is the square of the correlation, which has lost its sign.")
def _squared(one, other):
    return rank_correlation.reference(one, other) ** 2


@rank_correlation.mistake(
    "This is Kendall's rank correlation, which counts pairs. Spearman's is the correlation of the "
    "ranks."
)
def _kendall(one, other):
    a, b = one.flatten(), other.flatten()
    signs = (a[:, None] - a).sign() * (b[:, None] - b).sign()
    return float(signs.sum() / (len(a) * (len(a) - 1)))


# ---------------------------------------------------------------------------- deletion


def _pictures(random):
    """Networks that see colours; maps of both signs, whose values are far from evenly spread.

    The replacement is neither 0 nor a mean, the class asked for is the second likeliest, and the
    steps don't divide the number of pixels, nor leave a half.
    """
    probes = []
    for (height, width), steps, target in (((8, 11), 7, 1), ((9, 5), 7, 0), ((6, 6), 5, 2)):
        cells = height * width
        head = nn.Linear(4 * cells, 4)
        model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), head).eval()
        model.requires_grad_(False)
        x, replacement = torch.randn(1, 3, height, width), 1 + torch.randn(1, 3, height, width)
        order = model(x)[0].argsort(descending=True).tolist()
        order.insert(target, order.pop(1))
        head.weight.copy_(3 * head.weight[order])
        head.bias.zero_()
        heatmap = (torch.randperm(cells) + 0.5 - cells / 2).view(height, width) ** 3
        probes.append((model, x, target, heatmap, replacement, steps))
    return probes


@check(points=3, probes=_pictures, graph="any")
def deletion_curve(model, x, target, heatmap, replacement, steps):
    """The class's probability after 0, 1, ..., `steps` steps of deleting: a tensor (steps + 1,).

    After step k, the share k / steps of all pixels, those with the highest values in the heatmap
    (H, W), comes from `replacement` (1, 3, H, W), the others come from x (1, 3, H, W). Round the
    number of pixels to the nearest. x stays as it was.
    """
    order = heatmap.flatten().argsort(descending=True)
    probabilities = []
    with torch.no_grad():
        for step in range(steps + 1):
            gone = torch.zeros(len(order), dtype=torch.bool)
            gone[order[: round(step * len(order) / steps)]] = True
            mixed = torch.where(gone.view(heatmap.shape), replacement, x)
            probabilities.append(model(mixed).softmax(dim=1)[0, target])
    return torch.stack(probabilities)


def _deleted(heatmap, steps, number=None, order=None):
    """Which pixels are gone after each step: (steps + 1) tensors (H, W) bool."""
    order = heatmap.flatten().argsort(descending=True) if order is None else order
    for step in range(steps + 1):
        gone = torch.zeros(len(order), dtype=torch.bool)
        gone[order[: number(step) if number else round(step * len(order) / steps)]] = True
        yield gone.view(heatmap.shape)


@torch.no_grad()
def _curve(model, x, target, replacement, masks, read=None):
    """read(scores) with the replacement where each of the masks is True."""
    read = read or (lambda scores: scores.softmax(dim=1)[0, target])
    return torch.stack([read(model(torch.where(mask, replacement, x))) for mask in masks])


@deletion_curve.mistake(
    "You delete the *lowest* pixels first. A good map makes the class disappear early, so its "
    "highest pixels go first."
)
def _lowest_first(model, x, target, heatmap, replacement, steps):
    return _curve(model, x, target, replacement, _deleted(-heatmap, steps))


@deletion_curve.mistake(
    "You delete by absolute values. What speaks strongly *against* the class is low, not high, and "
    "goes last."
)
def _by_absolute(model, x, target, heatmap, replacement, steps):
    return _curve(model, x, target, replacement, _deleted(heatmap.abs(), steps))


@deletion_curve.mistake(
    "You delete in the order of the rows. The heat map decides: its highest pixels go first."
)
def _by_place(model, x, target, heatmap, replacement, steps):
    order = torch.arange(heatmap.numel())
    return _curve(model, x, target, replacement, _deleted(heatmap, steps, order=order))


@deletion_curve.mistake(
    "argsort gives the places of the sorted values; you used it as if it gave each pixel's rank. "
    "`order[:n]` are the n highest places: mark those."
)
def _order_as_ranks(model, x, target, heatmap, replacement, steps):
    order = heatmap.flatten().argsort(descending=True).argsort()
    return _curve(model, x, target, replacement, _deleted(heatmap, steps, order=order))


@deletion_curve.mistake(
    "Deleted pixels become 0 in your curve. They come from `replacement`, the blurred picture."
)
def _to_zero(model, x, target, heatmap, replacement, steps):
    return _curve(model, x, target, torch.zeros_like(x), _deleted(heatmap, steps))


@deletion_curve.mistake(
    "Each step replaces only its own pixels and brings the earlier ones back. What was deleted "
    "stays deleted."
)
def _only_the_last(model, x, target, heatmap, replacement, steps):
    masks = list(_deleted(heatmap, steps))
    alone = [masks[0], *(after & ~before for before, after in itertools.pairwise(masks))]
    return _curve(model, x, target, replacement, alone)


@deletion_curve.mistake(
    "This is insertion: you begin with the replacement and bring the picture back. Begin with x."
)
def _inserted(model, x, target, heatmap, replacement, steps):
    return _curve(model, replacement, target, x, _deleted(heatmap, steps))


@deletion_curve.mistake(
    "The number of pixels is cut off instead of rounded: use `round`, not `int` or //."
)
def _cut_off(model, x, target, heatmap, replacement, steps):
    def number(step):
        return step * heatmap.numel() // steps

    return _curve(model, x, target, replacement, _deleted(heatmap, steps, number))


@deletion_curve.mistake(
    "Your steps are of equal size, a rounded one, so the last doesn't reach the end. Round k / "
    "steps of all pixels for each k anew."
)
def _equal_steps(model, x, target, heatmap, replacement, steps):
    def number(step):
        return step * (heatmap.numel() // steps)

    return _curve(model, x, target, replacement, _deleted(heatmap, steps, number))


@deletion_curve.mistake("The number of pixels is rounded up. Round it to the nearest.")
def _rounded_up(model, x, target, heatmap, replacement, steps):
    def number(step):
        return -(-step * heatmap.numel() // steps)

    return _curve(model, x, target, replacement, _deleted(heatmap, steps, number))


@deletion_curve.mistake(
    "You delete one more pixel in each step. After step k it is k / steps of all pixels."
)
def _pixel_by_pixel(model, x, target, heatmap, replacement, steps):
    masks = _deleted(heatmap, steps, lambda step: step)
    return _curve(model, x, target, replacement, masks)


@deletion_curve.mistake(
    "You lower a threshold in equal steps, and the same step of the threshold is few pixels here "
    "and many there. Count pixels: after step k the k / steps with the highest values are gone."
)
def _by_threshold(model, x, target, heatmap, replacement, steps):
    low, high = heatmap.min(), heatmap.max()
    limits = [high - step / steps * (high - low) for step in range(steps + 1)]
    return _curve(model, x, target, replacement, [heatmap > limit for limit in limits])


@deletion_curve.mistake(
    "These are scores. The curve is of the class's probability: apply softmax to the scores."
)
def _scores(model, x, target, heatmap, replacement, steps):
    return _curve(
        model, x, target, replacement, _deleted(heatmap, steps), lambda scores: scores[0, target]
    )


@deletion_curve.mistake(
    "Your softmax goes along the batch, where there is one picture, so every probability is 1. "
    "Classes are dim 1."
)
def _softmax_of_the_batch(model, x, target, heatmap, replacement, steps):
    def read(scores):
        return scores.softmax(dim=0)[0, target]

    return _curve(model, x, target, replacement, _deleted(heatmap, steps), read)


@deletion_curve.mistake("These are the probabilities of all classes. Follow one, `target`.")
def _all_classes(model, x, target, heatmap, replacement, steps):
    def read(scores):
        return scores.softmax(dim=1)[0]

    return _curve(model, x, target, replacement, _deleted(heatmap, steps), read)


@deletion_curve.mistake(
    "This is by how much the probability falls. The curve is the probability itself."
)
def _falls(model, x, target, heatmap, replacement, steps):
    curve = deletion_curve.reference(model, x, target, heatmap, replacement, steps)
    return curve[0] - curve


@deletion_curve.mistake(
    "This is the probability of whatever class is the likeliest. Follow one class, `target`."
)
def _likeliest(model, x, target, heatmap, replacement, steps):
    def read(scores):
        return scores.softmax(dim=1).amax()

    return _curve(model, x, target, replacement, _deleted(heatmap, steps), read)


@deletion_curve.mistake(
    "The first point is missing: after 0 steps nothing is deleted yet, and the curve has steps + 1 "
    "points."
)
def _without_the_start(model, x, target, heatmap, replacement, steps):
    return deletion_curve.reference(model, x, target, heatmap, replacement, steps)[1:]


@deletion_curve.mistake(
    "The last point is missing: after `steps` steps everything is deleted, and the curve has "
    "steps + 1 points. `range(steps + 1)` counts that far."
)
def _without_the_end(model, x, target, heatmap, replacement, steps):
    return deletion_curve.reference(model, x, target, heatmap, replacement, steps)[:-1]


@deletion_curve.mistake(
    "Only one channel is replaced: 3 * H * W values in a row are not pixels. A deleted pixel loses "
    "all three colours."
)
def _one_channel(model, x, target, heatmap, replacement, steps):
    red = torch.tensor([True, False, False])[:, None, None]
    masks = [mask & red for mask in _deleted(heatmap, steps)]
    return _curve(model, x, target, replacement, masks)
