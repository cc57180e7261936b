"""`course site`."""

from pathlib import Path

from course_utils.classroom import ROOT

SUMMARY = "make a site of all notebooks and guides, with a search"


def add_arguments(parser):
    parser.add_argument(
        "--executed",
        type=Path,
        metavar="FOLDER",
        help="with the notebooks of a `course run` instead of those in the repository",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", metavar="FOLDER")


def work(options):
    from course_utils.classroom.site import build_site

    print(build_site(options.out, options.executed))
    return 0
