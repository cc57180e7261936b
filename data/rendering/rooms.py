"""Grounds and rooms: textures of floors, walls and cloths, tables with clutter behind, yards."""

from functools import cache

import numpy as np

from . import renderer
from .distractors import indoor_thing
from .meshes import pose, rotation_z
from .noise import cell_hash, fbm2, mix, smoothstep

PIXELS = 256
"""Width and height of a texture."""
WOODS = np.array([(0.30, 0.17, 0.08), (0.40, 0.27, 0.15), (0.15, 0.085, 0.05), (0.46, 0.35, 0.22)])
TILES = np.array(
    [
        (0.50, 0.47, 0.42),
        (0.30, 0.30, 0.31),
        (0.52, 0.46, 0.37),
        (0.21, 0.23, 0.24),
        (0.38, 0.22, 0.15),
    ]
)
CLOTHS = np.array(
    [
        [(0.62, 0.60, 0.55), (0.38, 0.10, 0.09)],
        [(0.60, 0.58, 0.54), (0.10, 0.16, 0.29)],
        [(0.55, 0.52, 0.44), (0.26, 0.30, 0.20)],
        [(0.50, 0.42, 0.30), (0.30, 0.20, 0.12)],
        [(0.24, 0.29, 0.35), (0.40, 0.43, 0.45)],
        [(0.64, 0.61, 0.54), (0.55, 0.47, 0.33)],
    ]
)
"""Pairs of colours that are woven together."""
CARPETS = np.array(
    [
        (0.34, 0.29, 0.23),
        (0.13, 0.15, 0.20),
        (0.27, 0.10, 0.08),
        (0.20, 0.22, 0.19),
        (0.42, 0.38, 0.33),
    ]
)
WALLS = np.array(
    [
        (0.62, 0.58, 0.50),
        (0.50, 0.53, 0.53),
        (0.36, 0.43, 0.47),
        (0.52, 0.40, 0.30),
        (0.40, 0.44, 0.36),
    ]
)


@cache
def _noise_tile(frequency, octaves, number, stretch=1):
    """Noise in [0, 1], (PIXELS, PIXELS); mirrored halves make it join with itself on all sides."""
    axis = 1 - np.abs(np.linspace(-1, 1, PIXELS))
    x, y = np.meshgrid(axis, axis)
    return fbm2(x * frequency, y * frequency / stretch, 1000 + number, octaves)


def _noise(rng, frequency, octaves, stretch=1):
    """A randomly shifted noise tile (computed once, used in many textures)."""
    tile = _noise_tile(frequency, octaves, int(rng.integers(6)), stretch)
    return np.roll(tile, tuple(rng.integers(PIXELS, size=2)), (0, 1))


def _grid():
    """Texture coordinates x, y in [0, 1), each (PIXELS, PIXELS)."""
    axis = np.arange(PIXELS) / PIXELS
    return np.meshgrid(axis, axis)


def _cell_shade(column, row, rng):
    """One random number in [0, 1] for every plank or tile."""
    column, row = column.astype(int), row.astype(int)
    return cell_hash(column, row, np.zeros_like(row), int(rng.integers(1_000_000)))


def _wood(rng):
    x, y = _grid()
    planks = int(rng.integers(5, 8))
    plank = np.floor(x * planks)
    shift = _cell_shade(plank, 0 * plank, rng)
    shade = _cell_shade(plank, np.floor((y * 2 + shift * 2) % 2), rng)
    grain = _noise(rng, 24, 3, stretch=12)
    base = WOODS[rng.integers(len(WOODS))]
    colour = base * (0.72 + 0.35 * shade + 0.5 * (grain - 0.5))[..., None]
    gap = np.minimum((x * planks) % 1, 1 - (x * planks) % 1) < 0.03
    return np.where(gap[..., None], colour * 0.45, colour)


def _tile(rng):
    x, y = _grid()
    count = int(rng.integers(3, 6))
    u, v = (x * count) % 1, (y * count) % 1
    edge = np.minimum(np.minimum(u, 1 - u), np.minimum(v, 1 - v))
    shade = _cell_shade(np.floor(x * count), np.floor(y * count), rng)
    base = TILES[rng.integers(len(TILES))]
    colour = base * (0.85 + 0.2 * shade + 0.4 * (_noise(rng, 8, 3) - 0.5))[..., None]
    return np.where((edge < 0.03)[..., None], base * rng.choice([0.45, 1.35]), colour)


def _cloth(rng):
    x, y = _grid()
    ground, figure = CLOTHS[rng.integers(len(CLOTHS))]
    stripes = int(rng.integers(4, 9))
    across = smoothstep(-0.15, 0.15, np.sin(x * stripes * 2 * np.pi) + rng.uniform(-0.4, 0.4))
    along = smoothstep(-0.15, 0.15, np.sin(y * stripes * 2 * np.pi))
    pattern = rng.choice(["plain", "stripes", "checks"])
    amount = {"plain": 0 * across, "stripes": across, "checks": (across + along) / 2}[pattern]
    return mix(ground, figure, amount[..., None]) * (0.85 + 0.3 * _noise(rng, 28, 2))[..., None]


def _concrete(rng):
    base = rng.uniform(0.2, 0.42) * np.array([1, 0.98, 0.94])
    stains = 0.6 + 0.8 * _noise(rng, 5, 4)
    return base * (stains * (0.85 + 0.3 * _noise(rng, 40, 2)))[..., None]


def _carpet(rng):
    base = CARPETS[rng.integers(len(CARPETS))]
    pile = 0.6 + 0.8 * _noise(rng, 32, 2)
    return base * (pile * (0.8 + 0.4 * _noise(rng, 5, 3)))[..., None]


def _plaster(rng):
    base = WALLS[rng.integers(len(WALLS))] * rng.uniform(0.6, 1.1)
    return base * (0.92 + 0.16 * _noise(rng, 5, 4))[..., None]


def _brick(rng):
    x, y = _grid()
    courses = 10
    row = np.floor(y * courses)
    along = x * 5 + 0.5 * (row % 2)
    u, v = along % 1, (y * courses) % 1
    mortar = (np.minimum(u, 1 - u) < 0.035) | (np.minimum(v, 1 - v) < 0.09)
    shade = _cell_shade(np.floor(along) % 5, row, rng)
    base = np.array([(0.34, 0.15, 0.10), (0.42, 0.36, 0.29), (0.45, 0.45, 0.44)])[rng.integers(3)]
    colour = base * (0.75 + 0.4 * shade + 0.3 * (_noise(rng, 20, 3) - 0.5))[..., None]
    return np.where(mortar[..., None], np.array([0.38, 0.36, 0.33]), colour)


_TEXTURES = {
    "wood": _wood,
    "tile": _tile,
    "cloth": _cloth,
    "concrete": _concrete,
    "carpet": _carpet,
    "plaster": _plaster,
    "brick": _brick,
}


def texture(kind, rng):
    """A texture (PIXELS, PIXELS, 3); `kind` is one of the names in `_TEXTURES`."""
    return np.clip(_TEXTURES[kind](rng), 0.01, 0.9)


def soil(rng, dryness):
    """Soil between grass, fresh green (dryness 0) to straw and earth (1), (PIXELS, PIXELS, 3)."""
    grass = mix(np.array([0.085, 0.125, 0.035]), np.array([0.33, 0.27, 0.14]), dryness)
    earth = mix(grass, np.array([0.25, 0.18, 0.105]), 0.8)
    patches = smoothstep(0.42, 0.65, _noise(rng, 6, 4))
    colour = mix(grass, earth, patches[..., None])
    return np.clip(colour * (0.55 + 0.9 * _noise(rng, 32, 3))[..., None], 0.01, 0.9)


def ground(colours, extent, period, turn=0.0):
    """A level square, `extent` metres to either side, its texture repeats every `period`."""
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * extent
    uv = (corners @ rotation_z(turn).T)[:, :2] / period
    return renderer.textured_shape(corners, np.array([[0, 1, 2], [0, 2, 3]]), uv, colours)


def wall(colours, distance, extent, height, period, turn=0.0):
    """An upright wall `distance` metres behind the origin, turned about it by `turn` radians."""
    corners = np.array([[-extent, distance, 0], [extent, distance, 0]])
    corners = np.vstack([corners, corners[::-1] + [0, 0, height]])
    uv = corners[:, [0, 2]] / period
    vertices = corners @ rotation_z(turn).T
    return renderer.textured_shape(vertices, np.array([[0, 1, 2], [0, 2, 3]]), uv, colours)


def _skirting(distance, extent, height, turn):
    """The white or dark board at the foot of a wall."""
    board = np.full((4, 4, 3), 0.55)
    return wall(board, distance * 0.995, extent, height, 1.0, turn)


def _clutter(rng, size, wall_distance):
    """One to five things that stand out of focus before the wall."""
    shapes = []
    for _ in range(rng.integers(1, 6)):
        y = rng.uniform(0.5, 0.85) * wall_distance
        x = rng.uniform(-0.6, 0.6) * (y + 2 * size)
        thing = indoor_thing(rng, size * rng.uniform(0.4, 1.1))
        place = pose(rotation_z(rng.uniform(0, 2 * np.pi)), (x, y, 0))
        shapes.append(renderer.visible_shape(thing.moved(place)))
    return shapes


WALL_TEXTURES = ("plaster", "plaster", "wood", "tile", "brick", "cloth")


def room(rng, size, floors, walls=WALL_TEXTURES, clutter=True):
    """Floor, walls and clutter of a room around something of `size` metres at the origin.

    `floors` and `walls` name kinds of textures to draw from. Returns Mitsuba shapes.
    """
    distance, turn = size * rng.uniform(3, 9), rng.uniform(-0.45, 0.45)
    extent, height = 30 * size, 15 * size
    paper = texture(rng.choice(walls), rng) * rng.uniform(0.6, 1.0)
    period = size * rng.uniform(3, 6)
    shapes = [
        ground(texture(rng.choice(floors), rng), extent, size * rng.uniform(2.5, 4.5), turn),
        wall(paper, distance, extent, height, period, turn),
    ]
    if rng.uniform() < 0.5:
        # A second wall makes a corner, left or right.
        side = turn + rng.choice([-1, 1]) * np.pi / 2
        shapes.append(wall(paper, size * rng.uniform(3, 7), extent, height, period, side))
    if rng.uniform() < 0.6:
        shapes.append(_skirting(distance, extent, size * rng.uniform(0.15, 0.4), turn))
    return shapes + _clutter(rng, size, distance) if clutter else shapes
