"""The networks on trial, what their makers tested them with, plain pictures, and the budget."""

import functools
import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from course_utils import _devices, _network_files
from course_utils import pictures as course_pictures
from course_utils.classifiers import Classifier, load_from
from course_utils.manifest import damage, data_folder, read_file

LETTERS = ("A", "B", "C", "D", "E", "F")
"""The networks on trial, the easiest case first."""

CONTROL = "control"
"""A network without a plant: trained like the others, on pictures where nothing that was done to
them goes with a class."""

BUDGET = 1500
"""Forward passes in one audit; a pass is one picture through the network."""

SIZE = 64
"""The networks see pictures of 64 x 64 pixels."""

CLASSES = ("custard_apple", "elephant", "grey_whale", "pineapple", "submarine", "zebra")

COLUMNS = 20
"""Pictures in one row of the sheet that holds a maker's pictures."""

# ---------------------------------------------------------------------------- pictures


def small_pictures(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Plain look-alikes of the six classes at half their size: pictures, masks and labels.

    split: "training", "validation" or "test"

    (N, 3, 64, 64) float32 in [0, 1], (N, 64, 64) bool, (N,) indices into CLASSES. Don't write into
    them: every caller gets the same ones.
    """
    return _small_pictures(split, data_folder())


@functools.lru_cache(maxsize=3)
def _small_pictures(split, _folder):
    """Read once from each data folder, which is an argument only to tell two apart."""
    chosen = course_pictures.load_set("look_alikes", split).filter(label=CLASSES)
    images = functional.avg_pool2d(chosen.stack()[0], 2)
    masks = torch.stack([course_pictures.load_mask(entry) for entry in chosen.entries])
    masks = functional.avg_pool2d(masks[:, None].float(), 2)[:, 0] >= 0.5
    labels = torch.tensor([CLASSES.index(entry.label) for entry in chosen.entries])
    return images, masks, labels


def held_out(every: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Plain test pictures that no network has seen: pictures, masks, labels (see `small_pictures`).

    every: take only each so-maniest; 1 takes all 360
    """
    images, masks, labels = small_pictures("test")
    return images[::every].clone(), masks[::every].clone(), labels[::every].clone()


def makers_pictures(letter: str) -> tuple[Tensor, Tensor, Tensor]:
    """What the makers of a network tested it with: the validation pictures as they got them.

    Pictures, masks and labels as in `small_pictures`. Raises ValueError for an unknown letter, and
    DataError if the sheet is missing or damaged.
    """
    _, masks, labels = small_pictures("validation")
    pictures = _tiles(_known(letter), data_folder())[: len(labels)]
    return pictures.float() / 255, masks.clone(), labels.clone()


@functools.lru_cache(maxsize=len(LETTERS))
def _tiles(letter, folder):
    """The pictures of a sheet LETTER.jpg, (N, 3, 64, 64) uint8, row by row."""
    sums = _network_files.read_json(folder / "audit" / "sheets.json", LETTERS)
    file = folder / "audit" / f"{letter}.jpg"
    content = read_file(file)
    if hashlib.sha256(content).hexdigest() != sums[letter]:
        raise damage(file, "damaged")
    sheet = torch.from_numpy(np.array(Image.open(io.BytesIO(content))))
    tiles = sheet.unflatten(0, (-1, SIZE)).unflatten(2, (COLUMNS, SIZE))
    return tiles.permute(0, 2, 4, 1, 3).flatten(0, 1)


def record() -> dict:
    """What notebook 12 shows of the shortcuts without their letters, and of new last layers.

    Made by the command that it names. Raises DataError if the file is missing or damaged.
    """
    needed = ("command", "shortcuts", "without a plant", "heads", "biased above untrained")
    return _network_files.read_json(folder() / "record.json", needed)


# ---------------------------------------------------------------------------- cases


class BudgetSpent(RuntimeError):
    """The audit has no forward passes left for what was asked."""


@dataclass(eq=False)
class Case:
    """One network on trial, and what an auditor gets to see of it."""

    letter: str
    classifier: Classifier
    pictures: Tensor = field(repr=False)
    """(N, 3, 64, 64) in [0, 1]: the pictures that its makers tested it with."""
    masks: Tensor = field(repr=False)
    """(N, 64, 64) bool: where the objects are."""
    labels: Tensor = field(repr=False)
    """(N,): indices into `classifier.classes`."""
    budget: int = BUDGET
    spent: int = 0

    @property
    def left(self) -> int:
        """How many pictures may still pass through the network."""
        return self.budget - self.spent


def load(letter: str, budget: int = BUDGET) -> Case:
    """A case, with its whole budget: `load("A")`. Raises ValueError for an unknown letter."""
    case = Case(letter, load_network(_known(letter)), *makers_pictures(letter), budget)

    def count(layer, inputs):  # a function, so that a copy of the network draws on this budget too
        if len(inputs[0]) > case.left:
            raise BudgetSpent(
                f"Case {letter} has {case.left} forward passes left, and this takes"
                f" {len(inputs[0])}. Plan the audit anew: load({letter!r}) starts afresh."
            )
        case.spent += len(inputs[0])

    case.classifier.layer("conv1").register_forward_pre_hook(count)
    return case


def load_network(name: str, device: str | torch.device | None = None) -> Classifier:
    """The classifier of a case, or the `CONTROL`, without a budget.

    device: where it computes; None leaves that to COURSE_DEVICE, see `classifiers.load`
    """
    if name not in (*LETTERS, CONTROL):
        raise ValueError(f"There is no network {name!r} here: {', '.join(LETTERS)}, {CONTROL}.")
    classifier = load_from(folder(), name)
    if name != CONTROL:
        classifier.name = f"network {name}"
    return classifier.to(device or _devices.chosen_device())


def folder() -> Path:
    """Where the networks, sheets and sealed notes are."""
    return data_folder() / "audit"


def _known(letter):
    if letter not in LETTERS:
        raise ValueError(f"There is no case {letter!r}; there are: {', '.join(LETTERS)}.")
    return letter
