"""Balls and fruit: same seed, same mesh; the key part goes and nothing else changes."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("trimesh")
pytest.importorskip("mitsuba").set_variant("scalar_rgb")

from course_utils.parts import PART_NUMBER, PARTS  # noqa: E402
from data.rendering import balls, fruit  # noqa: E402

FUNCTIONS = {
    "basketball": balls.basketball,
    "volleyball": balls.volleyball,
    "pineapple": fruit.pineapple,
    "custard_apple": fruit.custard_apple,
}
CREATORS = {name: cache(function) for name, function in FUNCTIONS.items()}
"""Each mesh is made once for all tests."""
KEYED = {"basketball": "seams", "volleyball": "seams", "pineapple": "crown"}
SEEDS = range(4)


def parts_of(mesh):
    """The names of the parts that a mesh has."""
    return {PARTS[number] for number in np.unique(mesh.parts)}


def body_of(mesh):
    """The vertices of the part "body"."""
    return mesh.vertices[mesh.parts == PART_NUMBER["body"]]


@pytest.mark.parametrize("name", CREATORS)
def test_same_seed_same_mesh(name):
    first, again, other = CREATORS[name](3), FUNCTIONS[name](3), CREATORS[name](4)
    for attribute in ("vertices", "faces", "colours", "parts", "normals"):
        np.testing.assert_array_equal(getattr(first, attribute), getattr(again, attribute))
    assert first.material == again.material
    assert not np.array_equal(first.vertices[:100], other.vertices[:100])


@pytest.mark.parametrize("name", CREATORS)
def test_meshes_are_well_formed_and_of_natural_size(name):
    for seed in SEEDS:
        mesh = CREATORS[name](seed)
        assert mesh.colours.shape == mesh.normals.shape == mesh.vertices.shape
        assert mesh.faces.max() < len(mesh.vertices) == len(mesh.parts)
        assert 0 < mesh.colours.min() and mesh.colours.max() < 0.9
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-3)
        assert set(mesh.material) == {"roughness", "specular"}
        assert 0.1 < np.ptp(mesh.vertices[:, 2]) < 0.4


@pytest.mark.parametrize("name", CREATORS)
def test_rests_on_the_ground_in_the_middle(name):
    for seed in SEEDS:
        mesh = CREATORS[name](seed)
        body = body_of(mesh)
        assert abs(mesh.vertices[:, 2].min()) < 1e-3
        assert np.abs(body.min(0) + body.max(0))[:2].max() < 3e-3


@pytest.mark.parametrize("name", KEYED)
def test_parts_are_the_key_and_the_body(name):
    for seed in SEEDS:
        assert parts_of(CREATORS[name](seed)) == {KEYED[name], "body"}


def test_custard_apples_have_a_stem_or_none():
    found = [parts_of(CREATORS["custard_apple"](seed)) for seed in range(15)]
    assert {"body", "stem"} in found and {"body"} in found
    assert all(parts <= {"body", "stem"} for parts in found)


@pytest.mark.parametrize("name", KEYED)
def test_without_key_only_the_key_is_gone(name):
    for seed in SEEDS:
        whole, bare = CREATORS[name](seed), CREATORS[name](seed, without_key=True)
        assert parts_of(bare) == {"body"}
        assert whole.material == bare.material
        # Balls keep all their vertices, the pineapple's body comes first.
        vertices = whole.vertices[: len(bare.vertices)]
        moved = np.linalg.norm(vertices - bare.vertices, axis=1)
        if name == "pineapple":
            assert moved.max() == 0
            np.testing.assert_array_equal(whole.colours[: len(bare.vertices)], bare.colours)
        else:
            assert moved.max() < 0.004  # the depth of the deepest groove
        np.testing.assert_allclose(body_of(whole).min(0), bare.vertices.min(0), atol=1e-3)
        np.testing.assert_allclose(body_of(whole).max(0), bare.vertices.max(0), atol=1e-3)


@pytest.mark.parametrize("name", ["basketball", "volleyball"])
def test_a_ball_without_seams_keeps_the_colour_beside_them(name):
    plain = 0
    for seed in range(12):
        whole, bare = CREATORS[name](seed), CREATORS[name](seed, without_key=True)
        far = np.linalg.norm(whole.vertices - bare.vertices, axis=1) < 1e-6
        plain += np.allclose(whole.colours[far], bare.colours[far], atol=1e-6)
    assert plain >= 6  # the others have coloured panels, which go with the seams


def test_the_custard_apple_has_no_key_part():
    with pytest.raises(ValueError, match="no key part"):
        fruit.custard_apple(1, without_key=True)


def test_what_does_not_tell_the_classes_apart():
    """Both kinds of ball draw colours and line widths from one distribution; so nearly do fruit."""
    share = {name: [] for name in CREATORS}
    for name in CREATORS:
        for seed in range(25):
            if name in ("basketball", "volleyball"):
                mesh = CREATORS[name](seed, without_key=True)
            else:
                mesh = CREATORS[name](seed)
            body = mesh.colours[mesh.parts == PART_NUMBER["body"]].mean(0)
            share[name].append(body)
    for first, second in (("basketball", "volleyball"), ("pineapple", "custard_apple")):
        a, b = np.array(share[first]), np.array(share[second])
        spread = np.sqrt((a.var(0) + b.var(0)) / 2)
        assert (np.abs(a.mean(0) - b.mean(0)) / spread).max() < 0.8
