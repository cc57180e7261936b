"""The guide to networks of one's own, taken at its word."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from course_utils.classifiers import load
from course_utils.pictures import load_set

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the guide's steps were done: its files, and the trained weights."""
    folder = tmp_path_factory.mktemp("guide")
    text = (ROOT / "docs" / "own-network.md").read_text(encoding="utf-8")
    names = ("my_training.py", "my_network.py", "at_hand.py")
    for name, code in zip(names, re.findall(r"```python\n(.*?)```", text, re.DOTALL), strict=True):
        (folder / name).write_text(code, encoding="utf-8")
    subprocess.run([sys.executable, "my_training.py"], cwd=folder, check=True)
    return folder


def test_the_network_is_as_good_as_the_guide_says(folder):
    classifier = load(str(folder / "my_network.py"))
    for number, label in enumerate(classifier.classes):
        images, _ = load_set("look_alikes", "test").filter(label=label).stack()
        assert (classifier.predict(images) == number).float().mean() > 0.9, label


def test_its_last_lines_run(folder):
    subprocess.run([sys.executable, "at_hand.py"], cwd=folder, check=True)


def test_explain_takes_it(folder):
    command = "explain look_alikes/test/zebra/20003 --classifier my_network.py --methods saliency"
    course = [sys.executable, "-m", "course_utils.classroom.command", *command.split()]
    subprocess.run([*course, "--out", "zebra.html"], cwd=folder, check=True)
    assert "Which pixels speak for zebra" in (folder / "zebra.html").read_text(encoding="utf-8")
