"""`course slides`: a reveal.js deck of each notebook, made of its slide metadata.

A cell of the type "slide" begins a column of slides; text, code and outputs follow below it, one
slide each, and carry the column's heading where they have none. A figure gets a slide of its own
with the beginning of the paragraph that reads it, and the whole paragraph in the speaker's notes
(press S). Long texts are shortened on the slide in the same way. Code is folded, except where a
cell has the tag "on-slide". Left out are cells of the type "skip", raw cells, claims, and exercises
as a whole.
"""

import copy
import html
import re
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from pygments.formatters import HtmlFormatter

from course_utils import _downloads
from course_utils.classroom import (
    UsageError,
    find_notebooks,
    is_claims,
    read_notebook,
    refuse_namesakes,
)
from course_utils.classroom.export import title_of, to_html
from course_utils.classroom.files import fill, make_folder
from course_utils.errors import DataError

REVEAL = "reveal.js-4.6.1"
ADDRESS = f"https://registry.npmjs.org/reveal.js/-/{REVEAL}.tgz"
SHA512 = (
    "d425b46ae69734f9b09af43b4f0a6ccf0571322d97af97134b72771010bf1c78"
    "1b3c5df60e7eda8aefcb2960ce1a331b683c0a4221a67ea728190ef81d41c233"
)
ONLINE = "https://unpkg.com/reveal.js@4.6.1"

WIDEST = 120
"""Characters of a printed line that still fit on a slide."""

LONGEST_TEXT = 80
"""Words of a text slide; the notes have all of them."""

MOST_LINES = 12
"""Of printed text below a text on the same slide."""

FEW_LINES = 3
"""Of printed text below a figure, where there is less room."""

LONGEST_CAPTION = 45
"""Words below a figure; the rest of a paragraph is left to the speaker."""


@dataclass
class Slide:
    """One slide: pieces of HTML, and what the speaker may say."""

    kind: str
    """"text", "code" or "figure"; the last is anything that a cell showed."""
    pieces: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_without_caption: bool = False
    is_heading: bool = False
    """Whether it has a heading and nothing else."""
    section: str = ""
    """The column's heading, for slides without one of their own."""


def build_slides(names: list[str], out: Path, offline: bool = False) -> list[Path]:
    """Writes a deck for each notebook into a folder -> the decks.

    offline: puts reveal.js beside the decks, so that they need no network. It is downloaded once
             and kept in the user's cache.
    """
    paths = find_notebooks(names)
    refuse_namesakes(paths)
    make_folder(out)
    reveal = ONLINE
    if offline:
        reveal = REVEAL
        shutil.copytree(fetch_reveal(), out / REVEAL, dirs_exist_ok=True)
    decks = []
    for path in paths:
        notebook = read_notebook(path)
        deck = out / f"{path.stem}.slides.html"
        deck.write_text(_page(notebook, reveal), encoding="utf-8")
        decks.append(deck)
    return decks


def _page(notebook, reveal):
    columns = columns_of(notebook)
    body = "\n".join(f"<section>{''.join(map(_section, column))}</section>" for column in columns)
    return fill(
        "slides.html",
        title=html.escape(title_of(notebook)),
        reveal=reveal,
        highlight=HtmlFormatter().get_style_defs(".reveal .highlight"),
        slides=body,
    )


def _section(slide):
    notes = f'<aside class="notes">{"".join(slide.notes)}</aside>' if slide.notes else ""
    section = f'<h2 class="again">{html.escape(slide.section)}</h2>' if slide.section else ""
    content = f'<div class="fit">{section}{"".join(slide.pieces)}</div>{notes}'
    return f'<section class="{slide.kind}">{content}</section>'


# ---------------------------------------------------------------------------- cells to slides


def columns_of(notebook: nbformat.NotebookNode) -> list[list[Slide]]:
    """The deck: columns of slides, from the cells' slide metadata."""
    notebook = copy.deepcopy(notebook)
    notebook.cells = [cell for cell in notebook.cells if _is_in_deck(cell)]
    page = BeautifulSoup(to_html(notebook, "slides"), "html.parser")
    drawn = page.select(".jp-Cell")
    columns = []
    for cell, content in zip(notebook.cells, drawn, strict=True):
        kind = _kind_of(cell)
        if kind == "slide" or not columns:
            columns.append([])
        if cell.cell_type == "markdown":
            _add_text(columns[-1], content, kind)
        elif cell.cell_type == "code":
            _add_code(columns[-1], cell, content)
    columns = [column for column in columns if column]
    for column in columns:
        _repeat_heading(column)
    return columns


def _is_in_deck(cell):
    return cell.cell_type != "raw" and _kind_of(cell) != "skip" and not is_claims(cell)


def _kind_of(cell):
    return cell.metadata.get("slideshow", {}).get("slide_type", "-")


def _repeat_heading(column):
    """Whoever looks up in the middle of a section sees which one it is."""
    heading = _heading_of(column[0])
    for slide in column[1:]:
        slide.section = "" if _heading_of(slide) else heading


def _heading_of(slide):
    """The text of a slide's first heading; "" without one."""
    text = "".join(slide.pieces)
    if not re.search("<h[123]", text):  # most slides; to parse them takes long
        return ""
    found = BeautifulSoup(text, "html.parser").find(["h1", "h2", "h3"])
    return found.get_text() if found else ""


def _add_text(column, content, kind):
    body = content.select_one(".jp-RenderedHTMLCommon")
    for link in body.select("a.anchor-link"):
        link.decompose()
    _leave_out_exercises(body)
    for folded in body.select("details"):
        folded.decompose()
    text = body.decode_contents()
    _leave_out_references(body)
    if not body.get_text().strip():
        return
    if kind == "notes" and column:
        column[-1].notes.append(text)
        return
    for printed in column:
        if printed.kind == "code" and not printed.notes:
            printed.notes.append(text)
    is_apart = kind == "subslide" or body.find(["h1", "h2", "h3"])
    if is_apart or not _read_what_was_shown(column, body, text):
        is_heading = not body.find(["p", "ul", "ol", "table"])
        slide = Slide("text", [_shortened(body)], [text], is_heading=is_heading)
        if column and _is_lonely_heading(column[-1]):
            slide.pieces[0] = column.pop().pieces[0] + slide.pieces[0]
        column.append(slide)


def _read_what_was_shown(column, body, text):
    """Puts a text to the figure or the printed text that it reads -> whether there is one.

    A figure gets the beginning as its caption, also if printed text follows it; printed text
    without a figure gets the text below it. (It has the text in its notes already.)
    """
    if not column:
        return False
    last = column[-1]
    is_printed = last.kind == "code" and last.pieces[0].startswith("<pre")
    shown = column[-2:] if is_printed else column[-1:]
    figures = [slide for slide in shown if slide.is_without_caption]
    if figures:
        figures[0].pieces.insert(1, f'<div class="caption">{_beginning(body)}</div>')
        figures[0].is_without_caption = False
        figures[0].notes.append(text)
    elif is_printed and _lines(last) <= MOST_LINES:
        folded = [piece.startswith("<details>") for piece in last.pieces]
        place = folded.index(True) if any(folded) else len(folded)
        last.pieces.insert(place, _shortened(body))
    else:
        return False
    return True


def _is_lonely_heading(slide):
    return slide.is_heading and len(slide.pieces) == 1


def _leave_out_references(body):
    """The notes keep them; nobody reads them from a wall."""
    for paragraph in body.find_all("p", recursive=False):
        if paragraph.get_text().startswith("References."):
            paragraph.decompose()


def _leave_out_exercises(body):
    """Removes what stands from an exercise's heading to the next heading or the end."""
    for heading in body.find_all("h3", string=lambda text: text and text.startswith("Exercise ")):
        for later in list(heading.find_next_siblings()):
            if later.name in ("h1", "h2", "h3"):
                break
            later.decompose()
        heading.decompose()


def _shortened(body):
    """A text for a slide: whole if it is short, else each of its paragraphs as far as it fits.

    A paragraph that leads to a list keeps its end, without which the list can't be read.
    """
    paragraphs = body.find_all("p", recursive=False)
    if len(body.get_text().split()) <= LONGEST_TEXT or not paragraphs:
        return body.decode_contents()
    words = LONGEST_TEXT // len(paragraphs)
    for paragraph in paragraphs:
        leads_on = getattr(paragraph.find_next_sibling(), "name", "") in ("ul", "ol", "table")
        if len(paragraph.get_text().split()) > words and not leads_on:
            kept = _sentences(paragraph.get_text(), words)
            paragraph.string = f"{kept} …"
    return body.decode_contents()


def _beginning(body):
    """Whole sentences from the beginning of a text, as many as fit below a figure."""
    first = body.find(["p", "ul", "ol", "table"])
    if first is None:
        return ""
    if len(first.get_text().split()) <= LONGEST_CAPTION:
        return str(first)
    return f"<p>{html.escape(_sentences(first.get_text(), LONGEST_CAPTION))}</p>"


def _sentences(text, most):
    """The first sentences of a text, with at most so many words, but one at least."""
    words, kept = 0, []
    for sentence in text.replace("\n", " ").split(". "):
        words += len(sentence.split())
        if kept and words > most:
            break
        kept.append(sentence)
    return f"{'. '.join(kept).rstrip('.')}."


def _add_code(column, cell, content):
    source = content.select_one(".highlight")
    if source is None or content.select_one("details"):
        source = None
    elif "on-slide" in cell.metadata.get("tags", []):
        column.append(Slide("code", [f'<div class="input">{source}</div>']))
        source = None
    shown = [_shown(output) for output in content.select(".jp-OutputArea-output")]
    for number, slide in enumerate(_joined([slide for slide in shown if slide])):
        if source is not None and number == 0:
            folded = f'<details><summary>code</summary><div class="input">{source}</div></details>'
            slide.pieces.append(folded)
        _add_shown(column, slide)


def _add_shown(column, slide):
    """Short printed text goes below what is there, and a lonely heading above what follows."""
    before = column[-1] if column else None
    if before and slide.kind == "code" and _lines(slide) <= _room(before):
        before.pieces += slide.pieces
    elif before and _is_lonely_heading(before):
        slide.pieces[0] = before.pieces[0] + slide.pieces[0]
        column[-1] = slide
    else:
        column.append(slide)


def _room(slide):
    """Lines of printed text that still fit on a slide."""
    if slide.kind == "text":
        return MOST_LINES
    return FEW_LINES if slide.is_without_caption else 0


def _lines(slide):
    return sum(piece.count("\n") for piece in slide.pieces if not piece.startswith("<details>"))


def _shown(output):
    """What a cell showed, as a slide: a picture, a table, Markdown, a formula, or printed text."""
    picture = output.find("img")
    if picture is not None:
        alt = f"<p>{html.escape(picture.get('alt', ''))}</p>"
        return Slide("figure", [f'<div class="figure">{picture}</div>'], [alt], True)
    if "jp-RenderedHTMLCommon" in output.get("class", []):
        return Slide("figure", [f"<div>{output.decode_contents()}</div>"], [], True)
    text = output.find("pre")
    return None if text is None else Slide("code", [_printed(text)])


def _joined(slides):
    """The same, but printed texts that follow each other on one slide."""
    joined = []
    for slide in slides:
        if joined and slide.kind == joined[-1].kind == "code":
            joined[-1].pieces += slide.pieces
        else:
            joined.append(slide)
    return joined


def _printed(text):
    """Printed text; very long lines are wrapped, tables stay as they are."""
    lines = [line.rstrip() for line in text.get_text().splitlines()]
    if max(map(len, lines), default=0) > WIDEST:
        text["class"] = "long"
    return str(text)


# ---------------------------------------------------------------------------- reveal.js


def fetch_reveal() -> Path:
    """The folder of reveal.js in the user's cache, downloaded if it isn't there."""
    cache = _downloads.cache_folder()
    folder = cache / REVEAL
    if not (folder / "dist" / "reveal.js").exists():
        try:
            archive = _downloads.fetch(ADDRESS, f"sha512:{SHA512}", cache)
        except DataError as error:
            raise UsageError(str(error)) from None
        _unpack(archive, folder)
    return folder


def _unpack(path, folder):
    """What a deck needs, without sources and examples."""
    with tarfile.open(path) as archive:
        for member in archive.getmembers():
            name = member.name.removeprefix("package/")
            if member.isfile() and (
                name.startswith(("dist/re", "plugin/notes/")) or name == "LICENSE"
            ):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(member)
                if content is not None:
                    target.write_bytes(content.read())
