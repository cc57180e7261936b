"""The renderer of the tank yard, on tiny pictures."""

import numpy as np
import pytest

mitsuba = pytest.importorskip("mitsuba", reason="rendering needs: pip install -e .[render]")
pytest.importorskip("trimesh")
mitsuba.set_variant("scalar_rgb")

from course_utils.parts import PART_NUMBER  # noqa: E402
from data.rendering import camera, command, noise, tank_yard  # noqa: E402
from data.rendering.tank import tank  # noqa: E402


@pytest.fixture(scope="module")
def shots():
    return tank_yard.shoot("test", 7, size=32, samples=4)


def test_a_scene_gives_four_pictures_and_two_masks(shots):
    assert [shot.kind for shot in shots] == ["picture"] * 4 + ["parts", "sky"]
    conditions = {(shot.label, shot.weather) for shot in shots[:4]}
    assert conditions == {(a, b) for a in ("tank", "no_tank") for b in ("sunny", "overcast")}
    assert all(shot.pixels.shape == (32, 32, 3) for shot in shots[:4])
    assert all(shot.pixels.dtype == np.uint8 for shot in shots)
    assert len({shot.path for shot in shots}) == 6


def test_masks_hold_known_parts(shots):
    parts, sky = shots[4].pixels, shots[5].pixels
    tank_parts = {PART_NUMBER[name] for name in ("hull", "turret", "gun", "tracks")}
    assert set(np.unique(parts)) <= {0} | tank_parts
    assert (parts > 0).sum() > 5
    assert set(np.unique(sky)) == {0, PART_NUMBER["sky"]}


def test_a_pair_differs_at_the_tank(shots):
    by_condition = {(s.label, s.weather): s.pixels.astype(int) for s in shots[:4]}
    change = by_condition["tank", "overcast"] - by_condition["no_tank", "overcast"]
    change = np.abs(change).max(-1)
    inside = shots[4].pixels > 0
    assert change[inside].mean() > 10 * change[:8].mean()


def test_same_seed_same_picture(shots):
    again = tank_yard.shoot("test", 7, size=32, samples=4)
    for first, second in zip(shots, again):
        assert np.array_equal(first.pixels, second.pixels)
        assert first.row() == second.row()


def test_no_scene_is_in_two_splits():
    jobs = tank_yard.jobs()
    assert len(jobs) == len({number for _, number in jobs}) == sum(tank_yard.SPLITS.values())


def test_a_tank_stands_on_the_ground_and_has_its_parts():
    mesh = tank(3)
    assert -0.05 < mesh.vertices[:, 2].min() < 0.1
    assert set(mesh.parts) == {PART_NUMBER[n] for n in ("hull", "turret", "gun", "tracks")}
    assert np.array_equal(mesh.vertices, tank(3).vertices)
    assert not np.array_equal(mesh.vertices.shape, tank(4).vertices.shape)


def test_develop_depends_on_the_seed_and_the_radiance_alone():
    radiance = np.random.default_rng(0).uniform(0, 1, (16, 16, 3))
    first, again = (camera.develop(radiance, 5, exposure=0.4) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, camera.develop(radiance, 6, exposure=0.4))


def test_noise_is_smooth_seeded_and_bounded():
    points = np.random.default_rng(0).uniform(-50, 50, (500, 3))
    values = noise.fbm(points, seed=3)
    assert values.min() >= 0 and values.max() <= 1 and values.std() > 0.05
    assert np.array_equal(values, noise.fbm(points, seed=3))
    assert np.abs(noise.fbm(points + 1e-4, seed=3) - values).max() < 0.02


def hash_by_hand(cell, seed):
    """The hash of one cell in Python's whole numbers, which don't wrap."""
    numbers = zip((*cell, seed), (374761393, 668265263, 2147483647, 1274126177))
    h = sum(int(number) * factor for number, factor in numbers) % 2**32
    h = (h ^ (h >> 13)) * 1274126177 % 2**32
    h = (h ^ (h >> 16)) * 2246822519 % 2**32
    return ((h ^ (h >> 13)) % 2**24) / (2**24 - 1)


def test_noise_goes_from_the_number_of_one_cell_to_the_next():
    cells = np.random.default_rng(0).integers(-1000, 1000, (50, 3))
    for seed in (3, 999_999):
        numbers = np.array([hash_by_hand(cell, seed) for cell in cells])
        assert np.array_equal(noise.cell_hash(*cells.T, seed), numbers)
        assert np.array_equal(noise.value_noise(cells, seed), numbers)
        assert np.allclose(noise.value_noise(cells - 1e-6, seed), numbers, atol=1e-6)
    corners = cells[0] + list(np.ndindex(2, 2, 2))
    middle = noise.value_noise(cells[0] + 0.5, seed)
    assert np.isclose(middle, np.mean([hash_by_hand(corner, seed) for corner in corners]))


def test_masks_are_written_as_palette_png(shots, tmp_path):
    from PIL import Image

    path = tmp_path / "mask.png"
    path.write_bytes(command.encode(shots[4]))
    image = Image.open(path)
    assert image.mode == "P"
    assert np.array_equal(np.array(image), shots[4].pixels)
