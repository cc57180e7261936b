"""Basketballs and volleyballs that differ in nothing but the layout of their seams.

Colours, sizes, leather, gloss and the look of the seams come from one distribution for both.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from course_utils.parts import PART_NUMBER

from .meshes import Mesh
from .noise import fbm, mix, smoothstep, value_noise

LEATHER = np.array(
    [(0.55, 0.19, 0.05), (0.44, 0.14, 0.045), (0.60, 0.26, 0.09), (0.30, 0.13, 0.06)]
)
PAINTS = np.array(
    [
        (0.66, 0.64, 0.58),  # white
        (0.60, 0.56, 0.45),  # cream
        (0.05, 0.13, 0.40),  # blue
        (0.48, 0.055, 0.05),  # red
        (0.035, 0.035, 0.04),  # black
        (0.62, 0.43, 0.05),  # yellow
        (0.05, 0.24, 0.10),  # green
    ]
)
PALE = np.array([0.70, 0.69, 0.66])
"""What is left of a ball's colours when they are taken away."""
LEATHER_SHARE = 0.4
PANEL_SHARE = 0.22
"""How many balls have panels in two or three colours."""
BLACK = 0.06
"""Colours of less luminance count as black."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass
class _Style:
    """Everything about a ball but its seams' layout; lengths in units of the radius."""

    radius: float  # metres
    colours: np.ndarray  # (3, 3): main, second and third colour
    seam_colour: np.ndarray
    seam_half_width: float
    groove_depth: float
    pebble_size: float
    pebble_height: float
    pebble_shade: float
    stains: float
    material: dict


def _colour(rng):
    """A leather or paint, a little lighter or darker."""
    palette = LEATHER if rng.uniform() < LEATHER_SHARE else PAINTS
    return np.clip(palette[rng.integers(len(palette))] * rng.uniform(0.8, 1.15), 0.02, 0.72)


def _other_colour(rng, main):
    """A colour that differs from `main` and is not black."""
    while True:
        colour = _colour(rng)
        if np.abs(colour - main).max() > 0.15 and colour @ LUMINANCE > BLACK:
            return colour


def _panel_colours(rng):
    """Main, second and third colour, (3, 3): mostly all the same.

    Black comes without panels, for no seam shows both on black and on white.
    """
    main = _colour(rng)
    if rng.uniform() > PANEL_SHARE or main @ LUMINANCE < BLACK:
        return np.stack([main, main, main])
    second = _other_colour(rng, main)
    third = _other_colour(rng, main) if rng.uniform() < 0.3 else main
    return np.stack([main, second, third])


def _seam_colour(rng, colours):
    """Black or a dark tone of the ball; pale on black balls and on some dim ones."""
    brightness = (colours @ LUMINANCE).max()
    black = np.array([0.014, 0.013, 0.012])
    pale = np.array([0.58, 0.55, 0.47]) * rng.uniform(0.7, 1.1)
    dark = mix(black, colours[0] * 0.2, rng.uniform())
    pale_share = 1.0 if brightness < BLACK else 0.3 if brightness < 0.22 else 0.0
    return pale if rng.uniform() < pale_share else dark


NATURAL_ORANGE = np.array([(0.38, 0.085, 0.018), (0.31, 0.068, 0.017), (0.35, 0.095, 0.028)])
"""Basketballs as they are sold: orange, brown, and light when new."""
NATURAL_PANELS = np.array(
    [
        [(0.72, 0.72, 0.70), (0.03, 0.10, 0.42), (0.72, 0.52, 0.03)],
        [(0.72, 0.72, 0.70), (0.03, 0.10, 0.42), (0.72, 0.72, 0.70)],
        [(0.74, 0.74, 0.73), (0.72, 0.52, 0.03), (0.74, 0.74, 0.73)],
    ]
)
"""Volleyballs as they are sold: white with blue, yellow or both."""
OVAL = np.array([1.22, 0.905, 0.905])
"""Half axes of an oval ball in radii; its volume is that of the round one."""


def _natural_basketball(rng):
    colour = NATURAL_ORANGE[rng.integers(3)] * rng.uniform(0.9, 1.1)
    return _Style(
        radius=0.12,
        colours=np.stack([colour, colour, colour]),
        seam_colour=np.array([0.012, 0.011, 0.010]),
        seam_half_width=rng.uniform(0.024, 0.032),
        groove_depth=rng.uniform(0.014, 0.022),
        pebble_size=rng.uniform(0.026, 0.032),
        pebble_height=rng.uniform(0.004, 0.006),
        pebble_shade=rng.uniform(0.15, 0.3),
        stains=rng.uniform(0.05, 0.25),
        material={"roughness": rng.uniform(0.4, 0.55), "specular": rng.uniform(0.35, 0.5)},
    )


def _natural_volleyball(rng):
    return _Style(
        radius=0.105,
        colours=NATURAL_PANELS[rng.choice(3, p=[0.4, 0.35, 0.25])],
        seam_colour=np.array([0.16, 0.16, 0.16]) * rng.uniform(0.7, 1.3),
        seam_half_width=rng.uniform(0.012, 0.018),
        groove_depth=rng.uniform(0.016, 0.026),
        pebble_size=0.02,
        pebble_height=0.0005,
        pebble_shade=0.06,
        stains=rng.uniform(0.03, 0.15),
        material={"roughness": rng.uniform(0.4, 0.6), "specular": rng.uniform(0.3, 0.5)},
    )


def _draw_style(rng):
    colours = _panel_colours(rng)
    return _Style(
        radius=rng.uniform(0.105, 0.125),
        colours=colours,
        seam_colour=_seam_colour(rng, colours),
        seam_half_width=rng.uniform(0.019, 0.031),
        groove_depth=rng.uniform(0.014, 0.026),
        pebble_size=rng.uniform(0.018, 0.032),
        pebble_height=rng.uniform(0.0005, 0.005),
        pebble_shade=rng.uniform(0.05, 0.25),
        stains=rng.uniform(0.1, 0.5),
        material={"roughness": rng.uniform(0.4, 0.7), "specular": rng.uniform(0.3, 0.55)},
    )


@cache
def _sphere():
    """Unit vectors (40962, 3) spread evenly over a sphere, and the faces between them."""
    sphere = trimesh.creation.icosphere(subdivisions=6)
    return np.array(sphere.vertices), np.array(sphere.faces)


def _basketball_layout(rng, points):
    """Two great circles, and a bulging loop round either end of the x axis: eight panels.

    Returns the distance to the nearest seam (V,), in radii, and the panel colour's number (V,).
    """
    x, y, z = points.T
    turn = np.arctan2(z, y)
    bulge = rng.uniform(0.09, 0.15)
    level = rng.uniform(0.60, 0.66) - bulge * np.cos(2 * turn)
    sine = np.sqrt(np.clip(1 - x * x, 1e-6, None))
    # How fast |x| - level grows along the sphere turns its value into a distance.
    slope = np.hypot(sine, 2 * bulge * np.sin(2 * turn) / np.maximum(sine, 0.3))
    loops = np.abs(np.abs(x) - level) / slope
    distance = np.minimum(loops, np.minimum(np.abs(x), np.abs(z)))
    inside, quarter = np.abs(x) > level, x * z > 0
    pattern = rng.integers(3)
    if pattern == 0:
        return distance, np.where(inside, 1, 0)
    if pattern == 1:
        return distance, np.where(quarter, 1, np.where(inside, 2, 0))
    return distance, np.where(quarter ^ inside, 1, 0)


def _volleyball_layout(rng, points):
    """Six faces like a cube's, each of three strips that run across those of its neighbours.

    Returns the same as `_basketball_layout`.
    """
    size = np.abs(points)
    axis = size.argmax(1)
    row = np.arange(len(points))
    largest, across = size[row, axis], size[row, (axis + 1) % 3]
    second = np.sort(size, axis=1)[:, 1]
    edges = (largest - second) / np.sqrt(2)
    # A face spans 90 degrees, so its strips are 30 degrees wide: seams 15 degrees off its middle.
    tilt = np.radians(rng.uniform(14, 16))
    strips = np.abs(across * np.cos(tilt) - largest * np.sin(tilt))
    middle = across * np.cos(tilt) < largest * np.sin(tilt)
    pattern = rng.integers(3)
    if pattern == 0:
        panel = np.where(middle, 1, 0)
    elif pattern == 1:
        panel = np.where(axis == 0, 1, np.where(axis == 1, 2, 0))
    else:
        panel = np.where(middle ^ (axis == 2), 1, 0)
    return np.minimum(edges, strips), panel


def _paint(style, points, panel, seam, noise_seed):
    """Colours (V, 3): panels, pebbles, stains, and the seams on top."""
    colours = style.colours[panel]
    pebbles = value_noise(points / style.pebble_size, noise_seed)
    stains = fbm(points * 2.2, noise_seed + 1, 3)
    colours = colours * (1 + style.pebble_shade * (pebbles - 0.5))[:, None]
    colours = colours * (1 + style.stains * (stains - 0.5))[:, None]
    return np.clip(mix(colours, style.seam_colour, seam[:, None]), 0.01, 0.8), pebbles


def _resting(points, radii, scale):
    """The shift that puts a body of `radii` (V,) on z = 0, centred in x and y; metres."""
    body = points * radii[:, None] * scale
    middle = (body.min(0) + body.max(0)) / 2
    return -np.array([middle[0], middle[1], body[:, 2].min()])


def _plainer(style, without):
    """The style of a ball that lacks its pebbles or its colours."""
    if "pebbles" in without:
        style = replace(style, pebble_height=0.0, pebble_shade=0.0)
    if "colours" in without:
        style = replace(style, colours=np.broadcast_to(PALE, (3, 3)))
    return style


def _ball(seed, number, layout, without, natural_style=None):
    """A ball; `number` keeps apart the random numbers of the two classes."""
    rng = np.random.default_rng([seed, number])
    points, faces = _sphere()
    style = _plainer((natural_style or _draw_style)(rng), without)
    distance, panel = layout(rng, points)
    turn = Rotation.from_quat(rng.normal(size=4)).as_matrix()
    noise_seed = int(rng.integers(1_000_000))
    width = style.seam_half_width
    seam = smoothstep(1.35 * width, 0.65 * width, distance)
    shoulder = np.exp(-((distance / (2.5 * width)) ** 2))
    groove = style.groove_depth * (0.7 * seam + 0.3 * shoulder)
    if "seams" in without:
        seam, groove = np.zeros_like(seam), 0.0
        if natural_style is None:  # the borders of coloured panels are seams too
            panel = np.zeros_like(panel)
    colours, pebbles = _paint(style, points, panel, seam, noise_seed)
    radii = 1 + style.pebble_height * (pebbles - 0.5)
    turned = points @ turn.T
    # The ball without grooves decides where it rests, so that all versions lie alike.
    shift = _resting(turned, radii, style.radius)
    vertices = turned * (radii - groove)[:, None] * style.radius
    if "roundness" in without:  # longer from left to right, and still at rest on the ground
        vertices = vertices * OVAL
        shift = shift * [1, 1, OVAL[2]]
    vertices = vertices + shift
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    parts = np.where(seam > 0.5, PART_NUMBER["seams"], PART_NUMBER["body"])
    return Mesh(vertices, faces, colours, parts, normals, style.material)


def basketball(seed, without_key=False, natural=False, without=()):
    """A basketball as a `Mesh`, 0.21 to 0.25 m across, at rest on z = 0, turned at random.

    `without_key` leaves out the seams: no groove, no line, and one colour for all panels.
    natural: orange with black seams, as they are sold
    without: what the ball lacks, some of "seams", "pebbles", "colours" (it is pale) and
             "roundness" (it is oval)
    """
    without = {*without, "seams"} if without_key else without
    return _ball(seed, 201, _basketball_layout, without, _natural_basketball if natural else None)


def volleyball(seed, without_key=False, natural=False, without=()):
    """A volleyball as a `Mesh`, with the same options as `basketball`.

    Natural ones are white with blue or yellow panels, and have no pebbles to lose.
    """
    without = {*without, "seams"} if without_key else without
    return _ball(seed, 202, _volleyball_layout, without, _natural_volleyball if natural else None)
