"""Notebooks as HTML pages that need nothing else: formulas as MathML, figures inside, no scripts.

nbconvert's own pages fetch MathJax, RequireJS and Mermaid when they are opened, and so show raw
LaTeX where there is no network. Browsers draw MathML by themselves.
"""

import copy
import re
import uuid
from functools import cache
from html import escape

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters import clean_html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from course_utils.classroom import is_claims
from course_utils.classroom.files import TEMPLATES

COMPARED = "# NBVAL_CHECK_OUTPUT\n"
"""Begins cells whose printed text is compared in tests; readers need not know."""


CODE = re.compile(
    r'<div class="[\w -]*"><pre>(?:[^<]++|<span(?: class="\w*")?>|</span>)*+</pre></div>\s*'
)
"""Code in its colours, in which nothing has to be cleaned."""


class _Renderer(IPythonRenderer):
    """Markdown to HTML, formulas as MathML."""

    def block_math(self, body):
        return mathml(body, "block")

    def inline_math(self, body):
        return mathml(body, "inline")


def mathml(latex: str, display: str) -> str:
    """A formula as MathML; as it was written, if it can't be read.

    display: "inline" or "block"
    """
    try:
        return convert(latex, display=display)
    except Exception:  # the parser raises many kinds
        return f"<code>{escape(latex)}</code>"


def _is_code(html):
    """Whether this is code in its colours; to clean it takes as long as all the rest of a page."""
    return isinstance(html, str) and CODE.fullmatch(html) is not None


class _Exporter(HTMLExporter):
    """Leaves code aside while nbconvert parses the page: its words are most of the elements."""

    def default_filters(self):
        yield from super().default_filters()
        yield "clean_html", self._clean_or_leave_aside

    def _clean_or_leave_aside(self, html):
        if not _is_code(html):
            return clean_html(html)
        self.aside.append(html)
        return f"{self.mark}{len(self.aside) - 1};"

    def from_notebook_node(self, nb, resources=None, **kw):
        self.aside, self.mark = [], uuid.uuid4().hex  # which stands in no notebook
        page, resources = super().from_notebook_node(nb, resources, **kw)
        return re.sub(rf"{self.mark}(\d+);", lambda m: self.aside[int(m[1])], page), resources

    @pass_context
    def markdown2html(self, context, source):
        renderer = _Renderer(
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=self.embed_images,
            path=context.get("resources", {}).get("metadata", {}).get("path", ""),
            anchor_link_text=self.anchor_link_text,
            exclude_anchor_links=self.exclude_anchor_links,
        )
        return MarkdownWithMath(renderer=renderer).render(source)


def to_html(notebook: NotebookNode, name: str) -> str:
    """A notebook as one HTML page, which makes no request.

    Controls and progress bars are left out, as they would be dead; the figures that controls draw
    stay.

    name: the page's title, if the notebook has none
    """
    notebook = readable(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            _draw_formula(output.get("data", {}))
    return _exporter().from_notebook_node(notebook, resources={"metadata": {"name": name}})[0]


@cache
def _exporter():
    """Only one, since it compiles its templates anew."""
    exporter = _Exporter(template_name="course", extra_template_basedirs=[str(TEMPLATES)])
    exporter.environment.tests["claims"] = is_claims
    return exporter


def readable(notebook: NotebookNode) -> NotebookNode:
    """A copy for readers: without controls, progress bars and marks that only tests need."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cell.source.removeprefix(COMPARED)
            cell.outputs = [output for output in cell.outputs if not _is_widget(output)]
    return notebook


def title_of(notebook: NotebookNode) -> str:
    """A notebook's first heading."""
    lines = (line for cell in notebook.cells for line in cell.source.splitlines())
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), "Notebook")


def _draw_formula(data):
    """Puts a formula that a cell showed as MathML where exporters look first."""
    if "text/latex" in data:
        data["text/html"] = mathml(data.pop("text/latex").strip().strip("$"), "block")


def _is_widget(output):
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})
