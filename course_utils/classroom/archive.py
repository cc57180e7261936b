"""`course release`: the course as learners get it, in one file, without solutions in notebooks."""

import posixpath
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import nbformat

from course_utils.classroom import NOTEBOOKS, ROOT, UsageError
from course_utils.classroom.copies import release
from course_utils.classroom.files import fill, make_folder

FOLDER = "what-does-the-network-see"
"""Everything lies below a folder of this name."""

LEFT_OUT = (
    ".ci", ".github", "CHANGELOG.md", "CONTRIBUTING.md", "benchmarks", "data/rendering",
    "data/training", "docs/chapter_pictures.py", "docs/chapters", "docs/chapters.py",
    "docs/chapters.toml", "docs/first_cell.py", "docs/grading.md", "docs/keep_outputs.py",
    "docs/maps.py", "docs/teaching.md",
    "nbgrader_config.py", "tests",
)  # fmt: skip
"""What teaches nobody, or gives answers away: tests, and how the audit's networks were trained."""

LINK = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)([^)#]+)[^)]*\)")
"""Of Markdown, to another file: its text, and the file."""

DATE = (1980, 1, 1, 0, 0, 0)
"""Of each file, so that the same course always gives the same archive."""

STORED = (".jpg", ".png", ".safetensors", ".npz")
"""Files that compression makes no smaller."""


def write_archive(out: Path, root: Path = ROOT) -> int:
    """Writes the archive, a ZIP -> how many files it holds.

    Only what git knows is taken. Raises UsageError where there is no repository, or no room.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder: name the archive, as in {out / 'course.zip'}.")
    make_folder(out.parent)
    count = 0
    try:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members(root):
                entry = zipfile.ZipInfo(f"{FOLDER}/{name}", DATE)
                is_packed = name.suffix in STORED
                entry.compress_type = zipfile.ZIP_STORED if is_packed else zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, content)
                count += 1
    except OSError as error:
        out.unlink(missing_ok=True)
        raise UsageError(f"{out} can't be written ({error.strerror or error}).") from None
    return count


def members(root: Path = ROOT) -> Iterator[tuple[PurePosixPath, bytes]]:
    """(name, content) of each file of the archive."""
    tracked = _tracked(root)
    names = [n for n in tracked if not any(n.is_relative_to(folder) for folder in LEFT_OUT)]
    for name in names:
        path = root / name
        if name.parent.name == NOTEBOOKS.name and name.suffix == ".ipynb":
            book = release(nbformat.read(path, as_version=4))
            yield name, (nbformat.writes(book) + "\n").encode()
        elif name.suffix == ".md" and name.parts[0] != "course_utils":  # templates stay
            text = path.read_text(encoding="utf-8")
            text = _for_learners(text) if str(name) == "README.md" else text
            yield name, _with_links_inside(text, name, names).encode()
        else:
            yield name, path.read_bytes()


def _for_learners(readme):
    """The archive's own README: the beginning of the course's, and how to start."""
    head, rest = readme.split("<!-- overview -->\n")
    overview = rest.split("\n<!-- end of overview -->")[0]
    head = re.sub(r"<!-- .* -->\n", "", head)
    return fill("archive.md", head=head.strip(), overview=overview)


def _with_links_inside(text, name, names):
    """A text in which a link to what the archive leaves out is plain words."""

    def link_or_words(link):
        target = posixpath.normpath(posixpath.join(name.parent, link[2]))
        is_there = any(n.is_relative_to(target) for n in names)
        return link[0] if is_there else link[1]

    return LINK.sub(link_or_words, text)


def _tracked(root):
    command = ["git", "-C", str(root), "ls-files", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise UsageError(
            f"{root} is no git repository, so what belongs to the course is not known here."
            " Make the archive from a clone."
        ) from None
    names = done.stdout.decode().split("\0")
    return [PurePosixPath(name) for name in names if name and (root / name).is_file()]
