"""Pictures of your own, and photographs by name: any file becomes (3, H, W) in [0, 1].

    mine = open_picture("holiday.jpg", size=128)
    cat = open_picture("chelsea")              # comes with scikit-image, see PHOTOS
    zebra = open_picture("article:zebra")      # of the article from which this course started
    render = open_picture("look_alikes/test/zebra/20003")

The article's four photographs belong to the repository gsurma/cnn_explainer (MIT licence) and are
no part of the course: each is fetched on its first use and kept in the user's cache.
"""

import contextlib
import importlib.util
import io
import math
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from course_utils import _downloads
from course_utils.errors import DataError, PictureError, as_whole, check_name, shown
from course_utils.manifest import SPLITS, find_entry, read_entry

PHOTOS = {
    "astronaut": "astronaut.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}
"""Photos that come with scikit-image, which `open_picture` knows by name."""

SMALLEST_SIDE = 16
LARGEST_AREA = 100_000_000
"""`open_picture` refuses what is smaller or larger than this, in pixels."""

WHITE = (255, 1023, 4095, 16383, 65535)
"""The largest values of 8, 10, 12, 14 and 16 bits."""


def open_picture(path: str | Path, size: int | None = None) -> Tensor:
    """Any picture: a file of your own, a photograph by name or a course picture.

    path: a file, or a name from `PHOTOS`, or a name like "look_alikes/test/zebra/20003", or
          "article:zebra", one of the photographs that are fetched
    size: the picture's largest centred square, scaled to `size` x `size` pixels, from 16 to 10,000;
          None leaves the picture as it is

    Returns (3, H, W) float32 in [0, 1]. Files are turned upright as their EXIF data says, grey
    becomes RGB, colours with a profile become sRGB, transparent parts are laid over white, and of
    an animation the first frame counts.

    Grey files with more than 8 bits don't say which value is white, so their largest one decides:
    integers are taken for 8, 10, 12, 14 or 16 bits, floats for [0, 1] if all are below 2, else for
    [0, 255]; beyond that, the largest value is white. So a dark scan of 16 bits may come out
    brighter than it is. What lies below 0 is black.

    Raises PictureError for what is no usable picture, and DataError for a photograph that can't be
    fetched.
    """
    size = None if size is None else _side(size)
    image = _upright_rgb(_read_image(path), path)
    if size is not None:
        image = _centred_square(image, size)
    return to_picture(np.array(image))


def _side(size):
    """`size` as Python's int, if a square of that side can be made."""
    side, largest = as_whole(size), math.isqrt(LARGEST_AREA)
    if side is None or not SMALLEST_SIDE <= side <= largest:
        raise PictureError(
            f"size must be at least {SMALLEST_SIDE} pixels, and at most {largest}, not"
            f" {shown(size)}: a whole number, for a square."
        )
    return side


def to_picture(pixels: np.ndarray) -> Tensor:
    """A uint8 array (..., H, W, 3) as a float32 tensor (..., 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).contiguous().float().div_(255)


def _read_image(path):
    """The decoded image of a file or of a known name."""
    if not isinstance(path, (str, os.PathLike)):
        raise PictureError(
            f"open_picture takes the name of a picture or file, not a {type(path).__name__}."
        )
    file = os.path.expanduser(path)  # like what follows, it lets any text pass
    if str(path) and os.path.isdir(file):
        raise PictureError(f"{path} is a folder, not a picture.")
    if os.path.isfile(file):
        return _decode_file(Path(file))
    try:
        return _picture_by_name(str(path))
    except ValueError as error:  # of names that are like those of the course, but are none
        raise PictureError(str(error)) from None


def _picture_by_name(name):
    """The decoded image of a known name. Raises ValueError for others."""
    if name in PHOTOS:
        return _decode_file(_photo_folder() / PHOTOS[name])
    if name.startswith("article:"):
        return _decode_file(article_photograph(name.removeprefix("article:")))
    if name.startswith(tuple(SPLITS)):
        return Image.open(io.BytesIO(read_entry(find_entry(name))))
    raise PictureError(
        f"There is no picture {name[:200]!r}: give the path of a file (looking in {Path.cwd()}), or"
        f" one of the names {', '.join(PHOTOS)}, a course picture such as"
        " look_alikes/test/zebra/20003, or a photograph that is fetched, such as article:zebra."
    )


def _photo_folder():
    """Where scikit-image keeps its photos, found without importing it."""
    package = importlib.util.find_spec("skimage")
    if package is None or not package.submodule_search_locations:
        raise PictureError("This photo comes with scikit-image: pip install scikit-image.")
    return Path(package.submodule_search_locations[0]) / "data"


# ---------------------------------------------------------------------------- files


def _decode_file(file):
    """The image in a file; everything that can be wrong with it becomes one `PictureError`."""
    image = _open_header(file)
    width, height = image.size
    if width * height > LARGEST_AREA:
        raise PictureError(_too_large(file, f"{width} x {height} pixels"))
    if min(width, height) < SMALLEST_SIDE:
        raise PictureError(
            f"{file} has only {width} x {height} pixels; each side must have at least"
            f" {SMALLEST_SIDE}."
        )
    try:
        image.load()
    except Exception as fault:  # Pillow's decoders raise whatever the broken data makes them hit
        raise PictureError(f"{file} is truncated or damaged ({fault}).") from None
    return image


def _open_header(file):
    """The image of a file, its size known but its pixels not yet decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(file)
    except Image.DecompressionBombError:
        raise PictureError(_too_large(file, "more pixels")) from None
    except Image.UnidentifiedImageError:
        raise PictureError(
            f"{file} is not a picture in a known format; save it as JPEG or PNG."
        ) from None
    except PermissionError:
        raise PictureError(f"{file} may not be read: you lack the permission.") from None
    except Exception as fault:  # a broken header, see _decode_file
        raise PictureError(f"{file} is truncated or damaged ({fault}).") from None


def _too_large(file, extent):
    megapixels = LARGEST_AREA // 1_000_000
    return f"{file} has {extent}; at most {megapixels} megapixels are read, so scale it down first."


# ---------------------------------------------------------------------------- colours


def _upright_rgb(image, path):
    """Any image as sRGB with 8 bits, turned as its EXIF data says."""
    with contextlib.suppress(Exception):  # unreadable EXIF data says nothing about the picture
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode in ("LAB", "HSV"):
        raise PictureError(
            f"{path} holds its colours as {image.mode}, which 8 bits keep only roughly; save it"
            " as an RGB picture, JPEG or PNG."
        )
    if image.mode.startswith("I") or image.mode == "F":
        image = _reduce_to_8_bits(image, path)
    image = _in_srgb(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _in_srgb(image):
    """An image whose profile describes other colours than sRGB, such as a wider gamut, as sRGB."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        srgb = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, srgb, outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile says nothing
        return image


def _reduce_to_8_bits(image, path):
    """A grey image of 16 or 32 bits as one of 8 bits, with what is transparent in it.

    Files often hold fewer bits than they have room for. The largest value tells how many: integers
    are taken for the smallest of the depths in `WHITE` that holds it, floats to lie in [0, 1] or
    else in [0, 255]; anything beyond is scaled down by its largest value. Sharpening leaves floats
    a little above 1, so those below 2 still count as [0, 1], cut off.
    """
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        raise PictureError(f"{path} holds NaN or infinity: replace these pixels and save it anew.")
    brightest = values.max()
    if image.mode == "F":
        white = 1.0 if brightest < 2 else max(brightest, 255.0)
    else:
        white = next((level for level in WHITE if brightest <= level), brightest)
    shares = np.clip(values / white, 0, 1)
    if _counts_from_white(image):
        shares = 1 - shares
    grey = Image.fromarray(np.uint8(shares * 255 + 0.5))
    clear = image.info.get("transparency")  # the one value that is transparent in a PNG file
    if clear is not None:
        grey.putalpha(Image.fromarray(np.uint8(255 * (values != clear))))
    return grey


def _counts_from_white(image):
    """Whether 0 means white in a TIFF file; with up to 8 bits, Pillow turns that round itself."""
    photometric, white_is_zero = 262, 0  # the tag, and its value
    return getattr(image, "tag_v2", {}).get(photometric) == white_is_zero


def _centred_square(image, size):
    """The largest square in the middle of an image, scaled with antialiasing."""
    side = min(image.size)
    left = (image.width - side) // 2
    top = (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


# ---------------------------------------------------------------------------- the article's

REPOSITORY = "https://github.com/gsurma/cnn_explainer"
COMMIT = "96ee8506f5d6dc60c0b90818de4f8533d7a96ec8"
ADDRESS = f"https://raw.githubusercontent.com/gsurma/cnn_explainer/{COMMIT}/test_images"

SHA256 = {
    "basketball": "c6eccbbb85a8fa75d053a1f9de8c27429b49352dfedb316cee6a4a7c455069d2",
    "pineapple": "035d8bb0d1404ec812e16f431f3113d193322a721ea5cbff996f7c164b9d5582",
    "submarine": "abf234000a47aad0a4bfb935237aa7b9eff87ca1f5dd1b5d7d4113c39ee1be17",
    "zebra": "c84840b64ec52972090074f786d517863606927cd1d6b7ff4933eb40e0a9d90c",
}
"""The check sum of each of the article's photographs, 224 x 224 pixels."""


def article_photograph(name: str) -> Path:
    """The file of one of the article's photographs, fetched if it isn't in the cache yet.

    Raises ValueError for other names and DataError where it can't be fetched.
    """
    check_name("photograph of the article", name, SHA256)
    folder = _downloads.cache_folder() / "article"
    is_new = not (folder / f"{name}.jpg").exists()
    try:
        path = _downloads.fetch(f"{ADDRESS}/{name}.jpg", f"sha256:{SHA256[name]}", folder)
    except DataError as error:
        offline = "Without a network, there are chelsea, coffee and rocket."
        raise DataError(error.path, error.what, f"{error.cure} {offline}") from None
    if is_new:
        print(f"{name}.jpg: a photograph from {REPOSITORY} (MIT licence), kept in {folder}")
    return path
