"""The camera: the lens in front of the scene, and the development of radiance into a picture."""

import mitsuba as mi
import numpy as np
from scipy.ndimage import gaussian_filter

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
SIZE = 128
"""Width and height of every picture, in pixels."""


def lens(origin, target, field_of_view, size=SIZE, samples=16, aperture=0.0, focus=None):
    """Mitsuba's description of a square camera (box filter: the same picture on every machine).

    `field_of_view` in degrees; an `aperture` radius above 0 gives a shallow depth of field
    around `focus` metres.
    """
    to_world = mi.ScalarTransform4f().look_at(
        [float(v) for v in origin], [float(v) for v in target], [0, 0, 1]
    )
    sensor = {
        "type": "perspective",
        "fov": float(field_of_view),
        "near_clip": 0.05,
        "far_clip": 2000.0,
        "to_world": to_world,
        "film": {
            "type": "hdrfilm",
            "width": size,
            "height": size,
            "pixel_format": "rgb",
            "component_format": "float32",
            "rfilter": {"type": "box"},
        },
        "sampler": {"type": "multijitter", "sample_count": samples},
    }
    if aperture > 0:
        sensor.update(type="thinlens", aperture_radius=float(aperture), focus_distance=float(focus))
    return sensor


def _filmic(x):
    """Narkowicz's fit of the ACES tone curve: radiance to display values in [0, 1]."""
    return np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)


def _srgb(x):
    """Linear values in [0, 1] to sRGB."""
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-9) ** (1 / 2.4) - 0.055)


def exposure_of(radiance, where=None):
    """Geometric mean luminance of `radiance` (H, W, 3), over the pixels `where` (H, W) is True."""
    luminance = radiance @ LUMINANCE
    return float(np.exp(np.mean(np.log(luminance[where if where is not None else ...] + 1e-3))))


def develop(radiance, seed, exposure=None, grain=0.004, blur=0.4):
    """Develops `radiance` (H, W, 3) into a picture (H, W, 3) uint8.

    Exposure error, white balance, vignetting and grain depend on `seed` alone, so two renders
    developed with the same seed and `exposure` differ only where the radiance does.
    """
    rng = np.random.default_rng([seed, 22])
    exposure = exposure_of(radiance) if exposure is None else exposure
    image = np.nan_to_num(radiance).clip(0, 60)
    image = image * (0.2 / exposure) * 2 ** rng.uniform(-0.25, 0.25)
    image = image * np.exp(rng.normal(0, 0.025, 3))
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    radius2 = ((y - height / 2) ** 2 + (x - width / 2) ** 2) / (height**2 / 2)
    image = gaussian_filter(image * (1 - 0.25 * radius2)[..., None], (blur, blur, 0))
    image = _filmic(image)
    grey = (image @ LUMINANCE)[..., None]
    image = _srgb(np.clip(grey + (image - grey) * 1.05, 0, 1))
    noise = rng.normal(0, grain, image.shape) * (0.6 + 0.4 * (1 - image))
    noise = noise + rng.normal(0, grain / 2, (height, width, 1))
    return (np.clip(image + noise, 0, 1) * 255 + 0.5).astype(np.uint8)
