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
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat

from course_utils.classroom import answer_in, nbgrader_data
from course_utils.classroom.files import write_whole

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
        write_whole(path, _text_of(fresh))
        return Update(path, "new")
    try:
        old = read_copy(path)
    except Exception as error:  # any damage: not JSON, not a notebook, half a file
        doubt = f"it could not be read ({type(error).__name__})"
        return _replaced(path, fresh, doubt)
    if _remembered(old).get("release") == fresh.metadata.course.release:
        return Update(path, "unchanged")
    merged, doubt = merge(old, fresh)
    return _replaced(path, merged, doubt)


def read_copy(path: Path) -> nbformat.NotebookNode:
    """A learner's file; raises some exception if it is damaged in any way."""
    text = path.read_text(encoding="utf-8-sig")  # Windows' editors put a mark before it
    notebook = nbformat.reads(text, as_version=nbformat.NO_CONVERT)
    if notebook.nbformat != 4:
        raise ValueError("another version of the format, which a conversion might cut short")
    _give_ids(notebook)
    nbformat.validate(notebook)
    nbformat.writes(notebook).encode()  # half a surrogate pair can be read but not be written
    return notebook


def _give_ids(notebook):
    """Some editors, Colab for one, drop the cells' ids: unchanged text gets its own id again."""
    by_text = {digest: name for name, digest in _origin(notebook).items()}
    for cell in notebook.cells:
        if "id" not in cell:
            known = by_text.pop(_digest(cell.source), None)
            cell.id = known or nbformat.v4.new_raw_cell().id
    notebook.nbformat_minor = max(5, notebook.nbformat_minor)  # the first with ids


def _remembered(notebook):
    """What a copy remembers of its release; empty if that is missing or damaged."""
    course = notebook.metadata.get("course")
    return course if isinstance(course, dict) else {}


def _origin(notebook):
    """What each of the course's cells looked like in the copy's release -> {id: digest}."""
    cells = _remembered(notebook).get("cells")
    return cells if isinstance(cells, dict) else {}


def _replaced(path, notebook, doubt):
    kept = None
    if doubt:
        kept = _free_name(path)
        shutil.copy2(path, kept)
    write_whole(path, _text_of(notebook))
    return Update(path, "updated", kept, doubt)


def _free_name(path):
    """A name beside `path` that says when the file was put aside, and that is not taken."""
    today = datetime.date.today().isoformat()
    names = [f"{path.stem}.{today}{path.suffix}"]
    names += [f"{path.stem}.{today}-{number}{path.suffix}" for number in range(2, 1000)]
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())


def _text_of(notebook):
    return nbformat.writes(notebook) + "\n"


# ---------------------------------------------------------------------------- releasing


def release(master) -> nbformat.NotebookNode:
    """The learner's version of a master: stubs for solutions, no outputs, locked checks.

    The same master always gives the same notebook, whatever its outputs. A release, such as a
    notebook of the archive for learners, stays as it is.
    """
    if _remembered(master):
        return copy.deepcopy(master)
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
    origin = _origin(old)
    answers = _answers(old, origin)
    _put_answers(merged, answers)
    _put_own_cells(merged, old, origin)
    _keep_outputs(merged, old)
    doubts = [_doubt(old, merged, origin, answers)]
    changed = _changed_exercises(fresh, origin, answers)
    if changed:
        _show_changes(merged, changed)
        doubts.append(f"{', '.join(changed)} has changed; its new text stands above your answer")
    return merged, "; ".join(filter(None, doubts))


def _answers(old, origin):
    """The learner's solution cells that are no longer stubs, by grade_id; the first of several."""
    answers = {}
    for cell in old.cells:
        name = answer_in(cell)
        if name and _is_changed(cell, origin):
            answers.setdefault(name, cell)
    return answers


def _is_changed(cell, origin):
    return origin.get(cell.id) != _digest(cell.source)


def _put_answers(merged, answers):
    for cell in merged.cells:
        if answer_in(cell) in answers:
            cell.source = answers[answer_in(cell)].source


def _changed_exercises(fresh, origin, answers):
    """{grade_id: new text} of answered exercises whose cell is another one than it was."""
    changed = {}
    for cell in fresh.cells:
        name = answer_in(cell)
        if name in answers and cell.id in origin and _is_changed(cell, origin):
            changed[name] = cell.source
    return changed


def _show_changes(merged, changed):
    """Puts the new text of exercises above the answers, which nobody has checked against it."""
    for name, text in changed.items():
        place = next(n for n, cell in enumerate(merged.cells) if answer_in(cell) == name)
        told = "**This exercise has changed since you solved it.** It now is:"
        note = nbformat.v4.new_markdown_cell(f"{told}\n\n```python\n{text}\n```")
        note.id = f"changed-{_digest(name + text)}"
        merged.cells.insert(place, note)
        after = merged.cells[place + 2 :]
        check = next((cell for cell in after if nbgrader_data(cell).get("grade")), None)
        if check is not None and check.cell_type == "code":
            check.outputs, check.execution_count = [], None


def _put_own_cells(merged, old, origin):
    """Puts the cells that the learner added after the same neighbour as before."""
    known = {cell.id for cell in merged.cells} | set(origin)
    neighbour = None
    for cell in old.cells:
        if cell.id not in known and not _has_part_in_grading(cell):
            merged.cells.insert(_place_after(merged, neighbour), copy.deepcopy(cell))
            neighbour = cell.id
        elif any(other.id == cell.id for other in merged.cells):
            neighbour = cell.id


def _has_part_in_grading(cell):
    """Whether nbgrader treats a cell as an answer or a check; a pasted copy of one does, too."""
    return any(nbgrader_data(cell).get(kind) for kind in ("solution", "grade", "task"))


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
    names = [answer_in(cell) for cell in old.cells if answer_in(cell)]
    double = [name for name, count in Counter(names).items() if count > 1]
    if double:
        return f"the exercise {double[0]} is in it more than once"
    offered = {answer_in(cell) for cell in merged.cells}
    gone = [name for name in answers if name not in offered]
    if gone:
        return f"the exercise {gone[0]} is no longer part of the course"
    lost = _first_lost_cell(old, merged, origin)
    if lost is None:
        return ""
    first = (lost.source.strip().splitlines() or ["an emptied cell"])[0][:50]
    if lost.id in origin:
        return f"you changed a cell of the course: {first!r}"
    return f"the new one has no place for your cell {first!r}"


def _first_lost_cell(old, merged, origin):
    """The first cell with anything by the learner that is nowhere in the merged notebook.

    The last safeguard: whatever the reason why a cell was not carried over, it shows here.
    """
    there = {_content(cell) for cell in merged.cells}
    for cell in old.cells:
        is_theirs = _is_changed(cell, origin) or cell.get("attachments")
        if is_theirs and not _is_blank(cell, origin) and _content(cell) not in there:
            return cell
    return None


def _content(cell):
    """All of a cell that a learner can write or paste."""
    return cell.source, json.dumps(cell.get("attachments", {}), sort_keys=True)


def _is_blank(cell, origin):
    """Whether a cell is an empty one that the learner added, as JupyterLab does at the end."""
    return cell.id not in origin and not cell.source.strip() and not cell.get("attachments")
