"""What the site adds to Sphinx: formulas as MathML, and a search that knows "gradcam".

The extension is named in templates/site/conf.py. Without it, Sphinx fetches MathJax from a server
whenever a page with a formula is opened.
"""

import functools
import re

from docutils import nodes
from sphinx.search.en import SearchEnglish

from course_utils.classroom.export import mathml


class Search(SearchEnglish):
    """English, but a word with a hyphen is also found as one word: "Grad-CAM" as "gradcam"."""

    def __init__(self, options: dict) -> None:
        super().__init__(options)
        self.stem = functools.cache(self.stem)  # pages have most of their words in common

    def split(self, input: str) -> list[str]:
        compounds = re.findall(r"\w+(?:-\w+)+", input)
        return super().split(input) + [word.replace("-", "") for word in compounds]


def _inline(translator, node):
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def _block(translator, node):
    formula = mathml(node.astext(), "block")
    translator.body.append(f'<div class="formula" tabindex="0">{formula}</div>')
    raise nodes.SkipNode


def _repair(_app, _page, _template, context, _doctree):
    """Two things that screen readers stumble over.

    MyST-NB calls each folded cell "Toggle hidden content", whatever is inside, and a table of
    Markdown has headings even where they are empty.
    """
    body = context.get("body", "").replace(' aria-label="Toggle hidden content"', "")
    context["body"] = re.sub(r'<th class="head[^"]*"><p></p></th>', "<td></td>", body)


def setup(app):
    """Called by Sphinx."""
    app.connect("html-page-context", _repair)
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.add_search_language(Search)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
