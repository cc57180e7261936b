"""Runs a notebook in a process of its own: another network, another device, others' answers.

`test_notebooks_elsewhere` forks its processes from one that has imported this module, so nothing
may be computed here (see `preloaded`).
"""

import gc
import os
import sys
from pathlib import Path

import odd_answers
import preloaded  # noqa: F401
import pretend_device
import run_notebook

ODD = odd_answers.all_of_them()

IN_DOUBLE = {"filters_and_activation_maps", "gradient_ascent", "saliency"}
"""Notebooks with an odd answer that computes in double precision where the network is. For the
others the pretended device has none, as Apple's MPS."""

gc.freeze()  # what was imported is never collected, so that looking for cycles takes no time


def run(notebook: Path, parameters: dict, environment: dict[str, str], errors: Path) -> None:
    """Runs all cells; what Python says about an error goes into the file `errors`.

    environment: what is set as a kernel would find it, IPython's lines for its start included
    """
    sys.stderr = errors.open("w", buffering=1)
    os.environ.update(environment)
    name = notebook.stem.split("_", 1)[1]
    if environment["COURSE_DEVICE"] == "pretend":
        pretend_device.register(has_double=name in IN_DOUBLE)
    for startup in Path(environment["IPYTHONDIR"]).glob("profile_default/startup/*.py"):
        exec(startup.read_text())
    odd = ODD.get(name, {})
    run_notebook.run(notebook, {name: answers[0] for name, answers in odd.items()}, parameters)
