"""The `course` command: reads its arguments and hands over to the subcommand's own module."""

import argparse
import contextlib
import importlib
import io
import os
import signal
import sys

from course_utils import __version__
from course_utils.classroom import UsageError, commands


def main(arguments=None):
    """Runs the command line `arguments` (those of this process by default) -> the exit status."""
    _print_what_can_be_printed()
    options = _parser().parse_args(arguments)
    try:
        with _ended_as_by_an_error():
            status = options.work(options)
        if sys.stdout is not None:  # closed by `course progress >&-`
            sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"course {options.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # as shells report it
    except BrokenPipeError:  # `course progress | head`: nobody reads on
        _print_nothing_more()
        return 141  # as shells report it: never 0, since a run may have failed
    except OSError as error:  # no room, no right to write, a name that is too long ...
        _drop_what_can_not_be_printed()
        print(f"course {options.name}: {error}", file=sys.stderr)
        return 1


def _drop_what_can_not_be_printed():
    """Python would try it again at its end, and complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _print_nothing_more()


def _print_nothing_more():
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_what_can_be_printed():
    """Signs that a terminal or a file of another encoding doesn't have become question marks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextlib.contextmanager
def _ended_as_by_an_error():
    """SIGTERM, from `timeout` or a service manager, ends the work in good order, not in the middle.

    Otherwise processes that this one has started would go on and write their results.
    """

    def end(number, _frame):
        sys.exit(128 + number)  # as shells report it

    try:
        before = signal.signal(signal.SIGTERM, end)
    except ValueError:  # not in the main thread, where signals arrive
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser():
    parser = argparse.ArgumentParser("course", description="Work with the course's notebooks.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="name", required=True, metavar="command")
    for name in commands.NAMES:
        command = importlib.import_module(f"{commands.__name__}.{name}")
        summary = command.SUMMARY
        sub = subparsers.add_parser(name, help=summary, description=f"Course command: {summary}.")
        command.add_arguments(sub)
        sub.set_defaults(work=command.work)
    return parser


if __name__ == "__main__":
    sys.exit(main())
