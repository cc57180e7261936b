"""Warnings at the line of whoever called the package, however many of its functions lie between.

Python shows a warning once for each line. If that were a line in here, the second user of a
technique would hear nothing.
"""

import contextlib
import os
import sys
import warnings

import torch

INSIDE = (
    os.path.join(os.path.dirname(__file__), ""),
    os.path.join(os.path.dirname(torch.__file__), ""),
    contextlib.__file__,
)
"""Where the files begin that are passed over: the package's own, torch's, and `with`."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the nearest line that is neither in the package nor in torch."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(INSIDE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
