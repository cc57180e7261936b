"""What `course grade` does for a whole class: its options, its tables, and all that it writes."""

from dataclasses import dataclass, field
from pathlib import Path

from course_utils.classroom import UsageError
from course_utils.classroom.grading import equal_answers, free_text
from course_utils.classroom.grading.class_statistics import write_statistics
from course_utils.classroom.grading.equal_answers import write_equal_answers
from course_utils.classroom.grading.exports import write_anonymous, write_exports
from course_utils.classroom.grading.gradebook import Gradebook
from course_utils.classroom.grading.handed_in import find_submissions
from course_utils.classroom.grading.lateness import Rule, read_deadline, read_submitted
from course_utils.classroom.grading.overrides import read_overrides
from course_utils.classroom.grading.records import MISSING, Result
from course_utils.classroom.grading.roster import read_roster
from course_utils.classroom.grading.submissions import Master, read_masters


@dataclass
class Class:
    """A class whose tables have been read; its `report` is for `grade.grade`."""

    book: Gradebook
    submissions: list[Path]
    masters: dict[str, Master]
    questions: list[free_text.Question] = field(default_factory=list)
    marks: list = field(default_factory=list)
    is_anonymous: bool = False
    equal: list[equal_answers.Group] = field(default_factory=list)

    def report(self, results: list[Result], out: Path) -> None:
        """Takes the tables into the results, which it changes, and writes everything."""
        free_text.add_questions(results, self.questions)
        self.book.report(results, out)
        write_statistics(results, out)
        self.equal = equal_answers.equal_answers(results, published(self.masters))
        write_equal_answers(self.equal, out)
        if self.book.roster:
            write_exports(self.book.totals, out)
        if self.questions:
            self._write_texts(out)
        if self.is_anonymous:
            secret = (out / "secret_seed").read_bytes().strip()
            write_anonymous(results, secret, out / "anonymous")

    def _write_texts(self, out):
        submissions = find_submissions(self.submissions, out)
        texts = free_text.texts_of(submissions, self.questions, self.masters)
        free_text.write_page(texts, self.questions, self.marks, self._name_of, out)

    def _name_of(self, learner):
        member = self.book.roster.find(learner) if self.book.roster else None
        return member.id if member else learner

    def summary(self) -> list[str]:
        """Lines for the terminal."""
        return self.book.summary() + equal_answers.summary(self.equal)


def published(masters: dict[str, Master]) -> dict[tuple[str, str], str]:
    """{(notebook, exercise): the source of the course's own answer}."""
    return {
        (stem, name): master.cells[number].source
        for stem, master in masters.items()
        for name, number in master.answers.items()
    }


def read_class(options) -> Class:
    """Reads the tables that the options of the command line name; raises UsageError.

    overrides.csv and marks.csv in the folder of the results are read also if they aren't named.
    """
    deadline = read_deadline(options.deadline) if options.deadline else None
    for name in ("late", "submitted"):
        if getattr(options, name) and not deadline:
            raise UsageError(f"--{name} says nothing without a --deadline.")
    submitted = []
    if options.submitted and deadline:
        submitted = read_submitted(options.submitted, deadline)
    masters = read_masters()
    questions = free_text.read_questions(options.questions, masters) if options.questions else []
    marks = _table(options.marks, options.out / "marks.csv")
    catalogue = {
        (stem, name): points
        for stem, master in masters.items()
        for name, points in master.points.items()
    }
    catalogue |= {(question.notebook, question.cell): question.points for question in questions}
    book = Gradebook(
        roster=read_roster(options.roster) if options.roster else None,
        overrides=marks + _table(options.overrides, options.out / "overrides.csv"),
        catalogue=catalogue,
        deadline=deadline,
        rule=Rule.parse(options.late) if options.late else None,
        submitted=submitted,
        roster_path=options.roster or Path(),
        submitted_path=options.submitted or Path(),
    )
    return Class(book, options.submissions, masters, questions, marks, options.anonymous)


def _table(named, usual):
    path = named or (usual if usual.is_file() else None)
    return read_overrides(path) if path else []


def without_missing(results: list[Result]) -> list[Result]:
    """Those of learners who handed something in."""
    return [result for result in results if result.status != MISSING]
