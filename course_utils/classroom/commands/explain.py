"""`course explain`."""

import time
from pathlib import Path

from course_utils.classroom import UsageError

SUMMARY = "one page about a picture: answers, all heat maps, and trust"


def add_arguments(parser):
    parser.add_argument("picture", help="a file, or a name such as chelsea")
    parser.add_argument(
        "--classifier",
        default="look_alikes",
        metavar="NAME",
        help="look_alikes by default; imagenet:resnet18, or a Python file of yours",
    )
    parser.add_argument("--methods", nargs="*", default=[], metavar="METHOD", help="all by default")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE")


def work(options):
    from course_utils.classroom.explain import explain

    try:
        started = time.monotonic()
        page = explain(options.picture, options.out, options.classifier, options.methods)
        print(f"{page} ({time.monotonic() - started:.0f} s)")
        return 0
    except (ValueError, RuntimeError) as error:  # unknown names, bad pictures, missing weights
        raise UsageError(str(error)) from None
