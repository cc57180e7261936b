"""Exercises and their checks: one module per notebook, with everything an exercise needs.

    from course_utils.exercises import the_tank_legend as check
    check.effects(effects)                 # in a notebook: says what is right or wrong, and why

To add an exercise, write its reference below, with the calls to try it on, its points, and the
wrong answers that people plausibly give, each with the hint that cures it:

    def _scores(random):                   # seeded: the same calls every time
        return [(random.normal(size=(4, 2, 2)),), (random.normal(size=(3, 2, 2)),)]

    @check(points=2, probes=_scores)
    def effects(scores):
        "What the learner's function must do."

    @effects.mistake("The effect of the tank is a difference; you took a mean.")
    def _mean(scores): ...

Nothing else has to be touched: the tests and the grader find it here. Then `python
tests/mutation.py NAME_OF_MODULE` shows which wrong answers, made by machine from the reference, the
probes let pass; `tests/odd_answers/` wants three unusual right ones, and `tests/sly_answers/` keeps
wrong ones that look right. What else `check` can be told, such as that gradients count, stands at
the head of `engine/checks.py`.
"""

import importlib
import pkgutil

from course_utils.exercises.engine.checks import Check, CheckFailed, check
from course_utils.exercises.engine.feedback import Feedback

__all__ = ["Check", "CheckFailed", "Feedback", "all_checks", "check"]


def all_checks() -> dict[str, dict[str, Check]]:
    """Every exercise of the course: {module name: {exercise name: Check}}."""
    found = {}
    for name in module_names():
        contents = vars(importlib.import_module(f"{__name__}.{name}"))
        checks = [value for value in contents.values() if isinstance(value, Check)]
        found[name] = {check.name: check for check in checks}
    return found


def module_names() -> list[str]:
    """The modules of exercises: each is named after its notebook, whose number is left out."""
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg]
