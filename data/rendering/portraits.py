"""Portraits: pictures of eight ImageNet classes that a network trained on photographs recognizes.

One object fills much of each picture, in natural colours and proportions. Test scenes also come
without the object, without each of its parts alone, without the things beside it, before another
background, and some with a part that is not the object's own. All pictures of a scene agree block
by block (8 x 8 pixels, JPEG's own) wherever the change is not seen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from course_utils.parts import PART_NUMBER, PORTRAIT_PARTS

from . import balls, camera, distractors, fruit, look_alikes, renderer, rooms, savanna, sea
from .look_alikes import BUILDERS, Neighbours, View
from .meshes import Mesh
from .shots import Shot

SIZE = 224
SPLITS = {"validation": 10, "test": 30}
"""Scenes of each class in each split; no scene and no body is in two splits."""
FIRST_SCENE = {"validation": 30_000, "test": 40_000}
SAMPLES = {"room": 20, "table": 16, "yard": 20, "lawn": 20, "savanna": 20, "sea": 16}
"""Paths traced for each pixel."""
DEPTH = 3
"""The most legs of a path."""
BLOCK = 8
"""JPEG's blocks: a picture changes in whole blocks or not at all."""
UNCHANGED = 128
"""The grey of the blocks that are as in the whole picture, in the file of a variant."""
SEEN = 1.0
"""A block has changed if it differs by more grey levels than this, averaged over its values."""
LEAST_PIXELS = 24
"""A scene that shows less of one of the object's parts is drawn anew."""
THINGS = {
    "room": (distractors.box, distractors.books),
    "table": (distractors.box, distractors.books),
    "yard": (distractors.box, distractors.stone),
    "lawn": (distractors.stone, distractors.log),
    "savanna": (distractors.stone, distractors.mound, distractors.log),
    "sea": (),
}
"""What may stand beside an object: nothing that is an ImageNet class of its own."""


@dataclass(frozen=True)
class Kind:
    """How the portraits of a class are taken, and what their variants are."""

    creator: Callable
    size: float  # metres, as `look_alikes.on_stage` measures it
    fill: tuple  # how much of the frame the object takes: least and most
    places: dict  # place -> how often
    turn: float  # the most radians off broadside
    elevation: tuple  # the camera's angle above the object, radians
    seen: tuple  # the parts of the mask that have to be in view
    additions: dict = field(default_factory=dict)  # name -> arguments of the creator


_LAND = {"savanna": 1.0}
_WATER = {"sea": 1.0}
_INDOORS = {"room": 0.75, "yard": 0.25}
KINDS = {
    "basketball": Kind(
        balls.basketball, 0.24, (0.64, 0.78), _INDOORS, 0.0, (0.15, 0.5),
        ("seams",),
    ),
    "volleyball": Kind(
        balls.volleyball, 0.21, (0.64, 0.78), _INDOORS, 0.0, (0.15, 0.5),
        ("seams",),
    ),
    "pineapple": Kind(
        fruit.pineapple, 0.16, (0.76, 0.92), {"table": 0.8, "yard": 0.2}, np.pi, (0.1, 0.35),
        ("crown",),
    ),
    "custard_apple": Kind(
        fruit.custard_apple, 0.13, (0.66, 0.84), {"table": 1.0}, np.pi, (0.2, 0.6),
        ("stem",),
    ),
    "submarine": Kind(
        sea.submarine, 13.0, (0.8, 0.95), _WATER, 0.6, (0.06, 0.2),
        ("sail", "masts", "planes", "rudder"),
        {"fluke": {"fluke": True}},
    ),
    "grey_whale": Kind(
        sea.grey_whale, 13.0, (0.7, 0.9), _WATER, 0.6, (0.08, 0.25),
        ("fluke",),
    ),
    "zebra": Kind(
        savanna.zebra, 2.4, (0.72, 0.88), _LAND, 0.8, (0.02, 0.12),
        ("stripes", "leg stripes", "mane", "tail", "ears"), {"trunk": {"trunk": True}},
    ),
    "elephant": Kind(
        savanna.elephant, 3.2, (0.72, 0.88), _LAND, 0.9, (0.02, 0.12),
        ("trunk", "tusks", "ears", "tail"),
    ),
}  # fmt: skip
ELSEWHERE = {
    "room": "yard", "table": "yard", "yard": "room", "lawn": "table", "savanna": "yard",
    "sea": "sea",
}  # fmt: skip
"""The other background of an object that is seen at a place; ships and whales stay at sea."""


@dataclass
class Portrait:
    """A scene around one object that `matrix` puts in its place."""

    matrix: np.ndarray
    shapes: list
    beside: list
    emitters: list
    lens: dict
    view: View
    place: str
    weather: str


VIEWS = 40
"""Views of one body that may hide a part of it, before another body comes."""


def _body_number(scene, seed):
    """The number of a scene's body: at first the scene's own."""
    return scene + 1000 * (seed % 100 // VIEWS)


@lru_cache(maxsize=8)
def _body(label, number, without=(), addition=""):
    """The object of a class with a number of its own, whole or changed."""
    kind = KINDS[label]
    options = kind.additions.get(addition, {})
    return kind.creator(number, natural=True, without=without, **options)


# ---------------------------------------------------------------------------- scenes


def _draw_view(rng, kind, points):
    """A camera whose frame the `points` (N, 3) fill as much as the class asks for."""
    field_of_view = rng.uniform(20, 32)
    spread = np.tan(np.radians(field_of_view / 2))
    elevation, fill = rng.uniform(*kind.elevation), rng.uniform(*kind.fill)
    centre = (points.min(0) + points.max(0)) / 2
    distance = kind.size / fill / (2 * spread)
    for _ in range(4):
        origin = centre + distance * np.array([0, -np.cos(elevation), np.sin(elevation)])
        view = View(origin, centre, field_of_view)
        projected = view.project(points)
        low, high = projected.min(0), projected.max(0)
        distance *= (high - low).max() / 2 / fill
    slack = np.clip(0.97 - (high - low) / 2, 0, 0.2)
    shift = (low + high) / 2 - rng.uniform(-0.7, 0.7, 2) * slack
    reach = np.linalg.norm(centre - origin) * spread
    view.target = centre + reach * np.array([shift[0], 0, shift[1]])
    return view


def _surroundings(rng, seed, place, view, size):
    """(shapes, emitters, weather) of a place, with nothing standing about."""
    if place in ("room", "table"):
        floors = ("wood", "wood", "cloth", "tile") if place == "table" else ("wood", "tile")
        room = rooms.room(rng, size, floors, ("plaster", "plaster", "wood"), clutter=False)
        return room, [look_alikes.lamps(rng)], "indoors"
    return BUILDERS[place](rng, seed, view, size)


def _lens(rng, view, place, size, samples):
    """The camera, with a shallow depth of field that is sharp at the object."""
    distance = np.linalg.norm(view.target - view.origin)
    aperture = distance * (0 if place == "sea" else rng.uniform(0.003, 0.010))
    options = {"aperture": aperture, "focus": 0.97 * distance}
    return camera.lens(view.origin, view.target, view.field_of_view, size, samples, **options)


def build(label, seed, mesh, size=SIZE, samples=None):
    """The `Portrait` of a seed for the object `mesh`; `samples`: paths traced for each pixel."""
    kind, rng = KINDS[label], np.random.default_rng([seed, 51])
    place = str(rng.choice(list(kind.places), p=list(kind.places.values())))
    yaw = rng.choice([0, np.pi]) + rng.uniform(-kind.turn, kind.turn)
    matrix = look_alikes.on_stage(mesh, yaw, kind.size, place == "sea")
    points = mesh.moved(matrix).vertices
    points = points[points[:, 2] > -1e-3]
    view = _draw_view(rng, kind, points)
    shapes, emitters, weather = _surroundings(rng, seed, place, view, kind.size)
    neighbours = Neighbours(rng, view, points, kind.size)
    for _ in range(rng.choice(3, p=[0.5, 0.35, 0.15]) if THINGS[place] else 0):
        neighbours.put(THINGS[place], sizes=(0.2, 0.5), depths=(0.8, 3))
    beside = [renderer.visible_shape(thing) for thing in neighbours.meshes]
    lens = _lens(rng, view, place, size, samples or SAMPLES[place])
    return Portrait(matrix, shapes, beside, emitters, lens, view, place, weather)


def _elsewhere(portrait, label, seed):
    """The surroundings of another place for the same object and camera."""
    rng = np.random.default_rng([seed, 52])
    place = ELSEWHERE[portrait.place]
    return _surroundings(rng, seed + 50, place, portrait.view, min(KINDS[label].size, 1.0))[:2]


def find_portrait(label, split, number, **options):
    """The first scene that shows all parts of an object -> portrait, its seed, part coverage."""
    for attempt in range(100):
        seed = (number * 10 + list(KINDS).index(label)) * 100 + attempt
        if attempt % VIEWS == 0:
            mesh = _body(label, _body_number(number, seed))
        portrait = build(label, seed, mesh, **options)
        shapes = [*portrait.shapes, *portrait.beside]
        placed = mesh.moved(portrait.matrix)
        coverage = renderer.part_coverage(shapes, placed, portrait.lens, seed)
        scale = SIZE**2 / coverage[0].size
        visible = [coverage[PART_NUMBER[part]].sum() * scale for part in KINDS[label].seen]
        if min(visible) >= LEAST_PIXELS:
            return portrait, seed, coverage
    raise RuntimeError(f"Scene {number} of {label}: no good view in 100 attempts.")


# ---------------------------------------------------------------------------- pictures


class _Darkroom:
    """Renders and develops the pictures of one scene: the whole one, then its variants."""

    def __init__(self, portrait, seed, mesh: Mesh):
        self.portrait, self.seed = portrait, seed
        view = self._view(mesh, portrait.shapes, portrait.beside, portrait.emitters)
        self.preview = view.preview()
        self.tiles = {
            (row, column): view.render(row, column)
            for row in range(view.rows)
            for column in range(view.columns)
        }
        whole = self._assembled(self.tiles)
        self.exposure = exposure_of(whole)
        self.whole = self._developed(whole, self.exposure)

    def _view(self, mesh, shapes, beside, emitters):
        shapes = [*shapes, *beside]
        if mesh is not None:
            shapes.append(renderer.visible_shape(mesh.moved(self.portrait.matrix)))
        return renderer.TiledView(shapes, emitters, self.portrait.lens, self.seed, depth=DEPTH)

    @staticmethod
    def _assembled(tiles):
        rows, columns = (1 + max(place[axis] for place in tiles) for axis in (0, 1))
        return np.vstack(
            [np.hstack([tiles[row, column] for column in range(columns)]) for row in range(rows)]
        )

    def _developed(self, radiance, exposure):
        return camera.develop(radiance, self.seed, exposure, blur=0.5)

    def elsewhere(self, mesh, shapes, emitters):
        """The object before another background, exposed for it; (H, W, 3) uint8."""
        view = self._view(mesh, shapes, [], emitters)
        places = [(row, column) for row in range(view.rows) for column in range(view.columns)]
        radiance = self._assembled({place: view.render(*place) for place in places})
        return self._developed(radiance, exposure_of(radiance))

    def variant(self, mesh, beside=None):
        """The scene with another `mesh` (or None) or other things `beside`, (H, W, 3) uint8.

        Tiles whose preview has changed are rendered, and around them as many as change.
        """
        portrait = self.portrait
        beside = portrait.beside if beside is None else beside
        view = self._view(mesh, portrait.shapes, beside, portrait.emitters)
        waiting = self._changed_tiles(view)
        tiles, done = dict(self.tiles), set()
        while waiting:
            place = waiting.pop()
            done.add(place)
            tiles[place] = view.render(*place)
            if _differs(tiles[place], self.tiles[place]):
                waiting |= _neighbours(place, self.tiles) - done
        return self._developed(self._assembled(tiles), self.exposure)

    def _changed_tiles(self, view):
        preview = view.preview()
        size = view.tile
        return {
            (row, column)
            for row, column in self.tiles
            if _differs(
                *(
                    image[row * size : (row + 1) * size, column * size : (column + 1) * size]
                    for image in (preview, self.preview)
                )
            )
        }


def _differs(tile, other):
    """Whether a block of two tiles (H, W, 3) differs by 1.5 %, a good grey level, on average."""
    change = np.abs(tile - other).mean(-1) / (other.mean(-1) + 1e-3)
    rows, columns = (length // BLOCK for length in change.shape)
    blocks = np.minimum(change, 1).reshape(rows, BLOCK, columns, BLOCK).mean((1, 3))
    return blocks.max() > 0.015


def _neighbours(place, places):
    """The tiles around one, those that there are."""
    row, column = place
    return {(row + a, column + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & set(places) - {place}


def exposure_of(radiance):
    """The exposure of a picture: its mean luminance, or more where bright things would fade."""
    highlights = np.quantile(radiance @ camera.LUMINANCE, 0.97)
    return max(camera.exposure_of(radiance), highlights / 2.6)


def changes_only(pixels, whole):
    """`pixels` (H, W, 3) with UNCHANGED grey in all blocks that look as in the picture `whole`."""
    height, width, _ = pixels.shape
    shape = height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3
    change = np.abs(pixels.astype(int) - whole).reshape(shape).mean((1, 3, 4))
    changed = (change > SEEN).repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    return np.where(changed[..., None], pixels, UNCHANGED).astype(np.uint8)


def jobs():
    """(split, class, scene number) of every scene.

    The classes take turns, and among each three rounds of test scenes is one for validation, so
    that an interrupted run has something of everything.
    """
    rounds = []
    for number in range(SPLITS["test"]):
        rounds.append(("test", FIRST_SCENE["test"] + number))
        if number % 3 == 1:
            rounds.append(("validation", FIRST_SCENE["validation"] + number // 3))
    return [(split, label, scene) for split, scene in rounds for label in KINDS]


def job_of(row):
    """The job that made a line of the manifest."""
    return row["split"], row["label"], int(row["scene"])


def _variants(room: _Darkroom, label, body):
    """(name, what is removed, pixels) of every variant of a scene."""
    portrait, kind = room.portrait, KINDS[label]
    mesh = _body(label, body)
    yield "without_object", "object", room.variant(None)
    for part in PORTRAIT_PARTS[label]:
        name = f"without_{part.replace(' ', '_')}"
        yield name, part, room.variant(_body(label, body, (part,)))
    for addition in kind.additions:
        yield f"with_{addition}", "", room.variant(_body(label, body, (), addition))
    if portrait.beside:
        yield "without_things_beside", "things beside", room.variant(mesh, beside=[])
    yield "elsewhere", "", room.elsewhere(mesh, *_elsewhere(portrait, label, room.seed))


def shoot(split, label, number, samples=None, size=SIZE):
    """The `Shot`s of one scene: a picture, its part mask, and for test scenes the variants."""
    portrait, seed, coverage = find_portrait(label, split, number, samples=samples, size=size)
    common = {
        "dataset": "portraits", "split": split, "scene": number, "seed": seed, "label": label,
        "weather": portrait.weather, "background": portrait.place,
    }  # fmt: skip
    body = _body_number(number, seed)
    room = _Darkroom(portrait, seed, _body(label, body))
    seams = PART_NUMBER["seams"] if "seams" in PORTRAIT_PARTS[label] else None
    mask = renderer.part_mask(coverage, seams)
    shots = [
        Shot(room.whole, f"portraits/{split}/{label}/{number}.jpg", kind="picture", **common),
        Shot(mask, f"portraits/{split}_parts/{label}/{number}.png", kind="parts", **common),
    ]
    for name, removed, pixels in _variants(room, label, body) if split == "test" else ():
        path = f"portraits/{split}_variants/{label}/{number}_{name}.jpg"
        if name != "elsewhere":
            pixels = changes_only(pixels, room.whole)
        shots.append(Shot(pixels, path, kind="variant", removed=removed, **common))
    return shots
