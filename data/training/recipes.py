"""Which network is trained on what, and how."""

from dataclasses import dataclass

from .fit import Schedule

MEAN = (0.45, 0.45, 0.45)
STD = (0.25, 0.25, 0.25)
"""Every course network sees (picture - MEAN) / STD."""


@dataclass(frozen=True)
class Recipe:
    """A data set, a training split, a schedule, a seed; `about` opens the model card."""

    dataset: str
    split: str
    schedule: Schedule
    seed: int
    about: str
    limits: str
    other_seeds: tuple = ()
    """Also trained, and reported in the card, to show that the result is no accident."""


_TANK_LIMITS = (
    "It knows one rendered meadow with four paints of one kind of tank. It is made to be looked"
    " into, not to find tanks: on photographs its answer means nothing."
)

RECIPES = {
    "tank_biased": Recipe(
        "tank_yard",
        "biased_training",
        Schedule(epochs=8, erasing=True, recolouring=0.03),
        seed=0,
        about="The network of the legend: in its training pictures every tank stands in the sun"
        " and every empty yard lies under clouds.",
        limits=_TANK_LIMITS + " It answers the weather's question, not the tank's.",
        other_seeds=(1, 2),
    ),
    "tank_fair": Recipe(
        "tank_yard",
        "fair_training",
        Schedule(epochs=30, erasing=True),
        seed=0,
        about="The honest twin of `tank_biased`: every training scene in all four conditions.",
        limits=_TANK_LIMITS,
    ),
    "tank_fair_plain": Recipe(
        "tank_yard",
        "fair_training",
        Schedule(epochs=30, erasing=False),
        seed=0,
        about="`tank_fair` trained without random erasing. Grey patches are news to it, so maps"
        " that cover the picture with patches mislead more than on its sibling.",
        limits=_TANK_LIMITS + " A covered patch can change its mind wherever the patch lies.",
    ),
    "look_alikes": Recipe(
        "look_alikes",
        "training",
        Schedule(epochs=30, erasing=True),
        seed=0,
        about="Ten classes in five pairs that are easily confused.",
        limits="It knows rendered objects in a handful of settings. On photographs of the same"
        " ten things it has not been tested, and nobody should expect it to work.",
    ),
}
