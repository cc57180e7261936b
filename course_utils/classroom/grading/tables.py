"""Tables that a teacher keeps in a spreadsheet: CSV files, read as leniently as can be done safely.

Columns are named in the first line, in any order and case. Commas, semicolons or tabs separate
them; a byte order mark and UTF-16, which some spreadsheets write, are understood.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from course_utils.classroom import UsageError
from course_utils.classroom.grading.text import printable

LARGEST = 10_000_000
"""Bytes of a table; a roster of 300 has some 20,000."""


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    line: int
    """Where it stands in the file, from 1 on; the columns' names stand in the first."""
    values: dict[str, str]
    """{column: text}; "" where the line or the file has none."""

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def read_table(path: Path, columns: dict[str, tuple[str, ...]], needed: tuple[str, ...]):
    """The lines of a CSV file, as a list of `Row`; empty ones are passed over.

    columns: {name: other names that mean the same}; case, spaces and hyphens don't matter
    needed:  the columns that every line must fill

    Raises UsageError, with the number of the line, for anything that is not such a table.
    """
    text = _text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    places, rows = None, []
    try:
        for fields in reader:
            fields = [_as_written(field) for field in fields]
            if not any(fields) or (places is None and fields[0].lower().startswith("sep=")):
                continue
            if places is None:
                places = _places(path, fields, columns, needed)
                width = len(fields)
            else:
                rows.append(_row(path, reader.line_num, fields, width, places, columns, needed))
    except csv.Error as error:
        raise wrong(path, reader.line_num, f"can't be read ({error})") from None
    if places is None:
        raise UsageError(f"{printable(path)} is empty; it needs the columns {', '.join(needed)}.")
    return rows


def wrong(path: Path, line: int, what: str) -> UsageError:
    """The error about one line of a file, as a sentence; `what` says what the line does."""
    return UsageError(f"{printable(path)}, line {line}, {what}.")


def _text(path):
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{printable(path)} can't be read ({error.strerror}).") from None
    if len(content) > LARGEST:
        raise UsageError(f"{printable(path)} is larger than {LARGEST // 1_000_000} MB.")
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise wrong(path, line, "is not UTF-8: save the table as CSV UTF-8") from None


def _delimiter(text):
    """The separator that the line with the columns' names has most of, outside quotes."""
    lines = (line for line in text.splitlines() if line.strip())
    first = re.sub(r'"[^"]*"', "", next(lines, ""))
    if first.lower().startswith("sep="):
        return first[4:5] if first[4:5] in (",", ";", "\t") else ","
    return max(",;\t", key=first.count)


def _as_written(field):
    """A field without spaces around it, and without the apostrophe that our own reports add."""
    field = field.strip()
    return field[1:].strip() if re.match(r"'[=+\-@\t\r]", field) else field


def _simple(name):
    return re.sub(r"[\s_-]+", "", name).casefold()


def _places(path, fields, columns, needed):
    """{column: its place}."""
    meanings = {_simple(other): name for name in columns for other in (name, *columns[name])}
    places = {}
    for place, field in enumerate(fields):
        name = meanings.get(_simple(field))
        if name in places:
            raise wrong(path, 1, f"names the column {name} twice")
        if name is not None:
            places[name] = place
    for name in needed:
        if name not in places:
            found = ", ".join(printable(field, 40) for field in fields[:20])
            raise wrong(path, 1, f"must name a column {name!r}; it names {found}")
    return places


def _row(path, line, fields, width, places, columns, needed):
    if len(fields) > width and any(fields[width:]):
        raise wrong(path, line, f"has {len(fields)} fields, but there are {width} columns")
    fields += [""] * (width - len(fields))
    values = {name: fields[places[name]] if name in places else "" for name in columns}
    for name in needed:
        if not values[name]:
            raise wrong(path, line, f"has nothing in the column {name}")
    return Row(line, values)
