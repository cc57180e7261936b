"""Figures: shapes, titles, and descriptions that reach the HTML export."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("Agg")

import nbformat

from course_utils import figures
from course_utils.classroom import ROOT
from course_utils.classroom.run import _write_html


def test_a_grid_has_one_axis_for_each_place_and_shows_the_pictures():
    pictures = [torch.rand(3, 8, 10) for _ in range(5)]
    figure = figures.picture_grid(
        pictures, titles=list("abcde"), columns=3, rows=["first", "second"]
    )
    assert len(figure.axes) == 6
    assert [axis.get_title() for axis in figure.axes[:5]] == list("abcde")
    shown = figure.axes[4].images[0].get_array()
    assert np.allclose(shown, pictures[4].permute(1, 2, 0))
    assert not figure.axes[5].images
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["first", "second"]


def test_masks_and_pictures_become_images():
    assert figures.as_image(torch.ones(4, 5)).shape == (4, 5)
    assert figures.as_image(torch.full((3, 4, 5), 2.0)).max() == 1
    with pytest.raises(ValueError, match=r"\(3, H, W\), not \(4, 5, 3\)"):
        figures.as_image(torch.ones(4, 5, 3))


@pytest.mark.parametrize(
    "picture, told",
    [
        (torch.ones(3, 4, 5, dtype=torch.uint8), "floats in .* not uint8: divide by 255"),
        (np.ones((3, 4, 5), bool), "floats in .* not bool"),
        (torch.full((3, 4, 5), float("nan")), "holds NaN"),
    ],
)
def test_what_would_be_a_wrong_image_is_refused(picture, told):
    with pytest.raises(ValueError, match=told):
        figures.as_image(picture)


@pytest.mark.parametrize(
    "pictures, options, told",
    [
        ([], {}, "no pictures to show"),
        ({"a": torch.ones(3, 4, 5)}, {}, r"pass pictures\.values\(\)"),
        (3, {}, "pictures=3: a list is needed"),
        ([torch.ones(3, 4, 5)] * 2, {"titles": "ab"}, "titles='ab': a list is needed"),
        ([torch.ones(3, 4, 5)] * 2, {"rows": "ab"}, "rows='ab': a list is needed"),
        ([torch.ones(3, 4, 5)] * 3, {"colours": "red"}, "colours='red': a list is needed"),
        ([torch.ones(3, 4, 5)] * 2, {"rows": list("abc")}, "3 labels .* 2 columns make 1: give"),
        ([torch.ones(3, 4, 5)] * 4, {"rows": list("abc"), "columns": 2}, "3 labels .* make 2: g"),
        ([torch.ones(3, 4, 5)], {"columns": 0}, "columns=0: a whole number from 1 on"),
        ([torch.ones(3, 4, 5)], {"columns": 1.5}, "columns=1.5: a whole number from 1 on"),
        ([torch.ones(3, 4, 5)], {"size": 0}, "size=0: it must be positive"),
        ([torch.ones(3, 4, 5)] * 3, {"titles": ["a", "b"]}, "2 titles for 3 pictures"),
        ([torch.ones(3, 4, 5)] * 3, {"titles": list("abc"), "colours": ["red"]}, "1 colours for 3"),
    ],
)
def test_a_grid_has_pictures_and_a_title_for_each(pictures, options, told):
    with pytest.raises(ValueError, match=told):
        figures.picture_grid(pictures, **options)


def test_what_is_left_over_of_titles_is_not_shown_and_rows_may_have_no_label():
    pictures = {"one": torch.ones(3, 4, 5), "two": torch.zeros(3, 4, 5)}
    titles = {"one": 1, "two": 2, "three": 3}
    figure = figures.picture_grid(pictures.values(), titles, columns=1, rows=["first"])
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]
    assert [axis.get_ylabel() for axis in figure.axes] == ["first", ""]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float8_e5m2, torch.float64])
@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 2)])
def test_every_precision_becomes_an_image(kind, shape):
    picture = torch.full(shape, 0.5).to(kind).requires_grad_()
    assert np.array_equal(figures.as_image(picture), np.full((2, 2, 3)[: len(shape)], 0.5))


@pytest.mark.parametrize("figure", [None, "figure.png", torch.ones(3, 4, 5)])
def test_what_is_no_figure_is_not_shown(figure):
    with pytest.raises(ValueError, match="^There is no figure in a"):
        figures.show(figure, "A zebra.")


@pytest.mark.parametrize("alt", [None, 3, "", " "])
def test_a_figure_is_not_shown_without_a_description(alt):
    with pytest.raises(ValueError, match="^Describe the figure"):
        figures.show(figures.picture_grid([torch.ones(3, 4, 5)]), alt)


def test_titles_are_formulas_or_shown_as_they_are(monkeypatch):
    texts = [r"$\frac$ for", "$5", "$\\lambda$ = 2\nscore 3"]
    figure = figures.picture_grid([torch.ones(3, 4, 5)] * 3, texts, 1, rows=texts)
    assert [axis.title.get_parse_math() for axis in figure.axes] == [False, True, True]
    assert [axis.get_title() for axis in figure.axes] == texts
    shown_by(figure, "White.", monkeypatch)


def shown_by(figure, alt, monkeypatch):
    """The data and metadata that `show` hands to the notebook."""
    shown = []
    monkeypatch.setattr(figures, "display", shown.append)
    figures.show(figure, alt)
    return shown[0]._repr_mimebundle_()


def test_a_shown_figure_carries_its_description(monkeypatch):
    blurred = torch.nn.functional.interpolate(torch.rand(1, 3, 9, 9), size=128, mode="bilinear")[0]
    photo = figures.picture_grid([blurred], size=4)
    data, metadata = shown_by(photo, "A grey cat.", monkeypatch)
    assert list(data) == ["image/jpeg"]
    assert metadata["image/jpeg"]["alt"] == "A grey cat."
    with pytest.raises(ValueError, match="Describe the figure"):
        figures.show(figures.picture_grid([torch.rand(3, 4, 4)]), " ")


def test_a_chart_stays_a_png(monkeypatch):
    figure, axis = figures.plt.subplots()
    axis.bar("abc", [1, 2, 3])
    data, metadata = shown_by(figure, "Three bars.", monkeypatch)
    assert list(data) == ["image/png"]
    assert metadata["image/png"]["alt"] == "Three bars."


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg"])
def test_the_html_export_keeps_the_description(tmp_path, kind):
    output = nbformat.v4.new_output(
        "display_data", {kind: "AAAA"}, metadata={kind: {"alt": 'A "grey" cat.'}}
    )
    cell = nbformat.v4.new_code_cell("show()", outputs=[output], execution_count=1)
    _write_html(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "cat.html")
    page = (tmp_path / "cat.html").read_text(encoding="utf-8")
    assert 'A "grey" cat.' in page
    assert "No description has been provided" not in page


def described_notebook(folder):
    output = nbformat.v4.new_output(
        "display_data", {"image/png": "AAAA"}, metadata={"image/png": {"alt": "A grey cat."}}
    )
    cell = nbformat.v4.new_code_cell("show()", outputs=[output], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "cat.ipynb")


@pytest.mark.parametrize("options", [[], ["--template", "classic"]], ids=["default", "classic"])
def test_nbconvert_itself_keeps_the_description(options, tmp_path):
    """By the settings that `make` installs; classic is what nbgrader uses."""
    described_notebook(tmp_path)
    settings = {"JUPYTER_CONFIG_PATH": str(ROOT / "course_utils" / "classroom" / "jupyterlab")}
    settings["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "cat.ipynb", *options]
    subprocess.run(command, cwd=tmp_path, env=os.environ | settings, check=True)
    page = (tmp_path / "cat.html").read_text(encoding="utf-8")
    assert 'alt="A grey cat."' in page
    assert "No description has been provided" not in page
