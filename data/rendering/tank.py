"""A tank: hull, turret, gun and tracks, painted in camouflage, some with branches tied on."""

import numpy as np
import trimesh

from .meshes import cylinder, join, leaf_cards, piece, prism, rotation_z
from .noise import fbm, mix

CAMOUFLAGE = np.array(
    [
        [(0.085, 0.105, 0.045), (0.15, 0.105, 0.06), (0.03, 0.03, 0.027)],
        [(0.10, 0.115, 0.05), (0.055, 0.07, 0.03), (0.16, 0.14, 0.08)],
        [(0.115, 0.12, 0.065), (0.10, 0.105, 0.055), (0.085, 0.09, 0.05)],
        [(0.26, 0.21, 0.13), (0.13, 0.12, 0.06), (0.18, 0.13, 0.08)],
    ]
)
"""Base colour and two kinds of patches of four paints."""
RUBBER = (0.035, 0.032, 0.028)
MUD = np.array([0.17, 0.13, 0.09])


class _Painter:
    """Paints pieces with one tank's camouflage, and with mud below."""

    def __init__(self, rng):
        self.colours = CAMOUFLAGE[rng.integers(len(CAMOUFLAGE))]
        self.scale = rng.uniform(0.7, 1.4)
        self.seed = int(rng.integers(1_000_000))

    def paint(self, vertices):
        base, first, second = self.colours
        patches = fbm(vertices * self.scale + 7, self.seed, 3) > 0.56
        others = fbm(vertices * self.scale * 1.1 + 31, self.seed + 5, 3) > 0.6
        colour = np.where(patches[:, None], first, base)
        colour = np.where(others[:, None], second, colour)
        dust = fbm(vertices * 3, self.seed + 9, 3)[:, None]
        mud = np.clip(1 - vertices[:, 2:] / 1.3, 0, 1) * 0.6 * dust
        return mix(colour * (0.8 + 0.4 * dust), MUD, mud)

    def part(self, name, vertices, faces, spacing=0.16):
        """A painted piece; long triangles are split to `spacing` metres so that patches show."""
        vertices, faces = trimesh.remesh.subdivide_to_size(vertices, faces, spacing, max_iter=12)
        return piece(vertices, faces, self.paint(vertices), name)


def _track_outline(rear, front, height, radius, points=8):
    """A stadium in the x-z plane: the side view of a track."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, points)
    ahead = np.c_[front + radius * np.cos(angle), height + radius * np.sin(angle)]
    behind = np.c_[rear - radius * np.cos(angle), height - radius * np.sin(angle)]
    return np.vstack([ahead, behind])


def _running_gear(paint, rng, half_length, half_width, side):
    """One track with seven road wheels, and half the time a side skirt."""
    inner, outer = side * (half_width - 0.58), side * half_width
    outline = _track_outline(-half_length + 0.45, half_length - 0.5, 0.5, 0.48)
    pieces = [piece(*prism(outline, min(inner, outer), max(inner, outer)), RUBBER, "tracks")]
    for x in np.linspace(-half_length + 0.5, half_length - 0.55, 7):
        start, end = (x, outer - side * 0.1, 0.42), (x, outer + side * 0.03, 0.42)
        hub = (x, outer + side * 0.05, 0.42)
        pieces.append(piece(*cylinder(start, end, 0.33), paint.colours[0] * 0.75, "tracks"))
        pieces.append(piece(*cylinder(end, hub, 0.13, 10), RUBBER, "tracks"))
    if rng.uniform() < 0.5:
        rear, front = -half_length + 0.1, half_length - 0.5
        skirt = [(rear, 0.72), (front, 0.72), (front, 1.1), (rear, 1.1)]
        plate = sorted([outer + side * 0.06, outer + side * 0.1])
        pieces.append(paint.part("hull", *prism(skirt, *plate)))
    return pieces


def _hull(paint, rng, half_length, half_width):
    """The hull's box, the fenders over the tracks and three stowage boxes."""
    h, w = half_length, half_width
    side_view = [
        (-h, 0.55), (h - 0.7, 0.45), (h, 0.95), (h - 0.95, 1.42), (-h + 0.25, 1.42), (-h, 1.2),
    ]  # fmt: skip
    fenders = [(-h - 0.1, 1.06), (h - 0.25, 1.06), (h - 0.6, 1.2), (-h - 0.1, 1.2)]
    pieces = [
        paint.part("hull", *prism(side_view, -w + 0.23, w - 0.23)),
        paint.part("hull", *prism(fenders, -w, w)),
    ]
    for _ in range(3):
        x, y = rng.uniform(-h * 0.8, -0.8), rng.choice([-1, 1]) * (w - 0.35)
        crate = [(x - 0.4, 1.2), (x + 0.4, 1.2), (x + 0.4, 1.5), (x - 0.4, 1.5)]
        pieces.append(paint.part("hull", *prism(crate, y - 0.22, y + 0.22)))
    return pieces


def _welded_turret(length, half_width):
    """A turret of flat plates, narrower towards the top -> vertices, faces."""
    n = length
    side_view = [
        (-n - 0.5, 1.5), (n, 1.45), (n + 0.35, 1.72), (n - 0.6, 2.22), (-n - 0.3, 2.22),
        (-n - 0.6, 1.9),
    ]  # fmt: skip
    vertices, faces = prism(side_view, -half_width * 0.72, half_width * 0.72)
    height = np.clip((vertices[:, 2] - 1.5) / 0.75, 0, 1)
    vertices[:, 1] *= 1 - 0.28 * height
    return vertices, faces


def _cast_turret(sides=20):
    """A round, domed turret -> vertices, faces."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = [(1.42, 1.15), (1.6, 1.25), (1.95, 1.05), (2.15, 0.75), (2.24, 0.35), (2.26, 0.01)]
    vertices = [
        np.c_[1.15 * radius * np.cos(angle), radius * np.sin(angle), np.full(sides, z)]
        for z, radius in rings
    ]
    faces = []
    for i in range(len(rings) - 1):
        for j in range(sides):
            a, b = i * sides + j, i * sides + (j + 1) % sides
            faces += [[a, b, b + sides], [a, b + sides, a + sides]]
    return np.vstack(vertices), np.array(faces)


def _turret_and_gun(paint, rng, half_width):
    """Turret, cupola, antenna and gun, turned together; most guns point roughly ahead."""
    azimuth = rng.normal(0, 0.6) if rng.uniform() < 0.75 else rng.uniform(-np.pi, np.pi)
    turn, back = rotation_z(azimuth).T, np.array([-0.2, 0, 0])
    length = rng.uniform(1.2, 1.6)
    vertices, faces = _welded_turret(length, half_width) if rng.uniform() < 0.5 else _cast_turret()
    pieces = [paint.part("turret", vertices @ turn + back, faces)]
    vertices, faces = cylinder((-0.5, 0.45, 2.1), (-0.5, 0.45, 2.42), 0.33)
    pieces.append(paint.part("turret", vertices @ turn + back, faces, spacing=0.2))
    vertices, faces = cylinder((-1.2, -0.6, 2.2), (-1.25, -0.6, 3.6), 0.015, 5)
    pieces.append(piece(vertices @ turn + back, faces, (0.03, 0.03, 0.03), "turret"))
    elevation, reach = rng.uniform(-0.02, 0.1), rng.uniform(3.2, 4.4)
    ahead = np.array([np.cos(elevation), 0, np.sin(elevation)])
    breech = np.array([length * 0.7, 0, 1.82])
    barrel = [(0, reach, 0.085), (0.5 * reach, 0.68 * reach, 0.125), (reach - 0.3, reach, 0.12)]
    for start, end, radius in [*barrel, (0, 0.6, 0.17)]:
        vertices, faces = cylinder(breech + ahead * start, breech + ahead * end, radius, 12)
        pieces.append(paint.part("gun", vertices @ turn + back, faces, spacing=0.25))
    return pieces


def _branches(rng, half_length, half_width):
    """Leaves tied to the tank in a few bunches; each belongs to the part it lies on."""
    n = int(rng.integers(60, 220))
    bunches = rng.uniform(-1, 1, (5, 2)) * [half_length * 0.7, half_width * 0.8]
    spots = bunches[rng.integers(0, 5, n)] + rng.normal(0, 0.35, (n, 2))
    points = np.c_[spots, rng.uniform(1.2, 2.3, n)]
    pieces = []
    for part, chosen in (("hull", points[:, 2] < 1.45), ("turret", points[:, 2] >= 1.45)):
        vertices, faces = leaf_cards(points[chosen], 0.3, rng)
        shade = np.array([0.12, 0.17, 0.04]) * rng.uniform(0.7, 1.3, (chosen.sum(), 1))
        pieces.append(piece(vertices, faces, shade.repeat(4, axis=0), part))
    return pieces


def tank(seed):
    """A `Mesh` of one tank, 5.6 to 6.8 m long, facing +x, standing on z = 0.

    Parts: hull, turret, gun, tracks. The seed decides proportions, turret, paint and branches.
    """
    rng = np.random.default_rng([seed, 14])
    half_length, half_width = rng.uniform(2.8, 3.4), rng.uniform(1.5, 1.75)
    paint = _Painter(rng)
    pieces = _hull(paint, rng, half_length, half_width)
    for side in (-1, 1):
        pieces += _running_gear(paint, rng, half_length, half_width, side)
    pieces += _turret_and_gun(paint, rng, half_width)
    if rng.uniform() < 0.6:
        pieces += _branches(rng, half_length, half_width)
    return join(pieces)
