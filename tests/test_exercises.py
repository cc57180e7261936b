"""Every exercise of the course: what its check must accept, and what it must refuse."""

import ast
import inspect
import pickle
import pickletools
import random as python_random
import re
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.exercises import Check, all_checks
from course_utils.exercises.engine.calls import make_probes
from course_utils.exercises.engine.checks import SEED

CHECKS = {
    f"{module}.{name}": check
    for module, checks in all_checks().items()
    for name, check in checks.items()
}
OTHER_SEEDS = (1, 2)


@cache
def reviewed(check, answer):
    """The feedback on one of the course's own answers, once for all tests."""
    return check.review(answer)


def seeds_of(check):
    """Trials of the audit get the same pictures whatever the seed, only in another order."""
    return (SEED, *OTHER_SEEDS) if type(check) is Check else (SEED, OTHER_SEEDS[0])


every_exercise = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())


def test_there_are_exercises():
    assert len(CHECKS) >= 4


@every_exercise
def test_the_reference_passes(check):
    for seed in seeds_of(check):
        is_first = seed == SEED
        answer = check.reference
        feedback = reviewed(check, answer) if is_first else check.review(answer, seed)
        assert feedback.passed, str(feedback)
        assert feedback.points == check.points > 0


@every_exercise
def test_the_reference_changes_nothing(check):
    assert [o.changed for o in check.expected(SEED) if o.changed] == []


def feedback_on_mistake(check, function, seed):
    """Its review; for other seeds the verdict on what the check itself remembers of it."""
    if seed == SEED:
        return reviewed(check, function)
    return check.judge(check._outcomes_of(function, seed), seed)


@every_exercise
def test_each_known_mistake_fails_with_its_own_hint(check):
    assert len(check.mistakes) >= 3
    hints = [mistake.hint for mistake in check.mistakes]
    assert len(set(hints)) == len(hints)
    for mistake in check.mistakes:
        for seed in seeds_of(check):
            feedback = feedback_on_mistake(check, mistake.function, seed)
            assert (feedback.kind, feedback.points) == ("known mistake", 0), (
                f"{mistake.function.__name__}, seed {seed}: {feedback}"
            )
            assert feedback.message == mistake.hint


@every_exercise
def test_hints_are_sentences(check):
    for mistake in check.mistakes:
        assert mistake.hint.endswith((".", "?", "!", "`")) and len(mistake.hint.split()) >= 6


@every_exercise
def test_unwritten_answers_score_nothing(check):
    def stub(*arguments):
        """What to do."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def empty(*arguments):
        """What to do."""

    def ellipsis(*arguments): ...

    for answer in (stub, empty, ellipsis):
        feedback = check.review(answer)
        assert (feedback.kind, feedback.points) == ("not attempted", 0)


@every_exercise
def test_returning_none_scores_nothing(check):
    def nothing(*arguments):
        len(arguments)

    feedback = check.review(nothing)
    assert feedback.points == 0 and not feedback.passed
    assert "return" in feedback.message


@every_exercise
def test_returning_an_argument_never_passes(check):
    for position in range(len(make_probes(check.probes, SEED)[0])):
        feedback = check.review(lambda *arguments, i=position: arguments[i])
        assert not feedback.passed and feedback.points == 0


@every_exercise
def test_is_tried_on_several_calls(check):
    assert len(make_probes(check.probes, SEED)) >= 2


@every_exercise
def test_a_right_answer_for_one_call_alone_fails(check):
    """Hard-coded results of the visible calls don't help with others."""
    remembered = iter(check.expected(SEED))
    feedback = check.review(lambda *arguments: next(remembered).value, seed=1)
    assert not feedback.passed


@every_exercise
def test_probes_reach_the_sandbox_where_the_references_are_missing(check):
    """They travel there as a pickle, which names the modules of all classes in it."""
    content = pickle.dumps(make_probes(check.probes, SEED))
    texts = {
        argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)
    }
    named = {text for text in texts if text.startswith("course_utils.exercises")}
    assert named <= {"course_utils.exercises.engine.probes"}


def test_the_order_of_the_checks_does_not_matter():
    """Backwards, and with other random numbers, every verdict is as it was."""

    def answers_of(check):
        return check.reference, check.mistakes[0].function

    as_usual = {
        name: [str(reviewed(check, answer)) for answer in answers_of(check)]
        for name, check in CHECKS.items()
    }
    for name, check in reversed(CHECKS.items()):
        torch.rand(3), np.random.rand(), python_random.random()
        assert [str(check.review(answer)) for answer in answers_of(check)] == as_usual[name]


def _requires_grad(argument):
    if isinstance(argument, (list, tuple)):
        return any(_requires_grad(item) for item in argument)
    if isinstance(argument, nn.Module):
        return any(parameter.requires_grad for parameter in argument.parameters())
    return isinstance(argument, torch.Tensor) and argument.requires_grad


@every_exercise
def test_what_is_asked_for_beyond_the_values_stands_in_the_docstring(check):
    """Where an answer with a graph, without one, or of floats is refused."""
    text = inspect.getdoc(check.reference)
    if check.integers:
        assert re.search(r"integer|whole number|count", text)
    if check.precision:
        assert re.search(r"precision|float32", text)
    if check.graph == "same" and _requires_grad(make_probes(check.probes, SEED)):
        hangs_in_one = any(outcome.in_graph for outcome in check.expected(SEED))
        words = r"differentiated|climb" if hangs_in_one else r"graph|gradient|number|float"
        assert re.search(words, text)


@every_exercise
def test_reference_has_a_docstring_and_plain_arguments(check):
    assert len(inspect.getdoc(check.reference) or "") > 20
    tree = ast.parse(inspect.getsource(check.reference))
    assert isinstance(tree.body[0], ast.FunctionDef)
