"""Pages and slides: complete, without requests, and in a browser as they should be."""

import base64
import hashlib
import io
import re
import tarfile

import nbformat
import pytest
from browser import Browser, needs_browser
from nbconvert.filters import clean_html

from course_utils.classroom import UsageError, export, find_notebooks, slides
from course_utils.classroom.command import main
from course_utils.classroom.export import to_html

PIXEL = base64.b64encode(b"no real picture").decode()


def notebook():
    """Text with formulas, code, a figure, an answer and a widget."""
    new = nbformat.v4
    figure = new.new_output("display_data", {"image/png": PIXEL}, metadata={})
    figure.metadata = {"image/png": {"alt": "A figure with <signs>."}}
    widget = new.new_output(
        "display_data",
        {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}, "text/plain": "VBox()"},
    )
    printed = new.new_output("stream", text="42 printed\n")
    cells = [
        new.new_markdown_cell("# 1 · Title\n\nWith $x^2$ and\n\n$$\\frac{a}{b}$$"),
        new.new_code_cell("import torch", metadata={"slideshow": {"slide_type": "skip"}}),
        new.new_markdown_cell("## A section\n\nWords."),
        new.new_code_cell("# NBVAL_CHECK_OUTPUT\ndraw()", outputs=[printed, figure]),
        new.new_markdown_cell("The figure shows this. " + "And more words. " * 30),
        new.new_code_cell("def f(): ...", outputs=[widget], execution_count=2),
        new.new_markdown_cell("Say it slowly."),
    ]
    kinds = ("slide", None, "slide", "-", "fragment", "-", "notes")
    for cell, kind in zip(cells, kinds):
        if kind:
            cell.metadata["slideshow"] = {"slide_type": kind}
    cells[5].metadata["nbgrader"] = {"solution": True, "grade": False, "grade_id": "f"}
    return new.new_notebook(cells=cells)


def outside(page):
    """What a page would fetch when it is opened."""
    found = re.findall(r'<(?:script|img|iframe|link)[^>]*(?:src|href)="([^"]*)"', page)
    found += re.findall(r"@import[^;]*;|url\((?!['\"]?data:)[^)]*\)", page)
    return [address for address in found if not address.startswith("data:")]


def test_a_page_fetches_nothing_and_shows_formulas_and_descriptions():
    page = to_html(notebook(), "name")
    assert outside(page) == [] and page.count("<math") == 2 and "$x^2$" not in page
    assert 'alt="A figure with &lt;signs&gt;."' in page
    assert "VBox()" not in page and "42 printed" in page


def test_a_formula_that_cannot_be_read_stays_as_it_was():
    cell = nbformat.v4.new_markdown_cell(r"Odd: $\frac{$ and $\begin{x}$.")
    page = to_html(nbformat.v4.new_notebook(cells=[cell]), "name")
    assert "Odd:" in page


def test_answers_are_folded():
    page = to_html(notebook(), "name")
    assert page.count("<summary>One right answer</summary>") == 1


@pytest.mark.parametrize(
    "inside, is_code",
    [
        ('<span></span><span class="kn">import</span> <span class="nn">os</span>\n1 &lt; 2', True),
        ("<script>alert()</script>", False),
        ("<span onclick='alert()'>1</span>", False),
        ("1</pre></div><iframe src='x'></iframe><div><pre>", False),
    ],
)
def test_only_code_in_its_colours_is_not_cleaned(inside, is_code):
    text = f'<div class=" highlight hl-ipython3"><pre>{inside}</pre></div>\n'
    assert export._is_code(text) == is_code
    assert is_code or clean_html(text) != text


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_every_notebook_of_the_course_becomes_a_page_without_requests(path):
    page = to_html(nbformat.read(path, as_version=4), path.stem)
    assert outside(page) == []
    assert all(alt.strip() for alt in re.findall(r'<img[^>]*alt="([^"]*)"', page))
    assert page.count("<img") == len(re.findall(r"<img[^>]*alt=", page)) > 3
    assert not re.search(r"\$[^$<>]*\\[a-z]+[^$<>]*\$", page), "a formula was not converted"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


# ---------------------------------------------------------------------------- slides


def test_cells_become_slides_by_their_metadata():
    columns = slides.columns_of(notebook())
    kinds = [[slide.kind for slide in column] for column in columns]
    assert kinds == [["text"], ["text", "figure"]]
    text, figure = columns[1]
    assert "42 printed" in text.pieces[1] and "<details>" in text.pieces[2]
    assert "draw" in text.pieces[2] and "NBVAL" not in str(columns)
    assert "The figure shows this." in figure.pieces[1]
    assert len(figure.pieces[1].split()) < 60 < len(figure.notes[1].split())
    assert "A figure with &lt;signs&gt;." in figure.notes[0] and "Say it slowly." in figure.notes[2]
    everything = str(columns)
    assert "import" not in everything and "def" not in everything.replace("undefined", "")


def deck_of(*cells):
    for cell in cells:
        cell.metadata.setdefault("slideshow", {"slide_type": "-"})
    return slides.columns_of(nbformat.v4.new_notebook(cells=list(cells)))


def test_code_is_on_a_slide_where_it_is_the_point():
    cell = nbformat.v4.new_code_cell("answer = 42", metadata={"tags": ["on-slide"]})
    ((slide,),) = deck_of(cell)
    assert slide.kind == "code" and "answer" in slide.pieces[0]
    assert "<details>" not in slide.pieces[0]


@pytest.mark.parametrize(
    "data, words",
    [
        ({"text/html": "<table><tr><td>cell 7</td></tr></table>"}, "cell 7"),
        ({"text/markdown": "**bold words**"}, "<strong>bold words</strong>"),
        ({"text/latex": "$\\frac{1}{7}$"}, "<mfrac>"),
        ({"image/svg+xml": "<svg><title>a circle</title></svg>"}, "image/svg+xml;base64"),
    ],
)
def test_whatever_a_cell_shows_is_on_a_slide(data, words):
    output = nbformat.v4.new_output("display_data", data)
    column, *rest = deck_of(nbformat.v4.new_code_cell("draw()", outputs=[output]))
    assert not rest and words in "".join(column[0].pieces)


def test_a_heading_stands_above_what_follows():
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    code = nbformat.v4.new_code_cell("draw()", outputs=[picture])
    ((slide,),) = deck_of(nbformat.v4.new_markdown_cell("## Alone"), code)
    assert slide.kind == "figure" and slide.pieces[0].index("Alone") < slide.pieces[0].index("img")


def test_a_heading_stands_above_a_text_that_follows_in_another_cell():
    texts = [nbformat.v4.new_markdown_cell(text) for text in ("## Alone", "Words.")]
    ((slide,),) = deck_of(*texts)
    assert slide.pieces[0].index("Alone") < slide.pieces[0].index("Words.")


def test_a_line_printed_below_a_figure_stays_there_and_the_text_reads_both():
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    line = nbformat.v4.new_output("stream", text="42 printed\n")
    code = nbformat.v4.new_code_cell("draw()", outputs=[picture, line])
    ((slide,),) = deck_of(code, nbformat.v4.new_markdown_cell("The figure shows it."))
    figure, caption, *below = slide.pieces
    assert "<img" in figure and "shows it" in caption and "42 printed" in "".join(below)
    line.text = "many\n" * (slides.FEW_LINES + 1)
    ((slide, printed),) = deck_of(nbformat.v4.new_code_cell("draw()", outputs=[picture, line]))
    assert printed.kind == "code" and "many" in printed.pieces[0]


def test_a_text_reads_the_figure_also_behind_many_printed_lines():
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    lines = nbformat.v4.new_output("stream", text="many\n" * (slides.FEW_LINES + 1))
    code = nbformat.v4.new_code_cell("draw()", outputs=[picture, lines])
    text = nbformat.v4.new_markdown_cell("The figure shows it. " + "More words are said. " * 20)
    ((figure, printed),) = deck_of(code, text)
    assert "shows it" in figure.pieces[1] and "many" in printed.pieces[0]
    assert "More words" in figure.notes[1] and "More words" in printed.notes[0]


def test_printed_lines_and_the_text_below_share_a_slide():
    line = nbformat.v4.new_output("stream", text="42 printed\n")
    heading = nbformat.v4.new_markdown_cell("## Section\n\nWords.")
    first = nbformat.v4.new_code_cell("print()", outputs=[line])
    second = nbformat.v4.new_code_cell("draw()", metadata={"tags": ["on-slide"]}, outputs=[line])
    text = nbformat.v4.new_markdown_cell("It is 42.")
    ((_, _, printed),) = deck_of(heading, first, second, text)
    assert "42 printed" in printed.pieces[0] and "It is 42." in printed.pieces[-1]
    assert ["It is 42." in note for note in printed.notes] == [True]


def test_printed_lines_have_the_next_text_in_their_notes():
    lines = nbformat.v4.new_output("stream", text="many\n" * (slides.MOST_LINES + 1))
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    code = nbformat.v4.new_code_cell("draw()", outputs=[lines, picture])
    text = nbformat.v4.new_markdown_cell("The figure shows it.")
    ((printed, figure),) = deck_of(code, text)
    assert "shows it" in printed.notes[0] and "shows it" in figure.pieces[1]
    code = nbformat.v4.new_code_cell("draw()", outputs=[lines])
    ((printed, below),) = deck_of(code, nbformat.v4.new_markdown_cell("They say it."))
    assert below.kind == "text" and "say it" in printed.notes[0]


def test_a_text_with_a_heading_or_a_subslide_stands_by_itself():
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL})
    code = nbformat.v4.new_code_cell("draw()", outputs=[picture])
    other = nbformat.v4.new_markdown_cell("### More\n\nWords.")
    below = nbformat.v4.new_markdown_cell(
        "Words.", metadata={"slideshow": {"slide_type": "subslide"}}
    )
    assert [[s.kind for s in c] for c in deck_of(code, other)] == [["figure", "text"]]
    assert [[s.kind for s in c] for c in deck_of(code, below)] == [["figure", "text"]]


def test_later_slides_of_a_section_carry_its_heading():
    texts = ("## Section & more\n\nFirst.", "Second.", "### Own\n\nThird.")
    (column,) = deck_of(*[nbformat.v4.new_markdown_cell(text) for text in texts])
    assert [slide.section for slide in column] == ["", "Section & more", ""]
    page = slides._page(
        nbformat.v4.new_notebook(
            metadata={"title": "t"},
            cells=[
                nbformat.v4.new_markdown_cell(t, metadata={"slideshow": {"slide_type": "-"}})
                for t in texts
            ],
        ),
        "",
    )
    assert page.count('<h2 class="again">Section &amp; more</h2>') == 1


def test_a_paragraph_before_a_list_keeps_its_end():
    text = "One sentence of six short words. " * 20 + "Afterwards you can\n\n- read it."
    ((slide,),) = deck_of(nbformat.v4.new_markdown_cell(text))
    assert "Afterwards you can" in slide.pieces[0] and "read it" in slide.pieces[0]


def test_references_are_in_the_notes_alone():
    text = "## Remember\n\nIt.\n\n**References.** [1] A. Author, *Title*, 2020."
    ((slide,),) = deck_of(nbformat.v4.new_markdown_cell(text))
    assert "It." in slide.pieces[0] and "Author" not in slide.pieces[0]
    assert "A. Author" in slide.notes[0]


def test_raw_cells_are_left_out():
    text = nbformat.v4.new_markdown_cell("Words.")
    ((slide,),) = deck_of(nbformat.v4.new_raw_cell("raw"), text, nbformat.v4.new_raw_cell("raw"))
    assert "Words." in slide.pieces[0]


def test_exercises_are_left_out_as_a_whole():
    text = "## Smooth\n\nBlur it.\n\n### Exercise 1 · Blur\n\nWrite `blur`.\n\n## Then\n\nGo on."
    ((slide,),) = deck_of(nbformat.v4.new_markdown_cell(text))
    assert "Blur it." in slide.pieces[0] and "Go on." in slide.pieces[0]
    assert "Exercise" not in slide.pieces[0] and "blur" not in slide.pieces[0]
    assert deck_of(nbformat.v4.new_markdown_cell("### Exercise 1 · Blur\n\nWrite it.")) == []


def test_a_long_text_is_shortened_and_its_notes_are_whole():
    text = "## Heading\n\n" + "One sentence of six short words. " * 20 + "The very last."
    ((slide,),) = deck_of(nbformat.v4.new_markdown_cell(text))
    assert "Heading" in slide.pieces[0] and "…" in slide.pieces[0]
    assert len(slide.pieces[0].split()) <= slides.LONGEST_TEXT + 20
    assert "The very last." in slide.notes[0] and "The very last." not in slide.pieces[0]


def archive(names=("dist/reveal.js", "dist/reveal.css", "plugin/notes/notes.js", "LICENSE")):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        for name in (*names, "examples/big.html"):
            info = tarfile.TarInfo(f"package/{name}")
            info.size = 4
            file.addfile(info, io.BytesIO(b"text"))
    return buffer.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "what-does-the-network-see"


def test_reveal_is_taken_from_a_file_that_was_put_there(cache, monkeypatch):
    content = archive()
    monkeypatch.setattr(slides, "SHA512", hashlib.sha512(content).hexdigest())
    cache.mkdir(parents=True)
    (cache / f"{slides.REVEAL}.tgz").write_bytes(content)
    folder = slides.fetch_reveal()
    assert (folder / "dist" / "reveal.js").read_text() == "text"
    assert (folder / "LICENSE").exists() and not (folder / "examples").exists()


def test_without_network_the_message_says_what_to_put_where(cache, monkeypatch):
    monkeypatch.setattr(slides, "ADDRESS", f"http://127.0.0.1:9/{slides.REVEAL}.tgz")
    cache.mkdir(parents=True)
    (cache / f"{slides.REVEAL}.tgz").write_bytes(archive())  # another one than is wanted
    with pytest.raises(UsageError, match=rf"download http://.*\.tgz and put it into {cache}"):
        slides.fetch_reveal()


def test_the_command_makes_a_deck_and_names_it(tmp_path, capsys):
    assert main(["slides", "7", "--out", str(tmp_path)]) == 0
    deck = tmp_path / "07_cam_localization.slides.html"
    assert str(deck) in capsys.readouterr().out
    assert slides.ONLINE in deck.read_text() and 'class="notes"' in deck.read_text()


@needs_browser
@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_no_slide_overflows_or_is_too_small_to_read(path, browser, tmp_path):
    try:
        (deck,) = slides.build_slides([path.stem], tmp_path / "slides", offline=True)
    except UsageError as error:
        pytest.skip(f"reveal.js is not here: {error}")
    browser.open(f"file://{deck}", "document.body.dataset.ready == 'yes'")
    scales = browser.evaluate(
        "[...document.querySelectorAll('.fit')].map(box => Number(box.dataset.scale))"
    )
    assert len(scales) > 12 and min(scales) >= 0.7, sorted(scales)[:5]
    too_large = browser.evaluate(
        "[...document.querySelectorAll('.fit')].filter(box =>"
        " box.scrollHeight * box.dataset.scale > 690"
        " || box.scrollWidth * box.dataset.scale > 1190).length"
    )
    assert too_large == 0
    assert browser.foreign_requests() == []
