"""The site: complete, without requests, and in a browser as it should be."""

import contextlib
import functools
import io
import re
from urllib.parse import unquote

import axe
import nbformat
import pytest
from browser import Browser, needs_browser
from bs4 import BeautifulSoup

from course_utils.classroom import ROOT, UsageError, elsewhere, find_notebooks, is_claims
from course_utils.classroom import site as classroom_site
from course_utils.classroom.curriculum import chapters
from course_utils.classroom.site import build_site
from course_utils.classroom.site_pages import pairs
from course_utils.classroom.sphinx_course import Search

NAMES = [path.stem for path in find_notebooks()]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site's folder, and what Sphinx warned of."""
    warnings = io.StringIO()
    with contextlib.redirect_stderr(warnings):
        index = build_site(tmp_path_factory.mktemp("site"))
    return index.parent, warnings.getvalue()


@pytest.fixture(scope="module")
def site(built):
    return built[0]


WORD = re.compile(r'<span class="[a-z]\w?">([^<>]*)</span>')
"""A word of code in its colour; there are ten thousand in a page, and none is asked for here."""


@functools.cache
def read(path):
    return BeautifulSoup(WORD.sub(r"\1", path.read_text(encoding="utf-8")), "html.parser")


@functools.cache
def anchors(path):
    return {element["id"] for element in read(path).select("[id]")}


def test_sphinx_warns_of_nothing(built):
    assert built[1] == ""


def test_no_page_asks_a_server_and_every_link_leads_to_a_file(site):
    pages = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    assert len(pages) > len(NAMES) + 8
    for path in pages:
        page = read(path)
        for element in page.select("script[src], img, iframe, link[href]"):
            target = element.get("src") or element.get("href")
            assert (path.parent / re.split("[?#]", target)[0]).exists(), (path.name, target)
        for link in page.select("a[href]"):
            target, _, anchor = unquote(link["href"]).partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            other = path.parent / target if target else path
            assert other.exists(), (path.name, target)
            assert not anchor or anchor in anchors(other), (path.name, link["href"])


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_every_notebook_is_a_page_with_its_figures_described(path, site):
    notebook, page = nbformat.read(path, as_version=4), read(site / f"notebooks/{path.stem}.html")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = [{"image/png", "image/jpeg"} & output.get("data", {}).keys() for output in outputs]
    described = [o.metadata[kind]["alt"] for o, kind_ in zip(outputs, kinds) for kind in kind_]
    assert [figure["alt"] for figure in page.select("img.figure")] == described != []
    assert page.title.text.startswith(page.select_one("h1").text.rstrip("#"))
    text = page.select_one("article").text
    assert "NBVAL_CHECK_OUTPUT" not in text and "MathJax" not in str(page)
    prose = "".join(p.text for p in page.select("article p"))
    assert not re.search(r"\$[^$<>]*\\[a-z]+[^$<>]*\$", prose), "a formula was not converted"


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_solutions_and_claims_are_folded(path, site):
    cells = nbformat.read(path, as_version=4).cells
    answers = sum(bool(c.metadata.get("nbgrader", {}).get("solution")) for c in cells)
    page = read(site / f"notebooks/{path.stem}.html")
    summaries = page.select("details.hide > summary > p.collapsed")
    folded = [summary.text.strip() for summary in summaries]
    assert folded.count("One right answer") == answers > 0
    assert folded.count("What the text claims") == sum(map(is_claims, cells))
    assert all("BEGIN SOLUTION" not in cell.text for cell in page.select("div.cell > div"))


def test_the_index_has_a_picture_and_minutes_for_each_chapter(site):
    cards = read(site / "index.html").select("ul.chapters li")
    assert len(cards) == len(NAMES)
    for card, chapter in zip(cards, chapters()):
        assert card.select_one("a")["href"] == f"notebooks/{chapter.path.stem}.html"
        assert chapter.title in card.text and f"{chapter.minutes} minutes" in card.text
        assert card.select_one("img") is not None, "make docs/chapters/*.jpg: see chapters.toml"
        assert len(card.select_one("span").text.split()) > 4, "see docs/chapters.toml"


def test_the_contents_of_a_page_and_its_neighbours_are_linked(site):
    page = read(site / f"notebooks/{NAMES[1]}.html")
    assert len(page.select("nav.page-toc a, .bd-toc-nav a")) > 5
    assert page.select_one("a.left-prev")["href"] == f"{NAMES[0]}.html"
    assert page.select_one("a.right-next")["href"] == f"{NAMES[2]}.html"


def test_a_pair_is_the_same_scene_twice():
    for pair in pairs():
        assert pair.left.shape == pair.right.shape
        changed = (pair.left - pair.right).abs().amax(0) > 0.1
        assert 0.002 < changed.float().mean() < 0.9, pair.name


def test_a_word_with_a_hyphen_is_also_found_as_one():
    words = Search({}).split("The Grad-CAM of a look-alike")
    assert {"Grad", "CAM", "GradCAM", "look", "lookalike"} <= set(words)


def test_a_site_of_notebooks_that_never_ran_is_refused(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# 1 · Empty"), nbformat.v4.new_code_cell("1")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "01_empty.ipynb")
    with pytest.raises(UsageError, match="01_empty has no outputs"):
        build_site(tmp_path / "site", executed=tmp_path)


@pytest.mark.parametrize(
    ("outputs", "count", "message"),
    [
        ([nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])], 2, "code cell 2"),
        ([], None, "not run to its end"),
    ],
)
def test_a_notebook_that_did_not_come_to_its_end_is_refused(tmp_path, outputs, count, message):
    output = nbformat.v4.new_output("stream", text="1")
    cells = [
        nbformat.v4.new_code_cell("print(1)", outputs=[output], execution_count=1),
        nbformat.v4.new_code_cell("work()", outputs=outputs, execution_count=count),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "mine.ipynb")
    with pytest.raises(UsageError, match=f"mine .*{message}"):
        build_site(tmp_path / "site", executed=tmp_path)


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "mine.ipynb").write_text("{")
    with pytest.raises(UsageError, match="mine.ipynb can't be read as a notebook"):
        build_site(tmp_path / "site", executed=tmp_path)


def test_a_notebook_that_says_nothing_about_itself_is_refused(tmp_path):
    output = nbformat.v4.new_output("stream", text="1")
    code = nbformat.v4.new_code_cell("print(1)", outputs=[output], execution_count=1)
    cells = [nbformat.v4.new_markdown_cell("# Mine"), code]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "mine.ipynb")
    with pytest.raises(UsageError, match="mine.ipynb lacks a title"):
        build_site(tmp_path / "site", executed=tmp_path)


# ---------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def axe_core():
    return axe.source()


OF_EACH_KIND = ["index", "trial", "data/README", "search", "docs/teaching", f"notebooks/{NAMES[1]}"]
OF_EACH_KIND += ["data/classifiers/tank_fair"]
PAGES = ["index", "trial", "data/README", "search", *(f"notebooks/{name}" for name in NAMES)]
PAGES += [
    path.relative_to(ROOT).with_suffix("").as_posix()
    for folder in ("docs", "data/classifiers")
    for path in sorted((ROOT / folder).glob("*.md"))
]


def test_every_page_is_looked_at(site):
    made = [path.relative_to(site) for path in site.rglob("*.html") if "_static" not in path.parts]
    assert {page.with_suffix("").as_posix() for page in made} == set(PAGES) >= set(OF_EACH_KIND)


def look(browser, site, page, width, theme):
    browser.screen(width, 900)
    browser.open(f"file://{site}/{page}.html")
    look_again(browser, width, theme)
    assert browser.foreign_requests() == []


def look_again(browser, width, theme):
    """Looks at the page that is open on another screen."""
    browser.screen(width, 900)
    browser.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    browser.wait(f"innerWidth >= {width}")  # a phone shows what is too wide on a wider screen
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), "too wide"


@needs_browser
@pytest.mark.parametrize("page", PAGES)
def test_nobody_stumbles_over_a_page(page, site, browser, axe_core):
    look(browser, site, page, 1280, "light")
    assert axe.violations(browser, axe_core) == []
    look_again(browser, 390, "dark")
    assert browser.evaluate("innerWidth") == 390, "too wide"
    if page.startswith("notebooks/"):
        figure = "document.querySelector('img.figure')"
        assert browser.evaluate(f"getComputedStyle({figure}).filter") == "none"


@needs_browser
@pytest.mark.parametrize("page", OF_EACH_KIND)
def test_nobody_stumbles_on_a_phone_in_the_dark(page, site, browser, axe_core):
    look(browser, site, page, 390, "dark")
    assert axe.violations(browser, axe_core) == []
    browser.screen(1280, 720)


@needs_browser
@pytest.mark.parametrize("query", ["gradcam", "Grad-CAM", "grad cam"])
def test_the_search_of_every_page_finds_methods_as_people_write_them(query, site, browser):
    browser.open(f"file://{site}/notebooks/01_the_tank_legend.html")
    field = "document.querySelector('form[role=search] input')"
    found = "document.querySelectorAll('#search-results li a')"
    browser.evaluate(f"{field}.value = '{query}'; {field}.form.submit()")
    browser.wait(f"location.pathname.endsWith('search.html') && {found}.length > 4")
    first = browser.evaluate(f"{found}[0].href")
    assert "07_cam_localization.html" in first
    assert browser.foreign_requests() == []


@needs_browser
def test_the_edge_between_two_pictures_moves_by_keyboard(site, browser):
    browser.open(f"file://{site}/data/README.html")
    assert browser.evaluate("document.querySelectorAll('.before-after').length") == len(pairs())
    edge = "document.querySelector('.before-after').style.getPropertyValue('--edge')"
    before = browser.wait(edge)
    browser.evaluate("document.querySelector('.before-after input').focus()")
    browser.press("ArrowRight", 39)
    assert browser.wait(f"{edge} != '{before}' && {edge}") == f"{int(before[:-1]) + 1}%"


@needs_browser
def test_the_trials_table_is_whole_on_a_laptop_and_keeps_its_methods_on_a_phone(site, browser):
    look(browser, site, "trial", 1280, "light")
    table = "document.querySelector('.table-wide')"
    assert browser.evaluate(f"{table}.scrollWidth <= {table}.clientWidth")
    look(browser, site, "trial", 390, "light")
    browser.evaluate(f"{table}.scrollLeft = 200")
    place = "document.querySelector('.sortable tbody th').getBoundingClientRect().left"
    assert browser.evaluate(f"{table}.scrollLeft > 0 && {place} >= 0")
    browser.screen(1280, 720)


@needs_browser
def test_the_trials_table_is_sorted_by_a_heading(site, browser):
    browser.open(f"file://{site}/trial.html")
    rows = "[...document.querySelectorAll('.sortable tbody tr')]"
    column = f"{rows}.map(row => Number(row.cells[2].textContent))"
    shares = browser.evaluate(column)
    browser.click(".sortable thead th:nth-child(3) button")
    assert browser.evaluate(column) == sorted(shares, reverse=True) != shares
    browser.click(".sortable thead th:nth-child(3) button")
    assert browser.evaluate(column) == sorted(shares)
    heading = "document.querySelector('.sortable thead th:nth-child(3)')"
    assert browser.evaluate(f"{heading}.getAttribute('aria-sort')") == "ascending"


@needs_browser
def test_a_published_course_has_buttons_for_colab(tmp_path, monkeypatch, browser, axe_core):
    address = "https://github.com/somebody/the-course"
    monkeypatch.setattr(elsewhere, "repository", lambda: address)
    path = next(path for path in find_notebooks() if path.stem == NAMES[1])
    monkeypatch.setattr(classroom_site, "COPIED", ("docs/chapters/*.jpg", "data/*/tank_fair.md"))
    (tmp_path / "executed").mkdir()
    (tmp_path / "executed" / path.name).write_bytes(path.read_bytes())
    with contextlib.redirect_stderr(io.StringIO()):  # of links to notebooks that are not there
        build_site(tmp_path / "site", executed=tmp_path / "executed")
    page = read(tmp_path / "site" / "notebooks" / f"{NAMES[1]}.html")
    links = [link["href"] for link in page.select("a[href*=colab]")]
    assert links and set(links) == {elsewhere.colab_link(address, NAMES[1])}
    look(browser, tmp_path / "site", f"notebooks/{NAMES[1]}", 1280, "light")
    assert axe.violations(browser, axe_core) == []
