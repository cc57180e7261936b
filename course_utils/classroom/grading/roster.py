"""The roster of a class: who belongs to it, and whose a submission is."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from course_utils.classroom import UsageError
from course_utils.classroom.grading.tables import read_table, wrong
from course_utils.classroom.grading.text import printable

COLUMNS = {
    "id": ("ID number", "student ID", "student number", "SIS User ID", "learner"),
    "name": ("full name", "student"),
    "first": ("first name", "given name"),
    "last": ("last name", "surname", "family name"),
    "email": ("e-mail address", "mail"),
    "folder": (),
    "login": ("SIS Login ID", "username", "user name", "login ID"),
    "canvas": ("canvas ID", "canvas user ID"),
    "section": (),
    "submitted": (),
}
"""What a roster may tell, and by which other names; only `id` must be there."""

_MOODLE = re.compile(r"(.+)_\d+_assignsubmission_\w*$")
"""The folders of Moodle's "Download all submissions": Ada Lovelace_1234_assignsubmission_file."""


@dataclass(frozen=True)
class Member:
    """A learner of the class; what the roster doesn't tell is ""."""

    id: str
    name: str = ""
    email: str = ""
    folder: str = ""
    """The name of the folder with the submissions, where it is neither the id nor the name."""
    login: str = ""
    canvas: str = ""
    """Canvas's own number, the column ID of its gradebook."""
    section: str = ""
    submitted: str = ""
    line: int = 0
    """Of the roster."""


class Roster:
    """The members of a class, and how submissions are matched with them."""

    def __init__(self, members: list[Member]):
        self.members = members
        self._by_key = {}
        for keys in (("folder", "id"), ("login", "email"), ("name",)):
            self._add(keys)

    def _add(self, keys):
        """Adds keys of the same rank; one that fits two members fits none, surer ones win."""
        found = {}
        for member in self.members:
            for key in {_key(getattr(member, name)) for name in keys} - {""}:
                found.setdefault(key, []).append(member)
        for key, members in found.items():
            if key not in self._by_key:
                self._by_key[key] = members[0] if len(members) == 1 else None

    def find(self, learner: str) -> Member | None:
        """The member that a folder's name, an id, a login, an e-mail or a name belongs to."""
        of_moodle = _MOODLE.match(learner)
        found = self._by_key.get(_key(learner))
        return found or (self._by_key.get(_key(of_moodle[1])) if of_moodle else None)


def read_roster(path: Path) -> Roster:
    """Reads a roster; raises UsageError with the number of the line that is wrong."""
    members, lines = [], {}
    for row in read_table(path, COLUMNS, ("id",)):
        key = _key(row["id"])
        if key in lines:
            raise wrong(path, row.line, f"has the same id as line {lines[key]}")
        lines[key] = row.line
        name = row["name"] or f"{row['first']} {row['last']}".strip()
        told = {n: row[n] for n in ("id", "email", "folder", "login", "canvas", "section")}
        if told["email"] and "@" not in told["email"]:
            raise wrong(path, row.line, f"has {printable(told['email'], 60)!r} for an e-mail")
        members.append(Member(**told, name=name, submitted=row["submitted"], line=row.line))
    if not members:
        raise UsageError(f"{printable(path)} names nobody.")
    return Roster(members)


def _key(text):
    """A text without what file systems and spreadsheets change on its way."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
