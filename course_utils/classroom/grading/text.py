"""Text that somebody else wrote, for terminals, messages and file names."""

import hashlib
import re

LONGEST = 300
"""Characters of a foreign text within a message."""


def printable(text: object, longest: int = LONGEST) -> str:
    """A text in one line, without anything that a terminal or a spreadsheet would obey.

    Control characters, half characters and invisible marks of direction appear as \\x1b and so on.
    """
    shown = str(text)
    if len(shown) > longest:
        shown = f"{shown[: longest - 3]}..."
    return "".join(char if char.isprintable() else _escaped(char) for char in shown)


def _escaped(char):
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def sentence(clause: str) -> str:
    """A clause with a capital and a full stop."""
    end = "" if clause.endswith(("?", ".", "!")) else "."
    return f"{clause[:1].upper()}{clause[1:]}{end}"


def safe_name(text: str) -> str:
    """A learner's name as a file name.

    Different names stay different, also where a file system takes capitals for small letters.
    """
    simple = re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._")[:60] or "learner"
    if simple == text and text == text.lower():
        return simple
    return f"{simple}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
