"""Imports what takes seconds in every notebook, for processes that are forked from one that has it.

Nothing may be computed here: a device that torch learns of after the first gradient gets none, and
threads don't survive a fork.
"""

import captum.attr  # noqa: F401
import skimage.segmentation  # noqa: F401

from course_utils._packages import import_timm
from course_utils.exercises import all_checks

import_timm()  # and torchvision, which imports torch's compiler, as the first optimizer would
all_checks()
