"""Waits that end by a condition: how long one takes says nothing, for a test may share its core."""

import contextlib
import time

HANG = 900
"""Seconds after which a wait counts as a hang."""

LONGEST_NAP = 0.1
"""Seconds between two questions, when it takes long."""


def wait_for(question):
    """The first answer that is not None; errors count as no answer yet."""
    end, nap = time.monotonic() + HANG, 0.005
    while time.monotonic() < end:
        with contextlib.suppress(OSError, RuntimeError, IndexError, KeyError):
            answer = question()
            if answer is not None:
                return answer
        time.sleep(nap)
        nap = min(1.5 * nap, LONGEST_NAP)
    raise TimeoutError(f"Nothing after {HANG} seconds.")
