"""Grades a class: every submission once, several at a time, here or on a Dask cluster.

What is graded is kept, one small file for each submission, so that a run which was interrupted goes
on where it stopped, and a submission that has changed is graded again.
"""

import hashlib
import json
import os
import pickle
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from course_utils.classroom import UsageError
from course_utils.classroom.files import write_whole
from course_utils.classroom.grading import sandbox
from course_utils.classroom.grading.records import (
    NOTHING_TO_GRADE,
    Limits,
    Result,
    Task,
    Verdict,
)
from course_utils.classroom.grading.reports import write_reports
from course_utils.classroom.grading.submissions import (
    BadSubmission,
    find_submissions,
    read_bytes,
    read_exercises,
    read_masters,
)
from course_utils.classroom.grading.transfer import Unreadable, decode
from course_utils.exercises import all_checks
from course_utils.exercises.engine.calls import make_probes
from course_utils.exercises.engine.feedback import Feedback


def grade(
    places: list[Path],
    out: Path,
    jobs: int = 2,
    sandboxed: bool = True,
    scheduler: str = "",
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
) -> list[Result]:
    """Grades submissions and writes the reports into the folder `out` -> the results.

    places:    notebooks, or folders with one folder for each learner
    jobs:      how many at once on this machine
    sandboxed: False runs learners' code with all your rights
    scheduler: the address of a Dask scheduler, which then does the work
    """
    found = find_submissions(places)
    if sandboxed and not scheduler:
        sandbox.find_bubblewrap()  # says at once what is missing
    seed = _seed(out)
    results, waiting = [], []
    for path, learner in found.items():
        task = _task(path, learner, seed, sandboxed, limits)
        kept = _kept(out, task)
        (results if kept else waiting).append(kept or task)
    grader = _on_a_cluster(waiting, scheduler) if scheduler else _on_this_machine(waiting, jobs)
    bar = tqdm(total=len(found), initial=len(results), desc="grading", disable=None)
    with bar:
        for task, result in grader:
            write_whole(_place(out, task), result.to_json(), errors="replace")
            results.append(result)
            bar.update()
    write_reports(results, out)
    return results


def _seed(out):
    """This run's secret: kept, so that a run that goes on later asks the same."""
    place = out / "secret_seed"
    if not place.exists():
        out.mkdir(parents=True, exist_ok=True)
        with open(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(str(secrets.randbits(31)))
    return int(place.read_text())


def _task(path, learner, seed, sandboxed, limits):
    """All that grading one submission needs, also on another machine."""
    try:
        content, problem = read_bytes(path), ""
    except BadSubmission as error:
        content, problem = b"", str(error)
    return Task(learner, path.name, content, problem, seed=seed, sandboxed=sandboxed, limits=limits)


def _place(out, task):
    """Where a submission's result is kept: another submission, another place."""
    mark = hashlib.sha256(task.content)
    for part in (task.learner, task.file, task.problem, str(task.seed), _version()):
        mark.update(b"\0" + part.encode(errors="replace"))
    return out / "results" / f"{mark.hexdigest()[:32]}.json"


@lru_cache
def _version():
    """Changes with the exercises and the notebooks: old results then count no longer."""
    total = hashlib.sha256()
    folder = sandbox.PACKAGE
    files = [*folder.glob("exercises/**/*.py"), *folder.glob("classroom/grading/*.py")]
    for path in sorted([*files, *(master.path for master in _masters().values())]):
        total.update(path.read_bytes())
    return total.hexdigest()


def _kept(out, task):
    try:
        return Result.from_json(_place(out, task).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _on_this_machine(tasks, jobs) -> Iterator[tuple[Task, Result]]:
    with ThreadPoolExecutor(max(1, jobs)) as pool, _stage():
        futures = {pool.submit(grade_one, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_a_cluster(tasks, address) -> Iterator[tuple[Task, Result]]:
    """The same tasks as Dask's: a worker that dies costs nothing but time."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise UsageError("Dask is not installed: pip install -e .[grade]") from None
    try:
        client = Client(address, timeout=20)
    except (OSError, ValueError) as error:
        raise UsageError(f"No Dask scheduler answers at {address} ({error}).") from None
    with client:
        futures = client.map(grade_one, tasks, retries=3, pure=False)
        by_key = dict(zip((future.key for future in futures), tasks))
        for future in as_completed(futures):
            yield by_key[future.key], future.result()


# ---------------------------------------------------------------------------- one submission


def grade_one(task: Task) -> Result:
    """Grades one submission; never raises for what it contains."""
    started = time.monotonic()
    result = Result(task.learner, task.file, submitted=task.submitted)
    try:
        if task.problem:
            raise BadSubmission(task.problem)
        master, exercises = read_exercises(task.content, _masters())
        result.notebook = master.path.stem
        result.exercises = _verdicts(task, master, exercises)
    except BadSubmission as error:
        result.status, result.problem = NOTHING_TO_GRADE, str(error)
    result.seconds = round(time.monotonic() - started, 1)
    return result


@lru_cache
def _masters():
    return read_masters()


def _verdicts(task, master, exercises):
    """The feedback on each exercise, as data."""
    checks = all_checks()[master.module]
    limits = task.limits
    running = [exercise for exercise in exercises if not exercise.problem]
    job = {"threads": 1, "seconds": limits.seconds, "exercises": {}}
    for exercise in running:
        with _judging:
            probes = pickle.dumps(make_probes(checks[exercise.name].probes, task.seed))
        job["exercises"][exercise.name] = {
            "name": exercise.name, "cells": exercise.cells, "probes": probes, "seed": task.seed
        }  # fmt: skip
    bubblewrap = sandbox.find_bubblewrap() if task.sandboxed else None
    with _stage() as stage:
        sent = sandbox.run(pickle.dumps(job), len(running), stage, limits, bubblewrap)
    lines = _lines(sent)
    with _judging:
        return [
            _as_record(_verdict(checks[e.name], e, lines.get(e.name), task.seed)) for e in exercises
        ]


def _lines(sent):
    """{exercise: what the harness said of it}; what is no line of the harness is passed over."""
    lines = {}
    for line in sent.split(b"\n"):
        try:
            content = json.loads(line)
            lines.setdefault(content["exercise"], content)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return lines


def _verdict(check, exercise, line, seed):
    """The feedback on one exercise; `line` is None if nothing came back."""
    if exercise.problem:
        return Feedback(check.name, "not attempted", _sentence(exercise.problem), check.points)
    problem = "the run ended before its turn" if line is None else line.get("problem", "")
    try:
        if problem:
            return Feedback(check.name, "raised", _sentence(str(problem)[:300]), check.points)
        return check.judge(decode(line["outcomes"]), seed)
    except (Unreadable, KeyError, TypeError) as error:
        message = _sentence(str(error)[:300] or "its results can't be read")
        return Feedback(check.name, "wrong type", message, check.points)


def _sentence(clause):
    return f"{clause[:1].upper()}{clause[1:]}{'' if clause.endswith('?') else '.'}"


def _as_record(feedback):
    return Verdict(
        feedback.exercise,
        feedback.kind,
        feedback.points,
        feedback.out_of,
        feedback.message,
        feedback.as_html(),
    )


class _Stage:
    """The staged package: made once, however many threads use it, and removed by the last one."""

    def __init__(self):
        self.lock, self.users, self.stack, self.path = threading.Lock(), 0, None, None

    def __enter__(self):
        with self.lock:
            if self.users == 0:
                self.stack = ExitStack()
                self.path = self.stack.enter_context(sandbox.staged_package())
            self.users += 1
            return self.path

    def __exit__(self, *_error):
        with self.lock:
            self.users -= 1
            if self.users == 0:
                self.stack.close()


_the_stage = _Stage()
_judging = threading.Lock()
"""Probes and references use the process's own random numbers: one thread at a time."""


def _stage():
    return _the_stage


# ---------------------------------------------------------------------------- the summary


def summarize(results: list[Result], out: Path) -> str:
    """A few lines for the terminal."""
    broken = [result for result in results if result.problem]
    total = sum(result.points for result in results)
    most = sum(result.out_of for result in results)
    lines = [f"{len(results)} submissions, {total} of {most} points; see {out / 'scores.csv'}"]
    for result in broken:
        lines.append(f"not graded: {result.learner}, {result.file}: {result.problem}")
    return "\n".join(lines)
