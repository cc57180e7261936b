"""The course's notebooks in real nbgrader, with the settings that ship."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from forks import Forks
from grading_class import MASTERS, cell_of, put, solved

from course_utils.classroom import ROOT, nbgrader_data
from course_utils.classroom.copies import release

STEM, ASSIGNMENT = "09_dataset_search", "networks"
POINTS = MASTERS[STEM].points
FIGURE = (
    "import matplotlib.pyplot as plt\nfrom course_utils.figures import show\n"
    "show(plt.figure(figsize=(1, 1)), 'A white figure.')"
)
NOISY = (
    "import sys, warnings\nwarnings.warn('careful')\nfrom tqdm import tqdm\nlist(tqdm(range(3)))"
)


def short():
    """The master with its exercises alone, and a figure: a full run takes minutes."""
    book = solved(STEM)
    kept = [cell for cell in book.cells if nbgrader_data(cell) or "parameters" in tags(cell)]
    imports = [cell for cell in book.cells if "import torch" in cell.source and cell not in kept]
    book.cells = [*kept[:1], *imports[:1], *kept[1:], nbformat.v4.new_code_cell(FIGURE)]
    return book


def tags(cell):
    return cell.metadata.get("tags", [])


def right():
    """All answers right; one warns and shows its progress."""
    book = short()
    cell = cell_of(book, "overlap")
    lines = "\n".join(f"    {line}" for line in NOISY.splitlines())
    cell.source = cell.source.replace("    ### BEGIN SOLUTION", lines)
    return book


def half():
    """The first answer and the last are wrong; the last raises."""
    book = short()
    first, *_, last = POINTS
    put(book, first, "return None")
    put(book, last, "return undefined")
    return book


HALF = sum(list(POINTS.values())[1:-1])
SUBMISSIONS = {"untouched": (None, 0), "half": (half, HALF), "right": (right, sum(POINTS.values()))}
"""{learner: (how the submission is made, its points)}; None hands the release in again."""


@pytest.fixture(scope="module")
def nbgrader():
    """Runs nbgrader's commands, which take seconds to import what they need."""
    with Forks("nbgrader.apps.nbgraderapp") as forks:

        def run(folder, *command):
            environment = {k: v for k, v in os.environ.items() if not k.startswith("COURSE_STRICT")}
            environment |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": str(ROOT)}
            own = Path(sys.executable).parent
            environment["PATH"] = f"{own}:{os.environ['PATH']}"  # it calls alembic
            done = forks.run("-m", "nbgrader", *command, cwd=folder, env=environment)
            assert done.returncode == 0, done.stderr[-3000:]

        yield run


@pytest.fixture(scope="module")
def marked(tmp_path_factory, nbgrader):
    """nbgrader's folder after all its steps."""
    folder = tmp_path_factory.mktemp("course")
    (folder / "nbgrader_config.py").write_bytes((ROOT / "nbgrader_config.py").read_bytes())
    source = folder / "source" / ASSIGNMENT
    source.mkdir(parents=True)
    nbformat.write(short(), source / f"{STEM}.ipynb")
    nbgrader(folder, "generate_assignment", ASSIGNMENT)
    released = folder / "release" / ASSIGNMENT / f"{STEM}.ipynb"
    for learner, (make, _) in SUBMISSIONS.items():
        handed_in = folder / "submitted" / learner / ASSIGNMENT / f"{STEM}.ipynb"
        handed_in.parent.mkdir(parents=True)
        book = nbformat.read(released, as_version=4) if make is None else make()
        nbformat.write(book, handed_in)
    nbgrader(folder, "autograde", ASSIGNMENT)
    nbgrader(folder, "generate_feedback", ASSIGNMENT)
    return folder


@pytest.mark.parametrize("learner", SUBMISSIONS)
def test_nbgrader_gives_the_points_that_are_deserved(marked, learner):
    points, total = SUBMISSIONS[learner][1], sum(POINTS.values())
    assert f"(Score: {points:.1f} / {total:.1f})" in feedback_for(learner, marked)


def feedback_for(learner, folder):
    return (folder / "feedback" / learner / ASSIGNMENT / f"{STEM}.html").read_text()


def test_its_release_is_the_course_s_own(marked):
    released = nbformat.read(marked / "release" / ASSIGNMENT / f"{STEM}.ipynb", as_version=4)
    own = release(short())
    assert [cell.source for cell in released.cells] == [cell.source for cell in own.cells]


def test_its_feedback_describes_the_figures_and_says_what_is_wrong(marked):
    page = feedback_for("half", marked)
    assert "A white figure." in page and "No description has been provided" not in page
    assert "The answer is None." in page


@pytest.mark.parametrize("variables", [{"NBGRADER_EXECUTION": "autograde"}, {}])
def test_checks_raise_by_themselves_where_nbgrader_executes_them(variables, monkeypatch):
    """Also with an instructor's own settings."""
    from course_utils.exercises.engine.checks import is_strict

    for name in ("NBGRADER_EXECUTION", "COURSE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_strict() == bool(variables)
    monkeypatch.setenv("COURSE_STRICT", "0")
    assert not is_strict()
