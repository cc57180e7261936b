"""`course site`: all executed notebooks as pages that link to each other, with a search.

The site needs no network and no server: open build/site/index.html. Formulas are MathML, figures
lie inside the pages, and the search runs in the browser over an index that belongs to the page.
"""

import html
import json
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup

from course_utils.classroom import NOTEBOOKS, UsageError, find_notebooks
from course_utils.classroom.export import to_html
from course_utils.classroom.files import fill, make_folder


def build_site(out: Path, executed: Path | None = None) -> Path:
    """Writes the site into a folder -> its index page.

    executed: a folder of executed notebooks, such as build/; by default the notebooks as they are
              in the repository, which keep the outputs of a complete run
    """
    paths = find_notebooks(folder=executed or NOTEBOOKS)
    notebooks = {path.stem: nbformat.read(path, as_version=4) for path in paths}
    empty = [name for name, notebook in notebooks.items() if not _has_outputs(notebook)]
    if empty:
        raise UsageError(f"{empty[0]} has no outputs: execute it first, with `course run`.")
    make_folder(out)
    titles = {name: title_of(notebook) for name, notebook in notebooks.items()}
    index = []
    for name, notebook in notebooks.items():
        bar = _bar(name, titles)
        page = to_html(notebook, titles[name], before=bar, after=bar)
        (out / f"{name}.html").write_text(page, encoding="utf-8")
        index += _entries(name, titles[name], page)
    entries = json.dumps(index, ensure_ascii=False).replace("<", "\\u003c")
    home = fill("site/index.html", contents=_contents(notebooks, titles), index=entries)
    (out / "index.html").write_text(home, encoding="utf-8")
    return out / "index.html"


def _has_outputs(notebook):
    return any(cell.get("outputs") for cell in notebook.cells)


def title_of(notebook: nbformat.NotebookNode) -> str:
    """A notebook's first heading."""
    lines = (line for cell in notebook.cells for line in cell.source.splitlines())
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "Notebook")


def _bar(name, titles):
    """Links to the contents, to the notebook before and to the one after."""
    names = list(titles)
    place = names.index(name)
    links = ['<a href="index.html">Contents</a>']
    if place > 0:
        before = names[place - 1]
        links.append(f'<a rel="prev" href="{before}.html">← {html.escape(titles[before])}</a>')
    if place + 1 < len(names):
        after = names[place + 1]
        text = html.escape(titles[after])
        links.append(f'<a class="next" rel="next" href="{after}.html">{text} →</a>')
    return f'<nav class="course-bar">{"".join(links)}</nav>'


def _contents(notebooks, titles):
    items = []
    for name, notebook in notebooks.items():
        sections = [
            line.removeprefix("## ")
            for cell in notebook.cells
            if cell.cell_type == "markdown"
            for line in cell.source.splitlines()
            if line.startswith("## ")
        ]
        told = html.escape(" · ".join(sections))
        title = html.escape(titles[name])
        items.append(f'<li><a href="{name}.html">{title}</a><p>{told}</p></li>')
    return "\n".join(items)


def _entries(name, title, page):
    """What the search knows of a page: one entry for each heading, with the text below it."""
    main = BeautifulSoup(page, "html.parser").select("main")[0]
    for bar in main.select("nav"):
        bar.decompose()
    entries, current = [], None
    for element in main.select("h1, h2, h3, p, li, pre, td, summary"):
        if element.name in ("h1", "h2", "h3"):
            heading = element.get_text(" ", strip=True).removesuffix("¶").strip()
            link = f"{name}.html#{element.get('id', '')}"
            current = {"page": title, "title": heading, "link": link, "text": ""}
            entries.append(current)
        elif current is not None:
            text = " ".join(element.get_text(" ", strip=True).split())
            current["text"] += f" {text}"
    return entries
