"""Unusual right answers: the checks let them pass.

With them, `test_notebooks_elsewhere` runs the notebooks.
"""

import odd_answers
import pytest

from course_utils.exercises import Check, all_checks
from course_utils.exercises.engine.checks import SEED

OTHER_SEEDS = (1, 2)
MODULES = odd_answers.all_of_them()
COMPARED = {
    name: [check for check in checks.values() if type(check) is Check]
    for name, checks in all_checks().items()
}
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
