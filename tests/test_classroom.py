"""The `course` command: notebooks that work, and notebooks that fail in every way they can.

All the broken notebooks are executed in one run, so that starting kernels takes seconds in all.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import nbformat
import pytest
from waiting import HANG, wait_for

import course_utils
from course_utils.classroom import UsageError, find_notebooks, read_notebook
from course_utils.classroom.command import main
from course_utils.classroom.kernels import AwakeKernelManager
from course_utils.classroom.run import _result_of, choose_parameters, declared_parameters

WRONG = """from course_utils.exercises import the_tank_legend as check
check.swap(lambda picture, donor, mask: picture)"""
FAILING = {
    "raises": "1 / 0",
    "leaves": "import sys; sys.exit(0)",
    "dies": "import os; os._exit(0)",
    "syntax": "for for",
    "wrong": WRONG,
}
CHECKS = """
from course_utils.exercises import the_tank_legend as check
check.swap(check.swap.reference)
"""
WORKING = {
    "works": "answer = 42; answer",
    "folder": "import pathlib; assert pathlib.Path('works.ipynb').exists()",
    "parameters": "assert SIZE == 64 and NAME == 'coffee', (SIZE, NAME)",
    "expected": "1 / 0",
    "checks": CHECKS,
}


def write_notebook(path, *sources, tags=()):
    """A notebook of a title and code cells; `tags` go to the cells one by one."""
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}")]
    for number, source in enumerate(sources):
        cell = nbformat.v4.new_code_cell(source)
        if number < len(tags) and tags[number]:
            cell.metadata["tags"] = [tags[number]]
        cells.append(cell)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run over all the notebooks above -> (process, its output folder)."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name, source in {**FAILING, **WORKING}.items():
        tags = ["parameters" if name == "parameters" else None]
        tags.append("raises-exception" if name == "expected" else None)
        write_notebook(
            folder / f"{name}.ipynb", "SIZE = 128\nNAME = 'chelsea'", source, "print('end')", "",
            tags=tags,
        )  # fmt: skip
    add_check(folder / "checks.ipynb", "swap", 2)
    add_check(folder / "checks.ipynb", "paste", 3)
    add_check(folder / "wrong.ipynb", "swap", 2)
    command = [sys.executable, "-m", "course_utils.classroom.command", "run"]
    command += [str(path) for path in sorted(folder.glob("*.ipynb"))]
    command += ["-p", "SIZE", "64", "-p", "NAME", "coffee", "--jobs", "2"]
    out = folder / "out"
    process = subprocess.run(
        [*command, "--out", str(out)], cwd=folder, capture_output=True, text=True
    )
    return process, out


def add_check(path, name, number):
    """Gives a code cell the metadata of an exercise's check."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[number].metadata["nbgrader"] = {
        "grade_id": f"check_{name}", "grade": True, "solution": False, "locked": True,
        "points": 1, "schema_version": 3, "task": False,
    }  # fmt: skip
    nbformat.write(notebook, path)


def verdict(finished, name):
    """The last column of a notebook's line in the table."""
    table = finished[0].stdout.split("seconds  result")[1]
    found = re.search(rf"^{name} +\d+ +\S+ +[\d.]+  (.+)$", table, flags=re.MULTILINE)
    assert found, finished[0].stdout + finished[0].stderr
    return found[1]


@pytest.mark.parametrize("name", WORKING)
def test_notebooks_that_work(finished, name):
    assert verdict(finished, name) == "ok"


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("raises", r"code cell 2 \(1 / 0\) raised ZeroDivisionError: division by zero"),
        ("leaves", r"code cell 2 \(import sys; sys.exit\(0\)\) raised SystemExit: 0"),
        ("dies", r"code cell 2 \(import os; os._exit\(0\)\) killed its kernel"),
        ("syntax", r"code cell 2 \(for for\) raised SyntaxError: .+"),
        ("wrong", r"code cell 2 \(from course_utils.+\) raised CheckFailed: ✗ swap: .+"),
    ],
)
def test_the_failing_cell_is_named(finished, name, failure):
    assert re.fullmatch(failure, verdict(finished, name))


def test_the_exit_status_and_the_count(finished):
    process, _ = finished
    assert process.returncode == 1
    assert "5 of 10 notebooks ran to the end" in process.stdout


def test_the_table_counts_passed_checks(finished):
    table = finished[0].stdout.split("seconds  result")[1]
    assert re.search(r"^checks +3 +1/2 ", table, re.MULTILINE), table
    assert re.search(r"^wrong +3 +0/1 ", table, re.MULTILINE), table
    assert re.search(r"^works +3 +- ", table, re.MULTILINE), table
    assert re.search(r"^parameters +3 ", table, re.MULTILINE), "without the injected cell"


def test_executed_notebooks_and_html_are_written(finished):
    _, out = finished
    for name in [*WORKING, *FAILING]:
        assert (out / f"{name}.ipynb").exists()
        assert f"<title>{name}</title>" in (out / f"{name}.html").read_text()
    executed = nbformat.read(out / "works.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert {"text/plain": "42"} in [output.get("data") for output in outputs]


@pytest.fixture
def lenient(monkeypatch):
    """What a run would set is set already, and a check that fails is no error."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("COURSE_STRICT", "0")


def test_a_run_without_failures_exits_with_0(tmp_path, lenient, capfd):
    notebook = write_notebook(tmp_path / "lenient.ipynb", "print('hello')", WRONG)
    add_check(notebook, "swap", 2)
    assert main(["run", str(notebook), "--out", str(tmp_path / "out")]) == 0
    told = capfd.readouterr().out
    assert "1 of 1 notebooks ran to the end" in told
    assert re.search(r"^lenient +2 +0/1 .+ok$", told, re.MULTILINE), told


def test_a_cell_that_takes_too_long_is_named(tmp_path, lenient, capfd):
    notebook = write_notebook(tmp_path / "hangs.ipynb", "import time; time.sleep(10**6)")
    command = ["run", str(notebook), "--timeout", "2", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    told = capfd.readouterr().out
    assert "code cell 1 (import time; time.sleep(10**6)) took more than 2 s" in told


def test_a_killed_job_is_a_failure_of_its_notebook(tmp_path):
    task = Future()
    task.set_exception(BrokenProcessPool())
    result = _result_of(task, tmp_path / "one.ipynb")
    assert result.name == "one" and "a job of this run was killed" in result.failure


# ---------------------------------------------------------------------------- safety


def test_a_result_never_replaces_a_notebook(tmp_path, capsys):
    notebook = write_notebook(tmp_path / "mine.ipynb", "1")
    before = notebook.read_bytes()
    assert main(["run", str(notebook), "--out", str(tmp_path)]) == 2
    assert "would replace mine.ipynb itself" in capsys.readouterr().err
    assert notebook.read_bytes() == before
    (tmp_path / "other").mkdir()
    other = write_notebook(tmp_path / "other" / "mine.ipynb", "2")
    assert main(["run", str(notebook), str(other), "--out", str(tmp_path / "out")]) == 2
    assert "Two of the notebooks are called mine.ipynb" in capsys.readouterr().err


def test_a_damaged_notebook_is_named(tmp_path, capsys):
    (tmp_path / "broken.ipynb").write_text("{")
    assert main(["run", str(tmp_path / "broken.ipynb"), "--out", str(tmp_path / "out")]) == 2
    assert "broken.ipynb can't be read as a notebook: " in capsys.readouterr().err


def test_a_damaged_parameters_cell_is_left_to_the_run(tmp_path):
    notebook = write_notebook(tmp_path / "bad.ipynb", "SEED = = 1", tags=["parameters"])
    assert declared_parameters(notebook) == {}


# ---------------------------------------------------------------------------- names


def test_unknown_notebooks_list_the_known_ones(tmp_path, capsys):
    write_notebook(tmp_path / "01_first.ipynb", "1")
    with pytest.raises(UsageError, match="no notebook '2nd'; there are: 01_first"):
        find_notebooks(["2nd"], tmp_path)
    with pytest.raises(UsageError, match="no notebook '2'; there are: 01_first"):
        find_notebooks(["2"], tmp_path)
    assert main(["run", "no_such_notebook"]) == 2
    assert "course run: There is no notebook 'no_such_notebook'" in capsys.readouterr().err


def test_notebooks_go_by_name_number_or_path(tmp_path):
    first = write_notebook(tmp_path / "01_first.ipynb", "1")
    tenth = write_notebook(tmp_path / "10_tenth.ipynb", "1")
    assert find_notebooks([], tmp_path) == [first, tenth]
    for name in ("01_first", "01_first.ipynb", "1", "01", str(first)):
        assert find_notebooks([name], tmp_path) == [first]
    assert find_notebooks([str(first)]) == [first]
    assert find_notebooks(["1", "01", str(first)], tmp_path) == [first]


def test_a_folder_without_notebooks(tmp_path):
    with pytest.raises(UsageError, match="There are no notebooks in"):
        find_notebooks([], tmp_path)


def test_parameters_are_checked_before_anything_runs(tmp_path, capsys):
    with_two = write_notebook(
        tmp_path / "two.ipynb", "SEED = 0  # any\nA, B = 1, 2\nC: int = SEED", tags=["parameters"]
    )
    without = write_notebook(tmp_path / "none.ipynb", "SEED = 0")
    assert declared_parameters(with_two) == {"SEED": 0, "A": None, "B": None, "C": None}
    assert declared_parameters(without) == {}
    chosen = choose_parameters([with_two, without], {"SEED": "7", "A": "text", "B": "True"})
    assert chosen == {with_two: {"SEED": 7, "A": "text", "B": True}, without: {}}
    with pytest.raises(UsageError, match="has a parameter 'SEDE'; there are: A, B, C, SEED"):
        choose_parameters([with_two, without], {"SEDE": "7"})
    assert main(["run", str(without), "-p", "SEED", "7", "--out", str(tmp_path / "out")]) == 2
    assert "has a parameter 'SEED'; there are none." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text, value", [("true", True), ("False", False), ("0", False), ("1", 1)])
def test_a_switch_is_on_or_off(tmp_path, text, value):
    notebook = write_notebook(
        tmp_path / "a.ipynb", "A = False\nB: bool = True", tags=["parameters"]
    )
    chosen = choose_parameters([notebook], {"A": text, "B": text})[notebook]
    assert chosen == {"A": value, "B": value} and isinstance(chosen["A"], bool)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("QUICK", "maybe", "QUICK is a switch: give true or false, not 'maybe'"),
        ("QUICK", "", "QUICK is a switch"),
        ("QUICK", "2", "QUICK is a switch"),
        ("SEED", "abc", "SEED is a whole number, such as 0, not 'abc'"),
        ("SEED", "1.5", "SEED is a whole number"),
        ("PICTURE", "nowhere.jpg", "There is no picture 'nowhere.jpg' (looking in"),
        ("PICTURE", "~nobody-of-this-name/a.jpg", "There is no picture '~nobody"),
        ("PICTURE", f"{'x' * 5000}.jpg", "There is no picture 'xxx"),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_refused_before_anything_runs(
    tmp_path, capsys, name, text, said
):
    assert main(["run", "2", "-p", name, text, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


SLEEPER = """
import os, time
from pathlib import Path
Path("begun").write_text(str(os.getpid()))
time.sleep(1000)
"""


def has_ended(process):
    """Whether nothing runs under a number: True, or None as long as something does."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return True if state == "Z" else None


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_sigterm_ends_the_kernels_too_and_leaves_no_old_page(tmp_path):
    notebook, out = write_notebook(tmp_path / "sleeper.ipynb", SLEEPER), tmp_path / "out"
    out.mkdir()
    (out / "sleeper.html").write_text("of an earlier run")
    command = [sys.executable, "-m", "course_utils.classroom.command", "run", str(notebook)]
    with subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE) as process:
        kernel = wait_for(lambda: (tmp_path / "begun").read_text() or None)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.terminate()
        assert process.wait(HANG) == 128 + signal.SIGTERM
    assert workers and all(wait_for(lambda p=p: has_ended(p)) for p in [*workers, kernel])
    assert not (out / "sleeper.html").exists()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_signs_that_an_encoding_lacks_are_no_error(encoding, tmp_path):
    code = "import sys; from course_utils.classroom import command;"
    code += "from course_utils.classroom.commands import doctor;"
    code += "doctor.work = lambda options: print('✓ → Ω');"
    code += "sys.exit(command.main(['doctor']))"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.split() == [b"?", b"?", b"?"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs a device that is full")
def test_where_nothing_can_be_printed_is_a_sentence():
    code = "import sys; from course_utils.classroom import command;"
    code += "from course_utils.classroom.commands import doctor;"
    code += "doctor.work = lambda options: print('All is well.');"
    code += "sys.exit(command.main(['doctor']))"
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("course doctor: ") and "No space left" in done.stderr


def test_what_can_not_be_written_is_a_sentence(tmp_path, monkeypatch, capsys):
    def no_room(options):
        raise OSError(28, "No space left on device", "deck.html")

    monkeypatch.setattr("course_utils.classroom.commands.slides.work", no_room)
    assert main(["slides"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("course slides: ") and "No space left" in said and "deck.html" in said


@pytest.mark.parametrize("content", ["{}", "[]", "", "\ufeff[]", "no JSON"])
def test_slides_of_a_damaged_notebook(tmp_path, capsys, content):
    (tmp_path / "broken.ipynb").write_text(content)
    assert main(["slides", str(tmp_path / "broken.ipynb"), "--out", str(tmp_path / "out")]) == 2
    assert "broken.ipynb can't be read as a notebook: " in capsys.readouterr().err


def test_a_mark_that_windows_puts_before_a_notebook_is_passed_over(tmp_path):
    write_notebook(tmp_path / "marked.ipynb", "1")
    text = (tmp_path / "marked.ipynb").read_text(encoding="utf-8")
    (tmp_path / "marked.ipynb").write_text(text, encoding="utf-8-sig")
    _, cell = read_notebook(tmp_path / "marked.ipynb").cells
    assert cell.source == "1"


def test_slides_of_two_notebooks_of_one_name(tmp_path, capsys):
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
        write_notebook(place / "mine.ipynb", "1")
    names = [str(place / "mine.ipynb") for place in places]
    assert main(["slides", *names, "--out", str(tmp_path / "out")]) == 2
    assert "Two of the notebooks are called mine.ipynb" in capsys.readouterr().err


def test_an_archive_in_the_place_of_a_folder(tmp_path, capsys):
    assert main(["release", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder: name the archive" in capsys.readouterr().err


def test_a_file_among_the_parameters_is_found_from_where_one_stands(tmp_path, monkeypatch):
    notebook = write_notebook(tmp_path / "one.ipynb", "PICTURE = ''", tags=["parameters"])
    (tmp_path / "photo.jpg").touch()
    monkeypatch.chdir(tmp_path)
    for text, value in (("photo.jpg", str(tmp_path / "photo.jpg")), ("x" * 5000, "x" * 5000)):
        assert choose_parameters([notebook], {"PICTURE": text}) == {notebook: {"PICTURE": value}}


@pytest.mark.parametrize("option", [["--jobs", "0"], ["--timeout", "-1"], ["--jobs", "many"]])
def test_impossible_numbers_are_refused(option, capsys):
    with pytest.raises(SystemExit) as raised:
        main(["run", *option])
    assert raised.value.code == 2
    said = capsys.readouterr().err
    assert option[0] in said and f"{option[1]!r} is no whole number from 1 on" in said


@pytest.mark.parametrize("command", ["run 2", "slides 2", "site"])
def test_a_folder_that_can_not_be_is_told_before_the_work(command, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "out")
    assert main([*command.split(), "--out", out]) == 2
    assert f"Nothing can be written into {out} (Not a directory)." in capsys.readouterr().err


def test_a_page_that_can_not_be_written_costs_no_maps(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setitem(sys.modules, "course_utils.classroom.explain", None)  # can't be imported
    assert main(["explain", "chelsea", "--out", str(tmp_path / "file" / "page.html")]) == 2
    assert "Nothing can be written into" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"course {course_utils.__version__}\n"


def test_kernels_talk_over_sockets_that_nobody_else_can_take(monkeypatch):
    first, second = (AwakeKernelManager(kernel_name="python3") for _ in range(2))
    assert first.transport == "ipc" and first.ip != second.ip
    monkeypatch.setattr(tempfile, "tempdir", f"/{'long' * 30}")
    assert AwakeKernelManager(kernel_name="python3").transport == "tcp"
