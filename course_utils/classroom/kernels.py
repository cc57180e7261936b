"""Kernels for headless runs: they always start, and a reply is seen soon after it has arrived.

A kernel is usually told five free TCP ports before it runs, and takes them a second later. Until
then any program may get one of them, even the client that tries to reach the kernel, and then the
kernel can't start. So where there are Unix sockets, kernels talk over those: each is a file with a
name of its own.

When a cell shows a widget with an output, nbclient sends on the very socket on which it waits for
the cell's reply. That can swallow the signal that the reply is there, and nbclient then sleeps
until the cell's time is up: https://github.com/jupyter/nbclient/issues/312. Whoever looks at the
socket anew finds the reply, so here the wait is cut into short ones.
"""

import os
import tempfile
import time
import uuid
from queue import Empty

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.connect import ConnectionFileMixin
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type, default

LONGEST_NAP = 0.5
"""Seconds after which the socket is looked at again."""

LONGEST_PATH = 90
"""Characters of a Unix socket's name; macOS takes 103, and jupyter_client appends a number."""


class AwakeChannel(AsyncZMQSocketChannel):
    """A channel that is looked at often enough."""

    async def get_msg(self, timeout=None):
        """The next message; raises `queue.Empty` if none comes within `timeout` seconds."""
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            left = max(0, end - time.monotonic())
            try:
                return await super().get_msg(min(left, LONGEST_NAP))
            except Empty:
                if left <= LONGEST_NAP:
                    raise


class AwakeClient(AsyncKernelClient):
    """A client that waits for replies on an `AwakeChannel`."""

    shell_channel_class = Type(AwakeChannel)


class OnUnixSockets(ConnectionFileMixin):
    """Gives a kernel manager sockets that nobody else can take, on systems that have them."""

    @default("transport")
    def _transport_default(self):
        fits = os.name == "posix" and len(_new_path()) <= LONGEST_PATH
        return "ipc" if fits else "tcp"

    @default("ip")
    def _ip_default(self):
        return _new_path() if self.transport == "ipc" else super()._ip_default()


def _new_path():
    """Where a kernel's sockets may be; their numbers come after it."""
    return os.path.join(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex[:16]}")


class AwakeKernelManager(OnUnixSockets, AsyncKernelManager):
    """Starts kernels, and talks to them through an `AwakeClient`."""

    client_factory = Type(AwakeClient)
