"""Wrong answers that look right: the checks refuse them, whatever the seed, and say why."""

import re

import pytest
import sly_answers

from course_utils.exercises import all_checks
from course_utils.exercises.engine.checks import SEED

OTHER_SEEDS = (1, 2)
ANSWERS = [
    pytest.param(module, sly, id=f"{module}.{sly.exercise}-{sly.answer.__name__}")
    for module, answers in sly_answers.all_of_them().items()
    for sly in answers
]


@pytest.mark.parametrize(("module", "sly"), ANSWERS)
def test_it_is_refused(module, sly):
    check = all_checks()[module][sly.exercise]
    for seed in (SEED, *OTHER_SEEDS):
        feedback = check.review(sly.answer, seed)
        assert not feedback.passed, f"seed {seed}: passes, although it breaks {sly.breaks}"
        assert re.search(sly.told, feedback.message), f"seed {seed}: {feedback}"


def test_there_are_some():
    assert len(ANSWERS) > 20
