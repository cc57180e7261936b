"""What lies inside the sandbox of the course: everything but its answers."""

import copy
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import warnings

import pytest
import torch

import course_utils
from course_utils.classroom.grading import stage
from course_utils.exercises import all_checks
from course_utils.exercises.engine.calls import call_on_probes, make_probes
from course_utils.exercises.engine.compare import difference

SEED = 3
NO_TECHNIQUES = {
    "_devices", "_downloads", "_files", "_network_files", "_own_networks", "_packages",
    "_torchvision", "article", "audit", "classifiers", "classroom", "exercises", "figures",
    "imagenet", "manifest", "photos", "pictures", "timm_networks", "trial", "widgets",
}  # fmt: skip
"""Modules whose functions read, draw, train or download; all others could answer an exercise."""

ON_DATA = ("paste_test",)
"""Functions that need none of the arguments, but the course's pictures; and seconds."""


@pytest.fixture(scope="module")
def staged():
    with stage.staged_package() as folder:
        yield folder


def functions():
    """The functions of the techniques, also those that are not meant for others."""
    found = []
    for entry in pkgutil.iter_modules(course_utils.__path__):
        if entry.name not in NO_TECHNIQUES:
            module = importlib.import_module(f"course_utils.{entry.name}")
            members = [f for _, f in inspect.getmembers(module, inspect.isfunction)]
            own = [f for f in members if f.__module__ == module.__name__]
            found += [f for f in own if f.__name__ not in ON_DATA]
    return found


def ways_to_call(function, check):
    """How a function could be given an exercise's arguments: in their order, or by their names."""
    names = list(inspect.signature(check.reference).parameters)
    own = inspect.signature(function).parameters
    needed = [name for name, p in own.items() if p.default is p.empty]
    if len(needed) <= len(names) <= len(own):
        yield lambda arguments: function(*arguments)
    shared = [name for name in names if name in own]
    if shared and set(needed) <= set(shared) and shared != names:
        yield lambda arguments: function(**{n: arguments[names.index(n)] for n in shared})


def is_answer(function, check, arguments, expected):
    """Whether a function returns what the exercise asks for."""
    for call in ways_to_call(function, check):
        try:
            got = call(copy.deepcopy(arguments))
            if difference(expected, got, check.tolerance) is None:
                return True
        except Exception:  # most functions are made for something else
            continue
    return False


def test_no_function_of_the_package_answers_an_exercise_where_it_is_graded():
    """Found by trying them all, so that a new function or exercise can't be forgotten."""
    torch.set_num_threads(1)
    found, every = {}, functions()
    for module, checks in all_checks().items():
        for check in checks.values():
            if module == "the_audit":  # many right answers, which no function gives
                continue
            (expected, *_) = call_on_probes(check.reference, check.probes, SEED)
            arguments = make_probes(check.probes, SEED)[0]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for function in every:
                    if is_answer(function, check, arguments, expected.value):
                        found.setdefault(module, set()).add(function.__name__)
    hidden = {module: set(names) for module, names in stage.HIDDEN.items()}
    assert found == hidden


def test_hidden_functions_are_gone_and_all_others_are_as_they_were(staged):
    for module in all_checks():
        told = []
        for path in (staged / module / "course_utils").glob("*.py"):
            original = (stage.PACKAGE / path.name).read_text(encoding="utf-8")
            text = path.read_text(encoding="utf-8")
            told += re.findall(r"(\w+) does what an exercise asks for", text)
            assert text == original or "does what an exercise asks for" in text
        expected = set(stage.HIDDEN.get(module, ())) & {f.__name__ for f in functions()}
        assert expected <= set(told) <= set(stage.HIDDEN.get(module, ()))
    source = "import a\n\n\n@a.b\ndef f(x):\n    return 1\n\n\ndef g(): return 2\nh = 3\n"
    changed = stage.without(source, ("f", "g", "h"), "m")
    assert "return" not in changed and changed.endswith("h = 3\n") and "@" not in changed


def test_neither_checks_nor_judges_nor_what_grades_is_there(staged):
    for module in all_checks():
        package = staged / module / "course_utils"
        exercises = {path.name for path in (package / "exercises").iterdir()}
        assert exercises == {"__init__.py", "__pycache__", "engine"}
        classroom = {path.name for path in (package / "classroom").iterdir()}
        assert classroom == {"__init__.py", "__pycache__", "grading", "magics.py"}
        names = {path.name for path in (package / "classroom" / "grading").glob("*.py")}
        assert names == {"__init__.py", "forked.py", "frames.py", "harness.py", "transfer.py"}
        present = {str(path.relative_to(package)) for path in package.rglob("*.py")}
        assert not present & {"audit/judging.py", "audit/seal.py", "exercises/saliency.py"}
        for path in package.rglob("*.pyc"):
            assert (
                path.parent.parent / f"{path.name.split('.')[0]}.py" in path.parent.parent.iterdir()
            )


def test_the_staged_package_runs_without_what_is_missing(staged):
    code = (
        "import importlib, pkgutil, course_utils\n"
        "from course_utils.exercises import saliency as check\n"
        "check.seeds(print)\n"
        "for m in pkgutil.iter_modules(course_utils.__path__):\n"
        "    importlib.import_module(f'course_utils.{m.name}')\n"
        "from course_utils import ascent\n"
        "try:\n    ascent.total_variation(1)\nexcept RuntimeError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(staged / "gradient_ascent"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert "total_variation does what an exercise asks for: use your own" in done.stdout, (
        done.stderr
    )


def test_folders_of_killed_graders_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(stage.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(stage.tempfile, "tempdir", str(tmp_path))
    with stage.staged_package() as used:
        killed, foreign = (tmp_path / f"{stage.PREFIX}{name}" for name in ("killed", "foreign"))
        for folder in (killed, foreign):
            folder.mkdir()
        (killed / stage.LOCK).touch()
        stage.remove_stale()
        assert used.is_dir() and foreign.is_dir() and not killed.exists()
    assert not used.exists()


def test_everything_that_is_named_as_present_exists():
    assert all((stage.PACKAGE / name).exists() for name in stage.PRESENT)
