"""Freed memory is kept, unless somebody has chosen otherwise."""

import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

FAULTS = """
import resource
{before}
import course_utils
for times in range(25):
    if times == 20:  # by then the memory has its size
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    {block}  # 64 MiB, freed at once
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 5 * 2**26 // 4096
"""Pages of what is asked for: each is cleared by the system if nothing is kept."""


def faults(before="", block="bytearray(2**26)", **variables):
    """How often a process that asks for the same large block must be given a new page."""
    code = FAULTS.format(before=before, block=block)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_a_block_that_was_freed_is_used_again():
    assert faults("import torch", "torch.zeros(2**24)") < PAGES / 100


def test_who_has_set_the_library_s_own_variables_is_left_alone():
    assert faults(MALLOC_MMAP_MAX_="65536", MALLOC_TRIM_THRESHOLD_="131072") > PAGES / 100
