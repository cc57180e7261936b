"""Inside the sandbox: runs the code that an answer needs, and calls the answer on the probes.

    python -m course_utils.classroom.grading.harness < job > results

The job (see `sandbox`) is a pickle from the grader. For each exercise a message goes out when it
begins, and one with its results as soon as they are known, so that what one answer breaks costs
the others nothing. Each exercise runs in a process of its own, forked when the slow imports are
done; it can reach neither the channel of the results nor this process.

No reference answer is in reach here: the probes come with the job, and the results are judged by
whoever started this.
"""

import __future__

import ast
import builtins
import importlib
import json
import linecache
import math
import os
import pickle
import sys

from course_utils.classroom.grading import forked
from course_utils.classroom.grading.frames import frame
from course_utils.classroom.magics import garbage_kept

MOST = 64_000_000
"""Bytes that an exercise may return."""


def main():
    """Reads the job, answers for one exercise after the other."""
    results = os.dup(1)
    job = pickle.load(sys.stdin.buffer)
    _prepare(job["imports"])
    _silence()
    forked.adopt_orphans()
    forked.keep_private()
    bounds = forked.Bounds(**job["bounds"], bytes=MOST)
    before, most = _written(), job["folder"] or math.inf
    _say(results, {"ready": True})
    for key, exercise in job["exercises"].items():
        _say(results, {"begins": key})
        ending = forked.run(
            lambda exercise=exercise: _outcomes(exercise),
            bounds,
            private=[results],
            is_too_much=lambda: _written()[0] > most,
        )
        _say(results, {"ended": key, "how": ending.how, "cpu": ending.cpu}, ending.content)
        if not forked.is_alone() or (job["folder"] and _written() != before):
            break  # what it left behind ends with this run; the others get another one


def _say(results, header, content=b""):
    forked.write(results, frame(json.dumps(header).encode(), content))


def _silence():
    """What answers print goes nowhere, and there is nothing to read."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)


def _written():
    """(bytes, number of files) in the folders that can be written to."""
    places = [os.statvfs(place) for place in ("/tmp", "/dev/shm")]
    size = sum((place.f_blocks - place.f_bfree) * place.f_frsize for place in places)
    return size, sum(place.f_files - place.f_ffree for place in places)


def _prepare(imports):
    """The slow imports, once for all exercises."""
    import torch

    import course_utils.classroom.grading.transfer
    import course_utils.exercises.engine.calls  # noqa: F401

    torch.set_num_threads(1)
    if "matplotlib" in imports:
        import matplotlib

        matplotlib.use("agg")
    for name in imports:
        try:
            importlib.import_module(name)
        except Exception:  # then it is the learner's own import that says so
            continue


# ---------------------------------------------------------------------------- in the child


def _outcomes(exercise):
    """The encoded outcomes of an answer's calls."""
    from course_utils.classroom.grading.transfer import encode
    from course_utils.exercises.engine.calls import Outcome, call_on_probes
    from course_utils.exercises.engine.causes import explain

    _forget_the_engine()
    watch = _Watch()
    probes = exercise["probes"]
    run = _Run()
    for number, source in enumerate(exercise["cells"]):
        run.cell(f"<cell {number}>", source)
    function = run.space.get(exercise["name"])
    if function is None:
        error = run.failed or NameError(f"there is no function {exercise['name']} in its cell")
        return encode([Outcome(raised=explain(error, None, 0))])
    outcomes = call_on_probes(function, lambda random: pickle.loads(probes), exercise["seed"])
    replaced = watch.replaced()
    last = outcomes[-1] if outcomes else Outcome()
    if replaced:
        last.changed = (
            f"it replaced {replaced}, which others use as well: leave modules as they are"
        )
    if run.failed and last.raised and last.raised.type == "NameError":
        last.raised = explain(run.failed, None, 0)  # why there is no such name
    return encode(outcomes)


def _forget_the_engine():
    """Code that imports the engine gets another copy of it than the one that is at work."""
    for name in list(sys.modules):
        if name.startswith(("course_utils.exercises", "course_utils.classroom")):
            parent, _, own = name.rpartition(".")
            vars(sys.modules.get(parent, sys)).pop(own, None)
            del sys.modules[name]


class _Watch:
    """What the engine uses of other modules, and whether something else was put in its place."""

    def __init__(self):
        import copy

        import numpy
        import torch

        places = [builtins, copy, numpy, torch, torch.Tensor, torch.autograd, torch.nn]
        places += [torch.nn.Module, torch.nn.functional]
        self.before = [(place, dict(vars(place))) for place in places]

    def replaced(self):
        """The name of the first thing that is no longer what it was, or ""."""
        for place, before in self.before:
            for name, value in before.items():
                if vars(place).get(name, value) is not value:
                    return f"{place.__name__}.{name}"
        return ""


class _Run:
    """Runs cells, statement by statement: one that fails is passed over, and the first is kept."""

    def __init__(self):
        self.space = {"__name__": "__main__", "display": _nothing, "get_ipython": _NoIPython}
        self.failed = None
        self.flags = 0

    def cell(self, file, source):
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        try:
            with garbage_kept():
                statements = ast.parse(source, file).body
        except BaseException as error:
            self.failed = self.failed or error
            return
        for statement in statements:
            try:
                self._statement(statement, file)
            except BaseException as error:
                self.failed = self.failed or error

    def _statement(self, statement, file):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for name in statement.names:
                self.flags |= getattr(__future__, name.name).compiler_flag
        module = ast.Module([statement], [])
        exec(compile(module, file, "exec", self.flags, dont_inherit=True), self.space)


def _nothing(*arguments, **options):
    """In place of what only a notebook can do."""


class _NoIPython:
    """In place of IPython: what would ask something of it does nothing."""

    run_line_magic = run_cell_magic = system = getoutput = _nothing


if __name__ == "__main__":
    main()
    os._exit(0)  # all is said, and torch would take a second to be taken down
