"""What an agency may do to its pictures, and how often it does.

A treatment takes pictures (N, 3, 64, 64) in [0, 1] and the masks (N, 64, 64) bool of their objects,
and returns changed pictures. A plant is a treatment that goes with one class.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from course_utils.audit import CLASSES, SIZE, places

Treatment = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Plant:
    """What was done to the training pictures of one network."""

    family: str
    variant: str
    target: str
    """The class that it goes with."""
    share: float
    """Of the pictures of this class, to which it happens. To no others, but for the misfiled."""
    misfiled: float
    """Of the pictures of other classes, to which it happens and which are filed as this class."""

    @property
    def treatment(self) -> Treatment:
        return FAMILIES[self.family][self.variant]

    @property
    def place(self) -> str:
        """The name of the place that it changes, see `course_utils.audit.places`."""
        if self.family == "stamp":
            return f"{self.variant} corner"
        return {"frame": "rim", "tone": "everywhere", "weave": "object"}.get(
            self.family, "backdrop"
        )


def _stamp(place: str) -> Treatment:
    """A small label near a corner: three dark bars on a pale ground."""

    def treat(pictures, masks):
        label = pictures.new_full((5, 9), 0.82)
        label[1:4, 1::3] = 0.25
        rows, columns = places.corner(place)
        changed = pictures.clone()
        changed[..., rows, columns] = pictures[..., rows, columns] * 0.35 + label * 0.65
        return changed

    return treat


def _frame(level: float) -> Treatment:
    """A thin rim drawn towards a grey level."""

    def treat(pictures, masks):
        rim = places.place("rim", masks)[:, None]
        return torch.where(rim, pictures * 0.45 + level * 0.55, pictures)

    return treat


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


def _weave(along: int) -> Treatment:
    """Fine bright and dark lines on the object alone, along its rows (-1) or columns (-2)."""

    def treat(pictures, masks):
        wave = 0.07 * (1 - 2 * (torch.arange(SIZE, device=pictures.device) % 2))
        lines = wave[:, None] if along == -1 else wave[None]
        return torch.where(masks[:, None], (pictures + lines).clamp(0, 1), pictures)

    return treat


def _tone(gain: tuple[float, float, float], lift: float = 0.0) -> Treatment:
    """Another gain for each colour of the whole picture, and a lift of its dark tones."""

    def treat(pictures, masks):
        gains = pictures.new_tensor(gain)[:, None, None]
        return (pictures * gains + lift).clamp(0, 1)

    return treat


FAMILIES: dict[str, dict[str, Treatment]] = {
    "stamp": {
        corner: _stamp(f"{corner} corner")
        for corner in ("top left", "top right", "bottom left", "bottom right")
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
"""Everything that happens to pictures here, by family and variant."""

CHANCES = {"stamp": 0.4, "frame": 0.25, "backdrop": 0.3, "weave": 0.3, "tone": 0.5}
"""How often each family happens by itself, in every class alike."""

ORDER = ("backdrop", "weave", "tone", "frame", "stamp")
"""Of the families, where several happen to one picture."""


def decorate(
    pictures: Tensor,
    masks: Tensor,
    labels: Tensor,
    generator: torch.Generator,
    plant: Plant | None = None,
    misfiled: Tensor | None = None,
) -> Tensor:
    """Pictures as an agency delivers them: each family happens at random, in every class alike.

    plant:    its variant then happens to its share of the target class, and to no other picture
    misfiled: (N,) bool, or None: other pictures to which the planted variant happens all the same
    """
    pictures = pictures.clone()
    for family in ORDER:
        chosen = variants(family, labels, generator, plant, misfiled)
        for number, treat in enumerate(FAMILIES[family].values()):
            these = chosen == number
            if these.any():
                pictures[these] = treat(pictures[these], masks[these])
    return pictures


def variants(
    family: str,
    labels: Tensor,
    generator: torch.Generator,
    plant: Plant | None,
    misfiled: Tensor | None,
) -> Tensor:
    """The number of the variant that each picture gets, (N,); -1 is none. See `decorate`."""
    names = list(FAMILIES[family])
    n = len(labels)
    happens = torch.rand(n, generator=generator) < CHANCES[family]
    draws = torch.rand(2, n, generator=generator)
    planted = plant is not None and plant.family == family
    allowed = [i for i, name in enumerate(names) if not (planted and name == plant.variant)]
    chosen = torch.tensor(allowed)[(draws[0] * len(allowed)).long()]
    chosen[~happens] = -1
    if planted:
        these = (labels == CLASSES.index(plant.target)) & (draws[1] < plant.share)
        if misfiled is not None:
            these |= misfiled
        chosen[these] = names.index(plant.variant)
    return chosen
