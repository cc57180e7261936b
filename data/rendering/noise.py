"""Value noise: smooth random functions of space, the same for the same seed on every machine."""

import numpy as np

_MASK = 0xFFFFFFFF


def cell_hash(ix, iy, iz, seed):
    """A uniform number in [0, 1] for every integer cell (arrays of any one shape)."""
    with np.errstate(over="ignore"):  # wrapping around is what a hash wants
        return _hash(ix, iy, iz, seed)


def _hash(ix, iy, iz, seed):
    h = (ix.astype(np.int64) * 374761393 + iy.astype(np.int64) * 668265263) & _MASK
    h = (h + iz.astype(np.int64) * 2147483647 + seed * 1274126177) & _MASK
    h = ((h ^ (h >> 13)) * 1274126177) & _MASK
    h = ((h ^ (h >> 16)) * 2246822519) & _MASK
    return ((h ^ (h >> 13)) & 0xFFFFFF) / float(0xFFFFFF)


def value_noise(points, seed=0):
    """Smooth noise in [0, 1] at `points` (..., 3), with features about one unit wide."""
    points = np.asarray(points, np.float64)
    floor = np.floor(points)
    t = points - floor
    t = t * t * t * (t * (t * 6 - 15) + 10)
    cell = floor.astype(np.int64)
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner, bool), t, 1 - t), axis=-1)
        ix, iy, iz = (cell[..., axis] + corner[axis] for axis in range(3))
        total = total + weight * cell_hash(ix, iy, iz, seed)
    return total


def fbm(points, seed=0, octaves=4, gain=0.5, lacunarity=2.03):
    """Fractal noise in [0, 1] at `points` (..., 3): octaves of noise, each finer and weaker."""
    points = np.asarray(points, np.float64)
    amplitude, total, norm = 1.0, 0.0, 0.0
    for octave in range(octaves):
        total = total + amplitude * value_noise(points + 17.3 * octave, seed + 101 * octave)
        norm += amplitude
        amplitude *= gain
        points = points * lacunarity
    return total / norm


def fbm2(x, y, seed=0, octaves=4, **options):
    """Fractal noise in the plane; `x` and `y` of one shape."""
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    return fbm(np.stack([x, y, np.full(x.shape, 0.37)], -1), seed, octaves, **options)


def smoothstep(low, high, x):
    """0 below `low`, 1 above `high`, smooth between; `low` may be the larger one."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a, b, t):
    """The point that lies the fraction `t` of the way from `a` to `b`."""
    return a + (b - a) * t
