"""`course grade`."""

from pathlib import Path

from course_utils.classroom.commands import positive
from course_utils.classroom.grading.lateness import GRAMMAR

SUMMARY = "grade submissions in a sandbox: scores and feedback"

TABLES = {
    "roster": "columns id, name, e-mail, and perhaps folder, login, section, canvas, submitted",
    "overrides": "points by hand: learner, exercise, points, note, and notebook where several"
    " have the exercise; OUT/overrides.csv by default",
    "submitted": "when it was handed in, if the files' times don't say: learner, notebook,"
    " submitted",
    "questions": "cells whose answers are text, for a person to mark: cell, points, title",
    "marks": "the marks of such texts, from OUT/answers.html; OUT/marks.csv by default",
}
"""CSV files about a class, and their columns."""


def add_arguments(parser):
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
    parser.add_argument("--jobs", type=positive, default=2, help="how many at once; 2 by default")
    parser.add_argument(
        "--timeout",
        type=positive,
        default=20,
        metavar="SECONDS",
        help="how long one exercise may compute; 20 by default",
    )
    parser.add_argument(
        "--again",
        nargs="?",
        const="",
        metavar="LEARNER",
        help="grade again what was graded, of one learner or of all",
    )
    parser.add_argument(
        "--scheduler", default="", metavar="ADDRESS", help="let a Dask cluster do the work"
    )
    parser.add_argument(
        "--no-sandbox",
        action="store_true",
        help="run what learners wrote with all your rights: never for people you don't know",
    )
    _add_arguments_for_classes(parser.add_argument_group("for a class (see docs/grading.md)"))


def _add_arguments_for_classes(group):
    for name, told in TABLES.items():
        group.add_argument(f"--{name}", type=Path, metavar="FILE.csv", help=told)
    group.add_argument(
        "--deadline", metavar="TIME", help="with its time zone, such as 2026-12-01T23:59+01:00"
    )
    group.add_argument(
        "--late",
        metavar="RULE",
        help="what being late costs; without it, it is only told. A rule is " + GRAMMAR,
    )
    group.add_argument(
        "--anonymous",
        action="store_true",
        help="write scores without names as well, into OUT/anonymous",
    )
    group.add_argument(
        "--partial",
        action="store_true",
        help="an answer that is right on at least half of the probes gets that share of the points",
    )


def work(options):
    from course_utils.classroom.grading import classes, grade
    from course_utils.classroom.grading.records import GRADER_ERROR, Limits

    a_class = classes.read_class(options)
    results = grade.grade(
        options.submissions,
        options.out,
        options.jobs,
        not options.no_sandbox,
        options.scheduler,
        Limits(seconds=options.timeout, waiting=5 * options.timeout),
        options.again,
        a_class.report,
        options.partial,
    )
    print(grade.summarize(classes.without_missing(results), options.out))
    for line in a_class.summary():
        print(line)
    failed = any(result.status == GRADER_ERROR for result in results)
    return 1 if failed or a_class.book.problems else 0
