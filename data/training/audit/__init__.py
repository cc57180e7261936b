"""The makers' side of notebook 12: `python -m data.training.audit [NAME ...]`.

treatments  what happens to pictures, and what a plant is
makers      seals the notes, opens them again, delivers the pictures
networks    trains the networks on trial and the control
records     what notebook 12 shows without telling which network it was measured on
command     all of it from the command line

What was planted in whom is read from the sealed notes, so that nobody learns it from a recipe.
"""

from .makers import INTO
from .networks import RECIPES, train_audit

__all__ = ["INTO", "RECIPES", "train_audit"]
