"""The sandbox on many kinds of machines: where Python and the clone lie, which bwrap, which user.

What runs inside here is a line of shell or of bare Python, so that each start takes no time.
"""

import mmap
import os
import pwd
import shutil
import stat
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from course_utils.classroom import UsageError, doctor
from course_utils.classroom.grading import forked, frames, grade, sandbox, worker, workers
from course_utils.classroom.grading.records import GRADER_ERROR, Limits, Task
from course_utils.classroom.grading.version import course_version

LIMITS = Limits(seconds=2, waiting=15)
BWRAP = shutil.which("bwrap")
pytestmark = pytest.mark.skipif(
    BWRAP is None or sys.platform != "linux", reason="needs bubblewrap, on Linux"
)


def job(folder, **changes):
    """A job without exercises."""
    folder.mkdir(exist_ok=True)
    return sandbox.Job(**{"exercises": {}, "stage": folder, "limits": LIMITS, **changes})


def inside(command, a_job, bubblewrap=BWRAP, **options):
    """Runs a command in the sandbox -> what it said, both ways."""
    done = subprocess.run(
        [*sandbox._inside(bubblewrap, a_job), *command],
        env=dict(sandbox._environment(sandbox.COURSE, sandbox.DATA)),
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        **options,
    )
    return done.stdout + done.stderr


@pytest.fixture
def elsewhere(request, monkeypatch):
    """A clone with its own environment below some folder; the course takes it for its own."""
    root = Path(request.param) / f"course clone {os.getpid()}"
    for name in ("notebooks/01_x.ipynb", ".git/config", "submissions/ada/01_x.ipynb",
                 "graded/secret_seed", "course_utils/exercises/answers.py"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("secret")
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (root / ".venv" / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    monkeypatch.setattr(sandbox, "ROOT", root)
    monkeypatch.setattr(sandbox, "NOTEBOOKS", root / "notebooks")
    monkeypatch.setattr(sandbox.sys, "prefix", str(root / ".venv"))
    yield root
    shutil.rmtree(root)


@pytest.mark.parametrize(
    "elsewhere", ["/tmp", "/usr/local", "/usr", "/dev/shm", "/var/lib", os.path.expanduser("~")],
    indirect=True,
)  # fmt: skip
def test_a_clone_anywhere_starts_and_shows_nothing_but_its_python(elsewhere, tmp_path):
    if not os.access(elsewhere.parent, os.W_OK):
        pytest.skip("needs a folder to write to")
    python = str(elsewhere / ".venv" / "bin" / "python")
    code = (
        f"import os, sys, json; root = {str(elsewhere)!r}\n"
        "print(sys.prefix); print(sorted(os.listdir(root)))"
    )
    said = inside([python, "-c", code], job(tmp_path / "stage"))
    assert said.splitlines() == [str(elsewhere / ".venv"), "['.venv']"]


@pytest.mark.parametrize("elsewhere", ["/usr/local"], indirect=True)
def test_submissions_and_results_are_hidden_also_below_what_is_shown(elsewhere, tmp_path):
    shown = Path("/usr/local") / f"submissions {os.getpid()}"
    shown.mkdir()
    try:
        (shown / "ada.ipynb").write_text("secret")
        a_job = job(tmp_path / "stage", hidden=[str(shown), "/", "/usr", "/nowhere"])
        said = inside(["sh", "-c", f"ls -A '{shown}'; cat '{elsewhere}/graded/secret_seed'"], a_job)
        assert "No such file" in said and "ada" not in said
    finally:
        shutil.rmtree(shown)


@pytest.mark.parametrize(
    "shown, hidden, mounts",
    [
        (["/usr", "/usr/local"], [], {"/usr": True}),
        (["/usr", "/usr/x/.venv"], ["/usr/x"],
         {"/usr": True, "/usr/x": False, "/usr/x/.venv": True}),
        (["/home/u/.venv"], ["/home/u"], {"/home/u/.venv": True}),
        (["/usr"], ["/usr/a", "/usr/a/b"], {"/usr": True, "/usr/a": False}),
        (["/usr", "/usrlocal"], ["/usr2"], {"/usr": True, "/usrlocal": True}),
    ],
)  # fmt: skip
def test_what_is_mounted_and_in_which_order(shown, hidden, mounts):
    assert list(sandbox._mounts(shown, hidden).items()) == list(mounts.items())


def test_nothing_can_be_written_but_the_small_folders_in_memory(tmp_path):
    places = ["/", "/dev", "/usr", sandbox.COURSE, sandbox.DATA, "/.course", str(sandbox.ROOT)]
    tries = "; ".join(f"echo > '{place}/new' && echo wrote {place}" for place in places)
    said = inside(["sh", "-c", f"{tries}; echo > /tmp/a && echo > /dev/shm/a && echo fine"],
                  job(tmp_path / "stage"))  # fmt: skip
    assert "wrote" not in said and "fine" in said


def test_the_seal_and_the_training_are_not_among_the_data(tmp_path):
    said = inside(
        ["sh", "-c", f"ls {sandbox.DATA}; ls {sandbox.DATA}/training {sandbox.DATA}/rendering;"
                     f"cat {sandbox.DATA}/audit/sealed.json"],
        job(tmp_path / "stage"),
    )  # fmt: skip
    assert "manifest.csv" in said and "recipes" not in said and "{" not in said


# ---------------------------------------------------------------------------- older versions

OLD = ("--size", "--disable-userns", "--clearenv", "--perms", "--chmod")


@pytest.fixture
def old_bwrap(tmp_path):
    """A bwrap that knows none of the newer options, and says so as an old one does."""
    path = tmp_path / "old" / "bwrap"
    path.parent.mkdir()
    path.write_text(
        textwrap.dedent(
            f"""\
            #!{sys.executable} -S
            import os, subprocess, sys
            OLD = {OLD!r}
            if "--help" in sys.argv:
                told = subprocess.run([{BWRAP!r}, "--help"], capture_output=True, text=True)
                lines = (told.stdout + told.stderr).splitlines()
                print("\\n".join(line for line in lines if not any(o in line for o in OLD)))
                sys.exit()
            for word in sys.argv[1:]:
                if word in OLD:
                    sys.exit(f"bwrap: Unknown option {{word}}")
            os.execv({BWRAP!r}, [{BWRAP!r}, *sys.argv[1:]])
            """
        )
    )
    path.chmod(0o755)
    return str(path)


def test_an_old_bubblewrap_is_not_asked_for_what_it_does_not_know(old_bwrap, tmp_path):
    assert "fine" in inside(["echo", "fine"], job(tmp_path / "stage"), old_bwrap)
    known = sandbox._inside(BWRAP, job(tmp_path / "stage"))
    old = sandbox._inside(old_bwrap, job(tmp_path / "stage"))
    assert "--disable-userns" in known and not set(OLD) & set(old)


# ---------------------------------------------------------------------------- users


def test_a_user_without_rights_can_grade(tmp_path, monkeypatch):
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    nobody = pwd.getpwnam("nobody").pw_uid
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_uid == 0 and place != Path("/"):
            place.chmod(place.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    for name in ("prefix", "base_prefix"):  # this Python may lie where nobody else can read
        monkeypatch.setattr(sandbox.sys, name, "/usr")
    monkeypatch.setattr(sandbox.sys, "executable", "/bin/sh")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    said = inside(["id", "-u"], job(tmp_path / "stage"), user=nobody, group=nobody)
    assert said.strip() == "1000"


def test_where_no_control_groups_can_be_made_systemd_makes_one(tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    (tmp_path / "systemd-run").write_text(
        f'#!/bin/sh\necho "$@" >> {asked}\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
    )
    (tmp_path / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(sandbox, "HIERARCHIES", ())
    monkeypatch.setattr(sandbox, "_is_root", lambda: False)
    sandbox._systemd.cache_clear()
    try:
        command = sandbox._bounded(["printenv"], {"A": "b c"}, LIMITS, groups=[])
        done = subprocess.run(command, capture_output=True, text=True)
    finally:
        sandbox._systemd.cache_clear()
    assert done.stdout == "A=b c\n"
    said = asked.read_text().splitlines()[-1]
    assert f"MemoryMax={LIMITS.memory}" in said and f"TasksMax={LIMITS.processes}" in said
    assert "--user --scope" in said


def test_control_groups_are_made_and_removed_also_those_of_killed_graders(monkeypatch, tmp_path):
    monkeypatch.setattr(sandbox, "HIERARCHIES", (str(tmp_path),))
    (tmp_path / "cgroup.procs").touch()
    with sandbox._control_groups(LIMITS) as made:
        assert made == [group for group in tmp_path.iterdir() if group.is_dir()]
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale, living, foreign = (
        tmp_path / name for name in (f"{sandbox.GROUP}{dead.pid}_1", f"{sandbox.GROUP}1_1", "x_1")
    )
    for group in (stale, living, foreign):
        group.mkdir()
    sandbox.remove_stale_groups()
    assert not stale.exists() and living.exists() and foreign.exists() and not made[0].exists()


# ---------------------------------------------------------------------------- a machine's faults


def failing_bwrap(tmp_path, script):
    path = tmp_path / "bwrap"
    path.write_text(f'#!/bin/sh\ncase "$*" in *--help*|*" true") exit 0;; esac\n{script}\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "script, words",
    [
        ("echo 'bwrap: No permissions to create new namespace' >&2; exit 1", "No permissions to"),
        ("echo 'python: error while loading libc.so' >&2; exit 127", "loading libc.so"),
        ("kill -9 $$", "exit status -9"),
        ("exit 0", "no reason given"),
        ("printf 'junk\\377' ; exit 0", "no reason given"),
        ("yes | head -c 20000000 >&2; printf '\\033[31mlast' >&2; exit 3", "\\x1b[31mlast"),
    ],
)
def test_a_sandbox_that_does_not_start_is_the_machine_s_fault(tmp_path, script, words):
    exercises = {"a": {"name": "a", "cells": ["def a(): pass"], "probes": b"", "seed": 1}}
    with pytest.raises(sandbox.SandboxFailed) as failure:
        sandbox.run(job(tmp_path / "stage", exercises=exercises), failing_bwrap(tmp_path, script))
    assert words in str(failure.value) and len(str(failure.value)) < 500


def test_a_class_is_not_begun_where_the_course_s_own_answer_does_not_pass(tmp_path, monkeypatch):
    script = "echo 'bwrap: out of memory' >&2; exit 1"
    failing_bwrap(tmp_path, script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    asked = []
    monkeypatch.setattr(workers, "grade_one", lambda task: asked.append(task) or rehearsed(task))
    (tmp_path / "in" / "ada").mkdir(parents=True)
    (tmp_path / "in" / "ada" / "x.ipynb").write_text("{}")
    with pytest.raises(UsageError, match="can't grade: an answer of the course.*out of memory"):
        grade.grade([tmp_path / "in"], tmp_path / "out", limits=Limits(seconds=7))
    assert [task.learner for task in asked] == ["the course itself"]
    assert len(asked[0].exercises) == 1 and asked[0].limits.seconds == 7


def rehearsed(task):
    """A task graded in this process, without a worker."""
    worker.masters()
    return worker.graded(task, Path("/nowhere"))


def test_errors_of_the_grader_become_results(monkeypatch):
    task = Task("ada", "x.ipynb", b"{}", version=course_version())
    other = Task("ada", "x.ipynb", b"{}", version="another")
    assert "another version of the course" in rehearsed(other).problem
    monkeypatch.setattr(worker, "read_exercises", lambda *_: 1 / 0)
    result = rehearsed(task)
    assert result.status == GRADER_ERROR and "ZeroDivisionError" in result.problem
    monkeypatch.setattr(worker, "graded", lambda *_: os._exit(1))
    result = worker.graded_apart(task, Path("/nowhere"))
    assert result.status == GRADER_ERROR and "ended early" in result.problem
    assert result.learner == "ada"


class BrokenWorker:
    """A worker whose process has gone."""

    def __init__(self):
        self.process = subprocess.Popen(["true"])

    def ask(self, task):
        raise OSError("Killed")

    def end(self):
        self.process.wait()


def test_a_worker_that_breaks_is_replaced_once_and_then_told(monkeypatch):
    monkeypatch.setattr(workers, "_idle", [BrokenWorker()])
    made = []
    monkeypatch.setattr(workers, "_Worker", lambda: made.append(1) or BrokenWorker())
    result = workers.grade_one(Task("ada", "x.ipynb"))
    assert result.status == GRADER_ERROR and "OSError: Killed" in result.problem
    assert made == [1] and workers._idle == []


# ---------------------------------------------------------------------------- forks and frames

BOUNDS = forked.Bounds(cpu=2, clock=10, bytes=1000)


@pytest.mark.parametrize(
    "work, how",
    [
        (lambda: b"x" * 1000, forked.ANSWERED),
        (lambda: b"", forked.ANSWERED),
        (lambda: b"x" * 1001, forked.TOO_MUCH),
        (lambda: os._exit(3), forked.EXITED),
        (lambda: 1 / 0, forked.EXITED),
        (lambda: os.kill(os.getpid(), 9), forked.KILLED),
        (lambda: [None for _ in iter(int, 1)], forked.OUT_OF_CPU),
    ],
)
def test_a_forked_function_ends_in_a_known_way(work, how, capfd):
    ending = forked.run(work, BOUNDS)
    assert ending.how == how
    assert (ending.content == work()) if how == forked.ANSWERED else ending.content == b""


@pytest.mark.parametrize("work", [lambda: time.sleep(60), lambda: os.kill(os.getpid(), 19)])
def test_a_forked_function_that_only_waits_is_not_waited_for(work):
    assert forked.run(work, replace(BOUNDS, clock=1)).how == forked.OUT_OF_TIME


def test_what_the_caller_has_in_memory_is_no_fault_of_the_forked_function():
    mine = bytearray(500_000_000)  # as a process that has run many tests, or graded a class
    bounds = replace(BOUNDS, memory=200_000_000)
    assert forked.run(lambda: mapped(100_000_000)[:4], bounds).how == forked.ANSWERED
    assert forked.run(lambda: mapped(300_000_000)[:4], bounds).how == forked.EXITED
    assert len(mine) == 500_000_000


def mapped(size):
    """New memory, never what the process has freed."""
    return mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


FREED = """
import course_utils
from course_utils.classroom.grading import forked

bytearray(400_000_000)  # and free again, but kept
bounds = forked.Bounds(cpu=10, clock=100, bytes=1000, memory=200_000_000)
for size in (100_000_000, 300_000_000):
    print(forked.run(lambda: bytes(bytearray(size)[:4]), bounds).how)
"""


def test_what_the_caller_has_freed_and_kept_does_not_enlarge_the_bound():
    done = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [forked.ANSWERED, forked.EXITED]


def test_a_forked_function_that_leaves_somebody_with_its_pipe():
    def leave():
        if os.fork() == 0:
            time.sleep(20)
        os._exit(0)

    assert forked.run(leave, BOUNDS).how == forked.EXITED  # and not: out of time
    stopped = forked.run(lambda: time.sleep(60), BOUNDS, is_too_much=lambda: True)
    assert stopped.how == forked.FULL


def test_frames_go_through_a_pipe_and_nothing_else_does():
    reading, writing = os.pipe()
    forked.write(writing, frames.frame(b"head", b"body") + frames.frame(b"", b""))
    channel = frames.Frames(reading)
    assert channel.read() == (b"head", b"body") and channel.read(1) == (b"", b"")
    assert channel.read(0.05) is None  # nothing came in time
    forked.write(writing, frames.frame(b"head", b"body")[:-1])
    os.close(writing)
    with pytest.raises(ValueError, match="cut off"):
        channel.read()
    assert channel.read() is None
    os.close(reading)


@pytest.mark.parametrize("junk", [b"\n" * 100, b"\xff" * 100, b"x"])
def test_junk_is_no_frame(junk):
    reading, writing = os.pipe()
    forked.write(writing, junk)
    os.close(writing)
    with pytest.raises(ValueError, match="no message"):
        frames.Frames(reading).read()
    os.close(reading)


def test_the_doctor_says_where_memory_is_not_bounded_in_total(monkeypatch):
    monkeypatch.setattr(sandbox, "HIERARCHIES", ())
    monkeypatch.setattr(sandbox, "_systemd", lambda: False)
    with pytest.raises(doctor.Trouble, match="only each process is bounded") as found:
        doctor.sandbox()
    assert not found.value.severe
    monkeypatch.setattr(sandbox, "_systemd", lambda: True)
    assert doctor.sandbox().endswith("`course grade` can be used")
