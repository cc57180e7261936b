"""Controls that redraw a figure: what they show, and that it stays in a saved notebook."""

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import pytest
from nbclient import NotebookClient
from waiting import HANG

from course_utils.figures import show
from course_utils.widgets import drawn, explore

CODE = """
import ipywidgets
import matplotlib.pyplot as plt
from course_utils.figures import show
from course_utils.widgets import explore

def draw(height, colour, wide):
    figure, axis = plt.subplots(figsize=(4 if wide else 2, height))
    axis.set_title(colour)
    show(figure, f"{colour}, {height}")

slider = ipywidgets.IntSlider(2, 1, 5)
explore(draw, height=slider, colour=["red", "blue"], wide=False)
"""


def draw(height):
    figure, _ = plt.subplots(figsize=(2, height))
    show(figure, f"A figure {height} high.")


def test_an_error_is_shown_in_one_line():
    data, _ = drawn(lambda height: 1 / 0, {"height": 2})
    assert data == {"text/plain": "ZeroDivisionError: division by zero"}


def test_a_function_that_only_prints_shows_its_text():
    assert drawn(lambda: print("hello"), {})[0] == {"text/plain": "hello"}
    assert drawn(lambda: None, {})[0] == {"text/plain": "(nothing to show)"}


def test_what_is_no_control_is_named():
    with pytest.raises(ValueError, match="height=<function"):
        explore(draw, height=draw)


def executed(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=HANG).execute()


@pytest.mark.parametrize(
    "second, alt", [("", "red, 2"), ("slider.value = 4", "red, 4")], ids=["untouched", "moved"]
)
def test_a_saved_notebook_keeps_the_figure_of_the_controls(second, alt):
    outputs = executed(CODE, second).cells[0].outputs
    widgets = [
        o for o in outputs if "application/vnd.jupyter.widget-view+json" in o.get("data", {})
    ]
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(widgets) == 1 and len(figures) == 1
    assert figures[0].metadata["image/png"]["alt"] == alt


def test_controls_keep_their_own_descriptions():
    slider = ipywidgets.IntSlider(2, 1, 5, description="size")
    explore(draw, height=slider)
    assert slider.description == "size"
