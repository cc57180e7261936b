"""The look-alikes: matched scenes whose two pictures differ by the object alone."""

from collections import Counter

import numpy as np
import pytest

mitsuba = pytest.importorskip("mitsuba")
mitsuba.set_variant("scalar_rgb")

from course_utils.parts import KEY_PART, PART_NUMBER  # noqa: E402
from data.rendering import look_alikes  # noqa: E402
from data.rendering.look_alikes import CLASSES, PAIRS, SPLITS, body_number, jobs  # noqa: E402

SIZE = 48
BALLS, PETS = 0, 4


def small_shots(split="test", pair_number=BALLS, scene_number=20_000):
    return look_alikes.shoot(split, pair_number, scene_number, samples=4, size=SIZE)


@pytest.fixture(scope="module")
def shots():
    return small_shots()


def pictures(shots):
    return [shot for shot in shots if shot.kind == "picture"]


def test_ten_classes_in_five_pairs():
    assert len(CLASSES) == 10
    assert [label for pair in PAIRS for label in pair] == list(CLASSES)


def test_jobs_counts_and_order():
    counts = Counter((split, pair_number) for split, pair_number, _ in jobs())
    assert counts == {(split, pair): SPLITS[split] for split in SPLITS for pair in range(5)}
    assert len(set(jobs())) == len(jobs())
    splits = [split for split, _, _ in jobs()]
    assert splits == sorted(splits, key=["test", "validation", "training"].index)
    assert {pair_number for _, pair_number, _ in jobs()[:25]} == set(range(5))


def test_no_scene_and_no_body_is_in_two_splits():
    scenes, bodies = {}, {}
    for split, pair_number, scene_number in jobs():
        scenes.setdefault(split, set()).add(scene_number)
        body = pair_number, body_number(split, pair_number, scene_number)
        bodies.setdefault(split, set()).add(body)
    for numbers in (scenes, bodies):
        assert len(set.union(*numbers.values())) == sum(map(len, numbers.values()))


def test_five_training_scenes_in_a_row_share_an_animal():
    tasks = [job for job in jobs() if job[0] == "training" and job[1] == 4]
    for start in range(0, len(tasks), 5):
        assert len({body_number(*job) for job in tasks[start : start + 5]}) == 1
    assert len({body_number(*job) for job in tasks}) >= 60


def test_a_test_scene_delivers_all_its_shots(shots):
    kinds = Counter((shot.kind, shot.label) for shot in shots)
    for label in PAIRS[BALLS]:
        assert kinds["picture", label] == kinds["parts", label] == 1
        assert kinds["counterfactual", label] == (label in KEY_PART)
    assert len({shot.path for shot in shots}) == len(shots)
    assert len({shot.seed for shot in shots}) == 1
    for shot in shots:
        assert shot.pixels.dtype == np.uint8
        assert shot.pixels.shape == ((SIZE, SIZE) if shot.kind == "parts" else (SIZE, SIZE, 3))
        assert shot.label in shot.path
        assert shot.removed == (KEY_PART[shot.label] if shot.kind == "counterfactual" else "")


def test_masks_show_the_key_part(shots):
    for shot in shots:
        if shot.kind == "parts" and shot.label in KEY_PART:
            assert (shot.pixels == PART_NUMBER[KEY_PART[shot.label]]).any()


def test_a_pair_is_equal_away_from_its_objects(shots):
    either = sum(shot.pixels > 0 for shot in shots if shot.kind == "parts") > 0
    rows, columns = np.nonzero(either)
    away = np.ones((SIZE, SIZE), bool)
    margin = 6  # shadows and reflected light reach beyond the objects
    away[
        max(rows.min() - margin, 0) : rows.max() + margin,
        max(columns.min() - margin, 0) : columns.max() + margin,
    ] = False
    first, second = (shot.pixels.astype(float) for shot in pictures(shots))
    assert away.any()
    assert np.abs(first - second)[away].mean() < 0.5 * np.abs(first - second)[~away].mean()
    assert np.abs(first - second)[away].mean() < 12


def test_same_seed_same_picture(shots):
    again = small_shots()
    for shot, other in zip(shots, again):
        assert shot.row() == other.row()
        np.testing.assert_array_equal(shot.pixels, other.pixels)


def test_pets_have_no_counterfactual():
    shots = small_shots(pair_number=PETS)
    assert Counter(shot.kind for shot in shots) == {"picture": 2, "parts": 2}
