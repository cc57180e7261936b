"""The course's pictures: sets, masks, parts, counterfactual pairs, and any picture of your own.

    test = load_set("look_alikes", "test")      # a torch Dataset of (picture, label) pairs
    picture, label = test[0]
    entry = test.entries[0]                     # what the manifest says about that picture
    mask = load_mask(entry)                     # where its object is
    mine = open_picture("holiday.jpg", size=128)    # or "chelsea", or "article:zebra"

Everywhere, `picture` is a float32 tensor (3, H, W) of red, green and blue in [0, 1], and `mask` is
a bool tensor (H, W). Files are listed in `data/manifest.csv`; each is compared with the SHA-256
sum noted there whenever it is read, so a damaged file is named instead of believed.
"""

import csv
import difflib
import hashlib
import importlib.util
import io
import os
import warnings
from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from course_utils.parts import KEY_PART, PARTS

DATA = Path(__file__).resolve().parent.parent / "data"
"""Where the course's pictures are, unless the environment variable COURSE_DATA names a folder."""

SPLITS = {
    "tank_yard": ("biased_training", "fair_training", "validation", "biased_test", "test"),
    "look_alikes": ("training", "validation", "test"),
}
"""The sets that `load_set` knows, by data set."""

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


class PictureError(ValueError):
    """What was passed is not a usable picture; the message says why in one sentence."""


class DataError(RuntimeError):
    """A file of the course is missing or damaged; the message says how to restore it."""


# ---------------------------------------------------------------------------- the manifest


@dataclass(frozen=True)
class Entry:
    """One line of the manifest: what a file shows and how it was made."""

    path: str
    """Relative to the data folder, with forward slashes."""
    dataset: str
    """tank_yard or look_alikes"""
    kind: str
    """picture, parts (a mask) or counterfactual (the picture without its key part)"""
    split: str
    """training, validation or test"""
    scene: int
    seed: int
    label: str
    weather: str
    """sunny, overcast or indoors; empty for masks"""
    background: str
    removed: str
    """The part that a counterfactual lacks; empty for everything else."""
    sha256: str

    @property
    def name(self):
        """The path without its ending; `open_picture` and `find_entry` know pictures by it."""
        return self.path.rsplit(".", 1)[0]


def data_folder():
    """The folder that holds manifest.csv: COURSE_DATA if that is set, else the course's own."""
    return Path(os.environ.get("COURSE_DATA") or DATA)


def entries(dataset=None):
    """All entries of the manifest, as a tuple, or those of one data set."""
    if dataset is not None:
        _check_name(dataset, SPLITS, "data set")
    return tuple(entry for entry in _manifest().entries if dataset in (None, entry.dataset))


class _Manifest:
    """All entries of a manifest file, and the ways to look them up."""

    def __init__(self, entries):
        self.entries = entries
        self.by_name = {entry.name: entry for entry in entries if entry.path.endswith(".jpg")}
        self.by_scene = {}
        for entry in entries:
            self.by_scene.setdefault((entry.dataset, entry.split, entry.scene), []).append(entry)


def _manifest():
    file = data_folder() / "manifest.csv"
    try:
        changed = file.stat().st_mtime_ns
    except OSError:
        raise damage("manifest.csv", "missing") from None
    return _read_manifest(file, changed)


@lru_cache(maxsize=4)
def _read_manifest(file, _changed):
    """The manifest in `file`; its time stamp `_changed` makes the cache forget older versions."""
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            found = tuple(_to_entry(row) for row in csv.DictReader(lines))
    except (KeyError, ValueError, TypeError, csv.Error):
        found = ()
    if not found:
        raise damage("manifest.csv", "damaged")
    return _Manifest(found)


def _to_entry(row):
    """The entry of one line of the manifest. Broken lines raise errors of several kinds."""
    if len(row["sha256"]) != 64:
        raise ValueError("a line was cut short")
    return Entry(**{**row, "scene": int(row["scene"]), "seed": int(row["seed"])})


def find_entry(name):
    """The entry of a course picture, named like "look_alikes/test/zebra/20003"."""
    by_name = _manifest().by_name
    wanted = str(name).replace(os.sep, "/").removesuffix(".jpg")
    if wanted in by_name:
        return by_name[wanted]
    similar = difflib.get_close_matches(wanted, by_name, n=3, cutoff=0.0)
    raise ValueError(f"The course has no picture {wanted!r}; similar names: {', '.join(similar)}.")


# ---------------------------------------------------------------------------- reading files


def load_picture(entry):
    """The picture of an entry, (3, H, W) float32 in [0, 1]."""
    return _to_picture(_load_bytes(entry))


def load_parts(entry):
    """Which part each pixel shows, (H, W) uint8: indices into `course_utils.parts.PARTS`, 0 none.

    Only what is visible counts. The picture of a tank yard without a tank gives the parts of its
    twin with the tank: where the tank would be.
    """
    label = "tank" if entry.dataset == "tank_yard" else entry.label
    parts = _same_scene(entry, "parts", label)
    if parts is None:
        raise ValueError(f"There is no mask for {entry.name}: {entry.split} pictures have none.")
    return torch.from_numpy(np.array(_decode(parts)))


def load_mask(entry):
    """Where the object is, (H, W) bool. Without a tank: where it would be (see `load_parts`)."""
    return load_parts(entry) > 0


def load_part_masks(entry):
    """The mask of every part in view, {name: (H, W) bool}, in the order of PARTS."""
    parts = load_parts(entry)
    return {PARTS[number]: parts == number for number in parts.unique().tolist() if number > 0}


def load_counterfactual(entry):
    """The same scene rendered without the object's key part (`KEY_PART`), (3, H, W) in [0, 1]."""
    counterfactual = _same_scene(entry, "counterfactual", entry.label)
    if counterfactual is None:
        raise ValueError(
            f"{entry.name} has no counterfactual: only look_alikes test pictures of these classes"
            f" have one: {', '.join(KEY_PART)}."
        )
    return load_picture(counterfactual)


def two_by_two(scene):
    """The four pictures of a tank-yard scene, {(label, weather): (3, H, W)}.

    All four share camera and plants, and the two under one weather also light, exposure and
    noise. So their differences are exact effects of the tank and of the weather.
    """
    return {
        (entry.label, entry.weather): load_picture(entry) for entry in _tank_yard_entries(scene)
    }


def tank_mask(scene):
    """Where the tank of a tank-yard scene is visible, (H, W) bool."""
    return load_mask(_tank_yard_entries(scene)[0])


def regions(scene):
    """Sky, land and tank of a tank-yard scene, {name: (H, W) bool}; each pixel is in one of them.

    The tank is widened by 3 pixels for the lens's blur; the sky is what the empty scene shows
    of it, without the tank; land is the rest, trees included.
    """
    entry = _tank_yard_entries(scene)[0]
    tank = grown(load_mask(entry), 3)
    sky_entry = _same_scene(entry, "sky", "no_tank")
    sky = torch.from_numpy(np.array(_decode(sky_entry)) > 0) & ~tank
    return {"sky": sky, "land": ~sky & ~tank, "tank": tank}


def grown(mask, pixels):
    """A mask (H, W) bool, wider by `pixels` on every side (a square dilation)."""
    width = 2 * pixels + 1
    wider = torch.nn.functional.max_pool2d(mask[None].float(), width, stride=1, padding=pixels)
    return wider[0] > 0


def _tank_yard_entries(scene):
    """The four entries of a tank-yard scene; scene numbers are unique over all splits."""
    by_scene, scene = _manifest().by_scene, int(scene)
    for split in ("training", "validation", "test"):
        found = by_scene.get(("tank_yard", split, scene), [])
        if found:
            return [entry for entry in found if entry.kind == "picture"]
    known = sorted(number for dataset, _, number in by_scene if dataset == "tank_yard")
    raise ValueError(
        f"The tank yard has no scene {scene}; it has {len(known)} scenes between {known[0]} and"
        f" {known[-1]}: entries of load_set('tank_yard', 'test') name some."
    )


def _same_scene(entry, kind, label):
    """The entry of another kind for the scene of `entry`, or None."""
    siblings = _manifest().by_scene[entry.dataset, entry.split, entry.scene]
    return next((e for e in siblings if (e.kind, e.label) == (kind, label)), None)


def _load_bytes(entry):
    """The pixels of a picture, (H, W, 3) uint8 array."""
    return np.array(_decode(entry).convert("RGB"))


def _decode(entry):
    """The image in an entry's file, after its sum has been compared with the manifest."""
    return Image.open(io.BytesIO(_checked_content(entry)))


def _checked_content(entry):
    """The bytes of an entry's file. Hashing them costs far less than decoding them."""
    try:
        content = (data_folder() / entry.path).read_bytes()
    except OSError:
        raise damage(entry.path, "missing") from None
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise damage(entry.path, "damaged")
    return content


def damage(path, what):
    """The DataError for a file of the course that is `what` ("missing", "damaged").

    path: a whole path, or as seen from the data folder. The message names the command that
    restores the file.
    """
    path = data_folder() / path
    command = _restore_command(path.relative_to(data_folder()).as_posix())
    return DataError(f"{path} is {what}; restore it with: {command}")


def _restore_command(path):
    if data_folder() == DATA:
        return f"git restore data/{path} (in the course's folder)"
    return f"git -C {data_folder()} restore {path}"


def verify(dataset=None):
    """Compares every file with the manifest, showing a progress bar; returns how many there are.

    Raises one `DataError` that names the files that are missing or damaged.
    """
    from tqdm.auto import tqdm

    everything, faults = entries(dataset), []
    for entry in tqdm(everything, desc="checking pictures", unit=" files"):
        try:
            _checked_content(entry)
        except DataError as fault:
            faults.append(str(fault))
    if len(faults) > 1:
        shown = "\n".join(faults[:5]) + ("\n..." if len(faults) > 5 else "")
        command = _restore_command(dataset or ".")
        raise DataError(
            f"{len(faults)} of {len(everything)} files are missing or damaged; restore them all"
            f" with: {command}\n{shown}"
        )
    if faults:
        raise DataError(faults[0])
    return len(everything)


# ---------------------------------------------------------------------------- sets of pictures


class PictureSet(torch.utils.data.Dataset):
    """A set of labelled pictures: a torch Dataset whose items are (picture, label index).

    name:    "look_alikes/test"
    classes: the labels in alphabetical order, as torchvision's ImageFolder orders them
    entries: what the manifest says about each picture, in the order of the set
    labels:  (N,) int64, indices into `classes`
    """

    def __init__(self, name, classes, entries):
        self.name = name
        self.classes = tuple(classes)
        self.entries = tuple(entries)
        numbers = [self.classes.index(entry.label) for entry in self.entries]
        self.labels = torch.tensor(numbers, dtype=torch.int64)
        self._bytes = None

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        return load_picture(self.entries[index]), int(self.labels[index])

    def __repr__(self):
        return f"PictureSet({self.name}: {len(self)} pictures, {len(self.classes)} classes)"

    def stack(self):
        """All pictures, (N, 3, H, W) float32 in [0, 1], and all labels, (N,) int64.

        The files are read once; calling it again is quick.
        """
        if self._bytes is None:
            self._bytes = np.stack([_load_bytes(entry) for entry in self.entries])
        return _to_picture(self._bytes), self.labels.clone()

    def filter(self, **conditions):
        """The pictures that meet all conditions, such as weather="sunny" or scene=range(10).

        Each names a field of `Entry` and gives the value it must have, or a collection of values.
        `classes`, and with them the label indices, stay as they are.
        """
        known = [field.name for field in fields(Entry)]
        for name in conditions:
            _check_name(name, known, "field")
        kept = [entry for entry in self.entries if _meets(entry, conditions)]
        if not kept:
            raise ValueError(f"No picture of {self.name} has {self._explain(conditions)}.")
        return PictureSet(self.name, self.classes, kept)

    def _explain(self, conditions):
        """The conditions that nothing met, with a few values that each could have had."""
        sentences = []
        for name, wanted in conditions.items():
            values = [str(value) for value in sorted({getattr(e, name) for e in self.entries})]
            shown = ", ".join(values[:12]) + (", ..." if len(values) > 12 else "")
            sentences.append(f"{name}={wanted!r} ({name} can be: {shown})")
        return " and ".join(sentences)


def load_set(dataset, split):
    """The pictures of one split: load_set("look_alikes", "test"), load_set("tank_yard", "test").

    In the tank yard's biased_training and biased_test, tanks are seen only in the sun and empty
    yards only under clouds; fair_training and test have all four conditions of every scene.
    """
    _check_name(dataset, SPLITS, "data set")
    _check_name(split, SPLITS[dataset], f"split of {dataset}")
    part = split.removeprefix("biased_").removeprefix("fair_")
    pictures = [entry for entry in entries(dataset) if entry.kind == "picture"]
    classes = sorted({entry.label for entry in pictures})
    chosen = [entry for entry in pictures if entry.split == part]
    if not chosen:
        raise DataError(f"manifest.csv lists no pictures of {dataset}/{split}.")
    if split.startswith("biased_"):
        chosen = [entry for entry in chosen if _fits_the_bias(entry)]
    return PictureSet(f"{dataset}/{split}", classes, chosen)


def _fits_the_bias(entry):
    """Whether a tank-yard picture could be in the legend's photo archive."""
    return (entry.label, entry.weather) in {("tank", "sunny"), ("no_tank", "overcast")}


def _meets(entry, conditions):
    """Whether every field has the wanted value, or one of the wanted values."""
    for name, wanted in conditions.items():
        several = isinstance(wanted, Collection) and not isinstance(wanted, str)
        if getattr(entry, name) not in (wanted if several else [wanted]):
            return False
    return True


def _check_name(name, known, what):
    if name not in known:
        raise ValueError(f"There is no {what} {name!r}; there are: {', '.join(known)}.")


# ---------------------------------------------------------------------------- pictures of your own


def open_picture(path, size=None):
    """Any picture: a file of your own, a scikit-image photo or a course picture.

    path: a file, or a name from `PHOTOS`, or a name like "look_alikes/test/zebra/20003", or
          "article:zebra", one of the photographs that `course_utils.article` fetches
    size: the picture's largest centred square, scaled to `size` x `size` pixels; None leaves the
          picture as it is

    Returns (3, H, W) float32 in [0, 1]. Files are turned upright as their EXIF data says, grey
    becomes RGB, transparent parts are laid over white, and of an animation the first frame counts.
    """
    if size is not None and size < SMALLEST_SIDE:
        raise PictureError(f"size must be at least {SMALLEST_SIDE} pixels, not {size}.")
    image = _upright_rgb(_read_image(path))
    if size is not None:
        image = _centred_square(image, size)
    return _to_picture(np.array(image))


def _read_image(path):
    """The decoded image of a file or of a known name."""
    file = Path(path).expanduser()
    if str(path) and file.is_dir():
        raise PictureError(f"{path} is a folder, not a picture.")
    if file.is_file():
        return _decode_file(file)
    if str(path) in PHOTOS:
        return _decode_file(_photo_folder() / PHOTOS[str(path)])
    if str(path).startswith("article:"):
        from course_utils.article import photograph

        return _decode_file(photograph(str(path).removeprefix("article:")))
    if str(path).startswith(tuple(SPLITS)):
        return _decode(find_entry(path))
    raise PictureError(
        f"There is no picture {str(path)!r}: give the path of a file (looking in {Path.cwd()}), or"
        f" one of the names {', '.join(PHOTOS)}, a course picture such as"
        " look_alikes/test/zebra/20003, or a photograph that is fetched, such as article:zebra."
    )


def _photo_folder():
    """Where scikit-image keeps its photos, found without importing it."""
    package = importlib.util.find_spec("skimage")
    if package is None:
        raise PictureError("This photo comes with scikit-image: pip install scikit-image.")
    return Path(package.submodule_search_locations[0]) / "data"


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


def _upright_rgb(image):
    """Any image as RGB with 8 bits, turned as its EXIF data says."""
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # unreadable EXIF data says nothing about the picture
        pass
    if image.mode.startswith("I") or image.mode == "F":
        image = _reduce_to_8_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _reduce_to_8_bits(image):
    """A grey image of 16 or 32 bits as one of 8 bits.

    Integers are taken to be 16 bits wide unless they are larger, floats to lie in [0, 1] or else
    in [0, 255]; anything beyond is scaled down by its largest value.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    usual = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    white = next((level for level in usual if values.max() <= level), values.max())
    return Image.fromarray(np.uint8(np.clip(values / white, 0, 1) * 255 + 0.5))


def _centred_square(image, size):
    """The largest square in the middle of an image, scaled with antialiasing."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _to_picture(pixels):
    """A uint8 array (..., H, W, 3) as a float32 tensor (..., 3, H, W) in [0, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).contiguous().float().div_(255)
