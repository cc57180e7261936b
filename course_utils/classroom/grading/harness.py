"""Inside the sandbox: runs the cells that an answer needs, and calls the answer on the probes.

    python -m course_utils.classroom.grading.harness < job > results

The job (see `sandbox`) is a pickle from the grader. A line of JSON goes out for each exercise as
soon as it is known, so that what one answer breaks costs the others nothing. Each exercise runs in
a process of its own, forked when the slow imports are done, and is killed when its time is up.

No reference answer is in reach here: the probes come with the job, and the results are judged by
whoever started this.
"""

import json
import linecache
import os
import pickle
import select
import signal
import sys
import time

MOST = 64_000_000
"""Bytes that an exercise may return."""


def main():
    """Reads the job, answers with one line for each exercise."""
    results = os.dup(1)
    _silence()
    job = pickle.load(sys.stdin.buffer)
    _prepare(job["threads"])
    for name, exercise in job["exercises"].items():
        content = _in_a_process(exercise, job["seconds"])
        line = json.dumps({"exercise": name, **content}).encode() + b"\n"
        _write(results, line)


def _silence():
    """What answers print goes nowhere; without this, they could write into the results."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _prepare(threads):
    """The slow imports, once for all exercises."""
    import matplotlib

    matplotlib.use("agg")
    import torch

    import course_utils.exercises.engine.calls
    import course_utils.figures  # noqa: F401

    torch.set_num_threads(threads)


def _in_a_process(exercise, seconds):
    """{"outcomes": text} or {"problem": clause} of one exercise, whatever its answer does."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os.setpgid(0, 0)
            _write(writing, _outcomes(exercise).encode())
        finally:
            os._exit(0)
    os.close(writing)
    content, problem = _read(reading, time.monotonic() + seconds)
    os.close(reading)
    for target in (-child, child):
        try:
            os.kill(target, signal.SIGKILL)
        except OSError:
            pass
    _, status = os.waitpid(child, 0)
    if problem:
        return {"problem": problem.format(seconds=seconds)}
    if not content:
        return {"problem": _how_it_ended(status)}
    return {"outcomes": content.decode(errors="replace")}


def _read(pipe, end):
    """(content, problem) of what a child writes until it closes its end of the pipe."""
    chunks, size = [], 0
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return b"", "it took longer than {seconds} seconds: does a loop never end?"
        chunk = os.read(pipe, 1 << 20)
        if not chunk:
            return b"".join(chunks), ""
        chunks.append(chunk)
        size += len(chunk)
        if size > MOST:
            return b"", f"it returned more than {MOST // 1_000_000} MB"


def _how_it_ended(status):
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "it was stopped; it may have needed too much memory"
    return "it ended Python itself (a crash, or os._exit): an answer must return"


def _write(pipe, content):
    view = memoryview(content)
    while view:
        view = view[os.write(pipe, view) :]


# ---------------------------------------------------------------------------- in the child


def _outcomes(exercise):
    """The encoded outcomes of an answer's calls."""
    from course_utils.classroom.grading.transfer import encode
    from course_utils.exercises.engine.calls import Outcome, call_on_probes
    from course_utils.exercises.engine.causes import explain

    calls, encoded = call_on_probes, encode  # these ones, whatever the cells put in their place
    probes = exercise["probes"]
    try:
        function = _answer(exercise)
    except BaseException as error:
        return encoded([Outcome(raised=explain(error, None, 0))])
    return encoded(calls(function, lambda random: pickle.loads(probes), exercise["seed"]))


def _answer(exercise):
    """Runs the cells -> the learner's function."""
    space = {"__name__": "__main__", "display": _nothing, "get_ipython": _NoIPython}
    for number, source in enumerate(exercise["cells"]):
        file = f"<cell {number}>"
        linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
        exec(compile(source, file, "exec"), space)
    return space[exercise["name"]]


def _nothing(*arguments, **options):
    """In place of what only a notebook can do."""


class _NoIPython:
    """In place of IPython: %magics and !commands do nothing."""

    run_line_magic = system = getoutput = _nothing


if __name__ == "__main__":
    main()
