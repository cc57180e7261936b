"""Triangle meshes with a colour and a part label at every vertex."""

from dataclasses import dataclass, field

import numpy as np

from course_utils.parts import PART_NUMBER


@dataclass
class Mesh:
    """vertices (V, 3), faces (F, 3), colours (V, 3), parts (V,) numbers of `course_utils.parts`.

    `normals` (V, 3) makes the surface look smooth; without them every face is flat.
    `material` holds the arguments of Mitsuba's `principled` surface, or is empty for a matt one.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    parts: np.ndarray
    normals: np.ndarray | None = None
    material: dict = field(default_factory=dict)

    def moved(self, matrix):
        """The mesh after a rigid motion (or uniform scaling) given as a 4 x 4 matrix."""
        linear, shift = matrix[:3, :3], matrix[:3, 3]
        normals = None
        if self.normals is not None:
            normals = self.normals @ linear.T
            normals = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)
        vertices = self.vertices @ linear.T + shift
        return Mesh(vertices, self.faces, self.colours, self.parts, normals, self.material)


def piece(vertices, faces, colour, part, normals=None):
    """A mesh of one part; `colour` is one RGB triple or one a vertex."""
    vertices = np.asarray(vertices, float)
    colours = np.broadcast_to(np.asarray(colour, float), vertices.shape)
    parts = np.full(len(vertices), PART_NUMBER[part])
    return Mesh(vertices, np.asarray(faces), colours, parts, normals)


def join(pieces, material=None):
    """One mesh out of several; keeps normals only if every piece has them."""
    starts = np.cumsum([0] + [len(p.vertices) for p in pieces[:-1]])
    smooth = all(p.normals is not None for p in pieces)
    return Mesh(
        vertices=np.vstack([p.vertices for p in pieces]),
        faces=np.vstack([p.faces + start for p, start in zip(pieces, starts)]),
        colours=np.vstack([p.colours for p in pieces]),
        parts=np.concatenate([p.parts for p in pieces]),
        normals=np.vstack([p.normals for p in pieces]) if smooth else None,
        material=material or {},
    )


def _strip_faces(rows, columns, closed):
    """Faces of a grid of vertices; `closed` joins the last column to the first."""
    faces = []
    for i in range(rows - 1):
        for j in range(columns if closed else columns - 1):
            a, b = i * columns + j, i * columns + (j + 1) % columns
            faces += [[a, b, b + columns], [a, b + columns, a + columns]]
    return np.array(faces)


def tube(points, radii, sides=7):
    """A tube along `points` (N, 3) with one radius or N of them -> vertices, faces."""
    points = np.asarray(points, float)
    radii = np.broadcast_to(radii, len(points))
    directions = np.gradient(points, axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True) + 1e-9
    angles = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    rings = []
    for point, direction, radius in zip(points, directions, radii):
        helper = [0, 0, 1.0] if abs(direction[2]) < 0.95 else [1.0, 0, 0]
        across = np.cross(direction, helper)
        across /= np.linalg.norm(across)
        up = np.cross(direction, across)
        rings.append(point + radius * (np.cos(angles) * across + np.sin(angles) * up))
    return np.vstack(rings), _strip_faces(len(points), sides, closed=True)


def cylinder(start, end, radius, sides=14):
    """A closed cylinder from `start` to `end` -> vertices, faces."""
    start, end = np.array(start, float), np.array(end, float)
    vertices, faces = tube([start, end], radius, sides)
    first_cap = len(vertices)
    caps = []
    for j in range(sides):
        caps.append([first_cap, (j + 1) % sides, j])
        caps.append([first_cap + 1, sides + j, sides + (j + 1) % sides])
    return np.vstack([vertices, start, end]), np.vstack([faces, caps])


def prism(outline, y_low, y_high):
    """A convex counter-clockwise outline in the x-z plane, extruded along y -> vertices, faces."""
    outline = np.asarray(outline, float)
    n = len(outline)
    sides = [np.c_[outline[:, 0], np.full(n, y), outline[:, 1]] for y in (y_low, y_high)]
    faces = []
    for i in range(n):
        j = (i + 1) % n
        faces += [[i, j, n + j], [i, n + j, n + i]]
    for i in range(1, n - 1):
        faces += [[0, i + 1, i], [n, n + i, n + i + 1]]
    return np.vstack(sides), np.array(faces)


def _unit(vectors):
    return vectors / (np.linalg.norm(vectors, axis=-1, keepdims=True) + 1e-9)


def leaf_cards(points, size, rng, directions=None, aspect=0.55):
    """A folded diamond of four vertices at each of `points` (N, 3) -> vertices (4N, 3), faces.

    `size` is a length or N of them; without `directions` (N, 3) the leaves point anywhere.
    """
    n = len(points)
    if directions is None:
        directions = rng.normal(size=(n, 3)) * [1, 1, 0.7]
    along = _unit(directions)
    side = _unit(np.cross(along, rng.normal(size=(n, 3))))
    fold = np.cross(along, side)
    length = (size * rng.uniform(0.7, 1.3, n))[:, None]
    corners = [
        points,
        points + length * (0.5 * along + 0.5 * aspect * side + 0.08 * fold),
        points + length * along,
        points + length * (0.5 * along - 0.5 * aspect * side + 0.08 * fold),
    ]
    first = np.arange(n)[:, None, None] * 4
    faces = (first + np.array([[0, 1, 2], [0, 2, 3]])[None]).reshape(-1, 3)
    return np.stack(corners, 1).reshape(-1, 3), faces


def rotation_x(angle):
    """3 x 3 rotation about x by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def rotation_y(angle):
    """3 x 3 rotation about y by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def rotation_z(angle):
    """3 x 3 rotation about z by `angle` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def pose(rotation=None, shift=(0, 0, 0)):
    """A 4 x 4 matrix from a 3 x 3 rotation and a shift."""
    matrix = np.eye(4)
    if rotation is not None:
        matrix[:3, :3] = rotation
    matrix[:3, 3] = shift
    return matrix
