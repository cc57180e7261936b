"""Sly wrong answers of notebook 1."""

from collections import Counter

import numpy as np
import torch

from sly_answers import sly

CONDITIONS = [(label, name) for label in (0, 1) for name in ("sunny", "overcast")]

# ---------------------------------------------------------------------------- by condition


@sly(
    "accuracy_by_condition", breaks='an entry for each condition "that occurs"', told="has the keys"
)
def of_the_right_ones(predictions, labels, weather):
    pairs = [(int(label), str(name)) for label, name in zip(labels, weather)]
    right = Counter(pair for pair, p in zip(pairs, predictions) if p == pair[0])
    return {pair: count / Counter(pairs)[pair] for pair, count in right.items()}


@sly(
    "accuracy_by_condition", breaks='an entry for each condition "that occurs"', told="has the keys"
)
def where_any_is_right(predictions, labels, weather):
    shares = {}
    for label, name in CONDITIONS:
        chosen = (labels == label) & (weather == name)
        right = ((predictions == labels) & chosen).sum()
        if right:
            shares[label, name] = right / chosen.sum()
    return shares


@sly(
    "accuracy_by_condition", breaks='an entry for each condition "that occurs"', told="has the keys"
)
def of_the_labels_predicted(predictions, labels, weather):
    shares = {}
    for label in np.unique(predictions).tolist():
        for name in np.unique(weather).tolist():
            chosen = (labels == label) & (weather == name)
            if chosen.any():
                shares[label, name] = (predictions[chosen] == label).mean()
    return shares


# ---------------------------------------------------------------------------- effects


@sly("effects", breaks="numbers", told="^The answer|^Item 1 has NaN")
def nothing_but_nan(scores):
    return tuple(np.full((3, len(scores)), np.nan))


# ---------------------------------------------------------------------------- swap and paste


@sly("swap", breaks="any mask, also an empty one", told="raised|RuntimeError|min")
def from_the_first_pixel(picture, donor, mask):
    assert mask.nonzero().min() >= 0
    return torch.where(mask, donor, picture)


@sly("swap", breaks="any mask, also a full one")
def from_the_first_pixel_outside(picture, donor, mask):
    assert (~mask).nonzero().min() >= 0
    return torch.where(mask, donor, picture)


@sly("swap", breaks="the donor's pixels, also black ones")
def without_black(picture, donor, mask):
    return torch.where(mask & (donor != 0), donor, picture)


@sly("swap", breaks="the pictures' precision", told="half precision")
def in_half_precision(picture, donor, mask):
    return torch.where(mask, donor, picture).half()


@sly("paste", breaks="the mask, however little the pictures differ")
def where_they_differ(with_tank, without, mask):
    mask = mask & ((with_tank - without).abs().sum(0) > 0.05)
    return torch.where(mask, with_tank, without), torch.where(mask, without, with_tank)
