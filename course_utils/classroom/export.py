"""Notebooks as HTML pages that need nothing else: formulas as MathML, figures inside, no scripts.

nbconvert's own pages fetch MathJax, RequireJS and Mermaid when they are opened, and so show raw
LaTeX where there is no network. Browsers draw MathML by themselves.
"""

import copy
from html import escape

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

from course_utils.classroom import is_claims
from course_utils.classroom.files import TEMPLATES


class _Renderer(IPythonRenderer):
    """Markdown to HTML, formulas as MathML."""

    def block_math(self, body):
        return _mathml(body, "block")

    def inline_math(self, body):
        return _mathml(body, "inline")


def _mathml(latex, display):
    """A formula as MathML; as it was written, if it can't be read."""
    try:
        return convert(latex, display=display)
    except Exception:  # the parser raises many kinds
        return f"<code>{escape(latex)}</code>"


class _Exporter(HTMLExporter):
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


def to_html(notebook: NotebookNode, name: str, before: str = "", after: str = "") -> str:
    """A notebook as one HTML page, which makes no request.

    Controls and progress bars are left out, as they would be dead; the figures that controls draw
    stay.

    name:          the page's title, if the notebook has none
    before, after: HTML that is put above and below the notebook
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not _is_widget(output)]
    exporter = _Exporter(template_name="course", extra_template_basedirs=[str(TEMPLATES)])
    exporter.environment.tests["claims"] = is_claims
    resources = {"metadata": {"name": name}, "before": before, "after": after}
    return exporter.from_notebook_node(notebook, resources=resources)[0]


def _is_widget(output):
    return "application/vnd.jupyter.widget-view+json" in output.get("data", {})
