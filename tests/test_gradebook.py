"""The gradebook: rosters, points by hand, lateness and totals, on results that are made up."""

import csv
import random
from datetime import datetime, timedelta

import pytest

from course_utils.classroom import UsageError
from course_utils.classroom.grading.gradebook import Gradebook
from course_utils.classroom.grading.lateness import (
    Rule,
    in_words,
    read_deadline,
    read_submitted,
)
from course_utils.classroom.grading.overrides import read_overrides
from course_utils.classroom.grading.records import (
    GRADED,
    GRADER_ERROR,
    MISSING,
    NOTHING_TO_GRADE,
    SET_BY_HAND,
    Result,
    Verdict,
)
from course_utils.classroom.grading.reports import as_csv
from course_utils.classroom.grading.roster import Roster, read_roster
from course_utils.classroom.grading.tables import read_table

CATALOGUE = {
    ("04_occlusion", "box_blur"): 2,
    ("04_occlusion", "occlude"): 3,
    ("05_saliency", "saliency"): 4,
    ("07_cam", "overlap"): 1,
    ("10_unpooling", "overlap"): 2,
}
DEADLINE = read_deadline("2026-12-01T23:59+01:00")

ROSTER = """id,name,e-mail
s1,Ada Lovelace,ada@example.org
s2,Grace Hopper,grace@example.org
s3,Émilie du Châtelet,emilie@example.org
"""


def graded(learner, notebook="04_occlusion", points=(2, 3), **fields):
    """A result with these points in the notebook's exercises, the first of which may be all."""
    exercises = [(name, most) for (other, name), most in CATALOGUE.items() if other == notebook]
    verdicts = [
        Verdict(
            name,
            "passed" if got == most else "wrong values",
            got,
            most,
            html=f"<p>box of {name}</p>",
        )
        for (name, most), got in zip(exercises, points)
    ]
    return Result(learner, f"{notebook}.ipynb", notebook, exercises=verdicts, **fields)


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["learner"]: row for row in csv.DictReader(file)}


# ---------------------------------------------------------------------------- tables


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_roster_is_read_as_spreadsheets_write_it(tmp_path, encoding, separator, end):
    lines = [
        ["E-Mail", "Student  Number", " NAME "],
        ["ada@example.org", "007", '"Lovelace, Ada"' if separator == "," else "Lovelace, Ada"],
        ["", "", ""],
        ["", "s2", "Émilie"],
    ]
    text = end.join(separator.join(line) for line in lines)
    members = read_roster(write(tmp_path, "roster.csv", text, encoding)).members
    assert [(m.id, m.name, m.email) for m in members] == [
        ("007", "Lovelace, Ada", "ada@example.org"),
        ("s2", "Émilie", ""),
    ]


def test_first_and_last_names_make_a_name(tmp_path):
    text = "sep=;\nFirst name;Surname;ID number\nAda;Lovelace;s1\n"
    assert read_roster(write(tmp_path, "roster.csv", text)).members[0].name == "Ada Lovelace"


WRONG_ROSTERS = {
    "": "is empty",
    "\n\n": "is empty",
    "id,name\n": "names nobody",
    "name,e-mail\nAda,a@b\n": "line 1, must name a column 'id'; it names name, e-mail",
    "id,name,ID\ns1,Ada,s1\n": "line 1, names the column id twice",
    "id,name\ns1,Ada\n\n,Grace\n": "line 4, has nothing in the column id",
    "id,name\ns1,Ada\ns2,Grace\nS1,Émilie\n": "line 4, has the same id as line 2",
    "id,name\ns1,Ada,Lovelace\n": "line 2, has 3 fields, but there are 2 columns",
    "id,e-mail\ns1,nowhere\n": "line 2, has 'nowhere' for an e-mail",
    'id,name\ns1,"Ada\n': "can't be read",
}


@pytest.mark.parametrize("text", WRONG_ROSTERS)
def test_a_wrong_roster_is_a_sentence_with_the_line(tmp_path, text):
    with pytest.raises(UsageError) as told:
        read_roster(write(tmp_path, "roster.csv", text))
    assert WRONG_ROSTERS[text] in str(told.value)
    assert "\n" not in str(told.value)


def test_a_table_in_another_encoding_says_which_line(tmp_path):
    path = write(tmp_path, "roster.csv", "id,name\ns1,Ada\ns3,Émilie\n", "latin-1")
    with pytest.raises(UsageError, match="line 3, is not UTF-8"):
        read_roster(path)
    with pytest.raises(UsageError, match="can't be read"):
        read_roster(tmp_path / "none.csv")


@pytest.mark.parametrize("seed", range(20))
def test_whatever_our_reports_write_is_read_again(tmp_path, seed):
    draw = random.Random(seed)
    letters = ["a", "é", ",", ";", "\t", '"', "\n", " ", "=", "-", "0"]
    texts = [["".join(draw.choices(letters, k=5)) for _ in range(2)] for _ in range(20)]
    path = write(tmp_path, "table.csv", as_csv([["b", "a"], *texts]))
    rows = read_table(path, {"a": (), "b": ()}, ())
    assert [[r["b"], r["a"]] for r in rows] == [[b.strip(), a.strip()] for b, a in texts]


@pytest.mark.parametrize("seed", range(200))
def test_a_table_of_any_bytes_is_read_or_told_in_a_sentence(tmp_path, seed):
    draw = random.Random(seed)
    pieces = [b"id", b",", b";", b"\n", b"\r", b'"', b"\0", b"\xff\xfe", b"sep=", b"\xc3", b"name"]
    (tmp_path / "roster.csv").write_bytes(b"".join(draw.choices(pieces, k=draw.randrange(12))))
    try:
        assert read_roster(tmp_path / "roster.csv").members
    except UsageError as told:
        assert str(told).endswith(".") and str(told).isprintable()


@pytest.mark.parametrize(
    "folder",
    ["s1", "S1", "Ada Lovelace", "ada  lovelace", "ada@example.org"]
    + ["Ada Lovelace_123456_assignsubmission_file"],
)
def test_a_folder_is_matched_with_the_roster(tmp_path, folder):
    assert read_roster(write(tmp_path, "roster.csv", ROSTER)).find(folder).id == "s1"


def test_names_are_matched_however_their_accents_are_written(tmp_path):
    roster = read_roster(write(tmp_path, "roster.csv", ROSTER))
    assert roster.find("E\u0301milie du Cha\u0302telet").id == "s3"


def test_a_name_that_two_have_is_nobodys(tmp_path):
    text = "id,name,folder\ns1,Kim,kim1\ns2,Kim,\nkim,Lee,\n"
    roster = read_roster(write(tmp_path, "roster.csv", text))
    assert roster.find("Kim").id == "kim"
    assert roster.find("kim1").id == "s1"
    text = "id,name\ns1,Kim\ns2,Kim\n"
    assert read_roster(write(tmp_path, "roster.csv", text)).find("Kim") is None


# ---------------------------------------------------------------------------- totals


def test_totals_and_who_is_missing(tmp_path):
    roster = read_roster(write(tmp_path, "roster.csv", ROSTER))
    results = [
        graded("s1"),
        graded("Ada Lovelace", "05_saliency", [4]),
        graded("Grace Hopper", points=(2, 0)),
        graded("mallory"),
    ]
    book = Gradebook(roster)
    book.report(results, tmp_path)
    totals = rows(tmp_path / "totals.csv")
    assert list(totals) == ["mallory", "s1", "s2", "s3"]
    assert totals["s1"]["points"] == "9"
    assert totals["s1"]["status"] == GRADED
    assert totals["s1"]["email"] == "ada@example.org"
    assert totals["s2"]["04_occlusion"] == "2"
    assert totals["s2"]["05_saliency"] == ""
    assert totals["s2"]["status"] == "incomplete"
    assert totals["s2"]["missing"] == "05_saliency"
    assert totals["s3"]["status"] == MISSING
    assert {row["out_of"] for row in totals.values()} == {"9"}
    assert rows(tmp_path / "scores.csv")["s3"]["status"] == MISSING
    assert "Nothing was handed in" in (tmp_path / "feedback" / "s3.html").read_text()
    assert book.summary() == [
        "Nothing handed in: s3 (Émilie du Châtelet).",
        "Not in the roster: mallory.",
    ]


def test_pages_under_the_names_of_folders_go_when_there_is_a_roster(tmp_path):
    roster = read_roster(write(tmp_path, "roster.csv", ROSTER))
    names = ["Ada Lovelace", "mallory"]
    Gradebook().report([graded(name) for name in names], tmp_path)
    Gradebook(roster).report([graded(name) for name in names], tmp_path)
    pages = {path.stem for path in (tmp_path / "feedback").iterdir()}
    assert pages == {"mallory", "s1", "s2", "s3"}


def test_an_error_of_the_grader_leaves_the_total_open(tmp_path):
    failed = Result("ada", "x.ipynb", "05_saliency", GRADER_ERROR, "no memory")
    book = Gradebook()
    book.report([graded("ada"), failed, graded("bob")], tmp_path)
    totals = rows(tmp_path / "totals.csv")
    assert totals["ada"]["points"] == totals["ada"]["05_saliency"] == ""
    assert totals["ada"]["status"] == GRADER_ERROR
    assert totals["ada"]["04_occlusion"] == "5"
    assert totals["bob"]["points"] == "5"


def test_only_the_best_of_the_same_notebook_is_in_the_total(tmp_path):
    results = [graded("ada"), graded("ada", points=(2, 0)), Result("bob", "b.zip", "")]
    results[-1].status = NOTHING_TO_GRADE
    Gradebook().report(results, tmp_path)
    totals = rows(tmp_path / "totals.csv")
    assert totals["ada"]["points"] == "5"
    assert totals["bob"]["points"] == "0"
    assert totals["bob"]["status"] == NOTHING_TO_GRADE


# ---------------------------------------------------------------------------- points by hand


def overridden(tmp_path, text, results, roster=None):
    overrides = read_overrides(write(tmp_path, "overrides.csv", text))
    book = Gradebook(roster, overrides, CATALOGUE)
    book.report(results, tmp_path)
    return book


def test_points_by_hand_and_their_note(tmp_path):
    text = "Learner;Exercise;Points;Note\nada;occlude;1,5;Nice <idea>\n"
    for _ in range(2):  # as after a regrading
        results = [graded("ada", points=(2, 0)), graded("bob", points=(2, 0))]
        assert not overridden(tmp_path, text, results).problems
        totals = rows(tmp_path / "totals.csv")
        assert (totals["ada"]["points"], totals["bob"]["points"]) == ("3.5", "2")
    page = (tmp_path / "feedback" / "ada.html").read_text()
    assert "occlude: 1.5 of 3 points, set by hand." in page
    assert "Nice &lt;idea&gt;" in page
    assert "box of occlude" in page
    assert "3.5 of 5 points" in page
    assert results[0].exercises[1].kind == SET_BY_HAND


def test_a_wrong_line_of_overrides_is_told_and_the_others_apply(tmp_path):
    text = (
        "learner,exercise,points,note\n"
        "eve,occlude,1,\n"
        "ada,oclude,1,\n"
        "ada,occlude,4,\n"
        "ada,occlude,-1,\n"
        "ada,saliency,4,by mail\n"
        "ada,occlude,3,\n"
    )
    book = overridden(tmp_path, text, [graded("ada", points=(0, 0))])
    told = [problem.split(", ", 1)[1] for problem in book.problems]
    assert told == [
        "line 2, names a learner who is not in the class: 'eve'.",
        "line 3, names an exercise that there isn't: 'oclude'.",
        "line 4, gives 4 points for occlude, which has 0 to 3.",
        "line 5, gives -1 points for occlude, which has 0 to 3.",
    ]
    assert book.summary() == book.problems
    total = rows(tmp_path / "totals.csv")["ada"]
    assert (total["04_occlusion"], total["05_saliency"]) == ("3", "4")


def test_an_exercise_that_two_notebooks_have_needs_the_notebook(tmp_path):
    text = (
        "learner,notebook,exercise,points\n"
        "ada,,overlap,1\n"
        "ada,10_unpooling.ipynb,overlap,2\n"
        "ada,04_occlusion,overlap,1\n"
    )
    results = [graded("ada", "07_cam", [0]), graded("ada", "10_unpooling", [0])]
    book = overridden(tmp_path, text, results)
    assert [result.points for result in sorted(results, key=lambda r: r.notebook)] == [0, 2]
    told = [problem.split(", ", 1)[1] for problem in book.problems]
    assert told == [
        "line 2, must say which is meant, in a column notebook:"
        " 07_cam and 10_unpooling have an exercise overlap.",
        "line 4, names an exercise that there isn't: '04_occlusion overlap'.",
    ]


@pytest.mark.parametrize("points", ["nan", "inf", "three", "1e999"])
def test_points_must_be_a_number(tmp_path, points):
    text = f"learner,exercise,points\nada,occlude,{points}\n"
    with pytest.raises(UsageError, match="line 2, has .* for points"):
        read_overrides(write(tmp_path, "overrides.csv", text))


def test_points_by_hand_cure_an_error_of_the_grader(tmp_path):
    failed = graded("ada", points=(2, 0), status=GRADER_ERROR, problem="it failed")
    failed.exercises[1].kind = GRADER_ERROR
    overridden(tmp_path, "learner,exercise,points\nada,occlude,3\n", [failed])
    total = rows(tmp_path / "totals.csv")["ada"]
    assert (total["points"], total["status"]) == ("5", GRADED)


def test_who_handed_in_nothing_can_have_points(tmp_path):
    roster = read_roster(write(tmp_path, "roster.csv", ROSTER))
    text = "learner,exercise,points,note\nGrace Hopper,occlude,3,on paper\n"
    overridden(tmp_path, text, [graded("s1")], roster)
    totals = rows(tmp_path / "totals.csv")
    assert totals["s2"]["points"] == "3"
    assert totals["s2"]["status"] == GRADED
    assert totals["s3"]["status"] == MISSING


# ---------------------------------------------------------------------------- lateness


@pytest.mark.parametrize(
    "rule, hours, lost",
    [
        ("0", 0, 0),
        ("0", 0.01, 10),
        ("10% a day", 0, 0),
        ("10% a day", 0.01, 1),
        ("10% a day", 24, 1),
        ("10 % per Day", 24.01, 2),
        ("10% a day", 24 * 30, 10),
        ("10% a day, at most 50%", 24 * 30, 5),
        ("12.5% a week", 24 * 8, 2.5),
        ("1 point an hour", 2.5, 3),
        ("1 point/hour at most 2 points", 2.5, 2),
        ("20 points a week", 1, 10),
    ],
)
def test_what_being_late_costs(rule, hours, lost):
    assert Rule.parse(rule).deduction(10, timedelta(hours=hours)) == lost


@pytest.mark.parametrize("seed", range(20))
def test_being_later_never_costs_less_nor_more_than_there_is(seed):
    draw = random.Random(seed)
    most = draw.choice(["", f", at most {draw.randrange(100)}%", " at most 3 points"])
    amount = draw.choice([f"{draw.randrange(1, 120)}%", f"{draw.randrange(1, 9)} points"])
    rule = Rule.parse(f"{amount} a {draw.choice(['day', 'week', 'hour'])}{most}")
    points = draw.randrange(100) / 4
    hours = sorted(draw.uniform(0, 500) for _ in range(20))
    lost = [rule.deduction(points, timedelta(hours=late)) for late in hours]
    assert lost == sorted(lost)
    assert 0 <= lost[0] and lost[-1] <= points


@pytest.mark.parametrize("rule", ["", "10%", "-1% a day", "10% a year", "a lot", "nan% a day"])
def test_what_is_no_rule_is_told_with_the_grammar(rule):
    with pytest.raises(UsageError, match="10% a day"):
        Rule.parse(rule)


@pytest.mark.parametrize(
    "text", ["tomorrow", "2026-12-01", "2026-12-01T23:59", "2026-13-01T00:00Z"]
)
def test_a_deadline_needs_its_time_zone(text):
    with pytest.raises(UsageError, match="difference to UTC"):
        read_deadline(text)


@pytest.mark.parametrize(
    "seconds, told",
    [(1, "1 minute"), (7200, "2 hours"), (90000, "1 day 1 hour"), (176461, "2 days 1 hour")],
)
def test_lateness_in_words(seconds, told):
    assert in_words(timedelta(seconds=seconds)) == told


def test_lateness_is_in_totals_and_feedback(tmp_path):
    stamp = datetime.fromisoformat("2026-12-02T00:58+01:00").timestamp()
    book = Gradebook(deadline=DEADLINE, rule=Rule.parse("10% a day"))
    book.report(
        [graded("ada", submitted=stamp), graded("bob", submitted=stamp - 3600)],
        tmp_path,
    )
    totals = rows(tmp_path / "totals.csv")
    assert totals["ada"]["points"] == "4.5"
    assert totals["ada"]["late"] == "04_occlusion: 59 minutes (-0.5 points)"
    assert (totals["bob"]["points"], totals["bob"]["late"]) == ("5", "")
    page = (tmp_path / "feedback" / "ada.html").read_text()
    assert "Handed in 59 minutes after the deadline. That costs 0.5 points." in page
    assert "4.5 of 5 points" in page
    assert rows(tmp_path / "scores.csv")["ada"]["points"] == "4.5"


def test_a_better_file_that_was_late_may_be_worth_less(tmp_path):
    in_time = graded("ada", points=(2, 2))
    late = graded("ada", submitted=DEADLINE.timestamp() + 3 * 86400)
    book = Gradebook(deadline=DEADLINE, rule=Rule.parse("10% a day"))
    book.report([late, in_time], tmp_path)
    assert in_time.counted and not late.counted
    assert rows(tmp_path / "totals.csv")["ada"]["points"] == "4"


def test_times_come_from_the_table_then_the_roster_then_the_file(tmp_path):
    text = "id,submitted\ns1,2026-12-01T23:00\ns2,2026-12-03T12:00\ns3,\n"
    path = write(tmp_path, "roster.csv", text)
    times = "learner,notebook,submitted\ns2,04_occlusion.ipynb,2026-12-01T22:59Z\neve,,2026-12-01\n"
    submitted = write(tmp_path, "submitted.csv", times)
    stamp = DEADLINE.timestamp() + 60
    book = Gradebook(
        read_roster(path),
        deadline=DEADLINE,
        rule=Rule.parse("0"),
        submitted=read_submitted(submitted, DEADLINE),
        roster_path=path,
        submitted_path=submitted,
    )
    names = [("s1", "04_occlusion"), ("s2", "04_occlusion"), ("s2", "05_saliency")]
    results = [graded(*name, submitted=stamp) for name in names]
    results.append(graded("s3", submitted=stamp))
    book.take(results)
    late = {(result.learner, result.notebook) for result in results if result.late}
    assert late == {("s2", "05_saliency"), ("s3", "04_occlusion")}
    assert [problem.split(", ", 1)[1] for problem in book.problems] == [
        "line 3, names a learner who is not in the class: 'eve'."
    ]


def test_a_wrong_time_is_told_with_its_line(tmp_path):
    path = write(tmp_path, "roster.csv", "id,submitted\ns1,yesterday\n")
    with pytest.raises(UsageError, match="line 2, has 'yesterday' for a time"):
        Gradebook(read_roster(path), deadline=DEADLINE, roster_path=path)
    assert Gradebook(Roster([])).problems == []
