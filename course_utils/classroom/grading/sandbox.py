"""Runs code that nobody has read, where it can do no harm: bubblewrap, limits and a clock.

Inside there is no network, no capability, nothing to write to but a small folder in memory, and
nothing to read but Python, its packages, the course's package and its data. The course's answers,
its notebooks and other submissions are not there.
"""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import course_utils
from course_utils.classroom import UsageError
from course_utils.manifest import data_folder

PACKAGE = Path(course_utils.__file__).resolve().parent
HERE = Path(__file__).resolve().parent

COURSE = "/course"
"""Where the staged package lies inside."""

LARGEST_RESULT = 200_000_000
"""Bytes that a run may send."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    seconds: int = 20
    """For each exercise."""
    memory: int = 4_000_000_000
    """Bytes of data of each process."""
    processes: int = 200
    folder: int = 64_000_000
    """Bytes that may be written, all in memory."""

    def total_seconds(self, exercises: int) -> int:
        """For a whole run: start and imports, then every exercise to its limit."""
        return 60 + self.seconds * exercises


def find_bubblewrap() -> str:
    """The path of `bwrap`; raises UsageError where there is none or it doesn't work."""
    path = shutil.which("bwrap")
    if path is None:
        raise UsageError(
            "bubblewrap (bwrap) is not installed: `apt install bubblewrap`. Without it, what"
            " learners wrote runs with all your rights; --no-sandbox does that all the same."
        )
    trial = [path, "--ro-bind", "/", "/", "--unshare-all", "--cap-drop", "ALL", "true"]
    done = subprocess.run(trial, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(
            f"bubblewrap does not work on this machine ({reason}). Grade on a machine that allows"
            " user namespaces, or with --no-sandbox, which gives the code all your rights."
        )
    return path


@contextlib.contextmanager
def staged_package() -> Iterator[Path]:
    """A folder with the course's package without its answers, while this lasts."""
    with tempfile.TemporaryDirectory(prefix="course_stage_") as name:
        target = Path(name) / "course_utils"
        shutil.copytree(PACKAGE, target, ignore=_what_stays_outside)
        shutil.copy(HERE / "exercises_in_the_sandbox.py", target / "exercises" / "__init__.py")
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield Path(name)


def _what_stays_outside(folder, names):
    folder = Path(folder)
    if folder == PACKAGE / "exercises":
        return [name for name in names if name != "engine"]
    if folder == PACKAGE / "classroom":
        return [name for name in names if name not in ("__init__.py", "grading")]
    if folder == HERE:
        return [name for name in names if name not in ("__init__.py", "harness.py", "transfer.py")]
    return [name for name in names if name == "__pycache__"]


def run(job: bytes, exercises: int, stage: Path, limits: Limits, bubblewrap: str | None) -> bytes:
    """Runs the harness on a job -> what it sent before its end or the end of its time.

    bubblewrap: its path; None runs the harness without a sandbox, with the same limits
    """
    harness = [sys.executable, "-m", "course_utils.classroom.grading.harness"]
    command = [*_inside(bubblewrap, stage, limits), *harness] if bubblewrap else harness
    with _control_groups(limits) as groups:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={} if bubblewrap else _environment(stage),
            cwd="/",
            start_new_session=True,
            preexec_fn=lambda: _limit(limits, groups),
        )
        return _talk(process, job, limits.total_seconds(exercises))


def _talk(process, job, seconds):
    """Sends the job and reads the answer, no longer than `seconds` and no more than is allowed."""
    clock = threading.Timer(seconds, _kill, [process])
    clock.start()
    writer = threading.Thread(target=_send, args=[process, job], daemon=True)
    writer.start()
    try:
        chunks, size = [], 0
        while chunk := process.stdout.read1(1 << 20):
            size += len(chunk)
            if size > LARGEST_RESULT:
                break
            chunks.append(chunk)
    finally:
        clock.cancel()
        _kill(process)
        process.wait()
        process.stdout.close()
    return b"".join(chunks)


def _send(process, job):
    with contextlib.suppress(OSError):  # it may end before it has read everything
        process.stdin.write(job)
        process.stdin.close()


def _kill(process):
    """Ends a run with everything it has started: bubblewrap's end is the end of all inside."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _limit(limits, groups):
    """Limits of the process and all its children; runs between fork and exec."""
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))
    for kind, value in (
        (resource.RLIMIT_DATA, limits.memory),
        (resource.RLIMIT_FSIZE, limits.folder),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))
    if os.getuid() != 0:  # the kernel doesn't count root's processes; see _control_groups
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NPROC, (limits.processes + _running(),) * 2)


@contextlib.contextmanager
def _control_groups(limits):
    """Control groups for one run, where this user may make some (root may): number of processes
    and memory of all of them together."""
    made = []
    for folder, files in (
        ("/sys/fs/cgroup/pids", {"pids.max": limits.processes}),
        ("/sys/fs/cgroup/memory", {"memory.limit_in_bytes": limits.memory}),
        ("/sys/fs/cgroup", {"pids.max": limits.processes, "memory.max": limits.memory}),
    ):
        group = Path(folder) / f"course_{os.getpid()}_{threading.get_ident()}"
        with contextlib.suppress(OSError):
            if (Path(folder) / "cgroup.procs").exists():
                group.mkdir()
                made.append(group)
                for name, value in files.items():
                    (group / name).write_text(str(value))
    try:
        yield made
    finally:
        for group in made:
            _remove(group)


def _remove(group):
    """Removes a control group, which can take a moment to become empty."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            return group.rmdir()
        time.sleep(0.02)


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


def _inside(bubblewrap, stage, limits):
    """The command line of the sandbox."""
    command = [
        bubblewrap, "--unshare-all", "--unshare-user", "--uid", "1000", "--gid", "1000",
        "--cap-drop", "ALL", "--disable-userns", "--die-with-parent", "--new-session", "--clearenv",
    ]  # fmt: skip
    for folder in _readable():
        command += ["--ro-bind", folder, folder]
    for name in ("bin", "lib", "lib64"):
        if Path(f"/{name}").is_symlink():
            command += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
    for folder in _hidden():
        command += ["--tmpfs", folder]
    size = str(limits.folder)
    command += ["--ro-bind", str(stage), COURSE, "--ro-bind", str(data_folder()), "/data"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):
        command += ["--size", size, "--tmpfs", folder]
    command += ["--remount-ro", "/dev", "--chdir", "/tmp"]
    for name, value in _environment(COURSE, "/data").items():
        command += ["--setenv", name, value]
    return command


def _readable():
    """Python, its packages and the system's libraries, the outermost folders only."""
    wanted = ["/usr", "/etc/ld.so.cache", sys.prefix, sys.base_prefix]
    wanted += [os.path.realpath(sys.base_prefix), os.path.dirname(os.path.realpath(sys.executable))]
    wanted += [f"/{name}" for name in ("bin", "lib", "lib64") if not Path(f"/{name}").is_symlink()]
    present = sorted({path for path in wanted if os.path.exists(path)}, key=len)
    outermost = []
    for path in present:
        if not any(Path(path).is_relative_to(other) for other in outermost):
            outermost.append(path)
    return outermost


def _hidden():
    """Folders with answers that lie inside a readable one."""
    secret = [PACKAGE, PACKAGE.parent / "notebooks", PACKAGE.parent / ".git"]
    return [
        str(path)
        for path in secret
        if path.exists() and any(path.is_relative_to(folder) for folder in _readable())
    ]


def _environment(course, data=None):
    """The variables of a run, and no others."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(course),
        "PYTHONSAFEPATH": "1",
        "COURSE_DATA": str(data or data_folder()),
        "MPLCONFIGDIR": "/tmp",
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
