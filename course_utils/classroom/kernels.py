"""Kernels for headless runs, without naps: a reply is seen soon after it has arrived.

When a cell shows a widget with an output, nbclient sends on the very socket on which it waits for
the cell's reply. That can swallow the signal that the reply is there, and nbclient then sleeps
until the cell's time is up: https://github.com/jupyter/nbclient/issues/312. Whoever looks at the
socket anew finds the reply, so here the wait is cut into short ones.
"""

import time
from queue import Empty

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type

LONGEST_NAP = 0.5
"""Seconds after which the socket is looked at again."""


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


class AwakeKernelManager(AsyncKernelManager):
    """Starts kernels as usual, and talks to them through an `AwakeClient`."""

    client_factory = Type(AwakeClient)
