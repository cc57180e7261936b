"""The `course` command: reads its arguments and hands over to the module that does the work."""

import argparse
import os
import sys
from pathlib import Path

from course_utils.classroom import ROOT, UsageError


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
    commands = parser.add_subparsers(dest="name", required=True, metavar="command")
    _add_run(commands)
    _add_learn(commands)
    _add_progress(commands)
    return parser


def _add_run(commands):
    parser = _add_command(
        commands, _run, "run", "execute notebooks from top to bottom and write them to build/"
    )
    parser.add_argument(
        "notebooks", nargs="*", metavar="notebook", help="name, number or path; all by default"
    )
    parser.add_argument(
        "-p",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a parameter, for instance: -p PICTURE chelsea",
    )
    parser.add_argument("--jobs", type=_positive, default=2, help="how many at once; 2 by default")
    parser.add_argument(
        "--timeout",
        type=_positive,
        default=600,
        metavar="SECONDS",
        help="how long one cell may take; 600 by default",
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build", metavar="FOLDER", help="instead of build/"
    )


def _add_learn(commands):
    parser = _add_command(
        commands,
        _learn,
        "learn",
        "make or update your own copy of the notebooks and open JupyterLab",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print JupyterLab's address")


def _add_progress(commands):
    parser = _add_command(commands, _progress, "progress", "show which exercises are passed")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=ROOT / "learner", help="instead of learner/"
    )


def _add_command(commands, work, name, summary):
    """A subcommand that calls `work` with its options."""
    parser = commands.add_parser(name, help=summary, description=f"Course command: {summary}.")
    parser.set_defaults(work=work)
    return parser


def _positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


# Each module is imported only by the command that needs it: papermill alone takes a second.


def _run(options):
    from course_utils.classroom.run import run

    parameters = dict(options.parameters)
    return run(options.notebooks, parameters, options.out, options.jobs, options.timeout)


def _learn(options):
    from course_utils.classroom.learn import learn

    return learn(browser=not options.no_browser)


def _progress(options):
    from course_utils.classroom.progress import progress

    return progress(options.folder)


if __name__ == "__main__":
    sys.exit(main())
