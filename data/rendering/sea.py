"""A submarine and a grey whale, both awash, and the sea around them.

The two share length, beam, freeboard, colours, patches and gloss, so that little but the
submarine's sail and the whale's raised fluke tells them apart.
"""

from dataclasses import dataclass

import numpy as np
import trimesh

from course_utils.parts import PART_NUMBER

from .meshes import cylinder, join, piece, pose, rotation_x, rotation_y, rotation_z
from .noise import fbm, mix, smoothstep
from .renderer import plain_shape

RUST = np.array([0.17, 0.085, 0.045])
BARNACLES = np.array([0.42, 0.40, 0.35])
DARK_GREY = np.array([0.030, 0.033, 0.037])
MID_GREY = np.array([0.125, 0.130, 0.135])
SEA_COLOURS = (
    (0.005, 0.022, 0.035), (0.008, 0.035, 0.04), (0.015, 0.05, 0.05), (0.02, 0.03, 0.04),
)  # fmt: skip
BACK_SHARE = 0.84
"""A whale's back is this share of a submarine's hull; its fluke adds the rest of the length."""
TAIL_CUT = -0.45
"""The height, below any wave's trough, at which the tail of a whale without a fluke ends."""


@dataclass
class _Floater:
    """What a submarine and a whale draw from the same ranges (metres; z = 0 is the water line)."""

    length: float
    radius: float
    freeboard: float

    @classmethod
    def draw(cls, rng):
        length = rng.uniform(10, 15.5)
        return cls(length, length * rng.uniform(0.075, 0.095), rng.uniform(0.45, 0.9))

    @classmethod
    def draw_whale(cls, rng):
        """A whale's natural size: stout, and its back well above the water."""
        length = rng.uniform(11, 13)
        return cls(length, length * rng.uniform(0.085, 0.095), rng.uniform(0.75, 1.05))


class _Skin:
    """Grey, mottled, with patches of rust or barnacles: the same range for steel and for skin."""

    def __init__(self, rng):
        self.base = mix(DARK_GREY, MID_GREY, rng.uniform() ** 0.8) * (1 + rng.normal(0, 0.04, 3))
        self.patch = mix(RUST, BARNACLES, rng.uniform())
        self.amount = rng.uniform(0.0, 0.14)
        self.scale = rng.uniform(0.6, 1.2)
        self.seed = int(rng.integers(1_000_000))
        self.material = {
            "roughness": float(rng.uniform(0.28, 0.48)),
            "specular": float(rng.uniform(0.4, 0.6)),
        }

    @classmethod
    def of_steel(cls, rng):
        """A submarine's natural paint: dark grey, hardly any rust."""
        skin = cls(rng)
        skin.base = mix(DARK_GREY, MID_GREY, 0.35 * rng.uniform()) * [1, 1, 1.03]
        skin.patch, skin.amount = RUST, rng.uniform(0, 0.05)
        return skin

    @classmethod
    def of_whale(cls, rng, barnacles):
        """A grey whale's natural skin: slate grey and mottled, with or without barnacles."""
        skin = cls(rng)
        skin.base = np.array([0.060, 0.064, 0.068]) * rng.uniform(0.75, 1.3)
        amount = rng.uniform(0.08, 0.14)
        skin.patch, skin.amount = BARNACLES, amount if barnacles else -1.0
        skin.scale = rng.uniform(2.5, 4.0)
        return skin

    def paint(self, points):
        """Colours (N, 3) at `points` (N, 3) of the object's own space."""
        mottle = fbm(points * [0.6, 1.6, 1.6], self.seed, 4)[:, None]
        colour = self.base * (0.6 + 0.8 * mottle)
        where = fbm(points * self.scale + 9, self.seed + 4, 4)
        patches = smoothstep(0.72 - self.amount, 0.80 - self.amount, where)[:, None]
        return np.clip(mix(colour, self.patch * (0.7 + 0.6 * mottle), 0.75 * patches), 0.01, 0.9)


def _loft(rings):
    """A closed surface through `rings` (R, K, 3), capped by their end points -> vertices, faces."""
    count, sides = rings.shape[:2]
    corner = np.arange((count - 1) * sides)
    beside = corner // sides * sides + (corner + 1) % sides
    skin = np.vstack(
        [np.c_[corner, beside, beside + sides], np.c_[corner, beside + sides, corner + sides]]
    )
    side = np.arange(sides)
    beside, last = (side + 1) % sides, (count - 1) * sides
    first_cap = np.c_[np.full(sides, count * sides), beside, side]
    last_cap = np.c_[np.full(sides, count * sides + 1), last + side, last + beside]
    vertices = np.vstack([rings.reshape(-1, 3), rings[0].mean(0), rings[-1].mean(0)])
    return vertices, np.vstack([skin, first_cap, last_cap])


def _smooth_piece(vertices, faces, part, skin):
    """A painted piece whose normals point outwards."""
    shape = trimesh.Trimesh(vertices, faces, process=False)
    if shape.volume < 0:
        faces = faces[:, ::-1]
        shape = trimesh.Trimesh(vertices, faces, process=False)
    normals = np.array(shape.vertex_normals)
    return piece(vertices, faces, skin.paint(vertices), part, normals)


def _solid(centres, half_widths, half_heights, part, skin, exponent, ridge=0.0, sides=48):
    """A body along x: an upright section at each of `centres` (R, 3).

    Sections are ellipses; an `exponent` above 2 makes them boxier. `ridge` (R,) raises their
    tops, and only those.
    """
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / exponent)
    up = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / exponent)
    section = np.stack([0 * angle, across, up], -1)
    scale = np.stack([0 * half_widths, half_widths, half_heights], -1)
    rings = centres[:, None] + section * scale[:, None]
    rings[..., 2] += np.broadcast_to(ridge, len(centres))[:, None] * np.clip(up, 0, 1) ** 12
    return _smooth_piece(*_loft(rings), part, skin)


def _fin(part, skin, root, span, chords, thickness, sweep=0.0, sides=28):
    """A fin with rounded edges from `root` (3,) along `span` (3,); its chord lies along x.

    chords: lengths at the root and at the tip. thickness: a fraction of the chord.
    sweep: how far the tip lies behind the root, in metres.
    """
    # The last rings close in, which rounds the tip.
    along = np.r_[np.linspace(0, 0.93, 12), 0.965, 0.985, 0.997, 1.0]
    closing = np.r_[np.ones(12), 0.97, 0.90, 0.72, 0.35]
    span = np.asarray(span, float)
    side = np.cross([1.0, 0, 0], span / np.linalg.norm(span))
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    lengthwise = 0.5 * np.cos(angle)
    # Blunt in front, sharper behind, like an aerofoil.
    thick = 0.5 * thickness * np.sin(angle) * (0.82 + 0.36 * lengthwise)
    rings = []
    for t, close in zip(along, closing):
        chord = mix(chords[0], chords[1], t) * (0.9 + 0.1 * close)
        middle = np.asarray(root, float) + t * span - [sweep * t, 0, 0]
        outline = lengthwise[:, None] * [1.0, 0, 0] + close * thick[:, None] * side
        rings.append(middle + chord * outline)
    return _smooth_piece(*_loft(np.array(rings)), part, skin)


def _rod(start, end, radius, skin, part="sail"):
    """A round mast of the sail."""
    return _smooth_piece(*cylinder(start, end, radius, 10), part, skin)


def _hull(size, skin, bow, stern):
    """A steel hull that rounds off over `bow` and tapers over `stern`, shares of its length."""
    t = np.r_[np.linspace(0, 0.1, 16) ** 1.5 * 0.1**-0.5, np.linspace(0.12, 1, 50)]
    forward = np.sqrt(np.clip(1 - (1 - np.clip(t / bow, 0, 1)) ** 2.2, 0, 1))
    aft = 1 - 0.95 * np.clip((t - 1 + stern) / stern, 0, 1) ** 1.9
    radii = size.radius * np.maximum(forward * aft, 0.01)
    x = size.length * (0.5 - t)
    # The taper pulls the stern's axis down a little less than its deck.
    z = size.freeboard - size.radius - 0.5 * (size.radius - radii) * (t > 0.5)
    return _solid(np.stack([x, 0 * x, z], -1), radii, radii, "body", skin, exponent=2.15)


def _sail(rng, size, skin, natural):
    """The sail with its masts, and on most boats dive planes: a list of pieces."""
    x = size.length * rng.uniform(-0.16, 0.22)
    height, chord = rng.uniform(1.2, 1.75), size.length * rng.uniform(0.14, 0.20)
    thickness, sweep = rng.uniform(0.24, 0.36), rng.uniform(-0.1, 0.25)
    masts, planes = ("masts", "planes") if natural else ("sail", "sail")
    deck = size.freeboard
    chords = (chord, chord * rng.uniform(0.78, 0.98))
    root, span = (x, 0, deck - 0.35), (0, 0, height + 0.35)
    pieces = [_fin("sail", skin, root, span, chords, thickness, sweep)]
    for _ in range(rng.integers(1, 4)):
        mast_x = x - sweep + chord * rng.uniform(-0.22, 0.22)
        top = deck + height + rng.uniform(0.25, 0.9)
        foot = (mast_x, 0, deck + height - 0.2)
        pieces.append(_rod(foot, (mast_x, 0, top), rng.uniform(0.05, 0.10), skin, masts))
    if rng.uniform() < 0.7 or natural:
        plane_x, plane_z = x + 0.12 * chord, deck + height * rng.uniform(0.45, 0.7)
        for side in (-1, 1):
            reach = (0, side * (0.5 * thickness * chord + 0.75), 0)
            pieces.append(_fin(planes, skin, (plane_x, 0, plane_z), reach, (0.9, 0.6), 0.16))
    return pieces


def _rudders(rng, size, skin, natural):
    """The stern's upright rudder, small or under water, and the planes beside it.

    A natural one stands up from the water.
    """
    x, axis = -0.40 * size.length, size.freeboard - 1.22 * size.radius
    tip = rng.uniform(-0.5, 0.5)
    if natural:
        tip = 0.6 + 0.5 * (tip + 0.5)
    pieces = []
    for z in (tip, axis - 0.9):
        pieces.append(_fin("rudder", skin, (x, 0, axis), (0, 0, z - axis), (1.1, 0.8), 0.14, 0.1))
    for side in (-1, 1):
        reach = (0, side * 0.9 * size.radius, 0)
        pieces.append(_fin("rudder", skin, (x, 0, axis), reach, (1.0, 0.7), 0.14, 0.15))
    return pieces


def _centred(pieces, skin, without=(), added=()):
    """Joins the pieces but those of parts in `without`; centred by the bounding box of them all.

    added: pieces that are joined too but don't count for the box
    """
    whole = join(pieces)
    middle = (whole.vertices.min(0) + whole.vertices.max(0)) / 2
    gone = [PART_NUMBER[part] for part in without]
    kept = [p for p in pieces if p.parts[0] not in gone]
    return join([*kept, *added], skin.material).moved(pose(shift=(-middle[0], -middle[1], 0)))


def submarine(seed, without_key=False, natural=False, without=(), fluke=False):
    """A `Mesh` of a small submarine on the surface, 10 to 15.5 m long, heading for +x.

    z = 0 is the mean water line. Parts: body, sail (with its masts and planes), rudder.
    `without_key` leaves out the sail.
    natural: dark, with a rudder that stands up from the water; masts and planes are parts too
    without: what it lacks, some of "sail" (and what it carries), "masts", "planes", "rudder"
    fluke: raises a whale's fluke behind its stern
    """
    without = {*without, "sail"} if without_key else set(without)
    if "sail" in without:
        without |= {"masts", "planes"}
    rng = np.random.default_rng([seed, 31])
    size = _Floater.draw(rng)
    skin = _Skin.of_steel(rng) if natural else _Skin(rng)
    hull = _hull(size, skin, bow=rng.uniform(0.18, 0.38), stern=rng.uniform(0.40, 0.60))
    rudders = _rudders(rng, size, skin, natural)
    pieces = [hull, *rudders, *_sail(rng, size, skin, natural)]
    added = _tail_and_fluke(rng, size, skin)[1] if fluke else ()
    return _centred(pieces, skin, without, added)


def _back(rng, size, skin, without=()):
    """A whale's head, back and the start of its tail, down to below the water.

    without: "knuckles" leaves the ridge of the hind back smooth
    """
    t = np.linspace(0, 1, 90)
    shoulder, stern = rng.uniform(0.24, 0.36), rng.uniform(0.38, 0.52)
    forward = np.clip(1 - (1 - np.clip(t / shoulder, 0, 1)) ** 2.0, 0, 1) ** 0.5
    aft = 1 - 0.86 * np.clip((t - 1 + stern) / stern, 0, 1) ** 2.0
    radii = size.radius * np.maximum(forward * aft, 0.01)
    knuckles = np.clip(np.sin(2 * np.pi * t * rng.uniform(20, 26)), 0, 1) ** 0.7
    knuckles *= smoothstep(0.5, 0.58, t) * smoothstep(0.92, 0.8, t) * rng.uniform(0.05, 0.10)
    if "knuckles" in without:
        knuckles = np.zeros_like(knuckles)
    x = size.length * BACK_SHARE * (0.5 - t)
    droop = size.length * rng.uniform(0.02, 0.10) * np.clip(0.3 - t, 0, 1) ** 1.5
    z = size.freeboard - size.radius - 0.15 * (size.radius - radii) * (t > 0.4) - droop
    centres = np.stack([x, 0 * x, z], -1)
    return _solid(centres, 1.12 * radii, radii, "body", skin, exponent=2.15, ridge=knuckles)


def _flippers(size, skin):
    """Two flippers below the water."""
    x, z = 0.22 * size.length, size.freeboard - 1.25 * size.radius
    return [
        _fin(
            "flippers", skin, (x, 0, z), (0, side * 2.1 * size.radius, -0.5), (1.1, 0.6), 0.16, 0.7
        )
        for side in (-1, 1)
    ]


def _bent_tube(path, widths, depths, part, skin, sides=20):
    """A tube of elliptic section along `path` (N, 3): `widths` along x, `depths` along y."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    section = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
    scale = np.stack([widths, depths, 0 * widths], -1)
    return _smooth_piece(*_loft(path[:, None] + section * scale[:, None]), part, skin)


def _fluke_blade(half_span, chord, tip, bend, sides=18):
    """A fluke in its own plane -> vertices, faces. Span along x, z from the tail to the notch.

    `tip`: height of the lobes' tips, as a fraction of the chord. `bend`: how far they lean to y.
    """
    s = np.linspace(-1, 1, 45)
    out = np.abs(s)
    leading = chord * (0.02 + (tip - 0.02) * (0.25 * out + 0.75 * out**1.8))
    bulge = 0.74 + 0.26 * smoothstep(0, 0.3, out)
    trailing = chord * mix(bulge, tip, smoothstep(0.35, 1.0, out))
    middle, half_chord = (leading + trailing) / 2, np.maximum((trailing - leading) / 2, 0.01)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = np.empty((len(s), sides, 3))
    rings[..., 0] = half_span * s[:, None]
    thickness = 0.16 * half_chord * (1.1 - 0.4 * out)
    rings[..., 1] = thickness[:, None] * np.sin(angle) + (bend * out**2)[:, None]
    rings[..., 2] = middle[:, None] + half_chord[:, None] * np.cos(angle)
    return _loft(rings)


def _tail_and_fluke(rng, size, skin, natural=False):
    """The tail below the water, and a list with the raised stock and the fluke on it.

    The whale turns as it dives: its tail is twisted, so that from its side one sees the fluke's
    broad face and not its edge.
    """
    root_x, lean = -0.5 * BACK_SHARE * size.length, rng.uniform(-0.35, 0.25)
    rise = rng.uniform(0.8, 1.3)
    turn_x = root_x + size.length * rng.uniform(0.0, 0.08)
    t = np.linspace(0, 1, 40)
    depth = size.freeboard - 1.33 * size.radius
    # Backwards under water, then up: a quarter turn, leaning by `lean` metres for each metre.
    start = np.array([root_x + 0.22 * size.length, 0, depth])
    turn = np.array([turn_x, 0, depth - 0.1])
    top = np.array([turn_x + lean * rise, 0, rise])
    path = (1 - t[:, None]) ** 2 * start + 2 * (t * (1 - t))[:, None] * turn + t[:, None] ** 2 * top
    stout = 1.7 if natural else 1.0
    widths = stout * mix(0.34 * size.radius, 0.20, smoothstep(0, 0.9, t))
    depths = stout * mix(0.34 * size.radius, 0.13, smoothstep(0, 0.9, t))
    below = path[:, 2] < TAIL_CUT
    split = max(int(np.argmin(below | (t < 0.5))), 2)
    tail = _bent_tube(path[: split + 1], widths[: split + 1], depths[: split + 1], "tail", skin)
    stock = _bent_tube(path[split:], widths[split:], depths[split:], "fluke", skin)
    half_span, chord = rng.uniform(1.95, 2.5), rng.uniform(1.4, 1.85)
    if natural:
        half_span, chord = 1.25 * half_span, 1.1 * chord
    vertices, faces = _fluke_blade(half_span, chord, rng.uniform(0.5, 1.05), rng.normal(0, 0.2))
    tilt = rotation_z(rng.uniform(-0.14, 0.14)) @ rotation_x(rng.normal(0, 0.12))
    tilt = tilt @ rotation_y(np.arctan(lean) + rng.normal(0, 0.1))
    vertices = vertices @ tilt.T + top - [0, 0, 0.12]
    return tail, [stock, _smooth_piece(vertices, faces, "fluke", skin)]


def grey_whale(seed, without_key=False, natural=False, without=()):
    """A `Mesh` of a grey whale, its back awash and its fluke raised, looking along +x.

    About 10 to 15 m long; z = 0 is the mean water line. Parts: body, tail (below the water), fluke
    (with the stock that carries it, above the water), flippers. `without_key` leaves out what is
    labelled fluke.
    natural: slate grey and mottled, with barnacles and a larger fluke
    without: what it lacks, some of "fluke", "knuckles" (of its back), "barnacles"
    """
    without = {*without, "fluke"} if without_key else set(without)
    rng = np.random.default_rng([seed, 32])
    size = _Floater.draw_whale(rng) if natural else _Floater.draw(rng)
    skin = _Skin.of_whale(rng, "barnacles" not in without) if natural else _Skin(rng)
    back = _back(rng, size, skin, without)
    tail, fluke = _tail_and_fluke(rng, size, skin, natural)
    pieces = [back, tail, *_flippers(size, skin), *fluke]
    return _centred(pieces, skin, without & {"fluke"})


def _graded(half_fine, spacing, far, outer=34):
    """Coordinates from -far to far: every `spacing` metres within `half_fine`, then ever wider."""
    fine = np.arange(-half_fine, half_fine + spacing, spacing)
    coarse = np.geomspace(1, far / fine[-1], outer + 1)[1:] * fine[-1]
    return np.concatenate([-coarse[::-1], fine, coarse])


def _waves(rng, x, y, spacing):
    """Heights of a wind sea, metres, at x and y; waves too short for the local spacing fade out."""
    wind, roughness = rng.uniform(0, np.pi), rng.uniform(0.5, 1.5)
    height = np.zeros_like(x)
    for wavelength in np.geomspace(17, 1.1, 26):
        heading, phase = wind + rng.normal(0, 0.55), rng.uniform(0, 2 * np.pi)
        number = 2 * np.pi / (wavelength * rng.uniform(0.93, 1.07))
        along = number * (x * np.cos(heading) + y * np.sin(heading))
        # Crests bend and come in groups.
        across = 0.23 * number * (x * np.sin(heading) - y * np.cos(heading))
        crest = np.sin(along + phase + 1.1 * np.sin(across + 2 * phase))
        steepness = 0.0052 * roughness * rng.uniform(0.6, 1.4)
        visible = smoothstep(0.5, 0.25, spacing / wavelength)
        height += steepness * wavelength * visible * (crest + 0.25 * crest**2 - 0.125)
    # Far waves are seen at grazing angles, where a mesh of them would show black backs.
    return height / (1 + (np.hypot(x, y) / 70) ** 1.5)


def water(rng):
    """A wavy sea around the origin, reaching to the horizon: a Mitsuba shape.

    Its mean height is 0, its waves a few decimetres high.
    """
    xs, ys = _graded(32, 0.36, 1400), _graded(46, 0.4, 1400)
    x, y = np.meshgrid(xs, ys)
    spacing = np.maximum(np.gradient(xs)[None, :], np.gradient(ys)[:, None])
    height = _waves(rng, x, y, spacing)
    vertices = np.stack([x, y, height], -1).reshape(-1, 3)
    corner = (np.arange(len(ys) - 1)[:, None] * len(xs) + np.arange(len(xs) - 1)).ravel()
    above = corner + len(xs)
    faces = np.vstack([np.c_[corner, corner + 1, above + 1], np.c_[corner, above + 1, above]])
    slope_y, slope_x = np.gradient(height, ys, xs)
    normals = np.stack([-slope_x, -slope_y, np.ones_like(x)], -1).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    colour = [float(v) for v in SEA_COLOURS[rng.integers(len(SEA_COLOURS))]]
    plastic = {
        "type": "roughplastic",
        "diffuse_reflectance": {"type": "rgb", "value": colour},
        "alpha": 0.06,
        "int_ior": 1.33,
        "nonlinear": False,
    }
    return plain_shape(vertices, faces, {"type": "twosided", "bsdf": plastic}, normals)
