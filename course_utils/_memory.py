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
    chosen = any(name in os.environ for name in ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_"))
    if sys.platform != "linux" or chosen:
        return
    with contextlib.suppress(ImportError, OSError, AttributeError):  # another C library or Python
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, KEPT)
