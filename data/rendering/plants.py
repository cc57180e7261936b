"""Trees, conifers, bushes and tufts of grass, grown once and placed many times."""

from functools import cache

import mitsuba as mi
import numpy as np

from .meshes import join, leaf_cards, piece, tube
from .noise import mix
from .renderer import leaf_surface, visible_shape

BARK = np.array([0.16, 0.115, 0.08])


def _leaves(points, size, rng, colour, spread, tint, **options):
    """A mesh of leaves, each with a shade (`spread`) and a tint of its own."""
    vertices, faces = leaf_cards(points, size, rng, **options)
    n = len(points)
    shades = colour * rng.uniform(*spread, (n, 1)) * (1 + rng.normal(0, tint, (n, 3)))
    return piece(vertices, faces, np.repeat(np.clip(shades, 0.01, 0.9), 4, axis=0), "background")


def _twig(points, radii, sides, shade):
    vertices, faces = tube(points, radii, sides)
    return piece(vertices, faces, BARK * shade, "background")


def _in_ball(rng, n, inner):
    """Points between the radii `inner` and 1, denser outside than a uniform ball."""
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * rng.uniform(inner, 1, n)[:, None] ** 0.5


def broad_tree(rng, height, leaves=3500):
    """A broad-leaved tree: a bent trunk, nine to thirteen limbs, leaves at each limb's end."""
    green = mix(np.array([0.10, 0.20, 0.035]), np.array([0.19, 0.23, 0.05]), rng.uniform())
    crown_base = height * rng.uniform(0.28, 0.42)
    trunk = np.zeros((6, 3))
    trunk[1:, :2] = np.cumsum(rng.normal(0, 0.1, (5, 2)), axis=0)
    trunk[:, 2] = np.r_[-0.3, height * 0.75 * np.arange(1, 6) / 5]
    radii = np.linspace(0.035, 0.012, 6) * height
    pieces = [_twig(trunk, radii, 7, rng.uniform(0.7, 1.2))]
    ends = [np.array([0, 0, height * 0.85])]
    for _ in range(rng.integers(9, 14)):
        angle, z = rng.uniform(0, 2 * np.pi), rng.uniform(crown_base, height * 0.86)
        bulge = np.sqrt(max(0.05, 1 - ((z - height * 0.55) / (height * 0.45)) ** 2))
        reach = height * 0.33 * bulge * rng.uniform(0.5, 1)
        end = np.array([np.cos(angle) * reach, np.sin(angle) * reach, z])
        start = np.array([*trunk[2, :2], max(crown_base * 0.6, z - reach * 0.8)])
        limb = [start, mix(start, end, 0.5) - [0, 0, 0.1], end]
        pieces.append(
            _twig(limb, np.array([0.014, 0.009, 0.003]) * height, 5, rng.uniform(0.7, 1.1))
        )
        ends.append(end)
    for end in ends:
        n = leaves // len(ends)
        cloud = _in_ball(rng, n, 0.35) * height * rng.uniform(0.13, 0.2) * [1, 1, 0.75]
        points = end + cloud + rng.normal(0, 0.03 * height, (n, 3))
        shade = green * rng.uniform(0.75, 1.25)
        pieces.append(_leaves(points, 0.34, rng, shade, (0.7, 1.3), 0.06))
    return join(pieces)


def conifer(rng, height, needles=3000):
    """A conifer: a straight trunk and whorls of drooping needles, narrower towards the top."""
    green = mix(np.array([0.05, 0.105, 0.04]), np.array([0.08, 0.13, 0.06]), rng.uniform())
    trunk = [[0, 0, -0.3], [0, 0, height * 0.5], [0, 0, height]]
    pieces = [_twig(trunk, np.array([0.025, 0.015, 0.003]) * height, 7, rng.uniform(0.6, 1))]
    level = rng.beta(1.1, 1.8, needles) * 0.86 + 0.12
    angle = rng.uniform(0, 2 * np.pi, needles)
    whorl = np.floor(level * 14)
    lobes = 0.75 + 0.25 * np.cos(3 * angle + whorl * 37 / 14)
    gaps = 0.55 + 0.45 * ((level * 14) % 1 < 0.75)
    reach = height * 0.22 * (1 - level) ** 0.8 * lobes * gaps * rng.uniform(0.25, 1, needles) ** 0.6
    points = np.stack(
        [np.cos(angle) * reach, np.sin(angle) * reach, level * height - reach * 0.25], 1
    )
    outwards = np.stack([np.cos(angle), np.sin(angle), np.full(needles, -0.35)], 1)
    directions = outwards + 0.45 * rng.normal(size=(needles, 3))
    pieces.append(
        _leaves(points, 0.55, rng, green, (0.65, 1.35), 0.05, directions=directions, aspect=0.4)
    )
    return join(pieces)


def bush(rng, height, leaves=900):
    """A bush: six clumps of small leaves on thin stems."""
    green = mix(np.array([0.10, 0.18, 0.035]), np.array([0.20, 0.22, 0.06]), rng.uniform())
    pieces = []
    for clump in rng.normal(0, 0.35, (6, 3)) * height * [1, 1, 0.2] + [0, 0, height * 0.45]:
        pieces.append(_twig([[0, 0, -0.1], clump * 0.6, clump], [0.03, 0.02, 0.01], 4, 1.0))
        points = clump + _in_ball(rng, leaves // 6, 0.3) * height * 0.42
        points[:, 2] = np.abs(points[:, 2])
        upwards = rng.normal(size=points.shape) * [1, 1, 0.7] + [0, 0, 0.2]
        shade = green * rng.uniform(0.8, 1.2)
        pieces.append(_leaves(points, 0.17, rng, shade, (0.7, 1.3), 0.06, directions=upwards))
    return join(pieces)


def grass_tuft(rng, dryness, blades=170, height=0.45, radius=0.55):
    """A tuft of bent blades, each of one colour, from fresh green (dryness 0) to straw (1)."""
    green = mix(np.array([0.11, 0.19, 0.035]), np.array([0.33, 0.28, 0.12]), dryness * 0.8)
    angle, out = rng.uniform(0, 2 * np.pi, blades), np.sqrt(rng.uniform(0, 1, blades)) * radius
    root = np.stack([np.cos(angle) * out, np.sin(angle) * out, 0 * out], 1)
    length = (height * rng.uniform(0.5, 1.2, blades))[:, None]
    lean, bend = rng.uniform(0, 2 * np.pi, blades), rng.uniform(0.15, 0.7, blades)[:, None]
    forward = np.stack([np.cos(lean), np.sin(lean), 0 * lean], 1)
    side = np.stack([-np.sin(lean), np.cos(lean), 0 * lean], 1)
    side = side * 0.014 * rng.uniform(0.8, 1.6, blades)[:, None]
    middle = root + forward * bend * length * 0.3 + length * 0.6 * np.array([0, 0, 1])
    tip = root + forward * bend * length + length * np.array([0, 0, 1])
    corners = [root - side, root + side, middle + side * 0.8, middle - side * 0.8, tip]
    first = np.arange(blades)[:, None, None] * 5
    faces = (first + np.array([[0, 1, 2], [0, 2, 3], [3, 2, 4]])[None]).reshape(-1, 3)
    shade = green * rng.uniform(0.65, 1.35, (blades, 1)) * (1 + rng.normal(0, 0.07, (blades, 3)))
    colours = np.repeat(np.clip(shade, 0.01, 0.9), 5, axis=0)
    return piece(np.stack(corners, 1).reshape(-1, 3), faces, colours, "background")


def _group(mesh, bsdf):
    """A Mitsuba shape group: geometry that is stored once and instanced many times."""
    return mi.load_dict({"type": "shapegroup", "mesh": visible_shape(mesh, bsdf)})


@cache
def nursery():
    """The plants of every scene: lists of shape groups under "tree", "conifer", "bush", "grass".

    Grass runs from fresh (first) to dry (last).
    """
    rng, leaf = np.random.default_rng(0), leaf_surface()
    grow = {
        "tree": [broad_tree(rng, rng.uniform(7, 11)) for _ in range(6)],
        "conifer": [conifer(rng, rng.uniform(9, 13)) for _ in range(4)],
        "bush": [bush(rng, rng.uniform(1, 2)) for _ in range(6)],
        "grass": [grass_tuft(rng, dryness) for dryness in np.linspace(0, 1, 8)],
    }
    return {kind: [_group(mesh, leaf) for mesh in meshes] for kind, meshes in grow.items()}


def plant(kind, number, position, scale, rotation):
    """One plant of the nursery at `position` (x, y, z), turned by `rotation` degrees."""
    to_world = mi.ScalarTransform4f().translate([float(v) for v in position])
    to_world = to_world.rotate([0, 0, 1], float(rotation)).scale(float(scale))
    groups = nursery()[kind]
    return {"type": "instance", "shapegroup": groups[number % len(groups)], "to_world": to_world}
