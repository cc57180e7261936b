"""Meshes from signed distance fields: round bodies that flow into each other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import trimesh
from skimage.measure import marching_cubes


@dataclass
class Blob:
    """One primitive of a body: its part, how softly it joins the rest, its distance function."""

    part: str
    softness: float
    distance: Callable


def _length(x, y, z):
    """The length of vectors: np.linalg.norm's, bit for bit, without its slow sum of three."""
    return np.sqrt(x * x + y * y + z * z)


def cone(start, end, start_radius, end_radius):
    """Distance to a capsule whose radius changes -> a function of points (..., 3)."""
    start, end = np.asarray(start, np.float32), np.asarray(end, np.float32)
    axis = end - start

    def distance(points):
        along = np.clip(((points - start) @ axis) / (axis @ axis + 1e-9), 0, 1)
        apart = (points[..., n] - (start[n] + along * axis[n]) for n in range(3))
        radius = start_radius + (end_radius - start_radius) * along
        return _length(*apart) - radius

    return distance


def ellipsoid(centre, radii, rotation=None):
    """Approximate distance to an ellipsoid; `rotation` (3, 3) turns its axes."""
    centre, radii = np.asarray(centre, np.float32), np.asarray(radii, np.float32)

    def distance(points):
        local = points - centre
        if rotation is not None:
            local = local @ np.asarray(rotation, np.float32)
        scaled = _length(*(local[..., n] / radii[n] for n in range(3)))
        gradient = _length(*(local[..., n] / radii[n] ** 2 for n in range(3)))
        return scaled * (scaled - 1) / (gradient + 1e-6)

    return distance


def box(centre, half_sizes):
    """Distance to an axis-aligned box (its largest face distance, exact inside)."""
    centre, half_sizes = np.asarray(centre, np.float32), np.asarray(half_sizes, np.float32)
    return lambda points: np.max(np.abs(points - centre) - half_sizes, axis=-1)


def smooth_union(a, b, softness):
    """The union of two distance fields, rounded over a width of `softness` where they meet."""
    t = np.clip(0.5 + 0.5 * (b - a) / softness, 0, 1)
    return b + (a - b) * t - softness * t * (1 - t)


def mesh_blobs(blobs, low, high, voxel):
    """Meshes the smooth union of `blobs` inside the box low..high on a grid of `voxel` metres.

    Returns vertices (V, 3), faces (F, 3), normals (V, 3) and, for each vertex, the number of
    the nearest blob (V,).
    """
    axes = [np.arange(a, b + voxel, voxel, dtype=np.float32) for a, b in zip(low, high)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    union = None
    for blob in blobs:
        distance = blob.distance(grid).astype(np.float32)
        union = distance if union is None else smooth_union(union, distance, blob.softness)
    vertices, faces, _, _ = marching_cubes(union, 0, spacing=(voxel,) * 3)
    vertices = vertices + np.array(low)
    normals = np.array(trimesh.Trimesh(vertices, faces, process=False).vertex_normals)
    points = vertices.astype(np.float32)
    nearest = np.stack([blob.distance(points) for blob in blobs]).argmin(0)
    return vertices, faces, normals, nearest
