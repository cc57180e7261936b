"""The makers' notes, sealed: the key to each is what a claim has to prove.

A note tells what was planted. It is encrypted with a key that is derived from the class and the
place, which stand nowhere. Deriving a key is slow on purpose: to try every class and every place
in turn takes half a minute of computing for each network, and tells nothing about the change.
"""

import base64
import functools
import hashlib
import hmac
import json
from pathlib import Path

from course_utils import _network_files
from course_utils.audit.cases import LETTERS, folder

NOBODY = "nobody"
"""In the place of the class, where nothing was planted."""

LENGTH = 800
"""Bytes of every note, filled up with spaces, so that its length tells nothing."""

COST = {"n": 2**14, "r": 8, "p": 16}
"""Of scrypt: 16 MB, and about half a second of one CPU core."""


def close(note: dict, salt: str, target: str | None, place: str) -> dict[str, str]:
    """What is kept of a note that a claim of this class and place opens; see `opened`.

    salt: random hexadecimal digits, others for each network
    """
    stream, lock = _keys(salt, target, place)
    content = json.dumps(note).encode().ljust(LENGTH)
    if len(content) != LENGTH:
        raise ValueError(f"The note has {len(content)} bytes; it may have {LENGTH}.")
    hidden = _mixed(content, stream)
    mark = hmac.new(lock, hidden, "sha256").hexdigest()
    return {"salt": salt, "note": base64.b85encode(hidden).decode(), "mark": mark}


def opened(letter: str, target: str | None, place: str) -> dict | None:
    """The note of a network for the right class and place; None for any other."""
    return _opened(letter, target, place, folder() / "sealed.json")


@functools.lru_cache(maxsize=512)
def _opened(letter, target, place, file: Path):
    seal = _network_files.read_json(file, LETTERS)[letter]
    stream, lock = _keys(seal["salt"], target, place)
    hidden = base64.b85decode(seal["note"])
    if not hmac.compare_digest(hmac.new(lock, hidden, "sha256").hexdigest(), seal["mark"]):
        return None
    return json.loads(_mixed(hidden, stream))


def _keys(salt, target, place):
    """Two keys of 32 bytes: one hides the note, the other marks it."""
    password = f"{target or NOBODY}/{place}".encode()
    both = hashlib.scrypt(password, salt=bytes.fromhex(salt), dklen=64, **COST)
    return both[:32], both[32:]


def _mixed(content, key):
    """Bytes exclusive-or a stream of hashes; doing it twice gives the bytes back."""
    blocks = range(-(-len(content) // 32))
    stream = b"".join(hashlib.sha256(key + block.to_bytes(4, "big")).digest() for block in blocks)
    return bytes(a ^ b for a, b in zip(content, stream))
