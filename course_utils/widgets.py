"""Controls that redraw a figure, and leave the figure in the notebook for readers without a kernel.

    def browse(channel):
        show(picture_grid(crops_of(channel)), f"The crops of channel {channel}.")

    explore(browse, channel=ipywidgets.IntSlider(41, 0, 95))

ipywidgets' own `interact` keeps what the function shows inside of a widget, which is empty in a
saved notebook. Here it is an ordinary output of the cell, which the controls replace.
"""

from collections.abc import Callable

import ipywidgets
from IPython.display import DisplayHandle, display
from IPython.utils.capture import capture_output


def explore(function: Callable, **controls) -> None:
    """Shows controls, and below them what `function` shows for their values.

    function: shows one figure, and takes each control's value under the control's name
    controls: as for `ipywidgets.interact`: widgets, lists to choose from, True or False, ranges of
              numbers

    An error in the function is shown in place of the figure, in one line.
    """
    chosen = {name: _control(name, value) for name, value in controls.items()}
    handle = DisplayHandle()

    def figure():
        return drawn(function, {name: control.value for name, control in chosen.items()})

    def redraw(_change):
        data, metadata = figure()
        handle.update(data, metadata=metadata, raw=True)

    display(ipywidgets.VBox(list(chosen.values())))
    data, metadata = figure()
    handle.display(data, metadata=metadata, raw=True)
    for control in chosen.values():
        control.observe(redraw, "value")


def _control(name, value):
    """A widget as it is, or the one that ipywidgets makes of a list, a range, or True and False."""
    control = ipywidgets.interactive.widget_from_abbrev(value)
    if control is None:
        raise ValueError(f"{name}={value!r}: give a widget, a list, a range (low, high) or a bool.")
    if not getattr(control, "description", name):
        control.set_trait("description", name)
    return control


def drawn(function: Callable, values: dict) -> tuple[dict, dict]:
    """What a function shows last, called with `values` -> the output's data and metadata."""
    with capture_output() as captured:
        try:
            function(**values)
        except Exception as error:  # whatever the learner's own functions raise
            return {"text/plain": f"{type(error).__name__}: {error}"}, {}
    if not captured.outputs:
        return {"text/plain": captured.stdout.strip() or "(nothing to show)"}, {}
    shown = captured.outputs[-1]
    return shown.data, shown.metadata
