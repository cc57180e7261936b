"""Checks of notebook 1, the tank legend."""

import numpy as np
import torch

from course_utils.exercises import check

# ---------------------------------------------------------------------------- by condition


CONDITIONS = [(0, "sunny"), (0, "overcast"), (1, "sunny"), (1, "overcast")]


def _verdicts(random):
    """Unequally many pictures of each condition; in the second set one condition is absent.

    In the last one nothing is ever called a tank: all of some conditions are right, of others none.
    """
    return [
        _judged(random, (10, 20, 30, 12), random.permutation([0.1, 0.35, 0.65, 0.9])),
        _judged(random, (14, 0, 9, 25), random.permutation([0.1, 0.35, 0.65, 0.9])),
        _judged(random, (6, 9, 7, 5), (1, 1, 0, 0)),
    ]


def _judged(random, counts, shares):
    """(predictions, labels, weather), shuffled, with the share of each condition that is right."""
    labels = np.repeat([label for label, _ in CONDITIONS], counts)
    weather = np.repeat([name for _, name in CONDITIONS], counts)
    right = np.concatenate([np.arange(n) < round(s * n) for s, n in zip(shares, counts)])
    order = random.permutation(len(labels))
    return np.where(right, labels, 1 - labels)[order], labels[order], weather[order]


@check(points=2, probes=_verdicts)
def accuracy_by_condition(predictions, labels, weather):
    """Accuracy for each (label, weather) that occurs -> {(0 or 1, "sunny" or "overcast"): share}.

    A dict with tuples as keys and shares in [0, 1] as values; a condition without a picture has no
    entry. predictions, labels: (N,) integer arrays; weather: (N,) array of strings
    """
    shares = {}
    for label in (0, 1):
        for name in ("sunny", "overcast"):
            chosen = (labels == label) & (weather == name)
            if chosen.any():
                shares[label, name] = (predictions[chosen] == label).mean()
    return shares


def _for_each_condition(share, labels, weather):
    """{condition: share of the pictures chosen by a mask} of the conditions that occur."""
    chosen = {c: (labels == c[0]) & (weather == c[1]) for c in CONDITIONS}
    return {condition: share(mask) for condition, mask in chosen.items() if mask.any()}


@accuracy_by_condition.mistake(
    "You divide by the number of all pictures. The accuracy of a condition divides by the number "
    "of pictures in that condition."
)
def _share_of_all(predictions, labels, weather):
    right = predictions == labels
    return _for_each_condition(lambda mask: (right & mask).mean(), labels, weather)


@accuracy_by_condition.mistake(
    "Your conditions are made of the predictions. Group the pictures by their true label; the "
    "prediction only says whether each was right."
)
def _grouped_by_prediction(predictions, labels, weather):
    right = predictions == labels
    return _for_each_condition(lambda mask: right[mask].mean(), predictions, weather)


@accuracy_by_condition.mistake(
    'You report how often the network says "tank" (class 1). Being right means that the '
    "prediction equals the label, for empty yards too."
)
def _called_tank(predictions, labels, weather):
    return _for_each_condition(lambda mask: (predictions[mask] == 1).mean(), labels, weather)


@accuracy_by_condition.mistake(
    "These are counts of right answers. Divide each by the number of pictures in its condition."
)
def _counts(predictions, labels, weather):
    right = predictions == labels
    return _for_each_condition(lambda mask: right[mask].sum(), labels, weather)


@accuracy_by_condition.mistake(
    "Your shares ignore the weather: both weathers of a label have the same value. Both parts of "
    "a condition choose its pictures, with `&` between them."
)
def _without_weather(predictions, labels, weather):
    of_label = [(predictions[labels == label] == label).mean() for label in (0, 1)]
    return {(label, name): of_label[label] for label, name in set(zip(labels, weather))}


@accuracy_by_condition.mistake(
    "Your shares ignore the label: both labels have the same value in a weather. Both parts of a "
    "condition choose its pictures, with `&` between them."
)
def _without_label(predictions, labels, weather):
    right = predictions == labels
    return {
        (label, name): right[weather == name].mean() for label, name in set(zip(labels, weather))
    }


@accuracy_by_condition.mistake(
    "A condition that no picture has gets an entry from you, and the mean of nothing is NaN. "
    "Leave it out: ask `chosen.any()` first."
)
def _mean_of_nothing(predictions, labels, weather):
    shares = accuracy_by_condition.reference(predictions, labels, weather)
    return {condition: shares.get(condition, np.nan) for condition in CONDITIONS}


@accuracy_by_condition.mistake(
    "Only the conditions of label 0 are there. Does your `return` stand inside a loop? Move it to "
    "the left, behind both."
)
def _returned_early(predictions, labels, weather):
    shares = accuracy_by_condition.reference(predictions, labels, weather)
    return {condition: share for condition, share in shares.items() if condition[0] == 0}


# ---------------------------------------------------------------------------- effects


def _quads(random):
    return [(random.normal(2, 4, size=(count, 2, 2)),) for count in (5, 1, 8)]


@check(points=2, probes=_quads)
def effects(scores):
    """Effects of tank, weather and their interaction, in this order, each (scenes,).

    scores: (scenes, 2, 2) array; axis 1 is no tank, tank; axis 2 is overcast, sunny
    """
    tank_overcast, tank_sunny = (scores[:, 1] - scores[:, 0]).T
    weather_empty, weather_tank = (scores[:, :, 1] - scores[:, :, 0]).T
    return (
        (tank_sunny + tank_overcast) / 2,
        (weather_tank + weather_empty) / 2,
        tank_sunny - tank_overcast,
    )


@effects.mistake(
    "Tank and weather are exchanged: axis 1 is no tank or tank, axis 2 is overcast or sunny."
)
def _axes_exchanged(scores):
    tank, weather, both = effects.reference(scores)
    return weather, tank, both


@effects.mistake(
    "Your effects of tank and weather are sums of two differences. Average them over the two "
    "conditions of the other factor: halve the sum."
)
def _sums(scores):
    tank, weather, both = effects.reference(scores)
    return 2 * tank, 2 * weather, both


@effects.mistake(
    "Your interaction is halved. Here it is the tank's effect in the sun minus its effect under "
    "clouds, without a half."
)
def _half_interaction(scores):
    tank, weather, both = effects.reference(scores)
    return tank, weather, both / 2


@effects.mistake(
    "You averaged over the scenes too. Keep one number for each scene: each effect has the shape "
    "(scenes,)."
)
def _averaged(scores):
    return tuple(float(effect.mean()) for effect in effects.reference(scores))


@effects.mistake(
    "Your indices pick scenes: axis 0 counts them. Begin with a colon, as in `scores[:, 1, 1]`."
)
def _scenes_indexed(scores):
    return effects.reference(scores.transpose(2, 0, 1))


@effects.mistake(
    "You read the effects under one condition only: the tank's in the sun, the weather's with a "
    "tank. Average each over both conditions of the other factor."
)
def _simple_effects(scores):
    tank = scores[:, 1, 1] - scores[:, 0, 1]
    weather = scores[:, 1, 1] - scores[:, 1, 0]
    return tank, weather, effects.reference(scores)[2]


@effects.mistake(
    "`a + b / 2` halves the second difference alone. Put parentheses around the sum before you "
    "halve it."
)
def _second_halved(scores):
    tank, weather = scores[:, 1] - scores[:, 0], scores[:, :, 1] - scores[:, :, 0]
    both = effects.reference(scores)[2]
    return tank[:, 1] + tank[:, 0] / 2, weather[:, 0] + weather[:, 1] / 2, both


@effects.mistake(
    "Your interaction is the tank's effect minus the weather's. It asks how the tank's effect "
    "changes: its effect in the sun minus its effect under clouds."
)
def _difference_of_effects(scores):
    tank, weather, _ = effects.reference(scores)
    return tank, weather, tank - weather


@effects.mistake(
    "The order is another one: first the effect of the tank, then that of the weather, last the "
    "interaction."
)
def _other_order(scores):
    tank, weather, both = effects.reference(scores)
    return tank, both, weather


# ---------------------------------------------------------------------------- region swap


def _picture_pairs(random):
    """Pictures of the same size with values of both signs, and a mask of some of their pixels.

    The second pair hardly differs, and half of the donor is black. A mask of none and one of all.
    """
    pairs = [(torch.randn(3, *size), torch.randn(3, *size)) for size in ((5, 7), (6, 4))]
    pairs[1] = pairs[1][0], pairs[1][0] + 0.004 * pairs[1][1]
    pairs[1][1][:, ::2] = 0
    calls = [(*pair, torch.rand(pair[0].shape[1:]) > 0.6) for pair in pairs]
    (picture, donor, mask), _ = calls
    return [*calls, (donor, picture, mask & False), (picture, donor, mask | True)]


@check(points=1, probes=_picture_pairs)
def swap(picture, donor, mask):
    """`picture`, with the pixels where `mask` is True taken from `donor` -> a new (3, H, W).

    picture, donor: (3, H, W), left as they are; mask: (H, W), True or False
    """
    return torch.where(mask, donor, picture)


@swap.mistake(
    "The other way round: inside the mask you keep `picture`. The mask says where the donor's "
    "pixels go."
)
def _inside_kept(picture, donor, mask):
    return torch.where(mask, picture, donor)


@swap.mistake("Outside the mask your picture is black. Outside, `picture` shows through unchanged.")
def _cut_out(picture, donor, mask):
    return donor * mask


@swap.mistake(
    "You add the donor's pixels to those of `picture`. Inside the mask they replace them."
)
def _added(picture, donor, mask):
    return picture + donor * mask


@swap.mistake(
    "Outside the mask you add the whole donor to `picture`. Either side needs its mask: the donor "
    "the mask, `picture` the opposite `~mask`."
)
def _donor_everywhere(picture, donor, mask):
    return picture * ~mask + donor


@swap.mistake(
    "Inside the mask your picture is black: you cut the pixels out, but don't put in the donor's."
)
def _hole(picture, donor, mask):
    return picture * ~mask


@swap.mistake(
    "You exchange the first colour alone. The mask (H, W) counts for all three: index with "
    "`[:, mask]`, or let `torch.where` spread it."
)
def _first_colour(picture, donor, mask):
    return torch.cat([torch.where(mask, donor, picture)[:1], picture[1:]])


@swap.mistake(
    "Your function writes into `picture`, so the next experiment starts from a changed one. Copy "
    "it first, or make a new tensor with `torch.where`."
)
def _written_into(picture, donor, mask):
    picture[:, mask] = donor[:, mask]
    return picture


# ---------------------------------------------------------------------------- paste test


@check(points=2, probes=_picture_pairs)
def paste(with_tank, without, mask):
    """The two mixtures ("inside only", "outside only"), each a new picture (3, H, W).

    with_tank, without: two pictures (3, H, W) that differ by the tank alone, left as they are;
    mask: (H, W), True on the tank
    """
    return torch.where(mask, with_tank, without), torch.where(mask, without, with_tank)


@paste.mistake(
    'You exchanged the two. "Inside only" is the empty scene with nothing but the tank\'s own '
    "pixels pasted in."
)
def _exchanged(with_tank, without, mask):
    inside, outside = paste.reference(with_tank, without, mask)
    return outside, inside


@paste.mistake(
    "The rest of your mixtures is black, which no camera has seen. Fill it with the other picture "
    "of the pair."
)
def _on_black(with_tank, without, mask):
    return with_tank * mask, with_tank * ~mask


@paste.mistake(
    '"Inside only" is right. For "outside only" start from the picture with the tank, and cover '
    "the tank with the empty scene's pixels."
)
def _second_is_empty(with_tank, without, mask):
    return paste.reference(with_tank, without, mask)[0], without


@paste.mistake(
    '"Outside only" is "inside only" once more. Start it from the picture with the tank, with the '
    "same mask as before, not the opposite one."
)
def _inside_twice(with_tank, without, mask):
    inside = paste.reference(with_tank, without, mask)[0]
    return inside, inside


@paste.mistake(
    '"Outside only" is right. Your "inside only" is the whole picture with the tank: start from '
    "the empty scene, and paste the tank's pixels alone."
)
def _first_is_whole(with_tank, without, mask):
    return with_tank, paste.reference(with_tank, without, mask)[1]
