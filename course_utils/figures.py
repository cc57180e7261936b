"""Figures of the notebooks: pictures in rows, and a way to show a figure with its description.

figure = picture_grid(pictures, titles)
show(figure, "Twelve pictures: six tanks in the sun, six empty meadows under clouds.")
"""

import io
from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import PIL.Image
import torch
from IPython.display import Image, display
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.mathtext import MathTextParser

from course_utils._arguments import check_tensor
from course_utils.errors import check_count, check_positive, shown

COLOURS = {"tank": "#b5482a", "no_tank": "#3f6f8f", "sunny": "#d99a1c", "overcast": "#7a8088"}
"""One colour for each condition of the tank yard, the same in every figure."""

plt.rcParams.update(
    {
        "figure.dpi": 100,
        "font.size": 10,
        "axes.titlesize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "image.interpolation": "nearest",
    }
)


def show(figure: Figure, alt: str) -> None:
    """Display a figure that carries `alt`, its description in one or two sentences.

    Screen readers, the HTML export and the slides use it. The figure is closed afterwards.
    Raises ValueError for what is no figure, and for an empty description.
    """
    if not isinstance(figure, Figure):
        raise ValueError(
            f"There is no figure in a {type(figure).__name__}: pass what picture_grid or"
            " plt.figure() returns, or axes.figure."
        )
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError("Describe the figure: show(figure, 'what it shows, in a sentence').")
    content, kind = _encoded(figure)
    plt.close(figure)
    display(Image(data=content, format=kind, alt=alt))


def _encoded(figure):
    """The figure as (bytes, "png" or "jpeg").

    Charts are sharper as PNG; photographs are many times smaller as JPEG, which keeps a notebook
    light.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", facecolor="white")
    drawing, jpeg = PIL.Image.open(buffer).convert("RGB"), io.BytesIO()
    drawing.save(jpeg, "JPEG", quality=82, optimize=True)
    if len(jpeg.getvalue()) < 0.7 * len(buffer.getvalue()):
        return jpeg.getvalue(), "jpeg"
    return buffer.getvalue(), "png"


def as_image(picture: torch.Tensor | np.ndarray) -> np.ndarray:
    """A picture (3, H, W) or mask (H, W) as matplotlib wants it: (H, W, 3) or (H, W).

    What a picture holds beyond [0, 1] is cut off. Formats that NumPy doesn't have, such as
    bfloat16, come in single precision. Raises ValueError for other shapes, and for pictures that
    are no floats or hold NaN.
    """
    if isinstance(picture, torch.Tensor):
        picture = check_tensor("picture", picture.detach()).cpu()
        picture = picture.float() if picture.dtype == torch.bfloat16 else picture
    array = np.asarray(picture)
    if array.ndim == 2:
        return array
    if array.ndim != 3 or array.shape[0] != 3:
        raise ValueError(f"A picture has the shape (3, H, W), not {tuple(array.shape)}.")
    if array.dtype.kind != "f":
        raise ValueError(f"A picture holds floats in [0, 1], not {array.dtype}: divide by 255.")
    if np.isnan(array).any():
        raise ValueError("The picture holds NaN: some computation before this one went wrong.")
    return np.clip(array.transpose(1, 2, 0), 0, 1)


def picture_grid(
    pictures, titles=None, columns: int | None = None, size: float = 1.5, rows=None, colours=None
) -> Figure:
    """Pictures side by side, `columns` in a row, each `size` inches wide.

    columns: at least 1; as many as there are pictures, if they are fewer, or if it is None
    titles:  one text above each picture, in which $...$ may be a formula; what is left over, as
             with fewer pictures for the same titles, is not shown
    rows:    one label at the left of each row; the last rows may have none
    colours: one colour of each title; what is left over counts for nothing

    Raises ValueError for no pictures, for fewer titles or colours than pictures, for more labels
    than rows, for a single text or a dict in place of a list, and for sizes that none can have.
    """
    pictures = _listed("pictures", pictures)
    if not pictures:
        raise ValueError("There are no pictures to show.")
    check_positive(size=size)
    titles = _one_each("titles", titles, pictures)
    colours = _one_each("colours", colours, pictures)
    columns = len(pictures) if columns is None else check_count("columns", columns)
    columns = min(columns, len(pictures))
    count = -(-len(pictures) // columns)
    rows = [] if rows is None else _listed("rows", rows)
    if len(rows) > count:
        raise ValueError(
            f"{len(rows)} labels of rows, but {len(pictures)} pictures in {columns} columns make"
            f" {count}: give one for each row, or fewer columns."
        )
    height = size * (1.18 if titles is not None else 1.02)
    figure, axes = plt.subplots(
        count,
        columns,
        figsize=(columns * size, count * height),
        squeeze=False,
        layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01),
    )
    for number, axis in enumerate(axes.flat):
        axis.set_xticks([])
        axis.set_yticks([])
        axis.spines[:].set_visible(False)
        if number >= len(pictures):
            continue
        axis.imshow(as_image(pictures[number]))
        if titles is not None:
            colour = colours[number] if colours is not None else "black"
            title = titles[number]
            axis.set_title(title, color=colour, pad=3, parse_math=_is_formula(title))
    for axis, label in zip(axes[:, 0], rows):
        axis.set_ylabel(label, parse_math=_is_formula(label))
    return figure


def _is_formula(text):
    """Whether matplotlib can read what stands between dollars; else the text is shown as it is."""
    try:
        for line in filter(is_math_text, str(text).split("\n")):
            MathTextParser("path").parse(line)
    except ValueError:
        return False
    return True


def _one_each(name, values, pictures):
    """The values as a list, if there is one for each picture; None if none are wanted."""
    values = None if values is None else _listed(name, values)
    if values is not None and len(values) < len(pictures):
        raise ValueError(f"{len(values)} {name} for {len(pictures)} pictures: give one for each.")
    return values


def _listed(name, values):
    """The values as a list. Raises ValueError for what would be one by accident, or is none."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name}={shown(values)}: a list is needed.")
    if name == "pictures" and isinstance(values, Mapping):
        raise ValueError("pictures is a dict: pass pictures.values(), and its keys as titles.")
    return list(values)
