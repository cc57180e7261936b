"""Unusual right answers: the checks let them pass, and the notebooks run to their end with them."""

import importlib
import pkgutil

import odd_answers
import pytest
import run_notebook

from course_utils.exercises import Check, all_checks
from course_utils.exercises.engine.checks import SEED

OTHER_SEEDS = (1, 2)
MODULES = {
    module.name: importlib.import_module(f"odd_answers.{module.name}").ODD
    for module in pkgutil.iter_modules(odd_answers.__path__)
}
COMPARED = {
    name: [check for check in checks.values() if type(check) is Check]
    for name, checks in all_checks().items()
}
NOTEBOOKS = {path.stem.split("_", 1)[1]: path for path in run_notebook.NOTEBOOKS}
ANSWERS = [
    pytest.param(module, exercise, answer, id=f"{module}.{exercise}-{answer.__name__}")
    for module, exercises in MODULES.items()
    for exercise, answers in exercises.items()
    for answer in answers
]


@pytest.mark.parametrize(("module", "exercise", "answer"), ANSWERS)
def test_it_passes(module, exercise, answer):
    check = all_checks()[module][exercise]
    for seed in (SEED, *OTHER_SEEDS):
        feedback = check.review(answer, seed)
        assert feedback.passed, f"seed {seed}: {feedback}"


@pytest.mark.parametrize("module", [name for name, checks in COMPARED.items() if checks])
def test_every_exercise_has_three(module):
    given = MODULES.get(module, {})
    wanted = {check.name for check in COMPARED[module]}
    assert set(given) == wanted, f"write them into ODD of tests/odd_answers/{module}.py"
    for exercise, answers in given.items():
        assert len({answer.__code__.co_code for answer in answers}) >= 3, exercise


@pytest.mark.parametrize("module", MODULES)
def test_the_notebook_runs_with_the_oddest(module, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_STRICT", "1")
    answers = {exercise: odd[0] for exercise, odd in MODULES[module].items()}
    run_notebook.run(NOTEBOOKS[module], answers, {"QUICK": True})
