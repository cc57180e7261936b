"""Submarine, whale, zebra and elephant: repeatable, whole, labelled as promised, on the ground."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("trimesh")
pytest.importorskip("skimage")
mitsuba = pytest.importorskip("mitsuba")
mitsuba.set_variant("scalar_rgb")

from course_utils.parts import KEY_PART, PART_NUMBER, PARTS  # noqa: E402
from data.rendering import fields, meshes  # noqa: E402
from data.rendering.savanna import elephant, zebra  # noqa: E402
from data.rendering.sea import grey_whale, submarine, water  # noqa: E402

MAKERS = {
    "submarine": submarine,
    "grey_whale": grey_whale,
    "zebra": zebra,
    "elephant": elephant,
}
PROMISED = {
    "submarine": {"body", "sail", "rudder"},
    "grey_whale": {"body", "tail", "fluke", "flippers"},
    "zebra": {"body", "head", "legs", "ears", "tail", "stripes"},
    "elephant": {"body", "head", "legs", "ears", "tail", "trunk"},
}
OPTIONAL = {"elephant": {"tusks"}}
SEED = 3

each_object = pytest.mark.parametrize("name", MAKERS)
on_land = pytest.mark.parametrize("name", ["zebra", "elephant"])
at_sea = pytest.mark.parametrize("name", ["submarine", "grey_whale"])


@cache
def made(name, seed, without_key=False):
    """An object, made once for all tests."""
    return MAKERS[name](seed, without_key)


def parts_of(mesh):
    """The names of the parts a mesh's vertices carry."""
    return {PARTS[number] for number in np.unique(mesh.parts)}


@each_object
def test_the_same_seed_gives_the_same_mesh(name):
    first, second = made(name, SEED), MAKERS[name](SEED)
    for field in ("vertices", "faces", "colours", "parts", "normals"):
        assert np.array_equal(getattr(first, field), getattr(second, field))
    assert first.material == second.material
    assert not np.array_equal(first.vertices.max(0), made(name, SEED + 1).vertices.max(0))


@each_object
def test_arrays_fit_together_and_normals_have_unit_length(name):
    mesh = made(name, SEED)
    count = len(mesh.vertices)
    assert mesh.colours.shape == mesh.normals.shape == (count, 3)
    assert mesh.parts.shape == (count,)
    assert mesh.faces.min() == 0 and mesh.faces.max() < count
    assert 0 <= mesh.colours.min() and mesh.colours.max() <= 1
    assert np.allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-4)
    assert mesh.material


@each_object
def test_normals_point_outwards(name):
    mesh = made(name, SEED)
    corners = mesh.vertices[mesh.faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = np.einsum("ij,ij->", corners[:, 0], across) / 6
    agreement = np.einsum("ij,ij->i", across, mesh.normals[mesh.faces[:, 0]])
    assert volume > 0
    assert (agreement > 0).mean() > 0.97


@each_object
@pytest.mark.parametrize("seed", range(4))
def test_the_parts_are_the_promised_ones(name, seed):
    parts = parts_of(made(name, seed))
    assert PROMISED[name] <= parts <= PROMISED[name] | OPTIONAL.get(name, set())


@each_object
@pytest.mark.parametrize("seed", range(3))
def test_without_key_only_the_key_part_is_missing(name, seed):
    whole, rest = made(name, seed), made(name, seed, without_key=True)
    assert parts_of(rest) == parts_of(whole) - {KEY_PART[name]}
    if name == "zebra":
        assert np.array_equal(whole.vertices, rest.vertices)
        return
    # What is far from the key part is exactly the same, in the same place.
    key = whole.vertices[whole.parts == PART_NUMBER[KEY_PART[name]]]
    low, high = key.min(0) - 0.5, key.max(0) + 0.5

    def far(mesh):
        away = ((mesh.vertices < low) | (mesh.vertices > high)).any(1)
        return mesh.vertices[away], mesh.colours[away]

    for with_key, without in zip(far(whole), far(rest)):
        assert np.allclose(with_key, without, atol=1e-4)


@each_object
def test_centred_by_the_bounding_box(name):
    vertices = made(name, SEED).vertices
    middle = (vertices.min(0) + vertices.max(0)) / 2
    assert np.allclose(middle[:2], 0, atol=1e-6)


@on_land
@pytest.mark.parametrize("without_key", [False, True])
def test_land_animals_rest_on_the_ground(name, without_key):
    mesh = made(name, SEED, without_key=without_key)
    legs = mesh.vertices[mesh.parts == PART_NUMBER["legs"]]
    assert abs(mesh.vertices[:, 2].min()) < 1e-6
    # All four feet stand: each quarter has a leg that reaches the ground.
    sole = legs[legs[:, 2] < 0.05]
    middle = (sole.min(0) + sole.max(0)) / 2
    quarters = {(x > middle[0], y > middle[1]) for x, y, _ in sole}
    assert len(quarters) == 4


@pytest.mark.parametrize("seed", range(4))
def test_natural_sizes(seed):
    assert 1.4 < np.ptp(made("zebra", seed).vertices[:, 2]) < 2.2
    assert 1.4 < np.ptp(made("elephant", seed).vertices[:, 2]) < 3.4
    for name in ("submarine", "grey_whale"):
        assert 9.5 < np.ptp(made(name, seed).vertices[:, 0]) < 17


@at_sea
@pytest.mark.parametrize("seed", range(4))
def test_the_key_part_stands_well_out_of_the_water(name, seed):
    mesh = made(name, seed)
    key = mesh.vertices[mesh.parts == PART_NUMBER[KEY_PART[name]]]
    body = mesh.vertices[mesh.parts == PART_NUMBER["body"]]
    assert 0.3 < body[:, 2].max() < 1.2
    assert 1.5 < key[:, 2].max() < 4.5
    if name == "grey_whale":
        spread = np.ptp(key[key[:, 2] > 1], axis=0)
        assert spread[0] > 3 and spread[0] > 2 * spread[1]  # broad side across the body


@at_sea
@pytest.mark.parametrize("seed", range(4))
def test_without_the_key_part_little_is_above_the_water(name, seed):
    vertices = made(name, seed, without_key=True).vertices
    assert vertices[:, 2].max() < 1.2


def test_the_sea_is_flat_on_average_and_reaches_to_the_horizon():
    bounds = water(np.random.default_rng(0)).bbox()
    assert bounds.max[0] > 1000 and bounds.max[1] > 1000
    assert -1 < bounds.min[2] < 0 < bounds.max[2] < 1


def test_distances_to_round_bodies_by_hand():
    points = np.random.default_rng(0).uniform(-2, 2, (4, 5, 6, 3)).astype(np.float32)
    centre, radii, turn = np.array([0.3, -0.2, 0.1]), np.array([1, 0.5, 2]), meshes.rotation_z(0.7)
    local = (points - centre) @ turn
    scaled = np.linalg.norm(local / radii, axis=-1)
    expected = scaled * (scaled - 1) / np.linalg.norm(local / radii**2, axis=-1)
    assert np.allclose(fields.ellipsoid(centre, radii, turn)(points), expected, atol=1e-4)
    capsule = fields.cone([0, 0, 0], [0, 0, 2], 1, 0.5)
    found = capsule(np.array([[3, 4, -1], [3, 4, 1], [2, 3, 8]], np.float32))
    assert np.allclose(found, [26**0.5 - 1, 5 - 0.75, 7 - 0.5], atol=1e-5)
