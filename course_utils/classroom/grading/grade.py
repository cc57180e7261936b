"""Grades a class: every submission once, several at a time, here or on a Dask cluster.

What is graded is kept, one small file for each submission, so that a run which was interrupted goes
on where it stopped, and a submission that has changed is graded again. Only what another run would
grade the same is kept: errors of the grader, and answers that were stopped, are tried again.
"""

import contextlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tqdm import tqdm

from course_utils.classroom import UsageError, find_notebooks
from course_utils.classroom.files import write_whole
from course_utils.classroom.grading import sandbox, workers
from course_utils.classroom.grading.handed_in import (
    BadSubmission,
    Submission,
    find_submissions,
    read_bytes,
)
from course_utils.classroom.grading.records import (
    GRADED,
    GRADER_ERROR,
    Limits,
    Result,
    Task,
)
from course_utils.classroom.grading.reports import as_number, write_reports
from course_utils.classroom.grading.submissions import read_masters
from course_utils.classroom.grading.text import printable
from course_utils.classroom.grading.version import course_version
from course_utils.classroom.grading.workers import grade_one

EVERYBODY = ""
"""In `again`: everything is graded again."""

SHORTEST_SECRET = 32
"""Characters."""


def grade(
    places: list[Path],
    out: Path,
    jobs: int = 2,
    sandboxed: bool = True,
    scheduler: str = "",
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
    again: str | None = None,
    report: Callable[[list[Result], Path], None] = write_reports,
    partial: bool = False,
) -> list[Result]:
    """Grades submissions and writes the reports into the folder `out` -> the results.

    places:    notebooks, or folders with one folder for each learner
    jobs:      how many at once on this machine
    sandboxed: False runs learners' code with all your rights
    scheduler: the address of a Dask scheduler, which then does the work
    again:     a learner whose submissions are graded though they were; EVERYBODY: all of them
    report:    writes the reports, and may change the list of results that is returned
    partial:   whether an answer that is right on most probes gets some of the points

    Raises UsageError where nothing can be graded: no submissions, no sandbox, no room.
    """
    with _told_in_a_sentence(out):
        run = Run(out, sandboxed, limits, tuple(_folders([*places, out])), partial)
        submissions = find_submissions(places, out)
        _check_learner(again, submissions)
        results, waiting = [], []
        for submission in submissions:
            kept = None if again in (EVERYBODY, submission.learner) else run.kept(submission)
            (results if kept else waiting).append(kept or submission)
        bar = tqdm(total=len(submissions), initial=len(results), desc="grading", disable=None)
        with bar, contextlib.closing(_graded(run, waiting, jobs, scheduler)) as graded:
            for task, result in graded:
                run.keep(task, result)
                results.append(result)
                bar.update()
        report(results, out)
    return results


@contextlib.contextmanager
def _told_in_a_sentence(out):
    """A folder that can't be written to, or a full disk, is no traceback."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"Results can't be written to {printable(out)} ({reason}). What is graded so far is"
            " kept there; run the same command again when this is cured."
        ) from None


def _folders(places):
    """Where submissions and results lie, for the sandbox to hide."""
    return [str((place if place.is_dir() else place.parent).absolute()) for place in places]


def _check_learner(again, submissions):
    learners = {submission.learner for submission in submissions}
    if again not in (None, EVERYBODY) and again not in learners:
        raise UsageError(f"There is nothing of a learner {printable(again)!r} to grade again.")


# ---------------------------------------------------------------------------- what is kept


@dataclass
class Run:
    """One call of `grade`: how it grades, and what it keeps."""

    out: Path
    sandboxed: bool
    limits: Limits
    hidden: tuple[str, ...] = ()
    partial: bool = False

    def __post_init__(self):
        self.out.mkdir(parents=True, exist_ok=True)
        self.secret = _secret(self.out / "secret_seed")

    def task(self, submission: Submission) -> Task:
        """All that grading a submission needs; the file is read only now."""
        content, stamp, problem = b"", 0.0, submission.problem
        if not problem:
            try:
                content, stamp = read_bytes(submission.path)
            except BadSubmission as error:
                problem = str(error)
        task = Task(
            submission.learner,
            submission.path.name,
            content,
            problem,
            submitted=stamp,
            sandboxed=self.sandboxed,
            limits=self.limits,
            partial=self.partial,
            hidden=self.hidden,
            version=course_version(),
        )
        return replace(task, seed=self._seed(task))

    def _seed(self, task):
        """This submission's own: whoever hands in something else is asked something else."""
        mark = self._digest(os.fsencode(task.learner), task.content)
        return int.from_bytes(mark[:4]) >> 1

    def _digest(self, *parts):
        mark = hmac.new(self.secret, digestmod="sha256")
        for part in parts:
            mark.update(len(part).to_bytes(8) + part)
        return mark.digest()

    def _place(self, task):
        """Where the result of a task is kept: another submission, another place."""
        how = (task.sandboxed, task.limits, task.partial, task.version)
        told = (task.learner, task.file, task.problem, *how)
        mark = self._digest(repr(told).encode(errors="surrogatepass"), task.content)
        return self.out / "results" / f"{mark.hex()[:32]}.json"

    def kept(self, submission: Submission) -> Result | None:
        """The result that an earlier run has kept of the same submission."""
        task = self.task(submission)
        try:
            result = Result.from_json(self._place(task).read_text(encoding="utf-8"))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return replace(result, submitted=task.submitted)

    def keep(self, task: Task, result: Result) -> None:
        """Keeps a result that another run would find again."""
        if result.is_certain:
            write_whole(self._place(task), result.to_json())


def _secret(place: Path) -> bytes:
    """The secret of a folder of results: kept, so that a run that goes on later asks the same.

    It never leaves this process; probes are drawn from what is derived from it.
    """
    while True:
        with contextlib.suppress(FileNotFoundError):
            text = place.read_bytes().strip()
            if len(text) >= SHORTEST_SECRET:
                return text
        _make_secret(place)


def _make_secret(place):
    """Writes the file whole, and not over that of another run; half a file is replaced."""
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(SHORTEST_SECRET))
        if place.exists():
            os.replace(temporary, place)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, place)
    finally:
        Path(temporary).unlink(missing_ok=True)


# ---------------------------------------------------------------------------- who grades


def _graded(run, submissions, jobs, scheduler) -> Generator[tuple[Task, Result], None, None]:
    """Each submission's task and result, in any order; few tasks are in memory at a time."""
    if not submissions:
        return
    tasks = (run.task(submission) for submission in submissions)
    if scheduler:
        from course_utils.classroom.grading.cluster import graded_on_cluster

        yield from graded_on_cluster(tasks, scheduler, run.sandboxed, run.limits)
    else:
        rehearse(run.sandboxed, run.limits)
        yield from _graded_here(tasks, jobs)


def _graded_here(tasks, jobs):
    with ThreadPoolExecutor(max(1, jobs)) as pool:
        running = {}
        try:
            for task in tasks:
                running[pool.submit(grade_one, task)] = task
                if len(running) > jobs:
                    yield from _done(running)
            while running:
                yield from _done(running)
        finally:
            pool.shutdown(cancel_futures=True)


def _done(running):
    """Takes those out of `running` that are done, one at least."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future.result()


def rehearse(sandboxed: bool, limits: Limits) -> None:
    """Grades an exercise of the course's own notebook, as it grades learners'.

    Raises UsageError if this machine can't give it all points: then it can't judge anybody.
    """
    _rehearse(sandbox.find_bubblewrap() if sandboxed else None, limits)


@lru_cache
def _rehearse(bubblewrap, limits):
    path = find_notebooks()[0]
    task = Task(
        "the course itself",
        path.name,
        path.read_bytes(),
        sandboxed=bubblewrap is not None,
        limits=limits,
        exercises=(next(iter(read_masters()[path.stem].points)),),
        version=course_version(),
    )
    result = workers.grade_one(task)
    if result.status != GRADED or result.points < result.out_of:
        said = result.problem or result.exercises[0].message
        raise UsageError(
            f"This machine can't grade: an answer of the course itself does not pass ({said})."
        )


# ---------------------------------------------------------------------------- the summary


def summarize(results: list[Result], out: Path) -> str:
    """A few lines for the terminal."""
    counted = [result for result in results if result.counted]
    total = as_number(sum(result.points for result in counted))
    most = sum(result.out_of for result in counted)
    lines = [f"{len(results)} submissions, {total} of {most} points; see {out / 'scores.csv'}"]
    for result in results:
        if result.status != GRADED:
            name = f"{printable(result.learner)}, {printable(result.file)}"
            lines.append(f"{result.status}: {name}: {printable(result.problem)}")
    if any(result.status == GRADER_ERROR for result in results):
        lines.append("Errors of the grader are nobody's points: run the same command again.")
    uncertain = sum(not result.is_certain for result in results if result.status == GRADED)
    if uncertain:
        told = "submissions have answers" if uncertain > 1 else "submission has answers"
        lines.append(f"{uncertain} {told} that were stopped; the same command tries them again.")
    return "\n".join(lines)
