"""Claims: what they say of true and untrue statements; and that no number in the text lacks one."""

import ast
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from course_utils.claims import UntrueClaim, claims
from course_utils.classroom import exercises_of, is_claims
from course_utils.classroom.copies import release
from course_utils.classroom.export import to_html
from course_utils.classroom.grading import slicing
from course_utils.classroom.slides import columns_of

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))

PRINTED_WITHIN = 6
"""How many cells above a paragraph count as just above it."""


@pytest.fixture
def strict(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")


# ---------------------------------------------------------------------------- the function


def test_true_claims_take_one_line(strict, capsys):
    claims(
        ("it falls to 48 %", 0.475, 0.48, 0.005),
        ("it falls to 48 %", torch.tensor(0.475), 0.48, 0.005),
        ("there are 12", np.int64(12), 12, 0),
        ("it is a tenth", torch.tensor([0.1]), 0.1, 0),
        ("it is a half", lambda: torch.tensor(0.5), 0.5, 0),
        ("it can be computed", lambda: 1 + 1 == 2),
        ("all are positive", (torch.ones(3) > 0).all()),
        ("none is negative", not np.any(np.ones(3) < 0)),
    )
    assert capsys.readouterr().out == "✓ 8 statements of the text checked\n"


def test_one_claim_is_a_statement(strict, capsys):
    claims(("it is so", True))
    assert capsys.readouterr().out == "✓ 1 statement of the text checked\n"


def test_untrue_claims_raise_with_a_sentence_for_each(strict, capsys):
    with pytest.raises(UntrueClaim) as caught:
        claims(
            ("it falls to 48 %", 0.5312, 0.48, 0.02),
            ("it stays", True),
            ("all are positive", torch.tensor(False)),
        )
    assert str(caught.value).splitlines() == [
        "'it falls to 48 %' is untrue: stated 0.48 (± 0.02), got 0.5312.",
        "'all are positive' is untrue.",
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", [0.4599, 0.5001])
def test_just_outside_the_tolerance_is_untrue_on_either_side(strict, value):
    with pytest.raises(UntrueClaim):
        claims(("it falls to 48 %", value, 0.48, 0.02))


def test_without_strict_checks_untrue_claims_are_printed(lenient, capsys):
    claims(("it falls to 48 %", 0.5312, 0.48, 0.02), ("it stays", True))
    assert capsys.readouterr().out.splitlines() == [
        "1 of 2 statements of the text is untrue in this run.",
        "'it falls to 48 %' is untrue: stated 0.48 (± 0.02), got 0.5312.",
    ]


def test_of_another_run_nothing_is_said(strict, capsys):
    claims(("it falls to 48 %", float("nan"), 0.48, 0.02), ("never", False), when=False)
    claims(("it falls to 48 %", lambda: 1 / 0, 0.48, 0.02), ("never", {}.popitem), when=False)
    assert capsys.readouterr().out == ""


BAD = {
    "No claim was given": (),
    "A claim is (sentence, value, stated, tolerance) or (sentence, condition)": (("a", 1, 2),),
    "A claim begins with its sentence": (("", True),),
    "The value of 'a' is nan": (("a", float("nan"), 1, 0.1),),
    "The value of 'a' is inf": (("a", float("inf"), 1, 0.1),),
    "The value of 'a' has the shape (3,): give one number": (("a", np.ones(3), 1, 0.1),),
    "The value of 'a' has the shape (0,)": (("a", torch.ones(0), 1, 0.1),),
    "The value of 'a' is of type bool: give a number": (("a", True, 1, 0.1),),
    "The value of 'a' is of type list": (("a", [1.0], 1, 0.1),),
    "The stated of 'a' is of type str": (("a", 1.0, "1", 0.1),),
    "The tolerance of 'a' is -0.1: it can't be negative": (("a", 1.0, 1, -0.1),),
    "The condition of 'a' has the shape (2,): use .all() or .any()": (("a", torch.ones(2) > 0),),
    "The value of 'a' has the shape (2,): give": (("a", lambda: np.ones(2), 1, 0.1),),
    "The condition of 'a' is of type float: give True or False": (("a", 1.0),),
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_use_gets_one_sentence(lenient, sentence):
    with pytest.raises(ValueError) as caught:
        claims(*BAD[sentence])
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


# ---------------------------------------------------------------------------- the cells


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_claims_stand_in_folded_cells_below_their_paragraph(path):
    above = None
    for cell in read(path).cells:
        if is_claims(cell):
            (statement,) = ast.parse(cell.source).body
            assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            assert ast.unparse(statement.value.func) == "claims"
            assert cell.metadata.get("jupyter", {}).get("source_hidden") is True
            assert cell.metadata.slideshow.slide_type == "skip"
            assert above.cell_type == "markdown", "a cell of claims belongs below its paragraph"
        elif cell.cell_type == "code":
            assert not re.search(r"\bclaims\(", cell.source), "tag this cell `claims`"
        above = cell


def small_notebook():
    """An exercise and claims about it."""
    new = nbformat.v4
    tag = {"tags": ["claims"], "jupyter": {"source_hidden": True}}
    answer = {"grade_id": "f", "solution": True, "grade": False, "locked": False}
    answer |= {"schema_version": 3, "task": False}
    source = "def f():\n    ### BEGIN SOLUTION\n    return table\n    ### END SOLUTION"
    return new.new_notebook(
        cells=[
            new.new_code_cell("table = load()\nprint(table)"),
            new.new_code_cell(source, metadata={"nbgrader": answer}),
            new.new_markdown_cell("# 1 · It holds 98"),
            new.new_code_cell('claims(("98", table.mean(), 98, 0))\nclaims(table)', metadata=tag),
        ]
    )


@pytest.mark.parametrize("is_course", [True, False])
def test_a_grader_runs_no_claims(is_course):
    cells = [cell.source for cell in small_notebook().cells if cell.cell_type == "code"]
    statements = [s for n, cell in enumerate(cells) for s in slicing.statements_of(cell, n, True)]
    user = slicing.statements_of("answer = f(table)", 9, is_course)
    needed = slicing.needed(user, [*statements, *user])
    assert [s.text.split("(")[0] for s in needed] == ["table = load", "def f", "answer = f"]


def test_a_learners_copy_keeps_them_to_run():
    copy = release(small_notebook())
    assert [is_claims(cell) for cell in copy.cells] == [False, False, False, True]
    assert copy.cells[-1].source == small_notebook().cells[-1].source
    assert copy.cells[-1].metadata.get("editable", True) and not exercises_of(copy)


def test_pages_fold_them_and_slides_leave_them_out():
    notebook = small_notebook()
    page = to_html(notebook, "page")
    assert page.count("<summary>What the text claims</summary>") == 1
    pieces = [
        piece for column in columns_of(notebook) for slide in column for piece in slide.pieces
    ]
    assert "It holds 98" in "".join(pieces) and "claims" not in "".join(pieces)


# ---------------------------------------------------------------------------- the text

NO_CLAIM = [
    r"<details>.*?</details>",  # hints, and what is to think about
    r"\*\*References\.\*\*.*?(?=\n\n|\Z)",
    r"```.*?```",
    r"`[^`]*`",
    r"<code>.*?</code>",
    r"\$\$.*?\$\$",
    r"\$[^$]*\$",
    r"!?\[[^\]]*\]\([^)]*\)",  # links
    r"\[[\d, -]+\]",  # references to the literature
    r"<[^>]*>",
    r"&\w+;",
    r"^#[^\n]*$",  # headings
    r"^ *\d+\. ",  # lists
    r"\b(?:1[89]|20)\d\ds?\b",  # years
    r"\b(?:[Nn]otebooks?|[Ss]ections?|[Ll]ayers?|[Ee]xercises?|[Hh]ints?)"
    r" \d+(?:(?:, | and | to | or )\d+)*",
    r"\b\d+ x \d+(?: x \d+)*(?: pixels)?\b",
    r"\b\d[\d.,]*(?:(?: to | or | and )\d[\d.,]*)?(?: |-)(?:px|pixels?|MB|GB|kB|bits?|GHz)\b",
    r"\b\d+(?:(?: to | or )\d+)? (?:s|minutes?|seconds?|hours?|h|ms)\b",
    r"\btop-\d+",
    r"\b[A-Za-z][\w.]*(?:-?\d)[\w.-]*",  # names, such as VGG-16 and relu6
    r"\b[1-4]-?D\b",
]
"""What may hold numbers that state no result."""

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def prose_of(text):
    """A paragraph without what may hold numbers that state no result."""
    for pattern in NO_CLAIM:
        text = re.sub(pattern, " … ", text, flags=re.DOTALL | re.MULTILINE)
    return text


def numbers_in(text):
    """The numbers of a text as they are written, without signs."""
    return {number.group().strip(".,") for number in NUMBER.finditer(text)}


def printed_by(cell):
    """What a code cell printed or returned, as text."""
    outputs = cell.get("outputs", [])
    streams = [output.text for output in outputs if output.output_type == "stream"]
    values = [output.get("data", {}).get("text/plain", "") for output in outputs]
    return "\n".join([*streams, *values])


def claimed_in(notebook):
    """The numbers in the sentences of a notebook's claims."""
    cells = [cell for cell in notebook.cells if is_claims(cell)]
    constants = [node for cell in cells for node in ast.walk(ast.parse(cell.source))]
    texts = [node.value for node in constants if isinstance(node, ast.Constant)]
    return numbers_in("\n".join(text for text in texts if isinstance(text, str)))


def unfounded(notebook):
    """The numbers of the text that no claim and no output just above holds, with the sentence."""
    claimed = claimed_in(notebook)
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type != "markdown":
            continue
        above = notebook.cells[max(0, place - PRINTED_WITHIN) : place]
        printed = numbers_in("\n".join(printed_by(other) for other in above))
        for sentence in re.split(r"(?<=[.!?:;])\s+|\n\n|\n(?=[-*])", prose_of(cell.source)):
            for number in sorted(numbers_in(sentence) - claimed - printed):
                yield f"cell {place}: {number!r} in {' '.join(sentence.split())!r}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_number_in_the_text_is_claimed_or_printed(path):
    found = list(unfounded(read(path)))
    told = "\n".join(found)
    assert not found, f"say it in a cell of claims, or leave it out:\n{told}"


def made(text, output="", claim=""):
    """A notebook of a cell that printed `output`, a paragraph, and perhaps a cell of claims."""
    new = nbformat.v4
    printed = [new.new_output("stream", text=output)]
    cells = [new.new_code_cell("run()", outputs=printed), new.new_markdown_cell(text)]
    if claim:
        cells.append(new.new_code_cell(claim, metadata={"tags": ["claims"]}))
    return new.new_notebook(cells=cells)


@pytest.mark.parametrize(
    "text",
    [
        "It takes 98 of them.",
        "From 98 to x.",
        "Some 98 %, in all.",
        "- a list with 98",
        "**+98**",
        "# A heading\n\nand 98 below it",
        "As the 98 in 2019.",
        "Two lines,\nof which the second has 98.",
    ],
)
def test_a_number_that_nothing_shows_is_found(text):
    (found,) = unfounded(made(text))
    assert found.startswith("cell 1: '98' in ")
    assert not list(unfounded(made(text, "share 98%")))
    assert not list(unfounded(made(text, claim='claims(("98 of them", n, 98, 0))')))
    assert list(unfounded(made(text, "share 9.8", 'claims(("many", n, 98, 0))')))


@pytest.mark.parametrize(
    "text",
    [
        "In 1964, and in the 1980s.",
        "A tile of 128 px, 17 MB, or 3 x 3 pixels; 62 to 64 pixels.",
        "See notebook 7, notebooks 8 and 9, and layer 3.",
        "It takes 60 minutes or 5 s.",
        "VGG-16, ResNet-18, `x = 7`, $y = 8$, relu6 and top-5.",
        "# 7 heads",
        "<details><summary>Hint 1</summary>take 7</details>",
        "[the 7th](file_7.html), as told in [3, 4].",
        "**References.** [1] A, B 12 (7).",
    ],
)
def test_numbers_that_state_no_result_need_no_claim(text):
    assert not list(unfounded(made(text)))


def test_what_was_printed_far_above_does_not_count():
    notebook = made("It takes 98.", "share 98%")
    notebook.cells[1:1] = [nbformat.v4.new_code_cell("pass")] * PRINTED_WITHIN
    assert len(list(unfounded(notebook))) == 1
