"""The shipped look-alikes and their network: complete, matched, and as good as the course says."""

import functools

import numpy as np
import pytest
import torch

from course_utils import pictures
from course_utils.classifiers import load
from course_utils.parts import KEY_PART, PAIRS

PARTNER = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}


@pytest.fixture(scope="module")
def test_set():
    return pictures.load_set("look_alikes", "test")


@pytest.fixture(scope="module")
def answers(test_set):
    """The scores of a network for all test pictures, computed once, and the labels."""
    images, labels = test_set.stack()
    return functools.cache(lambda name: load(name).scores(images)), labels


def by_scene(picture_set, label):
    return {entry.scene: entry for entry in picture_set.filter(label=label).entries}


def test_enough_pictures_of_every_class():
    for split, least in (("training", 300), ("validation", 50), ("test", 60)):
        counts = pictures.load_set("look_alikes", split).labels.bincount()
        assert len(counts) == 10
        assert counts.min() >= least


def test_both_classes_of_a_pair_stand_in_the_same_scenes(test_set):
    for first, second in PAIRS:
        ours, theirs = by_scene(test_set, first), by_scene(test_set, second)
        assert ours.keys() == theirs.keys()
        for scene in list(ours)[:10]:
            a, b = ours[scene], theirs[scene]
            assert (a.weather, a.background, a.seed) == (b.weather, b.background, b.seed)
            masks = pictures.load_mask(a) | pictures.load_mask(b)
            away = ~pictures.grown(masks, 24)
            change = (pictures.load_picture(a) - pictures.load_picture(b)).abs().mean(0)
            assert change[away].mean() < 0.03, (first, scene)


def test_every_picture_has_a_mask_and_shows_its_key_part():
    for split in ("validation", "test"):
        for entry in pictures.load_set("look_alikes", split).entries:
            parts = pictures.load_part_masks(entry)
            assert sum(mask.sum() for mask in parts.values()) > 250, entry.name
            if entry.label in KEY_PART:
                assert parts[KEY_PART[entry.label]].sum() >= 10, entry.name


def test_a_counterfactual_changes_the_key_part_and_little_else(test_set):
    for label, part in KEY_PART.items():
        inside, outside = [], []
        for entry in test_set.filter(label=label).entries:
            bare = pictures.load_counterfactual(entry)
            change = (pictures.load_picture(entry) - bare).abs().amax(0)
            key = pictures.load_part_masks(entry)[part]
            inside.append(change[key].mean().item())
            outside.append(change[~pictures.grown(pictures.load_mask(entry), 24)].mean().item())
        assert np.mean(inside) > 6 * np.mean(outside), label


def test_only_seven_classes_have_counterfactuals(test_set):
    entries = [e for e in pictures.entries("look_alikes") if e.kind == "counterfactual"]
    assert {entry.label for entry in entries} == set(KEY_PART)
    assert len(entries) == sum(len(test_set.filter(label=label)) for label in KEY_PART)


def test_the_network_is_good_and_its_doubts_are_about_the_look_alike(test_set, answers):
    classifier = load("look_alikes")
    scores_of, labels = answers
    scores = scores_of("look_alikes")
    assert (scores.argmax(1) == labels).float().mean() >= 0.88
    best, second = scores.topk(2).indices.T
    other = torch.where(best == labels, second, best)
    agreeing = 0
    for label in test_set.classes:
        chosen = labels == classifier.class_index(label)
        favourite = test_set.classes[other[chosen].mode().values.item()]
        agreeing += favourite == PARTNER[label]
    assert agreeing >= 6


def test_the_gap_network_differs_by_its_last_layer_alone_and_is_as_good(answers):
    flat, gap = load("look_alikes"), load("look_alikes_gap")
    assert gap.classes == flat.classes
    ours, theirs = gap.model.features.state_dict(), flat.model.features.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert gap.model.settings["head"] == "gap" and gap.model.head.in_features == 96
    scores_of, labels = answers
    assert (scores_of("look_alikes_gap").argmax(1) == labels).float().mean() >= 0.88


def test_the_network_from_another_seed_is_as_good_and_errs_elsewhere(answers):
    first, second = load("look_alikes"), load("look_alikes_seed1")
    assert second.classes == first.classes
    assert not torch.allclose(first.model.head.weight, second.model.head.weight, atol=1e-3)
    scores_of, labels = answers
    wrong, wrong_too = (scores_of(n).argmax(1) != labels for n in (first.name, second.name))
    assert wrong_too.float().mean() <= 0.12
    assert not torch.equal(wrong, wrong_too)


def test_all_data_is_intact_and_light():
    assert pictures.verify() > 8000
    files = [path for path in pictures.DATA.rglob("*") if path.is_file()]
    shipped = [path for path in files if "progress" not in path.parts]
    assert sum(path.stat().st_size for path in shipped) < 110e6
