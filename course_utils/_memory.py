"""Freed memory is kept for the next batch, which makes networks on a CPU faster.

For a large block, the C library of Linux asks the system for memory and gives it back as soon as it
is free. Each layer's maps of a batch are such blocks, so their pages are made and cleared again and
again, which can take longer than the convolutions.
"""

import contextlib
import os
import sys

KEPT = 2**29
"""Bytes that may stay free at the end of the process's memory before it is given back."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # names of the settings in glibc's malloc.h


def keep_freed_memory() -> None:
    """Takes large blocks from memory that was freed before. Does nothing without glibc.

    Whoever has set glibc's own variables (mallopt(3)), such as MALLOC_MMAP_MAX_, is left alone.
    """
    if any(name in os.environ for name in ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_")):
        return
    _ask_glibc("mallopt", _MMAP_MAX, 0)
    _ask_glibc("mallopt", _TRIM_THRESHOLD, KEPT)


def give_back_freed_memory() -> None:
    """Gives back what is free, the KEPT bytes too. Does nothing without glibc.

    What lies free between blocks in use remains this process's to use, without pages of its own.
    """
    _ask_glibc("malloc_trim", 0)


def _ask_glibc(function, *arguments):
    """Calls a function of the C library; another library, or another system's, has none such."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            getattr(ctypes.CDLL(None), function)(*arguments)
