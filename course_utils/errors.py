"""The errors that the course raises on purpose: each is one sentence about what to do."""

import difflib
import math
import operator
from collections.abc import Collection, Iterable
from pathlib import Path


class PictureError(ValueError):
    """What was passed is not a usable picture; the message says why in one sentence."""


class DataError(RuntimeError):
    """A file that the course needs is missing, damaged or out of reach.

    path: of the file, or its name
    what: what is wrong with it, such as "is missing"
    cure: what to do about it, such as "restore it with: git restore data"
    """

    def __init__(self, path: str | Path, what: str, cure: str):
        super().__init__(path, what, cure)  # an exception's arguments are what pickle keeps
        self.path = path
        self.what = what
        self.cure = cure

    @property
    def fault(self) -> str:
        """The path and what is wrong with it, without the cure."""
        return f"{self.path} {self.what}"

    def __str__(self) -> str:
        return f"{self.fault}; {self.cure}"


class UsageError(ValueError):
    """What was asked of the command can't be done; the message says why in one sentence."""


def first_line(error: BaseException) -> str:
    """What an error says, without the lines that follow; its kind, if it says nothing."""
    said = [line for line in str(error).splitlines() if line.strip()]
    return (said or [type(error).__name__])[0]


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """The sentence for a name that nothing has: "There is no layer 'conv9'; there are: ...".

    It lists all of a few known names, or of many those that resemble `name`.
    """
    known = list(known)
    if len(known) <= 30:
        return f"There is no {what} {shown(name)}; there are: {_listed(known) or 'none'}."
    wanted = str(name).lower()
    close = difflib.get_close_matches(wanted, known, n=8, cutoff=0.4) or known[:8]
    return f"There is no {what} {shown(name)}; close to it, of {len(known)}: {_listed(close)}."


def _listed(names):
    return ("; " if any("," in name for name in names) else ", ").join(names)


def check_name(what: str, name: object, known: Collection[str]) -> None:
    """Raises ValueError, with the sentence of `unknown_name`, if `name` is not among the known."""
    if name not in known:
        raise ValueError(unknown_name(what, name, known))


def shown(value: object) -> str:
    """A value as a message shows it: in one line, and an array or tensor by its shape alone."""
    shape = tuple(getattr(value, "shape", ()))
    if shape:
        return f"({type(value).__name__} of the shape {shape})"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def as_whole(value: object) -> int | None:
    """A whole number, also NumPy's or torch's, as Python's; None for anything else, and True."""
    try:
        return None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except (TypeError, RuntimeError):  # the second from a tensor without values
        return None


def check_count(name: str, value: object, least: int = 1, why: str = "") -> int:
    """The argument `name` as Python's int. Raises ValueError if it is none from `least` on.

    why: what else the message says, after a comma
    """
    number = as_whole(value)
    if number is None or number < least:
        raise ValueError(f"{name}={shown(value)}: a whole number from {least} on is needed{why}.")
    return number


def check_seed(value: object) -> int:
    """The seed as Python's int. Raises ValueError for what is none that torch takes."""
    number = as_whole(value)
    if number is None or not -(2**63) <= number < 2**64:
        raise ValueError(f"seed={shown(value)}: a seed is a whole number of at most 64 bits.")
    return number


def check_positive(**arguments: float) -> None:
    """Raises ValueError for the first argument that is no finite number above 0."""
    for name, value in arguments.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name}={value}: it must be positive, and finite.")


def check_not_negative(**arguments: float) -> None:
    """Raises ValueError for the first argument that is no finite number from 0 on."""
    for name, value in arguments.items():
        if not 0 <= value < math.inf:
            raise ValueError(
                f"{name}={value}: it can't be negative; a finite number from 0 on is needed."
            )
