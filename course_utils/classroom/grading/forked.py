"""Runs a function in a forked process with limits, and takes what it returns: bytes.

Whatever happens in there (no end, a crash, a flood, a process left behind), the caller goes on,
and knows how it ended.
"""

import contextlib
import ctypes
import math
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from course_utils._memory import give_back_freed_memory

MOST_DELAY = 10
"""A machine that is busy with other things makes the clock's time this many times longer."""

STATUS = Path("/proc/self/statm")
"""Sizes of this process in pages; the sixth is its data and stack, see proc(5)."""

POLL = 0.1
"""Seconds between looks at a child that says nothing and leaves its pipe to others."""

ANSWERED = "answered"
OUT_OF_CPU = "out of CPU time"
OUT_OF_TIME = "out of time"
TOO_MUCH = "too much to return"
FULL = "too much written"
KILLED = "killed"
EXITED = "exited"

_SIZE = 8
"""Bytes of the number that says how long an answer is."""


@dataclass
class Ending:
    """How a forked function ended."""

    how: str
    """One of the names above."""
    content: bytes = b""
    """What it returned."""
    cpu: float = 0.0
    """Seconds of CPU time that it used."""


@dataclass(frozen=True)
class Bounds:
    """What a forked function may use."""

    cpu: float
    """Seconds of CPU time, of each process."""
    clock: float
    """Seconds on the clock, beside those in which all cores were busy with something else."""
    bytes: int
    """That it may return."""
    memory: int | None = None
    """Bytes of data that it may add to what the caller has (Linux); None sets no limit.

    What the caller has freed between blocks in use is had by it, and is there for the function.
    """


def run(
    work: Callable[[], bytes],
    bounds: Bounds,
    private: Collection[int] = (),
    is_too_much: Callable[[], bool] = lambda: False,
) -> Ending:
    """Runs `work` in a forked process -> how it ended, and what it returned.

    private:     file descriptors that are closed there before `work` begins
    is_too_much: asked now and then; True ends the process
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, bounds, writing, (reading, *private))
    os.close(writing)
    try:
        how, content = _read(reading, child, bounds, is_too_much)
    finally:
        os.close(reading)
        for target in (-child, child):
            with contextlib.suppress(OSError):
                os.kill(target, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    cpu = usage.ru_utime + usage.ru_stime
    return Ending(how or _how_it_ended(status, cpu, bounds), content, cpu)


def _be_the_child(work, bounds, writing, private):
    """Never returns."""
    try:
        for descriptor in private:
            os.close(descriptor)
        os.setpgid(0, 0)
        _limit(bounds)
        content = work()
        write(writing, len(content).to_bytes(_SIZE) + content)
    finally:
        os._exit(0)


def _limit(bounds):
    """CPU time ends a process with SIGXCPU; one that ignores it is killed a second later."""
    seconds = math.ceil(bounds.cpu)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or seconds + 1 <= hard:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if bounds.memory is not None:
        give_back_freed_memory()  # what the caller kept for itself would come on top
        most = _bytes_of_data() + bounds.memory
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))


def _bytes_of_data():
    """What counts as data of this process, all of it from its parent; 0 where nobody tells."""
    try:
        return int(STATUS.read_text().split()[5]) * resource.getpagesize()
    except OSError:
        return 0


def _read(pipe, child, bounds, is_too_much):
    """(how, content): what the child writes; how is "" if it ended without an answer."""
    begin = time.monotonic()
    chunks, size, expected = [], 0, None
    while expected is None or size < expected:
        left = begin + bounds.clock - time.monotonic()
        if left <= 0:
            left += min(_kept_waiting(child), (MOST_DELAY - 1) * bounds.clock)
        if left <= 0:
            return OUT_OF_TIME, b""
        if not select.select([pipe], [], [], min(POLL, left))[0]:
            if _has_ended(child) and not select.select([pipe], [], [], 0)[0]:
                return "", b""  # others hold the pipe, and nothing is in it
            if is_too_much():
                return FULL, b""
            continue
        chunk = os.read(pipe, 1 << 20)
        if not chunk:
            return "", b""
        chunks.append(chunk)
        size += len(chunk)
        if expected is None and size >= _SIZE:
            expected = _SIZE + int.from_bytes(b"".join(chunks)[:_SIZE])
            if expected > _SIZE + bounds.bytes:
                return TOO_MUCH, b""
    return ANSWERED, b"".join(chunks)[_SIZE:expected]


def _has_ended(child):
    """Whether a child has ended; it stays to be waited for."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _how_it_ended(status, cpu, bounds):
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL) and cpu > 0.8 * bounds.cpu:
            return OUT_OF_CPU
        if os.WTERMSIG(status) == signal.SIGKILL:
            return KILLED
    return EXITED


def write(descriptor: int, content: bytes) -> None:
    """Writes all of it."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


# ---------------------------------------------------------------------------- Linux


def _prctl(option, value):
    """Asks something of the kernel for this process; elsewhere than on Linux, nothing happens."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def adopt_orphans():
    """Processes that a child leaves behind become this one's children, so that they are seen."""
    _prctl(36, 1)  # PR_SET_CHILD_SUBREAPER


def is_alone() -> bool:
    """Whether this process has no children left; what has just been killed may take a moment.

    Only for a process whose children are all its own: it waits for any of them.
    """
    for _ in range(20):
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.01)
        except ChildProcessError:
            return True
    return False


def _kept_waiting(process):
    """Seconds in which a process could have run, but had no core to run on; 0 if nobody knows."""
    try:
        with open(f"/proc/{process}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def end_with_parent():
    """This process is killed when its parent's thread ends."""
    _prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def keep_private():
    """Others of the same user can't look into this process: its memory, its open files."""
    _prctl(4, 0)  # PR_SET_DUMPABLE


def be_open():
    """Takes `keep_private`, which children inherit, back."""
    _prctl(4, 1)
