"""Checks of notebook 1, the tank legend."""

import numpy as np
import torch

from course_utils.exercises import check

# ---------------------------------------------------------------------------- by condition


def _verdicts(random):
    """Predictions and labels of 40 and 23 pictures in both weathers."""
    calls = []
    for count in (40, 23):
        labels = random.integers(0, 2, count)
        weather = random.choice(["sunny", "overcast"], count, p=[0.3, 0.7])
        wrong = random.random(count) < 0.35
        calls.append((np.where(wrong, 1 - labels, labels), labels, weather))
    return calls


def _conditions(labels, weather):
    return sorted({(int(label), str(name)) for label, name in zip(labels, weather)})


@check(points=2, probes=_verdicts)
def accuracy_by_condition(predictions, labels, weather):
    """Accuracy for each (label, weather) that occurs -> {(0 or 1, "sunny" or "overcast"): share}.

    predictions, labels: (N,) integer arrays; weather: (N,) array of strings
    """
    shares = {}
    for label in np.unique(labels):
        for name in np.unique(weather):
            chosen = (labels == label) & (weather == name)
            if chosen.any():
                shares[int(label), str(name)] = float((predictions[chosen] == label).mean())
    return shares


@accuracy_by_condition.mistake(
    "You divide by the number of all pictures. The accuracy of a condition divides by the number "
    "of pictures in that condition."
)
def _share_of_all(predictions, labels, weather):
    return {
        (label, name): float(
            ((predictions == label) & (labels == label) & (weather == name)).mean()
        )
        for label, name in _conditions(labels, weather)
    }


@accuracy_by_condition.mistake(
    "Your conditions are made of the predictions. Group the pictures by their true label; the "
    "prediction only says whether each was right."
)
def _grouped_by_prediction(predictions, labels, weather):
    shares = {}
    for label, name in _conditions(labels, weather):
        chosen = (predictions == label) & (weather == name)
        shares[label, name] = float((labels[chosen] == label).mean())
    return shares


@accuracy_by_condition.mistake(
    'You report how often the network says "tank" (class 1). Being right means that the '
    "prediction equals the label, for empty yards too."
)
def _called_tank(predictions, labels, weather):
    return {
        (label, name): float((predictions[(labels == label) & (weather == name)] == 1).mean())
        for label, name in _conditions(labels, weather)
    }


@accuracy_by_condition.mistake(
    "These are counts of right answers. Divide each by the number of pictures in its condition."
)
def _counts(predictions, labels, weather):
    return {
        (label, name): float(((predictions == label) & (labels == label) & (weather == name)).sum())
        for label, name in _conditions(labels, weather)
    }


@accuracy_by_condition.mistake(
    "Your shares ignore the weather: both weathers of a label have the same value. Both parts of "
    "a condition choose its pictures, with `&` between them."
)
def _without_weather(predictions, labels, weather):
    return {
        (label, name): float((predictions[labels == label] == label).mean())
        for label, name in _conditions(labels, weather)
    }


# ---------------------------------------------------------------------------- effects


def _quads(random):
    return [(random.normal(2, 4, size=(count, 2, 2)),) for count in (5, 1, 8)]


@check(points=2, probes=_quads)
def effects(scores):
    """Effects of tank, weather and their interaction, each (scenes,).

    scores: (scenes, 2, 2); axis 1 is no tank, tank; axis 2 is overcast, sunny
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
    "All signs are turned round. The effect of the tank is the score with it minus the score "
    'without it; index 1 is "with".'
)
def _signs(scores):
    tank, weather, both = effects.reference(scores)
    return -tank, -weather, -both


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
    "You read the effects under one condition only: the tank's in the sun, the weather's with a "
    "tank. Average each over both conditions of the other factor."
)
def _simple_effects(scores):
    tank = scores[:, 1, 1] - scores[:, 0, 1]
    weather = scores[:, 1, 1] - scores[:, 1, 0]
    return tank, weather, effects.reference(scores)[2]


# ---------------------------------------------------------------------------- region swap


def _picture_pairs(random):
    pairs = [(torch.rand(3, *size), torch.rand(3, *size)) for size in ((5, 7), (6, 4))]
    return [(*pair, torch.rand(pair[0].shape[1:]) > 0.6) for pair in pairs]


@check(points=1, probes=_picture_pairs)
def swap(picture, donor, mask):
    """A picture (3, H, W) whose pixels inside `mask` (H, W) come from `donor` (3, H, W)."""
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
    "Your function writes into `picture`, so the next experiment starts from a changed one. Copy "
    "it first, or make a new tensor with `torch.where`."
)
def _written_into(picture, donor, mask):
    picture[:, mask] = donor[:, mask]
    return picture


# ---------------------------------------------------------------------------- paste test


@check(points=2, probes=_picture_pairs)
def paste(with_tank, without, mask):
    """The two mixtures, "inside only" and "outside only", as pictures (3, H, W)."""
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
