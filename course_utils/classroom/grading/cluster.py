"""The same grading on a Dask cluster: a worker that dies costs nothing but time.

Tasks and results travel as text, so that a worker with another version of the course says so
instead of failing to read them.
"""

from collections.abc import Iterator

from course_utils.classroom import UsageError
from course_utils.classroom.grading.records import Limits, Result, Task
from course_utils.classroom.grading.text import printable
from course_utils.classroom.grading.version import course_version
from course_utils.classroom.grading.workers import failed, grade_one

CONNECTING = 20
"""Seconds that a scheduler has to answer."""

STAFFING = 20
"""Seconds that it has to have a worker."""

ALONE = 60
"""Seconds without any worker after which the rest is given up."""

RETRIES = 3
"""Times that a task is sent to another worker after an error."""


def graded_on_cluster(
    tasks: Iterator[Task], address: str, sandboxed: bool, limits: Limits
) -> Iterator[tuple[Task, Result]]:
    """Each task and its result, in any order; raises UsageError if a worker is unfit to grade."""
    try:
        import distributed
    except ImportError:
        raise UsageError("Dask is not installed: pip install -e .[grade]") from None
    try:
        client = distributed.Client(address, timeout=CONNECTING)
    except (OSError, ValueError) as error:
        raise UsageError(f"No Dask scheduler answers at {address} ({error}).") from None
    with client:
        _check_workers(client, address, sandboxed, limits)
        yield from _Cluster(client).graded(tasks)


def _check_workers(client, address, sandboxed, limits):
    try:
        client.wait_for_workers(1, timeout=STAFFING)
    except TimeoutError:
        raise UsageError(f"The Dask scheduler at {address} has no workers.") from None
    told = client.run(unfit, course_version(), sandboxed, vars(limits), on_error="return")
    for worker, reason in told.items():
        if isinstance(reason, Exception):
            reason = f"it has no such version of the course ({_words(reason)})"
        if reason:
            raise UsageError(f"The Dask worker {worker} can't grade: {reason.rstrip('.')}.")


def unfit(version: str, sandboxed: bool, limits: dict) -> str:
    """On a worker: why it can't grade, or ""."""
    from course_utils.classroom.grading.grade import rehearse

    if version != course_version():
        return "it has another version of the course; install the same on all machines"
    try:
        rehearse(sandboxed, Limits(**limits))
    except UsageError as error:
        return str(error)
    return ""


def grade_text(task: str) -> str:
    """On a worker: grades a task as JSON -> the result as JSON."""
    return grade_one(Task.from_json(task)).to_json()


class _Cluster:
    """A few tasks at a time on the cluster's workers."""

    def __init__(self, client):
        self.client, self.running = client, {}

    def graded(self, tasks):
        for task in tasks:
            future = self.client.submit(grade_text, task.to_json(), retries=RETRIES, pure=False)
            self.running[future] = task
            if len(self.running) > 2 * self._threads():
                yield from self._done()
        while self.running:
            yield from self._done()

    def _threads(self):
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return sum(worker["nthreads"] for worker in workers)

    def _done(self):
        """Takes those out of `running` that are done; all, if nobody is left to do them."""
        done = self._waited_for()
        for future in done or list(self.running):
            task = self.running.pop(future)
            yield task, self._result(task, future) if done else _given_up(task)

    def _waited_for(self):
        """The futures that are done, one at least; none, if the cluster has no workers left."""
        from distributed import wait

        while True:
            try:
                return wait(list(self.running), ALONE, return_when="FIRST_COMPLETED").done  # pyright: ignore[reportAttributeAccessIssue] (no coroutine: the client is not asynchronous)
            except TimeoutError:
                if not self._threads():
                    return set()

    def _result(self, task, future):
        """The result of a task that is done.

        It may be lost with the worker that holds it, even while others of the same time are read;
        then another worker computes it anew.
        """
        while future.status != "error":  # a task's own TimeoutError must not look like waiting
            try:
                return Result.from_json(future.result(timeout=ALONE))
            except TimeoutError:
                if not self._threads():
                    return _given_up(task)
            except Exception as error:
                return failed(task, f"its Dask worker broke ({_words(error)})")
        return failed(task, f"its Dask worker broke ({_words(future.exception())})")


def _given_up(task):
    return failed(task, "the cluster has no workers left")


def _words(error):
    return printable(f"{type(error).__name__}: {error}")
