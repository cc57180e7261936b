"""No changed reference passes a check, except for those that do the same as the reference.

`python tests/mutation.py` shows the same as a table, with each survivor's change.
"""

from functools import cache

import mutation
import pytest

from course_utils.exercises.engine.checks import SEED

OTHER_SEEDS = (1, 7)
SUBJECTS = {subject.name: subject for subject in mutation.subjects()}

every_exercise = pytest.mark.parametrize("name", SUBJECTS)


@cache
def mutants(name):
    return SUBJECTS[name].mutants()


@cache
def survivors(name, seed):
    subject = SUBJECTS[name]
    return {mutant.id: mutant for mutant in mutants(name) if not subject.kills(mutant, seed)}


def equivalent(name):
    module, exercise = name.split(".")
    return mutation.listed(module).get(exercise, {})


@every_exercise
@pytest.mark.parametrize("seed", [SEED, *OTHER_SEEDS])
def test_only_equivalent_mutants_survive(name, seed):
    alive = survivors(name, seed)
    unlisted = [
        f"{mutant.id}: {mutant}" for mutant in alive.values() if mutant.id not in equivalent(name)
    ]
    assert not unlisted, "\n".join(["Wrong answers pass:", *unlisted])


@every_exercise
def test_every_listed_mutant_exists_and_survives(name):
    killed = sorted(set(equivalent(name)) - set(survivors(name, SEED)))
    assert not killed, f"listed as equivalent, but killed or gone: {killed}"


@every_exercise
def test_every_listed_mutant_has_a_reason(name):
    for mutant, reason in equivalent(name).items():
        assert len(reason.split()) >= 4, f"{mutant}: {reason!r} is no reason"


def test_every_listed_exercise_exists():
    for module in {subject.module for subject in SUBJECTS.values()}:
        known = {name.split(".")[1] for name in SUBJECTS if name.startswith(f"{module}.")}
        assert set(mutation.listed(module)) <= known


@every_exercise
def test_the_copy_without_a_change_passes(name):
    """Otherwise mutants would be refused for what the copying does."""
    subject = SUBJECTS[name]
    assert subject.check.passes(subject.function(None), SEED)


@every_exercise
def test_there_are_mutants_enough(name):
    assert len(mutants(name)) >= 10


def test_ids_do_not_depend_on_the_layout():
    first = mutation.Subject("occlusion", SUBJECTS["occlusion.reach"].check)
    ids = [mutant.id for mutant in first.mutants()]
    assert len(set(ids)) == len(ids)
    assert ids == [mutant.id for mutant in mutants("occlusion.reach")]


def test_an_endless_loop_is_no_right_answer():
    subject = SUBJECTS["occlusion.reach"]
    tree = mutation.ast.parse(
        "def reach(first, size, kernel, stride, padding, length):\n    while True: pass"
    ).body[0]
    assert subject.kills(mutation.Mutant("", "", "reach", [], [], tree), SEED)
