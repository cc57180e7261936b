"""The audit of notebook 12: six networks on trial, a budget, and a judge who tests every claim.

    case = load("A")                        # the networks are "A" to "F"
    case.classifier                         # counts every picture that enters its first layer
    case.pictures, case.masks, case.labels  # what its makers tested it with
    case.left                               # forward passes that are left

    pictures, masks, labels = held_out()    # plain test pictures, for experiments
    verdict = judge("A", Claim(target, where, changed), pictures, masks)
    print(verdict)                          # what the judge found, with the numbers that decided
    print(verdict.note)                     # the makers' own note, if the claim stands

Each network was trained on pictures with stamps, frames, changed backdrops, fine lines and other
tones. In all but one, one of these was planted: it goes with one class.

cases.py     the networks, their makers' pictures, plain pictures, and the budget
places.py    the places that a claim can mean: corners, rim, object, backdrop, everywhere
claims.py    what an auditor says about a network
shares.py    a share of pictures with its interval
verdicts.py  what evidence needs, and a judge's finding in numbers and words
judging.py   the judge
seal.py      the makers' notes, which nothing opens but a claim that stands

What was planted can't be asked of anything here. The treatments themselves and the training are in
`data/training/audit`. A grader's sandbox has neither those nor the judge, the seal and its file.
"""

from course_utils.audit.cases import (
    BUDGET,
    CLASSES,
    CONTROL,
    LETTERS,
    SIZE,
    BudgetSpent,
    Case,
    held_out,
    load,
    load_network,
    makers_pictures,
    record,
    small_pictures,
)
from course_utils.audit.claims import Claim
from course_utils.audit.shares import Share
from course_utils.audit.verdicts import ALTERED, CONTROL_MOVED, FIT, KEPT, MOVED, Verdict

try:
    from course_utils.audit.judging import judge
except ModuleNotFoundError:  # a grader's sandbox: claims are judged outside of it

    def judge(letter, claim, pictures=None, masks=None) -> Verdict:
        """In place of the judge where there is none."""
        raise RuntimeError("There is no judge in the grader's sandbox: return the claim instead.")


__all__ = [
    "ALTERED",
    "BUDGET",
    "CLASSES",
    "CONTROL",
    "CONTROL_MOVED",
    "FIT",
    "KEPT",
    "LETTERS",
    "MOVED",
    "SIZE",
    "BudgetSpent",
    "Case",
    "Claim",
    "Share",
    "Verdict",
    "held_out",
    "judge",
    "load",
    "load_network",
    "makers_pictures",
    "record",
    "small_pictures",
]
