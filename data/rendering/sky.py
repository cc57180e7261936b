"""Light: skies with and without clouds, the sun, and the lamps of a room."""

import mitsuba as mi
import numpy as np

from .noise import fbm2, mix, smoothstep


def sun_direction(azimuth, elevation):
    """Unit vector towards the sun; angles in radians, azimuth 0 along +y."""
    flat = np.cos(elevation)
    return np.array([flat * np.sin(azimuth), flat * np.cos(azimuth), np.sin(elevation)])


def _directions(height, width):
    """Unit vectors (x, y, z) of an equirectangular map's pixels."""
    theta = (np.arange(height) + 0.5) / height * np.pi
    phi = (np.arange(width) + 0.5) / width * 2 * np.pi
    theta, phi = np.meshgrid(theta, phi, indexing="ij")
    return np.sin(theta) * np.sin(phi), np.sin(theta) * np.cos(phi), np.cos(theta)


def _sunny(rng, seed, x, y, z, sun):
    """A blue sky that pales towards the horizon and the sun, with a few lit clouds."""
    up = np.clip(z, 0, 1)
    towards_sun = np.clip(x * sun[0] + y * sun[1] + z * sun[2], 0, 1)[..., None]
    zenith = np.array([0.13, 0.27, 0.62]) * rng.uniform(0.85, 1.15)
    horizon = np.array([0.50, 0.62, 0.78]) * rng.uniform(0.9, 1.1)
    radiance = mix(zenith, horizon, ((1 - up) ** rng.uniform(3, 5))[..., None])
    glow = towards_sun**30 * 0.6 + towards_sun**6 * 0.12
    radiance = radiance + np.array([1, 0.92, 0.8]) * glow
    cover, scale = rng.uniform(0, 0.45), rng.uniform(0.8, 1.6)
    px, py = x / (up + 0.12) * scale, y / (up + 0.12) * scale
    here = fbm2(px, py, seed + 7, 6, gain=0.55)
    sunward = fbm2(px + 0.15 * sun[0], py + 0.15 * sun[1], seed + 7, 6, gain=0.55)
    density = smoothstep(0.62 - 0.3 * cover, 0.78 - 0.2 * cover, here) * (cover > 0.06)
    shade = np.clip(0.9 + 4 * (here - sunward), 0.55, 1.25)
    clouds = np.array([1.25, 1.22, 1.2]) * shade[..., None]
    return mix(radiance, clouds, (density * smoothstep(0, 0.12, up))[..., None])


def _overcast(rng, seed, x, y, z):
    """A closed cloud cover, three times brighter overhead than at the horizon (CIE standard)."""
    up = np.clip(z, 0, 1)
    base = (1 + 2 * up) / 3 * rng.uniform(0.55, 0.75)
    scale, contrast = rng.uniform(0.5, 1.1), rng.uniform(0.35, 1.0)
    cover = fbm2(x / (up + 0.12) * scale, y / (up + 0.12) * scale, seed + 9, 5, gain=0.55)
    tint = mix(np.array([0.93, 0.97, 1.04]), np.ones(3), rng.uniform())
    radiance = base * (1 + contrast * (cover - 0.5) * 2 * smoothstep(0.02, 0.3, up))
    return np.clip(radiance[..., None] * tint + 0.12, 0, None)


def sky_map(seed, weather, sun, height=192, width=384):
    """Radiance of a sky, (height, width, 3), equirectangular with z up, without the sun's disk.

    `weather` is "sunny" or "overcast"; `sun` is a unit vector.
    """
    rng = np.random.default_rng(seed)
    x, y, z = _directions(height, width)
    if weather == "sunny":
        radiance = _sunny(rng, seed, x, y, z, sun)
    elif weather == "overcast":
        radiance = _overcast(rng, seed, x, y, z)
    else:
        raise ValueError(f"weather is 'sunny' or 'overcast', not {weather!r}.")
    ground = np.array([0.12, 0.11, 0.08])
    below = mix(radiance, ground, smoothstep(0, -0.08, z)[..., None])
    return np.where((z < 0)[..., None], below, radiance).astype(np.float32)


def room_map(rng, height=96, width=192):
    """Radiance of a room, (height, width, 3): dim walls and one to three windows or lamps."""
    x, y, z = _directions(height, width)
    walls = rng.uniform(0.12, 0.4) * np.array([1, 0.95, 0.88]) * rng.uniform(0.9, 1.1)
    radiance = np.ones((height, width, 1)) * walls * (0.7 + 0.5 * z)[..., None]
    for _ in range(int(rng.integers(1, 4))):
        lamp = sun_direction(rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 1.3))
        towards = x * lamp[0] + y * lamp[1] + z * lamp[2]
        size = rng.uniform(0.05, 0.22)
        colour = mix(np.array([1, 0.82, 0.6]), np.array([0.8, 0.92, 1.1]), rng.uniform())
        strength = smoothstep(1 - size, 1 - 0.7 * size, towards) * rng.uniform(2, 7)
        radiance = radiance + strength[..., None] * colour
    return radiance.astype(np.float32)


def environment(radiance):
    """Mitsuba's description of an all-round light from a radiance map."""
    upright = mi.ScalarTransform4f().rotate([1, 0, 0], 90)
    return {"type": "envmap", "bitmap": mi.Bitmap(radiance), "to_world": upright}


def sunlight(sun, strength=7.0):
    """Mitsuba's description of direct sunlight, redder and weaker when the sun is low."""
    warmth = np.clip(1 - np.arcsin(sun[2]) / 0.7, 0, 1)
    colour = mix(np.array([1, 0.96, 0.88]), np.array([1, 0.74, 0.48]), warmth)
    irradiance = colour * strength * np.clip(sun[2] * 1.5 + 0.3, 0, 1)
    return {
        "type": "directional",
        "direction": [-float(v) for v in sun],
        "irradiance": {"type": "rgb", "value": [float(v) for v in irradiance]},
    }


def daylight(seed, weather, sun):
    """The emitters of an outdoor scene: the sky, and in sunny weather the sun."""
    emitters = [environment(sky_map(seed, weather, sun))]
    return emitters + [sunlight(sun)] if weather == "sunny" else emitters
