"""A plugin for pytest: nbval's kernels begin quickly, on sockets that nobody else can take.

Each kernel is a fork of a process that has imported what every notebook imports, and done no more.
"""

import functools
import multiprocessing.forkserver
import os
import signal
import sys
import warnings
from pathlib import Path

import nbval.kernel
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import local_provisioner

from course_utils.classroom.kernels import OnUnixSockets

ROOT = Path(__file__).resolve().parent.parent


class UnixKernelManager(OnUnixSockets, KernelManager):
    """A kernel manager as nbval knows it."""


class ForkedKernel:
    """A kernel's process, as jupyter_client knows one that was started in the usual way."""

    stdin = stdout = stderr = None

    def __init__(self, command, env, cwd):
        context = _context()
        is_on_its_own = context.Event()
        arguments = command, env, cwd, is_on_its_own
        self._process = context.Process(target=_become_kernel, args=arguments)
        self._process.start()
        self.pid = self._process.pid
        is_on_its_own.wait()  # signals go to its group, which must not be ours

    def poll(self):
        return self._process.exitcode

    def wait(self, timeout=None):
        self._process.join(timeout)
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


@functools.cache
def _context():
    """Where processes are forked from one that has imported a lot."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ipykernel.kernelapp", "tests.preloaded"])
    with pytest.MonkeyPatch.context() as patch:
        # As a kernel sets it before anything is imported.
        patch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
        multiprocessing.forkserver.ensure_running()
    return context


def _become_kernel(command, env, cwd, is_on_its_own):
    """What `python -m ipykernel_launcher ...` would be, in this process."""
    os.setsid()
    is_on_its_own.set()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    here = str(ROOT), str(ROOT / "tests")
    sys.path[:] = [path for path in sys.path if path not in here]  # notebooks know no tests
    # The package says by warnings what it can't do as asked; no notebook is meant to hear that.
    warnings.filterwarnings("error", category=UserWarning, module=r"course_utils|__main__")
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance(argv=command[command.index("-f") :])


def launch_kernel(command, env=None, cwd=None, **_others):
    return ForkedKernel(command, os.environ.copy() if env is None else env, cwd or os.getcwd())


nbval.kernel.KernelManager = UnixKernelManager
if "forkserver" in multiprocessing.get_all_start_methods():
    local_provisioner.launch_kernel = launch_kernel
