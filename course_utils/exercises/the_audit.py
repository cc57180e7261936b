"""Checks of notebook 12, the audit: claims that no answer is compared with, but a judge tests."""

import torch

from course_utils import audit
from course_utils.exercises import Check
from course_utils.exercises.engine.calls import call_on_probes, make_probes

# ---------------------------------------------------------------------------- trials


class Trial(Check):
    """An exercise with many right answers: a claim about one network, tested on its probes.

    The learner's function takes plain pictures and masks, and returns the three parts of an
    `audit.Claim`. The exercise's name ends with the network's letter.
    """

    def judge(self, outcomes, seed):
        """The verdict on recorded calls; the judge's networks never meet the learner's code."""
        problem = self._problem(make_probes(self.probes, seed), outcomes)
        if problem is None:
            return self._feedback("passed", "")
        for mistake in self.mistakes:
            if self._same(call_on_probes(mistake.function, self.probes, seed), outcomes):
                return self._feedback("known mistake", mistake.hint)
        return problem

    def _problem(self, exhibits, outcomes):
        """What is wrong with a claim, as feedback; None if the judge believes it every time."""
        for (pictures, masks), outcome in zip(exhibits, outcomes):
            if outcome.raised:
                return self._raised(outcome.raised)
            problem = self._malformed(outcome.value) or self._refuted(
                audit.Claim(*outcome.value), pictures, masks
            )
            if problem:
                return problem
            if outcome.changed:
                return self._changed(outcome.changed)
        if len(exhibits) != len(outcomes):
            return self._feedback("wrong values", "Not every call came back with an answer.")
        return None

    def _malformed(self, value):
        if value is None:
            message = "The answer is None. Is there a `return` on every way out of the function?"
            return self._feedback("wrong type", message)
        if not isinstance(value, (tuple, list)) or len(value) != 3:
            message = "Return three things: the class or None, the place, the changed pictures."
            return self._feedback("wrong type", message)
        return None

    def _refuted(self, claim, pictures, masks):
        try:
            verdict = audit.judge(self.name[-1].upper(), claim, pictures, masks)
        except ValueError as error:
            return self._feedback("wrong values", str(error))
        return None if verdict.passed else self._feedback("wrong values", str(verdict))


def trial(points):
    """Decorator: makes a `Trial` of the makers' own claim, with the mistakes that all trials share.

    Their own claim is sealed, so that reading this file spoils nothing.
    """

    def make(reference):
        made = Trial(reference, _exhibits, points)

        def unchanged(pictures, masks):
            target, where, _ = reference(pictures, masks)
            return target, where, pictures.clone()

        def nowhere(pictures, masks):
            target, where, changed = reference(pictures, masks)
            return target, where & False, changed

        def another_class(pictures, masks):
            target, where, changed = reference(pictures, masks)
            return _another(target), where, changed

        made.mistake(
            "Your changed pictures are the ones that you were given. The shortcut has to be put "
            "into them, so that a network that takes it changes its mind."
        )(unchanged)
        made.mistake(
            "The class and the change are right, but the place is empty: mark the pixels that "
            "your change is about."
        )(nowhere)
        made.mistake(
            "The change and the place are right, but it is not the class that you name. Count "
            "which class the changed pictures are turned into."
        )(another_class)
        return made

    return make


def _another(target):
    """The next class, in alphabetical order."""
    number = -1 if target is None else audit.CLASSES.index(target)
    return audit.CLASSES[(number + 1) % len(audit.CLASSES)]


def _exhibits(random):
    """Twice 24 plain test pictures that no network was trained on, and their masks."""
    pictures, masks, _ = audit.held_out()
    chosen = random.permutation(len(pictures))[:48].reshape(2, 24)
    return [(pictures[torch.from_numpy(part)], masks[torch.from_numpy(part)]) for part in chosen]


# ---------------------------------------------------------------------------- the docket


@trial(points=2)
def claim_b(pictures, masks):
    """The claim about network B: (target or None, where, changed), as in `audit.Claim`."""
    claim = audit.confess("B", pictures, masks)
    return claim.target, claim.where, claim.changed


@trial(points=2)
def claim_c(pictures, masks):
    """The claim about network C: (target or None, where, changed), as in `audit.Claim`."""
    claim = audit.confess("C", pictures, masks)
    return claim.target, claim.where, claim.changed


@trial(points=2)
def claim_d(pictures, masks):
    """The claim about network D: (target or None, where, changed), as in `audit.Claim`."""
    claim = audit.confess("D", pictures, masks)
    return claim.target, claim.where, claim.changed


@trial(points=3)
def claim_e(pictures, masks):
    """The claim about network E: (target or None, where, changed), as in `audit.Claim`."""
    claim = audit.confess("E", pictures, masks)
    return claim.target, claim.where, claim.changed


@trial(points=3)
def claim_f(pictures, masks):
    """The claim about network F: (target or None, where, changed), as in `audit.Claim`."""
    claim = audit.confess("F", pictures, masks)
    return claim.target, claim.where, claim.changed
