"""What is read from a file that a learner handed in, without running any of it."""

import ast
import gc
import json
import os

import nbformat
import pytest
from grading_class import MASTERS, cell_of, insert, master, place_of, put, solved

from course_utils.classroom import UsageError, find_notebooks
from course_utils.classroom.copies import release
from course_utils.classroom.grading import slicing, submissions
from course_utils.classroom.grading.handed_in import BadSubmission, find_submissions, read_bytes
from course_utils.classroom.grading.text import printable, safe_name, sentence
from course_utils.classroom.magics import parse, plain_python

STEM = "08_gradient_ascent"
OTHER = "09_dataset_search"


def exercises_of(book):
    """The exercises of a submission by name."""
    content = nbformat.writes(book).encode("utf-8", "surrogatepass")
    return {e.name: e for e in submissions.read_exercises(content, MASTERS)[1]}


def code_of(exercise, variant=0):
    """The statements that would run, as text."""
    return [s.text for cell in exercise.variants[variant] for s in slicing.statements_of(cell)]


def with_body(body, before="", name="total_variation"):
    book = solved(STEM)
    put(book, name, body, before)
    return book


# ---------------------------------------------------------------------------- statements


@pytest.mark.parametrize(
    "source, binds, needs",
    [
        ("x = y + 1", {"x"}, {"y"}),
        ("def f(a):\n    b = a\n    return g(b)", {"f"}, {"g"}),
        ("import torch.nn as nn\nfrom os import path", {"nn", "path"}, set()),
        ("for i in range(3):\n    t = i", {"i", "t"}, {"i"}),
        ("def f():\n    return [q * k for q in data]", {"f"}, {"k", "data"}),
        ("class A(B):\n    c = d", {"A"}, {"B", "d"}),
        ("def f():\n    global z\n    z = 1", {"f", "z"}, set()),
        ("this is no Python", set(), set()),
    ],
)
def test_names_that_code_makes_and_needs(source, binds, needs):
    assert slicing.names_of(source) == (binds, needs)


@pytest.mark.parametrize(
    "cells, needed",
    [
        (["s = 1", "s = 2", "def f(x): return s"], ["s = 2"]),
        (["s = 1", "def f(x): return s", "s = 2"], ["s = 1"]),
        (["def f(x): return s", "s = 2"], ["s = 2"]),
        (["t = []", "t.append(2)\nprint(t)", "t[0] = 3", "u = t", "def f(x): return t"],
         ["t = []", "t.append(2)", "t[0] = 3"]),
        (["t = []", "fill(t)", "def fill(a): a.append(1)", "def f(x): return t"],
         ["t = []", "def fill(a):\n    a.append(1)", "fill(t)"]),
        (["n = 1", "n += 1", "for k in range(3):\n    n += k", "def f(x): return n"],
         ["n = 1", "n += 1", "for k in range(3):\n    n += k"]),
        (["import os, sys\nos.remove('x')\nsys.exit()", "def f(x): return os.sep"],
         ["import os, sys"]),
        (["from math import *", "def f(x): return sqrt(len(x))"], ["from math import *"]),
        (["sum = max", "def f(x): return sum(x)"], ["sum = max"]),
        (["def g(x): return f(x)", "def f(x): return g(x)"], ["def g(x):\n    return f(x)"]),
        (["if a:\n    s = 1\nelse:\n    s = 2", "a = 0", "def f(x, y=s): return y"],
         ["a = 0", "if a:\n    s = 1\nelse:\n    s = 2"]),
        (["def f(x): return g.calls", "def g(): pass", "g.calls = 1"], ["def g():\n    pass"]),
        (["def g(): pass", "g.calls = 1", "def f(x): return g.calls"],
         ["def g():\n    pass", "g.calls = 1"]),
        (["x = x = x", "x.y(x)", "def f(a): return x"], ["x = x = x", "x.y(x)"]),
    ],
)  # fmt: skip
def test_statements_that_a_statement_needs(cells, needed):
    statements = [s for n, cell in enumerate(cells) for s in slicing.statements_of(cell, n)]
    (target,) = [s for s in statements if "f" in s.binds]
    *before, last = slicing.needed([target], statements)
    assert last is target and [statement.text for statement in before] == needed


def test_long_chains_of_names_take_no_recursion():
    statements = slicing.statements_of("\n".join(f"a{n} = a{n - 1}" for n in range(1, 1200)))
    assert len(slicing.needed(statements[-1:], statements)) == 1199
    statements = slicing.statements_of("a = []\n" + "a.append(a)\n" * 1200 + "b = a")
    assert len(slicing.needed(statements[-1:], statements)) == 1202


# ---------------------------------------------------------------------------- magics


@pytest.mark.parametrize(
    "source, plain",
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("%%time\ndef f(x):\n    return x", "\ndef f(x):\n    return x"),
        ("# first\n%%time\nx = 1", "# first\npass\nx = 1"),
        ("if a:\n    %pip install x\n    y = 2", "if a:\n    pass\n    y = 2"),
        ("!pip install \\\n  torch\nx = 1", "pass\n\nx = 1"),
        ("x = !ls\ny = %sx ls", "x = None\ny = None"),
        ("print?\n??print\nz = 3", "pass\npass\nz = 3"),
        ("%time y = f(3)\n%timeit f(3)", "y = f(3)\npass"),
        ('a = """\n%d items\n"""\n%foo', 'a = """\n%d items\n"""\npass'),
        ("x = y \\\n %z\n", "x = y \\\n %z\n"),
        ("def f(x):\n        a = x\n    return a\n", "def f(x):\n        a = x\n    return a\n"),
        ("x = (1\n %foo", "x = (1\n %foo"),
        ("%foo\n" * 520 + "x = 1", "pass\n" * 520 + "x = 1"),
    ],
)
def test_magics_become_plain_python(source, plain):
    assert plain_python(source) == plain


@pytest.mark.parametrize(
    "source", ["(" * 99_999, "-" * 99_999 + "1", "%foo\nx(\n" * 9_000, "\0%foo", "%foo\\"]
)
def test_any_text_is_taken_for_a_cell(source):
    assert plain_python(source).count("\n") == source.count("\n")


def test_code_that_warns_is_parsed_in_silence(recwarn):
    assert parse(r"x = '\d'") is not None and parse("x is 1") is not None
    assert not recwarn.list


class ParsesAtItsEnd:
    """Garbage, once it is made: a circle, so that only the collector finds it."""

    def __init__(self):
        self.circle = self

    def __del__(self):
        ast.parse("1")


def test_garbage_that_parses_does_not_harm_what_is_parsed_meanwhile():
    deep = "x" + ".y" * 900
    often = gc.get_threshold()
    gc.set_threshold(100)
    try:
        for _ in range(50):
            ParsesAtItsEnd()
            assert parse(deep) is not None
            assert plain_python("%pip\n" + deep) == "pass\n" + deep
    finally:
        gc.set_threshold(*often)
    assert gc.isenabled()


# ---------------------------------------------------------------------------- answers


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_a_master_answers_everything_with_few_statements_and_its_release_nothing(path):
    exercises = exercises_of(nbformat.read(path, as_version=4))
    for exercise in exercises.values():
        assert exercise.problem == "" and not exercise.is_untouched
        assert 1 <= len(exercise.cells) <= 4 and len(code_of(exercise)) < 12
        assert exercise.notes == [] and len(exercise.variants) == 1
    untouched = exercises_of(release(nbformat.read(path, as_version=4)))
    assert all(exercise.is_untouched for exercise in untouched.values())
    assert untouched.keys() == exercises.keys()


def test_lines_keep_their_numbers():
    book = solved(STEM)
    cell_of(book, "total_variation").source = "# a\nimport os\n\n\ndef total_variation(x):\n    1/0"
    (source,) = exercises_of(book)["total_variation"].cells
    assert source == "\n\n\n\ndef total_variation(x):\n    1/0"


def test_what_the_answer_does_not_need_is_not_run():
    book = with_body("return both(x) * math.pi")
    cell_of(book, "total_variation").source += "\nprint(nowhere)\n1 / 0\nplt.show()"
    place = place_of(book, "total_variation")
    insert(book, place, "from google.colab import drive\ndrive.mount('/')\nawait f()")
    insert(book, place, "# helper\ndef both(x):\n    return x\nboth(torch.ones(10**9))")
    exercise = exercises_of(book)["total_variation"]
    assert len(code_of(exercise)) == 3
    assert code_of(exercise)[:2] == ["import math", "def both(x):\n    return x"]
    assert exercise.notes == [
        "Your answer to total_variation uses your own cells; taken along from there: "
        "`def both(x):`."
    ]


@pytest.mark.parametrize("change", ["before", "after", "instead"])
def test_imports_that_were_added_to_a_cell_of_the_course(change):
    book = with_body("return heapq.nlargest(2, x) + math.pi")
    cell = next(c for c in book.cells if c.cell_type == "code" and "import torch" in c.source)
    cell.source = {
        "before": f"import heapq\n{cell.source}",
        "after": f"{cell.source}\nimport heapq",
        "instead": "import heapq",
    }[change]
    assert code_of(exercises_of(book)["total_variation"])[:-1] in (
        ["import heapq", "import math"],
        ["import math", "import heapq"],
    )


def test_where_course_and_learner_differ_there_are_two_variants():
    book = with_body("return scale * x")
    insert(book, place_of(book, "total_variation"), "def objective(score, x, l2):\n    return 3")
    book.cells[place_of(book, "total_variation") - 1].source = "import math\nmath = 3\nscale = math"
    exercise = exercises_of(book)["total_variation"]
    first, second = code_of(exercise, 0), code_of(exercise, 1)
    assert "math = 3" in first and "math = 3" not in second and "scale = math" in second


@pytest.mark.parametrize("lost", ["metadata", "metadata and ids", "all but functions"])
def test_answers_are_found_without_their_marks(lost):
    book = solved(STEM)
    for cell in book.cells:
        cell.metadata = nbformat.NotebookNode()
        if lost != "metadata":
            cell.id = f"new-{cell.id}"
    if lost == "all but functions":
        for cell in book.cells:
            cell.source = f"# my own\n{cell.source}" if cell.cell_type == "code" else "text"
    exercises = exercises_of(book)
    assert list(exercises) == list(MASTERS[STEM].points)
    assert all(exercise.variants and not exercise.problem for exercise in exercises.values())


def test_ids_find_answers_whose_functions_are_unusual():
    book = solved(STEM)
    cell_of(book, "total_variation").source = "total_variation = lambda x: x"
    for cell in book.cells:
        cell.metadata = nbformat.NotebookNode()
    exercise = exercises_of(book)["total_variation"]
    assert code_of(exercise) == ["total_variation = lambda x: x"]


@pytest.mark.parametrize(
    "second, variants",
    [
        (None, 1),
        ("# spaced\ndef total_variation(x):\n\n    return  1", 1),
        ("def total_variation(x):\n    '''Later.'''\n    raise NotImplementedError", 1),
        ("def total_variation(x): ...", 1),
        ("print('something else')", 1),
        ("def total_variation(x):\n    return 2", 2),
    ],
)
def test_copies_and_stubs_are_no_other_answers(second, variants):
    book = with_body("return 1")
    twin = nbformat.v4.new_code_cell(second or cell_of(book, "total_variation").source)
    twin.metadata = cell_of(book, "total_variation").metadata
    for place in (0, len(book.cells)):
        other = nbformat.from_dict(json.loads(json.dumps(book)))
        other.cells.insert(place, twin)
        exercise = exercises_of(other)["total_variation"]
        assert len({tuple(code_of(exercise, n)) for n in range(len(exercise.variants))}) == variants
        assert exercise.problem == "" and not exercise.is_untouched


def test_no_more_answers_than_a_few_are_tried():
    book = solved(STEM)
    for number in range(9):
        insert(book, len(book.cells), f"def total_variation(x):\n    return {number}")
    assert len(exercises_of(book)["total_variation"].variants) == submissions.MOST_ANSWERS


def test_a_cell_that_is_gone_or_endless():
    book = solved(STEM)
    book.cells.remove(cell_of(book, "objective"))
    cell_of(book, "total_variation").source += "\n# " + "x" * 1_000_000
    exercises = exercises_of(book)
    assert exercises["objective"].problem == "its cell is not in the file"
    assert "longer than 100,000 characters" in exercises["total_variation"].problem
    assert exercises["unit_score"].variants and not exercises["unit_score"].problem


def test_a_file_of_nothing_but_code_is_read_up_to_a_limit():
    book, size = solved(STEM), submissions.LONGEST_CELL
    for _ in range(submissions.MOST_CODE // size):
        insert(book, 0, ("%foo\nx(\n" * size)[:size])
    exercises = exercises_of(book)
    assert all("the file's code" in exercise.problem for exercise in exercises.values())
    insert(book, 0, "x" * (size + 1))  # one that is too long by itself takes nothing from others
    del book.cells[1]
    assert all(exercise.variants for exercise in exercises_of(book).values())


def test_the_notebook_is_told_by_its_answers_and_not_by_its_name():
    content = nbformat.writes(solved(OTHER)).encode()
    assert submissions.read_exercises(content, MASTERS)[0].path.stem == OTHER
    book = solved(OTHER)
    book.cells = [cell_of(book, "overlap"), cell_of(book, "keep_best")]  # overlap is in 07, too
    found, exercises = submissions.read_exercises(nbformat.writes(book).encode(), MASTERS)
    assert found.path.stem == OTHER and len(exercises) == len(MASTERS[OTHER].points)


@pytest.mark.parametrize("nonsense", [None, 7, "x", [], {"grade_id": ["x"]}, {"solution": True}])
def test_nonsense_in_the_metadata_is_no_mark(nonsense):
    book = solved(STEM)
    for cell in book.cells:
        cell.metadata["nbgrader"] = nonsense
    data = json.loads(nbformat.writes(book))
    data["cells"][0] |= {"metadata": nonsense, "id": nonsense}
    _, exercises = submissions.read_exercises(json.dumps(data).encode(), MASTERS)
    assert all(exercise.variants for exercise in exercises)


# ---------------------------------------------------------------------------- files


@pytest.fixture
def folder(tmp_path):
    """A folder as a lecturer unpacks it."""
    for name in ("ada/deep/04.ipynb", "ada/.ipynb_checkpoints/04.ipynb", "bob/._x.ipynb",
                 "bob/04.ipynb.txt", "__MACOSX/ada/04.ipynb", "cleo/work.ZIP", "out/x.ipynb",
                 "eve_08_gradient_ascent.ipynb", ".hidden.ipynb", "notes.txt"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "dan").mkdir()
    return tmp_path


def test_every_folder_of_a_learner_is_heard_of(folder):
    found = {
        s.learner: (s.path.name, s.problem) for s in find_submissions([folder], folder / "out")
    }
    assert found.keys() == {"ada", "bob", "cleo", "dan", "eve"}
    assert found["ada"] == ("04.ipynb", "")
    assert found["eve"] == ("eve_08_gradient_ascent.ipynb", "")
    assert found["bob"][1].endswith("only 04.ipynb.txt; a browser has added an ending: take it off")
    assert found["cleo"][1].endswith("only work.ZIP; unpack it")
    assert found["dan"] == ("dan", "the folder holds no file")


def test_places_that_overlap_or_hold_nothing(folder, tmp_path):
    twice = find_submissions([folder, folder / "ada" / "deep" / "04.ipynb"], folder / "out")
    assert len(twice) == 5
    with pytest.raises(UsageError, match="no file or folder"):
        find_submissions([folder / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no notebooks"):
        find_submissions([tmp_path / "empty"])


def test_learners_folders_that_are_links_are_heard_of_and_not_followed(tmp_path):
    whole, place = tmp_path / "elsewhere", tmp_path / "class"
    whole.mkdir()
    place.mkdir()
    (whole / "04.ipynb").write_text("{}")
    (place / "ada").symlink_to(whole)
    (place / "bob").symlink_to(tmp_path / "gone")
    (place / "notes").symlink_to(whole / "04.ipynb")
    found = find_submissions([place])
    assert [submission.learner for submission in found] == ["ada", "bob"]
    assert all("links are not followed" in submission.problem for submission in found)


def test_what_is_no_plain_file_is_not_opened(tmp_path):
    (tmp_path / "a.ipynb").write_text("x")
    (tmp_path / "b.ipynb").symlink_to(tmp_path / "a.ipynb")
    os.mkfifo(tmp_path / "c.ipynb")
    content, stamp = read_bytes(tmp_path / "a.ipynb")
    assert content == b"x" and stamp == (tmp_path / "a.ipynb").stat().st_mtime
    for name, reason in (("b", "link"), ("c", "not a file"), ("d", "can't be opened")):
        with pytest.raises(BadSubmission, match=reason):
            read_bytes(tmp_path / f"{name}.ipynb")


def test_names_as_file_names():
    assert safe_name("ada") == "ada"
    names = ["../x", "a/b", "a_b", "", "\0", "ä" * 300, ".", "Ada", "ADA", "ada", "\udcff",
             "\udcfe", "e\u0301", "\u00e9", "a" * 61, "a" * 62]  # fmt: skip
    safe = [safe_name(name) for name in names]
    assert len({name.lower() for name in safe}) == len(names)
    for name in safe:
        assert name and "/" not in name and len(name) < 80 and not name.startswith(".")


def test_foreign_text_in_messages():
    assert printable("a\x1b[31m\n\udcff\u202eb") == "a\\x1b[31m\\n\\udcff\\u202eb"
    assert len(printable("x" * 10**6)) == 300
    assert sentence("is it?") == "Is it?" and sentence("it is") == "It is."


def test_the_same_text_again():
    assert printable(master(STEM)) == str(master(STEM))
