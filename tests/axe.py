"""axe-core, which finds what screen readers, keyboards and weak eyes stumble over in a page."""

import json
import tarfile

import pytest

from course_utils import _downloads
from course_utils.errors import DataError

ADDRESS = "https://registry.npmjs.org/axe-core/-/axe-core-4.14.1.tgz"
SHA512 = (
    "1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b73"
    "4f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5"
)


def source():
    """The script, downloaded once; the test is skipped where that can't be."""
    try:
        archive = _downloads.fetch(ADDRESS, f"sha512:{SHA512}", _downloads.cache_folder())
    except DataError as error:
        pytest.skip(f"axe-core is not here: {error}")
    with tarfile.open(archive) as package:
        return package.extractfile("package/axe.min.js").read().decode()


ENOUGH = 3
"""Words of a kind in the code of a page: all have the same colours."""

THIN_OUT = f"""
const seen = {{}};
for (const word of document.querySelectorAll('pre span[class]:not([class=""])')) {{
  if (word.children.length || word.attributes.length > 1) continue;
  let kind = '';
  for (let outer = word; outer; outer = outer.parentElement)
    kind += `${{outer.tagName}} ${{outer.className}} ${{outer.getAttribute('style')}} < `;
  seen[kind] = (seen[kind] || 0) + 1;
  if (seen[kind] > {ENOUGH}) word.replaceWith(word.textContent);
}}
"""
"""Most elements of a notebook's page, ten thousand, are words of its code, each in a colour.

axe looks at each for a long time. So where words are of a kind, by their classes and those of all
that they stand in, only the first ones stay elements; the text stays whole.
"""


def violations(browser, script):
    """What is wrong with the page that is open -> [(rule, the first element)]."""
    browser.evaluate(f"(() => {{ {THIN_OUT} }})()")
    browser.evaluate(f"window.axe || (() => {{ {script} }})(); 1")
    found = browser.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(found => JSON.stringify("
        "found.violations.map(each => [each.id, each.nodes[0].html.slice(0, 200)])))"
    )
    return json.loads(found)
