"""The course's pictures: sets, masks, parts, counterfactual pairs, and any picture of your own.

    test = load_set("look_alikes", "test")      # a torch Dataset of (picture, label) pairs
    picture, label = test[0]
    entry = test.entries[0]                     # what the manifest says about that picture
    mask = load_mask(entry)                     # where its object is
    mine = open_picture("holiday.jpg", size=128)    # or "chelsea", or "article:zebra"

Everywhere, `picture` is a float32 tensor (3, H, W) of red, green and blue in [0, 1], and `mask` is
a bool tensor (H, W). `course_utils.manifest` lists and checks the files, `course_utils.photos`
opens pictures of your own; what a notebook needs of both is here as well.
"""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from functools import lru_cache

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from course_utils._arguments import checks_arguments
from course_utils.errors import DataError, PictureError, check_count, check_name
from course_utils.manifest import (
    DATA,
    SPLITS,
    Entry,
    data_folder,
    entries,
    find_entry,
    manifest,
    read_entry,
    restoring,
    verify,
)
from course_utils.parts import KEY_PART, PARTS, PORTRAIT_PARTS
from course_utils.photos import PHOTOS, open_picture, to_picture

__all__ = [
    "DATA", "PHOTOS", "SPLITS", "DataError", "Entry", "PictureError", "PictureSet", "data_folder",
    "entries", "find_entry", "grown", "load_counterfactual", "load_mask", "load_part_masks",
    "load_parts", "load_picture", "load_removable_masks", "load_set", "load_variants",
    "open_picture", "regions", "tank_mask", "two_by_two", "verify",
]  # fmt: skip

BLOCK = 8
"""JPEG's blocks; a variant's file holds those that differ from its portrait."""
UNCHANGED = 128
"""The grey, exact in JPEG, of all other blocks of a variant's file."""

# ---------------------------------------------------------------------------- single pictures


def load_picture(entry: Entry) -> Tensor:
    """The picture of an entry, (3, H, W) float32 in [0, 1]."""
    return to_picture(_load_bytes(entry))


def load_parts(entry: Entry) -> Tensor:
    """Which part each pixel shows, (H, W) uint8: indices into `course_utils.parts.PARTS`, 0 none.

    Only what is visible counts. The picture of a tank yard without a tank gives the parts of its
    twin with the tank: where the tank would be.
    """
    label = "tank" if entry.dataset == "tank_yard" else entry.label
    parts = _same_scene(entry, "parts", label)
    if parts is None:
        raise ValueError(f"There is no mask for {entry.name}: {entry.split} pictures have none.")
    return torch.from_numpy(_pixels(parts).copy())


def load_mask(entry: Entry) -> Tensor:
    """Where the object is, (H, W) bool. Without a tank: where it would be (see `load_parts`)."""
    return load_parts(entry) > 0


def load_part_masks(entry: Entry) -> dict[str, Tensor]:
    """The mask of every part in view, {name: (H, W) bool}, in the order of PARTS."""
    parts = load_parts(entry)
    return {PARTS[number]: parts == number for number in parts.unique().tolist() if number > 0}


def load_counterfactual(entry: Entry) -> Tensor:
    """The same scene rendered without the object's key part (`KEY_PART`), (3, H, W) in [0, 1]."""
    counterfactual = _same_scene(entry, "counterfactual", entry.label)
    if counterfactual is None:
        raise ValueError(
            f"{entry.name} has no counterfactual: only look_alikes test pictures of these classes"
            f" have one: {', '.join(KEY_PART)}."
        )
    return load_picture(counterfactual)


def load_variants(entry: Entry) -> Mapping[str, Tensor]:
    """Everything a portrait also exists as, {name: picture (3, H, W) in [0, 1]}.

    A picture is read when it is asked for.

    without_object          the scene without the object
    without_PART            without one part or property alone, in the order of `PORTRAIT_PARTS`
    with_PART               with a part that is not the object's own: a submarine's fluke, a trunk
    without_things_beside   where something else stands about
    elsewhere               the same object, seen the same way, before another background

    All but the last are equal to the portrait, value for value, outside the blocks of 8 x 8 pixels
    where the change is seen: the part, its shadow, its reflection. These are the interventions of
    FunnyBirds (Hesse, Schaub-Meyer and Roth, "FunnyBirds: A Synthetic Vision Dataset for a
    Part-Based Analysis of Explainable AI Methods", ICCV 2023). Raises ValueError for other
    pictures.
    """
    siblings = manifest().by_scene[entry.dataset, entry.split, entry.scene]
    found = [e for e in siblings if (e.kind, e.label) == ("variant", entry.label)]
    if not found:
        raise ValueError(f"{entry.name} has no variants: only portraits of the test split have.")
    named = {_variant_name(variant): variant for variant in found}
    parts = [f"without_{part.replace(' ', '_')}" for part in PORTRAIT_PARTS[entry.label]]
    order = ["without_object", *parts]
    order += sorted(set(named) - set(order), key=lambda name: (name == "elsewhere", name))
    return _Pictures({name: named[name] for name in order if name in named})


class _Pictures(Mapping[str, Tensor]):
    """Pictures by name, (3, H, W) in [0, 1], each read when it is asked for."""

    def __init__(self, named: Mapping[str, Entry]):
        self._named = dict(named)

    def __getitem__(self, name: str) -> Tensor:
        return load_picture(self._named[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


def load_removable_masks(entry: Entry) -> dict[str, Tensor]:
    """Where each thing is that a portrait also comes without, {part: (H, W) bool}.

    The names and their order are those of `PORTRAIT_PARTS`. Raises ValueError for other pictures.
    """
    if entry.dataset != "portraits":
        raise ValueError(f"{entry.name} is no portrait: see load_part_masks for its parts.")
    parts = load_parts(entry)
    return {
        name: torch.isin(parts, torch.tensor([PARTS.index(part) for part in places]))
        for name, places in PORTRAIT_PARTS[entry.label].items()
    }


@checks_arguments
def two_by_two(scene: int) -> dict[tuple[str, str], Tensor]:
    """The four pictures of a tank-yard scene, {(label, weather): (3, H, W)}.

    All four share camera and plants, and the two under one weather also light, exposure and
    noise. So their differences are exact effects of the tank and of the weather.
    """
    return {
        (entry.label, entry.weather): load_picture(entry) for entry in _tank_yard_entries(scene)
    }


@checks_arguments
def tank_mask(scene: int) -> Tensor:
    """Where the tank of a tank-yard scene is visible, (H, W) bool."""
    return load_mask(_tank_yard_entries(scene)[0])


@checks_arguments
def regions(scene: int) -> dict[str, Tensor]:
    """Sky, land and tank of a tank-yard scene, {name: (H, W) bool}; each pixel is in one of them.

    The tank is widened by 3 pixels for the lens's blur; the sky is what the empty scene shows
    of it, without the tank; land is the rest, trees included.
    """
    entry = _tank_yard_entries(scene)[0]
    tank = grown(load_mask(entry), 3)
    sky_entry = _same_scene(entry, "sky", "no_tank")
    sky = torch.from_numpy(_pixels(sky_entry) > 0) & ~tank
    return {"sky": sky, "land": ~sky & ~tank, "tank": tank}


@checks_arguments
def grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask (H, W) bool, wider by `pixels` on every side (a square dilation); none with 0."""
    check_count("pixels", pixels, least=0)
    pixels = min(pixels, max(mask.shape, default=0))  # more can't be seen, and takes memory
    width, wider = 2 * pixels + 1, mask[None].float()
    for side in ((width, 1), (1, width)):  # one after the other: far fewer comparisons
        padding = [length // 2 for length in side]
        wider = torch.nn.functional.max_pool2d(wider, side, stride=1, padding=padding)
    return wider[0] > 0


def _tank_yard_entries(scene):
    """The four entries of a tank-yard scene; scene numbers are unique over all splits."""
    by_scene = manifest().by_scene
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
    siblings = manifest().by_scene[entry.dataset, entry.split, entry.scene]
    return next((e for e in siblings if (e.kind, e.label) == (kind, label)), None)


def _variant_name(entry):
    """The variant's name in its path: "without_mane" of portraits/test_variants/zebra/40000_..."""
    return entry.name.rsplit("/", 1)[1].split("_", 1)[1]


def _load_bytes(entry):
    """The pixels of a picture, (H, W, 3) uint8 array; a variant is laid over its portrait."""
    pixels = _pixels(entry).copy()
    if entry.kind != "variant":
        return pixels
    whole = _load_bytes(_same_scene(entry, "picture", entry.label))
    height, width, _ = pixels.shape
    blocks = pixels.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    changed = (blocks != UNCHANGED).any(axis=(1, 3, 4), keepdims=True)
    return np.where(changed, blocks, whole.reshape(blocks.shape)).reshape(pixels.shape)


def _pixels(entry):
    """What an entry's file holds, not to be written into: (H, W, 3) uint8, or (H, W) of a mask."""
    return _read_pixels(data_folder(), entry)


@lru_cache(maxsize=1024)  # 50 MB of pictures of 128 x 128: many are asked for again and again
def _read_pixels(_folder, entry):
    """The file's sum is compared with the manifest, so an entry always has the same pixels."""
    image = Image.open(io.BytesIO(read_entry(entry)))
    pixels = np.array(image.convert("RGB") if entry.path.endswith(".jpg") else image)
    pixels.flags.writeable = False
    return pixels


# ---------------------------------------------------------------------------- sets of pictures


class PictureSet(torch.utils.data.Dataset):
    """A set of labelled pictures: a torch Dataset whose items are (picture, label index).

    name:    "look_alikes/test"
    classes: the labels in alphabetical order, as torchvision's ImageFolder orders them
    entries: what the manifest says about each picture, in the order of the set
    labels:  (N,) int64, indices into `classes`
    """

    def __init__(self, name: str, classes: Sequence[str], entries: Sequence[Entry]):
        self.name = name
        self.classes = tuple(classes)
        self.entries = tuple(entries)
        numbers = [self.classes.index(entry.label) for entry in self.entries]
        self.labels = torch.tensor(numbers, dtype=torch.int64)
        self._bytes = None

    def __len__(self) -> int:
        return len(self.entries)

    @checks_arguments
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return load_picture(self.entries[index]), int(self.labels[index])

    def __repr__(self) -> str:
        return f"PictureSet({self.name}: {len(self)} pictures, {len(self.classes)} classes)"

    def stack(self) -> tuple[Tensor, Tensor]:
        """All pictures, (N, 3, H, W) float32 in [0, 1], and all labels, (N,) int64.

        The files are read once; calling it again is quick.
        """
        if self._bytes is None:
            self._bytes = np.stack([_load_bytes(entry) for entry in self.entries])
        return to_picture(self._bytes), self.labels.clone()

    def filter(self, **conditions) -> "PictureSet":
        """The pictures that meet all conditions, such as weather="sunny" or scene=range(10).

        Each names a field of `Entry` and gives the value it must have, or a collection of values.
        `classes`, and with them the label indices, stay as they are.
        """
        known = [field.name for field in fields(Entry)]
        for name in conditions:
            check_name("field", name, known)
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


def load_set(dataset: str, split: str) -> PictureSet:
    """The pictures of one split: load_set("look_alikes", "test"), load_set("tank_yard", "test").

    load_set("portraits", "test") has the pictures that a network of photographs recognizes, 224
    pixels wide; their variants are not in the set but come with `load_variants`.

    In the tank yard's biased_training and biased_test, tanks are seen only in the sun and empty
    yards only under clouds; fair_training and test have all four conditions of every scene.
    """
    check_name("data set", dataset, SPLITS)
    check_name(f"split of {dataset}", split, SPLITS[dataset])
    part = split.removeprefix("biased_").removeprefix("fair_")
    pictures = [entry for entry in entries(dataset) if entry.kind == "picture"]
    classes = sorted({entry.label for entry in pictures})
    chosen = [entry for entry in pictures if entry.split == part]
    if not chosen:
        what = f"lists no pictures of {dataset}/{split}"
        raise DataError(data_folder() / "manifest.csv", what, restoring("manifest.csv"))
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
