"""Everything around the notebooks: headless runs and learners' copies; the `course` command."""

import sys
from pathlib import Path

from course_utils.errors import UsageError

__all__ = [
    "NOTEBOOKS", "ROOT", "UsageError", "answer_in", "exercises_of", "find_notebooks", "is_claims",
    "nbgrader_data", "read_notebook", "refuse_missing_picture",
    "refuse_namesakes",
]  # fmt: skip

# nbformat brings jsonschema, which takes more than a second to build a grammar of internationalized
# addresses where it finds this package. Notebooks have none, and jsonschema does without it.
sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType]

ROOT = Path(__file__).resolve().parents[2]
"""The course's folder: the clone that `course_utils` is installed from."""

NOTEBOOKS = ROOT / "notebooks"
"""The masters: complete and solved."""


def find_notebooks(names=(), folder=NOTEBOOKS):
    """The notebooks called `names`, or all of `folder` in the course's order, as paths.

    A name may be a notebook's file name with or without its ending, its number ("3" or "03"), or
    the path of any notebook.
    """
    known = {path.stem: path for path in sorted(folder.glob("*.ipynb"))}
    if not known and not names:
        raise UsageError(f"There are no notebooks in {folder}.")
    found = [_find_notebook(name, known) for name in names]
    return list(dict.fromkeys(found)) or list(known.values())


def refuse_namesakes(notebooks):
    """UsageError if the results of two notebooks would have one name."""
    names = [notebook.name for notebook in notebooks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"Two of the notebooks are called {name}: take them one by one.")


def refuse_missing_picture(picture):
    """UsageError, before anything slow begins, for the name of a picture's file that isn't there.

    Names that `open_picture` knows have no dot in their last part.
    """
    try:
        file = Path(picture).expanduser()
        is_missing = bool(file.suffix) and not file.exists()
    except (OSError, RuntimeError):  # longer than names may be, or the home of nobody
        is_missing = True
    if is_missing:
        raise UsageError(f"There is no picture {picture[:200]!r} (looking in {Path.cwd()}).")


def read_notebook(path):
    """The notebook in a file; UsageError for whatever can't be read as one."""
    import nbformat  # `course doctor` comes here where it is missing

    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark before it
        return nbformat.reads(text, as_version=4)
    except Exception as error:  # any damage: not JSON, not a notebook, half a file
        reason = " ".join(str(error).split())[:100]
        raise UsageError(f"{path.name} can't be read as a notebook: {reason}.") from None


def nbgrader_data(cell):
    """What nbgrader has noted in a cell, as a dict; empty for an ordinary or a damaged cell."""
    data = cell.metadata.get("nbgrader")
    return data if isinstance(data, dict) and isinstance(data.get("grade_id"), str) else {}


def answer_in(cell):
    """The name of the exercise whose answer belongs into a code cell, or None."""
    data = nbgrader_data(cell)
    return data["grade_id"] if data.get("solution") and cell.cell_type == "code" else None


def is_claims(cell):
    """Whether a cell holds claims of the text, which readers see folded and slides leave out."""
    return cell.cell_type == "code" and "claims" in cell.metadata.get("tags", [])


def exercises_of(notebook):
    """The exercises of a notebook, from their check cells: {name: points}."""
    graded = [nbgrader_data(cell) for cell in notebook.cells]
    return {
        data["grade_id"].removeprefix("check_"): data.get("points", 0)
        for data in graded
        if data.get("grade") and not data.get("solution")
    }


def _find_notebook(name, known):
    stem = Path(name).name.removesuffix(".ipynb")
    if Path(name).suffix == ".ipynb" and Path(name).is_file():
        return Path(name).resolve()
    if stem in known:
        return known[stem]
    if stem.isdigit():
        for other, path in known.items():
            number = other.split("_")[0]
            if number.isdigit() and int(number) == int(stem):
                return path
    raise UsageError(f"There is no notebook {name!r}; there are: {', '.join(known) or 'none'}.")
