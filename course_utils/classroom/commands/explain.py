"""`course explain`."""

import os
import time
from pathlib import Path

from course_utils.classroom import UsageError, refuse_missing_picture
from course_utils.errors import first_line

SUMMARY = "one page about a picture: answers, all heat maps, and trust"


def add_arguments(parser):
    parser.add_argument("picture", help="a file, or a name such as chelsea")
    parser.add_argument(
        "--classifier",
        metavar="NAME",
        help="by default imagenet for photographs, and the course's own for its renders; or"
        " imagenet:resnet18, timm:NAME, or a Python file of yours",
    )
    parser.add_argument("--methods", nargs="*", default=[], metavar="METHOD", help="all by default")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE")


def work(options):
    refuse_missing_picture(options.picture)
    _refuse_to_replace([options.picture, options.classifier], options.out)
    from course_utils.classroom.files import make_folder

    make_folder(options.out.parent)
    from course_utils.classroom.explain import explain

    started = time.monotonic()
    try:
        page = explain(
            options.picture, options.out, options.classifier, options.methods, progress=True
        )
    except OSError as error:
        raise UsageError(f"{options.out} can't be written ({error.strerror or error}).") from None
    except (ValueError, RuntimeError) as error:  # unknown names, bad pictures, missing weights
        raise UsageError(first_line(error)) from None
    print(f"{page} ({time.monotonic() - started:.0f} s)")
    return 0


def _refuse_to_replace(sources, out):
    """The page may take the place of nothing that it is made from."""
    for source in filter(None, sources):
        file = Path(source).expanduser()
        if os.path.isfile(file) and os.path.exists(out) and file.samefile(out):
            raise UsageError(f"The page would replace {source} itself: choose another --out.")
