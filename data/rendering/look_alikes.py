"""The look-alikes: ten classes in five pairs that a network confuses.

Scenes come in matched pairs: both classes of a pair stand in the same place, equally large, before
the same background and beside the same other things, in the same light and before the same lens.
So nothing but the object itself tells the class. Test pictures also come without the object's key
part (its crown, seams, stripes ...).
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import mitsuba as mi
import numpy as np

from course_utils.parts import KEY_PART, PAIRS, PART_NUMBER

from . import balls, camera, distractors, fruit, pets, renderer, rooms, savanna, sea
from .meshes import Mesh, piece, pose, rotation_z
from .noise import fbm2, mix
from .plants import grass_tuft, nursery, plant
from .shots import Shot
from .sky import daylight, environment, room_map, sun_direction

CREATORS = {
    "basketball": balls.basketball,
    "volleyball": balls.volleyball,
    "pineapple": fruit.pineapple,
    "custard_apple": fruit.custard_apple,
    "submarine": sea.submarine,
    "grey_whale": sea.grey_whale,
    "zebra": savanna.zebra,
    "elephant": savanna.elephant,
    "dog": pets.dog,
    "cat": pets.cat,
}
CLASSES = tuple(label for pair in PAIRS for label in pair)

SPLITS = {"training": 300, "validation": 50, "test": 60}
"""Matched scenes of each pair in each split; no scene and no body is in two splits."""
FIRST_SCENE = {"training": 0, "validation": 10_000, "test": 20_000}
TRAINING_BODIES = (300, 300, 300, 60, 60)
"""Different bodies of each class in training. Animals take long to make and come five times."""

STAGE_SIZE = (0.24, 0.16, 13.0, 2.6, 0.65)
"""How large both objects of a pair are made, in metres: width or height as seen, the larger one.

A crown does not count, or else pineapples would be told by their small bodies.
"""
FILL = ((0.45, 0.74), (0.62, 0.86), (0.5, 0.78), (0.45, 0.74), (0.45, 0.74))
"""How much of the frame a pair fills: least and most."""
PLACES = (
    {"room": 0.5, "lawn": 0.3, "yard": 0.2},
    {"table": 0.7, "lawn": 0.18, "yard": 0.12},
    {"sea": 1.0},
    {"savanna": 1.0},
    {"room": 0.55, "lawn": 0.45},
)
"""Where the pairs are seen, and how often."""
ELEVATION = {
    "room": (0.1, 0.5),
    "table": (0.12, 0.6),
    "lawn": (0.1, 0.45),
    "yard": (0.08, 0.5),
    "sea": (0.08, 0.29),
    "savanna": (0.03, 0.2),
}
"""The camera's angle above the object, in radians: lowest and highest."""
TEST_SAMPLES = {"room": 36, "table": 36, "yard": 25, "lawn": 25, "savanna": 25, "sea": 16}
SAMPLES = 16
"""Paths traced for each pixel, in test pictures (which people look at) and in the others."""
MASK_POINTS = {"test": 4, "validation": 4, "training": 2}
"""Part masks look at so many times so many points of a pixel."""
LEAST_KEY_PIXELS = {"seams": 60, "stripes": 60, "crown": 30, "sail": 30, "fluke": 30, "trunk": 30}
"""A scene that shows fewer pixels (of 128 x 128) of a key part is drawn anew."""
LEAST_PIXELS = {"submarine": 350, "grey_whale": 350}
LEAST_PIXELS_ELSEWHERE = 1200
"""Likewise for the whole object."""


@dataclass
class View:
    """A camera at `origin` that looks at `target` (metres) with a `field_of_view` in degrees."""

    origin: np.ndarray
    target: np.ndarray
    field_of_view: float

    @property
    def spread(self):
        """Half the frame's width at distance 1."""
        return np.tan(np.radians(self.field_of_view / 2))

    def project(self, points):
        """Where `points` (N, 3) appear, (N, 2): right and up, the frame's edges at -1 and 1."""
        forward = self.target - self.origin
        forward = forward / np.linalg.norm(forward)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        up = np.cross(right, forward)
        offset = points - self.origin
        ahead = np.maximum(offset @ forward, 1e-3) * self.spread
        return np.c_[offset @ right / ahead, offset @ up / ahead]


@dataclass
class Scene:
    """A stage for both objects of a pair: `matrices` put them there, in the order of the pair."""

    matrices: list
    shapes: list
    emitters: list
    lens: dict
    place: str
    weather: str


@lru_cache(maxsize=24)
def _body(label, number, without_key=False):
    """The object of a class with a number of its own."""
    seed = CLASSES.index(label) * 100_000 + number
    return CREATORS[label](seed, without_key=True) if without_key else CREATORS[label](seed)


def body_number(split, pair_number, scene_number):
    """Which body stands in a scene; bodies of training animals return, the others do not."""
    first = FIRST_SCENE[split]
    count = TRAINING_BODIES[pair_number] if split == "training" else SPLITS[split]
    return first + (scene_number - first) % count


# The objects on their stage, and the camera before it


def on_stage(mesh, yaw, size, afloat):
    """4 x 4 matrix that turns an object by `yaw`, makes it `size` metres large and centres it."""
    turned = mesh.vertices @ rotation_z(yaw).T
    counted = mesh.parts != PART_NUMBER["crown"]
    if afloat:
        counted = counted & (turned[:, 2] > 0)
    seen = turned[counted]
    width, depth, _ = np.ptp(seen, axis=0)
    height = seen[:, 2].max()
    scale = size / max(width, height, 0.55 * depth)
    middle = (seen.min(0) + seen.max(0)) / 2
    return pose(scale * rotation_z(yaw), [-scale * middle[0], -scale * middle[1], 0])


def _draw_yaw(rng, pair_number):
    """Balls and fruit any way round; the others within 55 degrees of broadside."""
    if pair_number < 2:
        return rng.uniform(0, 2 * np.pi)
    return rng.choice([0, np.pi]) + np.radians(rng.uniform(-55, 55))


def _draw_view(rng, points, fill, place):
    """A camera that sees all `points` (N, 3), off-centre; they take `fill` of its frame."""
    field_of_view = rng.uniform(28, 42)
    size = max(np.ptp(points[:, 0]), points[:, 2].max())
    spread = np.tan(np.radians(field_of_view / 2))
    distance = size / fill / (2 * spread)
    elevation = rng.uniform(*ELEVATION[place])
    centre = (points.min(0) + points.max(0)) / 2 * [0, 0, 1]
    origin = centre + distance * np.array([0, -np.cos(elevation), np.sin(elevation)])
    view = View(origin, centre, field_of_view)
    projected = view.project(points)
    low, high = projected.min(0), projected.max(0)
    slack = np.clip(0.95 - (high - low) / 2, 0, 0.5)
    shift = (low + high) / 2 - rng.uniform(-0.95, 0.95, 2) * slack
    reach = np.linalg.norm(centre - origin) * spread
    view.target = centre + reach * np.array([shift[0], 0, shift[1]])
    return view


def _overlap(low, high, other_low, other_high):
    """The area that two upright rectangles share."""
    sides = np.minimum(high, other_high) - np.maximum(low, other_low)
    return np.prod(np.clip(sides, 0, None))


class Neighbours:
    """Puts other things beside the object, so that it is not the only thing to look at."""

    def __init__(self, rng, view, points, size):
        self.rng, self.view, self.size = rng, view, size
        projected = view.project(points)
        self.picture_box = projected.min(0), projected.max(0)
        self.ground_boxes = [(points[:, :2].min(0), points[:, :2].max(0))]
        self.meshes = []

    def _fits(self, mesh):
        """True if `mesh` is in the frame, covers no object and stands in nothing else."""
        footprint = mesh.vertices[:, :2].min(0), mesh.vertices[:, :2].max(0)
        if any(_overlap(*footprint, *taken) > 0 for taken in self.ground_boxes):
            return False
        projected = self.view.project(mesh.vertices)
        low, high = projected.min(0), projected.max(0)
        area = np.prod(high - low)
        if _overlap(low, high, np.array([-1, -1]), np.array([1, 1])) < 0.4 * area:
            return False
        in_front = footprint[0][1] < self.ground_boxes[0][0][1]
        hidden = _overlap(low, high, *self.picture_box)
        return hidden <= (0.02 if in_front else 0.35) * area

    def put(self, kinds, sizes=(0.3, 0.8), depths=(-0.7, 1.8)):
        """One of `kinds` where it fits; `sizes` and `depths` in units of the object's size."""
        rng, size = self.rng, self.size
        for _ in range(4):
            thing = distractors.thing(rng, kinds, size * rng.uniform(*sizes))
            thing = thing.moved(pose(rotation_z(rng.uniform(0, 2 * np.pi))))
            if self._put(thing, depths):
                return

    def _put(self, thing, depths):
        """Tries eight places for one thing; True if it fits one of them."""
        rng = self.rng
        for _ in range(8):
            y = self.size * rng.uniform(*depths)
            half_width = (y - self.view.origin[1]) * self.view.spread
            x = self.view.target[0] + rng.uniform(-1, 1) * half_width
            mesh = thing.moved(pose(shift=(x, y, 0)))
            if self._fits(mesh):
                footprint = mesh.vertices[:, :2].min(0), mesh.vertices[:, :2].max(0)
                self.ground_boxes.append(footprint)
                self.meshes.append(mesh)
                return True
        return False


def _shapes_beside(rng, view, points, size, place):
    """Mitsuba shapes of the things beside the object: in nine of ten scenes one to four."""
    neighbours = Neighbours(rng, view, points, size)
    count = rng.choice(5, p=[0.1, 0.25, 0.3, 0.2, 0.15])
    for _ in range(count):
        if place == "sea":
            neighbours.put(distractors.SEA, sizes=(0.2, 0.5), depths=(-0.4, 2))
        elif place == "savanna":
            neighbours.put(distractors.SAVANNA, sizes=(0.3, 0.7))
        else:
            indoors = place in ("room", "table")
            neighbours.put(distractors.INDOORS if indoors else distractors.OUTDOORS)
    return [renderer.visible_shape(mesh) for mesh in neighbours.meshes]


# The places


TURF_HALF_WIDTH = 3.5
"""Half the width of a patch of grass whose blades are 0.28 high."""
TURF_HEIGHT = 0.28


@cache
def _turf():
    """Square patches of grass, from fresh to dry: Mitsuba shape groups to instance.

    Patches that lie side by side are traced much faster than tufts that overlap.
    """
    rng, groups = np.random.default_rng(5), []
    for dryness in np.linspace(0.05, 1, 6):
        # The disc that holds the square, then only the blades inside the square.
        radius = 1.42 * TURF_HALF_WIDTH
        tuft = grass_tuft(rng, dryness, blades=26_000, height=TURF_HEIGHT, radius=radius)
        roots = tuft.vertices[::5, :2]
        clumps = fbm2(roots[:, 0] * 0.9, roots[:, 1] * 0.9, 3, 2)
        inside = np.abs(roots).max(1) < TURF_HALF_WIDTH
        inside &= clumps > rng.uniform(0.1, 0.55, len(roots))
        vertices = tuft.vertices[inside.repeat(5)]
        faces = tuft.faces[: 3 * inside.sum()]
        shade = (0.65 + 0.7 * clumps[inside]).repeat(5)[:, None]
        colours = tuft.colours[inside.repeat(5)] * shade
        mesh = renderer.visible_shape(
            piece(vertices, faces, colours, "background"), renderer.leaf_surface()
        )
        groups.append(mi.load_dict({"type": "shapegroup", "mesh": mesh}))
    return groups


def _grass(rng, view, height, dryness, farthest):
    """Grass `height` metres high, from below the camera to `farthest` metres behind the object."""
    groups, scale = _turf(), height / TURF_HEIGHT
    number = int(np.clip(round(dryness * (len(groups) - 1)), 0, len(groups) - 1))
    width = 2 * TURF_HALF_WIDTH * scale
    turned, patches = rng.uniform(0, width, 2), []
    y = 0.8 * view.origin[1] + 0.3 * turned[1]
    while y < farthest:
        half_width = (y + width - view.origin[1]) * view.spread * 1.1 + 0.5 * width
        middle = _across(rng, view, y, 0)
        first = np.floor((middle - half_width) / width) * width + turned[0]
        for x in np.arange(first, middle + half_width, width):
            place = [float(x), float(y + width / 2), -0.02 * height]
            to_world = mi.ScalarTransform4f().translate(place)
            to_world = to_world.rotate([0, 0, 1], 90.0 * rng.integers(4)).scale(float(scale))
            group = groups[number]
            patches.append({"type": "instance", "shapegroup": group, "to_world": to_world})
        y += width
    return patches


def _across(rng, view, y, margin=1.1):
    """A random x that the camera sees at depth y, or a little beside it."""
    half_width = (y - view.origin[1]) * view.spread * margin
    forward = view.target - view.origin
    middle = view.origin[0] + forward[0] / forward[1] * (y - view.origin[1])
    return middle + rng.uniform(-1, 1) * half_width


def daylight_of(rng, seed):
    """(emitters, weather): sun or clouds, from any side."""
    weather = "sunny" if rng.uniform() < 0.6 else "overcast"
    sun = sun_direction(rng.uniform(-np.pi, np.pi), rng.uniform(0.4, 1.1))
    return daylight(seed, weather, sun), weather


def _trees(rng, view, kinds, count, nearest, farthest, scale=1.0):
    """Trees and bushes in the background, at distances from `nearest` to `farthest`."""
    shapes = []
    for _ in range(count):
        y = rng.uniform(nearest, farthest)
        kind = rng.choice(kinds)
        number = rng.integers(len(nursery()[kind]))
        place = (_across(rng, view, y), y, 0)
        shapes.append(
            plant(kind, number, place, scale * rng.uniform(0.5, 1.1), rng.uniform(0, 360))
        )
    return shapes


def _hills(rng, distance, height, colour):
    """A far ridge, pale from the air between."""
    x = np.linspace(-1.2 * distance, 1.2 * distance, 60)
    crest = height * (0.25 + fbm2(x * 5 / distance, 0 * x, int(rng.integers(1000)), 4))
    crest = crest * np.clip(rng.uniform(0.3, 1.2) + x / distance * rng.normal(0, 1), 0, 1.2)
    foot = np.c_[x, np.full(60, distance), np.full(60, -1.0)]
    vertices = np.vstack([foot, foot + np.c_[0 * x, 0 * x, crest + 0.6]])
    i = np.arange(59)
    faces = np.vstack([np.c_[i, i + 1, i + 61], np.c_[i, i + 61, i + 60]])
    return renderer.visible_shape(piece(vertices, faces, colour, "background"))


def lamps(rng):
    """A room's light, all of it from the camera's side: lamps behind the wall only add noise."""
    light = room_map(rng)
    width = light.shape[1]
    columns = np.arange(width)
    mirrored = light[:, (width // 2 - 1 - columns) % width]
    behind = np.cos((columns + 0.5) / width * 2 * np.pi) > 0
    before_and_behind = np.maximum(light, mirrored), np.minimum(light, mirrored)
    return environment(np.where(behind[None, :, None], *before_and_behind[::-1]))


def _room(rng, seed, view, size):
    floors = ("wood", "tile", "carpet", "concrete", "wood")
    return rooms.room(rng, size, floors), [lamps(rng)], "indoors"


def _table(rng, seed, view, size):
    floors = ("wood", "cloth", "cloth", "tile", "concrete", "wood")
    return rooms.room(rng, size, floors), [lamps(rng)], "indoors"


def _lawn(rng, seed, view, size):
    dryness, height = rng.uniform(0, 0.75), size * rng.uniform(0.1, 0.22)
    grass = _grass(rng, view, height, dryness, 14 * size)
    soil = rooms.ground(rooms.soil(rng, dryness), 120, size * rng.uniform(3, 6))
    kinds = ["tree", "bush", "conifer", "bush"]
    trees = _trees(rng, view, kinds, rng.integers(6, 18), 8, 40)
    emitters, weather = daylight_of(rng, seed)
    return [soil, *grass, *trees], emitters, weather


def _yard(rng, seed, view, size):
    """Concrete or paving outdoors, before a wall or before trees."""
    paving = rooms.texture(rng.choice(["concrete", "tile", "brick"]), rng)
    shapes = [rooms.ground(paving, 120, size * rng.uniform(2.5, 5), rng.uniform(-0.5, 0.5))]
    distance = size * rng.uniform(5, 14)
    if rng.uniform() < 0.6:
        bricks = rooms.texture(rng.choice(["brick", "plaster", "concrete", "wood"]), rng)
        turn = rng.uniform(-0.5, 0.5)
        height = size * rng.uniform(3, 9)
        shapes.append(rooms.wall(bricks, distance, 40 * size, height, 3 * size, turn))
    shapes += _trees(rng, view, ["tree", "bush", "bush"], rng.integers(5, 14), distance + 3, 35)
    emitters, weather = daylight_of(rng, seed)
    return shapes, emitters, weather


def _sea(rng, seed, view, size):
    emitters, weather = daylight_of(rng, seed)
    shapes = [sea.water(rng)]
    if rng.uniform() < 0.4:
        haze = np.array([0.30, 0.36, 0.42]) * rng.uniform(0.6, 1.1)
        shapes.append(_hills(rng, 900, rng.uniform(15, 60), haze))
    if rng.uniform() < 0.4:
        depth = size * rng.uniform(2, 6)
        gulls = distractors.gulls(rng, size)
        sky = (_across(rng, view, depth, 0.8), depth, size * rng.uniform(0.8, 1.6))
        shapes.append(renderer.visible_shape(gulls.moved(pose(shift=sky))))
    return shapes, emitters, weather


def _savanna(rng, seed, view, size):
    dryness, height = rng.uniform(0.6, 1.1), rng.uniform(0.16, 0.42)
    shapes = [rooms.ground(rooms.soil(rng, dryness), 250, rng.uniform(6, 10))]
    shapes += _grass(rng, view, height, dryness, 30)
    shapes += _trees(rng, view, ["bush"], rng.integers(0, 9), 5, 30)
    shapes += _trees(rng, view, ["tree"], rng.integers(1, 8), 14, 90, 0.8)
    if rng.uniform() < 0.7:
        haze = mix(np.array([0.26, 0.32, 0.40]), np.array([0.33, 0.29, 0.22]), rng.uniform())
        shapes.append(_hills(rng, 240, rng.uniform(8, 30), haze))
    emitters, weather = daylight_of(rng, seed)
    return shapes, emitters, weather


BUILDERS = {
    "room": _room,
    "table": _table,
    "lawn": _lawn,
    "yard": _yard,
    "sea": _sea,
    "savanna": _savanna,
}


# Scenes and pictures


def lens_for(rng, view, place, size, samples):
    """The camera; near subjects get a shallow depth of field, sharp at the object."""
    distance = np.linalg.norm(view.target - view.origin)
    near = place not in ("sea", "savanna")
    aperture = distance * rng.uniform(0.004, 0.016) if near else 0.0
    options = {"aperture": aperture, "focus": 0.95 * distance}
    return camera.lens(view.origin, view.target, view.field_of_view, size, samples, **options)


def build(seed, pair_number, meshes, size=camera.SIZE, samples=TEST_SAMPLES):
    """The `Scene` of a seed for the two `meshes` of a pair, or None if they leave the frame.

    samples: paths traced for each pixel, a number or {place: number}
    """
    rng = np.random.default_rng([seed, 31])
    stage_size, places = STAGE_SIZE[pair_number], PLACES[pair_number]
    place = str(rng.choice(list(places), p=list(places.values())))
    yaw = _draw_yaw(rng, pair_number)
    matrices = [on_stage(mesh, yaw, stage_size, place == "sea") for mesh in meshes]
    points = np.vstack([m.moved(matrix).vertices for m, matrix in zip(meshes, matrices)])
    points = points[points[:, 2] > -1e-3]
    view = _draw_view(rng, points, rng.uniform(*FILL[pair_number]), place)
    if np.abs(view.project(points)).max() > 0.99:
        return None
    beside = _shapes_beside(rng, view, points, stage_size, place)
    shapes, emitters, weather = BUILDERS[place](rng, seed, view, stage_size)
    samples = samples[place] if isinstance(samples, dict) else samples
    lens = lens_for(rng, view, place, size, samples)
    return Scene(matrices, [*shapes, *beside], emitters, lens, place, weather)


def _visible_enough(label, coverage):
    """True if `coverage` (parts, H, W) shows enough of an object and of its key part."""
    scale = camera.SIZE**2 / (coverage.shape[1] * coverage.shape[2])
    if coverage.sum() * scale < LEAST_PIXELS.get(label, LEAST_PIXELS_ELSEWHERE):
        return False
    key = KEY_PART.get(label)
    if key is None:
        return True
    return coverage[PART_NUMBER[key]].sum() * scale >= LEAST_KEY_PIXELS[key]


def find_scene(split, pair_number, scene_number, **options):
    """The first scene that shows both objects well -> scene, its seed, two part coverages."""
    labels, number = PAIRS[pair_number], body_number(split, pair_number, scene_number)
    meshes = [_body(label, number) for label in labels]
    for attempt in range(100):
        seed = (scene_number * 10 + pair_number) * 100 + attempt
        scene = build(seed, pair_number, meshes, **options)
        if scene is None:
            continue
        coverages = []
        for label, mesh, matrix in zip(labels, meshes, scene.matrices):
            placed = mesh.moved(matrix)
            lens, points = scene.lens, MASK_POINTS[split]
            coverages.append(renderer.part_coverage(scene.shapes, placed, lens, seed, points))
            if not _visible_enough(label, coverages[-1]):
                break
        else:
            return scene, seed, coverages
    raise RuntimeError(f"Scene {scene_number} of {labels}: no good view in 100 attempts.")


def _render(scene, seed, mesh: Mesh, matrix):
    """Radiance (H, W, 3) of a scene with an object in it."""
    shapes = [*scene.shapes, renderer.visible_shape(mesh.moved(matrix))]
    depth = 3
    return renderer.radiance(shapes, scene.emitters, scene.lens, seed, depth)


def jobs():
    """(split, pair number, scene number) of every matched scene, test scenes first.

    The pairs take turns every five scenes, so that an interrupted run has pictures of all classes;
    in training those five are the scenes of one body of an animal.
    """
    tasks = []
    for split in ("test", "validation", "training"):
        first, count = FIRST_SCENE[split], SPLITS[split]
        blocks = count // 5
        for block in range(blocks):
            scenes = range(first + block, first + count, blocks)
            tasks += [(split, pair, scene) for pair in range(len(PAIRS)) for scene in scenes]
    return tasks


def job_of(row):
    """The job that made a line of the manifest."""
    pair_number = next(n for n, pair in enumerate(PAIRS) if row["label"] in pair)
    return row["split"], pair_number, int(row["scene"])


def shoot(split, pair_number, scene_number, samples=None, size=camera.SIZE):
    """The `Shot`s of one matched scene: for both classes a picture and a part mask.

    Test scenes add the picture without the key part. Without `samples`, the place says how many
    paths are traced for each pixel.
    """
    samples = samples or (TEST_SAMPLES if split == "test" else SAMPLES)
    options = {"samples": samples, "size": size}
    scene, seed, coverages = find_scene(split, pair_number, scene_number, **options)
    number = body_number(split, pair_number, scene_number)
    background = coverages[0].sum(0) + coverages[1].sum(0) < 0.01
    exposure, shots = None, []

    for label, matrix, coverage in zip(PAIRS[pair_number], scene.matrices, coverages):

        def shot(pixels, folder, kind, removed="", label=label):
            suffix = "png" if kind == "parts" else "jpg"
            return Shot(
                pixels,
                f"look_alikes/{folder}/{label}/{scene_number:05d}.{suffix}",
                dataset="look_alikes",
                kind=kind,
                split=split,
                scene=scene_number,
                seed=seed,
                label=label,
                weather=scene.weather,
                background=scene.place,
                removed=removed,
            )

        radiance = _render(scene, seed, _body(label, number), matrix)
        # What both pictures share, the background, sets the exposure of both.
        exposure = exposure or camera.exposure_of(radiance, background)
        shots.append(shot(camera.develop(radiance, seed, exposure), split, "picture"))
        seams = PART_NUMBER["seams"] if KEY_PART.get(label) == "seams" else None
        shots.append(shot(renderer.part_mask(coverage, seams), f"{split}_parts", "parts"))
        if split == "test" and label in KEY_PART:
            radiance = _render(scene, seed, _body(label, number, without_key=True), matrix)
            pixels = camera.develop(radiance, seed, exposure)
            shots.append(shot(pixels, "test_without_key", "counterfactual", KEY_PART[label]))
    return shots
