"""Learners' copies: made from the masters with nbgrader's own preprocessors, updated without loss.

A copy remembers, in its metadata, which release of its master it was made from and what each cell
looked like. So an update can tell what the learner wrote from what the course wrote:

- answers go into the new copy by their `grade_id`;
- cells that the learner added keep their place after the same neighbour;
- wherever that is not enough, the old file is kept beside the new one, and a sentence says why.
"""

import copy
import datetime
import hashlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat

STUB = "# YOUR CODE HERE\nraise NotImplementedError()"


@dataclass
class Update:
    """What became of one learner's copy."""

    path: Path
    action: str
    """"new", "unchanged" or "updated"."""
    kept: Path | None = None
    """Where the old file lies, if it was kept."""
    doubt: str = ""
    """Why it was kept, in one clause."""


def update_copy(master: Path, folder: Path) -> Update:
    """Makes or updates the learner's copy of a master in `folder`. Never loses an answer."""
    folder.mkdir(parents=True, exist_ok=True)
    path, fresh = folder / master.name, release(nbformat.read(master, as_version=4))
    if not path.exists():
        write_notebook(fresh, path)
        return Update(path, "new")
    try:
        old = nbformat.read(path, as_version=4)
        nbformat.validate(old)
    except Exception as error:  # any damage: not JSON, not a notebook, half a file
        doubt = f"it could not be read ({type(error).__name__})"
        return _replaced(path, fresh, doubt)
    if old.metadata.get("course", {}).get("release") == fresh.metadata.course.release:
        return Update(path, "unchanged")
    merged, doubt = merge(old, fresh)
    return _replaced(path, merged, doubt)


def _replaced(path, notebook, doubt):
    kept = None
    if doubt:
        kept = _free_name(path)
        os.replace(path, kept)
    write_notebook(notebook, path)
    return Update(path, "updated", kept, doubt)


def _free_name(path):
    """A name beside `path` that says when the file was put aside, and that is not taken."""
    today = datetime.date.today().isoformat()
    names = [f"{path.stem}.{today}{path.suffix}"]
    names += [f"{path.stem}.{today}-{number}{path.suffix}" for number in range(2, 1000)]
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def write_notebook(notebook, path: Path) -> None:
    """Writes a notebook so that the file is at any moment either the old or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(nbformat.writes(notebook))
            file.write("\n")
        if os.name == "posix":
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files for the owner alone
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------------------- releasing


def release(master) -> nbformat.NotebookNode:
    """The learner's version of a master: stubs for solutions, no outputs, locked checks.

    The same master always gives the same notebook, whatever its outputs.
    """
    notebook = _preprocessed(copy.deepcopy(master))
    notebook.metadata.pop("widgets", None)
    cells = {cell.id: _digest(cell.source) for cell in notebook.cells}
    notebook.metadata["course"] = {"release": _digest_of(notebook), "cells": cells}
    return notebook


def _preprocessed(notebook):
    from nbgrader import preprocessors  # slow to import, and needed only here
    from traitlets.config import Config

    config = Config()
    config.ClearSolutions.code_stub = {"python": STUB}
    for name in (
        "CheckCellMetadata",
        "LockCells",
        "ClearSolutions",
        "ClearOutput",
        "ClearHiddenTests",
        "ClearMarkScheme",
        "ComputeChecksums",
        "CheckCellMetadata",
    ):
        notebook, _ = getattr(preprocessors, name)(config=config).preprocess(notebook, {})
    return notebook


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _digest_of(notebook):
    """One digest of all that a release contains."""
    return _digest(json.dumps([notebook.cells, notebook.metadata], sort_keys=True))


# ---------------------------------------------------------------------------- merging


def merge(old, fresh) -> tuple[nbformat.NotebookNode, str]:
    """The new release with what the learner wrote in `old` -> notebook, doubt.

    The doubt is one clause that says what could not be carried over for certain, or "".
    """
    merged = copy.deepcopy(fresh)
    origin = old.metadata.get("course", {}).get("cells", {})
    answers = _answers(old, origin)
    _put_answers(merged, answers)
    _put_own_cells(merged, old, origin)
    _keep_outputs(merged, old)
    return merged, _doubt(old, merged, origin, answers)


def _grade_id(cell, kind="solution"):
    data = cell.metadata.get("nbgrader", {})
    return data.get("grade_id") if data.get(kind) else None


def _answers(old, origin):
    """The learner's solution cells that are no longer stubs, by grade_id; the first of several."""
    answers = {}
    for cell in old.cells:
        name = _grade_id(cell)
        if name and cell.cell_type == "code" and _is_changed(cell, origin):
            answers.setdefault(name, cell)
    return answers


def _is_changed(cell, origin):
    return origin.get(cell.id) != _digest(cell.source)


def _put_answers(merged, answers):
    for cell in merged.cells:
        if _grade_id(cell) in answers:
            cell.source = answers[_grade_id(cell)].source


def _put_own_cells(merged, old, origin):
    """Puts the cells that the learner added after the same neighbour as before."""
    known = {cell.id for cell in merged.cells} | set(origin)
    neighbour = None
    for cell in old.cells:
        if cell.id not in known and "nbgrader" not in cell.metadata:
            merged.cells.insert(_place_after(merged, neighbour), copy.deepcopy(cell))
            neighbour = cell.id
        elif any(other.id == cell.id for other in merged.cells):
            neighbour = cell.id


def _place_after(notebook, neighbour):
    ids = [cell.id for cell in notebook.cells]
    return ids.index(neighbour) + 1 if neighbour in ids else 0


def _keep_outputs(merged, old):
    """Outputs stay on the cells whose source stayed, so that passed checks stay passed."""
    before = {cell.id: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in merged.cells:
        same = before.get(cell.id)
        if cell.cell_type == "code" and same is not None and same.source == cell.source:
            cell.outputs, cell.execution_count = same.outputs, same.execution_count


def _doubt(old, merged, origin, answers):
    if not origin:
        return "it does not say which version of the course it came from"
    names = [_grade_id(cell) for cell in old.cells if _grade_id(cell)]
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        return f"the exercise {double[0]} is in it more than once"
    offered = {_grade_id(cell) for cell in merged.cells}
    gone = [name for name in answers if name not in offered]
    if gone:
        return f"the exercise {gone[0]} is no longer part of the course"
    edited = [
        cell for cell in old.cells if cell.id in origin and not _grade_id(cell)
        and _is_changed(cell, origin)
    ]  # fmt: skip
    if edited:
        first = (edited[0].source.strip().splitlines() or ["an emptied cell"])[0][:50]
        return f"you changed a cell of the course: {first!r}"
    return ""
