"""The judge, who tests a claim on pictures that no network has seen.

What was planted isn't known here. A claim has to show its effect, beside the control network; then
its class and its place are tried as the key to the makers' note. Only the right ones open it.
"""

import dataclasses
import functools
import hashlib

import torch
from torch import Tensor

from course_utils.audit import places, seal
from course_utils.audit.cases import CLASSES, CONTROL, LETTERS, held_out, load_network
from course_utils.audit.claims import Claim, checked
from course_utils.audit.shares import Share
from course_utils.audit.verdicts import ALIKE, INTACT, Verdict
from course_utils.manifest import data_folder


def judge(
    letter: str,
    claim: Claim | tuple,
    pictures: Tensor | None = None,
    masks: Tensor | None = None,
) -> Verdict:
    """The verdict on a claim about a network; it costs nothing of anybody's budget.

    pictures, masks: (N, 3, 64, 64) in [0, 1] and (N, 64, 64) bool, the plain pictures that the
                     claim has changed; None for all of `held_out()`

    What a claim has to show stands in `verdicts`, number by number. Of a planted shortcut only the
    change inside its place counts; the judge puts back whatever was changed outside of it.

    Raises ValueError for an unknown letter, and for a claim that can't be tested.
    """
    if letter not in LETTERS:
        raise ValueError(f"There is no case {letter!r}; there are: {', '.join(LETTERS)}.")
    if pictures is None and masks is None:
        pictures, masks, _ = held_out()
    if pictures is None or masks is None:
        raise ValueError("Give the judge both, the pictures and their masks, or neither.")
    if not len(pictures):
        raise ValueError("The judge needs at least one picture.")
    claim = checked(claim, pictures, masks)
    test = _clear if claim.target is None else _accuse
    return test(letter, claim, pictures, masks)


# ---------------------------------------------------------------------------- a planted shortcut


def _accuse(letter, claim, pictures, masks):
    """The verdict on a claim that a shortcut was planted for a class."""
    place, fit = places.nearest(claim.where, masks)
    differs = (claim.changed != pictures).any(1)
    slip = _slip_of_an_accusation(claim.where, differs)
    if not slip and _likeness(pictures, claim.changed, ~claim.where) < ALIKE:
        slip = "other pictures"
    if slip:
        return Verdict(letter, claim.target, place, fit, slip)
    changed = torch.where(claim.where[:, None], claim.changed, pictures)
    before, after = _opinions(letter, pictures, changed)
    control_before, control_after = _opinions(CONTROL, pictures, changed)
    index = CLASSES.index(claim.target)
    verdict = Verdict(
        letter,
        claim.target,
        place,
        fit,
        kept=Share.count(before == after),
        control_kept=Share.count(control_before == control_after),
        moved=_moved(before, after, index),
        control_moved=_moved(control_before, control_after, index),
        instead=_instead(before, after, index),
        put_back=bool((differs & ~claim.where).any()),
    )
    return _with_note(verdict) if verdict.cause and verdict.clear_place else verdict


def _slip_of_an_accusation(where, differs):
    if not differs.any():
        return "unchanged"
    if not where.any():
        return "nowhere"
    return "" if (differs & where).any() else "beside"


def _likeness(pictures, changed, where):
    """The mean correlation of grey pictures with changed ones in a place; 1 if that is empty."""
    weight = where.float()
    pixels = weight.sum((1, 2), keepdim=True).clamp(min=1)

    def centred(images):
        grey = images.mean(1)
        return (grey - (grey * weight).sum((1, 2), keepdim=True) / pixels) * weight

    one, other = centred(pictures), centred(changed)
    spread = (one.square().sum((1, 2)) * other.square().sum((1, 2))).sqrt()
    likeness = (one * other).sum((1, 2)) / spread.clamp(min=1e-6)
    return torch.where(spread < 1e-6, 1.0, likeness).mean().item()


def _moved(before, after, index):
    """The share of the pictures of other classes that became this one."""
    return Share.count(after[before != index] == index)


def _instead(before, after, index):
    """The class that most pictures of other classes were turned into, and its share."""
    shares = {name: _moved(before, after, number) for number, name in enumerate(CLASSES)}
    best = max(shares, key=lambda name: shares[name].value)
    return None if best == CLASSES[index] else (best, shares[best])


# ---------------------------------------------------------------------------- nothing planted


def _clear(letter, claim, pictures, masks):
    """The verdict on a claim that nothing was planted."""
    place, fit = places.nearest(claim.where, masks)
    change = (claim.changed - pictures).abs()
    slip = _slip_of_a_clearance(claim.where, change.amax(1))
    if slip:
        return Verdict(letter, None, place, fit, slip)
    outside = ~claim.where
    altered = change.mean(1)[outside].double().mean().item() if outside.any() else 0.0
    verdict = Verdict(letter, None, place, fit, altered=altered)
    if not verdict.right_alteration:
        return verdict
    before, after = _opinions(letter, pictures, claim.changed)
    control_before, control_after = _opinions(CONTROL, pictures, claim.changed)
    kept = Share.count(before == after)
    control_kept = Share.count(control_before == control_after)
    verdict = dataclasses.replace(verdict, kept=kept, control_kept=control_kept)
    return _with_note(verdict) if verdict.unmoved else verdict


def _slip_of_a_clearance(where, change):
    if not change.any():
        return "unaltered"
    if not where.any():
        return "nowhere"
    return "object altered" if change[where].max() > INTACT else ""


# ---------------------------------------------------------------------------- what both need


def _with_note(verdict):
    """The verdict with the makers' note, if its class and place open the seal."""
    note = seal.opened(verdict.letter, verdict.target, verdict.place)
    return verdict if note is None else dataclasses.replace(verdict, note=note["story"])


def _opinions(name, pictures, changed):
    """The classes that a network sees in plain pictures and in changed ones, (N,) each."""
    return _opinion(name, pictures), _opinion(name, changed)


def _opinion(name, pictures):
    """Remembered, since the judge meets the same pictures again and again."""
    content = hashlib.sha256(pictures.contiguous().numpy()).digest()
    key = (name, data_folder(), content)
    if key not in _remembered:
        if len(_remembered) >= MOST_REMEMBERED:
            _remembered.clear()
        _remembered[key] = _juror(name, data_folder()).predict(pictures)
    return _remembered[key]


MOST_REMEMBERED = 100
_remembered: dict[tuple, Tensor] = {}


@functools.lru_cache(maxsize=8)
def _juror(name, _folder):
    """A network that nobody else touches; the folder is only there to tell two apart."""
    return load_network(name)
