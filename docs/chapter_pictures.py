"""Cuts the picture of each notebook out of one of its figures, as docs/chapters.toml says.

    python docs/chapter_pictures.py [NAME ...]

A tile is a part of a figure, at least 70 pixels wide and high, that white surrounds: a photograph
or a map. Look at what came out, docs/chapters/*.jpg, before you commit it.
"""

import base64
import io
import sys
import tomllib
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image
from scipy import ndimage

from course_utils.classroom import find_notebooks

DOCS = Path(__file__).resolve().parent
SIDE = 200
SMALLEST = 70


def figures(notebook: nbformat.NotebookNode) -> list[Image.Image]:
    """All figures of a notebook."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    data = [output.get("data", {}) for output in outputs]
    found = [d.get("image/png") or d.get("image/jpeg") for d in data]
    return [Image.open(io.BytesIO(base64.b64decode(content))) for content in found if content]


def tiles(figure: Image.Image) -> list[Image.Image]:
    """Its parts that white surrounds, row by row."""
    drawn = np.asarray(figure.convert("L")) < 250
    found = ndimage.find_objects(ndimage.label(drawn)[0])
    large = [box for box in found if min(s.stop - s.start for s in box) >= SMALLEST]
    in_order = sorted(large, key=lambda box: (round(box[0].start / 40), box[1].start))
    return [figure.crop((x.start, y.start, x.stop, y.stop)) for y, x in in_order]


def cut(path: Path, figure: int, chosen: list[int]) -> None:
    """Writes the tiles of a notebook's figure side by side."""
    all_tiles = tiles(figures(nbformat.read(path, as_version=4))[figure])
    strip = Image.new("RGB", (SIDE * len(chosen), SIDE), "white")
    for place, number in enumerate(chosen):
        tile = all_tiles[number].convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        strip.paste(tile, (place * SIDE, 0))
    strip.save(DOCS / "chapters" / f"{path.stem}.jpg", quality=85, optimize=True)


if __name__ == "__main__":
    settings = tomllib.loads((DOCS / "chapters.toml").read_text(encoding="utf-8"))["pictures"]
    for notebook in find_notebooks(sys.argv[1:]):
        name = notebook.stem.split("_", 1)[1]
        if name not in settings:
            sys.exit(f"docs/chapters.toml lacks a line: {name} = {{ figure = 0, tiles = [0, 1] }}")
        setting = settings[name]
        cut(notebook, setting["figure"], setting["tiles"])
