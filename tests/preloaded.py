"""Imports what takes seconds in every notebook, for processes that are forked from one that has it.

Nothing may be computed here: a device that torch learns of after the first gradient gets none, and
threads don't survive a fork.
"""

import captum.attr  # noqa: F401
import skimage.segmentation  # noqa: F401
import torch._dynamo  # noqa: F401 (the first optimizer of a process does)

from course_utils._torchvision import import_torchvision
from course_utils.exercises import all_checks

import_torchvision()
all_checks()
