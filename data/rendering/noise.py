"""Value noise: smooth random functions of space, the same for the same seed on every machine."""

import numpy as np

_MASK = 0xFFFFFFFF
_PRIMES = (374761393, 668265263, 2147483647)
"""The factor of a cell's number along each axis."""


def cell_hash(ix, iy, iz, seed):
    """A uniform number in [0, 1] for every integer cell (arrays of any one shape)."""
    with np.errstate(over="ignore"):  # wrapping around is what a hash wants
        first, second, third = (_term(*pair) for pair in zip((ix, iy, iz), _PRIMES))
        return _mixed(first + second + third + _seed_term(seed))


def _term(numbers, prime):
    """What the cells' numbers along one axis add to the hash, modulo 2 ** 32."""
    return (numbers.astype(np.int64) & _MASK).astype(np.uint32) * np.uint32(prime)


def _seed_term(seed):
    return np.uint32(int(seed) * 1274126177 & _MASK)


def _mixed(h):
    """Sums of terms as numbers in [0, 1]."""
    h = (h ^ (h >> 13)) * np.uint32(1274126177)
    h = (h ^ (h >> 16)) * np.uint32(2246822519)
    return ((h ^ (h >> 13)) & 0xFFFFFF) / float(0xFFFFFF)


def value_noise(points, seed=0):
    """Smooth noise in [0, 1] at `points` (..., 3), with features about one unit wide."""
    points = np.asarray(points, np.float64)
    floor = np.floor(points)
    t = points - floor
    t = t * t * t * (t * (t * 6 - 15) + 10)
    weights = [(1 - t[..., axis], t[..., axis]) for axis in range(3)]
    total = 0.0
    with np.errstate(over="ignore"):
        terms = [_term(floor[..., axis], prime) for axis, prime in enumerate(_PRIMES)]
        terms[0] = terms[0] + _seed_term(seed)
        terms = [(term, term + np.uint32(prime)) for term, prime in zip(terms, _PRIMES)]
        for i, j in np.ndindex(2, 2):
            weight, number = weights[0][i] * weights[1][j], terms[0][i] + terms[1][j]
            for k in range(2):
                total = total + weight * weights[2][k] * _mixed(number + terms[2][k])
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
