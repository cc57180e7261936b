"""Dogs and cats: one mesh a seed, all parts present, on the ground."""

from functools import cache

import numpy as np
import pytest

pytest.importorskip("trimesh")
pytest.importorskip("mitsuba")

from course_utils.parts import PART_NUMBER
from data.rendering import pets

PET_PARTS = {PART_NUMBER[p] for p in ("body", "head", "legs", "ears", "muzzle", "tail")}


@cache
def dog(seed):
    """A dog, made once for all tests."""
    return pets.dog(seed)


@cache
def cat(seed):
    """A cat, made once for all tests."""
    return pets.cat(seed)


SPECIES = pytest.mark.parametrize("species", [dog, cat])


@SPECIES
def test_same_seed_same_mesh(species):
    first, second = species(3), getattr(pets, species.__name__)(3)
    for name in ("vertices", "faces", "colours", "parts", "normals"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@SPECIES
def test_different_seeds_different_bodies(species):
    sizes = {species(seed).vertices.shape for seed in range(4)}
    assert len(sizes) == 4


def test_dog_and_cat_of_one_seed_differ():
    assert dog(1).vertices.shape != cat(1).vertices.shape


@SPECIES
@pytest.mark.parametrize("seed", range(6))
def test_a_whole_animal_on_the_ground(species, seed):
    mesh = species(seed)
    assert set(np.unique(mesh.parts)) == PET_PARTS
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    assert low[2] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose((low + high)[:2], 0, atol=1e-9)
    assert 0.25 < high[2] < 1.2
    assert mesh.colours.min() >= 0 and mesh.colours.max() <= 1
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-3)


@SPECIES
@pytest.mark.parametrize("seed", range(4))
def test_the_face_looks_forward(species, seed):
    mesh = species(seed)
    muzzle = mesh.vertices[mesh.parts == PART_NUMBER["muzzle"]].mean(0)
    tail = mesh.vertices[mesh.parts == PART_NUMBER["tail"]].mean(0)
    assert muzzle[0] > tail[0] + 0.1


@SPECIES
def test_normals_point_outwards(species):
    mesh = species(2)
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    assert np.mean(np.einsum("ij,ij->i", flat, mesh.normals[mesh.faces[:, 0]]) > 0) > 0.95
    assert np.einsum("ij,ij->", a, flat) > 0
