"""Grades one submission after the other, each in a process of its own with limits.

    python -m course_utils.classroom.grading.worker < tasks > results

The host's side of grading reads what learners wrote: files, and results of their code. If that
makes it run out of time or memory, or crash, then only the process of this one submission ends,
and its result says "grader error". The slow imports are done once, before the processes fork.
"""

import ast
import gc
import os
import pickle
import time
import warnings
from functools import lru_cache
from pathlib import Path

import torch

from course_utils.classroom import UsageError
from course_utils.classroom.grading import forked, judging, sandbox
from course_utils.classroom.grading.frames import Frames, frame
from course_utils.classroom.grading.handed_in import BadSubmission
from course_utils.classroom.grading.judging import GraderError, judge
from course_utils.classroom.grading.records import GRADER_ERROR, NOTHING_TO_GRADE, Result, Task
from course_utils.classroom.grading.sandbox import SandboxFailed
from course_utils.classroom.grading.stage import staged_package
from course_utils.classroom.grading.submissions import Master, read_exercises, read_masters
from course_utils.classroom.grading.text import printable
from course_utils.classroom.grading.version import course_version
from course_utils.classroom.grading.workers import failed
from course_utils.classroom.magics import parse
from course_utils.exercises import all_checks
from course_utils.exercises.engine.calls import make_probes

CPU_SECONDS = 240
"""For reading a submission and judging its results, beside the time of one exercise."""

MEMORY = 6_000_000_000
"""Bytes of data more than a worker has, for the same."""

LARGEST_RESULT = 50_000_000
"""Bytes of a result; with all its pictures it has a few hundred thousand."""

MOST_RUNS = 30
"""Of exercises, each to its limit, for the clock: a few dozen for a whole notebook."""

WELL_KNOWN = (
    "IPython", "PIL", "captum", "course_utils", "ipywidgets", "matplotlib", "numpy", "scipy",
    "skimage", "torch", "torchvision", "tqdm",
)  # fmt: skip
"""Packages of the course's notebooks."""


def main():
    """Answers each task with a result, until there are no more."""
    tasks, results = Frames(os.dup(0)), os.dup(1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    prepare()
    with staged_package() as stage:
        while message := tasks.read():
            task = Task.from_json(message[1].decode())
            result = graded_apart(task, stage)
            forked.write(results, frame(b"", result.to_json().encode()))


def prepare() -> None:
    """What every submission needs, once for all of them."""
    torch.set_num_threads(1)
    all_checks()
    for master in masters().values():
        _ = master.statements, master.place_of, master.answers
    sandbox.remove_stale_groups()
    gc.freeze()  # what is there is never garbage, and a submission with many parts asks often


@lru_cache
def masters() -> dict[str, Master]:
    return read_masters()


def graded_apart(task: Task, stage: Path) -> Result:
    """The result of `graded`, which runs in a process of its own."""
    seconds = task.limits.seconds
    clock = MOST_RUNS * (task.limits.waiting + sandbox.START) + CPU_SECONDS
    bounds = forked.Bounds(CPU_SECONDS + seconds, clock, LARGEST_RESULT, MEMORY)
    started = time.monotonic()
    ending = forked.run(lambda: graded(task, stage).to_json().encode(), bounds)
    if ending.how == forked.ANSWERED:
        result = Result.from_json(ending.content.decode())
    else:
        result = failed(task, f"reading it and judging its results ended early: {ending.how}")
    result.seconds = round(time.monotonic() - started, 1)
    return result


def graded(task: Task, stage: Path) -> Result:
    """Grades a submission in this process; an error of the grader's becomes a result."""
    result = Result(task.learner, task.file, submitted=task.submitted)
    try:
        if task.version != course_version():
            raise GraderError("this machine has another version of the course; install the same")
        _grade(task, stage, result)
    except BadSubmission as error:
        result.status, result.problem = NOTHING_TO_GRADE, str(error)
    except Exception as error:
        result.status = GRADER_ERROR
        result.problem = _clause(error)
    return result


def _clause(error):
    if isinstance(error, (GraderError, SandboxFailed, UsageError)):
        return str(error)
    return printable(f"{type(error).__name__}: {error}")


def _grade(task, stage, result):
    """Fills in the result; one exercise after the other, so that an error leaves the others."""
    if task.problem:
        raise BadSubmission(task.problem)
    master, exercises = read_exercises(task.content, masters())
    exercises = [e for e in exercises if e.name in (task.exercises or master.points)]
    result.notebook = master.path.stem
    result.notes = [note for exercise in exercises for note in exercise.notes]
    checks = all_checks()[master.module]
    endings = _run(task, stage / master.module, checks, exercises)
    errors = []
    for exercise in exercises:
        check = checks[exercise.name]
        try:
            verdict = judge(check, exercise, endings[exercise.name], task)
        except GraderError as error:
            errors.append(error)
            verdict = judging.failed(check, exercise)
        result.exercises.append(verdict)
    if errors:
        raise errors[0]


def _run(task, stage, checks, exercises):
    """{exercise: how each of its variants ended}; without a sandbox if nothing has to run."""
    asked = {}
    for exercise in exercises:
        probes = pickle.dumps(make_probes(checks[exercise.name].probes, task.seed))
        for number, cells in enumerate(exercise.variants):
            asked[f"{exercise.name} {number}"] = {
                "name": exercise.name, "cells": cells, "probes": probes, "seed": task.seed
            }  # fmt: skip
    ended = {}
    if asked:
        cells = [cell for entry in asked.values() for cell in entry["cells"]]
        job = sandbox.Job(asked, stage, task.limits, _modules_of(cells), list(task.hidden))
        ended = sandbox.run(job, sandbox.find_bubblewrap() if task.sandboxed else None)
    return {
        exercise.name: [
            ended[f"{exercise.name} {number}"] for number in range(len(exercise.variants))
        ]
        for exercise in exercises
    }


def _modules_of(cells):
    """Well-known modules that code imports, to be imported once for all exercises."""
    found = set()
    for cell in cells:
        for node in getattr(parse(cell), "body", []):
            if isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
            elif isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
    return sorted(name for name in found if name.split(".")[0] in WELL_KNOWN)


if __name__ == "__main__":
    main()
    os._exit(0)  # whoever asked waits for its end, and torch would take a second to be taken down
