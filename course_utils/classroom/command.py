"""The `course` command: reads its arguments and hands over to the subcommand's own module."""

import argparse
import importlib
import os
import sys

from course_utils import __version__
from course_utils.classroom import UsageError, commands


def main(arguments=None):
    """Runs the command line `arguments` (those of this process by default) -> the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status = options.work(options)
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"course {options.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130  # as shells report it
    except BrokenPipeError:  # `course progress | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as shells report it: never 0, since a run may have failed


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
