"""Dogs and cats: told apart by ears, muzzle and tail alone; coats and bodies are shared.

Everything is built in units of the withers height, looking along +x, and scaled at the end. Lengths
within the head are in head radii, in the head's own frame.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.interpolate import CubicSpline
from skimage.measure import marching_cubes

from .fields import cone, ellipsoid, smooth_union
from .meshes import Mesh, join, piece, pose, rotation_x, rotation_y, rotation_z
from .noise import fbm, mix, smoothstep

VOXEL = 0.0115
PINK = np.array([0.50, 0.24, 0.20])
WHITE = np.array([0.60, 0.57, 0.52])
TAN = np.array([0.32, 0.17, 0.075])
NOSE_BLACK = np.array([0.012, 0.011, 0.011])
COATS = (
    (0.40, 0.21, 0.09),  # ginger
    (0.38, 0.26, 0.14),  # fawn
    (0.50, 0.40, 0.26),  # cream
    (0.17, 0.095, 0.05),  # brown
    (0.035, 0.031, 0.029),  # black
    (0.22, 0.22, 0.225),  # grey
    (0.30, 0.25, 0.19),  # grey-brown
    (0.56, 0.53, 0.48),  # white
)
CAT_EYES = ((0.42, 0.50, 0.10), (0.62, 0.48, 0.07), (0.60, 0.34, 0.05), (0.30, 0.50, 0.28))
DOG_EYE = np.array([0.045, 0.023, 0.012])
COAT_KINDS = ("solid", "bicolour", "patches", "stripes", "points of tan")


@dataclass
class Bone:
    """One round primitive with the box low..high outside which it has no influence."""

    part: str
    softness: float
    distance: object
    low: np.ndarray
    high: np.ndarray


def _cone(part, softness, start, end, start_radius, end_radius):
    start, end = np.array(start, float), np.array(end, float)
    reach = max(start_radius, end_radius)
    field = cone(start, end, start_radius, end_radius)
    return Bone(
        part, softness, field, np.minimum(start, end) - reach, np.maximum(start, end) + reach
    )


def _ball(part, softness, centre, radii, rotation=None):
    centre, radii = np.array(centre, float), np.array(radii, float)
    reach = radii if rotation is None else np.full(3, radii.max())
    return Bone(part, softness, ellipsoid(centre, radii, rotation), centre - reach, centre + reach)


def _mesh_bones(bones):
    """Meshes the smooth union of `bones`, looking at each only near its own box.

    Returns vertices (V, 3), faces (F, 3), normals (V, 3) and each vertex's part name (V,).
    """
    low = np.min([bone.low for bone in bones], axis=0) - 4 * VOXEL
    high = np.max([bone.high for bone in bones], axis=0) + 4 * VOXEL
    axes = [np.arange(a, b + VOXEL, VOXEL, dtype=np.float32) for a, b in zip(low, high)]
    union = np.full([len(axis) for axis in axes], 0.5, np.float32)
    for bone in bones:
        margin = bone.softness + 3 * VOXEL
        window = tuple(
            slice(*np.searchsorted(axis, [a - margin, b + margin]))
            for axis, a, b in zip(axes, bone.low, bone.high)
        )
        grid = np.meshgrid(*[axis[cut] for axis, cut in zip(axes, window)], indexing="ij")
        distance = bone.distance(np.stack(grid, -1)).astype(np.float32)
        union[window] = smooth_union(union[window], distance, bone.softness)
    vertices, faces, _, _ = marching_cubes(union, 0, spacing=(VOXEL,) * 3)
    vertices = vertices + low
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    return vertices, faces, normals, _nearest_parts(bones, vertices.astype(np.float32))


def _nearest_parts(bones, points):
    """The part name of the bone nearest to each of `points` (V, 3)."""
    best = np.full(len(points), np.inf)
    parts = np.full(len(points), "body", dtype=object)
    for bone in bones:
        near = np.flatnonzero(
            np.all((points > bone.low - bone.softness) & (points < bone.high + bone.softness), 1)
        )
        distance = bone.distance(points[near])
        closer = distance < best[near]
        best[near[closer]] = distance[closer]
        parts[near[closer]] = bone.part
    return parts


@dataclass
class Frame:
    """Where the head is: its centre, its rotation (3, 3) and its radius in withers heights."""

    centre: np.ndarray
    rotation: np.ndarray
    radius: float

    def place(self, point):
        """A point in head radii -> body units; works on (..., 3)."""
        return self.centre + self.radius * np.asarray(point, float) @ self.rotation.T

    def local(self, points):
        """Body units (..., 3) -> head radii in the head's frame."""
        return (points - self.centre) @ self.rotation / self.radius

    def ball(self, part, softness, centre, radii):
        """An ellipsoid given in the head's frame."""
        scaled = self.radius * np.asarray(radii)
        return _ball(part, softness * self.radius, self.place(centre), scaled, self.rotation)

    def cone(self, part, softness, start, end, start_radius, end_radius):
        """A rounded cone given in the head's frame."""
        ends = self.place(start), self.place(end)
        radii = self.radius * start_radius, self.radius * end_radius
        return _cone(part, softness * self.radius, *ends, *radii)


# ---------------------------------------------------------------- bodies, the same for both


@dataclass
class Build:
    """What both species share: proportions in withers heights, and the pose.

    `withers` is the shoulder height in metres, `stride` how far the feet swing, `shag` how rough
    the coat is, `limb` and `waist` are factors.
    """

    length: float
    depth: float
    width: float
    limb: float
    waist: float
    sits: bool
    stride: float
    withers: float
    shag: float


def _build(rng):
    return Build(
        length=rng.uniform(0.96, 1.16),
        depth=rng.uniform(0.225, 0.28),
        width=rng.uniform(0.165, 0.205),
        limb=rng.uniform(1.0, 1.28),
        waist=rng.uniform(0.80, 0.98),
        sits=rng.uniform() < 0.28,
        stride=rng.choice([0.0, 0.03, 1.0]) * rng.uniform(0.10, 0.20),
        withers=rng.uniform(0.28, 0.54),
        shag=rng.uniform(0.003, 0.012),
    )


def _front_leg(build, side, swing, shoulder):
    """Upper arm, slim forearm, wrist and paw; the foot is `swing` in front of the shoulder."""
    x, y, z = shoulder
    limb, lift = build.limb, 0.10 * max(swing, 0) * (build.stride > 0.05)
    elbow = np.array([x - 0.03 + 0.25 * swing, side * y, z - 0.24])
    wrist = np.array([x - 0.01 + 0.8 * swing, side * y * 0.97, 0.15 + lift])
    foot = np.array([x + 0.005 + swing, side * y * 0.97, 0.055 + lift])
    paw = foot + [0.035, 0, -0.018]
    return [
        _cone("body", 0.07, (x, side * y * 0.8, z), elbow, 0.115, 0.075 * limb),
        _cone("legs", 0.05, elbow, wrist, 0.074 * limb, 0.046 * limb),
        _cone("legs", 0.03, wrist, foot, 0.043 * limb, 0.040 * limb),
        _ball("legs", 0.025, paw, (0.078 * limb, 0.056 * limb, 0.042)),
    ]


def _hind_leg(build, side, swing, hip):
    """Haunch, thigh, hock set back, and paw; the foot is `swing` in front of its rest."""
    x, y, z = hip
    limb, lift = build.limb, 0.10 * max(swing, 0) * (build.stride > 0.05)
    knee = np.array([x + 0.12 + 0.45 * swing, side * y, 0.46])
    hock = np.array([x - 0.085 + 0.85 * swing, side * y, 0.24 + lift])
    foot = np.array([x - 0.035 + swing, side * y, 0.055 + lift])
    paw = foot + [0.035, 0, -0.018]
    return [
        _ball("body", 0.08, (x + 0.04, side * y * 0.75, z - 0.08), (0.17, 0.10, 0.23)),
        _cone("legs", 0.07, (x + 0.03, side * y * 0.9, z - 0.12), knee, 0.145, 0.092 * limb),
        _cone("legs", 0.05, knee, hock, 0.088 * limb, 0.045 * limb),
        _cone("legs", 0.03, hock, foot, 0.042 * limb, 0.039 * limb),
        _ball("legs", 0.025, paw, (0.078 * limb, 0.056 * limb, 0.042)),
    ]


def _standing(build, rng):
    """Trunk and legs on all fours -> bones, neck base, tail base, trunk direction."""
    half, depth, width = 0.5 * build.length, build.depth, build.width
    chest = np.array([0.58 * half, 0, 0.99 - depth])
    loin = np.array([-0.25 * half, 0, 0.99 - 0.72 * depth])
    rump = np.array([-0.78 * half, 0, 0.965 - 0.78 * depth])
    tilt = rotation_y(-0.12)
    bones = [
        _ball("body", 0.05, chest, (0.30 * build.length, width, depth), tilt),
        _cone("body", 0.12, chest + [-0.05, 0, 0.06], loin, 0.165, build.waist * 0.19),
        _cone("body", 0.10, loin, rump, build.waist * 0.19, 0.155),
        _ball("body", 0.08, rump, (0.20, width * 0.93, 0.175), rotation_y(0.25)),
        _ball("body", 0.07, chest + [0.16, 0, 0.02], (0.12, 0.12, 0.17)),
    ]
    gait = rng.choice([-1, 1]) * build.stride
    spread = 0.78 * width
    for side in (-1, 1):
        shoulder = (chest[0] + 0.06, spread, chest[2] - 0.02)
        hip = (rump[0] - 0.01, spread, rump[2])
        bones += _front_leg(build, side, side * gait, shoulder)
        bones += _hind_leg(build, side, -side * gait, hip)
    neck = chest + [0.12, 0, 0.10]
    tail = rump + [-0.15, 0, 0.09]
    return bones, neck, tail, np.array([1.0, 0, 0])


def _sitting(build, rng):
    """Trunk and legs of a sitting animal -> bones, neck base, tail base, trunk direction."""
    depth, width, limb = build.depth, build.width, build.limb
    rump = np.array([-0.22, 0, 0.235])
    chest = np.array([0.10 + rng.uniform(-0.03, 0.04), 0, 0.70])
    middle = mix(rump, chest, 0.5) + [-0.02, 0, 0.0]
    bones = [
        _ball("body", 0.08, rump, (0.21, width * 1.15, 0.215)),
        _cone("body", 0.10, rump, middle, 0.19, 0.185 * (0.5 + 0.6 * build.waist)),
        _cone("body", 0.10, middle, chest, 0.185 * (0.5 + 0.6 * build.waist), 0.165),
        _ball("body", 0.08, chest, (0.80 * depth, width, 0.25), rotation_y(0.35)),
    ]
    for side in (-1, 1):
        shoulder = np.array([chest[0] + 0.06, side * width * 0.72, chest[2] - 0.06])
        elbow = np.array([chest[0] + 0.07, side * width * 0.76, 0.42])
        wrist = np.array([chest[0] + 0.13, side * width * 0.62, 0.13])
        foot = wrist + [0.01, 0, -0.075]
        thigh = np.array([-0.07, side * width * 1.05, 0.215])
        toes = np.array([0.17, side * width * 1.25, 0.045])
        bones += [
            _cone("body", 0.07, shoulder, elbow, 0.115, 0.075 * limb),
            _cone("legs", 0.05, elbow, wrist, 0.068 * limb, 0.044 * limb),
            _cone("legs", 0.03, wrist, foot, 0.044 * limb, 0.041 * limb),
            _ball("legs", 0.025, foot + [0.035, 0, -0.015], (0.078 * limb, 0.056 * limb, 0.042)),
            _ball("legs", 0.05, thigh, (0.22, 0.085, 0.165), rotation_y(-0.5)),
            _cone("legs", 0.04, (-0.06, toes[1], 0.05), toes, 0.05, 0.047 * limb),
        ]
    neck = chest + [0.03, 0, 0.14]
    tail = rump + [-0.18, 0, -0.13]
    return bones, neck, tail, (chest - rump) / np.linalg.norm(chest - rump)


def _head_frame(build, neck, rng, radius):
    """Head position and turn: up to 60 degrees to either side, high or low."""
    yaw = rng.choice([-1, 1]) * np.radians(60) * rng.uniform(0.0, 1.0)
    pitch, roll = rng.uniform(-0.14, 0.22), rng.normal(0, 0.06)
    rotation = rotation_z(yaw) @ rotation_y(pitch) @ rotation_x(roll)
    reach = rng.uniform(0.14, 0.24) - (0.06 if build.sits else 0)
    rise = rng.uniform(0.12, 0.34) + (0.06 if build.sits else 0)
    return Frame(neck + [reach, 0.10 * np.sin(yaw), rise], rotation, radius)


def _neck(frame, neck):
    """The neck, broad at the shoulders, into the back of the skull."""
    nape, throat = frame.place((-0.45, 0, 0.0)), frame.place((-0.15, 0, -0.35))
    return [
        _cone("body", 0.10, neck, nape, 0.165, 0.60 * frame.radius),
        _cone("body", 0.10, neck + [0.05, 0, -0.08], throat, 0.13, 0.50 * frame.radius),
    ]


def _tail_bones(points, radii):
    """A tapering chain along a curve through `points`, base first."""
    knots = np.linspace(0, 1, len(points))
    fine = np.linspace(0, 1, 17)
    curve = CubicSpline(knots, np.array(points))(fine)
    thickness = np.interp(fine, np.linspace(0, 1, len(radii)), radii)
    curve[:, 2] = np.maximum(curve[:, 2], thickness)
    return [
        _cone("tail", 0.05 if i == 0 else 0.02, *curve[i : i + 2], *thickness[i : i + 2])
        for i in range(len(fine) - 1)
    ]


# ---------------------------------------------------------------- ears, eyes, noses


def _sheet(grid, outward, colours, part):
    """A grid of points (N, M, 3) as a smooth mesh that faces along `outward` (3,)."""
    rows, columns = grid.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)]).reshape(-1, 3)
    vertices = grid.reshape(-1, 3)
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    if np.mean(normals @ outward) < 0:
        faces, normals = faces[:, ::-1], -normals
    return piece(vertices, faces, colours.reshape(-1, 3), part, normals)


def _ear(frame, spine, across, widths, facing, cup, thickness, paint, lining):
    """A flap along `spine` (K, 3): two sheets, the outer in the coat, the inner in `lining`.

    `across` (3,) spans its width, `widths` (K,) are half widths, `facing` (3,) is where its inside
    looks and `cup` how far the edges bend that way. All in head radii.
    """
    rows = np.linspace(0, 1, 14)
    knots = np.linspace(0, 1, len(spine))
    line = CubicSpline(knots, np.array(spine, float))(rows)
    half = np.interp(rows, np.linspace(0, 1, len(widths)), widths)[:, None, None]
    across = np.array(across, float) / np.linalg.norm(across)
    facing = np.array(facing, float) / np.linalg.norm(facing)
    u = np.linspace(-1, 1, 11)[None, :, None]
    inside = line[:, None] + u * half * across + cup * half * u**2 * facing
    bulge = thickness * (1 - u**2) * np.sqrt(np.clip(1 - rows, 0, 1))[:, None, None]
    outside = inside - bulge * facing
    world_facing = frame.rotation @ facing
    sheets = []
    for grid, outward in ((inside, world_facing), (outside, -world_facing)):
        placed = frame.place(grid)
        colours = paint(placed.reshape(-1, 3)).reshape(placed.shape)
        if grid is inside:
            rim = smoothstep(0.55, 0.9, np.abs(u)) + 0 * half
            ends = np.maximum(smoothstep(0.72, 0.95, rows), smoothstep(0.25, 0.12, rows))
            rim = np.maximum(rim, ends[:, None, None])
            colours = mix(lining * np.ones(3), colours, np.clip(rim, 0, 1))
        sheets.append(_sheet(placed, outward, colours, "ears"))
    return sheets


def _globe(frame, centre, radii, part, colour, detail=3):
    """A small smooth ellipsoid; `colour` maps directions (V, 3) in the head's frame to RGB."""
    sphere = trimesh.creation.icosphere(subdivisions=detail)
    directions = np.array(sphere.vertices)
    vertices = frame.place(centre + directions * np.asarray(radii))
    normals = directions / np.asarray(radii)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True) @ frame.rotation.T
    return piece(vertices, np.array(sphere.faces), colour(directions), part, normals)


def _eye(frame, centre, radius, gaze, iris, pupil):
    """An eyeball looking along `gaze`: iris, pupil (wide, high), dark rim and a catchlight."""
    gaze = np.array(gaze, float) / np.linalg.norm(gaze)
    side = np.cross([0, 0, 1.0], gaze)
    side = side / np.linalg.norm(side)
    up = np.cross(gaze, side)

    def colour(directions):
        right, high = directions @ side, directions @ up
        in_pupil = (right / pupil[0]) ** 2 + (high / pupil[1]) ** 2 < 1
        colours = np.broadcast_to(iris, directions.shape).copy()
        colours[in_pupil] = 0.006
        colours[directions @ gaze < 0.83] = 0.012
        colours[(right + 0.16) ** 2 + (high - 0.22) ** 2 < 0.012] = 0.9
        return colours

    return _globe(frame, np.array(centre), (radius,) * 3, "head", colour)


def _on_skull(radii, direction, sink=0.9):
    """The point of an ellipsoid about the origin in `direction`, drawn in by the factor `sink`."""
    direction = np.asarray(direction, float)
    return sink * direction / np.linalg.norm(direction / np.asarray(radii))


# ---------------------------------------------------------------- coats, the same for both


def _base_coat(kind, rng):
    """Main and second colour of a coat."""
    main = np.array(COATS[rng.integers(len(COATS))])
    if kind == "points of tan":
        return np.array(COATS[rng.choice([3, 4, 4])]), TAN * rng.uniform(0.7, 1.1)
    if kind in ("bicolour", "patches"):
        main = np.array(COATS[rng.integers(len(COATS) - 1)])
        return main, WHITE * rng.uniform(0.9, 1.05)
    if kind == "stripes":
        main = np.array(COATS[rng.choice([0, 1, 2, 3, 5, 6])])
        return main, main * rng.uniform(0.18, 0.35)
    return main, main


def _light_areas(points, normals, parts, head, trunk, edge):
    """Where chest, belly, feet and face lie, (V,) in [0, 1]; the noise `edge` moves the borders."""
    is_body, is_leg = parts == "body", parts == "legs"
    wobble = 0.25 * (edge - 0.5)
    belly = is_body * smoothstep(0.25, 0.6, -normals[:, 2] + wobble)
    front = is_body * smoothstep(
        0.45, 0.75, normals @ mix(trunk, np.array([1.0, 0, 0]), 0.6) + wobble
    )
    front = front * smoothstep(0.0, 0.1, points[:, 0])
    feet = is_leg * smoothstep(0.26, 0.18, points[:, 2] + wobble)
    face = (parts == "muzzle") * smoothstep(0.10, -0.05, head[:, 2] + wobble)
    return np.max([belly, front, feet, face], axis=0)


def _stripe_wave(points, parts, head, trunk, frequency, warp):
    """Bands across the trunk, round the limbs and tail, and along the forehead, in [-1, 1]."""
    along = points @ trunk
    wave = np.sin(frequency * along + 5 * warp + 2 * points[:, 2])
    limb = np.sin(1.1 * frequency * points[:, 2] + 4 * warp)
    tail = np.sin(frequency * (points[:, 2] + points[:, 0] + 0.5 * points[:, 1]) + 2 * warp)
    brow = np.sin(8 * np.arctan2(np.abs(head[:, 1]), head[:, 2] + 0.3) + 3 * warp)
    wave = np.where(parts == "legs", limb, wave)
    wave = np.where(parts == "tail", tail, wave)
    return np.where((parts == "head") | (parts == "ears"), brow, wave)


def _coat(rng, seed, frame, trunk):
    """A coat drawn at random -> function of points, normals (V, 3) and part names (V,) to RGB."""
    kind = COAT_KINDS[rng.choice(5, p=[0.20, 0.26, 0.18, 0.22, 0.14])]
    main, second = _base_coat(kind, rng)
    frequency, cover = rng.uniform(22, 32), rng.uniform(0.46, 0.56)
    blaze, pale = rng.uniform(-0.1, 0.25), rng.uniform(0, 0.45)

    def paint(points, normals, parts):
        head = frame.local(points)
        broad = fbm(points * 2.6, seed + 1, 3)
        warp = fbm(points * 5.0, seed + 2, 2)
        light = _light_areas(points, normals, parts, head, trunk, warp)
        colours = np.broadcast_to(main, points.shape).copy()
        paler = np.clip(main * 1.5 + 0.05, 0, 0.68)
        colours = mix(colours, paler, (pale * light)[:, None])
        if kind == "stripes":
            wave = _stripe_wave(points, parts, head, trunk, frequency, warp)
            strength = smoothstep(-0.25, 0.45, wave) * (1 - 0.7 * light) * (parts != "muzzle")
            colours = mix(colours, second, 0.9 * strength[:, None])
        elif kind == "patches":
            colours = mix(colours, second, smoothstep(cover - 0.02, cover + 0.02, broad)[:, None])
            colours = mix(colours, second, light[:, None])
        elif kind == "bicolour":
            stripe = (parts == "head") * smoothstep(blaze, blaze - 0.08, np.abs(head[:, 1]))
            stripe = stripe * smoothstep(0.2, 0.4, head[:, 0])
            colours = mix(colours, second, np.maximum(light, stripe)[:, None])
        elif kind == "points of tan":
            brows = np.hypot(np.abs(head[:, 1]) - 0.36, head[:, 2] - 0.48)
            brows = (parts == "head") * (head[:, 0] > 0.3) * smoothstep(0.17, 0.11, brows)
            colours = mix(colours, second, np.maximum(light, brows)[:, None])
        fur = fbm(points * [26, 48, 40], seed + 3, 3)
        shade = (0.58 + 0.84 * fur) * (0.86 + 0.28 * broad)
        return colours * shade[:, None]

    return paint


# ---------------------------------------------------------------- the two species


def _cat_head(frame, rng):
    """Round skull, cheeks, flat short muzzle with whisker pads and chin -> bones."""
    cheek = rng.uniform(0.42, 0.54)
    bones = [
        frame.ball("head", 0.2, (0, 0, 0), (0.95, 1.04, 0.90)),
        frame.cone("head", 0.25, (0.50, 0, 0.25), (0.92, 0, -0.14), 0.28, 0.15),
        frame.ball("muzzle", 0.12, (0.84, 0, -0.52), (0.20, 0.22, 0.16)),
    ]
    for side in (-1, 1):
        bones += [
            frame.ball("head", 0.25, (0.22, side * 0.56, -0.34), (0.46, cheek, 0.40)),
            frame.ball("muzzle", 0.12, (0.88, side * 0.20, -0.36), (0.25, 0.26, 0.20)),
        ]
    return bones


def _cat_details(frame, rng, paint):
    """Upright triangular ears, large eyes and a small pink nose -> pieces."""
    tall, lean = rng.uniform(1.55, 1.85), rng.uniform(0.70, 0.95)
    iris = np.array(CAT_EYES[rng.integers(len(CAT_EYES))]) * rng.uniform(0.8, 1.1)
    pupil = (rng.uniform(0.14, 0.34), 0.42)
    pieces = []
    for side in (-1, 1):
        spine = [
            (-0.08, side * 0.50, 0.45),
            (-0.06, side * (0.50 + lean) / 2, 0.45 + 0.55 * (tall - 0.45)),
            (-0.10, side * lean, tall),
        ]
        widths = (0.40, 0.45, 0.37, 0.20, 0.02)
        across, facing = (-0.62, side * 1.0, -0.12), (0.85, side * 0.53, 0.1)
        pieces += _ear(frame, spine, across, widths, facing, 0.30, 0.24, paint, PINK)
        gaze = (0.88, side * 0.36, 0.06)
        centre = _on_skull((0.95, 1.04, 0.90), (0.82, side * 0.46, 0.10), 0.76)
        pieces.append(_eye(frame, centre, 0.30, gaze, iris, pupil))
    nose = PINK * rng.uniform(0.7, 1.0)
    pieces.append(
        _globe(
            frame,
            np.array([1.07, 0, -0.20]),
            (0.09, 0.125, 0.08),
            "muzzle",
            lambda d: np.broadcast_to(nose, d.shape),
            2,
        )
    )
    return pieces


def _cat_tail(base, build, rng):
    """Long, thin and tapering, in a curve: upright, an S, or trailing with a raised tip."""
    sway = rng.choice([-1, 1]) * rng.uniform(0.08, 0.28)
    x, y, z = base
    radii = np.array([0.052, 0.046, 0.042, 0.038, 0.022]) * rng.uniform(0.9, 1.1)
    style = rng.integers(3)
    if build.sits:
        low = [(x, y, z), (x - 0.2, sway, 0.05), (x - 0.42, 2.0 * sway, 0.06)]
        end = [(x - 0.52, 2.6 * sway, 0.22), (x - 0.46, 2.4 * sway, 0.42)]
        return _tail_bones(low + end, radii)
    if style == 0:
        points = [(0, 0, 0), (-0.17, 0.2, 0.12), (-0.24, 0.6, 0.42), (-0.20, 1, 0.74)]
        points.append((rng.uniform(-0.4, 0.02), 1.5, 0.95))
    elif style == 1:
        points = [(0, 0, 0), (-0.22, 0.2, -0.06), (-0.44, 0.6, 0.10), (-0.48, 1, 0.42)]
        points.append((-0.66, 1.3, 0.62))
    else:
        points = [(0, 0, 0), (-0.20, 0.2, -0.16), (-0.36, 0.6, -0.42), (-0.58, 1, -0.50)]
        points.append((-0.76, 1.4, -0.30))
    return _tail_bones([(x + a, y + b * sway, z + c) for a, b, c in points], radii)


def _dog_head(frame, rng, snout):
    """Longer skull with a stop, a long muzzle, lips and lower jaw -> bones."""
    thick = rng.uniform(1.0, 1.2)
    bones = [
        frame.ball("head", 0.2, (0, 0, 0), (0.98, 0.84, 0.84)),
        frame.ball("head", 0.25, (0.12, 0, -0.32), (0.62, 0.74, 0.50)),
        frame.cone("muzzle", 0.20, (0.55, 0, -0.20), (snout, 0, -0.26), 0.43 * thick, 0.27 * thick),
        frame.cone("muzzle", 0.08, (0.35, 0, -0.50), (snout - 0.12, 0, -0.52), 0.28, 0.17 * thick),
    ]
    for side in (-1, 1):
        bones += [
            frame.ball("head", 0.15, (0.66, side * 0.34, 0.34), (0.24, 0.20, 0.16)),
            frame.cone(
                "muzzle",
                0.10,
                (0.85, side * 0.14, -0.36),
                (snout - 0.02, side * 0.11, -0.38),
                0.27 * thick,
                0.21 * thick,
            ),
        ]
    return bones


def _dog_ear(style, side, rng):
    """Spine, across, widths, facing, cup and thickness of a drop, button or pricked ear."""
    if style == "drop":
        low = rng.uniform(-1.05, -0.6)
        spine = [
            (-0.20, side * 0.55, 0.62),
            (-0.16, side * 0.85, 0.42),
            (-0.04, side * 0.98, -0.15),
            (0.06, side * 0.90, low),
        ]
        across, facing = (1, -side * 0.35, 0.15), (-0.35, -side, -0.1)
        return spine, across, (0.22, 0.38, 0.45, 0.42, 0.06), facing, 0.1, 0.14
    if style == "button":
        spine = [
            (-0.18, side * 0.45, 0.60),
            (-0.12, side * 0.84, 0.86),
            (0.06, side * 1.04, 0.58),
            (0.20, side * 1.06, 0.10),
        ]
        across, facing = (0.75, -side * 0.6, 0.2), (-0.5, -side, -0.2)
        return spine, across, (0.30, 0.42, 0.44, 0.32, 0.04), facing, 0.1, 0.14
    spine = [(-0.25, side * 0.58, 0.40), (-0.30, side * 0.86, 1.0), (-0.34, side * 1.10, 1.66)]
    across, facing = (-0.75, side * 0.8, -0.2), (0.75, side * 0.65, 0)
    return spine, across, (0.32, 0.40, 0.38, 0.24, 0.02), facing, 0.35, 0.20


def _dog_details(frame, rng, paint, snout):
    """Drop, button or pricked ears, dark eyes and a big black nose -> pieces."""
    style = rng.choice(["drop", "button", "pricked"], p=[0.6, 0.18, 0.22])
    seen = paint(frame.place(np.array([[0.0, 0, 0.84]])))[0]
    lining = mix(seen, PINK * 0.6, 0.35)
    shape_seed = int(rng.integers(1 << 30))
    pieces = []
    for side in (-1, 1):
        shape = _dog_ear(style, side, np.random.default_rng([shape_seed, 5]))
        pieces += _ear(frame, *shape, paint, lining)
        centre = _on_skull((0.98, 0.84, 0.84), (0.80, side * 0.42, 0.22), 0.85)
        gaze = (0.9, side * 0.4, 0.05)
        pieces.append(_eye(frame, centre, 0.20, gaze, DOG_EYE, (0.3, 0.3)))
    pieces.append(
        _globe(
            frame,
            np.array([snout + 0.24, 0, -0.17]),
            (0.15, 0.20, 0.15),
            "muzzle",
            lambda d: NOSE_BLACK + 0.10 * (smoothstep(0.75, 0.95, d[:, 2])[:, None]),
            2,
        )
    )
    return pieces


def _dog_tail(base, build, rng):
    """Thick at the base and short: curled over the back, a raised sabre, or hanging."""
    sway = rng.choice([-1, 1]) * rng.uniform(0.03, 0.12)
    x, y, z = base
    radii = np.array([0.088, 0.086, 0.078, 0.062, 0.026]) * rng.uniform(0.9, 1.15)
    style = rng.integers(3)
    if build.sits:
        points = [(0.04, 0, 0.04), (-0.14, 0.5, -0.02), (-0.30, 1, 0.06), (-0.40, 1.5, 0.20)]
    elif style == 0:
        points = [(0.04, 0, -0.02), (-0.12, 0, 0.16), (-0.06, 0.6, 0.36), (0.14, 1.0, 0.33)]
    elif style == 1:
        points = [(0.04, 0, -0.02), (-0.14, 0, 0.08), (-0.26, 0.6, 0.24), (-0.31, 1.0, 0.44)]
    else:
        points = [(0.04, 0, -0.02), (-0.11, 0, -0.04), (-0.19, 0.6, -0.22), (-0.24, 1.0, -0.42)]
    stretch = rng.uniform(0.9, 1.15)
    return _tail_bones(
        [(x + stretch * a, y + b * sway, z + stretch * c) for a, b, c in points], radii
    )


def _draw_lips(colours, points, frame, snout):
    """Darkens the line of the lips, in place; `snout` is the muzzle's length, None for cats."""
    head = frame.local(points)
    if snout is None:
        lips = smoothstep(0.045, 0.01, np.abs(head[:, 1])) * (head[:, 0] > 1.0)
        lips = lips * smoothstep(-0.6, -0.55, head[:, 2]) * smoothstep(-0.2, -0.25, head[:, 2])
    else:
        height = head[:, 2] + 0.47 - 0.05 * (head[:, 0] - 1)
        lips = smoothstep(0.09, 0.03, np.abs(height))
        lips = lips * smoothstep(0.45, 0.6, head[:, 0]) * smoothstep(snout + 0.5, snout, head[:, 0])
    colours *= 1 - 0.75 * lips[:, None]


def _pet(seed, species):
    """Builds one animal; `species` is "dog" or "cat"."""
    rng = np.random.default_rng([seed, 61 if species == "dog" else 62])
    build = _build(rng)
    bones, neck, tail, trunk = (_sitting if build.sits else _standing)(build, rng)
    frame = _head_frame(build, neck, rng, rng.uniform(0.25, 0.29))
    if species == "dog":
        snout = rng.uniform(1.25, 1.65)
        head, tail = _dog_head(frame, rng, snout), _dog_tail(tail, build, rng)
    else:
        snout = None
        head, tail = _cat_head(frame, rng), _cat_tail(tail, build, rng)
    bones = bones + _neck(frame, neck) + head + tail
    coat = _coat(rng, seed, frame, trunk)
    vertices, faces, normals, parts = _mesh_bones(bones)
    colours = coat(vertices, normals, parts)
    if species == "cat":
        chin = (parts == "muzzle")[:, None] * 0.75
        colours = mix(colours, 0.95 * WHITE, chin)
    _draw_lips(colours, vertices, frame, snout)
    tufts = fbm(vertices * [30, 45, 45], seed + 8, 2) - 0.5
    vertices = vertices + normals * (build.shag * tufts * (parts != "muzzle"))[:, None]
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    body = _labelled(vertices, faces, colours, normals, parts)

    def paint_ears(points):
        upwards = np.broadcast_to([0.0, 0, 1], points.shape)
        return coat(points, upwards, np.full(len(points), "ears", dtype=object))

    if species == "dog":
        pieces = _dog_details(frame, rng, paint_ears, snout)
    else:
        pieces = _cat_details(frame, rng, paint_ears)
    return _stand(join([body, *pieces]), build.withers)


def _labelled(vertices, faces, colours, normals, parts):
    """One mesh whose vertices carry several parts."""
    mesh = piece(vertices, faces, colours, "body", normals)
    for name in np.unique(parts.astype(str)):
        mesh.parts[parts == name] = piece(np.zeros((1, 3)), [], (0, 0, 0), name).parts[0]
    return mesh


def _stand(mesh, height):
    """Scales withers heights to metres, centres the mesh and sets it on the ground."""
    mesh.vertices = mesh.vertices * height
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    mesh.colours = np.clip(mesh.colours, 0.004, 0.9)
    return mesh.moved(pose(shift=(-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, -low[2])))


def dog(seed) -> Mesh:
    """A dog looking along +x, standing or sitting on z = 0, 0.28 to 0.54 m at the shoulder.

    Long muzzle with a black nose, drop, button or side-set pricked ears, a short thick tail. Parts:
    body, head, legs, ears, muzzle, tail.
    """
    return _pet(seed, "dog")


def cat(seed) -> Mesh:
    """A cat looking along +x, standing or sitting on z = 0, 0.28 to 0.54 m at the shoulder.

    Short flat muzzle with a pale chin, upright triangular ears, a long thin tail. Parts: body,
    head, legs, ears, muzzle, tail.
    """
    return _pet(seed, "cat")
