"""Grading a class with everything in it that a grader fears: each file is graded, none does harm.

One run grades them all; the tests look at what came out. A sandbox takes seconds to start, so most
submissions hold several bad answers, and one right answer that they must not spoil.
"""

import csv
import json
import os
import shutil
import socket
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from grading_class import MASTERS, cell_of, insert, master, place_of, put, put_into, solved

from course_utils.classroom import UsageError
from course_utils.classroom.command import main
from course_utils.classroom.copies import update_copy
from course_utils.classroom.grading import grade, reports, sandbox, workers
from course_utils.classroom.grading.records import (
    GRADED,
    GRADER_ERROR,
    NOTHING_TO_GRADE,
    Limits,
    Result,
    Verdict,
)
from course_utils.classroom.grading.text import safe_name
from course_utils.exercises import all_checks

STEM = "05_saliency"
*CARRIERS, LAST = MASTERS[STEM].points
"""Exercises that carry bad answers, and the one whose answer stays right."""

FULL = {stem: sum(a_master.points.values()) for stem, a_master in MASTERS.items()}
LIMITS = Limits(seconds=6, waiting=10, memory=1_500_000_000, processes=50)

HAS_SANDBOX = shutil.which("bwrap") is not None and sys.platform == "linux"
needs_sandbox = pytest.mark.skipif(not HAS_SANDBOX, reason="needs bubblewrap")

PACKAGE = sandbox.PACKAGE
FORGED = (
    "import json, os\n"
    "header = json.dumps({{'ended': '{last} 0', 'how': 'answered', 'cpu': 0}}).encode()\n"
    "line = len(header).to_bytes(4) + (0).to_bytes(8) + header\n"
    "flood = line * 1000 + b'\\n' * 10**7\n"
)
TO_ALL_CHANNELS = """
for fd in range(1, 60):
    try:
        os.write(fd, flood)
    except OSError:
        pass
"""

BAD = {
    "infinite loop": ("while True:\n    pass", "computed for longer than 6 seconds"),
    "sleeper": ("import time\ntime.sleep(10**6)", "not done after 10 seconds"),
    "hog": ("import numpy\nreturn numpy.ones(10**12)", "Memory"),
    "slow hog": (  # numpy.empty takes memory without touching it, which may take long
        "import numpy\nhoard = []\nwhile True:\n    hoard.append(numpy.empty(10**7))",
        "emory",
    ),
    "disk filler": (
        "for n in range(10**6):\n    with open(f'/tmp/{n}', 'wb') as file:\n"
        "        file.write(bytes(10**7))",
        "No space left",
    ),
    "shared memory filler": (
        "for n in range(10**6):\n    with open(f'/dev/shm/{n}', 'wb') as file:\n"
        "        file.write(bytes(10**7))",
        "No space left",
    ),
    "root filler": ("open('/full', 'wb').write(bytes(10))", "Read-only file system"),
    "hidden folder filler": (
        f"open({str(sandbox.ROOT / 'full')!r}, 'wb').write(bytes(10))",
        "file",  # there is none, or, where the environment lies in the clone, it can't be written
    ),
    "talker": (
        "import os\nfor _ in range(100):\n    print('x' * 10**6)\n    os.write(1, b'x' * 10**6)",
        "is None",
    ),
    "os_exit": ("import os\nos._exit(0)", "ended Python itself"),
    "sys_exit": ("import sys\nsys.exit(0)", "SystemExit"),
    "crasher": ("import ctypes\nctypes.string_at(0)", "ended Python itself"),
    "killer": ("import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(60)", "stopped, twice"),
    "fork bomb": ("import os\nwhile True:\n    os.fork()", ""),
    "flood on all channels": (f"{TO_ALL_CHANNELS}\nos._exit(0)", ""),
    "reads its parent": ("return open(f'/proc/{os.getppid()}/mem', 'rb').read(9)", "ermission"),
    "takes its parent's channels": (
        "for fd in range(1, 60):\n    open(f'/proc/{os.getppid()}/fd/{fd}', 'wb').write(flood)",
        "ermission",
    ),
    "peeks at the reference": (
        "from course_utils.exercises import saliency\nreturn saliency.seeds.reference(1, 2, 3)",
        "",
    ),
    "peeks at the notebook": (f"return open({str(master(STEM))!r}).read()", "No such file"),
    "peeks at the checks": (
        f"return open({str(PACKAGE / 'exercises' / 'saliency.py')!r}).read()",
        "No such file",
    ),
    "peeks at the staged checks": (
        "import course_utils, pathlib\n"
        "place = pathlib.Path(course_utils.__file__).parent / 'exercises' / 'saliency.py'\n"
        "return place.read_text()",
        "No such file",
    ),
    "peeks at the seal": (
        "import os\nreturn open(os.environ['COURSE_DATA'] + '/audit/sealed.json').read()",
        "",
    ),
    "peeks at the training": (
        "import os\nreturn open(os.environ['COURSE_DATA'] + '/training/audit.py').read()",
        "No such file",
    ),
    "takes the finished form": (
        "from course_utils import gradients\nreturn gradients.saliency(*(1, 2, 3))",
        "use your own function",
    ),
    "without end": ("answer = []\nanswer.append(answer)\nreturn answer", ""),
    "giant": ("import torch\nreturn torch.zeros(17 * 10**6), 0, 0", "far more than the answer"),
    "odd object": ("return object()", "object"),
    "huge number": ("return 10**400", ""),
    "odd numbers": ("return float('inf'), float('nan'), -10**5000", ""),
    "long names": ("return type('x' * 10**6, (), {})()", ""),
    "foreign error": ("raise type('E' * 10**5, (Exception,), {})('{9}' * 10**6)", ""),
    "wide error": ("raise ValueError('\\x1b[31m{0:>999999999}')", "ValueError"),
    "network": ("import socket\nsocket.create_connection(('127.0.0.1', PORT), 3)", ""),
    "not indented": ("        a = 1\n    return a", "IndentationError"),
    "no syntax": ("return (", "SyntaxError"),
    "needs what it lacks": ("return nowhere_defined", "NameError"),
}
"""Answers that deserve nothing: {what they do: (their body, a part of what is said to them)}."""

BEFORE = {
    "flood on all channels": FORGED.format(last=LAST),
    "takes its parent's channels": FORGED.format(last=LAST),
    "reads its parent": "import os",
}
"""Code before some of these answers."""

GOOD = {
    "leaves a daemon and a file": (  # each by itself ends the run, see "fork bomb", "disk filler"
        "import subprocess\nsubprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        "open('/tmp/notes', 'w').write('x')"
    ),
    "prints a lot": "print('x' * 10**6)",
    "logs": "import sys\nsys.stderr.write('x' * 10**6)",
}
"""What right answers may do besides."""

HIDING = {
    "guided_rule": (
        "import course_utils.exercises.engine.calls as calls\n"
        "calls._first_change = lambda *a: ''\n"
        "calls.difference = lambda *a, **k: None\n"
        "before = values.clone()\n"
        "values.add_(1)\n"
        "values = before"
    ),
    LAST: "import torch\ntorch.equal = lambda *a: True",
}
"""What hides, within right answers, that they change what they must not."""


def packed(bodies, port):
    """Submissions that hold these answers, a few in each: {learner: (book, {exercise: what})}."""
    books, names = {}, list(bodies)
    for start in range(0, len(names), len(CARRIERS)):
        book, holds = solved(STEM), {}
        for exercise, name in zip(CARRIERS, names[start:]):
            put(book, exercise, bodies[name][0].replace("PORT", str(port)), BEFORE.get(name, ""))
            holds[exercise] = name
        books[f"bad{start:02d}"] = book, holds
    return books


def good_book():
    book = solved(STEM)
    for exercise, extra in zip(CARRIERS, GOOD.values()):
        put_into(book, exercise, extra)
    return book


def hiding_book():
    book = solved(STEM)
    for exercise, extra in HIDING.items():
        put_into(book, exercise, extra)
    return book


def rearranged():
    """Right answers in a file that was turned over, tampered with, and half stripped."""
    book = solved("08_gradient_ascent")
    for cell in book.cells:
        data = cell.metadata.get("nbgrader", {})
        if data.get("grade"):
            cell.source, data["points"] = "1 / 0", 1000
        elif cell.cell_type == "code" and not data.get("solution"):
            cell.source = "raise SystemExit"
    cell_of(book, "objective").source = "%%time\n" + cell_of(book, "objective").source
    cell_of(book, "unit_score").source += "\n%matplotlib inline\n!ls\nprint(nowhere)\n"
    insert(book, 0, "from google.colab import drive\ndrive.mount('/content')\n!pip install x")
    insert(book, 1, "await something()")
    book.cells.reverse()
    for cell in book.cells[::2]:
        cell.metadata = nbformat.NotebookNode()
        cell.id = f"x{cell.id}"
    return book


def with_own_cells():
    """An answer that needs the learner's own cells, one of which changes what another made."""
    book = solved("08_gradient_ascent")
    put(book, "total_variation", "assert scale == {'a': 1, 'b': 2}\nreturn both(x)")
    place = place_of(book, "total_variation")
    insert(book, place, "scale['b'] = 2\nprint(scale)")
    insert(book, place, "scale = {'a': 1}\ndef both(x):\n    return down(x) + across(x)")
    insert(book, 0, "def down(x):\n    return x.diff(dim=2).abs().sum((1, 2, 3))")
    insert(book, place + 4, "def across(x):\n    return x.diff(dim=3).abs().sum((1, 2, 3))")
    return book


def two_answers():
    """A wrong answer after a right one, and a stub after another."""
    book = solved("08_gradient_ascent")
    insert(book, len(book.cells), "def total_variation(x):\n    return x.sum((1, 2, 3))")
    book.cells[-1].metadata = cell_of(book, "total_variation").metadata
    insert(book, len(book.cells), "def objective(score, x, l2):\n    raise NotImplementedError()")
    return book


FULL_BOOKS = {
    "ada": lambda: solved("09_dataset_search"),
    "=2+2 <b>": rearranged,
    "own cells": with_own_cells,
    "two answers": two_answers,
    "gérard": lambda: solved("07_cam_localization"),
    "HEIDI": lambda: solved("10_deconvolution_and_unpooling"),
    "heidi": lambda: solved("11_can_you_trust_a_heatmap"),
}
"""Submissions that deserve everything."""

BROKEN = {
    "not json": b"print('hello')",
    "empty": b"",
    "nested": b"[" * 100_000,
    "old format": b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
    "other notebook": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 7}',
    "odd cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [7]}',
    "not text": b"\xff\xfe\x00\x81" * 99,
    "many numbers": b"[" + b"[]," * 3_000_000 + b"[]]",
    "escape \x1b[31m": b"",
}
"""Files that are no notebooks of the course."""


def write_class(folder, port):
    """Writes one folder for each learner -> {learner: {exercise: what its bad answer does}}."""
    contents = packed(BAD, port)
    books = {name: book for name, (book, _) in contents.items()}
    books |= {name: make() for name, make in FULL_BOOKS.items()}
    books |= {"good": good_book(), "hiding": hiding_book()}
    for name, book in books.items():
        (folder / name).mkdir(parents=True)
        stem = next(s for s, m in MASTERS.items() if has_cell_of(book, m))
        nbformat.write(book, folder / name / f"{stem}.ipynb")
    update_copy(master("09_dataset_search"), folder / "ada" / "later")  # an untouched one
    update_copy(master(STEM), folder / "untouched")
    for name, text in BROKEN.items():
        (folder / name).mkdir()
        (folder / name / f"{STEM}.ipynb").write_bytes(text)
    for name in ("link", "device", "nothing", "zipped", "__MACOSX", os.fsdecode(b"\xff\xfe")):
        (folder / name).mkdir()
    (folder / "link" / f"{STEM}.ipynb").symlink_to(folder / "ada" / "09_dataset_search.ipynb")
    os.mkfifo(folder / "device" / f"{STEM}.ipynb")
    (folder / "zipped" / "work.zip").write_bytes(b"PK")
    (folder / "zipped" / "._x.ipynb").write_bytes(b"x")
    return {name: holds for name, (_, holds) in contents.items()}


def has_cell_of(book, a_master):
    names = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in book.cells}
    return set(a_master.points) <= names or len(names & set(a_master.points)) >= 2


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """The whole class, graded once: (results by learner, folders of submissions and results)."""
    if not HAS_SANDBOX:
        pytest.skip("needs bubblewrap")
    with socket.create_server(("127.0.0.1", 0)) as server:
        folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
        holds = write_class(folder, server.getsockname()[1])
        results = grade.grade([folder], out, jobs=2, limits=LIMITS)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    by_learner = {result.learner: result for result in results if result.counted}
    bad = {what: (who, name) for who, held in holds.items() for name, what in held.items()}
    return by_learner, bad, folder, out, results


def verdict(result, name):
    return next(entry for entry in result.exercises if entry.exercise == name)


# ---------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize("name", FULL_BOOKS)
def test_right_answers_get_all_points_however_the_rest_of_the_file_looks(graded, name):
    result = graded[0][name]
    told = [(entry.exercise, entry.message) for entry in result.exercises if not entry.points]
    assert result.points == FULL[result.notebook], told
    assert result.status == GRADED and result.is_certain


def test_what_was_taken_from_own_cells_is_said_and_so_are_several_answers(graded):
    (note,) = graded[0]["own cells"].notes
    assert "total_variation uses your own cells" in note and "`def both(x):`" in note
    (note,) = graded[0]["two answers"].notes
    assert note == "The file holds 2 different answers to total_variation; the best one counts."


def test_an_untouched_copy_gets_nothing_and_is_told_so(graded):
    result = graded[0]["untouched"]
    assert result.points == 0 and result.out_of == FULL[STEM]
    assert {entry.kind for entry in result.exercises} == {"not attempted"}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_answer_gets_nothing_and_the_reason(graded, what):
    learner, name = graded[1][what]
    result = graded[0][learner]
    found = verdict(result, name)
    assert result.status == GRADED and found.points == 0 and found.kind != "passed"
    assert found.message and BAD[what][1] in found.message
    assert len(found.message) < 4000


def test_bad_answers_cost_the_one_beside_them_nothing(graded):
    results, bad, *_ = graded
    for learner, _ in bad.values():
        assert verdict(results[learner], LAST).kind == "passed", learner


def test_what_was_stopped_is_uncertain_and_what_was_wrong_is_not(graded):
    results, bad, *_ = graded
    for what in ("infinite loop", "sleeper", "killer", "os_exit", "odd object", "no syntax"):
        learner, name = bad[what]
        is_certain = what in ("odd object", "no syntax")
        assert verdict(results[learner], name).certain == is_certain, what


def test_a_right_answer_may_print_log_write_and_leave_something_running(graded):
    result = graded[0]["good"]
    told = [(entry.exercise, entry.message) for entry in result.exercises if not entry.points]
    assert result.points == FULL[STEM], told


def test_side_effects_can_not_be_hidden_in_other_modules(graded):
    result = graded[0]["hiding"]
    assert {e.exercise for e in result.exercises if not e.points} == set(HIDING)
    assert verdict(result, "guided_rule").kind == "changed input"
    assert "it replaced torch.equal" in verdict(result, LAST).message


@pytest.mark.parametrize("name", [*BROKEN, "link", "device", "nothing", "zipped"])
def test_what_is_no_submission_has_a_row_and_a_reason(graded, name):
    result = graded[0][name]
    assert result.status == NOTHING_TO_GRADE and result.exercises == []
    assert 10 < len(result.problem) < 300


def test_some_reasons_in_full(graded):
    results = graded[0]
    assert "another file" in results["link"].problem
    assert "format 4" in results["old format"].problem
    assert results["zipped"].problem.endswith("only work.zip; unpack it")
    assert results["nothing"].problem == "the folder holds no file"
    assert "__MACOSX" not in results


def test_nothing_was_written_outside(graded):
    _, _, folder, _, _ = graded
    assert (folder / "ada" / "09_dataset_search.ipynb").read_bytes()[:1] == b"{"
    assert not Path("/full").exists() and not (sandbox.ROOT / "full").exists()


# ---------------------------------------------------------------------------- reports


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_scores_feedback_and_json_agree(graded):
    results, _, _, out, everything = graded
    rows = rows_of(out / "scores.csv")
    assert len(rows) == len(results)
    points = {row["learner"].removeprefix("'"): row["points"] for row in rows}
    for name, result in results.items():
        shown = name.encode("utf-8", "backslashreplace").decode()
        assert float(points[shown]) == result.points
    kept = json.loads((out / "scores.json").read_text())
    assert len(kept) == len(everything) == len(rows) + 1  # ada's copy doesn't count
    pages = {safe_name(name).lower() for name in results}
    assert pages == {path.stem.lower() for path in (out / "feedback").iterdir()}
    assert len(pages) == len(results)


def test_the_same_notebook_twice_counts_once(graded):
    _, _, _, out, everything = graded
    own = [result for result in everything if result.learner == "ada"]
    assert sorted(result.counted for result in own) == [False, True]
    assert [r["learner"] for r in rows_of(out / "scores.csv")].count("ada") == 1
    page = (out / "feedback" / "ada.html").read_text()
    assert "this file counts" in page and "another file counts" in page


def test_feedback_shows_the_hints_of_the_notebook_and_no_foreign_html(graded):
    *_, out, _ = graded
    page = (out / "feedback" / "untouched.html").read_text()
    assert "not attempted yet" in page and f"0 of {FULL[STEM]} points" in page
    page = (out / "feedback" / f"{safe_name('=2+2 <b>')}.html").read_text()
    assert "<b>" not in page.split("</h1>")[0] and "&lt;b&gt;" in page


def test_a_spreadsheet_finds_no_formula_and_a_terminal_no_command(graded):
    *_, out, everything = graded
    assert "\n'=2+2 <b>," in (out / "scores.csv").read_text()
    told = grade.summarize(everything, out)
    assert "\x1b" not in told and "escape \\x1b[31m" in told


# ---------------------------------------------------------------------------- runs


@pytest.fixture
def counting(monkeypatch):
    """Grades nothing, but notes who was asked about: no sandbox, all points."""
    asked = []

    def pretend(task):
        asked.append(task.learner)
        entry = Verdict("exercise", "passed", 1, 1)
        return Result(task.learner, task.file, "notebook", exercises=[entry])

    monkeypatch.setattr(grade, "grade_one", pretend)
    monkeypatch.setattr(grade, "rehearse", lambda *_: None)
    return asked


@pytest.fixture
def three(tmp_path):
    """A folder with three learners' notebooks."""
    for name in ("ada", "bob", "cleo"):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(master(STEM), tmp_path / "in" / name)
    return tmp_path / "in"


def test_what_is_certain_is_kept_unless_file_or_limits_change_or_it_is_asked_for(graded, counting):
    _, _, folder, out, everything = graded
    before = (out / "scores.csv").read_bytes()
    grade.grade([folder], out, limits=LIMITS)
    uncertain = {result.learner for result in everything if not result.is_certain}
    assert uncertain and set(counting) == uncertain
    counting.clear()
    assert (out / "scores.csv").read_bytes() != before  # those now have other points
    nbformat.write(solved("02_predictions_and_top_k"), folder / "untouched" / f"{STEM}.ipynb")
    grade.grade([folder], out, limits=LIMITS)
    assert counting == ["untouched"]
    counting.clear()
    grade.grade([folder], out, limits=LIMITS, again="heidi")
    assert counting == ["heidi"]
    counting.clear()
    grade.grade([folder], out, limits=replace(LIMITS, seconds=7))
    assert len(counting) == len(everything)


def test_again_for_all_and_for_nobody(three, tmp_path, counting):
    for _ in range(2):
        grade.grade([three], tmp_path / "out", again=grade.EVERYBODY)
    assert sorted(counting) == sorted(2 * ["ada", "bob", "cleo"])
    with pytest.raises(UsageError, match="nothing of a learner 'dora'"):
        grade.grade([three], tmp_path / "out", again="dora")


def test_a_run_that_breaks_in_the_middle_goes_on_later(three, tmp_path, counting, monkeypatch):
    pretend = grade.grade_one

    def breaks(task):
        if len(counting) == 2:
            raise KeyboardInterrupt
        return pretend(task)

    monkeypatch.setattr(grade, "grade_one", breaks)
    with pytest.raises(KeyboardInterrupt):
        grade.grade([three], tmp_path / "out", jobs=1)
    monkeypatch.setattr(grade, "grade_one", pretend)
    results = grade.grade([three], tmp_path / "out", jobs=1)
    assert sorted(set(counting)) == ["ada", "bob", "cleo"] and len(counting) <= 4
    assert {result.points for result in results} == {1}


def test_submissions_are_read_when_their_turn_comes(three, tmp_path, counting, monkeypatch):
    read, waiting = [], []
    real = grade.read_bytes
    monkeypatch.setattr(grade, "read_bytes", lambda path: read.append(path) or real(path))
    pretend = grade.grade_one
    monkeypatch.setattr(grade, "grade_one", lambda t: waiting.append(len(read)) or pretend(t))
    grade.grade([three], tmp_path / "out", jobs=1)
    assert waiting[0] <= 3 + 2  # three to look for kept results, then one at a time
    assert len(read) == 6


def test_each_submission_is_asked_something_else_and_nothing_secret_goes_out(three, tmp_path):
    run = grade.Run(tmp_path, True, LIMITS)
    tasks = [run.task(submission) for submission in grade.find_submissions([three])]
    assert len({task.seed for task in tasks}) == 3
    assert all(0 <= task.seed < 2**31 for task in tasks)
    assert all(run.secret not in task.to_json().encode() for task in tasks)
    again = [run.task(submission).seed for submission in grade.find_submissions([three])]
    assert again == [task.seed for task in tasks]
    (three / "ada" / master(STEM).name).write_bytes(b"{}")
    changed = run.task(grade.find_submissions([three / "ada"])[0])
    assert changed.seed != tasks[0].seed
    (tmp_path / "other").mkdir()
    assert grade.Run(tmp_path / "other", True, LIMITS).secret != run.secret


@pytest.mark.parametrize("content", [b"", b"\n", b"12345", b"\xff"])
def test_a_secret_that_was_cut_off_is_replaced(tmp_path, content):
    (tmp_path / "secret_seed").write_bytes(content)
    secret = grade.Run(tmp_path, True, LIMITS).secret
    assert len(secret) >= 32 and (tmp_path / "secret_seed").read_bytes() == secret
    assert (tmp_path / "secret_seed").stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("error", [GRADER_ERROR, "uncertain"])
def test_errors_and_what_was_stopped_are_not_kept_and_said(three, tmp_path, monkeypatch, error):
    asked = []

    def failing(task):
        asked.append(task.learner)
        if error == GRADER_ERROR:
            return workers.failed(task, "no memory \x1b[31m")
        entry = Verdict("exercise", "raised", 0, 1, certain=False)
        return Result(task.learner, task.file, "notebook", exercises=[entry])

    monkeypatch.setattr(grade, "grade_one", failing)
    monkeypatch.setattr(grade, "rehearse", lambda *_: None)
    for _ in range(2):
        results = grade.grade([three], tmp_path / "out")
    assert len(asked) == 6
    told = grade.summarize(results, tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "scores.csv")
    if error == GRADER_ERROR:
        assert "grader error: ada" in told and "\x1b" not in told
        assert {row["points"] for row in rows} == {""}
        assert main(["grade", str(three), "--out", str(tmp_path / "out")]) == 1
    else:
        assert "3 submissions have answers that were stopped" in told
        assert {row["points"] for row in rows} == {"0"}


def test_a_grader_s_error_never_hides_a_graded_file():
    entry = Verdict("exercise", "passed", 1, 1)
    good = Result("ada", "a.ipynb", "05", exercises=[entry], submitted=1)
    late = Result("ada", "b.ipynb", "05", exercises=[entry], submitted=2)
    error = Result("ada", "c.ipynb", "05", GRADER_ERROR, "x", submitted=3)
    unknown = [Result("ada", name, "", NOTHING_TO_GRADE, "x") for name in ("d.ipynb", "e.ipynb")]
    reports.choose([error, good, late, *unknown])
    counted = [result.counted for result in (error, good, late, *unknown)]
    assert counted == [False, False, True, True, True]


def test_records_survive_json():
    task = grade.Task("ada", "x", b"\x00\xff", "", 1.5, 3, True, LIMITS, ("a",), ("/b",), "v", True)
    assert grade.Task.from_json(task.to_json()) == task
    result = Result("ada", "x", "05", exercises=[Verdict("a", "passed", 1, 2, certain=False)])
    assert Result.from_json(result.to_json()) == result and not result.is_certain
    for text in ("[]", '{"learner": 1, "other": 2}', "{"):
        with pytest.raises(ValueError):
            Result.from_json(text)
    with pytest.raises(ValueError, match="no status 'fine'"):
        Result("ada", "x", status="fine")


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("kind", ["a file", "read-only", "full"])
def test_results_that_can_not_be_written_are_no_traceback(three, tmp_path, capsys, kind, counting):
    out = tmp_path / "out"
    if kind == "a file":
        out.write_text("x")
    elif kind == "read-only":
        out = Path("/proc/out")
    else:
        out = Path("/dev/full/out")
    assert main(["grade", str(three), "--out", str(out)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "can't be written to" in told


def test_a_disk_that_fills_up_in_the_middle_is_no_traceback(three, tmp_path, monkeypatch, counting):
    def full(path, text, errors="strict"):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(grade, "write_whole", full)
    with pytest.raises(UsageError, match="No space left on device.*run the same command again"):
        grade.grade([three], tmp_path / "out")


def test_without_a_sandbox_it_works_only_when_told(tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "_rehearse", lambda *_: None)
    (tmp_path / "in").mkdir()
    shutil.copy(master("08_gradient_ascent"), tmp_path / "in")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UsageError, match="apt install bubblewrap"):
        grade.grade([tmp_path / "in"], tmp_path / "out")
    (result,) = grade.grade([tmp_path / "in"], tmp_path / "out", sandboxed=False)
    assert result.points == FULL["08_gradient_ascent"]


@needs_sandbox
def test_the_command_and_known_mistakes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(grade, "rehearse", lambda *_: None)
    book = solved("09_dataset_search")
    body = "values, places = maps.flatten(2).max(dim=2)\n"
    body += "return values, places % maps.shape[3], places // maps.shape[3]"
    put(book, "channel_peaks", body)
    nbformat.write(book, tmp_path / "eve_09_dataset_search.ipynb")
    out = tmp_path / "out"
    command = ["grade", str(tmp_path), "--out", str(out), "--timeout", "30"]
    assert main(command) == 0
    full = FULL["09_dataset_search"]
    assert f"1 submissions, {full - 1} of {full} points" in capsys.readouterr().out
    (result,) = json.loads((out / "scores.json").read_text())
    assert result["learner"] == "eve"
    hint = all_checks()["dataset_search"]["channel_peaks"].mistakes[0].hint
    (told,) = [e["message"] for e in result["exercises"] if e["exercise"] == "channel_peaks"]
    assert hint in told
    assert main(["grade", str(tmp_path / "nowhere"), "--out", str(out)]) == 2
    assert "There is no file or folder" in capsys.readouterr().err


@needs_sandbox
def test_partial_credit_is_given_where_it_is_asked_for(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(grade, "rehearse", lambda *_: None)
    book = solved("09_dataset_search")
    body = "values, places = maps.flatten(2).max(dim=2)\n"
    body += "globals()['calls'] = globals().get('calls', 0) + 1\n"
    body += "values = values + (globals()['calls'] == 1)\n"
    body += "return values, places // maps.shape[3], places % maps.shape[3]"
    put(book, "channel_peaks", body)
    nbformat.write(book, tmp_path / "eve_09_dataset_search.ipynb")
    command = ["grade", str(tmp_path), "--out", str(tmp_path / "out")]
    for more, lost in ([], 1), (["--partial"], 0.5), ([], 1):
        assert main([*command, *more]) == 0
        full = FULL["09_dataset_search"]
        assert f"1 submissions, {full - lost} of {full} points" in capsys.readouterr().out
        page = (tmp_path / "out" / "feedback" / "eve.html").read_text()
        assert f"({1 - lost} of 1 point)" in page
