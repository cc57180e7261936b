"""Notebooks on Colab and Kaggle: the cell that fetches the course there, and links to Colab.

A notebook that is opened there comes alone. So the first code cell, the same in all notebooks,
clones the course at the tag of the notebook's release and calls `prepare`. Anywhere else it does
nothing. It stands in the masters because Colab opens notebooks where GitHub has them;
`python docs/first_cell.py` writes it.
"""

import subprocess
import sys
import tomllib

from course_utils import __version__
from course_utils.classroom import ROOT

TAG = f"v{__version__}"
"""Of the release that the first cell fetches."""

MARK = "elsewhere"
"""The first cell's tag."""

_CELL = """\
# On Colab and Kaggle this cell fetches the course; elsewhere it does nothing.
import os
import subprocess
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
    folder = "{folder}"
    address = "{address}"
    options = "-c advice.detachedHead=false --quiet --depth 1 --branch {tag}"
    if not os.path.exists(folder):
        subprocess.run(["git", "clone", *options.split(), address, folder], check=True)
    sys.path.insert(0, os.path.abspath(folder))
    from course_utils.classroom import elsewhere

    elsewhere.prepare()"""

PLATFORMS_OWN = {"ipykernel", "ipython", "ipywidgets", "jupyter-client", "jupyterlab", "traitlets"}
"""Packages in which a platform has its own version, which fits its pages."""

FOR_THE_COMMAND = {
    "beautifulsoup4", "docutils", "jinja2", "latex2mathml", "myst-nb", "nbclient", "nbconvert",
    "nbformat", "nbgrader", "papermill", "pygments", "sphinx", "sphinx-book-theme",
}  # fmt: skip
"""Packages that `course` needs, and no notebook."""


def repository() -> str:
    """The address of the published course, from pyproject.toml; "" before it has one."""
    return _project().get("urls", {}).get("Repository", "")


def first_cell(address: str) -> str:
    """The source of the cell that fetches the course from a repository."""
    folder = address.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
    return _CELL.format(folder=folder, tag=TAG, address=address)


def colab_link(address: str, name: str) -> str:
    """The address at which Colab opens a notebook, such as "04_occlusion"."""
    path = address.removeprefix("https://github.com/").rstrip("/")
    return f"https://colab.research.google.com/github/{path}/blob/{TAG}/notebooks/{name}.ipynb"


def needed() -> list[str]:
    """The requirements of the notebooks alone."""
    left_out = PLATFORMS_OWN | FOR_THE_COMMAND
    return [line for line in _project()["dependencies"] if _name(line) not in left_out]


def prepare() -> None:
    """Installs what the notebooks need and is not here; pip leaves alone what is."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *needed()], check=True)


def _name(requirement):
    return requirement.split(">")[0].split("=")[0]


def _project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
