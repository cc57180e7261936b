"""The guide to networks of one's own, taken at its word."""

import re
from pathlib import Path

import pytest

from course_utils.classifiers import load
from course_utils.pictures import load_set

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forks):
    """A folder in which the guide's steps were done: its files, and the trained weights."""
    folder = tmp_path_factory.mktemp("guide")
    text = (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")
    names = ("my_training.py", "my_network.py", "at_hand.py")
    for name, code in zip(names, re.findall(r"```python\n(.*?)```", text, re.DOTALL), strict=True):
        (folder / name).write_text(code, encoding="utf-8")
    forks.run("my_training.py", cwd=folder).check_returncode()
    return folder


def test_the_network_is_as_good_as_the_guide_says(folder):
    classifier = load(str(folder / "my_network.py"))
    for number, label in enumerate(classifier.classes):
        images, _ = load_set("look_alikes", "test").filter(label=label).stack()
        assert (classifier.predict(images) == number).float().mean() > 0.9, label


def test_its_last_lines_run(folder, forks):
    forks.run("at_hand.py", cwd=folder).check_returncode()


def test_explain_takes_it(folder, forks):
    command = "explain look_alikes/test/zebra/20003 --classifier my_network.py --methods saliency"
    course = ["-m", "course_utils.classroom.command", *command.split()]
    forks.run(*course, "--out", "zebra.html", cwd=folder).check_returncode()
    assert "Which pixels speak for zebra" in (folder / "zebra.html").read_text(encoding="utf-8")
