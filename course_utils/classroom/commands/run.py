"""`course run`."""

from pathlib import Path

from course_utils.classroom import ROOT
from course_utils.classroom.commands import positive

SUMMARY = "execute notebooks from top to bottom and write them to build/"


def add_arguments(parser):
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
    parser.add_argument("--jobs", type=positive, default=2, help="how many at once; 2 by default")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="how long one cell may take; 600 by default",
    )
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build", metavar="FOLDER", help="instead of build/"
    )


def work(options):
    from course_utils.classroom.run import run

    parameters = dict(options.parameters)
    return run(options.notebooks, parameters, options.out, options.jobs, options.timeout)
