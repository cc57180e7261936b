"""The manifest: what files the course has, what each shows, and whether it is as it should be.

    test = [entry for entry in entries("look_alikes") if entry.split == "test"]
    entry = find_entry("look_alikes/test/zebra/20003")
    content = read_entry(entry)                 # bytes, compared with the sum in the manifest

Files are listed in `data/manifest.csv`; each is compared with the SHA-256 sum noted there whenever
it is read, so a damaged file is named instead of believed.
"""

import csv
import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tqdm.auto import tqdm

from course_utils.errors import DataError, check_name, unknown_name

DATA = Path(__file__).resolve().parent.parent / "data"
"""Where the course's pictures are, unless the environment variable COURSE_DATA names a folder."""

SPLITS = {
    "tank_yard": ("biased_training", "fair_training", "validation", "biased_test", "test"),
    "look_alikes": ("training", "validation", "test"),
    "portraits": ("validation", "test"),
}
"""The sets that `pictures.load_set` knows, by data set."""


@dataclass(frozen=True)
class Entry:
    """One line of the manifest: what a file shows and how it was made."""

    path: str
    """Relative to the data folder, with forward slashes."""
    dataset: str
    """tank_yard, look_alikes or portraits"""
    kind: str
    """picture, parts (a mask), counterfactual (the picture without its key part) or variant (what
    of a portrait changes, see `pictures.load_variants`)"""
    split: str
    """training, validation or test"""
    scene: int
    seed: int
    label: str
    weather: str
    """sunny, overcast or indoors; empty for masks"""
    background: str
    removed: str
    """What a counterfactual or a variant lacks; empty for everything else."""
    sha256: str

    @property
    def name(self) -> str:
        """The path without its ending; `open_picture` and `find_entry` know pictures by it."""
        return self.path.rsplit(".", 1)[0]


def data_folder() -> Path:
    """The folder that holds manifest.csv: COURSE_DATA if that is set, else the course's own."""
    return Path(os.environ.get("COURSE_DATA") or DATA).absolute()


def entries(dataset: str | None = None) -> tuple[Entry, ...]:
    """All entries of the manifest, or those of one data set. Raises ValueError for other names."""
    if dataset is not None:
        check_name("data set", dataset, SPLITS)
    return tuple(entry for entry in manifest().entries if dataset in (None, entry.dataset))


class Manifest:
    """All entries of a manifest file, and the ways to look them up."""

    def __init__(self, entries: tuple[Entry, ...]):
        self.entries = entries
        whole = [e for e in entries if e.path.endswith(".jpg") and e.kind != "variant"]
        self.by_name = {entry.name: entry for entry in whole}
        self.by_scene: dict[tuple[str, str, int], list[Entry]] = {}
        for entry in entries:
            self.by_scene.setdefault((entry.dataset, entry.split, entry.scene), []).append(entry)


def manifest() -> Manifest:
    """The manifest of the data folder, read again only when its file has changed."""
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
    return Manifest(found)


def _to_entry(row):
    """The entry of one line of the manifest. Broken lines raise errors of several kinds."""
    if len(row["sha256"]) != 64:
        raise ValueError("a line was cut short")
    return Entry(**{**row, "scene": int(row["scene"]), "seed": int(row["seed"])})


def find_entry(name: str | Path) -> Entry:
    """The entry of a course picture, named like "look_alikes/test/zebra/20003".

    Raises ValueError, which lists similar names.
    """
    by_name = manifest().by_name
    wanted = str(name).replace(os.sep, "/").removesuffix(".jpg")
    if wanted in by_name:
        return by_name[wanted]
    raise ValueError(unknown_name("course picture", wanted, by_name))


# ---------------------------------------------------------------------------- reading files


def read_entry(entry: Entry) -> bytes:
    """The content of an entry's file. Raises DataError if it is missing or not as it was made.

    Hashing a file costs far less than decoding it.
    """
    content = read_file(entry.path)
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise damage(entry.path, "damaged")
    return content


def read_file(path: str | Path) -> bytes:
    """The content of a file of the course; `path` is whole or as seen from the data folder.

    Raises DataError, which names the command that restores the file.
    """
    try:
        return (data_folder() / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise damage(path, "missing") from None
    except OSError as error:
        raise damage(path, f"not readable ({error.strerror})") from error


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Writes files that belong together, each of which is at any moment the old or the new one.

    If one of them can't be written, all stay what they were. Raises OSError.
    """
    unfinished = {path: path.with_name(f".{uuid.uuid4().hex}.part") for path in contents}
    try:
        for path, content in contents.items():
            unfinished[path].write_bytes(content)
        for path, part in unfinished.items():
            part.replace(path)
    except BaseException:
        for part in unfinished.values():
            part.unlink(missing_ok=True)
        raise


def damage(path: str | Path, state: str) -> DataError:
    """The DataError for a file of the course that is `state` ("missing", "damaged").

    path: a whole path, or as seen from the data folder. The cure is the command that restores it.
    """
    path = data_folder() / path
    try:
        inside = path.relative_to(data_folder()).as_posix()
    except ValueError:
        return DataError(path, f"is {state}", "make it anew.")
    return DataError(path, f"is {state}", restoring(inside))


def restoring(path: str) -> str:
    """What brings a file of the data folder back, as an advice."""
    if data_folder() != DATA:
        return f"restore it with: git -C {data_folder()} restore {path}"
    if not (DATA.parent / ".git").exists():  # the archive for learners
        return f"take data/{path} from the course's archive again."
    return f"restore it with: git restore data/{path} (in the course's folder)"


def verify(dataset: str | None = None, progress: bool = True) -> int:
    """Compares every file with the manifest, with a progress bar; returns how many there are.

    Raises one DataError that names the files that are missing or damaged.
    """
    everything = entries(dataset)
    faults = []
    for entry in tqdm(everything, desc="checking pictures", unit=" files", disable=not progress):
        try:
            read_entry(entry)
        except DataError as error:
            faults.append(error)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        first = ", ".join(error.fault for error in faults[:5])
        others = ", ..." if len(faults) > 5 else ""
        what = (
            f"has faults: {len(faults)} of {len(everything)} files are missing or damaged"
            f" ({first}{others})"
        )
        raise DataError(data_folder(), what, restoring(dataset or "."))
    return len(everything)
