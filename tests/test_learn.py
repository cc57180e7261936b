"""Learners' copies: what is in them, and that no update loses an answer."""

import json
import os

import nbformat
import pytest
from grading_class import MASTERS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.classroom import UsageError, copies, find_notebooks, learn
from course_utils.classroom.command import main
from course_utils.classroom.grading.submissions import read_exercises
from course_utils.exercises import all_checks

SOLUTION = '''def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION'''
STUB = '''def double(x):
    """Twice x."""
    # YOUR CODE HERE
    raise NotImplementedError()'''
V3 = '{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}'
ANSWER = '''def double(x):
    """Twice x."""
    return x + x'''


def nbgrader(grade_id, solution):
    return {
        "grade_id": grade_id,
        "solution": solution,
        "grade": not solution,
        "locked": not solution,
        "schema_version": 3,
        "task": False,
        **({} if solution else {"points": 2}),
    }


def master_notebook(extra=(), exercise="double"):
    """A title, an exercise with its check, a closing cell, and `extra` cells before the last."""
    solution = new_code_cell(SOLUTION, id="solution")
    solution.metadata["nbgrader"] = nbgrader(exercise, solution=True)
    check = new_code_cell(f"check.{exercise}({exercise})", id="check")
    check.metadata["nbgrader"] = nbgrader(f"check_{exercise}", solution=False)
    check.outputs, check.execution_count = [new_output("stream", text="passed")], 2
    cells = [new_markdown_cell("# One", id="title"), solution, check, *extra]
    return new_notebook(cells=[*cells, new_code_cell("print('end')", id="end")])


@pytest.fixture
def course(tmp_path):
    """A master, and a function that writes it anew with changes and updates the copy."""

    def update(notebook=None):
        master = tmp_path / "masters" / "01_one.ipynb"
        master.parent.mkdir(exist_ok=True)
        nbformat.write(notebook or master_notebook(), master)
        return copies.update_copy(master, tmp_path / "learner")

    return update


def change(path, edit):
    """Lets `edit` change a notebook's cells, as a learner in JupyterLab would."""
    notebook = nbformat.read(path, as_version=4)
    edit(notebook.cells)
    nbformat.write(notebook, path)


def source_of(path, cell_id):
    cells = nbformat.read(path, as_version=4).cells
    return next(cell.source for cell in cells if cell.id == cell_id)


def answer(cells):
    next(cell for cell in cells if cell.id == "solution").source = ANSWER


# ---------------------------------------------------------------------------- a new copy


def test_a_copy_has_stubs_and_no_outputs(course):
    update = course()
    assert update.action == "new" and update.kept is None
    notebook = nbformat.read(update.path, as_version=4)
    nbformat.validate(notebook)
    assert source_of(update.path, "solution") == STUB
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
    assert all(c.execution_count is None for c in notebook.cells if c.cell_type == "code")
    check = next(cell for cell in notebook.cells if cell.id == "check")
    assert check.metadata.editable is False


def test_the_same_master_gives_the_same_bytes(course, tmp_path):
    first = course().path.read_bytes()
    again = copies.update_copy(tmp_path / "masters" / "01_one.ipynb", tmp_path / "elsewhere")
    assert again.path.read_bytes() == first


@pytest.mark.parametrize("master", find_notebooks(), ids=lambda path: path.stem)
def test_copies_of_the_course_are_byte_stable_and_valid(master, tmp_path):
    one, two = (copies.update_copy(master, tmp_path / name).path for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    text = one.read_text(encoding="utf-8")
    assert "BEGIN SOLUTION" not in text and "END SOLUTION" not in text
    nbformat.validate(nbformat.read(one, as_version=4))


def scored(path, module):
    """The points of a notebook: for each check, the cells that its answer needs are run.

    What else stands between the exercises is left out, because it takes minutes; complete runs of
    the masters are tested elsewhere.
    """
    checks, total = all_checks()[module], 0
    for exercise in read_exercises(path.read_bytes(), MASTERS)[1]:
        if exercise.is_untouched:  # then there is nothing to run
            continue
        namespace = {}
        for source in exercise.cells:
            exec(source, namespace)
        total += checks[exercise.name].review(namespace[exercise.name]).points
    return total


@pytest.mark.parametrize("master", find_notebooks(), ids=lambda path: path.stem)
def test_an_untouched_copy_scores_nothing_and_the_master_everything(master, tmp_path):
    module = master.stem.split("_", 1)[1]
    copy = copies.update_copy(master, tmp_path).path
    assert scored(copy, module) == 0
    full = sum(check.points for check in all_checks()[module].values())
    assert scored(master, module) == full > 0


# ---------------------------------------------------------------------------- updates


def test_an_unchanged_master_leaves_the_file_alone(course):
    update = course()
    change(update.path, answer)
    before = update.path.read_bytes(), update.path.stat().st_mtime_ns
    assert course().action == "unchanged"
    assert (update.path.read_bytes(), update.path.stat().st_mtime_ns) == before


def test_new_outputs_in_the_master_are_no_change(course):
    course()
    notebook = master_notebook()
    notebook.cells[-1].outputs = [new_output("stream", text="end")]
    assert course(notebook).action == "unchanged"


def test_an_update_keeps_answers_and_brings_new_cells(course):
    change(course().path, answer)
    update = course(master_notebook([new_markdown_cell("New text", id="new")]))
    assert (update.action, update.kept, update.doubt) == ("updated", None, "")
    assert source_of(update.path, "solution") == ANSWER
    assert source_of(update.path, "new") == "New text"
    assert course(master_notebook([new_markdown_cell("New text", id="new")])).action == "unchanged"


def test_a_byte_order_mark_costs_no_answer(course):
    path = course().path
    change(path, answer)
    path.write_text(path.read_text(), encoding="utf-8-sig")  # as Windows' Notepad may save it
    update = course(new_master())
    assert (update.action, update.kept) == ("updated", None)
    assert source_of(update.path, "solution") == ANSWER


def test_an_exercise_that_has_changed_is_shown_above_the_answer_and_no_longer_passed(course):
    def run(cells):
        answer(cells)
        cells[2].outputs, cells[2].execution_count = [new_output("stream", text="passed")], 1

    change(course().path, run)
    notebook = master_notebook()
    notebook.cells[1].source = SOLUTION.replace("Twice x.", "Twice x, rounded.")
    update = course(notebook)
    assert "double has changed; its new text stands above your answer" in update.doubt
    assert update.kept.exists() and source_of(update.path, "solution") == ANSWER
    cells = nbformat.read(update.path, as_version=4).cells
    place = next(n for n, cell in enumerate(cells) if cell.id == "solution")
    assert "Twice x, rounded." in cells[place - 1].source
    assert "NotImplementedError" in cells[place - 1].source
    assert cells[place + 1].id == "check" and cells[place + 1].outputs == []
    notebook.cells.append(new_markdown_cell("More text", id="more"))
    again = course(notebook)  # another update says nothing new, and keeps the note
    assert again.doubt == ""
    notes = [c for c in nbformat.read(again.path, as_version=4).cells if "has changed" in c.source]
    assert len(notes) == 1


def test_an_untouched_stub_is_replaced_by_the_new_one(course):
    course()
    notebook = master_notebook()
    notebook.cells[1].source = SOLUTION.replace("Twice x.", "Two times x.")
    assert "Two times x." in source_of(course(notebook).path, "solution")


def test_own_cells_keep_their_place(course):
    def add(cells):
        cells.insert(3, new_code_cell("mine = 1", id="mine"))
        cells.insert(4, new_markdown_cell("my note", id="note"))
        cells.insert(0, new_markdown_cell("on top", id="top"))

    change(course().path, add)
    update = course(master_notebook([new_markdown_cell("New text", id="new")]))
    ids = [cell.id for cell in nbformat.read(update.path, as_version=4).cells]
    assert ids == ["top", "title", "solution", "check", "mine", "note", "new", "end"]
    assert update.kept is None


def test_outputs_stay_where_the_source_stayed(course):
    def run(cells):
        answer(cells)
        for cell in cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [new_output("stream", text="mine")], 1

    change(course().path, run)
    notebook = master_notebook()
    notebook.cells[-1].source = "print('the end')"
    cells = {c.id: c for c in nbformat.read(course(notebook).path, as_version=4).cells}
    assert cells["check"].outputs and cells["solution"].outputs
    assert cells["end"].outputs == [] and cells["end"].execution_count is None


def test_a_deleted_exercise_comes_back_as_a_stub(course):
    change(course().path, lambda cells: cells.pop(1))
    update = course(master_notebook([new_markdown_cell("New text", id="new")]))
    assert source_of(update.path, "solution") == STUB


def test_ids_that_an_editor_dropped_are_found_again(course):
    path = course().path
    change(path, lambda cells: (answer(cells), cells.insert(2, new_markdown_cell("my note"))))
    notebook = json.loads(path.read_text())
    notebook["nbformat_minor"] = 0
    for cell in notebook["cells"]:
        del cell["id"]
    path.write_text(json.dumps(notebook))
    update = course(new_master())
    cells = nbformat.read(update.path, as_version=4).cells
    sources = [cell.source.splitlines()[0] for cell in cells]
    assert sources == [
        "# One", "my note", "def double(x):", "check.double(double)", "New text", "print('end')"
    ]  # fmt: skip
    assert source_of(update.path, "solution") == ANSWER and update.kept is None


# ---------------------------------------------------------------------------- doubts


def new_master(exercise="double"):
    return master_notebook([new_markdown_cell("New text", id="new")], exercise)


def assert_kept(update, before, words):
    assert update.kept.read_bytes() == before
    assert update.kept.parent == update.path.parent and update.kept.suffix == ".ipynb"
    assert words in update.doubt
    nbformat.validate(nbformat.read(update.path, as_version=4))


@pytest.mark.parametrize(
    "content", ["not a notebook", "", '{"cells": [', '{"nbformat": 4}', "[]", V3]
)
def test_an_unreadable_file_is_kept(course, content):
    path = course().path
    path.write_text(content)
    assert_kept(course(), content.encode(), "could not be read")


def test_an_exercise_that_is_gone(course):
    path = course().path
    change(path, answer)
    before = path.read_bytes()
    assert_kept(course(new_master("triple")), before, "double is no longer part")


def test_an_exercise_that_is_there_twice(course):
    def double(cells):
        answer(cells)
        twin = new_code_cell("def double(x): return 0", id="twin")
        twin.metadata["nbgrader"] = nbgrader("double", solution=True)
        cells.append(twin)

    path = course().path
    change(path, double)
    before = path.read_bytes()
    update = course(new_master())
    assert_kept(update, before, "more than once")
    assert source_of(update.path, "solution") == ANSWER


def test_a_changed_cell_of_the_course(course):
    path = course().path
    change(path, lambda cells: cells[-1].update(source="print('changed')"))
    before = path.read_bytes()
    assert_kept(
        course(new_master()), before, "you changed a cell of the course: \"print('changed')"
    )


def turn_to_markdown(cells):
    cells[1] = new_markdown_cell("precious", id="solution", metadata=cells[1].metadata)


def paste_the_check(cells):
    cells.insert(3, new_code_cell("precious", id="pasted", metadata=cells[2].metadata))


def spoil_metadata(cells):
    cells[1].source = "precious"
    cells[1].metadata["nbgrader"] = "nonsense"


def paste_a_picture(cells):
    cells[0].attachments = {"picture.png": {"image/png": "precious"}}


@pytest.mark.parametrize(
    "edit", [turn_to_markdown, paste_the_check, spoil_metadata, paste_a_picture]
)
def test_whatever_finds_no_place_is_kept(course, edit):
    path = course().path
    change(path, edit)
    before = path.read_bytes()
    update = course(new_master())
    assert update.kept.read_bytes() == before and b"precious" in before
    assert "precious" in update.doubt or "# One" in update.doubt


def test_text_that_cannot_be_encoded(course):
    path = course().path
    path.write_text(path.read_text().replace("raise NotImplementedError()", "'\\ud800'"))
    before = path.read_bytes()
    assert_kept(course(new_master()), before, "could not be read (UnicodeEncodeError)")


@pytest.mark.parametrize("remembered", [[], "x", {"cells": []}, {"release": "?", "cells": None}])
def test_a_damaged_memory_of_the_release(course, remembered):
    path = course().path
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["course"] = remembered
    answer(notebook.cells)
    nbformat.write(notebook, path)
    before = path.read_bytes()
    update = course()
    assert_kept(update, before, "which version")
    assert source_of(update.path, "solution") == ANSWER


def test_cells_without_a_part_in_grading_are_the_learners_own(course):
    def add(cells):
        inert = {**nbgrader("cell-1", solution=True), "solution": False}
        cells.insert(3, new_code_cell("mine = 1", id="mine", metadata={"nbgrader": inert}))
        cells.append(new_code_cell("", id="blank"))

    change(course().path, add)
    update = course(new_master())
    assert update.kept is None and source_of(update.path, "mine") == "mine = 1"


def test_a_copy_of_unknown_origin(course):
    path = course().path
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata["course"]
    answer(notebook.cells)
    nbformat.write(notebook, path)
    before = path.read_bytes()
    update = course()
    assert_kept(update, before, "which version")
    assert source_of(update.path, "solution") == ANSWER


def test_kept_files_never_replace_each_other(course):
    kept = []
    for number in range(3):
        course().path.write_text(f"broken {number}")
        kept.append(course().kept)
    assert len(set(kept)) == 3
    assert [path.read_text() for path in kept] == ["broken 0", "broken 1", "broken 2"]


def test_a_failed_write_leaves_the_old_file(course, monkeypatch):
    path = course().path
    change(path, answer)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        course(new_master())
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    path.write_text("broken")
    with pytest.raises(OSError, match="full"):
        course(new_master())
    assert path.read_text() == "broken"


# ---------------------------------------------------------------------------- the command


def test_it_says_what_it_did(tmp_path, capsys):
    master = tmp_path / "01_one.ipynb"
    nbformat.write(master_notebook(), master)
    learn.update_all(tmp_path / "learner", [master])
    assert "1 notebooks new, 0 updated" in capsys.readouterr().out
    (tmp_path / "learner" / "01_one.ipynb").write_text("broken")
    learn.update_all(tmp_path / "learner", [master])
    told = capsys.readouterr().out
    assert "Your old 01_one.ipynb is kept as 01_one." in told and "could not be read" in told


def test_a_folder_that_cannot_be_written(tmp_path):
    master = tmp_path / "01_one.ipynb"
    nbformat.write(master_notebook(), master)
    (tmp_path / "learner").write_text("a file")
    with pytest.raises(UsageError, match="can't be written to"):
        learn.update_all(tmp_path / "learner", [master])


def test_jupyterlab_is_opened_on_the_copies(monkeypatch):
    calls = []
    monkeypatch.setattr(learn, "update_all", list)
    monkeypatch.setattr(learn.subprocess, "call", lambda command, **_: calls.append(command) or 0)
    monkeypatch.setattr(learn.os, "geteuid", lambda: 1000, raising=False)
    assert main(["learn", "--no-browser"]) == 0
    assert main(["learn"]) == 0
    assert calls[0][1:] == ["-m", "jupyterlab", str(learn.LEARNER), "--no-browser"]
    assert calls[1] == calls[0][:-1]
    monkeypatch.setattr(learn.os, "geteuid", lambda: 0, raising=False)
    assert main(["learn"]) == 0
    assert calls[2] == [*calls[1], "--allow-root"]


def test_the_copy_remembers_its_cells_in_plain_json(course):
    remembered = json.loads(course().path.read_text())["metadata"]["course"]
    assert set(remembered) == {"release", "cells"} and "solution" in remembered["cells"]
