"""Grading one submission: asks a worker process for it, whatever the submission holds.

Workers are started when they are needed, and kept for the next submission.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

from course_utils.classroom.grading.frames import Frames, frame
from course_utils.classroom.grading.records import GRADER_ERROR, Result, Task
from course_utils.classroom.grading.text import printable

PATIENCE = 5
"""Seconds that a worker gets to clean up in the end."""


def grade_one(task: Task) -> Result:
    """Grades one submission, whatever it holds; nothing but an interruption gets out of here."""
    words = ""
    for _ in range(2):  # a worker that waited may have been killed meanwhile
        try:
            with _borrowed() as worker:
                return worker.ask(task)
        except Exception as error:
            words = printable(f"{type(error).__name__}: {error}")
    return failed(task, f"the process that grades broke ({words})")


def failed(task: Task, clause: str) -> Result:
    """The result where the grader or its machine is at fault."""
    return Result(
        task.learner, task.file, status=GRADER_ERROR, problem=clause, submitted=task.submitted
    )


class _Worker:
    """A worker process, from the side of who asks it."""

    def __init__(self):
        command = [sys.executable, "-P", "-m", "course_utils.classroom.grading.worker"]
        path = os.pathsep.join(os.path.abspath(place) for place in sys.path if place)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        )
        assert self.process.stdin and self.process.stdout and self.process.stderr  # all are pipes
        self.tasks = self.process.stdin
        self.results = self.process.stdout
        self.frames = Frames(self.results.fileno())
        self.words = b"it said nothing"
        self.listener = threading.Thread(
            target=self._listen, args=[self.process.stderr], daemon=True
        )
        self.listener.start()

    def _listen(self, stderr):
        """Keeps the last line of what it says besides its results."""
        for line in stderr:
            self.words = line.strip() or self.words

    def ask(self, task):
        """The result for a task; raises OSError or ValueError if the worker itself breaks."""
        with contextlib.suppress(BrokenPipeError):  # then it has ended, and has said why
            self.tasks.write(frame(b"", task.to_json().encode()))
            self.tasks.flush()
        answer = self.frames.read()
        if answer is None:
            self.listener.join(PATIENCE)
            raise OSError(self.words.decode(errors="replace"))
        return Result.from_json(answer[1].decode())

    def end(self):
        with contextlib.suppress(OSError):
            self.tasks.close()  # it ends when there are no more tasks
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.results.close()


_idle: list[_Worker] = []
"""Workers that wait for a task."""


@contextlib.contextmanager
def _borrowed() -> Iterator[_Worker]:
    worker = _idle.pop() if _idle else _Worker()
    try:
        yield worker
    except BaseException:
        worker.process.kill()
        worker.end()
        raise
    _idle.append(worker)


@atexit.register
def end_workers() -> None:
    """Ends the workers that wait for a task."""
    while _idle:
        _idle.pop().end()
