"""`course slides`."""

from pathlib import Path

from course_utils.classroom import ROOT

SUMMARY = "make a reveal.js deck of each notebook"


def add_arguments(parser):
    parser.add_argument(
        "notebooks", nargs="*", metavar="notebook", help="name, number or path; all by default"
    )
    parser.add_argument(
        "--offline", action="store_true", help="put reveal.js beside the decks (downloaded once)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "slides", metavar="FOLDER")


def work(options):
    from course_utils.classroom.slides import build_slides

    for deck in build_slides(options.notebooks, options.out, options.offline):
        print(deck)
    return 0
