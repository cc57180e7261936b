"""Things that stand beside the object: as large and as bright, but not what is asked for."""

from itertools import pairwise

import numpy as np
import trimesh

from .meshes import (
    Mesh,
    cylinder,
    join,
    piece,
    pose,
    prism,
    rotation_x,
    rotation_y,
    rotation_z,
)
from .noise import fbm, mix

PAINTS = np.array(
    [
        (0.45, 0.15, 0.08),
        (0.08, 0.14, 0.30),
        (0.62, 0.58, 0.48),
        (0.50, 0.34, 0.08),
        (0.10, 0.20, 0.11),
        (0.33, 0.06, 0.05),
        (0.05, 0.05, 0.055),
        (0.66, 0.66, 0.64),
        (0.08, 0.25, 0.27),
        (0.33, 0.21, 0.11),
        (0.48, 0.23, 0.10),
        (0.26, 0.28, 0.31),
    ]
)
"""Colours of painted things, none of them garish."""
STONE = np.array([(0.30, 0.28, 0.25), (0.22, 0.21, 0.20), (0.38, 0.33, 0.26), (0.17, 0.15, 0.13)])
GLAZE = {"roughness": 0.3, "specular": 0.5}


def _paint(rng):
    """A colour from `PAINTS`, a little lighter or darker."""
    return np.clip(PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.75, 1.25), 0.02, 0.8)


def _pattern(rng, vertices):
    """Colours of `vertices` (V, 3): plain, in bands, in patches or in checks of two paints."""
    first, second = _paint(rng), _paint(rng)
    scaled = vertices / np.ptp(vertices[:, 2])
    count = rng.uniform(2, 4)
    bands = np.sin(scaled[:, 2] * count * 2 * np.pi) > 0.2
    around = np.sin(np.arctan2(vertices[:, 1], vertices[:, 0]) * rng.integers(2, 5)) > 0
    patches = fbm(scaled * 3, int(rng.integers(1_000_000)), 3) > 0.54
    kind = rng.choice(["plain", "plain", "bands", "patches", "checks"])
    where = {"plain": 0 * bands, "bands": bands, "patches": patches, "checks": bands ^ around}[kind]
    wear = 0.85 + 0.3 * fbm(scaled * 5, 3, 2)
    return mix(first, second, where[:, None]) * wear[:, None]


def _smooth(vertices, faces, colours, material=None):
    """A mesh of background with smooth normals."""
    solid = trimesh.Trimesh(vertices, faces, process=False)
    mesh = piece(vertices, faces, colours, "background", np.array(solid.vertex_normals))
    mesh.material = material or {}
    return mesh


def lathe(profile, sides=28):
    """Turns `profile`, pairs (radius, height) from bottom to top, about z -> vertices, faces.

    A pair given twice makes a sharp edge.
    """
    radius, height = np.asarray(profile, float).T
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    vertices = np.stack(
        [
            np.outer(radius, np.cos(angle)),
            np.outer(radius, np.sin(angle)),
            np.repeat(height[:, None], sides, axis=1),
        ],
        -1,
    ).reshape(-1, 3)
    row, column = np.mgrid[: len(radius) - 1, :sides]
    here, beside = row * sides + column, row * sides + (column + 1) % sides
    lower = np.stack([here, beside, beside + sides], -1)
    upper = np.stack([here, beside + sides, here + sides], -1)
    return vertices, np.concatenate([lower, upper]).reshape(-1, 3)


def _between(profile, steps=6):
    """A profile with points in between, so that patterns show on straight walls."""
    profile = np.asarray(profile, float)
    pieces = [profile[:1]]
    for start, end in pairwise(profile):
        pieces.append(mix(start, end, np.linspace(0, 1, steps + 1)[1:, None]))
        pieces.append(end[None])
    return np.vstack(pieces)


def _turned(rng, profile, material=GLAZE):
    vertices, faces = lathe(_between(profile))
    return _smooth(vertices, faces, _pattern(rng, vertices), material)


def cup(rng):
    """A cup or beaker with a visible inside, 1 high."""
    low, high, wall = rng.uniform(0.24, 0.4), rng.uniform(0.34, 0.5), 0.035
    outside = [(0, 0), (low, 0), (high, 1)]
    inside = [(high - wall, 1), (low - wall, 0.08), (0, 0.08)]
    return _turned(rng, outside + inside)


def vase(rng):
    """A vase or bottle with a belly and a neck, 1 high."""
    belly, neck = rng.uniform(0.22, 0.36), rng.uniform(0.06, 0.14)
    height = np.linspace(0, 1, 14)
    shoulder = rng.uniform(0.5, 0.7)
    bulge = np.sin(np.pi * np.clip(height / shoulder * 0.75 + 0.2, 0, 1)) ** 0.8
    radius = np.where(height < shoulder, belly * bulge, neck)
    radius = np.convolve(np.pad(radius, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
    vertices, faces = lathe(np.c_[np.r_[0, radius, 0], np.r_[0, height, 0.97]])
    return _smooth(vertices, faces, _pattern(rng, vertices), GLAZE)


def bowl(rng):
    """A wide bowl, 0.5 high."""
    angle = np.linspace(0.35, np.pi / 2, 9)
    outer = np.c_[0.55 * np.sin(angle), 0.5 - 0.5 * np.cos(angle)]
    profile = np.vstack([[0, 0], [0.2, 0], outer, outer[::-1] * [0.93, 1] + [0, 0.02], [0, 0.05]])
    vertices, faces = lathe(profile)
    return _smooth(vertices, faces, _pattern(rng, vertices), GLAZE)


def plain_ball(rng):
    """A ball without seams, 1 across."""
    angle = np.linspace(0, np.pi, 20)
    vertices, faces = lathe(np.c_[0.5 * np.sin(angle), 0.5 - 0.5 * np.cos(angle)])
    colours = _pattern(rng, vertices)
    turn = rotation_x(rng.uniform(0, np.pi)) @ rotation_z(rng.uniform(0, np.pi))
    centred = (vertices - [0, 0, 0.5]) @ turn.T + [0, 0, 0.5]
    return _smooth(centred, faces, colours, {"roughness": rng.uniform(0.3, 0.7)})


def traffic_cone(rng):
    """A cone on a flat foot, 1 high, with a pale band."""
    paint, band = _paint(rng), np.array([0.62, 0.61, 0.58])
    profile = _between([(0, 0), (0.42, 0), (0.42, 0.06), (0.3, 0.06), (0.05, 1), (0, 1)], 8)
    vertices, faces = lathe(profile)
    height = vertices[:, 2]
    banded = (height > 0.4) & (height < 0.65)
    return _smooth(vertices, faces, np.where(banded[:, None], band, paint), {"roughness": 0.5})


def _block(half_sizes, colour):
    """A box that rests on z = 0, in one colour."""
    x, y, z = half_sizes
    outline = [(-x, 0), (x, 0), (x, 2 * z), (-x, 2 * z)]
    return piece(*prism(outline, -y, y), colour, "background")


def box(rng):
    """A cardboard box or a crate, up to 1 high, some with a band around."""
    x, y, z = rng.uniform(0.28, 0.5, 3)
    colour = _paint(rng)
    pieces = [_block((x, y, z), colour)]
    if rng.uniform() < 0.6:
        width = rng.uniform(0.15, 0.4)
        pieces.append(_block((x * width, y * 1.01, z * 1.005), _paint(rng)))
    return join(pieces)


def books(rng):
    """A pile of two to five books."""
    pieces, height = [], 0.0
    for _ in range(rng.integers(2, 6)):
        x, y, z = rng.uniform(0.32, 0.48), rng.uniform(0.24, 0.34), rng.uniform(0.04, 0.09)
        cover = _paint(rng)
        turn = rotation_z(rng.normal(0, 0.2))
        leaves = _block((x * 0.96, y * 0.97, z * 0.78), (0.62, 0.58, 0.48))
        place = (0, 0, height)
        pieces.append(_block((x, y, z * 0.12), cover).moved(pose(turn, place)))
        pieces.append(leaves.moved(pose(turn, (0.03 * x, 0, height + z * 0.22))))
        pieces.append(_block((x, y, z * 0.12), cover).moved(pose(turn, (0, 0, height + 1.76 * z))))
        spine = _block((x * 0.03, y, z), cover)
        pieces.append(spine.moved(pose(turn, turn @ [-0.97 * x, 0, 0] + place)))
        height += 2 * z
    return join(pieces)


def stone(rng):
    """A rounded stone, about 1 across, a little sunk in."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    seed = int(rng.integers(1_000_000))
    dents = fbm(ball.vertices * rng.uniform(0.8, 1.6) + 5, seed, 4)
    vertices = ball.vertices * (0.28 + 0.5 * dents)[:, None] * rng.uniform([0.8, 0.8, 0.6], 1.2)
    vertices = vertices + [0, 0, np.quantile(vertices[:, 2], 0.85)]
    colour = STONE[rng.integers(len(STONE))] * rng.uniform(0.8, 1.3)
    shade = 0.5 + fbm(ball.vertices * 4, seed + 1, 4)
    return _smooth(vertices, ball.faces, colour * shade[:, None])


def log(rng):
    """A lying piece of a trunk, about 1 long."""
    radius = rng.uniform(0.1, 0.2)
    vertices, faces = cylinder((-0.55, 0, radius * 0.9), (0.55, 0, radius * 0.9), radius, 16)
    vertices, faces = trimesh.remesh.subdivide_to_size(vertices, faces, 0.15, max_iter=8)
    bark = mix(np.array([0.13, 0.09, 0.06]), np.array([0.30, 0.26, 0.21]), rng.uniform())
    ends = (np.abs(vertices[:, 0]) > 0.549)[:, None]
    shade = 0.5 + fbm(vertices * [3, 12, 12], int(rng.integers(1_000_000)), 3)
    colours = np.where(ends, np.array([0.42, 0.32, 0.20]), bark * shade[:, None])
    return piece(vertices, faces, colours, "background")


def mound(rng):
    """A termite mound, about 1 high."""
    angle = np.linspace(0, 1, 16)
    radius = 0.4 * (1 - angle) ** 0.6 * (1 - 0.25 * angle)
    vertices, faces = lathe(np.c_[radius, angle], 24)
    seed = int(rng.integers(1_000_000))
    swell = 0.6 + 0.8 * fbm(vertices * 3.5, seed, 3)
    vertices = vertices * np.c_[swell, swell, np.ones_like(swell)]
    earth = np.array([0.33, 0.20, 0.12]) * rng.uniform(0.7, 1.3)
    shade = 0.5 + fbm(vertices * 8, seed + 1, 3)
    return _smooth(vertices, faces, earth * shade[:, None])


def buoy(rng):
    """A floating buoy: a fat float, a tapering tower and a top mark, 1 above the water."""
    paint, other = _paint(rng), _paint(rng)
    top = rng.uniform(0.06, 0.12)
    profile = [(0, -0.15), (0.26, -0.15), (0.3, 0.15), (0.22, 0.22), (0.08, 0.72)]
    profile += [(0.03, 0.75), (top, 0.78), (top, 0.92), (0, 1)]
    vertices, faces = lathe(_between(profile, 4), 20)
    banded = (vertices[:, 2] > 0.3) & (vertices[:, 2] < 0.52)
    mesh = _smooth(vertices, faces, np.where(banded[:, None], other, paint), GLAZE)
    lean = rotation_x(rng.normal(0, 0.12)) @ rotation_y(rng.normal(0, 0.12))
    return mesh.moved(pose(lean))


def boat(rng):
    """A small boat with a cabin and a mast, about 1.3 long, afloat."""
    stations = np.linspace(-0.65, 0.65, 15)
    beam = 0.2 * np.clip(1 - np.clip(stations / 0.65, 0, 1) ** 2.2, 0.01, 1)
    sheer = 0.14 + 0.1 * np.clip(stations / 0.65, 0, 1) ** 2
    ribs = []
    for x, half, top in zip(stations, beam, sheer):
        ribs.append(
            [(x, half, top), (x, 0.8 * half, -0.05), (x, -0.8 * half, -0.05), (x, -half, top)]
        )
    vertices = np.array(ribs).reshape(-1, 3)
    faces = []
    for i in range(len(stations) - 1):
        for j in range(4):
            a, b = 4 * i + j, 4 * i + (j + 1) % 4
            faces += [[a, a + 4, b + 4], [a, b + 4, b]]
    faces += [[0, 1, 2], [0, 2, 3]]
    hull = piece(vertices, faces, _paint(rng), "background")
    cabin = _block((rng.uniform(0.12, 0.24), 0.12, rng.uniform(0.08, 0.14)), _paint(rng))
    glass = _block((0.1, 0.125, 0.03), (0.03, 0.04, 0.05))
    aft = rng.uniform(-0.25, 0.05)
    pieces = [
        hull,
        cabin.moved(pose(shift=(aft, 0, 0.12))),
        glass.moved(pose(shift=(aft, 0, 0.21))),
    ]
    if rng.uniform() < 0.6:
        mast = cylinder((aft, 0, 0.2), (aft, 0, rng.uniform(0.5, 0.9)), 0.012, 6)
        pieces.append(piece(*mast, (0.5, 0.48, 0.42), "background"))
    return join(pieces)


def gulls(rng, spread):
    """Three to eight gulls in the air within `spread` metres, each two bent wings."""
    corners, count = [], rng.integers(3, 9)
    for _ in range(count):
        wing = spread * rng.uniform(0.02, 0.045)
        lift = wing * rng.uniform(0.1, 0.5)
        bird = np.array(
            [[0, 0, 0], [wing, 0.1 * wing, lift], [0.25 * wing, 0.35 * wing, 0.1 * lift]]
        )
        turn = rotation_z(rng.uniform(0, 2 * np.pi))
        place = rng.uniform(-1, 1, 3) * [spread, spread, 0.25 * spread]
        for side in (1, -1):
            corners.append((bird * [side, 1, 1]) @ turn.T + place)
    vertices = np.vstack(corners)
    return piece(vertices, np.arange(len(vertices)).reshape(-1, 3), (0.5, 0.5, 0.5), "background")


INDOORS = (cup, vase, bowl, plain_ball, plain_ball, box, box, books, traffic_cone)
OUTDOORS = (plain_ball, box, traffic_cone, stone, stone, log, cup)
SAVANNA = (stone, stone, mound, log)
SEA = (buoy, buoy, boat, boat, stone)


def thing(rng, kinds, size) -> Mesh:
    """One of `kinds` (functions of this module), its largest side `size` metres, at the origin."""
    mesh = kinds[rng.integers(len(kinds))](rng)
    scale = np.eye(4)
    scale[:3, :3] *= size / np.ptp(mesh.vertices, axis=0).max()
    return mesh.moved(scale)


def indoor_thing(rng, size):
    """Something that stands in a room, its largest side `size` metres."""
    return thing(rng, INDOORS, size)
