"""The `course` command: reads its arguments and hands over to the module that does the work."""

import argparse
import os
import sys
import time
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
    _add_grade(commands)
    _add_slides(commands)
    _add_site(commands)
    _add_explain(commands)
    _add_command(commands, _doctor, "doctor", "say what is missing or wrong on this machine")
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


def _add_grade(commands):
    parser = _add_command(
        commands, _grade, "grade", "grade submissions in a sandbox: scores and feedback"
    )
    parser.add_argument(
        "submissions",
        nargs="+",
        type=Path,
        metavar="SUBMISSION",
        help="notebooks, or folders with one folder for each learner",
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="for scores and feedback"
    )
    parser.add_argument("--jobs", type=_positive, default=2, help="how many at once; 2 by default")
    parser.add_argument(
        "--timeout",
        type=_positive,
        default=20,
        metavar="SECONDS",
        help="how long one exercise may take; 20 by default",
    )
    parser.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="let a Dask cluster do the work"
    )
    parser.add_argument(
        "--no-sandbox",
        action="store_true",
        help="run what learners wrote with all your rights: never for people you don't know",
    )


def _add_slides(commands):
    parser = _add_command(commands, _slides, "slides", "make a reveal.js deck of each notebook")
    parser.add_argument(
        "notebooks", nargs="*", metavar="notebook", help="name, number or path; all by default"
    )
    parser.add_argument(
        "--offline", action="store_true", help="put reveal.js beside the decks (downloaded once)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides", metavar="FOLDER")


def _add_site(commands):
    parser = _add_command(commands, _site, "site", "make a site of all notebooks, with a search")
    parser.add_argument(
        "--executed",
        type=Path,
        metavar="FOLDER",
        help="with the notebooks of a `course run` instead of those in the repository",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", metavar="FOLDER")


def _add_explain(commands):
    parser = _add_command(
        commands, _explain, "explain", "one page about a picture: answers, all heat maps, and trust"
    )
    parser.add_argument("picture", help="a file, or a name such as chelsea")
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        help="by default imagenet for photographs, and the course's own for its renders; or"
        " imagenet:resnet18, timm:NAME, or a Python file of yours",
    )
    parser.add_argument("--methods", nargs="*", default=[], metavar="METHOD", help="all by default")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE")


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


def _grade(options):
    from course_utils.classroom.grading import grade, sandbox

    limits = sandbox.Limits(seconds=options.timeout)
    results = grade.grade(
        options.submissions,
        options.out,
        options.jobs,
        not options.no_sandbox,
        options.scheduler,
        limits,
    )
    print(grade.summarize(results, options.out))
    return 0


def _slides(options):
    from course_utils.classroom.slides import build_slides

    for deck in build_slides(options.notebooks, options.out, options.offline):
        print(deck)
    return 0


def _site(options):
    from course_utils.classroom.site import build_site

    print(build_site(options.out, options.executed))
    return 0


def _explain(options):
    _refuse_missing_file(options.picture)
    from course_utils.classroom.explain import explain

    started = time.monotonic()
    try:
        page = explain(
            options.picture, options.out, options.classifier, options.methods, progress=True
        )
    except OSError as error:
        raise UsageError(f"{options.out} can't be written ({error.strerror or error}).") from None
    except (ValueError, RuntimeError) as error:  # unknown names, bad pictures, missing weights
        raise UsageError(str(error)) from None
    print(f"{page} ({time.monotonic() - started:.0f} s)")
    return 0


def _refuse_missing_file(picture):
    """Says at once, before torch is imported, that a picture's file isn't there.

    Names that `open_picture` knows have no dot in their last part.
    """
    file = Path(picture).expanduser()
    if file.suffix and not file.exists():
        raise UsageError(f"There is no picture {picture!r} (looking in {Path.cwd()}).")


def _doctor(options):
    from course_utils.classroom.doctor import doctor

    return doctor()


if __name__ == "__main__":
    sys.exit(main())
