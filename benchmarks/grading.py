"""How fast `course grade` is, next to nbgrader's autograde on the same submissions.

    python -m benchmarks.grading                 # one notebook, for each of four learners
    python -m benchmarks.grading saliency --learners 20

Both get the same solved notebooks and mark all exercises. nbgrader runs each notebook from top to
bottom, one after the other; `course grade` runs only the answers, in the sandbox, two at a time.
Times are those of the whole commands, with all that they start. Clocks tell something only where
two cores are idle; CPU time, of all processes together, is measured where control groups can be
made, which root may. Linux only.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import _measure
from course_utils.classroom import ROOT, find_notebooks
from course_utils.classroom.grading.submissions import read_masters

ASSIGNMENT = "networks"


def timed(command, folder):
    """(seconds on the clock, seconds of CPU time or None) of a command and all that it starts."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with cpu_group() as group:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            preexec_fn=lambda: group and (group / "cgroup.procs").write_text(str(os.getpid())),
        )
        seconds, cpu = time.monotonic() - began, cpu_seconds_of(group)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return seconds, cpu


@contextlib.contextmanager
def cpu_group():
    """A control group that counts CPU time, or None where none can be made."""
    for place in ("/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup"):
        group = Path(place) / f"benchmark_{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            yield group
        finally:
            group.rmdir()
        return
    yield None


def cpu_seconds_of(group):
    """What a control group of either version has counted."""
    if group is None:
        return None
    if (group / "cpuacct.usage").exists():
        return int((group / "cpuacct.usage").read_text()) / 1e9
    lines = (group / "cpu.stat").read_text().splitlines()
    return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6


def with_the_course(master, learners, folder):
    """What `course grade` takes, two at a time."""
    for number in range(learners):
        (folder / "submissions" / f"learner{number}").mkdir(parents=True)
        shutil.copy(master, folder / "submissions" / f"learner{number}")
    command = ["course_utils.classroom.command", "grade", "submissions", "--out", "graded"]
    return timed(command, folder)


def with_nbgrader(master, learners, folder):
    """What `nbgrader autograde` takes; making the assignment before that does not count."""
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    (folder / "source" / ASSIGNMENT).mkdir(parents=True)
    shutil.copy(master, folder / "source" / ASSIGNMENT)
    timed(["nbgrader", "generate_assignment", ASSIGNMENT], folder)
    for number in range(learners):
        place = folder / "submitted" / f"learner{number}" / ASSIGNMENT
        place.mkdir(parents=True)
        shutil.copy(master, place)
    return timed(["nbgrader", "autograde", ASSIGNMENT], folder)


def measure(stem, learners):
    """Both ways for one notebook: {way: (seconds, CPU seconds or None)}."""
    (master,) = (path for path in find_notebooks() if path.stem == stem)
    found = {"notebook": stem, "learners": learners}
    for name, way in (("course", with_the_course), ("nbgrader", with_nbgrader)):
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            found[name] = way(master, learners, Path(folder))
    return found


def options():
    summary = __doc__.splitlines()[0]
    parser = argparse.ArgumentParser("python -m benchmarks.grading", description=summary)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--learners", type=int, default=4, help="how many hand in; default: 4")
    parser.add_argument(
        "cases", nargs="*", default=["dataset_search"], help="parts of notebooks' names"
    )
    return parser.parse_args()


def main():
    """Measures, prints the table, and writes JSON if asked."""
    chosen = options()
    stems = [stem for stem in read_masters() if any(part in stem for part in chosen.cases)]
    results = [measure(stem, chosen.learners) for stem in stems]
    print(f"Seconds for {chosen.learners} submissions; {_measure.machine()}\n")
    rows = []
    for result in results:
        (own, own_cpu), (other, other_cpu) = result["course"], result["nbgrader"]
        row = [result["notebook"], f"{own:.0f}", f"{other:.0f}", f"{other / own:.1f}x"]
        if own_cpu is not None:
            row += [f"{own_cpu:.0f}", f"{other_cpu:.0f}", f"{other_cpu / own_cpu:.1f}x"]
        rows.append(row)
    columns = ["notebook", "course grade, s", "nbgrader autograde, s", "ratio"]
    columns += ["course grade, CPU-s", "nbgrader autograde, CPU-s", "ratio of CPU time"]
    _measure.print_table(columns[: len(rows[0])], rows)
    _measure.write_json(chosen.json, results)


if __name__ == "__main__":
    main()
