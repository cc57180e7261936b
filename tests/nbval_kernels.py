"""A plugin for pytest: nbval's kernels, too, talk over sockets that nobody else can take."""

import nbval.kernel
from jupyter_client.manager import KernelManager

from course_utils.classroom.kernels import OnUnixSockets


class UnixKernelManager(OnUnixSockets, KernelManager):
    """A kernel manager as nbval knows it."""


nbval.kernel.KernelManager = UnixKernelManager
