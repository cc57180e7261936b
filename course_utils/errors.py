"""The errors that the course raises on purpose: each is one sentence about what to do."""

import difflib
import numbers
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
    return (str(error).splitlines() or [type(error).__name__])[0]


def unknown_name(what: str, name: object, known: Iterable[str]) -> str:
    """The sentence for a name that nothing has: "There is no layer 'conv9'; there are: ...".

    It lists all of a few known names, or of many those that resemble `name`.
    """
    known = list(known)
    if len(known) <= 30:
        return f"There is no {what} {name!r}; there are: {_listed(known) or 'none'}."
    wanted = str(name).lower()
    close = difflib.get_close_matches(wanted, known, n=8, cutoff=0.4) or known[:8]
    return f"There is no {what} {name!r}; close to it, of {len(known)}: {_listed(close)}."


def _listed(names):
    return ("; " if any("," in name for name in names) else ", ").join(names)


def check_name(what: str, name: object, known: Collection[str]) -> None:
    """Raises ValueError, with the sentence of `unknown_name`, if `name` is not among the known."""
    if name not in known:
        raise ValueError(unknown_name(what, name, known))


def check_count(name: str, value: object, least: int = 1) -> None:
    """Raises ValueError if the argument `name` is no whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise ValueError(f"{name}={value!r}: a whole number from {least} on is needed.")
