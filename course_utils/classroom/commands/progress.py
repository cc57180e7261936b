"""`course progress`."""

from pathlib import Path

from course_utils.classroom import ROOT

SUMMARY = "show which exercises are passed"


def add_arguments(parser):
    parser.add_argument(
        "folder", nargs="?", type=Path, default=ROOT / "learner", help="instead of learner/"
    )


def work(options):
    from course_utils.classroom.progress import progress

    return progress(options.folder)
