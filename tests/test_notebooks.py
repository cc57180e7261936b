"""House rules for the notebooks: one clean run, described figures, readable sizes."""

import ast
import inspect
import re
from pathlib import Path

import nbformat
import pytest

from course_utils.classroom import elsewhere, is_claims
from course_utils.exercises import all_checks

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))

LAST = ("12_the_audit", NOTEBOOKS[-1].stem)
"""Where a reader may stop: the audit closes the course, what follows goes beyond it."""

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_for_platforms(cell):
    return elsewhere.MARK in cell.metadata.get("tags", [])


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def test_is_valid_and_light(path):
    nbformat.validate(read(path))
    assert path.stat().st_size < 1_000_000


def test_has_the_outputs_of_one_run_from_top_to_bottom(path):
    cells = [cell for cell in code_cells(read(path)) if cell.source.strip()]
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), "course run NN, then docs/keep_outputs.py NN"
    assert all(output.output_type != "error" for output in outputs(read(path)))


def test_has_no_widget_state(path):
    assert "widgets" not in read(path).metadata


def test_has_one_parameters_cell_with_the_common_names(path):
    tagged = [c for c in code_cells(read(path)) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for name in ("CLASSIFIER", "PICTURE", "SEED", "QUICK"):
        assert re.search(rf"^{name} = ", tagged[0].source, re.MULTILINE), name


def test_every_figure_is_described(path):
    figures = 0
    for output in outputs(read(path)):
        for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
            alt = output.metadata.get(kind, {}).get("alt", "")
            assert len(alt.split()) >= 4, "show a figure with show(figure, alt)"
            figures += 1
    assert figures >= 3, "too few figures"


def test_keeps_to_the_sizes_that_read_well(path):
    notebook = read(path)
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    shown = [cell for cell in notebook.cells if not (is_claims(cell) or is_for_platforms(cell))]
    assert 35 <= len(shown) <= 75, "cells"
    assert 1000 <= sum(len(text.split()) for text in prose) <= 2500, "words"
    unfolded = [cell for cell in code_cells(notebook) if not is_claims(cell)]
    lengths = [len(cell.source.splitlines()) for cell in unfolded]
    assert max(lengths) <= 25, "lines of a cell"


def test_every_cell_has_a_slide_type(path):
    known = {"slide", "subslide", "fragment", "skip", "notes", "-"}
    for cell in read(path).cells:
        assert cell.metadata.get("slideshow", {}).get("slide_type") in known


def test_solutions_and_checks_come_in_pairs(path):
    graded = [cell.metadata.nbgrader for cell in read(path).cells if "nbgrader" in cell.metadata]
    ids = [cell.grade_id for cell in graded]
    assert len(ids) == len(set(ids))
    solutions = [cell.grade_id for cell in graded if cell.solution]
    checks = [cell.grade_id for cell in graded if cell.grade and not cell.solution]
    assert checks == [f"check_{name}" for name in solutions]


def test_every_check_cell_calls_the_check_of_its_exercise(path):
    notebook = read(path)
    module = path.stem.split("_", 1)[1]
    code = "\n".join(cell.source for cell in code_cells(notebook))
    assert f"from course_utils.exercises import {module} as check" in code
    registered = all_checks()[module]
    graded = [cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade")]
    names = [cell.metadata.nbgrader.grade_id.removeprefix("check_") for cell in graded]
    assert sorted(names) == sorted(registered), "one check cell for each exercise of the module"
    assert 3 <= len(names) <= 6, "exercises"
    for name, cell in zip(names, graded):
        assert cell.source == f"check.{name}({name})"
        assert cell.metadata.nbgrader.points == registered[name].points


def test_solutions_have_the_signature_of_the_reference_and_markers(path):
    registered = all_checks()[path.stem.split("_", 1)[1]]
    for cell in read(path).cells:
        if cell.metadata.get("nbgrader", {}).get("solution"):
            name = cell.metadata.nbgrader.grade_id
            definitions = [
                node
                for node in ast.parse(cell.source).body
                if isinstance(node, ast.FunctionDef) and node.name == name
            ]
            given = [argument.arg for argument in definitions[0].args.args]
            assert given == list(inspect.signature(registered[name].reference).parameters)
            assert cell.source.count("### BEGIN SOLUTION") == 1
            assert cell.source.count("### END SOLUTION") == 1
            assert ast.get_docstring(definitions[0])


def test_links_to_files_and_notebooks_resolve(path):
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#\s]+)", cell.source):
                if "://" not in target:
                    assert (path.parent / target).exists(), target


def test_names_the_next_notebook_and_its_references(path):
    ending = "\n".join(cell.source for cell in read(path).cells[-3:])
    assert "**References.**" in ending, "the last cells name the references"
    if path.stem not in LAST:
        assert "**Next:**" in ending


def test_compares_with_a_library_and_says_where_it_misleads(path):
    text = "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")
    for title in ("## The same with ", "## Where it misleads", "## What to remember"):
        assert title in text, f"there is no section {title!r}"
    assert text.count("### Exercise") == len(re.findall(r"### Exercise \d+ · ", text))


def test_uses_no_rainbow_colour_map(path):
    for cell in code_cells(read(path)):
        assert not re.search(r"""cmap\s*=\s*["'](jet|rainbow|hsv|nipy_spectral)["']""", cell.source)
