"""Unusual right answers of notebook 1."""

from collections import defaultdict

import numpy as np
import torch

# ---------------------------------------------------------------------------- by condition


def with_numpys_own_keys(predictions, labels, weather):
    right = predictions == labels
    return {
        (label, name): torch.tensor(right[(labels == label) & (weather == name)].mean())
        for label, name in zip(labels, weather)
    }


def picture_by_picture(predictions, labels, weather):
    right, all_of_them = defaultdict(int), defaultdict(int)
    for prediction, label, name in zip(predictions.tolist(), labels.tolist(), weather.tolist()):
        right[label, name] += prediction == label
        all_of_them[label, name] += 1
    return {condition: right[condition] / count for condition, count in all_of_them.items()}


def by_averaging_errors(predictions, labels, weather):
    wrong = np.abs(predictions - labels).astype(float)
    names, place = np.unique(weather, return_inverse=True)
    group = labels * len(names) + place
    counts = np.bincount(group, minlength=2 * len(names))
    errors = np.bincount(group, wrong, minlength=2 * len(names))
    return {
        (number // len(names), str(names[number % len(names)])): 1 - errors[number] / counts[number]
        for number in np.flatnonzero(counts)
    }


# ---------------------------------------------------------------------------- effects


def as_one_array(scores):
    signs = np.array([[[-1, -1], [1, 1]], [[-1, 1], [-1, 1]], [[2, -2], [-2, 2]]]) / 2
    return np.einsum("kij,nij->kn", signs, scores)


def as_tensors(scores):
    return tuple(torch.from_numpy(effect) for effect in as_one_array(scores))


def as_a_list_of_means(scores):
    tank, weather = np.diff(scores, axis=1)[:, 0], np.diff(scores, axis=2)[..., 0]
    return [tank.mean(1), weather.mean(1), np.diff(tank, axis=1).ravel()]


def scene_by_scene(scores):
    rows = []
    for (clouds_empty, sun_empty), (clouds_tank, sun_tank) in scores.astype(np.float64):
        tank = (sun_tank + clouds_tank - sun_empty - clouds_empty) / 2
        weather = (sun_tank + sun_empty - clouds_tank - clouds_empty) / 2
        rows.append((tank, weather, sun_tank - sun_empty - clouds_tank + clouds_empty))
    tank, weather, both = np.array(rows).T
    return tank, weather, both


# ---------------------------------------------------------------------------- region swap


def in_double_precision(picture, donor, mask):
    return picture.double().lerp(donor.double(), mask.double())


def by_indexing_a_copy(picture, donor, mask):
    mixed = picture.clone()
    mixed[:, mask] = donor[:, mask]
    return mixed


def by_arithmetic(picture, donor, mask):
    inside = mask.to(picture.dtype)
    return picture * (1 - inside) + donor * inside


def with_numpy(picture, donor, mask):
    return torch.from_numpy(np.where(mask.numpy(), donor.numpy(), picture.numpy()))


# ---------------------------------------------------------------------------- paste test


def as_one_tensor(with_tank, without, mask):
    return torch.stack(
        [torch.where(mask, with_tank, without), torch.where(mask, without, with_tank)]
    )


def the_second_from_the_first(with_tank, without, mask):
    inside = without.masked_scatter(mask.expand_as(without), with_tank[:, mask])
    return [inside, with_tank + without - inside]


def with_the_opposite_mask(with_tank, without, mask):
    inside, outside = with_tank.clone(), without.clone()
    inside[:, ~mask] = without[:, ~mask]
    outside[:, ~mask] = with_tank[:, ~mask]
    return inside, outside


ODD = {
    "accuracy_by_condition": [with_numpys_own_keys, picture_by_picture, by_averaging_errors],
    "effects": [as_tensors, as_one_array, as_a_list_of_means, scene_by_scene],
    "swap": [in_double_precision, by_indexing_a_copy, by_arithmetic, with_numpy],
    "paste": [as_one_tensor, the_second_from_the_first, with_the_opposite_mask],
}
