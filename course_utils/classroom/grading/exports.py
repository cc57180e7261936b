"""A class's points as the gradebooks of Canvas and Moodle import them, and without names.

Canvas wants the columns Student, ID, SIS User ID, SIS Login ID and Section in this order, then one
for each assignment, and a row "Points Possible". It finds a learner by ID, its own number; failing
that by the SIS ids; failing that by the name. Source: lib/gradebook_importer.rb of
github.com/instructure/canvas-lms.

Moodle takes any columns and asks what each means: choose "ID number" or "Email address" for who it
is, and a grade item for each notebook. Where the column that says who it is has a gap, Moodle gives
the points to the learner of the line before; so e-mails are there for everybody or for nobody.
Source: docs.moodle.org, "Grade import"; grade/import/csv/classes/load_data.php of
github.com/moodle/moodle.

Learners who handed in nothing have no row in either, since an empty cell can clear a grade that
was entered there before.
"""

import hmac
from collections.abc import Callable
from pathlib import Path

from course_utils.classroom.grading.gradebook import Total
from course_utils.classroom.grading.records import GRADER_ERROR, MISSING, Result
from course_utils.classroom.grading.reports import as_csv, as_number, write_report

CANVAS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]


def write_exports(totals: list[Total], out: Path) -> None:
    """Writes canvas.csv and moodle.csv, with the learners of the roster who handed something in."""
    known = [(t.member, t) for t in totals if t.member and t.status != MISSING]
    out_of = totals[0].out_of if totals else {}
    most = [as_number(points) or "" for points in out_of.values()]
    canvas: list[list] = [[*CANVAS, *out_of], ["    Points Possible", "", "", "", "", *most]]
    has_emails = all(member.email for member, _ in known)
    moodle: list[list] = [["ID number", *(["Email address"] if has_emails else []), *out_of]]
    for member, total in known:
        points = [total.points_in(notebook) for notebook in out_of]
        ids = [member.canvas, member.id, member.login, member.section]
        canvas.append([member.name or member.id, *ids, *points])
        moodle.append([member.id, *([member.email] if has_emails else []), *points])
    write_report(out / "canvas.csv", as_csv(canvas))
    write_report(out / "moodle.csv", as_csv(moodle))


def pseudonyms(secret: bytes) -> Callable[[str], str]:
    """The function that gives a learner another name: always the same one, for the same secret.

    Without the secret nobody can tell which name belongs to it, not even by trying all names.
    """

    def pseudonym(learner):
        text = f"pseudonym of {learner}".encode(errors="surrogatepass")
        return hmac.new(secret, text, "sha256").hexdigest()[:12]

    return pseudonym


def write_anonymous(results: list[Result], secret: bytes, out: Path) -> None:
    """Writes scores.csv and exercises.csv into `out`, with nothing that a learner has written.

    Names, ids, files, times, messages and answers are left out. Rows are in the order of the
    pseudonyms, which says nothing about the learners.
    """
    pseudonym = pseudonyms(secret)
    scores: list[list] = [["learner", "notebook", "points", "out_of", "status"]]
    exercises: list[list] = [["learner", "notebook", "exercise", "points", "out_of", "verdict"]]
    named = [(pseudonym(result.learner), result) for result in results if result.counted]
    for name, result in sorted(named, key=lambda pair: (pair[0], pair[1].notebook)):
        points = "" if result.status == GRADER_ERROR else as_number(result.points)
        scores.append([name, result.notebook, points, result.out_of, result.status])
        for verdict in result.exercises:
            points = "" if verdict.kind == GRADER_ERROR else verdict.points
            row = [name, result.notebook, verdict.exercise, points, verdict.out_of, verdict.kind]
            exercises.append(row)
    write_report(out / "scores.csv", as_csv(scores))
    write_report(out / "exercises.csv", as_csv(exercises))
