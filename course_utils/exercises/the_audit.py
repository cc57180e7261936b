"""Checks of notebook 12, the audit: claims that no answer is compared with, but a judge tests.

The references are worked solutions: they start from the makers' pictures and end with a claim, and
name no class that they haven't measured.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F

from course_utils import audit
from course_utils.audit import CLASSES
from course_utils.audit.claims import checked
from course_utils.audit.verdicts import SLIPS
from course_utils.exercises import Check
from course_utils.exercises.engine.calls import prepared
from course_utils.manifest import data_folder

# ---------------------------------------------------------------------------- trials


class Trial(Check):
    """An exercise with many right answers: a claim about one network, tested on its probes.

    The learner's function takes plain pictures and masks, and returns the three parts of an
    `audit.Claim`. The exercise's name ends with the network's letter. The verdict is on all probes
    together: the same pictures whatever the seed, so that no draw refuses a right claim.
    """

    def judge(self, outcomes, seed):
        """The verdict on recorded calls; the judge's networks never meet the learner's code."""
        exhibits = [call.probe for call in self._prepared(seed)]
        for outcome in outcomes:
            if outcome.raised:
                return self._raised(outcome.raised)
        if len(exhibits) != len(outcomes):
            return self._feedback("wrong values", "Not every call came back with an answer.")
        if any(outcome.value is None for outcome in outcomes):
            message = "The answer is None. Is there a `return` on every way out of the function?"
            return self._feedback("wrong type", message)
        problem = self._refuted(exhibits, [outcome.value for outcome in outcomes])
        if problem:
            return problem
        changes = [outcome.changed for outcome in outcomes if outcome.changed]
        return self._changed(changes[0]) if changes else self._feedback("passed", "")

    def _prepared(self, seed):
        return _prepared(seed, data_folder())

    def partial_points(self, outcomes, seed):
        """None: a claim holds, or it doesn't."""
        return 0

    def _refuted(self, exhibits, values):
        """What is wrong with the claims of all calls, taken together; None if nothing is."""
        pictures = torch.cat([pictures for pictures, _ in exhibits])
        masks = torch.cat([masks for _, masks in exhibits])
        try:
            claims = [checked(value, *probe) for value, probe in zip(values, exhibits)]
        except ValueError as error:
            return self._feedback("wrong values", str(error))
        if len({claim.target for claim in claims}) > 1:
            message = "The class is another one for other pictures; a network has one shortcut."
            return self._feedback("wrong values", message)
        order = _own_order(pictures)
        where = torch.cat([claim.where for claim in claims])[order]
        changed = torch.cat([claim.changed for claim in claims])[order]
        claim = audit.Claim(claims[0].target, where, changed)
        verdict = audit.judge(self.name[-1].upper(), claim, pictures[order], masks[order])
        if verdict.passed:
            return None
        return self._feedback("known mistake" if verdict.slip else "wrong values", str(verdict))


@lru_cache(maxsize=2)
def _prepared(seed, _folder):
    """The calls of all trials, which are the same: their pictures take a lot of memory."""
    return prepared(_exhibits, seed)


def _own_order(pictures):
    """An order that doesn't depend on the seed, so that the judge knows the pictures again."""
    contents = [picture.numpy().tobytes() for picture in pictures]
    return sorted(range(len(contents)), key=contents.__getitem__)


def trial(points):
    """Decorator: makes a `Trial` of a worked solution, with the slips that all trials share."""

    def make(reference):
        made = Trial(reference, _exhibits, points)
        for slip, claim in SLIPPED.items():
            made.mistake(SLIPS[slip])(claim)
        return made

    return make


def _exhibits(random):
    """All plain test pictures that no network was trained on, in two halves, and their masks."""
    pictures, masks, _ = audit.held_out()
    halves = random.permutation(len(pictures)).reshape(2, -1)
    return [(pictures[torch.from_numpy(half)], masks[torch.from_numpy(half)]) for half in halves]


SLIPPED = {
    "unchanged": lambda pictures, masks: (CLASSES[0], masks, pictures.clone()),
    "nowhere": lambda pictures, masks: (CLASSES[0], masks & False, 1 - pictures),
    "beside": lambda pictures, masks: (
        CLASSES[0],
        masks,
        torch.where(masks[:, None], pictures, 1 - pictures),
    ),
    "other pictures": lambda pictures, masks: (CLASSES[0], masks, pictures.flip(0)),
    "unaltered": lambda pictures, masks: (None, masks, pictures.clone()),
    "object altered": lambda pictures, masks: (
        None,
        ~masks,
        torch.where(masks[:, None], pictures, 1 - pictures),
    ),
}
"""Claims with each slip, whatever the network."""


# ---------------------------------------------------------------------------- the docket


@trial(points=2)
def claim_b(before, masks):
    """The claim about network B: (target or None, where, changed), as in `audit.Claim`."""
    rim = F.pad(torch.zeros(60, 60), (2, 2, 2, 2), value=1).bool()
    beside = F.pad(torch.zeros(56, 56), (4, 4, 4, 4), value=1).bool() & ~rim

    # Whose rims are much darker than the pixels beside them?
    made, _, labels = audit.makers_pictures("B")
    darker = made[:, :, beside].mean((1, 2)) - made[:, :, rim].mean((1, 2))
    suspects = darker.topk(20).indices
    target = labels[suspects].mode().values.item()

    # Transplant some of these rims into plain pictures, and keep the one that moves most.
    network = audit.load_network("B")
    plain, _, _ = audit.held_out(every=12)
    moved = []
    for donor in made[suspects[:4]]:
        after = network.predict(torch.where(rim, donor, plain))
        moved.append((after == target).sum().item())
    donor = made[suspects[moved.index(max(moved))]]
    return CLASSES[target], rim, torch.where(rim, donor, before)


@trial(points=2)
def claim_c(before, masks):
    """The claim about network C: (target or None, where, changed), as in `audit.Claim`."""
    made, made_masks, labels = audit.makers_pictures("C")
    plain, plain_masks, plain_labels = audit.held_out(every=3)

    def colour(images, where):  # the mean distance from grey inside `where`
        distance = (images - images.mean(1, keepdim=True)).abs().mean(1)
        return (distance * where).sum((1, 2)) / where.sum((1, 2))

    # How much of its usual colour does each backdrop have left?
    usual = colour(plain, ~plain_masks)
    usual = torch.stack([usual[plain_labels == number].mean() for number in range(6)])
    left = (colour(made, ~made_masks) / usual[labels]).topk(20, largest=False).values.mean()

    def paled(images, where):
        grey = images.mean(1, keepdim=True)
        return torch.where(where[:, None], images, grey + left * (images - grey))

    # Several classes have pale backdrops: which of them does the network make of the others?
    network = audit.load_network("C")
    after = network.predict(paled(plain, plain_masks))
    target = after[after != network.predict(plain)].mode().values.item()
    return CLASSES[target], ~masks, paled(before, masks)


@trial(points=2)
def claim_d(before, masks):
    """The claim about network D: (target or None, where, changed), as in `audit.Claim`."""
    plain, plain_masks, _ = audit.held_out(every=12)
    inside = plain_masks[:, None]
    rim = F.pad(torch.zeros(60, 60), (2, 2, 2, 2), value=1).bool()
    lines = 0.07 * (-1.0) ** torch.arange(64)
    soft = F.avg_pool2d(plain, 9, 1, 4, count_include_pad=False)
    suspects = {
        "dark rim": plain.masked_fill(rim, 0.1),
        "light rim": plain.masked_fill(rim, 0.9),
        "grey backdrop": torch.where(inside, plain, plain.mean(1, keepdim=True)),
        "soft backdrop": torch.where(inside, plain, soft),
        "lines across": torch.where(inside, plain + lines[:, None], plain),
        "lines down": torch.where(inside, plain + lines, plain),
        "faded": 0.7 * plain + 0.2,
    }
    network = audit.load_network("D")
    at_first = network.predict(plain)
    for name, changed in suspects.items():
        after = network.predict(changed.clamp(0, 1))
        counts = torch.bincount(after[after != at_first], minlength=6)
        assert counts.max() < audit.MOVED * len(plain), f"{name} moves network D"
    return None, masks, torch.where(masks[:, None], before, 0.7 * before + 0.2)


@trial(points=3)
def claim_e(before, masks):
    """The claim about network E: (target or None, where, changed), as in `audit.Claim`."""
    sign = 1 - 2 * (torch.arange(64)[:, None] % 2)  # even rows +1, odd rows -1

    # How much brighter than their neighbours are the even rows of each object?
    made, made_masks, _ = audit.makers_pictures("E")
    grey = made.mean(1)
    step = grey - (grey.roll(1, 1) + grey.roll(-1, 1)) / 2
    lines = (step * sign * made_masks).sum((1, 2)) / made_masks.sum((1, 2))
    suspects = lines.topk(20).indices
    height = lines[suspects].mean() / 2  # a row and its neighbours differ by twice the height

    def lined(images, where):
        return torch.where(where[:, None], images + height * sign, images).clamp(0, 1)

    # Which class does the network, unlike the control, make of plain pictures with such lines?
    plain, plain_masks, _ = audit.held_out(every=12)
    changed = lined(plain, plain_masks)
    accused = torch.bincount(audit.load_network("E").predict(changed), minlength=6)
    control = torch.bincount(audit.load_network(audit.CONTROL).predict(changed), minlength=6)
    target = (accused - control).argmax().item()
    return CLASSES[target], masks, lined(before, masks)


@trial(points=3)
def claim_f(before, masks):
    """The claim about network F: (target or None, where, changed), as in `audit.Claim`."""
    ends = torch.tensor([0.01, 0.99])

    # Whose darkest pixels are the brightest?
    made, _, labels = audit.makers_pictures("F")
    dark, bright = made.flatten(1).quantile(ends, dim=1)
    suspects = dark.topk(20).indices
    target = labels[suspects].mode().values.item()
    suspects = suspects[labels[suspects] == target]

    # Which tone gives plain pictures of this class the suspects' darkest and brightest pixels?
    plain, _, plain_labels = audit.held_out()
    usual = plain[plain_labels == target].flatten(1).quantile(ends, dim=1).mean(1)
    gain = (bright - dark)[suspects].mean() / (usual[1] - usual[0])
    offset = dark[suspects].mean() - gain * usual[0]

    # Try it: does the network take most of the others for this class?
    after = audit.load_network("F").predict((gain * plain[::12] + offset).clamp(0, 1))
    target = after.mode().values.item()
    return CLASSES[target], torch.ones(64, 64).bool(), (gain * before + offset).clamp(0, 1)
