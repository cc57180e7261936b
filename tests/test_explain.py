"""`course explain`: a page with answers, maps and trust, for any network and picture."""

import re

import pytest
import torch
from PIL import Image

from course_utils import trial
from course_utils.classifiers import Preprocess, load, wrap
from course_utils.classroom.command import main
from course_utils.classroom.explain import explain

NETWORK = """
import torch
from torch import nn
from course_utils.classifiers import Preprocess, wrap

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
)
classifier = wrap(model, ["left_side", "right <b>", "middle"], Preprocess(64))
"""


def test_a_page_for_a_picture_of_the_course(tmp_path):
    page = explain("chelsea", tmp_path / "new" / "page.html").read_text()
    assert len(re.findall(r"<img ", page)) == 1 + 2 * (len(trial.METHODS) + 2)
    assert len(re.findall(r'<img [^>]*alt="[^"]{10,}"', page)) == page.count("<img ")
    assert "http" not in page and "{{" not in page
    classes = load("look_alikes").classes
    assert sum(f"<td>{label.replace('_', ' ')}</td>" in page for label in classes) == 5
    for name in trial.METHODS:
        assert f"<tr><td>{name}</td><td>0." in page


def test_some_methods_and_a_network_of_ones_own(tmp_path):
    (tmp_path / "own.py").write_text(NETWORK)
    picture = tmp_path / "photo.png"
    Image.effect_noise((90, 70), 80).convert("RGB").save(picture)
    methods = ["saliency", "Grad-CAM", "occlusion, grey"]
    page = explain(str(picture), tmp_path / "p.html", str(tmp_path / "own.py"), methods).read_text()
    assert page.count("<figure") == 2 * (3 + 2) and "photo.png, seen by own" in page
    assert "right <b>" not in page


def test_what_a_network_has_no_map_for_is_left_out_with_the_reason(tmp_path):
    (tmp_path / "own.py").write_text(NETWORK.replace("nn.ReLU()", "nn.GELU()"))
    page = explain("chelsea", tmp_path / "p.html", str(tmp_path / "own.py")).read_text()
    assert page.count("<figure") == 2 * (len(trial.METHODS) - 2 + 2)
    assert "Left out: guided backprop. No ReLU ran" in page and "Left out: deconvnet." in page
    assert "<tr><td>guided backprop</td>" not in page and "<tr><td>Grad-CAM</td>" in page


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["chelsea", "--classifier", "look"], "There is no network 'look'"),
        (["chelsea", "--methods", "LIME"], "no method 'LIME'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, capsys, arguments, said):
    assert main(["explain", *arguments, "--out", str(tmp_path / "p.html")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "p.html").exists()


def test_the_last_maps_of_any_network():
    course = load("look_alikes")
    assert trial.last_maps(course) is course.layer("relu6")
    layers = [torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    own = wrap(torch.nn.Sequential(*layers), ["a", "b"], Preprocess(16))
    assert trial.last_maps(own) is layers[0]
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(ValueError, match="no layer with feature maps"):
        trial.last_maps(wrap(flat, ["a", "b"], Preprocess(16)))
