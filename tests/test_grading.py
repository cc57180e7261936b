"""Grading a class with everything in it that a grader fears: each file is graded, none does harm.

One run grades them all; the tests look at what came out.
"""

import csv
import json
import os
import shutil
import socket
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from course_utils.classroom import UsageError, find_notebooks
from course_utils.classroom.command import main
from course_utils.classroom.copies import update_copy
from course_utils.classroom.grading import grade, reports, sandbox, submissions
from course_utils.classroom.grading.transfer import Unreadable, decode, encode
from course_utils.exercises import all_checks
from course_utils.exercises.engine.calls import Outcome

NAME, MODULE = "09_dataset_search", "dataset_search.py"
MASTER = next(path for path in find_notebooks() if path.stem == NAME)
EXERCISES = list(submissions.read_masters()[NAME].points)
FIRST, SECOND = EXERCISES[:2]
FULL = sum(submissions.read_masters()[NAME].points.values())
LIMITS = sandbox.Limits(seconds=6, memory=3_000_000_000)

needs_sandbox = pytest.mark.skipif(
    shutil.which("bwrap") is None or sys.platform != "linux", reason="needs bubblewrap"
)


def notebook():
    """The master: a submission with every answer right."""
    return nbformat.read(MASTER, as_version=4)


def cell_of(book, name):
    return next(c for c in book.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)


def with_answer(body, name=FIRST, before="", book=None):
    """All answers right but one, whose body is `body` (and code before it)."""
    book = book or notebook()
    head = cell_of(book, name).source.split('"""')[0].rstrip()
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    cell_of(book, name).source = f"{before}\n{head}\n{lines}\n"
    return book


ANSWERS = {
    "infinite_loop": "while True:\n    pass",
    "sleeper": "import time\ntime.sleep(10**6)",
    "memory_hog": "import numpy\nreturn numpy.ones(10**12)",
    "slow_memory_hog": "hoard = []\nwhile True:\n    hoard.append(bytearray(10**8))",
    "disk_filler": (
        "for n in range(10**6):\n    with open(f'/tmp/{n}', 'wb') as file:\n"
        "        file.write(bytes(10**7))"
    ),
    "shared_memory_filler": (
        "for n in range(10**6):\n    with open(f'/dev/shm/{n}', 'wb') as file:\n"
        "        file.write(bytes(10**7))"
    ),
    "talker": (
        "import os\nfor _ in range(100):\n    print('x' * 10**6)\n    os.write(1, b'x' * 10**6)"
    ),
    "os_exit": "import os\nos._exit(0)",
    "sys_exit": "import sys\nsys.exit(0)",
    "crasher": "import ctypes\nctypes.string_at(0)",
    "killer": "import os\nos.kill(os.getppid(), 9)",
    "killer_of_all": "import os\nos.kill(-1, 9)",
    "fork_bomb": "import os\nwhile True:\n    os.fork()",
    "peeks_at_reference": (
        "from course_utils.exercises import dataset_search\n"
        "return dataset_search.channel_peaks.reference(maps)"
    ),
    "peeks_at_file": f"return open({str(MASTER)!r}).read()",
    "peeks_at_package": f"return open({str(sandbox.PACKAGE / 'exercises' / MODULE)!r}).read()",
    "recursive": "answer = []\nanswer.append(answer)\nreturn answer",
    "giant": "import torch\nreturn torch.zeros(3 * 10**7), 0, 0",
    "odd_object": "return object()",
}
"""Bodies of the first exercise's answer that deserve nothing."""

RESULT = '{"exercise": "%s", "outcomes": "[]"}'


def write_class(folder, port):
    """Writes one folder for each learner -> the names of those who must get everything."""
    books = {name: with_answer(body) for name, body in ANSWERS.items()}
    books["network"] = with_answer(
        f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 3).send(b'secret')"
    )
    books["writer"] = with_answer(f"open({str(folder / 'stolen')!r}, 'w').write('secret')")
    books["reader"] = with_answer(f"return open({str(folder / 'ada' / MASTER.name)!r}).read()")
    books["forger"] = with_answer(
        "import os\nfor fd in range(3, 30):\n    try:\n        os.write(fd, line)\n"
        "    except OSError:\n        pass\nos._exit(0)",
        before=f"line = b'\\n' + {RESULT % FIRST!r}.encode() + b'\\n'",
    )
    books["patcher"] = with_answer(
        "return 1, 2, 3",
        before=(
            "import course_utils.exercises.engine.compare as compare\n"
            "import course_utils.exercises.engine.calls as calls\n"
            "import numpy, torch\n"
            "compare.difference = calls.difference = lambda *a, **k: None\n"
            "torch.allclose = numpy.allclose = torch.equal = lambda *a, **k: True\n"
            "torch.Tensor.__eq__ = lambda *a: torch.tensor(True)\n"
        ),
    )
    books["no_asserts"] = with_answer(
        "return 1, 2, 3",
        before="import ast, sys\nsys.flags\nast.Assert = ast.Pass\n__debug__",
    )
    books["hard_coded"] = with_answer(HARD_CODED)
    books["top_level_loop"] = with_answer("return None", before="while True:\n    pass")
    books["syntax_error"] = with_answer("return (")
    books["deleted"] = without(FIRST)
    books["duplicated"] = duplicated(FIRST)
    full = {"ada": notebook(), "reordered": reordered(), "tampered": tampered()}
    full |= {"helper": with_helper(), "magic": with_magic(), "uses_neighbour": neighbour()}
    for name, book in (books | full).items():
        (folder / name).mkdir(parents=True)
        nbformat.write(book, folder / name / MASTER.name)
    update_copy(MASTER, folder / "untouched")
    shutil.move(folder / "reordered" / MASTER.name, folder / "reordered" / "my work (2).ipynb")
    for name, text in BROKEN.items():
        (folder / name).mkdir()
        (folder / name / MASTER.name).write_bytes(text)
    (folder / "link").mkdir()
    (folder / "link" / MASTER.name).symlink_to(folder / "ada" / MASTER.name)
    (folder / "device").mkdir()
    os.mkfifo(folder / "device" / MASTER.name)
    (folder / "=2+2 <b>").mkdir()
    shutil.copy(MASTER, folder / "=2+2 <b>" / MASTER.name)
    return {*full, "=2+2 <b>"}


BROKEN = {
    "not_json": b"print('hello')",
    "empty": b"",
    "nested": b"[" * 100_000,
    "old_format": b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
    "other_notebook": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
    "no_cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 7}',
    "odd_cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [7]}',
    "not_text": b"\xff\xfe\x00\x81" * 99,
}
"""Files that are no notebooks of the course."""

HARD_CODED = """
if maps.shape == (3, 4, 5, 7):
    import torch
    return torch.ones(3, 4), torch.zeros(3, 4).long(), torch.zeros(3, 4).long()
return None
""".strip()


def without(name):
    book = notebook()
    book.cells.remove(cell_of(book, name))
    return book


def duplicated(name):
    book = notebook()
    copy = nbformat.v4.new_code_cell(cell_of(book, name).source)
    copy.metadata = cell_of(book, name).metadata
    book.cells.append(copy)
    return book


def reordered():
    """All cells in the opposite order; the file is renamed too."""
    book = notebook()
    book.cells.reverse()
    return book


def tampered():
    """Right answers, but other cells changed in ways that must not matter."""
    book = notebook()
    for cell in book.cells:
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade"):
            cell.source, data["points"] = "1 / 0", 1000
        elif cell.cell_type == "code" and not data.get("solution"):
            cell.source = "raise SystemExit"
    return book


def with_helper():
    """An answer that calls a function from a helper cell."""
    answer = "return highest(maps), *where(maps)"
    book = with_answer(answer)
    helper = (
        "# helper\ndef highest(maps):\n    return maps.amax((2, 3))\n\n"
        "def where(maps):\n    places = maps.flatten(2).argmax(2)\n"
        "    return places // maps.shape[3], places % maps.shape[3]"
    )
    place = book.cells.index(cell_of(book, FIRST))
    book.cells.insert(place, nbformat.v4.new_code_cell(helper))
    return book


def with_magic():
    """Right answers, with magic commands in two cells."""
    book = notebook()
    cell_of(book, FIRST).source = "%%time\n" + cell_of(book, FIRST).source
    cell_of(book, SECOND).source += "\n%matplotlib inline\n!ls\n"
    return book


def neighbour():
    """The second answer uses the first, which is right."""
    book = notebook()
    cell_of(book, SECOND).source += f"\n\n_also = {FIRST}\n"
    return book


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The whole class, graded once: (results by learner, folders of submissions and results)."""
    if shutil.which("bwrap") is None or sys.platform != "linux":
        pytest.skip("needs bubblewrap")
    with socket.create_server(("127.0.0.1", 0)) as server:
        folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
        full = write_class(folder, server.getsockname()[1])
        results = grade.grade([folder], out, jobs=2, limits=LIMITS)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    return {result["learner"]: result for result in results}, full, folder, out


def verdict(result, name=FIRST):
    return next(e for e in result["exercises"] if e["exercise"] == name)


# ---------------------------------------------------------------------------- verdicts


def test_right_answers_get_all_points_however_the_rest_of_the_file_looks(graded):
    results, full, *_ = graded
    assert {name: reports.points(results[name]) for name in full} == dict.fromkeys(full, FULL)


def test_an_untouched_copy_gets_nothing_and_is_told_so(graded):
    result = graded[0]["untouched"]
    assert reports.points(result) == 0
    assert {e["kind"] for e in result["exercises"]} == {"not attempted"}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bad_answer_gets_nothing(graded, name):
    result = graded[0][name]
    assert result["problem"] == "" and verdict(result)["points"] == 0
    assert verdict(result)["message"] and verdict(result)["kind"] != "passed"


ALONE = [n for n in ANSWERS if n not in ("killer", "killer_of_all", "fork_bomb")]


@pytest.mark.parametrize("name", ALONE)
def test_a_bad_answer_costs_the_other_exercises_nothing(graded, name):
    result = graded[0][name]
    others = [e for e in result["exercises"] if e["exercise"] != FIRST]
    assert all(e["kind"] == "passed" for e in others), others


@pytest.mark.parametrize(
    "name",
    ["network", "writer", "reader", "forger", "patcher", "no_asserts", "hard_coded"],
)
def test_an_attempt_to_cheat_gets_nothing(graded, name):
    assert verdict(graded[0][name])["points"] == 0


@pytest.mark.parametrize("name", ["top_level_loop", "syntax_error", "deleted", "duplicated"])
def test_a_broken_cell_gets_nothing_and_the_reason(graded, name):
    found = verdict(graded[0][name])
    reason = {
        "top_level_loop": "longer than 6 seconds",
        "syntax_error": "SyntaxError",
        "deleted": "not in the file",
        "duplicated": "2 cells",
    }[name]
    assert found["points"] == 0 and reason in found["message"]


@pytest.mark.parametrize("name", [*BROKEN, "link", "device"])
def test_a_file_that_is_no_submission_is_reported_with_a_reason(graded, name):
    result = graded[0][name]
    assert result["exercises"] == [] and len(result["problem"]) > 10


def test_some_reasons_in_full(graded):
    results = graded[0]
    assert verdict(results["infinite_loop"])["message"] == (
        "It took longer than 6 seconds: does a loop never end?"
    )
    assert "ended Python itself" in verdict(results["os_exit"])["message"]
    assert "SystemExit" in verdict(results["sys_exit"])["message"]
    assert "Memory" in verdict(results["memory_hog"])["message"]
    assert "No space left" in verdict(results["disk_filler"])["message"]
    assert "another file" in results["link"]["problem"]
    assert "format 4" in results["old_format"]["problem"]


def test_nothing_was_written_outside_and_no_file_was_changed(graded):
    _, _, folder, _ = graded
    assert not (folder / "stolen").exists()
    assert (folder / "ada" / MASTER.name).read_bytes()[:1] == b"{"


# ---------------------------------------------------------------------------- reports


def test_scores_feedback_and_json_agree(graded):
    results, _, _, out = graded
    with open(out / "scores.csv", newline="") as file:
        rows = {row["learner"].removeprefix("'"): row for row in csv.DictReader(file)}
    assert rows.keys() == results.keys()
    for name, result in results.items():
        assert int(rows[name]["points"]) == reports.points(result)
        assert (out / "feedback" / f"{reports.safe_name(name)}.html").is_file()
    kept = json.loads((out / "scores.json").read_text())
    assert {entry["learner"] for entry in kept} == set(results)


def test_feedback_shows_the_hints_of_the_notebook_and_no_foreign_html(graded):
    *_, out = graded
    page = (out / "feedback" / "untouched.html").read_text()
    assert "not attempted yet" in page and "0 of 2 points" in page
    name = reports.safe_name("=2+2 <b>")
    page = (out / "feedback" / f"{name}.html").read_text()
    assert "<b>" not in page.split("</h1>")[0] and "&lt;b&gt;" in page


def test_a_spreadsheet_finds_no_formula(graded):
    *_, out = graded
    assert "\n'=2+2 <b>," in (out / "scores.csv").read_text()


# ---------------------------------------------------------------------------- runs


def test_what_is_graded_is_not_graded_again_unless_it_changed(graded, monkeypatch):
    _, _, folder, out = graded
    asked = []
    one = grade.grade_one
    monkeypatch.setattr(grade, "grade_one", lambda task: asked.append(task["learner"]) or one(task))
    before = (out / "scores.csv").read_bytes()
    grade.grade([folder], out, limits=LIMITS)
    assert asked == [] and (out / "scores.csv").read_bytes() == before
    nbformat.write(with_answer("return None"), folder / "ada" / MASTER.name)
    again = {r["learner"]: r for r in grade.grade([folder], out, limits=LIMITS)}
    assert asked == ["ada"] and verdict(again["ada"])["points"] == 0


@needs_sandbox
def test_a_run_that_breaks_in_the_middle_goes_on_later(tmp_path, monkeypatch):
    for name in ("ada", "bob", "cleo"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(MASTER, tmp_path / "in" / name / MASTER.name)
    one, done = grade.grade_one, []

    def breaks(task):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task["learner"])
        return one(task)

    monkeypatch.setattr(grade, "grade_one", breaks)
    with pytest.raises(KeyboardInterrupt):
        grade.grade([tmp_path / "in"], tmp_path / "out", jobs=1)
    monkeypatch.setattr(grade, "grade_one", lambda task: done.append(task["learner"]) or one(task))
    results = grade.grade([tmp_path / "in"], tmp_path / "out", jobs=1)
    assert sorted(done) == ["ada", "bob", "cleo"]
    assert {reports.points(result) for result in results} == {FULL}


@needs_sandbox
def test_known_mistakes_get_their_hint(tmp_path):
    mistake = all_checks()["dataset_search"][FIRST].mistakes[0]
    body = "values, places = maps.flatten(2).max(dim=2)\n"
    body += "return values, places % maps.shape[3], places // maps.shape[3]"
    nbformat.write(with_answer(body), tmp_path / f"eve_{NAME}.ipynb")
    (result,) = grade.grade([tmp_path], tmp_path / "out")
    assert result["learner"] == "eve" and verdict(result)["message"] == mistake.hint
    assert reports.points(result) == FULL - 1


def test_without_a_sandbox_it_works_only_when_told(tmp_path, monkeypatch):
    shutil.copy(MASTER, tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="apt install bubblewrap"):
        grade.grade([tmp_path], tmp_path / "out")
    (result,) = grade.grade([tmp_path], tmp_path / "out", sandboxed=False)
    assert reports.points(result) == FULL


@needs_sandbox
def test_the_command(tmp_path, capsys):
    (tmp_path / "in" / "ada").mkdir(parents=True)
    shutil.copy(MASTER, tmp_path / "in" / "ada")
    out = tmp_path / "out"
    assert main(["grade", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert f"1 submissions, {FULL} of {FULL} points" in capsys.readouterr().out
    assert main(["grade", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert "There is no file or folder" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_grades_the_same_and_survives_the_loss_of_a_worker(tmp_path):
    distributed = pytest.importorskip("distributed")
    for number in range(6):
        (tmp_path / "in" / f"learner{number}").mkdir(parents=True)
        shutil.copy(MASTER, tmp_path / "in" / f"learner{number}" / MASTER.name)
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as cluster:
        import threading

        worker = next(iter(cluster.workers.values()))
        threading.Timer(6, worker.process.process._process.kill).start()
        results = grade.grade(
            [tmp_path / "in"],
            tmp_path / "out",
            scheduler=cluster.scheduler_address,
            sandboxed=shutil.which("bwrap") is not None,
        )
    assert [reports.points(result) for result in results] == [FULL] * 6


# ---------------------------------------------------------------------------- pieces


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, "text", [1, (2, "three")], {"a": 1, (0, "b"): [None]},
        np.arange(6.0).reshape(2, 3), np.array([True, False]), torch.arange(4), torch.ones(2, 0, 3),
        torch.tensor(1.5), {"maps": torch.ones(2, 3)},
    ],
    ids=str,
)  # fmt: skip
def test_results_survive_the_way_out(value):
    (outcome,) = decode(encode([Outcome(value)]))
    same = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: str(a) == str(b)
    assert type(outcome.value) is type(value) and same(outcome.value, value)


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "7", "[7]", "[{}]", '[{"value": 1, "raised": {}, "changed": ""}]',
        '[{"value": {"kind": "tensor", "dtype": "float32", "shape": [9], "data": ""}}]',
        '[{"value": {"kind": "array", "dtype": "O", "shape": [], "data": "!"}, "raised": 7}]',
        "[" * 5000,
    ],
)  # fmt: skip
def test_forged_results_are_refused(text):
    with pytest.raises(Unreadable):
        decode(text)


def test_what_no_exercise_asks_for_arrives_as_something_unequal():
    (outcome,) = decode(encode([Outcome(Path("x"))]))
    assert type(outcome.value).__name__.endswith("Path")


@pytest.mark.parametrize(
    "source, binds, needs",
    [
        ("x = y + 1", {"x"}, {"y"}),
        ("def f(a):\n    b = a\n    return g(b)", {"f"}, {"g"}),
        ("import torch.nn as nn\nfrom os import path", {"nn", "path"}, set()),
        ("for i in range(3):\n    t = i", {"i", "t"}, {"i"}),
        ("def f():\n    return [q * k for q in data]", {"f"}, {"k", "data"}),
        ("class A(B):\n    c = d", {"A"}, {"B", "d"}),
        ("def f():\n    global z\n    z = 1", {"f", "z"}, set()),
        ("this is no Python", set(), set()),
    ],
)
def test_names_that_code_makes_and_needs(source, binds, needs):
    assert submissions.names_of(source) == (binds, needs)


def test_only_the_cells_that_an_answer_needs_are_run():
    _, exercises = submissions.read_exercises(MASTER.read_bytes(), submissions.read_masters())
    for exercise in exercises:
        assert 1 <= len(exercise.cells) <= 4, exercise.name


def test_names_as_file_names():
    assert reports.safe_name("ada") == "ada"
    assert reports.safe_name("../../etc/passwd") != reports.safe_name("etc_passwd")
    for name in ("../x", "a/b", "", "\0", "ä" * 300, "."):
        safe = reports.safe_name(name)
        assert safe and "/" not in safe and len(safe) < 80 and not safe.startswith(".")
