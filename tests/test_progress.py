"""`course progress` reads saved verdicts, and believes none that does not fit the answer."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_utils.classroom import NOTEBOOKS, progress
from course_utils.classroom.command import main
from course_utils.exercises import the_tank_legend
from course_utils.exercises.engine.checks import source_hash
from course_utils.exercises.engine.feedback import MIME, hash_of_source

ANSWER = '''import torch

def swap(picture, donor, mask):
    """Exchanged."""
    result = torch.where(mask, donor, picture)
    # a closing remark

    return result
    # after it

helper = 1'''


def verdict(**changes):
    source = ANSWER.split("torch\n\n")[1].split("\n\nhelper")[0]
    saved = {"exercise": "swap", "kind": "passed", "points": 1, "out_of": 1}
    return {**saved, "source": hash_of_source(source), **changes}


def notebook_with(saved, answer=ANSWER):
    """A learner's notebook with one answer and what its check left."""
    solution, check = new_code_cell(answer), new_code_cell("check.swap(swap)")
    solution.metadata["nbgrader"] = {"grade_id": "swap", "solution": True}
    check.metadata["nbgrader"] = {"grade_id": "check_swap", "grade": True, "points": 1}
    if saved is not None:
        check.outputs = [new_output("display_data", data={"text/plain": "x", MIME: saved})]
    return new_notebook(cells=[solution, check])


def test_a_passed_answer():
    assert progress.verdict_on(notebook_with(verdict()), "swap") == "passed"


@pytest.mark.parametrize(
    ("saved", "answer", "told"),
    [
        (None, ANSWER, "not run yet"),
        (verdict(kind="not attempted"), ANSWER, "not attempted"),
        (verdict(kind="known mistake"), ANSWER, "not yet (not yet)"),
        (verdict(kind="wrong shape"), ANSWER, "not yet (wrong shape)"),
        (verdict(), ANSWER.replace("donor, picture)", "picture, donor)"), "changed since"),
        (verdict(), "def other(): pass", "changed since"),
        (verdict(), "def swap(:", "changed since"),
        (verdict(source=None), ANSWER, "changed since"),
        (verdict(exercise="paste"), ANSWER, "not run yet"),
        (verdict(kind="PASSED!"), ANSWER, "not run yet"),
        (verdict(kind=["passed"]), ANSWER, "not run yet"),
        (verdict(source=["x"]), ANSWER, "changed since"),
        (verdict(), "def swap(): return " + "-" * 100_000 + "1", "changed since"),
        (verdict(), ANSWER + "\0", "changed since"),
        (verdict(), "def swap(x):\n        a = x\n    return a\n", "changed since"),
        (verdict(), "%foo\n" * 520 + "def swap(x): return x", "changed since"),
        (verdict(), "def swap(x): return (\n" + "[], " * 50_000, "changed since"),
        ("passed", ANSWER, "not run yet"),
        ([], ANSWER, "not run yet"),
    ],
)
def test_everything_else_does_not_count(saved, answer, told):
    assert progress.verdict_on(notebook_with(saved, answer), "swap").startswith(told)


def test_the_last_verdict_counts():
    notebook = notebook_with(verdict())
    last = new_output("display_data", data={MIME: verdict(kind="raised")})
    notebook.cells[1].outputs.append(last)
    assert progress.verdict_on(notebook, "swap") == "not yet (it raised an error)"


def test_magics_beside_an_answer_do_not_matter():
    answer = "%matplotlib inline\n" + ANSWER + "\n!true"
    assert progress.verdict_on(notebook_with(verdict(), answer), "swap") == "passed"


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("nonsense", [None, "x", [], {"grade_id": ["swap"]}])
def test_nonsense_in_the_metadata_does_not_count(place, nonsense):
    notebook = notebook_with(verdict())
    notebook.cells[place].metadata["nbgrader"] = nonsense
    assert progress.verdict_on(notebook, "swap") != "passed"


def test_the_hash_is_the_one_that_the_check_saves(tmp_path):
    """The cell's text and Python's own idea of a function's source must agree."""
    file = tmp_path / "answer_module.py"
    file.write_text(ANSWER + "\n")
    namespace = {}
    exec(compile(ANSWER + "\n", str(file), "exec"), namespace)
    feedback = the_tank_legend.swap.review(namespace["swap"])
    assert feedback.passed
    assert feedback.source == source_hash(namespace["swap"]) == verdict()["source"]
    assert progress.verdict_on(notebook_with(feedback.as_data()), "swap") == "passed"


def test_a_missing_and_a_damaged_file(tmp_path):
    master = tmp_path / "01_one.ipynb"
    nbformat.write(notebook_with(None), master)
    (standing,) = progress.read_standings(master, tmp_path / "nothing.ipynb")
    assert (standing.verdict, standing.points, standing.out_of) == ("no copy yet", 0, 1)
    (tmp_path / "broken.ipynb").write_text("{")
    (standing,) = progress.read_standings(master, tmp_path / "broken.ipynb")
    assert (standing.verdict, standing.points) == ("unreadable file", 0)


def test_the_masters_have_passed_everything(capsys):
    assert main(["progress", str(progress.find_notebooks()[0].parent)]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    passed, total = lines[-1].split(" exercises")[0].split(" of ")
    assert passed == total and int(total) == len(lines) - 2, lines


def test_a_reader_who_stops_reading_is_no_error():
    command = [sys.executable, "-m", "course_utils.classroom.command", "progress", str(NOTEBOOKS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_without_copies_it_says_what_to_do(tmp_path, capsys):
    assert main(["progress", str(tmp_path / "learner")]) == 2
    assert "`course learn` makes your copies first" in capsys.readouterr().err
