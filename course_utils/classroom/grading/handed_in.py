"""What a class handed in: the notebooks in files and folders, and whose they are.

Every folder of a learner is heard of, also one without anything that can be graded.
"""

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from course_utils.classroom import UsageError, find_notebooks
from course_utils.classroom.grading.text import printable

LARGEST = 30_000_000
"""Bytes of a file; the course's own notebooks stay below a million."""

NAMED = 5
"""Files that are named where none can be graded."""


class BadSubmission(Exception):
    """What can't be graded; the message is a clause that says why."""


@dataclass(frozen=True)
class Submission:
    """One file, or a learner's folder in which there is no notebook."""

    path: Path
    learner: str
    problem: str = ""
    """Why there is nothing to grade, in one clause."""


def find_submissions(places: list[Path], out: Path | None = None) -> list[Submission]:
    """The notebooks among files and in folders, and folders that hold none.

    In a folder, a learner's name is that of the first folder below it, as in
    `all/ada/04_occlusion.ipynb`; for a file by itself, what its name holds besides a notebook's
    name, or else its own folder. What lies in `out` is passed over.
    """
    found = {}
    for place in places:
        if place.is_dir() and not place.is_symlink():
            found |= {submission.path: submission for submission in _in_folder(place, out)}
        elif os.path.lexists(place):
            found[place] = Submission(place, _learner_of_file(place))
        else:
            raise UsageError(f"There is no file or folder {printable(place)}.")
    if not found:
        raise UsageError("There are no notebooks (.ipynb) in what was given.")
    return list(found.values())


def _in_folder(place, out):
    with _readable(place):
        entries = sorted(os.scandir(place), key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        path = place / entry.name
        if _is_no_learners(entry.name) or (out is not None and _is_same(path, out)):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _of_learner(path)
        elif entry.name.endswith(".ipynb"):
            yield Submission(path, _learner_of_file(path))
        elif entry.is_symlink() and not path.is_file():
            problem = "it is a link, and links are not followed; hand in the folder itself"
            yield Submission(path, entry.name, problem)


def _of_learner(folder):
    """The notebooks of one learner's folder; if there are none, the folder and what it holds."""
    notebooks, others = [], []
    with _readable(folder):
        for directory, folders, files in os.walk(folder, onerror=_raise):  # follows no links
            folders[:] = sorted(name for name in folders if not _is_no_learners(name))
            for name in sorted(files, key=os.fsencode):
                if not _is_no_learners(name):
                    (notebooks if name.endswith(".ipynb") else others).append(Path(directory, name))
    if not notebooks:
        return [Submission(folder, folder.name, _nothing(others))]
    return [Submission(path, folder.name) for path in notebooks]


def _nothing(others):
    """Why a folder can't be graded, by what it holds."""
    if not others:
        return "the folder holds no file"
    names = ", ".join(printable(path.name) for path in others[:NAMED])
    more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
    told = f"there is no notebook (.ipynb) in the folder, only {names}{more}"
    if any(path.name.endswith((".ipynb.txt", ".ipynb.json")) for path in others):
        return f"{told}; a browser has added an ending: take it off"
    if any(path.suffix.lower() in (".zip", ".rar", ".7z", ".gz", ".tar") for path in others):
        return f"{told}; unpack it"
    return told


def _is_no_learners(name):
    """Whether a name is one that operating systems and Jupyter give: .ipynb_checkpoints, ._x."""
    return name.startswith(".") or name == "__MACOSX"


def _is_same(path, other):
    with contextlib.suppress(OSError):
        return path.samefile(other)
    return False


@contextlib.contextmanager
def _readable(folder):
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"The folder {printable(folder)} can't be read ({reason}).") from None


def _raise(error):
    raise error


def _learner_of_file(path):
    for master in find_notebooks():
        if master.stem in path.stem:
            rest = path.stem.replace(master.stem, "").strip("_- ")
            return rest or path.absolute().parent.name
    return path.stem


def read_bytes(path: Path) -> tuple[bytes, float]:
    """The content of a file and its time stamp; raises BadSubmission for links, devices, giants."""
    try:
        facts = os.lstat(path)
        if stat.S_ISLNK(facts.st_mode):
            raise BadSubmission("it is a link to another file; hand in the file itself")
        if not stat.S_ISREG(facts.st_mode):
            raise BadSubmission("it is not a file")
        if facts.st_size > LARGEST:
            raise BadSubmission(f"it is larger than {LARGEST // 1_000_000} MB")
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(path, flags), "rb") as file:
            return file.read(LARGEST), facts.st_mtime
    except OSError as error:
        raise BadSubmission(f"it can't be opened ({error.strerror})") from None
