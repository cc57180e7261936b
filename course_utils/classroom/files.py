"""Files that the classroom writes: whole or not at all, and pages from templates."""

import tempfile
from pathlib import Path

import jinja2

from course_utils.classroom import UsageError
from course_utils.manifest import write_files

TEMPLATES = Path(__file__).resolve().parent / "templates"
"""Pages with gaps; nbconvert finds its template "course" in there."""


def make_folder(folder: Path) -> None:
    """Makes a folder for results before the work begins; UsageError if none can be there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"Nothing can be written into {folder} ({reason}).") from None


def write_whole(path: Path, text: str, errors: str = "strict") -> None:
    """Writes a file, and its folder, so that it is at any moment either the old or the new one.

    errors: what becomes of text that has no bytes, as for `open`

    Raises UsageError for devices and pipes, and OSError where nothing can be written.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):  # root could replace a device
        raise UsageError(f"{path} is no file that could be replaced: choose another one.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_files({path: text.encode("utf-8", errors)})


def fill(template: str, **values: object) -> str:
    """A page made of a template, such as "slides.html"; texts among the values are HTML already."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    gaps = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text)
    return gaps.render(values) + "\n"
