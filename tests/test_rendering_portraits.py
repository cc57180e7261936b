"""Portraits: whole pictures and their variants agree wherever the change is not seen."""

from collections import Counter
from functools import cache

import numpy as np
import pytest

mitsuba = pytest.importorskip("mitsuba")
mitsuba.set_variant("scalar_rgb")

from course_utils.parts import PART_NUMBER, PORTRAIT_PARTS  # noqa: E402
from data.rendering import balls, fruit, look_alikes, portraits, savanna, sea  # noqa: E402
from data.rendering.portraits import BLOCK, KINDS, SPLITS, UNCHANGED, jobs  # noqa: E402

SIZE = 96
NUMBER = 40_000


@pytest.fixture(scope="module")
def shots():
    return portraits.shoot("test", "submarine", NUMBER, samples=4, size=SIZE)


@pytest.fixture(scope="module")
def room():
    """The darkroom of the same scene, with its whole picture developed."""
    mesh = portraits._body("submarine", NUMBER)
    portrait, seed, _ = portraits.find_portrait("submarine", "test", NUMBER, samples=4, size=SIZE)
    return portraits._Darkroom(portrait, seed, mesh)


@cache
def natural(creator):
    """A whole natural object, made once for all tests."""
    return creator(3, natural=True)


def variants(shots):
    return {
        shot.path.split(f"{NUMBER}_")[1][:-4]: shot.pixels
        for shot in shots
        if shot.kind == "variant"
    }


def unchanged(pixels):
    """Which blocks of a variant are as in the portrait, (H / 8, W / 8)."""
    count = SIZE // BLOCK
    blocks = pixels.reshape(count, BLOCK, count, BLOCK, 3)
    return (blocks == UNCHANGED).all(axis=(1, 3, 4))


def test_every_class_has_its_parts():
    assert list(KINDS) == list(PORTRAIT_PARTS)
    for places in PORTRAIT_PARTS.values():
        assert all(part in PART_NUMBER for parts in places.values() for part in parts)


def test_jobs_take_turns():
    counts = Counter((split, label) for split, label, _ in jobs())
    assert counts == {(split, label): SPLITS[split] for split in SPLITS for label in KINDS}
    assert len(set(jobs())) == len(jobs())
    assert [label for _, label, _ in jobs()[:8]] == list(KINDS)
    assert {split for split, _, _ in jobs()[:32]} == set(SPLITS)


def test_scene_numbers_are_of_one_split():
    by_split = {}
    for split, _, number in jobs():
        by_split.setdefault(split, set()).add(number)
    assert not by_split["test"] & by_split["validation"]


def test_a_test_scene_delivers_all_its_shots(shots):
    assert [shot.kind for shot in shots[:2]] == ["picture", "parts"]
    wanted = {f"without_{part.replace(' ', '_')}" for part in PORTRAIT_PARTS["submarine"]}
    assert set(variants(shots)) == wanted | {"without_object", "with_fluke", "elsewhere"}
    assert len({shot.path for shot in shots}) == len(shots)
    removed = [shot.removed for shot in shots if "without" in shot.path]
    assert removed == ["object", *PORTRAIT_PARTS["submarine"]]
    for shot in shots:
        assert shot.pixels.shape[:2] == (SIZE, SIZE)
        assert shot.pixels.dtype == np.uint8


def test_a_variant_changes_where_its_part_is(shots):
    mask = next(shot.pixels for shot in shots if shot.kind == "parts")
    for part, places in PORTRAIT_PARTS["submarine"].items():
        same = unchanged(variants(shots)[f"without_{part}"])
        count = SIZE // BLOCK
        here = np.isin(mask, [PART_NUMBER[name] for name in places])
        here = here.reshape(count, BLOCK, count, BLOCK).sum((1, 3)) > 0
        assert not same[here].all(), part
        assert same.mean() > 0.5, part
        assert same[0].all(), f"{part}: the sky above"


def test_a_tile_is_the_same_in_every_scene_that_shows_the_same(room):
    bare = room._view(None, room.portrait.shapes, [], room.portrait.emitters)
    np.testing.assert_array_equal(bare.render(0, 0), room.tiles[0, 0])  # sky
    assert np.abs(bare.render(1, 1) - room.tiles[1, 1]).max() > 0  # the hull is gone


def test_a_tiled_variant_is_what_a_whole_render_gives(shots, room):
    """Tiles that were not rendered again would not have changed visibly."""
    bare, portrait = portraits._body("submarine", NUMBER, ("sail",)), room.portrait
    view = room._view(bare, portrait.shapes, portrait.beside, portrait.emitters)
    tiles = {place: view.render(*place) for place in room.tiles}
    everything = room._developed(room._assembled(tiles), room.exposure)
    fewer = room.variant(bare)
    ours, theirs = (portraits.changes_only(pixels, room.whole) for pixels in (fewer, everything))
    np.testing.assert_array_equal(room.whole, shots[0].pixels)
    assert (unchanged(ours) == unchanged(theirs)).mean() > 0.97


def test_changes_only_keeps_whole_blocks():
    whole = np.random.default_rng(0).integers(0, 100, (SIZE, SIZE, 3)).astype(np.uint8)
    pixels = whole.copy()
    pixels[20:22, 20:22] += 90
    kept = portraits.changes_only(pixels, whole)
    assert unchanged(kept).sum() == (SIZE // BLOCK) ** 2 - 1
    np.testing.assert_array_equal(kept[16:24, 16:24], pixels[16:24, 16:24])


@pytest.mark.parametrize(
    ("creator", "part", "extent"),
    [
        (fruit.pineapple, "crown", 2),
        (fruit.custard_apple, "stem", 2),
        (savanna.zebra, "ears", 2),
        (savanna.elephant, "trunk", 0),
        (sea.submarine, "sail", 2),
        (sea.grey_whale, "fluke", 2),
    ],
)
def test_a_part_is_left_out_alone(creator, part, extent):
    whole = natural(creator)
    bare = creator(3, natural=True, without=(part,))
    number = PART_NUMBER[part]
    assert (whole.parts == number).any() and not (bare.parts == number).any()
    assert np.ptp(bare.vertices[:, extent]) < np.ptp(whole.vertices[:, extent]) - 0.004
    others = set(whole.parts) - {number}
    if part == "sail":
        others -= {PART_NUMBER["masts"], PART_NUMBER["planes"]}
    assert others == set(bare.parts)


@pytest.mark.parametrize("creator", [balls.basketball, balls.volleyball])
def test_an_oval_ball_rests_where_the_round_one_does(creator):
    whole, oval = natural(creator), creator(3, natural=True, without=("roundness",))
    assert oval.vertices[:, 2].min() == pytest.approx(whole.vertices[:, 2].min(), abs=1e-3)
    assert np.ptp(oval.vertices[:, 0]) > 1.2 * np.ptp(oval.vertices[:, 2])
    np.testing.assert_array_equal(whole.colours, oval.colours)


@pytest.mark.parametrize("creator", [balls.basketball, balls.volleyball])
def test_a_ball_without_its_colours_keeps_its_shape(creator):
    whole, pale = natural(creator), creator(3, natural=True, without=("colours",))
    np.testing.assert_array_equal(whole.vertices, pale.vertices)
    body = whole.parts == PART_NUMBER["body"]
    assert np.ptp(pale.colours[body].mean(axis=0)) < np.ptp(whole.colours[body].mean(axis=0))


@pytest.mark.parametrize(("creator", "addition", "part"), [
    (savanna.zebra, "trunk", "trunk"), (sea.submarine, "fluke", "fluke"),
])  # fmt: skip
def test_an_addition_leaves_the_rest_in_place(creator, addition, part):
    whole, more = natural(creator), creator(3, natural=True, **{addition: True})
    number = PART_NUMBER[part]
    assert (more.parts == number).any() and not (whole.parts == number).any()
    legs = "legs" if creator is savanna.zebra else "rudder"
    place = PART_NUMBER[legs]
    np.testing.assert_array_equal(
        whole.vertices[whole.parts == place].min(0), more.vertices[more.parts == place].min(0)
    )


def test_the_natural_look_is_an_option():
    """Without it the look-alikes' objects are as they were; see also their own tests."""
    for label, kind in KINDS.items():
        plain, other = look_alikes.CREATORS[label](3), natural(kind.creator)
        assert plain.vertices.shape != other.vertices.shape or (
            np.abs(plain.colours - other.colours).max() > 0.01
        )
