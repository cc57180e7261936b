"""Exports, statistics, equal answers and free texts of a class, on results that are made up."""

import csv
import json
import re

import nbformat
import pytest
from browser import Browser, needs_browser
from grading_class import MASTERS, cell_of, solved

from course_utils.classroom import UsageError
from course_utils.classroom.command import main
from course_utils.classroom.grading import classes, free_text, grade
from course_utils.classroom.grading.class_statistics import statistics_of, write_statistics
from course_utils.classroom.grading.equal_answers import (
    WARNING,
    equal_answers,
    fingerprint,
    summary,
    write_equal_answers,
)
from course_utils.classroom.grading.exports import pseudonyms, write_anonymous, write_exports
from course_utils.classroom.grading.gradebook import Gradebook
from course_utils.classroom.grading.handed_in import find_submissions
from course_utils.classroom.grading.overrides import read_overrides
from course_utils.classroom.grading.records import GRADER_ERROR, Result, Verdict
from course_utils.classroom.grading.roster import Member, Roster
from course_utils.classroom.grading.submissions import read_cells

STEM = "04_occlusion"
EXERCISE = next(iter(MASTERS[STEM].points))
PUBLISHED = classes.published(MASTERS)
QUESTION = free_text.Question("04-20", 2, "Your <guess>", STEM)


def result(learner, points=2, notebook=STEM, **fields):
    """A result with one exercise of two points."""
    kind = "passed" if points == 2 else "wrong values"
    fields = {"kind": kind, "points": points, "out_of": 2} | fields
    return Result(learner, "x.ipynb", notebook, exercises=[Verdict(EXERCISE, **fields)])


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


# ---------------------------------------------------------------------------- exports


def test_canvas_and_moodle_get_their_columns(tmp_path):
    roster = Roster(
        [
            Member("s1", "Lovelace, Ada", "ada@example.org", login="ada", canvas="77", section="A"),
            Member("s2", "=HYPERLINK(1)", "+x@example.org"),
            Member("s3", "Émilie", "emilie@example.org"),
        ]
    )
    book = Gradebook(roster, catalogue={(STEM, EXERCISE): 2, ("05_saliency", "other"): 3})
    failed = Result("s2", "y.ipynb", "05_saliency", GRADER_ERROR, "no memory")
    book.report([result("s1"), result("s2", 1.5), failed, result("mallory")], tmp_path)
    write_exports(book.totals, tmp_path)
    assert table(tmp_path / "canvas.csv") == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", STEM, "05_saliency"],
        ["    Points Possible", "", "", "", "", "2", "3"],
        ["Lovelace, Ada", "77", "s1", "ada", "A", "2", ""],
        ["'=HYPERLINK(1)", "", "s2", "", "", "1.5", ""],
    ]
    assert table(tmp_path / "moodle.csv") == [
        ["ID number", "Email address", STEM, "05_saliency"],
        ["s1", "ada@example.org", "2", ""],
        ["s2", "'+x@example.org", "1.5", ""],
    ]


def test_moodle_gets_no_emails_where_one_is_missing(tmp_path):
    book = Gradebook(Roster([Member("s1", "Ada", "ada@example.org"), Member("s2")]))
    book.report([result("s1"), result("s2", 0)], tmp_path)
    write_exports(book.totals, tmp_path)
    rows = table(tmp_path / "moodle.csv")
    assert rows == [["ID number", STEM], ["s1", "2"], ["s2", "0"]]


def test_pseudonyms_are_stable_and_need_the_secret():
    names = [f"learner {number}" for number in range(300)]
    first, again, other = (list(map(pseudonyms(key), names)) for key in (b"a", b"a", b"b"))
    assert first == again
    assert len({*first, *other}) == 600


def test_an_anonymous_export_holds_nothing_of_the_learners(tmp_path):
    secrets = ["ada", "Lovelace", "ada@example.org", "x.ipynb", "my message", "def mine", "home"]
    told = {"message": "my message", "html": "Lovelace", "answer": "def mine(): pass"}
    graded = result("ada", 1, **told)
    graded.notes = ["Lovelace"]
    odd = Result("ada lovelace", "/home/ada", "", "nothing to grade", "ada@example.org is no file")
    write_anonymous([graded, odd, result("zoe")], b"secret", tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["exercises.csv", "scores.csv"]
    text = "".join(path.read_text() for path in files)
    assert not [secret for secret in secrets if secret.lower() in text.lower()]
    rows = table(tmp_path / "scores.csv")[1:]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert sorted(row[2] for row in rows) == ["0", "1", "2"]


# ---------------------------------------------------------------------------- statistics


def test_statistics_count_what_counts():
    results = [
        result("a"),
        result("b", 0, message="got -1.5, expected 3"),
        result("c", 0, message="got 22, expected 0.25"),
        result("d", 1, kind="known mistake", message="a sum"),
        result("e", 0, kind="grader error"),
        result("f"),
        result("g", 0.5, kind="set by hand", message="Ask Ada."),
    ]
    results[5].counted = False
    (one,) = statistics_of(results)
    assert (one.answers, one.passed, one.pass_rate, one.mean) == (5, 1, 0.2, 0.7)
    assert one.kinds == {"wrong values": 2, "known mistake": 1, "set by hand": 1}
    assert one.hints["wrong values", "got #, expected #"] == 2
    assert one.hints["set by hand", ""] == 1


def test_the_page_of_statistics_is_safe_and_asks_nobody(tmp_path):
    results = [result("a"), result("b", 0, message="<script>alert(1)</script>")]
    write_statistics(results, tmp_path)
    page = (tmp_path / "statistics.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "50 % (1 of 2)" in page
    assert "width:50%" in page
    assert not re.search(r"https?:|src=|@import", page)
    head, row = table(tmp_path / "statistics.csv")
    assert dict(zip(head, row))["pass_rate"] == "0.5"


def test_statistics_of_nothing_are_a_page(tmp_path):
    write_statistics([], tmp_path)
    assert "Nothing was graded" in (tmp_path / "statistics.html").read_text()


# ---------------------------------------------------------------------------- equal answers

ANSWER = '''def blur(image, size):
    """Says how."""
    total = image.sum(axis=1)  # a comment
    for row in range(size):
        total[row] += helper(image, axis=row)
    return total
'''

SAME = [
    ANSWER.replace("total", "acc").replace("row", "i"),
    ANSWER.replace('    """Says how."""\n', "").replace("  # a comment", ""),
    ANSWER.replace("image, size", "image,\n         size").replace(
        "    total = ", "\n    total = "
    ),
    ANSWER.replace('"""Says how."""', "'another'"),
    "%matplotlib inline\n" + ANSWER,
    ANSWER.replace("size", "axis2").replace("image", "x"),
]
OTHER = [
    ANSWER.replace("axis=1", "axis=0"),
    ANSWER.replace("sum", "mean"),
    ANSWER.replace("helper", "other"),
    ANSWER.replace("range(size)", "range(image)"),
    ANSWER.replace("+=", "-="),
    ANSWER.replace("axis=row", "axes=row"),
    ANSWER.replace("axis=1", "axis='1'"),
]


@pytest.mark.parametrize("source", SAME)
def test_names_comments_and_formatting_make_no_difference(source):
    assert source != ANSWER
    assert fingerprint(source, "blur") == fingerprint(ANSWER, "blur")


@pytest.mark.parametrize("source", OTHER)
def test_what_is_computed_makes_a_difference(source):
    assert source != ANSWER
    assert fingerprint(source, "blur")[0] != fingerprint(ANSWER, "blur")[0]


def test_a_name_is_no_text_and_no_attribute():
    attribute = "def f(a):\n    {0} = a\n    return a.shape, '{0}', {0}\n"
    one, two = (fingerprint(attribute.format(name), "f")[0] for name in ("shape", "b"))
    assert one != two  # the texts differ
    code = "def f(a):\n    {0} = a\n    return a.shape, {0}\n"
    one, two = (fingerprint(code.format(name), "f")[0] for name in ("shape", "b"))
    assert one == two


@pytest.mark.parametrize(
    "source",
    ["def f(:", "(" * 5000, "x" * 200_000, "\0", f"x = {'9' * 5000}", "a" + ".a" * 40_000],
)
def test_what_is_no_answer_has_no_fingerprint_or_one(source):
    assert fingerprint(source, "f") is None or len(fingerprint(source, "f")[0]) == 64


def test_huge_numbers_have_a_fingerprint():
    one, two = (fingerprint(f"x = 0x{digit * 9000}", "f") for digit in "ab")
    assert one[0] != two[0]


def test_equal_answers_are_grouped_and_the_published_one_is_no_match(tmp_path):
    own = PUBLISHED[STEM, EXERCISE].replace("    ### BEGIN SOLUTION\n", "    # mine\n")
    answers = {"ada": ANSWER, "bob": SAME[0], "eve": OTHER[0], "kim": own, "lee": own}
    results = [result(learner, answer=answer) for learner, answer in answers.items()]
    results.append(result("mia", answer=ANSWER))
    results[-1].counted = False
    untouched = [result(name, 0, kind="not attempted", answer=ANSWER) for name in ("no", "ne")]
    groups = equal_answers(results + untouched, PUBLISHED)
    assert [(group.learners, group.is_published) for group in groups] == [
        (("ada", "bob"), False),
        (("kim", "lee"), True),
    ]
    assert summary(groups) == [
        "1 group of equal answers, of 2 learners; see equal_answers.csv.",
        "2 learners hand in answers that equal the published solution.",
        WARNING,
    ]
    write_equal_answers(groups, tmp_path)
    rows = table(tmp_path / "equal_answers.csv")
    assert [row[3] for row in rows[1:]] == ["ada", "bob", "kim", "lee"]
    assert summary([]) == []


# ---------------------------------------------------------------------------- free texts


def written(*texts, inside=""):
    """A notebook with a learner's texts at the question, and in its own cell."""
    book = solved(STEM)
    place = next(n for n, cell in enumerate(book.cells) if cell.id == QUESTION.cell)
    book.cells[place].source += inside
    for number, text in enumerate(texts, 1):
        book.cells.insert(place + number, nbformat.v4.new_markdown_cell(text))
    return nbformat.writes(book).encode()


@pytest.mark.parametrize(
    "content, text",
    [
        (written(), ""),
        (written("Four times."), "Four times."),
        (written("Four", "or five."), "Four\n\nor five."),
        (written(inside="\n\nMine."), "Mine."),
        (written("b", inside="\na"), "a\n\nb"),
        (written("  "), ""),
    ],
)
def test_what_a_learner_wrote_is_found(content, text):
    assert free_text.answer_to(QUESTION, read_cells(content), MASTERS[STEM]) == text


@pytest.mark.parametrize(
    "text, told",
    [
        ("cell,points\nnone,2\n", "line 2, names a cell that no notebook has: 'none'"),
        ("cell,points\n04-20,2\n04-20,2\n", "line 3, names the cell 04-20 again"),
        ("cell,points\n04-20,0\n", "line 2, has '0' for points"),
        ("cell,points\n04-20,-1\n", "line 2, has '-1' for points"),
        ("cell,title\n04-20,x\n", "line 1, must name a column 'points'"),
    ],
)
def test_wrong_questions_are_told(tmp_path, text, told):
    path = tmp_path / "questions.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        free_text.read_questions(path, MASTERS)


@needs_browser
def test_marks_are_saved_as_a_table_that_can_be_read(tmp_path):
    learners = ["=1+1", 'O"Brien, <Ada>', "eve", "zoe"]
    texts = {(name, QUESTION.cell): "</pre><script>alert(1)</script>" for name in learners}
    free_text.write_page(texts, [QUESTION], [], str, tmp_path)
    page = (tmp_path / "answers.html").resolve().as_uri()
    note = '-"so, so"; é'
    with Browser(tmp_path / "profile") as browser:
        browser.open(page)
        browser.evaluate(
            "saved = null; URL.createObjectURL = blob => { saved = blob; return '#'; }"
        )
        for number, points in enumerate(["1.5", "3", "", "0"]):
            box = f"document.querySelectorAll('fieldset')[{number}]"
            browser.evaluate(f"{box}.querySelector('.points').value = '{points}'")
            browser.evaluate(f"{box}.querySelector('.note').value = {json.dumps(note)}")
        browser.click("#save button")
        assert browser.evaluate("saved === null")  # the question has 2 points
        browser.evaluate("document.querySelectorAll('.points')[1].value = '2'")
        browser.click("#save button")
        (tmp_path / "marks.csv").write_text(browser.wait("saved && saved.text()"))
        assert browser.requests == [page]
    marks = [(m.learner, m.points, m.note) for m in read_overrides(tmp_path / "marks.csv")]
    expected = sorted(zip(learners, [1.5, 2, None, 0]))
    assert sorted(marks) == [(who, got, note) for who, got in expected if got is not None]


# ---------------------------------------------------------------------------- all of it


@pytest.fixture
def a_class(tmp_path, monkeypatch):
    """Three learners' notebooks, a roster of four, and a grader that gives one point for each."""

    def graded(task):
        asked.append(task.learner)
        names = MASTERS[STEM].points
        verdicts = [
            Verdict(name, "wrong values", 1, points, answer=PUBLISHED[STEM, name])
            for name, points in names.items()
        ]
        return Result(task.learner, task.file, STEM, exercises=verdicts, submitted=task.submitted)

    asked = []
    monkeypatch.setattr(grade, "grade_one", graded)
    monkeypatch.setattr(grade, "rehearse", lambda *_: None)
    for name, text in {"ada": "<b>Four</b>", "Bob": "=1+1", "eve": ""}.items():
        folder = tmp_path / "all" / name
        folder.mkdir(parents=True)
        (folder / f"{STEM}.ipynb").write_bytes(written(text))
    (tmp_path / "out").mkdir()
    (tmp_path / "roster.csv").write_text(
        "id;name;e-mail\ns1;Ada;ada@example.org\ns2;Bob;bob@example.org\ns4;Kim Lee;\neve;Eve;\n"
    )
    (tmp_path / "questions.csv").write_text("cell,points,title\n04-20,2,Your <guess>\n")
    return tmp_path, asked


def run(folder, *extra):
    places = [str(folder / "all"), "--out", str(folder / "out")]
    roster = ["--roster", str(folder / "roster.csv")]
    questions = ["--questions", str(folder / "questions.csv")]
    return main(["grade", *places, *roster, *questions, "--anonymous", *extra])


def test_a_class_from_the_command_line(a_class, capsys):
    folder, asked = a_class
    assert run(folder) == 0
    told = capsys.readouterr().out
    assert "Nothing handed in: s4 (Kim Lee)." in told
    assert "3 learners hand in answers that equal the published solution." in told
    assert WARNING in told
    page = (folder / "out" / "answers.html").read_text()
    assert "&lt;b&gt;Four&lt;/b&gt;" in page
    assert "<b>Four" not in page
    assert page.count("<fieldset") == 2
    assert "Ada" not in page
    assert not re.search(r"https?:|src=|@import", page)
    points = {row[0]: row[3] for row in table(folder / "out" / "totals.csv")[1:]}
    each = str(len(MASTERS[STEM].points))
    assert points == {"eve": each, "s1": each, "s2": each, "s4": "0"}
    anonymous = "".join(p.read_text() for p in (folder / "out" / "anonymous").iterdir())
    others = re.sub(r"^[0-9a-f]{12},", ",", anonymous, flags=re.M)  # a pseudonym may hold "ada"
    assert others != anonymous and not re.search(r"ada|bob|eve|s1|kim|@", others, re.I)

    (folder / "out" / "marks.csv").write_text('learner,question,points,note\ns1,04-20,2,"Good"\n')
    (folder / "out" / "overrides.csv").write_text(
        f"learner,exercise,points,note\nBob,{EXERCISE},0,copied\nnobody,{EXERCISE},0,\n"
    )
    asked.clear()
    assert run(folder) == 1
    assert "line 3, names a learner who is not in the class: 'nobody'." in capsys.readouterr().out
    assert asked == []  # what was graded was kept
    again = {row[0]: row[3] for row in table(folder / "out" / "totals.csv")[1:]}
    assert int(again["s1"]) == int(each) + 2
    assert int(again["s2"]) == int(each) - 1
    feedback = (folder / "out" / "feedback" / "s1.html").read_text()
    assert "Your &lt;guess&gt;: 2 of 2 points, set by hand." in feedback
    assert 'value="2"' in (folder / "out" / "answers.html").read_text()
    scores = json.loads((folder / "out" / "scores.json").read_text())
    assert {entry["learner"] for entry in scores} == {"s1", "s2", "s4", "eve"}


def test_tables_are_checked_before_anything_is_graded(a_class, capsys):
    folder, asked = a_class
    assert run(folder, "--late", "0") == 2
    assert "--late says nothing without a --deadline" in capsys.readouterr().err
    assert run(folder, "--deadline", "2026-12-01T23:59Z", "--late", "often") == 2
    (folder / "roster.csv").write_text("name\nAda\n")
    assert run(folder) == 2
    assert "line 1, must name a column 'id'" in capsys.readouterr().err
    assert asked == []


def test_files_that_are_none_have_no_texts(tmp_path):
    contents = {"a": b"[" * 100_000, "b": b"", "c": written("Text."), "d": b'{"cells": 1}'}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{STEM}.ipynb").write_bytes(content)
    texts = free_text.texts_of(find_submissions([tmp_path]), [QUESTION], MASTERS)
    assert texts == {("c", QUESTION.cell): "Text."}
    assert cell_of(solved(STEM), EXERCISE).source == PUBLISHED[STEM, EXERCISE]
