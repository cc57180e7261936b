"""Wrong answers made by machine: the references of the exercises, each with one thing changed.

    python tests/mutation.py                         # all exercises: a table, then the survivors
    python tests/mutation.py occlusion               # one notebook's
    python tests/mutation.py occlusion.reach         # one exercise's

A *survivor* is a changed reference that a check still passes. Either the probes lack the case that
tells it from the reference: add it. Or it does the same as the reference for every input that the
task allows: list it in `equivalent_mutants/<module>.toml`, under its exercise, with the reason.
The command prints that line ready to be pasted.

What is changed is the reference and every function of the same module that it calls. A mutant is
known by its exercise and by the lines that it changes, as `ast.unparse` writes them, so comments
and line breaks don't matter.
"""

import argparse
import ast
import difflib
import hashlib
import inspect
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import mutation_operators as operators
import torch

from course_utils.exercises import Check, all_checks
from course_utils.exercises.engine.calls import call_on_probes, copied, make_probes
from course_utils.exercises.engine.checks import SEED

TURNS = 20_000
"""Turns of loops that one call of a mutant may take; a reference takes far fewer."""


class Endless(Exception):
    """A mutant's loops took more turns than any answer needs."""


@dataclass
class Mutant:
    """A reference with one thing changed."""

    id: str
    kind: str
    """The operator that made it."""
    place: str
    """The function that was changed."""
    removed: list[str]
    added: list[str]
    tree: ast.FunctionDef = field(repr=False)

    def __str__(self):
        before = " / ".join(line.strip() for line in self.removed)
        after = " / ".join(line.strip() for line in self.added)
        if len(self.removed) == len(self.added) == 1:
            before, after = _marked(before, after)
        return f"{self.place}: {before or '(nothing)'}  ->  {after or '(left out)'}"


class Subject:
    """One exercise: its reference, the functions it calls, and what the probes expect."""

    def __init__(self, module: str, check: Check):
        self.module = module
        self.check = check
        self.globals = inspect.getmodule(check.reference).__dict__
        self.functions = self._functions()

    @property
    def name(self) -> str:
        return f"{self.module}.{self.check.name}"

    def _functions(self):
        """{name: tree} of the reference and of all functions of its module that it calls."""
        defined = _functions_of(inspect.getmodule(self.check.reference))
        found, waiting = {}, [self.check.name]
        while waiting:
            name = waiting.pop()
            if name not in found and name in defined:
                found[name] = _body_alone(defined[name])
                waiting += [n.id for n in ast.walk(found[name]) if isinstance(n, ast.Name)]
        return found

    def mutants(self) -> list[Mutant]:
        """All mutants, each once, in the order of the source."""
        found, seen = [], {}
        for name, tree in self.functions.items():
            before = ast.unparse(tree).splitlines()
            texts = {"\n".join(before)}
            for kind, changed in self._changed(name, tree):
                text = ast.unparse(ast.fix_missing_locations(changed))
                if text in texts:
                    continue
                texts.add(text)
                mutant = _mutant(name, kind, changed, before, text.splitlines())
                seen[mutant.id] = seen.get(mutant.id, 0) + 1
                if seen[mutant.id] > 1:
                    mutant.id += f"-{seen[mutant.id]}"
                found.append(mutant)
        return found

    def _changed(self, name, tree):
        yield from operators.changed_trees(tree)
        if name == self.check.name:
            yield from operators.changed_parameters(tree, self.calls)
            if self.has_graph:
                yield from operators.cut_results(tree)

    @cached_property
    def calls(self) -> list[dict[str, object]]:
        """Each probe's arguments by their names."""
        signature = inspect.signature(self.check.reference)
        return [dict(signature.bind(*arguments).arguments) for arguments in self.probes(SEED)]

    @cached_property
    def has_graph(self) -> bool:
        """Whether what the reference returns can be differentiated."""
        outcomes = call_on_probes(self.check.reference, self.check.probes, SEED)
        return any(outcome.in_graph for outcome in outcomes)

    def probes(self, seed):
        return make_probes(self.check.probes, seed)

    def function(self, mutant: Mutant | None) -> Callable:
        """The reference with a mutant's change, ready to be called."""
        space = dict(self.globals)
        space |= operators.HELPERS | {"_first_call": _Copies(self.calls[0]), "_kept": {}}
        turns = _Turns()
        space["_turn"] = turns
        own = {}
        for name, tree in self.functions.items():
            tree = mutant.tree if mutant and mutant.place == name else tree
            own |= _defined(tree, space)
        for function in own.values():
            function.reference = function  # where another exercise's reference is called
        space |= own
        return turns.restarted(own[self.check.name])

    def kills(self, mutant: Mutant, seed: int) -> bool:
        """Whether the check refuses a mutant on the probes of this seed."""
        return not self.check.passes(self.function(mutant), seed)


class _Turns:
    """Counts the turns of all loops, and ends a call that takes too many."""

    def __init__(self):
        self.left = TURNS

    def __call__(self):
        self.left -= 1
        if self.left < 0:
            raise Endless(f"more than {TURNS} turns")
        return True

    def restarted(self, function):
        def call(*arguments):
            self.left = TURNS
            return function(*arguments)

        return call


class _Copies:
    """The first probe's arguments; each time another copy."""

    def __init__(self, values):
        self.values = values

    def __getitem__(self, name):
        return copied(self.values[name])


@cache
def _functions_of(module):
    """{name: tree} of all functions of a module, which several exercises share."""
    whole = ast.parse(inspect.getsource(module))
    return {node.name: node for node in whole.body if isinstance(node, ast.FunctionDef)}


def _body_alone(tree):
    """A copy of a function's tree without decorators and docstring."""
    tree = operators.copied_tree(tree)
    tree.decorator_list = []
    if ast.get_docstring(tree):
        tree.body = tree.body[1:]
    return tree


def _marked(before, after):
    """The first line shortened, the second reduced to the words around what changed."""
    old, new = before.split(), after.split()
    start = next((n for n, (a, b) in enumerate(zip(old, new)) if a != b), min(len(old), len(new)))
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    first, last = max(0, start - 2), max(0, end - 2)
    return (
        " ".join(old[first : len(old) - last]),
        " ".join(new[first : len(new) - last]),
    )


def _mutant(name, kind, tree, before, after):
    lines = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    removed = [line[2:] for line in lines if line[0] == "-"]
    added = [line[2:] for line in lines if line[0] == "+"]
    text = "\n".join([name, *(f"-{line}" for line in removed), *(f"+{line}" for line in added)])
    return Mutant(hashlib.sha256(text.encode()).hexdigest()[:8], kind, name, removed, added, tree)


def _defined(tree, space):
    """{name: function} of a tree whose loops count their turns, with `space` as its globals."""
    own = {}
    exec(_compiled(tree), space, own)
    return own


@cache
def _compiled(tree):
    """The code of a tree, made once: it is tried on the probes of several seeds."""
    module = ast.fix_missing_locations(ast.Module([operators.counted(tree)], []))
    return compile(module, "<mutant>", "exec")


# ---------------------------------------------------------------------------- many of them


def subjects(chosen: str = "") -> Iterator[Subject]:
    """All exercises whose answers are compared with a reference, or those of one module, or one."""
    for module, checks in all_checks().items():
        for check in checks.values():
            subject = Subject(module, check)
            if type(check) is Check and chosen in ("", module, subject.name):
                yield subject


def listed(module: str) -> dict[str, dict[str, str]]:
    """{exercise: {id: reason}} of the mutants that do the same as the reference."""
    file = Path(__file__).parent / "equivalent_mutants" / f"{module}.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("chosen", nargs="?", default="", help="module or module.exercise; or all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="of the probes")
    parser.add_argument("--all", action="store_true", help="show equivalent mutants as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = list(subjects(options.chosen))
    if not found:
        parser.error(f"there is no exercise {options.chosen!r}")
    total = [0, 0, 0]
    for subject in found:
        equivalent = listed(subject.module).get(subject.check.name, {})
        mutants = subject.mutants()
        alive = [m for m in mutants if not all(subject.kills(m, s) for s in options.seeds)]
        known = [mutant for mutant in alive if mutant.id in equivalent]
        counts = len(mutants), len(mutants) - len(alive), len(known)
        total = [a + b for a, b in zip(total, counts)]
        print(_row(subject.name, counts), flush=True)
        for mutant in alive:
            if options.all or mutant not in known:
                print(f'    {mutant.id} = "{equivalent.get(mutant.id, "")}"  # {mutant}')
        gone = set(equivalent) - {mutant.id for mutant in alive}
        for id in sorted(gone):
            print(f"    {id} is listed as equivalent, but is killed or doesn't exist")
    print(_row("all", total))


def _row(name, counts):
    mutants, killed, equivalent = counts
    return (
        f"{name}: {mutants} mutants, {killed} killed, {equivalent} equivalent, "
        f"{mutants - killed - equivalent} survivors"
    )


if __name__ == "__main__":
    sys.exit(main())
