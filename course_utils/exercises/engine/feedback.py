"""What a learner is told about an answer: as text, as HTML, and as data for `course progress`."""

import base64
import hashlib
import html
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from course_utils.exercises.engine.values import printable

MIME = "application/vnd.course.check+json"
"""Under this key an output keeps the verdict as data, invisible in JupyterLab."""

TITLES = {
    "passed": "passed",
    "not attempted": "not attempted yet",
    "raised": "it raised an error",
    "changed input": "it changed its input",
    "wrong type": "wrong type",
    "wrong shape": "wrong shape",
    "wrong dtype": "wrong dtype",
    "wrong device": "wrong device",
    "NaN": "not a number",
    "known mistake": "not yet",
    "wrong values": "wrong values",
    "wrong graph": "right values, wrong graph",
    "wrong gradient": "right values, wrong gradient",
    "unfinished helper": "another exercise comes first",
}
"""Every kind of feedback, and its title."""


@dataclass
class Feedback:
    """The verdict on one answer."""

    exercise: str
    kind: str
    """One of `TITLES`."""
    message: str
    out_of: int
    code: str = ""
    """The learner's line that went wrong, if one did."""
    maps: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)
    """Got and expected, (H, W) each, where a picture says more than numbers."""
    partial: float = 0
    """Points for an answer that has not passed; see `Check.partial_points`."""
    offer: str = ""
    """Where more help is to be had, after several failures."""
    source: str | None = None
    """A hash of the answer's source code, so that a later change can be noticed."""

    def __post_init__(self):
        if self.kind not in TITLES:
            raise ValueError(f"There is no feedback of the kind {self.kind!r}.")
        self.message = printable(self.message)

    @property
    def passed(self) -> bool:
        return self.kind == "passed"

    @property
    def points(self) -> float:
        return self.out_of if self.passed else self.partial

    def __str__(self):
        lines = [f"{self._sign()} {self._title()}", self.message]
        if self.code:
            lines.insert(1, f"    {self.code}")
        lines.append(self.offer)
        return "\n".join(line for line in lines if line)

    def _sign(self):
        return {"passed": "✓", "not attempted": "…"}.get(self.kind, "✗")

    def _title(self):
        points = "point" if self.out_of == 1 else "points"
        return f"{self.exercise}: {TITLES[self.kind]} ({self.points} of {self.out_of} {points})"

    def as_data(self) -> dict:
        """The verdict as JSON can hold it."""
        return {
            "exercise": self.exercise,
            "kind": self.kind,
            "points": self.points,
            "out_of": self.out_of,
            "source": self.source,
        }

    def as_html(self) -> str:
        """A box with a coloured edge; readable on light and dark pages."""
        colour = {"passed": "#2e8b57", "not attempted": "#888888"}.get(self.kind, "#c2571a")
        parts = [f"<b>{self._sign()} {html.escape(self._title())}</b>"]
        if self.code:
            parts.append(f"<pre style='margin:4px 0'>{html.escape(self.code)}</pre>")
        if self.message:
            parts.append(f"<div>{_inline(self.message)}</div>")
        if self.maps is not None:
            parts.append(spared(_maps_as_html, *self.maps) or "")
        if self.offer:
            parts.append(f"<div style='margin-top:4px'>{_inline(self.offer)}</div>")
        style = f"border-left:5px solid {colour};padding:6px 12px;margin:4px 0"
        return f"<div style='{style}'>{''.join(parts)}</div>"

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": str(self), "text/html": self.as_html(), MIME: self.as_data()}


class CannotExplain(RuntimeWarning):
    """Something that would only have explained a verdict failed."""


def spared(explain: Callable, *arguments):
    """What explain(*arguments) returns; None, with a warning, if it fails.

    A verdict must not depend on whether it can be explained. In the tests the warning is an error
    (see pyproject.toml).
    """
    try:
        return explain(*arguments)
    except Exception as error:
        told = f"This verdict could not be explained any further ({type(error).__name__}: {error})."
        warnings.warn(told, CannotExplain, stacklevel=2)
        return None


def show(feedback: Feedback) -> None:
    """Displays it in Jupyter, prints it elsewhere."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(feedback)
    else:
        display(feedback)


def hash_of_source(source: str) -> str:
    """SHA-256 of a function's source, whatever spaces end its lines."""
    lines = [line.rstrip() for line in source.splitlines()]
    return hashlib.sha256("\n".join(lines).rstrip("\n").encode()).hexdigest()


def _inline(text):
    """Escaped for HTML, with `code` in backticks set as code."""
    pieces = html.escape(text).split("`")
    for number in range(1, len(pieces) - 1, 2):
        pieces[number] = f"<code>{pieces[number]}</code>"
    return "".join(pieces)


def worth_drawing(got, expected) -> tuple[np.ndarray, np.ndarray] | None:
    """The two arrays as maps (H, W), if they are maps, or a stack whose first differing map is.

    None for anything else, and for maps too small to be looked at.
    """
    if got is None or expected.dtype.kind not in "fiub" or min(expected.shape[-2:] or (0,)) < 4:
        return None
    if expected.ndim < 2:
        return None
    if got.dtype.kind not in "fiub":
        return None
    shape = (-1, *expected.shape[-2:])
    got, expected = got.reshape(shape).astype(float), expected.reshape(shape).astype(float)
    with np.errstate(invalid="ignore"):
        differs = [not np.allclose(a, b, equal_nan=True) for a, b in zip(got, expected)]
    first = differs.index(True) if True in differs else 0
    return got[first], expected[first]


def _maps_as_html(got, expected):
    """Got, expected and their difference as one small picture, on one scale."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    maps = {"yours": got, "expected": expected, "difference": got - expected}
    finite = np.concatenate([values[np.isfinite(values)] for values in maps.values()])
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    figure = Figure(figsize=(7, 2.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, (title, values) in zip(axes, maps.items()):
        drawn = axis.imshow(values, vmin=low, vmax=high, cmap="viridis")
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    figure.colorbar(drawn, ax=axes).ax.tick_params(labelsize=8)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    data = base64.b64encode(buffer.getvalue()).decode()
    alt = "Three maps on one scale: your answer, the expected one, and their difference."
    return f"<img alt='{alt}' src='data:image/png;base64,{data}' style='background:white'>"
