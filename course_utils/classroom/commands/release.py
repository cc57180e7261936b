"""`course release`."""

from pathlib import Path

SUMMARY = "make an archive for learners: notebooks without solutions, package, data"


def add_arguments(parser):
    parser.add_argument("out", type=Path, metavar="FILE.zip")


def work(options):
    from course_utils.classroom.archive import write_archive

    count = write_archive(options.out)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {count:,} files, {size:.0f} MB; learners start with `make learn`.")
    return 0
