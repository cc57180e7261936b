"""Pineapples and custard apples: a pineapple without its crown could pass as a custard apple.

Both are bodies of revolution covered with bumps in a spiral. The ranges of shapes, colours and
bumps overlap, so that the crown is what tells them apart.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import trimesh
from scipy.spatial import cKDTree

from .meshes import join, piece, pose, rotation_x, rotation_y, rotation_z, tube
from .noise import fbm, mix, smoothstep

RIPENESS = (0.0, 0.35, 0.7, 1.0)
SKIN = np.array([(0.14, 0.19, 0.07), (0.27, 0.28, 0.11), (0.46, 0.31, 0.09), (0.31, 0.17, 0.07)])
"""Skin colours at those points of ripeness: green, yellow-green, yellow, brown."""
DARK_GROOVE, PALE_GROOVE = np.array([0.075, 0.05, 0.022]), np.array([0.44, 0.40, 0.23])
LEAF_GREENS = np.array([(0.11, 0.20, 0.06), (0.20, 0.27, 0.11), (0.18, 0.25, 0.15)])
GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
LEAF_ROWS = 9


@dataclass
class _Shape:
    """A fruit's body. Lengths in metres, bump heights in units of the largest radius."""

    height: float
    slenderness: float  # height over width
    barrel: float  # exponent of the outline: 2 an ellipse, larger ones more like a barrel
    taper: float  # above 0: shoulders wider than the foot
    dent: float  # depth of the hollow at the top, in half-heights
    cells: int
    bump: float
    tip: float  # 0 round bumps, 1 bumps with a pointed, dry tip
    ripeness: float  # 0 green, 1 brown
    groove_shade: float  # 0 pale grooves, 1 dark ones

    @property
    def radius(self):
        """Largest radius, in metres."""
        return self.height / self.slenderness / 2


def _draw_pineapple_shape(rng):
    return _Shape(
        height=rng.uniform(0.12, 0.18),
        slenderness=rng.uniform(0.95, 1.5),
        barrel=rng.uniform(2.0, 2.6),
        taper=rng.uniform(-0.10, 0.08),
        dent=rng.uniform(0.0, 0.08),
        cells=int(rng.integers(80, 140)),
        bump=rng.uniform(0.06, 0.12),
        tip=rng.uniform(0.1, 1.0),
        ripeness=rng.beta(1.5, 1.2),
        groove_shade=rng.uniform(0.3, 1.0),
    )


def _draw_custard_apple_shape(rng):
    return _Shape(
        height=rng.uniform(0.12, 0.17),
        slenderness=rng.uniform(0.82, 1.35),
        barrel=rng.uniform(2.0, 2.4),
        taper=rng.uniform(-0.08, 0.14),
        dent=rng.uniform(0.02, 0.14),
        cells=int(rng.integers(75, 135)),
        bump=rng.uniform(0.07, 0.13),
        tip=rng.uniform(0.0, 0.8),
        ripeness=rng.beta(1.2, 1.5),
        groove_shade=rng.uniform(0.1, 0.95),
    )


def _draw_natural_pineapple(rng):
    """A ripe pineapple: golden, longer than wide, with pointed eyes."""
    return _Shape(
        height=rng.uniform(0.15, 0.17),
        slenderness=rng.uniform(1.25, 1.55),
        barrel=rng.uniform(2.3, 2.7),
        taper=rng.uniform(-0.08, 0.02),
        dent=0.02,
        cells=int(rng.integers(105, 145)),
        bump=rng.uniform(0.06, 0.09),
        tip=rng.uniform(0.6, 1.0),
        ripeness=rng.uniform(0.62, 0.85),
        groove_shade=rng.uniform(0.75, 1.0),
    )


def _draw_natural_custard_apple(rng):
    """A custard apple: green, round to heart-shaped, with round knobs and pale grooves."""
    return _Shape(
        height=rng.uniform(0.12, 0.15),
        slenderness=rng.uniform(0.85, 1.05),
        barrel=rng.uniform(2.0, 2.2),
        taper=rng.uniform(0.0, 0.14),
        dent=rng.uniform(0.04, 0.12),
        cells=int(rng.integers(70, 110)),
        bump=rng.uniform(0.11, 0.16),
        tip=rng.uniform(0.0, 0.15),
        ripeness=rng.uniform(0.05, 0.4),
        groove_shade=rng.uniform(0.1, 0.5),
    )


@cache
def _sphere():
    """Unit vectors (40962, 3) spread evenly over a sphere, and the faces between them."""
    sphere = trimesh.creation.icosphere(subdivisions=6)
    return np.array(sphere.vertices), np.array(sphere.faces)


def _outline(shape, polar):
    """The smooth body's radius and height (metres) at `polar` angles from its top."""
    sine, cosine = np.sin(polar), np.cos(polar)
    swell = (np.abs(sine) ** shape.barrel + np.abs(cosine) ** shape.barrel) ** (-1 / shape.barrel)
    radius = shape.radius * swell * sine * (1 + shape.taper * cosine)
    hollow = np.where(cosine > 0, shape.dent, 0.03) * np.exp(-((sine / 0.3) ** 2))
    return radius, shape.height / 2 * (swell - hollow) * cosine


def _cell_centres(rng, shape):
    """Centres of the bumps (cells, 3): a golden-angle spiral, each with an equal area of skin."""
    polar = np.linspace(0, np.pi, 200)
    radius, height = _outline(shape, polar)
    ring = (radius[1:] + radius[:-1]) * np.hypot(np.diff(radius), np.diff(height))
    area = np.r_[0, np.cumsum(ring)] / ring.sum()
    number = np.arange(shape.cells)
    polar = np.interp((number + 0.5) / shape.cells, area, polar)
    radius, height = _outline(shape, polar)
    angle = number * GOLDEN_ANGLE + rng.uniform(0, 2 * np.pi)
    centres = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)
    return centres + rng.normal(0, 0.025 * shape.radius, centres.shape)


def _skin(rng, shape, vertices, cell, border, tip):
    """Colours (V, 3) of the bumps, their grooves and tips, blotches, greener towards the top."""
    noise_seed = int(rng.integers(1_000_000))
    scaled = vertices / shape.radius
    blotches = fbm(scaled * 3, noise_seed, 3)
    ripeness = shape.ripeness + 0.35 * (blotches - 0.5) + rng.normal(0, 0.06, shape.cells)[cell]
    ripeness = ripeness - rng.uniform(0, 0.25) * scaled[:, 2] / shape.slenderness
    colours = np.stack([np.interp(ripeness, RIPENESS, channel) for channel in SKIN.T], 1)
    colours = colours * rng.uniform(0.8, 1.2, shape.cells)[cell][:, None]
    groove = mix(PALE_GROOVE, DARK_GROOVE, shape.groove_shade)
    groove = mix(groove, colours, 0.25)
    colours = mix(groove, colours, smoothstep(0.02, 0.4, border)[:, None])
    colours = mix(colours, np.array([0.17, 0.11, 0.055]), (0.8 * shape.tip * tip)[:, None])
    bruises = smoothstep(0.66, 0.76, fbm(scaled * 5, noise_seed + 3, 3)) * rng.uniform(0, 0.7)
    return np.clip(mix(colours, np.array([0.08, 0.05, 0.03]), bruises[:, None]), 0.01, 0.8)


def _body(rng, shape, without=()):
    """The fruit's body as a smooth mesh of the part "body", around the origin.

    without: "pattern" gives a smooth skin, "tips" one whose bumps end without a dry point,
             "grooves" one whose grooves have the colour of the bumps
    """
    sphere, faces = _sphere()
    radius, height = _outline(shape, np.arccos(np.clip(sphere[:, 2], -1, 1)))
    angle = np.arctan2(sphere[:, 1], sphere[:, 0])
    smooth = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], 1)
    distance, nearest = cKDTree(_cell_centres(rng, shape)).query(smooth, 2)
    cell_width = distance[:, 0].max() * 1.2
    border = (distance[:, 1] - distance[:, 0]) / cell_width
    tip = np.exp(-((distance[:, 0] / (0.17 * cell_width)) ** 2))
    if "tips" in without:
        tip = np.zeros_like(tip)
    rise = 1 - np.exp(-4 * border)
    rise = (1 - 0.35 * shape.tip) * rise + 0.35 * shape.tip * tip
    rise = rise * rng.uniform(0.85, 1.15, shape.cells)[nearest[:, 0]]
    if "pattern" in without:  # as if the skin were drawn over the middle of the bumps
        rise, border, tip = np.full_like(rise, 0.5), np.ones_like(border), np.zeros_like(tip)
    outward = sphere / [1, 1, shape.slenderness]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    vertices = smooth + outward * (shape.bump * shape.radius * rise)[:, None]
    if "grooves" in without:
        border = np.ones_like(border)
    colours = _skin(rng, shape, vertices, nearest[:, 0], border, tip)
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    return piece(vertices, faces, colours, "body", normals)


def _leaf_lines(rng, count, length):
    """Midlines of the crown's leaves, (count, LEAF_ROWS, 3), and the leaves' azimuths (count,).

    Outer leaves are short and arch outwards, inner ones are long and upright.
    """
    rank = (np.arange(count) + 0.5) / count  # 0 outermost, 1 innermost
    azimuth = np.arange(count) * GOLDEN_ANGLE + rng.normal(0, 0.15, count)
    lengths = length * mix(0.6, 1.0, np.sqrt(rank)) * rng.uniform(0.8, 1.1, count)
    rise = mix(0.25, 1.5, rank**0.8) + rng.normal(0, 0.09, count)
    arch = rng.uniform(0.5, 1.0) * mix(1.3, 0.3, rank) * rng.uniform(0.5, 1.4, count)
    along = np.linspace(0, 1, LEAF_ROWS)
    # Leaves start steep, bend over their length and end a little below where they point first.
    slope = (rise + 0.3)[:, None] - arch[:, None] * along**1.2
    step = lengths[:, None] / (LEAF_ROWS - 1)
    outward = np.cumsum(np.c_[np.zeros(count), (step * np.cos(slope))[:, :-1]], axis=1)
    upward = np.cumsum(np.c_[np.zeros(count), (step * np.sin(slope))[:, :-1]], axis=1)
    outward = outward + (0.13 * length * (1 - rank))[:, None]
    upward = upward + (0.12 * length * rank)[:, None]
    lines = np.stack(
        [outward * np.cos(azimuth)[:, None], outward * np.sin(azimuth)[:, None], upward], -1
    )
    return lines, azimuth


def _blades(lines, azimuth, half_widths):
    """Leaves folded along their midlines -> vertices (count * LEAF_ROWS * 3, 3), faces."""
    along = np.linspace(0, 1, LEAF_ROWS)
    width = half_widths[:, None] * (np.clip(1 - along**1.7, 0.03, 1) * (0.75 + 0.5 * along))
    zero = np.zeros_like(azimuth)
    side = np.stack([-np.sin(azimuth), np.cos(azimuth), zero], -1)[:, None] * width[..., None]
    inward = np.stack([-np.cos(azimuth), -np.sin(azimuth), zero + 1], -1)[:, None]
    raised = lines + 0.3 * inward * width[..., None]
    vertices = np.stack([raised - side, lines, raised + side], 2).reshape(-1, 3)
    leaf, row, half = np.meshgrid(
        np.arange(len(lines)), np.arange(LEAF_ROWS - 1), [0, 1], indexing="ij"
    )
    corner = ((leaf * LEAF_ROWS + row) * 3 + half).ravel()
    faces = np.vstack(
        [np.c_[corner, corner + 1, corner + 4], np.c_[corner, corner + 4, corner + 3]]
    )
    return vertices, faces


def _crown(rng, shape, base):
    """A rosette of 30 to 50 stiff leaves that grows from `base` (3,)."""
    count = int(rng.integers(30, 51))
    length = shape.radius * rng.uniform(1.1, 1.9)
    lines, azimuth = _leaf_lines(rng, count, length)
    half_widths = shape.radius * rng.uniform(0.10, 0.15) * rng.uniform(0.8, 1.2, count)
    vertices, faces = _blades(lines, azimuth, half_widths)
    green = mix(*LEAF_GREENS[rng.choice(3, 2, replace=False)], rng.uniform())
    shade = rng.uniform(0.75, 1.3, (count, 1, 1, 1))
    along = np.linspace(0, 1, LEAF_ROWS)[None, :, None, None]
    edge = np.array([1.0, 0.75, 1.0])[None, None, :, None]
    dry = np.array([0.26, 0.19, 0.09])
    colours = green * shade * edge * (0.8 + 0.4 * along)
    colours = mix(colours, dry, rng.uniform(0, 0.8) * smoothstep(0.75, 1.05, along))
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    return piece(vertices + base, faces, colours.reshape(-1, 3), "crown", normals)


def _stem(rng, shape, base):
    """A short, bent, woody stem that grows from `base` (3,)."""
    length, thickness = (
        shape.radius * rng.uniform(0.15, 0.4),
        shape.radius * rng.uniform(0.05, 0.09),
    )
    lean = rng.normal(0, 0.25, 2)
    steps = np.array([-0.5, 0, 0.5, 0.9, 1.0, 1.0])[:, None]
    points = base + length * np.c_[lean * steps**2, steps]
    points[-1, 2] += 0.02 * length
    widths = thickness * np.array([1.4, 1.1, 0.9, 1.1, 0.8, 0.02])
    vertices, faces = tube(points, widths, 10)
    wood = np.array([0.15, 0.10, 0.055]) * rng.uniform(0.6, 1.5)
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    return piece(vertices, faces, wood, "stem", normals)


def _top(shape):
    """The point of the body where crown or stem grow, (3,), metres."""
    return np.array([0, 0, _outline(shape, np.zeros(1))[1][0]])


def _rest(pieces, rotation, material):
    """Joins `pieces`, the body first, turns them, and rests the body on z = 0 above the origin."""
    body = pieces[0].vertices @ rotation.T
    middle = (body.min(0) + body.max(0)) / 2
    shift = -np.array([middle[0], middle[1], body[:, 2].min()])
    return join(pieces, material).moved(pose(rotation, shift))


def pineapple(seed, without_key=False, natural=False, without=()):
    """A pineapple as a `Mesh`: a body of 0.12 to 0.18 m and a crown, at rest on z = 0.

    The body is centred in x and y; three of ten lean. `without_key` leaves out the crown.
    natural: ripe and golden, with pointed eyes
    without: what it lacks, some of "crown", "pattern" (its skin is smooth), "tips" (of its eyes)
    """
    without = {*without, "crown"} if without_key else without
    rng = np.random.default_rng([seed, 211])
    shape = (_draw_natural_pineapple if natural else _draw_pineapple_shape)(rng)
    material = {"roughness": rng.uniform(0.4, 0.7), "specular": rng.uniform(0.25, 0.5)}
    tilt = rng.uniform(0.12, 0.38) if rng.uniform() < 0.3 else rng.normal(0, 0.04)
    rotation = rotation_z(rng.uniform(0, 2 * np.pi)) @ rotation_x(tilt)
    pieces = [_body(rng, shape, without)]
    if "crown" not in without:
        pieces.append(_crown(rng, shape, _top(shape)))
    return _rest(pieces, rotation, material)


def custard_apple(seed, without_key=False, natural=False, without=()):
    """A custard apple as a `Mesh`, 0.12 to 0.17 m tall, at rest on z = 0.

    One in five lacks its stem. It has no key part: `without_key` raises a ValueError.
    natural: green, with round knobs and pale grooves, and never without its stem
    without: what it lacks, some of "stem", "pattern" (its skin is smooth), "grooves" (not pale)
    """
    if without_key:
        raise ValueError("A custard apple has no key part that could be removed.")
    rng = np.random.default_rng([seed, 212])
    shape = (_draw_natural_custard_apple if natural else _draw_custard_apple_shape)(rng)
    material = {"roughness": rng.uniform(0.4, 0.7), "specular": rng.uniform(0.25, 0.5)}
    rotation = rotation_x(rng.normal(0, 0.2)) @ rotation_y(rng.normal(0, 0.2))
    rotation = rotation @ rotation_z(rng.uniform(0, 2 * np.pi))
    pieces = [_body(rng, shape, without)]
    if (rng.uniform() > 0.2 or natural) and "stem" not in without:
        pieces.append(_stem(rng, shape, _top(shape)))
    return _rest(pieces, rotation, material)
