"""`course slides`: a reveal.js deck of each notebook, made of its slide metadata.

A cell of the type "slide" begins a column of slides; text, code and figures follow below it, one
slide each. A figure gets a slide of its own with the beginning of the paragraph that reads it, and
the whole paragraph in the speaker's notes (press S). Cells of the type "skip" are left out, and
claims.
"""

import html
import shutil
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from pygments.formatters import HtmlFormatter

from course_utils import _downloads
from course_utils.classroom import UsageError, find_notebooks, is_claims
from course_utils.classroom.export import to_html
from course_utils.classroom.files import fill
from course_utils.classroom.site import title_of
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

LONGEST_CAPTION = 45
"""Words below a figure; the rest of a paragraph is left to the speaker."""


@dataclass
class Slide:
    """One slide: pieces of HTML, and what the speaker may say."""

    kind: str
    """"text", "code" or "figure"."""
    pieces: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def build_slides(names: list[str], out: Path, offline: bool = False) -> list[Path]:
    """Writes a deck for each notebook into a folder -> the decks.

    offline: puts reveal.js beside the decks, so that they need no network. It is downloaded once
             and kept in the user's cache.
    """
    out.mkdir(parents=True, exist_ok=True)
    reveal = ONLINE
    if offline:
        reveal = REVEAL
        shutil.copytree(fetch_reveal(), out / REVEAL, dirs_exist_ok=True)
    decks = []
    for path in find_notebooks(names):
        notebook = nbformat.read(path, as_version=4)
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
    content = f'<div class="fit">{"".join(slide.pieces)}</div>{notes}'
    return f'<section class="{slide.kind}">{content}</section>'


# ---------------------------------------------------------------------------- cells to slides


def columns_of(notebook: nbformat.NotebookNode) -> list[list[Slide]]:
    """The deck: columns of slides, from the cells' slide metadata."""
    page = BeautifulSoup(to_html(notebook, "slides"), "html.parser")
    drawn = page.select(".jp-Cell")
    columns = []
    for cell, content in zip(notebook.cells, drawn, strict=True):
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == "skip" or is_claims(cell):
            continue
        if kind == "slide" or not columns:
            columns.append([])
        if cell.cell_type == "markdown":
            _add_text(columns[-1], content, kind)
        elif cell.cell_type == "code":
            _add_code(columns[-1], cell, content)
    return [column for column in columns if column]


def _add_text(column, content, kind):
    body = content.select_one(".jp-RenderedHTMLCommon")
    for link in body.select("a.anchor-link"):
        link.decompose()
    for folded in body.select("details"):
        folded.decompose()
    if kind == "notes" and column:
        column[-1].notes.append(body.decode_contents())
    elif column and column[-1].kind == "figure" and len(column[-1].pieces) == 1:
        column[-1].notes.append(body.decode_contents())
        column[-1].pieces.append(f'<div class="caption">{_beginning(body)}</div>')
    else:
        column.append(Slide("text", [body.decode_contents()]))


def _beginning(body):
    """Whole sentences from the beginning of a text, as many as fit below a figure."""
    first = body.find(["p", "ul", "ol", "table"])
    if first is None:
        return ""
    if len(first.get_text().split()) <= LONGEST_CAPTION:
        return str(first)
    words, kept = 0, []
    for sentence in first.get_text().replace("\n", " ").split(". "):
        words += len(sentence.split())
        if kept and words > LONGEST_CAPTION:
            break
        kept.append(sentence)
    return f"<p>{html.escape('. '.join(kept).rstrip('.'))}.</p>"


def _add_code(column, cell, content):
    source = content.select_one(".highlight")
    if source is not None and not content.select_one("details"):
        column.append(Slide("code", [f'<div class="input">{source}</div>']))
    for output in content.select(".jp-OutputArea-output"):
        picture = output.find("img")
        if picture is not None:
            alt = html.escape(picture.get("alt", ""))
            column.append(
                Slide("figure", [f'<div class="figure">{picture}</div>'], [f"<p>{alt}</p>"])
            )
        elif output.find("pre") is not None and column:
            if column[-1].kind != "code":
                column.append(Slide("code"))
            column[-1].pieces.append(_printed(output.find("pre")))


def _printed(text):
    """Printed text; very long lines are wrapped, tables stay as they are."""
    if max(map(len, text.get_text().splitlines()), default=0) > WIDEST:
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
