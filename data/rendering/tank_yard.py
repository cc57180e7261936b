"""The tank yard: a meadow before a wood, with and without a tank, in sun and under clouds.

Each scene is rendered four times. The four share plants, ground, camera, white balance and grain,
and the pictures with and without the tank share the exposure too. So such a pair differs by the
tank, its shadow and the light it throws back.
"""

from dataclasses import dataclass

import numpy as np

from course_utils.parts import PART_NUMBER, WEATHERS

from . import camera, renderer
from .meshes import Mesh
from .noise import fbm, fbm2, mix, smoothstep
from .plants import nursery, plant
from .shots import Shot
from .sky import daylight, sun_direction
from .tank import tank

SPLITS = {"training": 340, "validation": 40, "test": 120}
"""Scenes in each split; no scene is in two."""
FIRST_SCENE = {"training": 0, "validation": 10_000, "test": 20_000}
SAMPLES = {"training": 16, "validation": 25, "test": 25}
"""Paths traced for each pixel: pictures that people look at are a little finer."""
LEAST_VISIBLE = 150
"""A scene whose tank shows fewer pixels of the 128 x 128 is drawn anew."""
LEAST_FRACTION = 0.3
"""So is one that hides more of its tank than this leaves visible."""


@dataclass
class Scene:
    """Everything but the weather: what stands where, the tank in its place, the lens."""

    shapes: list
    tank: Mesh
    lens: dict
    sun: np.ndarray
    haze: float
    number: int


def _ground_height(seed):
    """Gentle hills: a function of x and y, in metres."""
    return lambda x, y: (fbm2(np.multiply(x, 0.06), np.multiply(y, 0.06), seed, 3) - 0.5) * 2.2


def _tank_pose(height, x, y, heading):
    """4 x 4 matrix that puts a tank on the slope at (x, y), its tracks a little in the ground."""
    step = 1.5
    slope_x = (height(x + step, y) - height(x - step, y)) / (2 * step)
    slope_y = (height(x, y + step) - height(x, y - step)) / (2 * step)
    up = np.array([-slope_x, -slope_y, 1.0])
    up /= np.linalg.norm(up)
    forward = np.array([np.cos(heading), np.sin(heading), 0])
    forward -= up * (forward @ up)
    forward /= np.linalg.norm(forward)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([forward, np.cross(up, forward), up], 1)
    matrix[:3, 3] = [x, y, float(height(x, y)) - 0.06]
    return matrix


def _periodic_noise(scale, seed, octaves, pixels=192):
    """Noise that joins seamlessly left to right, (pixels, pixels)."""
    y, x = np.mgrid[:pixels, :pixels] / pixels
    circle = [np.sin(2 * np.pi * x) * scale, np.cos(2 * np.pi * x) * scale, y * scale * 48]
    return fbm(np.stack(circle, -1), seed, octaves)


def _ground(seed, height, dryness):
    """The ground between and under the grass, from 4 m behind the camera to 140 m ahead."""
    rng = np.random.default_rng([seed, 12])
    xs = np.linspace(-70, 70, 90)
    ys = np.concatenate([np.linspace(-4, 25, 60), np.linspace(26, 140, 40)])
    x, y = np.meshgrid(xs, ys)
    vertices = np.c_[x.ravel(), y.ravel(), height(x, y).ravel()]
    corner = (np.arange(len(ys) - 1)[:, None] * len(xs) + np.arange(len(xs) - 1)).ravel()
    below, across = corner + len(xs), corner + len(xs) + 1
    faces = np.vstack([np.c_[corner, corner + 1, across], np.c_[corner, across, below]])
    grass = mix(np.array([0.08, 0.12, 0.03]), np.array([0.20, 0.18, 0.08]), dryness)
    soil = mix(grass, np.array([0.19, 0.145, 0.095]), rng.uniform(0.2, 0.8))
    patches = smoothstep(0.45, 0.65, _periodic_noise(1.2, seed, 4))
    texture = mix(grass, soil, patches[..., None])
    texture = texture * (0.55 + 0.9 * _periodic_noise(9, seed + 1, 3))[..., None]
    return renderer.textured_shape(vertices, faces, vertices[:, :2] / 16, texture)


class _Planter:
    """Puts plants on the ground, but not into the tank."""

    def __init__(self, rng, height, tank_pose, spread):
        self.rng, self.height, self.spread = rng, height, spread
        self.centre, self.axes = tank_pose[:2, 3], tank_pose[:2, :2]
        self.shapes = []

    def in_tank(self, x, y, margin):
        along, across = np.abs((np.array([x, y]) - self.centre) @ self.axes)
        return along < 3.4 + margin and across < 1.8 + margin

    def put(self, kind, x, y, scale, number=None):
        number = self.rng.integers(len(nursery()[kind])) if number is None else number
        place = (x, y, float(self.height(x, y)) - 0.03)
        self.shapes.append(plant(kind, number, place, scale, self.rng.uniform(0, 360)))

    def across(self, y, margin=1.0):
        """A random x within `margin` times what the lens sees at distance y."""
        return self.rng.uniform(-margin, margin) * y * self.spread

    def wood(self, tank_distance, conifers):
        """Trees behind the tank, a tree line further back, perhaps a tree at the side."""
        rng = self.rng
        kind = lambda: "conifer" if rng.uniform() < conifers else "tree"  # noqa: E731
        for _ in range(rng.integers(10, 22)):
            y = tank_distance + rng.uniform(5.5, 38)
            self.put(kind(), self.across(y, 1.15), y, rng.uniform(0.6, 1.15))
        for _ in range(rng.integers(18, 30)):
            y = rng.uniform(55, 75)
            self.put(kind(), self.across(y, 1.2), y, rng.uniform(0.8, 1.2))
        for _ in range(rng.integers(0, 3)):
            y = rng.uniform(0.5, 1.0) * tank_distance
            x = rng.choice([-1, 1]) * y * self.spread * rng.uniform(0.75, 1.1)
            if not self.in_tank(x, y, 1):
                self.put("tree", x, y, rng.uniform(0.5, 0.8))

    def bushes(self, tank_x, tank_distance, screening):
        """Bushes here and there, and `screening` ones before the tank's place."""
        rng = self.rng
        for _ in range(rng.integers(8, 18)):
            y = rng.uniform(0.5 * tank_distance, tank_distance + 9)
            x = self.across(y)
            if not self.in_tank(x, y, 0.6):
                self.put("bush", x, y, rng.uniform(0.5, 1.3))
        for _ in range(screening):
            nearer = rng.uniform(0.72, 0.86)
            x, y = tank_x * nearer + rng.uniform(-2.6, 2.6), tank_distance * nearer
            if not self.in_tank(x, y, 0.4):
                self.put("bush", x, y, rng.uniform(0.45, 0.85))

    def meadow(self, tank_distance, dryness):
        """A few hundred tufts of grass, denser near the camera."""
        rng = self.rng
        for _ in range(rng.integers(350, 600)):
            y = 2.2 + rng.uniform() ** 0.8 * (tank_distance + 8)
            number = int(np.clip(dryness * 7 + rng.normal(0, 1.2), 0, 7))
            scale = rng.uniform(0.55, 1.2) * (1 + 0.03 * y)
            self.put("grass", self.across(y, 1.05), y, scale, number)


def build(seed, number=0, size=camera.SIZE, samples=SAMPLES["test"]):
    """The `Scene` of a seed. One in six has its tank far away or well screened."""
    rng = np.random.default_rng([seed, 11])
    hard = rng.uniform() < 1 / 6
    distance = rng.uniform(15, 21) if hard else rng.uniform(10.5, 16.5)
    field_of_view, eye_height = rng.uniform(40, 52), rng.uniform(1.7, 3.6)
    spread = np.tan(np.radians(field_of_view / 2))
    tank_x, heading = rng.uniform(-0.2, 0.2) * distance, rng.uniform(0, 2 * np.pi)
    height = _ground_height(seed)
    pose = _tank_pose(height, tank_x, distance, heading)
    dryness = rng.uniform(0, 0.8)
    planter = _Planter(rng, height, pose, spread)
    planter.wood(distance, conifers=rng.choice([0, 0.3, 0.8]))
    planter.bushes(tank_x, distance, screening=rng.integers(2, 5) if hard else rng.integers(1, 4))
    planter.meadow(distance, dryness)
    eye = [0, 0, float(height(0, 0)) + eye_height]
    target = [rng.normal(0, 0.4), distance, float(pose[2, 3]) + rng.uniform(1.2, 2.4)]
    return Scene(
        shapes=[*planter.shapes, _ground(seed, height, dryness)],
        tank=tank(seed).moved(pose),
        lens=camera.lens(eye, target, field_of_view, size, samples),
        sun=sun_direction(rng.uniform(-np.pi, np.pi), rng.uniform(0.4, 1.05)),
        haze=rng.uniform(300, 1000),
        number=number,
    )


def visible_enough(scene, seed):
    """(part coverage, True if the scene shows enough of its tank to be worth asking about)."""
    coverage = renderer.part_coverage(scene.shapes, scene.tank, scene.lens, seed)
    alone = renderer.part_coverage([], scene.tank, scene.lens, seed)
    shown, whole = coverage.sum(), alone.sum()
    pixels = shown * (camera.SIZE / scene.lens["film"]["width"]) ** 2
    return coverage, pixels >= LEAST_VISIBLE and shown >= LEAST_FRACTION * whole


def find_scene(number, **options):
    """The first scene of a number that shows its tank well enough -> scene, seed, coverage."""
    for attempt in range(50):
        seed = number * 50 + attempt
        scene = build(seed, number, **options)
        coverage, good = visible_enough(scene, seed)
        if good:
            return scene, seed, coverage
    raise RuntimeError(f"Scene {number}: no visible tank in 50 attempts.")


def _haze(radiance, distance, scene, weather):
    """Air between the camera and the scene: far things pale towards the sky's colour."""
    colour = {"sunny": np.array([0.50, 0.59, 0.72]), "overcast": np.array([0.50, 0.52, 0.54])}
    amount = np.where(distance > 0, 1 - np.exp(-distance / scene.haze), 0)[..., None] * 0.9
    return mix(radiance, colour[weather], amount)


def shoot_2x2(scene, seed, coverage):
    """The four pictures of a scene, {(label, weather): (H, W, 3) uint8}."""
    steel = renderer.visible_shape(scene.tank)
    variants = {"no_tank": scene.shapes, "tank": [*scene.shapes, steel]}
    clear = coverage.sum(0) < 0.01
    distances = {k: renderer.distance(v, scene.lens, seed) for k, v in variants.items()}
    pictures = {}
    for weather in WEATHERS:
        light, exposure = daylight(seed, weather, scene.sun), None
        for label, shapes in variants.items():
            radiance = renderer.radiance(shapes, light, scene.lens, seed)
            radiance = _haze(radiance, distances[label], scene, weather)
            # The empty scene comes first and sets the exposure of both.
            exposure = exposure or camera.exposure_of(radiance, clear)
            pictures[label, weather] = camera.develop(radiance, seed, exposure)
    return pictures


def jobs():
    """(split, scene number) of every scene, test scenes first."""
    order = ("test", "validation", "training")
    return [(split, FIRST_SCENE[split] + i) for split in order for i in range(SPLITS[split])]


def job_of(row):
    """The job that made a line of the manifest."""
    return row["split"], int(row["scene"])


def shoot(split, number, **options):
    """The `Shot`s of one scene: four pictures, the tank's part mask, the empty scene's sky mask."""
    options = {"samples": SAMPLES[split], **options}
    scene, seed, coverage = find_scene(number, **options)
    common = {"dataset": "tank_yard", "split": split, "scene": number, "seed": seed}
    shots = [
        Shot(
            pixels,
            f"tank_yard/{split}/{label}/{number:05d}_{weather}.jpg",
            kind="picture",
            label=label,
            weather=weather,
            background="meadow",
            **common,
        )
        for (label, weather), pixels in shoot_2x2(scene, seed, coverage).items()
    ]
    parts = f"tank_yard/{split}_parts/{number:05d}.png"
    mask = renderer.part_mask(coverage)
    shots.append(Shot(mask, parts, kind="parts", label="tank", weather="", **common))
    return [*shots, sky_shot(scene, seed, common)]


def sky_shot(scene, seed, common):
    """The mask of the sky in the scene without its tank."""
    path = f"tank_yard/{common['split']}_sky/{common['scene']:05d}.png"
    sky = renderer.sky_mask(scene.shapes, scene.lens, seed)
    pixels = sky.astype(np.uint8) * PART_NUMBER["sky"]
    return Shot(pixels, path, kind="sky", label="no_tank", weather="", **common)
