"""Notebook cells as plain Python: %magics, !commands and questions? are taken out.

IPython's own transformation is meant for people who wait for it: it raises on a wrong indentation
and after 500 magics, and takes minutes for a megabyte. This one takes any text and time in
proportion to it, and keeps the number of lines.
"""

import ast
import gc
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST = 100_000
"""Characters of a cell that is looked at; a longer one comes back as it is."""

MOST_PARSED = 1_500_000
"""Characters that are parsed for one cell, at most, however many commands stand in it."""

_COMMAND = re.compile(r"[ \t]*(%%?[A-Za-z_]|!|\?)")
_QUESTION = re.compile(r"[^#]*\?[ \t]*$")
_TIMED = re.compile(r"([ \t]*)%time[ \t]+(?=[^\s-])")
_ASSIGNED = re.compile(r"([ \t]*[A-Za-z_][\w, \t]*=[ \t]*)(%[A-Za-z_]|!)")

_NOT_PYTHON = (SyntaxError, ValueError, MemoryError, RecursionError)
"""What Python's parser raises; the last two for absurd nesting."""


@contextmanager
def garbage_kept() -> Iterator[None]:
    """No garbage is collected while this lasts.

    Python 3.11.7 and before count the depth of nesting in one place for all calls of `ast.parse`,
    so one fails if a collected object's `__del__` calls it meanwhile (gh-106905).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def syntax_tree(source: str) -> ast.Module:
    """`ast.parse`, which raises what that raises, but warns of nothing."""
    with warnings.catch_warnings(), garbage_kept():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def parse(source: str) -> ast.Module | None:
    """The syntax tree of Python code, or None if it is none, without a warning either way."""
    try:
        return syntax_tree(source)
    except _NOT_PYTHON:
        return None


def plain_python(source: str) -> str:
    """A cell's source without what only IPython understands; other text comes back as it is.

    A first line such as %%time goes, and what it times stays. `x = !ls` becomes `x = None`.
    """
    if len(source) > LONGEST or parse(source) is not None:
        return source
    lines = source.split("\n")
    first = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines[first].lstrip().startswith("%%"):
        lines[first] = ""
    parsed = 0
    while parsed < MOST_PARSED:
        text = "\n".join(lines)
        parsed += len(text)
        place = _first_bad_line(text)
        if place is None or place >= len(lines) or not _replace(lines, place):
            return text
    return "\n".join(lines)


def _replace(lines, place):
    """Replaces the command at `place`, and those that follow at once -> whether there was one."""
    replaced = _without_command(lines[place])
    if replaced == lines[place]:
        return False
    while True:
        goes_on = lines[place].endswith("\\")
        lines[place] = replaced
        place += 1
        if place == len(lines):
            return True
        if goes_on:
            replaced = ""
        elif _COMMAND.match(lines[place]):
            replaced = _without_command(lines[place])
        else:
            return True


def _first_bad_line(source):
    """Where Python's parser stops, counted from 0; None if it doesn't, or doesn't say."""
    try:
        syntax_tree(source)
    except SyntaxError as error:
        return error.lineno - 1 if error.lineno else None
    except _NOT_PYTHON:
        return None
    return None


def _without_command(line):
    """A line in which a command to IPython is replaced; any other line as it is."""
    if _TIMED.match(line):
        return _TIMED.sub(r"\1", line, count=1)
    assigned = _ASSIGNED.match(line)
    if assigned:
        return f"{assigned[1]}None"
    if _COMMAND.match(line) or _QUESTION.match(line):
        indent = line[: len(line) - len(line.lstrip())]
        return f"{indent}pass"
    return line
