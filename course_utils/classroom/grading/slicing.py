"""Which statements of a notebook an answer needs: found by the names that each makes and uses.

A notebook is taken apart into its statements. From the one that gives the answer its name, those
are collected that give values to the names it uses, and so on; and those that change such a value
afterwards (`table["a"] = 1`, `layers.append(x)`). Everything else, such as a print at the end of
a cell, a plot, an installation or a mount of some drive, is never run.
"""

import ast
import builtins
import symtable
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from course_utils.classroom.magics import parse

MOST = 3000
"""Statements of a cell; what comes after them is not looked at."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SHOWING = frozenset({"print", "display", "len", "repr", "type", "help", "dir", "vars", "id"})
"""Functions that change nothing of what they are given."""


@dataclass(frozen=True, eq=False)
class Statement:
    """One statement at the top level of a cell."""

    cell: int
    """The number of its cell."""
    first: int
    last: int
    """Its lines in the cell, from 1."""
    binds: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    changes: frozenset[str] = frozenset()
    """Names whose values it may change without giving them new ones."""
    sets: frozenset[str] = frozenset()
    """Those of `changes` whose item or attribute it sets."""
    is_import: bool = False
    is_star: bool = False
    """Whether it is `from ... import *`, which may bind any name."""
    is_future: bool = False
    """Whether it is `from __future__ import ...`, which is about all that follows."""
    is_course: bool = False
    """Whether the course wrote it, not the learner."""
    text: str = ""
    """The same for the same code, however it is spaced."""


def statements_of(source: str, cell: int = 0, is_course: bool = False) -> list[Statement]:
    """The statements of a cell that is plain Python; none if it is no Python."""
    tree = parse(source)
    if tree is None:
        return []
    found = (_statement(node, cell, is_course) for node in tree.body[:MOST])
    return [statement for statement in found if statement is not None]


def names_of(source: str) -> tuple[set[str], set[str]]:
    """The names that code gives values at its top level, and those it takes from elsewhere.

    Python's own names are not among those. Both are empty for code that is not Python: running it
    will say so.
    """
    binds, needs = _names(source)
    return binds, needs - set(dir(builtins))


def _names(source):
    try:
        table = symtable.symtable(source, "<cell>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    binds = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    for child in _all_children(table):
        used |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
        binds |= {s.get_name() for s in child.get_symbols() if _is_made_global(s)}
    return binds, used


def _all_children(table):
    for child in table.get_children():
        yield child
        yield from _all_children(child)


def _is_made_global(symbol):
    return symbol.is_declared_global() and symbol.is_assigned()


def _statement(node, cell, is_course):
    try:
        text = ast.unparse(node)
    except RecursionError:
        return None
    binds, needs = _names(text)
    sets, given = _changes(node, are_arguments_safe=is_course)
    is_import = isinstance(node, (ast.Import, ast.ImportFrom))
    return Statement(
        cell=cell,
        first=min(part.lineno for part in (node, *getattr(node, "decorator_list", []))),
        last=node.end_lineno,
        binds=frozenset(binds),
        needs=frozenset(needs - _its_own(node)) | _augmented(node),
        changes=frozenset(sets | given) - binds,
        sets=frozenset(sets),
        is_import=is_import,
        is_star=is_import and any(name.name == "*" for name in node.names),
        is_future=is_import and getattr(node, "module", "") == "__future__",
        is_course=is_course,
        text=text,
    )


def _its_own(node):
    """Names that a statement uses after it has given them their values itself."""
    if isinstance(node, _DEFINITIONS):
        return {node.name}  # a function that calls itself
    loops = (part for part in ast.walk(node) if isinstance(part, (ast.For, ast.AsyncFor)))
    targets = (name for loop in loops for name in ast.walk(loop.target))
    return {name.id for name in targets if isinstance(name, ast.Name)}


def _augmented(node):
    """The names whose old values a statement needs, as `name += 1` does."""
    if isinstance(node, _DEFINITIONS):
        return frozenset()
    added = (part.target for part in ast.walk(node) if isinstance(part, ast.AugAssign))
    return frozenset(target.id for target in added if isinstance(target, ast.Name))


def _changes(node, are_arguments_safe):
    """The names of which a statement sets an item or attribute, and those that it gives away.

    are_arguments_safe: whether functions leave their arguments alone; the course's own calls do
    """
    sets, given = set(), set()
    if isinstance(node, _DEFINITIONS):
        return sets, given
    for part in ast.walk(node):
        if isinstance(part, (ast.Subscript, ast.Attribute)) and not isinstance(part.ctx, ast.Load):
            sets.add(_base(part))
        elif isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
            given |= _given_to(part.value, are_arguments_safe)
    return sets - {None}, given - {None}


def _given_to(call, are_arguments_safe):
    """The names that a call for its own sake may change: what a method belongs to, arguments."""
    if isinstance(call.func, ast.Name) and call.func.id in _SHOWING:
        return set()
    given = [call.func] if isinstance(call.func, ast.Attribute) else []
    if not are_arguments_safe:
        given += [argument for argument in call.args if isinstance(argument, ast.Name)]
    return {_base(part) for part in given}


def _base(node):
    """The name that `name.a[0].b` begins with, or None."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


# ---------------------------------------------------------------------------- slices


def needed(
    targets: list[Statement], statements: list[Statement], prefer_course: bool = False
) -> list[Statement]:
    """The statements that `targets` need, in the order in which they must run, these included.

    statements:    all of the notebook's, `targets` among them, in its order
    prefer_course: where the course and the learner give a name its value, the course's counts
    """
    return _Slice(statements, prefer_course).up_to(targets)


class _Slice:
    """Statements in the order of the notebook, and who makes and changes each name."""

    def __init__(self, statements, prefer_course):
        self.statements = statements
        self.place = {statement: n for n, statement in enumerate(statements)}
        self.makers, self.course_makers, self.changers = {}, {}, {}
        self.stars = [statement for statement in statements if statement.is_star]
        for place, statement in enumerate(statements):
            for name in statement.binds:
                self.makers.setdefault(name, []).append(place)
                if prefer_course and statement.is_course:
                    self.course_makers.setdefault(name, []).append(place)
            for name in statement.changes:
                self.changers.setdefault(name, []).append(place)

    def up_to(self, targets):
        """Without recursion: names can need each other in chains of any length."""
        done, entered = [], set()
        waiting = [(target, False) for target in reversed(targets)]
        while waiting:
            statement, is_ready = waiting.pop()
            if is_ready:
                done.append(statement)
            elif statement not in entered:
                entered.add(statement)
                waiting.append((statement, True))
                behind = {s for name in statement.needs for s in self._behind(name, statement)}
                last_first = sorted(behind - entered, key=self.place.__getitem__, reverse=True)
                waiting += [(other, False) for other in last_first]
        return done

    def _behind(self, name, user):
        """Who has to run so that `user` finds the name with its value.

        That is who changed the value last, which in turn needs the changes before it and who made
        it; or who made it, if nobody changed it.
        """
        place = self.place[user]
        maker = self._maker(name, place)
        if maker is None:
            return [] if hasattr(builtins, name) else self.stars
        changer = _last_before(place, self.changers.get(name, []))
        if self.statements[maker].is_import or changer is None or changer < maker:
            return [self.statements[maker]]  # modules are changed for show, as by plt.show()
        return [self.statements[changer]]

    def _maker(self, name, user):
        """The last before `user` that gives the name its value, or else the first after it."""
        makers = self.course_makers.get(name) or self.makers.get(name, [])
        before = _last_before(user, makers)
        if before is not None:
            return before
        return next((maker for maker in makers if maker > user), None)


def _last_before(place, places):
    """The last of ascending places that comes before this one, or None."""
    number = bisect_left(places, place)
    return places[number - 1] if number else None


def as_source(source: str, statements: Iterable[Statement]) -> str:
    """A cell with the lines of these statements alone; the others are empty, so numbers stay."""
    kept = set()
    for statement in statements:
        kept |= set(range(statement.first, statement.last + 1))
    lines = source.split("\n")
    return "\n".join(line if n in kept else "" for n, line in enumerate(lines, 1)).rstrip()
