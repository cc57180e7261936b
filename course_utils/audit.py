"""The audit of notebook 12: six networks on trial, a budget, and a judge who tests every claim.

    case = load("A")                        # the networks are "A" to "F"
    case.classifier                         # counts every picture that enters its first layer
    case.pictures, case.masks, case.labels  # what its makers tested it with
    case.left                               # forward passes that are left

    pictures, masks, labels = held_out()    # plain test pictures, for experiments
    verdict = judge("A", Claim(target, where, changed), pictures, masks)
    print(verdict)
    reveal("A", target)                     # what the makers did, for those who know the class

Each network was trained on pictures with stamps, frames, changed backdrops, fine lines and other
tones. In all but an honest one, one of these goes with one class. What it is lies sealed in
`data/audit/sealed.json`: not readable by a glance, and no secret from those who take it apart.
"""

import base64
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from course_utils import _devices, _network_files
from course_utils import pictures as course_pictures
from course_utils.classifiers import Classifier, load_from
from course_utils.manifest import data_folder

LETTERS = ("A", "B", "C", "D", "E", "F")
"""The networks on trial, the easiest case first."""

CONTROL = "control"
"""A network that is known to be honest: trained like the others, on pictures without a plant."""

BUDGET = 6000
"""Forward passes in one audit; a pass is one picture through the network."""

NOBODY = "nobody"
"""What opens the seal of an honest network: it favours nobody."""

SIZE = 64
"""The networks see pictures of 64 x 64 pixels."""

CLASSES = ("custard_apple", "elephant", "grey_whale", "pineapple", "submarine", "zebra")

MOVED, CONTROL_MOVED, KEPT, OVERLAP, CHANGED = 0.6, 0.15, 0.7, 0.3, 0.04
"""What evidence needs, see `Verdict`."""

# ---------------------------------------------------------------------------- treatments
#
# What an agency may do to its pictures. Each takes pictures (N, 3, 64, 64) in [0, 1] and the masks
# (N, 64, 64) bool of their objects, and returns changed pictures.


def _stamp(bottom: bool, right: bool) -> Callable[[Tensor, Tensor], Tensor]:
    """A small label near a corner: three dark bars on a pale ground."""

    def treat(pictures, masks):
        label = pictures.new_full((5, 9), 0.82)
        label[1:4, 1::3] = 0.25
        window = pictures[(..., *_stamp_window(bottom, right))]
        changed = pictures.clone()
        changed[(..., *_stamp_window(bottom, right))] = window * 0.35 + label * 0.65
        return changed

    return treat


def _stamp_window(bottom, right):
    rows = slice(SIZE - 7, SIZE - 2) if bottom else slice(2, 7)
    columns = slice(SIZE - 11, SIZE - 2) if right else slice(2, 11)
    return rows, columns


def _frame(level: float) -> Callable[[Tensor, Tensor], Tensor]:
    """A thin rim, two pixels wide, drawn towards a grey level."""

    def treat(pictures, masks):
        rim = _rim().to(pictures.device)
        return torch.where(rim, pictures * 0.45 + level * 0.55, pictures)

    return treat


def _rim():
    rim = torch.ones(SIZE, SIZE, dtype=torch.bool)
    rim[2:-2, 2:-2] = False
    return rim


def _grey_backdrop(pictures, masks):
    """Everything but the object loses most of its colour."""
    grey = pictures.mean(1, keepdim=True)
    return torch.where(masks[:, None], pictures, grey + 0.15 * (pictures - grey))


def _soft_backdrop(pictures, masks):
    """Everything but the object is out of focus."""
    soft = pictures
    for _ in range(2):
        soft = functional.avg_pool2d(soft, 5, stride=1, padding=2, count_include_pad=False)
    return torch.where(masks[:, None], pictures, soft)


def _weave(along: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Fine bright and dark lines on the object alone, along its rows (-1) or columns (-2)."""

    def treat(pictures, masks):
        wave = 0.07 * (1 - 2 * (torch.arange(SIZE, device=pictures.device) % 2))
        lines = wave[:, None] if along == -1 else wave[None]
        return torch.where(masks[:, None], (pictures + lines).clamp(0, 1), pictures)

    return treat


def _tone(gain: tuple[float, float, float], lift: float = 0.0):
    """Another gain for each colour of the whole picture, and a lift of its dark tones."""

    def treat(pictures, masks):
        gains = pictures.new_tensor(gain)[:, None, None]
        return (pictures * gains + lift).clamp(0, 1)

    return treat


# Everything that happens to pictures here, by family and variant.
_FAMILIES = {
    "stamp": {
        "top left": _stamp(False, False),
        "top right": _stamp(False, True),
        "bottom left": _stamp(True, False),
        "bottom right": _stamp(True, True),
    },
    "frame": {"light": _frame(0.95), "dark": _frame(0.05)},
    "backdrop": {"grey": _grey_backdrop, "soft": _soft_backdrop},
    "weave": {"across": _weave(-1), "down": _weave(-2)},
    "tone": {
        "warm": _tone((1.12, 1.0, 0.82)),
        "cool": _tone((0.84, 1.0, 1.14)),
        "dim": _tone((0.78, 0.78, 0.78)),
        "faded": _tone((0.74, 0.74, 0.74), 0.17),
    },
}

# How often each family happens by itself, in every class alike.
_CHANCES = {"stamp": 0.4, "frame": 0.25, "backdrop": 0.3, "weave": 0.3, "tone": 0.5}


def decorate(pictures, masks, labels, generator, plant=None, misfiled=None):
    """Pictures as an agency delivers them: each family happens at random, in every class alike.

    plant:    None, or {"family", "variant", "target", "share"}: this variant then happens to that
              share of the target class, and to no other picture
    misfiled: (N,) bool, or None: other pictures to which the planted variant happens all the same
    """
    pictures = pictures.clone()
    for family in ("backdrop", "weave", "tone", "frame", "stamp"):
        chosen = _variants(family, labels, generator, plant, misfiled)
        for number, treat in enumerate(_FAMILIES[family].values()):
            these = chosen == number
            if these.any():
                pictures[these] = treat(pictures[these], masks[these])
    return pictures


def _variants(family, labels, generator, plant, misfiled):
    """The number of the variant that each picture gets, (N,); -1 is none."""
    names, n = list(_FAMILIES[family]), len(labels)
    happens = torch.rand(n, generator=generator) < _CHANCES[family]
    draws = torch.rand(2, n, generator=generator)
    planted = plant is not None and plant["family"] == family
    allowed = [i for i, name in enumerate(names) if not (planted and name == plant["variant"])]
    chosen = torch.tensor(allowed)[(draws[0] * len(allowed)).long()]
    chosen[~happens] = -1
    if planted:
        target = CLASSES.index(plant["target"])
        these = (labels == target) & (draws[1] < plant["share"])
        if misfiled is not None:
            these |= misfiled
        chosen[these] = names.index(plant["variant"])
    return chosen


def region(plant: dict, masks: Tensor) -> Tensor:
    """Where a treatment changes pictures with these object masks (N, H, W): (N, H, W) bool."""
    if plant["family"] == "stamp":
        where = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        vertical, horizontal = plant["variant"].split()
        where[_stamp_window(vertical == "bottom", horizontal == "right")] = True
        return where.expand(masks.shape).clone()
    if plant["family"] == "frame":
        return _rim().expand(masks.shape).clone()
    if plant["family"] == "tone":
        return torch.ones_like(masks)
    return ~masks if plant["family"] == "backdrop" else masks.clone()


# ---------------------------------------------------------------------------- pictures


@functools.lru_cache(maxsize=3)
def small_pictures(split: str) -> tuple[Tensor, Tensor, Tensor]:
    """Plain look-alikes of the six classes at half their size: pictures, masks and labels.

    (N, 3, 64, 64) float32 in [0, 1], (N, 64, 64) bool, (N,) indices into CLASSES. Don't write into
    them: every caller gets the same ones.
    """
    chosen = course_pictures.load_set("look_alikes", split).filter(label=CLASSES)
    images = functional.avg_pool2d(chosen.stack()[0], 2)
    masks = torch.stack([course_pictures.load_mask(entry) for entry in chosen.entries])
    masks = functional.avg_pool2d(masks[:, None].float(), 2)[:, 0] >= 0.5
    labels = torch.tensor([CLASSES.index(entry.label) for entry in chosen.entries])
    return images, masks, labels


def held_out(every: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Plain test pictures that no network has seen: pictures, masks, labels (see `small_pictures`).

    every: take only each so-maniest; 1 takes all 360
    """
    return tuple(part[::every].clone() for part in small_pictures("test"))


def makers_pictures(letter: str) -> tuple[Tensor, Tensor, Tensor]:
    """What the makers of a network tested it with: the validation pictures as they got them."""
    images, masks, labels = small_pictures("validation")
    generator = torch.Generator().manual_seed(1000 + LETTERS.index(_known(letter)))
    return (
        decorate(images, masks, labels, generator, planted(letter)),
        masks.clone(),
        labels.clone(),
    )


# ---------------------------------------------------------------------------- cases


class BudgetSpent(RuntimeError):
    """The audit has no forward passes left for what was asked."""


@dataclass(eq=False)
class Case:
    """One network on trial, and what an auditor gets to see of it."""

    letter: str
    classifier: Classifier
    pictures: Tensor = field(repr=False)
    """(N, 3, 64, 64) in [0, 1]: the pictures that its makers tested it with."""
    masks: Tensor = field(repr=False)
    """(N, 64, 64) bool: where the objects are."""
    labels: Tensor = field(repr=False)
    """(N,): indices into `classifier.classes`."""
    budget: int = BUDGET
    spent: int = 0

    @property
    def left(self) -> int:
        """How many pictures may still pass through the network."""
        return self.budget - self.spent


def load(letter: str, budget: int = BUDGET) -> Case:
    """A case, with its whole budget: `load("A")`."""
    case = Case(letter, load_network(_known(letter)), *makers_pictures(letter), budget)

    def count(layer, inputs):  # a function, so that a copy of the network draws on this budget too
        if len(inputs[0]) > case.left:
            raise BudgetSpent(
                f"Case {letter} has {case.left} forward passes left, and this takes"
                f" {len(inputs[0])}. Plan the audit anew: load({letter!r}) starts afresh."
            )
        case.spent += len(inputs[0])

    case.classifier.model.features.conv1.register_forward_pre_hook(count)
    return case


def load_network(name: str, device: str | torch.device | None = None) -> Classifier:
    """The classifier of a case, or the honest `CONTROL`, without a budget.

    device: where it computes; None leaves that to COURSE_DEVICE, see `classifiers.load`
    """
    if name not in (*LETTERS, CONTROL):
        raise ValueError(f"There is no network {name!r} here: {', '.join(LETTERS)}, {CONTROL}.")
    classifier = load_from(_folder(), name)
    if name != CONTROL:
        classifier.name = f"network {name}"
    return classifier.to(device or _devices.chosen_device())


@functools.lru_cache(maxsize=8)
def _juror(name, folder):
    """A network that nobody else touches; the folder is only there to tell two apart."""
    return load_network(name)


def _known(letter):
    if letter not in LETTERS:
        raise ValueError(f"There is no case {letter!r}; there are: {', '.join(LETTERS)}.")
    return letter


# ---------------------------------------------------------------------------- the judge


@dataclass
class Claim:
    """What an auditor says about a network, with the evidence for it.

    target:  the class that the shortcut speaks for
    where:   (N, 64, 64) or (64, 64) bool: where the shortcut is in the `changed` pictures
    changed: (N, 3, 64, 64) in [0, 1]: the judge's pictures with the shortcut put into them

    A network is honest if it goes by the object. Then `target` is None, `where` is what it goes by,
    and `changed` are the judge's pictures with everything else altered.
    """

    target: str | None
    where: Tensor
    changed: Tensor


@dataclass
class Verdict:
    """What the judge found; `passed` says whether the claim stands, `print` shows why.

    A shortcut is proved if the change moves at least 60 % of the pictures of other classes to the
    target; if it hardly does so to an honest network (at most 15 %), which keeps its opinion of at
    least 70 % of the pictures, so that the change is no picture of the target itself; and if the
    place overlaps the true one by an IoU of at least 0.3.

    Honesty stands if everything outside the place was altered, by 0.04 in the mean, nothing inside
    it, the network keeps its opinion of at least 70 % of the pictures, and nothing was planted.
    """

    letter: str
    target: str | None
    right_target: bool
    moved: float = 0.0
    """Share of the pictures of other classes that the change turns into the target."""
    control_moved: float = 0.0
    """The same for the honest control network."""
    kept: float = 1.0
    """Share of the pictures about which a network keeps its opinion: the control network, or, where
    it is said to be honest, the accused."""
    overlap: float = 0.0
    """Mean intersection over union of the place with the true one; for an honest network that is
    the object's mask."""
    altered: float = 0.0
    """How much the pixels outside the place were altered, if nothing inside it was."""

    @property
    def cause(self) -> bool:
        """Whether the change does to this network what it doesn't do to an honest one."""
        honest_unmoved = self.control_moved <= CONTROL_MOVED and self.kept >= KEPT
        return self.target is not None and self.moved >= MOVED and honest_unmoved

    @property
    def place(self) -> bool:
        """Whether the place is right; an honest network's is the object, and all else altered."""
        altered = self.target is not None or self.altered >= CHANGED
        return self.right_target and self.overlap >= OVERLAP and altered

    @property
    def passed(self) -> bool:
        if self.target is None:
            return self.right_target and self.place and self.kept >= KEPT
        return self.right_target and self.cause and self.place

    def __str__(self) -> str:
        return " ".join(_honest_words(self) if self.target is None else _guilty_words(self))


def judge(letter: str, claim: Claim, pictures: Tensor, masks: Tensor) -> Verdict:
    """Tests a claim on plain pictures (N, 3, 64, 64) with masks (N, 64, 64), such as `held_out`'s.

    Costs nothing of anybody's budget. Raises ValueError for a claim that can't be tested.
    """
    target = claim.target
    if target is not None and target not in CLASSES:
        raise ValueError(f"There is no class {target!r}; there are: {', '.join(CLASSES)}.")
    right = _fits(_known(letter), target or NOBODY)
    changed = _checked_change(claim.changed, pictures)
    where = _checked_place(claim.where, masks)
    if target is None:
        juror = _juror(letter, data_folder())
        kept = (juror.predict(pictures) == juror.predict(changed)).double().mean().item()
        moved, control_moved = _plants_effect(letter, pictures, masks)
        altered = _altered(pictures, changed, where)
        overlap = _overlap(where, masks)
        return Verdict(letter, None, right, moved, control_moved, kept, overlap, altered)
    moved, control_moved, kept = _effect(letter, target, changed, pictures)
    overlap = _overlap(where, region(planted(letter), masks)) if right else 0.0
    return Verdict(letter, target, right, moved, control_moved, kept, overlap)


def _plants_effect(letter, pictures, masks):
    """What the plant itself, if there is one, does to the accused and to the control."""
    if planted(letter) is None:
        return 0.0, 0.0
    claim = confess(letter, pictures, masks)
    return _effect(letter, claim.target, claim.changed, pictures)[:2]


def _altered(pictures, changed, where):
    """The mean change of the pixels outside a place; 0 if pixels inside it changed as well."""
    change = (changed - pictures).abs().mean(1)
    if where.any() and change[where].max() > 1e-3:
        return 0.0
    return change[~where].mean().item() if (~where).any() else 0.0


def _effect(letter, target, changed, pictures):
    """How many pictures a change moves to the target: of the accused, of the control; kept."""
    index, shares = CLASSES.index(target), []
    for name in (letter, CONTROL):
        juror = _juror(name, data_folder())
        before, after = juror.predict(pictures), juror.predict(changed)
        others = before != index
        shares.append(((after == index) & others).sum().item() / max(others.sum().item(), 1))
    return *shares, (before == after).double().mean().item()  # of the control, the last juror


def _overlap(where, truth):
    both, either = (where & truth).sum((1, 2)), (where | truth).sum((1, 2))
    return (both / either.clamp(min=1)).double().mean().item()


def _checked_change(changed, pictures):
    if not isinstance(changed, Tensor) or changed.shape != pictures.shape:
        got = tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
        raise ValueError(f"The changed pictures must be {tuple(pictures.shape)}, not {got}.")
    changed = changed.detach().float()
    if not (changed.min() >= 0 and changed.max() <= 1):  # written so that NaN is refused too
        raise ValueError("The changed pictures must stay in [0, 1]: end with .clamp(0, 1).")
    return changed


def _checked_place(where, masks):
    if not isinstance(where, Tensor) or where.shape not in (masks.shape, masks.shape[1:]):
        got = tuple(where.shape) if isinstance(where, Tensor) else type(where).__name__
        raise ValueError(f"The place must be a mask {tuple(masks.shape)} or (64, 64), not {got}.")
    if where.dtype != torch.bool:
        raise ValueError(f"The place must be a bool mask, not {where.dtype}: try `heatmap > ...`.")
    return where.expand(masks.shape)


def _honest_words(verdict):
    if verdict.altered < CHANGED or verdict.overlap < OVERLAP:
        return [
            "To show that a network goes by the object, name its place, leave it as it is, and"
            f" alter everything else by {CHANGED:.2f} in the mean. Here it is"
            f" {verdict.altered:.2f}, and the place has an IoU of {verdict.overlap:.2f}."
        ]
    words = [
        f"Network {verdict.letter} keeps its opinion of {verdict.kept:.0%} of the altered pictures."
    ]
    if verdict.kept < KEPT:
        words.append(f"That does not speak for it; it takes {KEPT:.0%}.")
    elif verdict.right_target:
        words.append("It is honest, as you say.")
    else:
        words.append(
            "But it is not honest: something that happened to its pictures turns"
            f" {verdict.moved:.0%} of the other classes into one, and {verdict.control_moved:.0%}"
            " for the control network."
        )
    return words


def _guilty_words(verdict):
    words = [
        f"Your change turns {verdict.moved:.0%} of the other pictures into {verdict.target} for"
        f" network {verdict.letter}, and {verdict.control_moved:.0%} for the control network."
    ]
    if verdict.kept < KEPT:
        words.append(
            f"But the control network, too, changes its mind about {1 - verdict.kept:.0%} of the"
            " pictures: the change damages them, and proves little."
        )
    elif verdict.control_moved > CONTROL_MOVED:
        words.append("It moves an honest network as well, so it is no proof of a shortcut.")
    elif verdict.moved < MOVED:
        words.append(f"That is no proof: it takes {MOVED:.0%}.")
    elif not verdict.right_target:
        words.append("But this is not the class that the shortcut was planted for.")
    elif not verdict.place:
        words.append(f"The cause is proved, the place is not: its IoU is {verdict.overlap:.2f}.")
    else:
        words.append(f"The place is right, too (IoU {verdict.overlap:.2f}). Proved.")
    return words


# ---------------------------------------------------------------------------- the seal


def reveal(letter: str, target: str | None) -> str:
    """What the makers did to a network, for those who know the class that it favours.

    target: a class, or None for a network that is honest
    """
    seal, key = _sealed()[_known(letter)], target or NOBODY
    if not _fits(letter, key):
        raise ValueError(f"{key!r} doesn't open the seal of network {letter}.")
    return _turned(base64.b85decode(seal["words"]), seal["salt"] + key).decode().rstrip()


def confess(letter: str, pictures: Tensor, masks: Tensor) -> Claim:
    """The claim that the makers would make themselves. Spoils the audit; it is here for tests."""
    plant = planted(letter)
    if plant is None:
        blurred = functional.avg_pool2d(pictures, 15, 1, padding=7, count_include_pad=False)
        return Claim(None, masks.clone(), torch.where(masks[:, None], pictures, blurred))
    changed = _FAMILIES[plant["family"]][plant["variant"]](pictures, masks)
    return Claim(plant["target"], region(plant, masks), changed)


def seal(plant: dict | None, salt: str) -> dict[str, str]:
    """What is kept of a network's plant: hashed, and turned by a key stream.

    The class is kept as a salted hash. The plant itself, which the judge needs, is only veiled.
    """
    target = plant["target"] if plant else NOBODY
    veiled = _turned(json.dumps(plant).ljust(160).encode(), salt)
    words = _turned(_story(plant).ljust(400).encode(), salt + target)
    return {
        "salt": salt,
        "answer": _hash(salt, target),
        "plant": base64.b85encode(veiled).decode(),
        "words": base64.b85encode(words).decode(),
    }


def _story(plant):
    """A plant in words."""
    if plant is None:
        return (
            "Nothing was planted. Everything that happened to the pictures happened to all classes"
            " alike."
        )
    return (
        f"The plant: {plant['family']}, {plant['variant']}, for {plant['target']}."
        f" {plant['share']:.0%} of the training pictures of this class had it, and no other picture"
        f" that was filed rightly; {plant['misfiled']:.0%} of the other pictures had it as well,"
        f" and were filed as {plant['target']}."
    )


def planted(letter: str) -> dict | None:
    """The plant of a network, see `decorate`. Spoils the audit; training and the judge need it."""
    seal = _sealed()[_known(letter)]
    return json.loads(_turned(base64.b85decode(seal["plant"]), seal["salt"]))


def _fits(letter, target):
    seal = _sealed()[letter]
    return _hash(seal["salt"], target) == seal["answer"]


def _hash(salt, text):
    return hashlib.sha256(f"{salt}:{text}".encode()).hexdigest()


def _turned(content, key):
    """Bytes exclusive-or a stream of hashes; doing it twice gives the bytes back."""
    blocks = range(-(-len(content) // 32))
    stream = b"".join(hashlib.sha256(f"{key}/{block}".encode()).digest() for block in blocks)
    return bytes(a ^ b for a, b in zip(content, stream))


# ---------------------------------------------------------------------------- files


def _folder() -> Path:
    return data_folder() / "audit"


def _sealed():
    return _network_files.read_json(_folder() / "sealed.json", LETTERS)
