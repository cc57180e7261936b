"""Which network is trained on what, and how."""

from dataclasses import dataclass, replace

from .fit import Schedule
from .generator import GeneratorRecipe
from .segmenter import SegmenterRecipe

MEAN = (0.45, 0.45, 0.45)
STD = (0.25, 0.25, 0.25)
"""Every course network sees (picture - MEAN) / STD."""

PLAIN = {"channels": (16, 32, 64, 64, 96, 96), "size": 128, "head": "flatten"}
"""The settings of the course's own classifiers."""


@dataclass(frozen=True)
class Recipe:
    """A data set, a training split, a schedule, a seed; `about` opens the model card."""

    dataset: str
    split: str
    schedule: Schedule
    seed: int
    about: str
    limits: str
    architecture: str = "plain"
    """One of `course_utils.architectures`, with PLAIN as its settings."""
    other_seeds: tuple = ()
    """Also trained, and reported in the card, to show that the result is no accident."""


@dataclass(frozen=True)
class HeadRecipe:
    """A new last layer, behind global average pooling, for the trained network `source`."""

    source: str
    dataset: str
    split: str
    schedule: Schedule
    """Of it, only what says how pictures are changed."""
    ridge: float
    """Times the sum of the squared weights (of standardized channels), added to the loss."""
    seed: int
    about: str
    limits: str


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
RECIPES["look_alikes_seed1"] = replace(
    RECIPES["look_alikes"],
    seed=1,
    about="`look_alikes` from another seed: other initial weights, another order of the pictures,"
    " everything else the same. What fools one need not fool the other.",
)

HEAD_RECIPES = {
    "look_alikes_gap": HeadRecipe(
        "look_alikes",
        "look_alikes",
        "training",
        RECIPES["look_alikes"].schedule,
        ridge=1e-3,
        seed=0,
        about="`look_alikes` with global average pooling in place of its flattening, and a new last"
        " layer for it. All convolutions are those of `look_alikes`, unchanged.",
        limits=RECIPES["look_alikes"].limits
        + " Blurred and compressed pictures disturb it more than `look_alikes`; the card of that"
        " network has the numbers to compare.",
    ),
}

DECODER_RECIPES = {
    "segmenter_switches": SegmenterRecipe(
        "switches",
        about="An encoder-decoder that says which pixels belong to the object. On the way up each"
        " map is unpooled with the switches of the encoder's max-pool.",
    ),
    "segmenter_upsample": SegmenterRecipe(
        "upsample",
        about="`segmenter_switches` with plain nearest-neighbour upsampling in place of unpooling;"
        " everything else is the same.",
    ),
    "generator_transposed_4": GeneratorRecipe(
        "transposed_4",
        about="Turns a vector into a picture of a pineapple, by transposed convolutions whose"
        " kernel (4) is a multiple of the stride (2).",
    ),
    "generator_transposed_3": GeneratorRecipe(
        "transposed_3",
        about="`generator_transposed_4` with kernel 3: neighbouring pixels get different numbers of"
        " contributions.",
    ),
    "generator_upsample": GeneratorRecipe(
        "upsample",
        about="`generator_transposed_4` with nearest-neighbour upsampling followed by an ordinary"
        " 3 x 3 convolution in place of each transposed convolution.",
    ),
}
"""Decoders, kept in `data/decoders`."""
