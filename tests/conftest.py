"""What several test modules share: a small made-up data set in the course's format."""

import csv
import hashlib
import io
import os
import random
import sys

import numpy as np
import pytest
from forks import Forks
from PIL import Image

import course_utils.classroom  # noqa: F401 (before nbformat, which it makes quicker to import)
from course_utils.parts import KEY_PART, PART_NUMBER, PARTS

ORDINARY = "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2"
"""A processor with fewer instructions than a new one, as far as torch is concerned."""

if int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 2:
    # Numbers must be the same everywhere, so every second process plays it, before torch begins.
    settings = os.environ.get("OTHER_PROCESSOR", ORDINARY).split()
    os.environ |= dict(setting.split("=") for setting in settings)

SIZE = 128
COLUMNS = "path,dataset,kind,split,scene,seed,label,weather,background,removed,sha256".split(",")
PALETTE = [value for number in range(len(PARTS)) for value in (number, 5 * number, 255 - number)]
TANK_SCENES = {"training": (0, 1, 2), "validation": (10,), "test": (20, 21)}
CLASSES = ("cat", "elephant", "zebra")


BEGIN_FIRST = (
    "test_grading", "test_notebooks_elsewhere", "test_exercises", "test_classroom", "test_zoo",
    "test_grading_nbgrader", "test_torchvision", "test_mutants", "test_pages", "test_guide",
    "test_audit", "test_trial", "test_site",
)  # fmt: skip
"""Files that take longest. What begins last should be short, or a process waits for another."""


LONGEST_ID = 60
"""Characters of what a test is named after."""


def pytest_make_parametrize_id(val):
    """A whole notebook is no name, and its random ids are others in each process."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_ID:
        return f"{ascii(val[:LONGEST_ID])[:LONGEST_ID]}..."
    return None


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    """With `--dist loadgroup`, one process runs all of a file, whose fixtures it makes once.

    A test with a mark `xdist_group` of its own goes to any process.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    place = {name: number for number, name in enumerate(BEGIN_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish(session):
    """A pytest that is too new for xdist leaves tests ungrouped without a word."""
    is_grouping = getattr(session.config.option, "loadgroup", False)
    if is_grouping and not all("@" in item.nodeid for item in session.items):
        raise pytest.UsageError("This pytest-xdist can't group tests with this pytest.")


def pytest_runtest_setup():
    """Each test draws the same random numbers, whichever ran before it."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.manual_seed(0)


@pytest.fixture(scope="session")
def forks():
    """Runs Python in forks of a process that has imported what the course takes seconds for."""
    with Forks("preloaded", "course_utils.classroom.export") as forks:
        yield forks


class DataWriter:
    """Writes pictures and masks below a folder and keeps their lines for the manifest."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = []

    def add(self, path, pixels, **columns):
        """Writes `pixels` as JPEG, or as palette PNG if they are a mask."""
        buffer, image = io.BytesIO(), Image.fromarray(pixels)
        if path.endswith(".png"):
            image.putpalette(PALETTE)
            image.save(buffer, "PNG", optimize=True)
        else:
            image.save(buffer, "JPEG", quality=92, subsampling="4:4:4")
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(buffer.getvalue())
        sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
        blank = dict.fromkeys(COLUMNS, "")
        self.rows.append({**blank, "seed": 7, "path": path, **columns, "sha256": sha256})

    def finish(self):
        """Writes the manifest."""
        with open(self.folder / "manifest.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(sorted(self.rows, key=lambda row: row["path"]))


def _mask(parts):
    """A mask with a box of 20 pixels for each part, side by side, starting at (40, 10)."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for place, name in enumerate(parts):
        mask[40:60, 10 + 20 * place : 30 + 20 * place] = PART_NUMBER[name]
    return mask


def _add_tank_yard(data, random):
    """Sunny pictures are bright, overcast ones dark; the tank is a black box."""
    mask = _mask(["hull", "turret", "gun"])
    for split, scenes in TANK_SCENES.items():
        for scene in scenes:
            common = {"dataset": "tank_yard", "split": split, "scene": scene}
            ground = random.integers(0, 60, (SIZE, SIZE, 3))
            for weather, light in (("sunny", 180), ("overcast", 60)):
                for label in ("tank", "no_tank"):
                    pixels = np.uint8(ground + light)
                    if label == "tank":
                        pixels[mask > 0] = 0
                    path = f"tank_yard/{split}/{label}/{scene:05d}_{weather}.jpg"
                    data.add(path, pixels, kind="picture", label=label, weather=weather, **common)
            path = f"tank_yard/{split}_parts/{scene:05d}.png"
            data.add(path, mask, kind="parts", label="tank", **common)
            sky = np.zeros_like(mask)
            sky[:45] = PART_NUMBER["sky"]
            path = f"tank_yard/{split}_sky/{scene:05d}.png"
            data.add(path, sky, kind="sky", label="no_tank", **common)


def _add_look_alikes(data, random):
    """Three classes of two scenes; training pictures have no masks, as in the real set."""
    for split, first in (("training", 0), ("validation", 10_000), ("test", 20_000)):
        for label in CLASSES:
            for scene in (first, first + 1):
                name = f"{label}/{scene:05d}"
                common = {"dataset": "look_alikes", "split": split, "scene": scene, "label": label}
                pixels = random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
                data.add(f"look_alikes/{split}/{name}.jpg", pixels, kind="picture", **common)
                if split == "training":
                    continue
                mask = _mask(["body", KEY_PART.get(label, "head")])
                data.add(f"look_alikes/{split}_parts/{name}.png", mask, kind="parts", **common)
                if split == "test" and label in KEY_PART:
                    common |= {"kind": "counterfactual", "removed": KEY_PART[label]}
                    path = f"look_alikes/test_without_key/{name}.jpg"
                    data.add(path, 255 - pixels, **common)


def write_small_data(folder):
    """Writes the made-up data sets and their manifest below `folder`."""
    data, random = DataWriter(folder), np.random.default_rng(0)
    _add_tank_yard(data, random)
    _add_look_alikes(data, random)
    data.finish()
    return folder


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    """A folder with a few pictures of both data sets, which the course takes for its own."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    return write_small_data(tmp_path / "data")
