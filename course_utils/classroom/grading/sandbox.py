"""Runs code that nobody has read, where it can do no harm: bubblewrap, limits and a clock.

Inside there is no network, no capability, nothing to write to but a small folder in memory, and
nothing to read but Python, its packages, the course's package without the answers, and its data.
"""

import contextlib
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from course_utils.classroom import NOTEBOOKS, ROOT, UsageError
from course_utils.classroom.grading import forked
from course_utils.classroom.grading.frames import Frames
from course_utils.classroom.grading.records import Limits
from course_utils.classroom.grading.stage import ABSENT_DATA, PACKAGE
from course_utils.classroom.grading.text import printable

COURSE = "/.course/package"
"""Where the staged package lies inside; a place where nobody has Python."""

DATA = "/.course/data"

START = 120
"""Seconds on the clock for the start of a run and its imports."""

END = 2
"""Seconds to end by itself."""

BREATH = 1
"""Seconds before a second try."""

SLACK = 30
"""Seconds that the harness may be late with the end of an exercise."""

MOST_WORDS = 4000
"""Bytes of what bubblewrap or Python says when a run doesn't start."""


class SandboxFailed(Exception):
    """A run that never began: the machine's fault. The message is a clause with its own words."""


@dataclass
class Job:
    """What one run has to do."""

    exercises: dict[str, dict]
    """By a key of the caller's; see `harness`."""
    stage: Path
    """The folder of the staged package, for `PYTHONPATH`."""
    limits: Limits
    imports: list[str] = field(default_factory=list)
    """Modules that are imported once for all exercises."""
    hidden: list[str] = field(default_factory=list)
    """Folders that nothing inside may see, wherever they lie."""


def run(job: Job, bubblewrap: str | None) -> dict[str, forked.Ending]:
    """Runs all exercises of a job -> how each ended; raises SandboxFailed if none could begin.

    An exercise that ends the whole run costs the others nothing: they get a run of their own. What
    was killed is tried once more by itself, since it may have been the machine that did it.

    bubblewrap: its path; None runs the harness without a sandbox, with the same limits
    """
    endings, suspects = {}, {}
    waiting = dict(job.exercises)
    while waiting:
        ended, broken = _run_twice(job, waiting, bubblewrap)
        endings |= ended
        waiting = {key: value for key, value in waiting.items() if key not in ended}
        if broken is not None:
            suspects[broken] = waiting.pop(broken)
        elif not ended:
            raise SandboxFailed("the run ended before its first exercise")
    suspects |= {k: job.exercises[k] for k, e in endings.items() if e.how == forked.KILLED}
    for key, exercise in suspects.items():
        ended, _ = _run_twice(job, {key: exercise}, bubblewrap)
        endings[key] = ended.get(key) or forked.Ending(forked.KILLED)
    return endings


def _run_twice(job, exercises, bubblewrap):
    """The same as `_run_once`, which may try again if the machine is short of something."""
    try:
        return _run_once(job, exercises, bubblewrap)
    except SandboxFailed:
        time.sleep(BREATH)
        return _run_once(job, exercises, bubblewrap)


def _run_once(job, exercises, bubblewrap):
    """(how each exercise ended, the one during which the run itself ended or None)."""
    harness = [sys.executable, "-m", "course_utils.classroom.grading.harness"]
    inside = [*_inside(bubblewrap, job), *harness] if bubblewrap else harness
    variables = _environment(COURSE, DATA) if bubblewrap else _environment(job.stage)
    content = pickle.dumps(
        {
            "imports": job.imports,
            "bounds": {"cpu": job.limits.seconds, "clock": job.limits.waiting},
            "folder": job.limits.folder if bubblewrap else None,
            "exercises": exercises,
        }
    )
    with _control_groups(job.limits) as groups, tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            _bounded(inside, variables, job.limits, groups),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            cwd="/",
            start_new_session=True,
            preexec_fn=lambda: _limit(job.limits, groups),
        )
        conversation = _Conversation(process, job.limits)
        conversation.run(content)
        if not conversation.has_begun:
            raise SandboxFailed(_reason(process.returncode, words))
    return conversation.endings, conversation.current


class _Conversation:
    """Sends a run its job, and hears what becomes of each exercise."""

    def __init__(self, process, limits):
        self.process, self.limits = process, limits
        self.endings, self.current, self.has_begun = {}, None, False

    def run(self, content):
        writer = threading.Thread(target=_send, args=[self.process, content], daemon=True)
        writer.start()
        frames = Frames(self.process.stdout.fileno())
        try:
            patience = START
            while header := frames.read(patience):
                self._hear(json.loads(header[0]), header[1])
                patience = forked.MOST_DELAY * self.limits.waiting + SLACK
            self._let_it_end()
        except (ValueError, KeyError, TypeError):  # cut off in the middle of a frame
            pass
        finally:
            _kill(self.process)
            self.process.wait()
            self.process.stdout.close()

    def _let_it_end(self):
        """Waits a little for its end, but leaves it to be waited for: its number stays its own."""
        end = time.monotonic() + END
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while time.monotonic() < end and os.waitid(os.P_PID, self.process.pid, how) is None:
            time.sleep(0.01)

    def _hear(self, said, content):
        self.has_begun = True
        if "begins" in said:
            self.current = said["begins"]
        elif "ended" in said:
            self.endings[said["ended"]] = forked.Ending(said["how"], content, said["cpu"])
            self.current = None


def _send(process, content):
    with contextlib.suppress(OSError):  # it may end before it has read everything
        process.stdin.write(content)
        process.stdin.close()


def _kill(process):
    """Ends a run with everything it has started: bubblewrap's end is the end of all inside."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _reason(status, words):
    """Why a run didn't begin, in the words of whoever said something last."""
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - MOST_WORDS))
    lines = words.read().decode(errors="replace").strip().splitlines()
    said = printable(lines[-1]) if lines else "no reason given"
    return f"the sandbox did not start: {said} (exit status {status})"


# ---------------------------------------------------------------------------- limits


def _limit(limits, groups):
    """Limits of the process and all its children; runs between fork and exec."""
    forked.end_with_parent()
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    _lower(resource.RLIMIT_DATA, limits.memory)
    _lower(resource.RLIMIT_FSIZE, limits.folder)
    _lower(resource.RLIMIT_CORE, 0)
    if not _is_root():  # the kernel doesn't count root's processes; see _control_groups
        _lower(resource.RLIMIT_NPROC, limits.processes + _running())
    own = resource.getrlimit(resource.RLIMIT_CPU)[1]  # the grader's own, soft limit is not for it
    resource.setrlimit(resource.RLIMIT_CPU, (own, own))


def _lower(kind, value):
    """Sets a limit, or leaves a stricter one of this machine."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


HIERARCHIES = ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory", "/sys/fs/cgroup")
GROUP = "course_grading_"


@contextlib.contextmanager
def _control_groups(limits):
    """Control groups for one run, where this user may make some (root may): number of processes
    and memory of all of them together."""
    made = []
    files = {
        "pids.max": limits.processes,
        "memory.limit_in_bytes": limits.memory,
        "memory.max": limits.memory,
    }
    for folder in map(Path, HIERARCHIES):
        group = folder / f"{GROUP}{os.getpid()}_{threading.get_ident()}"
        with contextlib.suppress(OSError):
            if (folder / "cgroup.procs").exists():
                group.mkdir()
                made.append(group)
                for name in files.keys() & set(os.listdir(group)):
                    (group / name).write_text(str(files[name]))
    try:
        yield made
    finally:
        for group in made:
            _remove(group)


def _bounded(command, variables, limits, groups):
    """A command with these variables and no others; systemd bounds it where nothing else can."""
    command = [
        "/usr/bin/env",
        "-i",
        *(f"{name}={value}" for name, value in variables.items()),
        *command,
    ]
    if _bounds_memory(groups) or _is_root() or not _systemd():
        return command
    bounds = {"MemoryMax": limits.memory, "MemorySwapMax": 0, "TasksMax": limits.processes}
    options = [word for name, value in bounds.items() for word in ("-p", f"{name}={value}")]
    return [*SYSTEMD, *options, "--", *command]


SYSTEMD = ("systemd-run", "--user", "--scope", "--quiet", "--collect")


@lru_cache
def _systemd() -> bool:
    """Whether systemd makes control groups for this user."""
    if shutil.which(SYSTEMD[0]) is None:
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        trial = [*SYSTEMD, "-p", "MemoryMax=1G", "--", "true"]
        return subprocess.run(trial, capture_output=True, timeout=20).returncode == 0
    return False


def _is_root():
    return os.getuid() == 0


def memory_is_bounded() -> bool:
    """Whether what runs inside is bounded in memory together, not only each process by itself."""
    with _control_groups(Limits()) as groups:
        return _bounds_memory(groups) or _systemd()


def _bounds_memory(groups):
    names = ("memory.max", "memory.limit_in_bytes")
    return any((group / name).exists() for group in groups for name in names)


def _remove(group):
    """Removes a control group, which can take a moment to become empty."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            return group.rmdir()
        time.sleep(0.02)


def remove_stale_groups() -> None:
    """Removes the control groups of graders that were killed."""
    for folder in map(Path, HIERARCHIES):
        for group in folder.glob(f"{GROUP}*"):
            owner = group.name.removeprefix(GROUP).split("_")[0]
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                with contextlib.suppress(OSError):
                    group.rmdir()


def _running():
    """How many threads this user has now, about."""
    own = os.getuid()
    count = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == own:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


# ---------------------------------------------------------------------------- bubblewrap


def find_bubblewrap() -> str:
    """The path of `bwrap`; raises UsageError where there is none or it doesn't work."""
    path = shutil.which("bwrap")
    if path is None:
        raise UsageError(
            "bubblewrap (bwrap) is not installed: `apt install bubblewrap`. Without it, what"
            " learners wrote runs with all your rights; --no-sandbox does that all the same."
        )
    trial = [path, "--ro-bind", "/", "/", "--unshare-all", "--cap-drop", "ALL", "true"]
    done = subprocess.run(trial, capture_output=True, text=True, errors="replace")
    if done.returncode:
        reason = printable((done.stderr.strip().splitlines() or ["no reason given"])[-1])
        raise UsageError(
            f"bubblewrap does not work on this machine ({reason}). Grade on a machine that allows"
            " user namespaces, or with --no-sandbox, which gives the code all your rights."
        )
    return path


@lru_cache
def _understands(bubblewrap: str) -> str:
    """The options that this bubblewrap knows, as its help lists them."""
    done = subprocess.run([bubblewrap, "--help"], capture_output=True, text=True)
    return done.stdout + done.stderr


def _inside(bubblewrap, job):
    """The command line of the sandbox; older versions do without some options.

    Without --size, the harness watches over how much is written.
    """
    known = _understands(bubblewrap)
    size = ["--size", str(job.limits.folder)] if "--size" in known else []
    command = [bubblewrap, "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000"]
    command += ["--cap-drop", "ALL", "--die-with-parent", "--new-session"]
    command += ["--disable-userns"] if "--disable-userns" in known else []
    command += ["--proc", "/proc", "--dev", "/dev"]
    for path in ("/tmp", "/dev/shm"):  # before the others: Python itself may lie below them
        command += [*size, "--tmpfs", path]
    mounts = _mounts(_readable(), _hidden(job.hidden))
    for path, is_shown in mounts.items():
        command += ["--ro-bind", path, path] if is_shown else ["--tmpfs", path]
    for name in ("bin", "lib", "lib64"):
        if Path(f"/{name}").is_symlink():
            command += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
    command += ["--ro-bind", str(job.stage), COURSE, *_data(_data_folder())]
    for path in ("/dev", *(path for path, is_shown in mounts.items() if not is_shown), "/"):
        command += ["--remount-ro", path]
    return [*command, "--chdir", "/tmp"]


def _mounts(readable: list[str], hidden: list[str]) -> dict[str, bool]:
    """{folder: whether it is shown}, the outer before the inner ones, without needless ones.

    A hidden folder inside a shown one becomes empty; a shown one inside a hidden one is there.
    """
    wanted = dict.fromkeys(readable, True) | dict.fromkeys(hidden, False)
    chosen = {}
    for path in sorted(wanted, key=lambda path: len(Path(path).parts)):
        outer = [other for other in chosen if Path(path).is_relative_to(other)]
        is_seen = chosen[outer[-1]] if outer else False
        if is_seen != wanted[path]:
            chosen[path] = wanted[path]
    return chosen


def _readable():
    """Python, its packages and the system's libraries."""
    wanted = ["/usr", "/etc/ld.so.cache", "/etc/alternatives", sys.prefix, sys.base_prefix]
    wanted += [os.path.realpath(sys.base_prefix), os.path.dirname(os.path.realpath(sys.executable))]
    wanted += [f"/{name}" for name in ("bin", "lib", "lib64") if not Path(f"/{name}").is_symlink()]
    return [path for path in wanted if os.path.exists(path)]


def _hidden(folders):
    """The clone with its answers, and submissions and results, wherever they lie."""
    clone = ROOT if NOTEBOOKS.is_dir() else PACKAGE
    paths = {str(clone), *folders, *(os.path.realpath(folder) for folder in folders)}
    return [path for path in sorted(paths - set(_readable()) - {"/"}) if os.path.isdir(path)]


def _data_folder():
    from course_utils.manifest import data_folder  # slow, and not needed by who only asks

    return data_folder()


def _data(folder):
    """The course's pictures and networks, without what gives answers away."""
    options = ["--ro-bind", str(folder), DATA]
    for name in ABSENT_DATA:
        if (folder / name).is_dir():
            options += ["--tmpfs", f"{DATA}/{name}", "--remount-ro", f"{DATA}/{name}"]
        elif (folder / name).exists():
            options += ["--ro-bind", os.devnull, f"{DATA}/{name}"]
    return options


def _environment(course: str | Path, data: str = "") -> Mapping[str, str]:
    """The variables of a run, and no others."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(course),
        "PYTHONSAFEPATH": "1",
        "COURSE_DATA": data or str(_data_folder()),
        "MPLCONFIGDIR": "/tmp",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
