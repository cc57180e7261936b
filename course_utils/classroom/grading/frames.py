"""Messages through a pipe: a short header and some bytes, each with its length before it."""

import os
import select
import time

LARGEST_HEADER = 10_000
LARGEST = 100_000_000
"""Bytes of what may follow a header."""


def frame(header: bytes, content: bytes = b"") -> bytes:
    """A message as it goes through the pipe."""
    return len(header).to_bytes(4) + len(content).to_bytes(8) + header + content


class Frames:
    """Reads messages from a pipe, each no longer than allowed and no later than wanted."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    def read(self, seconds: float | None = None) -> tuple[bytes, bytes] | None:
        """The next message, or None at the end of all, or of `seconds`.

        Raises ValueError for a message that is too long, or cut off.
        """
        end = None if seconds is None else time.monotonic() + seconds
        lengths = self._take(12, end)
        if not lengths:
            return None
        header, content = int.from_bytes(lengths[:4]), int.from_bytes(lengths[4:])
        if len(lengths) < 12 or header > LARGEST_HEADER or content > LARGEST:
            raise ValueError("no message")
        message = self._take(header + content, end)
        if len(message) < header + content:
            raise ValueError("a message that is cut off")
        return message[:header], message[header:]

    def _take(self, size, end):
        """So many bytes, or fewer if the pipe or the time ends."""
        chunks = []
        while size:
            if end is not None:
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
                    break
            chunk = os.read(self.descriptor, min(size, 1 << 20))
            if not chunk:
                break
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)
