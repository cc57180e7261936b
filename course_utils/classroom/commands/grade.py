"""`course grade`."""

from pathlib import Path

from course_utils.classroom.commands import positive

SUMMARY = "grade submissions in a sandbox: scores and feedback"


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


def work(options):
    from course_utils.classroom.grading import grade
    from course_utils.classroom.grading.records import GRADER_ERROR, Limits

    results = grade.grade(
        options.submissions,
        options.out,
        options.jobs,
        not options.no_sandbox,
        options.scheduler,
        Limits(seconds=options.timeout, waiting=5 * options.timeout),
        options.again,
    )
    print(grade.summarize(results, options.out))
    return 1 if any(result.status == GRADER_ERROR for result in results) else 0
