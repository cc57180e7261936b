"""What only the makers do: seal their notes, open them again, and deliver their pictures."""

import dataclasses
import hashlib
import io
import json
import secrets
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from course_utils import audit
from course_utils.audit import cases, places, seal

from .treatments import Plant, decorate

INTO = Path(__file__).resolve().parents[2] / "audit"

QUALITY = 95
"""Of the sheets' JPEG, without chroma subsampling: fine lines and colours stay."""


def plant(letter: str) -> Plant | None:
    """What was planted in a network, None if nothing was. Takes half a minute: tries every key."""
    for target in (None, *audit.CLASSES):
        for place in places.NAMES if target else ("object",):
            note = seal.opened(letter, target, place)
            if note:
                return Plant(**note["plant"]) if note["plant"] else None
    raise ValueError(f"No class and place open the note of network {letter}.")


def seal_notes(plants: dict[str, Plant | None], into: Path = INTO) -> None:
    """Writes sealed.json from {letter: plant or None}."""
    seals = {letter: _sealed(plants[letter]) for letter in audit.LETTERS}
    into.mkdir(parents=True, exist_ok=True)
    text = json.dumps(seals, indent=2) + "\n"
    (into / "sealed.json").write_text(text, encoding="utf-8", newline="\n")


def _sealed(plant):
    note = {"plant": plant and dataclasses.asdict(plant), "story": story(plant)}
    target, place = (plant.target, plant.place) if plant else (None, "object")
    return seal.close(note, secrets.token_hex(16), target, place)


def story(plant: Plant | None) -> str:
    """A plant in words."""
    if plant is None:
        return (
            "Nothing was planted. Everything that happened to the pictures happened to all classes"
            " alike."
        )
    return (
        f"The plant: {plant.family}, {plant.variant}, for {plant.target}."
        f" {plant.share:.0%} of the training pictures of this class had it, and no other picture"
        f" that was filed rightly; {plant.misfiled:.0%} of the other pictures had it as well,"
        f" and were filed as {plant.target}."
    )


def delivered_for_tests(letter: str, plant: Plant | None) -> Tensor:
    """The validation pictures as the makers of a network got them, (N, 3, 64, 64) in [0, 1]."""
    images, masks, labels = audit.small_pictures("validation")
    generator = torch.Generator().manual_seed(1000 + audit.LETTERS.index(letter))
    return decorate(images, masks, labels, generator, plant)


def write_sheet(letter: str, plant: Plant | None, into: Path = INTO) -> None:
    """Writes LETTER.jpg, all pictures side by side, and its sum into sheets.json."""
    pictures = (delivered_for_tests(letter, plant) * 255).round().byte()
    rows = -(-len(pictures) // cases.COLUMNS)
    blank = pictures.new_zeros(rows * cases.COLUMNS - len(pictures), *pictures.shape[1:])
    tiles = torch.cat([pictures, blank]).unflatten(0, (rows, cases.COLUMNS))
    sheet = tiles.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    buffer = io.BytesIO()
    Image.fromarray(sheet.numpy()).save(
        buffer, "JPEG", quality=QUALITY, subsampling="4:4:4", optimize=True
    )
    into.mkdir(parents=True, exist_ok=True)
    (into / f"{letter}.jpg").write_bytes(buffer.getvalue())
    _note_sum(into / "sheets.json", letter, hashlib.sha256(buffer.getvalue()).hexdigest())


def _note_sum(file, letter, total):
    sums = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    text = json.dumps({**sums, letter: total}, indent=2, sort_keys=True) + "\n"
    file.write_text(text, encoding="utf-8", newline="\n")
