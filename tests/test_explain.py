"""`course explain`: a page with answers, maps and trust, for any network and picture."""

import base64
import html
import io
import os
import re
import shlex
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Browser, needs_browser
from PIL import Image

from course_utils import trial
from course_utils._torchvision import import_torchvision
from course_utils.classifiers import Preprocess, load, wrap
from course_utils.classroom.command import main
from course_utils.classroom.explain import (
    CONTROLS,
    METHODS,
    Trust,
    _method,
    explain,
    network_for,
)

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


@pytest.fixture(scope="module")
def render_page(tmp_path_factory):
    """The page about a render, by the network that knows such renders."""
    out = tmp_path_factory.mktemp("pages") / "new" / "page.html"
    return explain("look_alikes/test/zebra/20003", out).read_text()


def test_a_page_for_a_picture_of_the_course(render_page):
    page = render_page
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 2 + 2 * (len(trial.METHODS) + 2) + 1  # the last one is for enlarging
    assert all(re.search(r'alt="[^"]{10,}"', image) for image in images[:-1])
    assert "http" not in page and "{{" not in page
    classes = load("look_alikes").classes
    assert sum(f'row">{label.replace("_", " ")}</th>' in page for label in classes) == 5
    rows = re.findall(r'<th scope="row">([^<]*)</th><td>[01]\.\d\d</td>', page)
    assert rows == [name.replace(", ", " (") + ")" * ("," in name) for name in trial.METHODS]
    assert "seen by look_alikes" in page and "It knows 10 classes and no others: basketball" in page
    assert "rendered, not on photographs" in page and "128 x 128" in page


def test_every_method_leads_to_its_notebook(render_page):
    links = re.findall(r'<a href="([^"]*)">Notebook \d+</a>', render_page)
    assert len(links) == len(trial.METHODS) + 2
    assert all(re.search(r"/\d\d_\w+\.(ipynb|html)$", link) for link in links)
    for name in [*trial.METHODS, *CONTROLS]:
        assert name in METHODS


@needs_browser
def test_the_page_fits_any_screen_and_enlarges_its_maps(render_page, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(render_page)
    with Browser(tmp_path / "browser") as browser:
        for width in (390, 1280):
            screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            browser.call("Emulation.setDeviceMetricsOverride", **screen)
            browser.open(file.as_uri())
            assert browser.evaluate("document.documentElement.scrollWidth") == width
            assert browser.evaluate("document.querySelector('.pair img').width") >= 150
        assert [r for r in browser.requests if not r.startswith(("data:", "file:"))] == []
        browser.click(".pair button")
        assert browser.evaluate("document.querySelector('dialog').open")
        assert browser.evaluate("document.querySelector('dialog img').width") > 400
        browser.press("Escape", 27)
        browser.wait("!document.querySelector('dialog').open")


METHOD = ["saliency"]


def test_photographs_go_to_the_network_that_knows_photographs(tmp_path):
    page = explain("rocket", tmp_path / "p.html", methods=METHOD).read_text()
    assert "rocket, seen by imagenet" in page and "missile" in page
    assert "1000 classes" in page and "photographs of ImageNet" in page
    assert "nothing but the square of 427 x 427 pixels" in page
    assert 'role="note"' not in page
    assert network_for("tank_yard/test/tank/3") == "tank_fair"
    assert network_for("holiday/look_alikes.jpg") == "imagenet"


def test_a_guess_and_the_wrong_kind_of_picture_are_told(tmp_path):
    grey = tmp_path / "grey.png"
    Image.new("RGB", (64, 80), (120, 130, 120)).save(grey)
    page = explain(str(grey), tmp_path / "p.html", methods=METHOD).read_text()
    assert "Nothing is likely" in page
    page = explain("chelsea", tmp_path / "p.html", "look_alikes", METHOD).read_text()
    assert "look_alikes has never seen a photograph" in page


def test_both_classes_share_one_scale():
    network = load("look_alikes")
    maps = torch.stack([torch.full((8, 8), 0.5), torch.full((8, 8), 2.0)])
    trust = Trust(trial.load_record())
    shown = _method("saliency", torch.zeros(3, 8, 8), maps, network.classes[:2], trust, Path("p"))
    assert shown["largest"] == "2"
    dim, bright = (shown["maps"][n]["image"] for n in range(2))
    assert dim != bright and _brightness(dim) < _brightness(bright)


def _brightness(address):
    content = base64.b64decode(address.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content))).mean()


def test_a_method_that_fails_is_left_out_and_the_others_stay(tmp_path, monkeypatch):
    def fail(_question):
        raise RuntimeError("no memory\nat all")

    monkeypatch.setitem(trial.EVERYTHING, "saliency", fail)
    monkeypatch.setitem(trial.EVERYTHING, "edges", lambda q: torch.full((2, 128, 128), torch.nan))
    page = explain(
        "look_alikes/test/dog/20001", tmp_path / "p.html", methods=["saliency", "Grad-CAM"]
    )
    page = page.read_text()
    assert "Left out: saliency. no memory</p>" in page
    assert "Left out: edges. Its map holds NaN" in page
    assert page.count('class="pair"') == 2


def test_a_method_that_was_not_measured_is_no_reason_to_fail(tmp_path, monkeypatch):
    monkeypatch.setitem(trial.METHODS, "TCAV", trial.METHODS["saliency"])
    monkeypatch.setitem(trial.EVERYTHING, "TCAV", trial.METHODS["saliency"])
    page = explain("look_alikes/test/dog/20001", tmp_path / "p.html", methods=["TCAV"]).read_text()
    assert "Trust: not measured." in page and "<td>-</td>" in page


def test_trust_is_quoted_from_the_record_of_such_a_network():
    record = trial.load_record("imagenet")
    trust = Trust.in_maps_of(load("imagenet"))
    means = [
        np.mean(record[part]["scores"]["Grad-CAM"][score])
        for part, score in (("portraits", "mass"), ("portraits", "agreement"))
    ]
    assert trust.values("Grad-CAM")[:2] == pytest.approx(means)
    assert "rivals" in trust.sentence("Grad-CAM")
    table = trust.table(["Grad-CAM"], Path("p.html"))
    assert table["network"] == "the ImageNet network"
    assert table["count"] == len(record["portraits"]["pictures"])
    record, trust = trial.load_record(), Trust.in_maps_of(load("look_alikes"))
    assert "shift" in trust.sentence("Grad-CAM")
    each_once = len(record["look_alikes"]["pictures"]) + len(record["tanks"]["scenes"])
    assert trust.table(["Grad-CAM"], Path("p.html"))["count"] == each_once


def test_torchvisions_names_of_imagenets_classes_count():
    names = import_torchvision().models.get_model_weights("resnet18").DEFAULT.meta["categories"]
    network = replace(load("look_alikes"), classes=names)
    assert "rivals" in Trust.in_maps_of(network).sentence("Grad-CAM")


def test_some_methods_and_a_network_of_ones_own(tmp_path):
    (tmp_path / "own.py").write_text(NETWORK)
    picture = tmp_path / "photo.png"
    Image.effect_noise((90, 70), 80).convert("RGB").save(picture)
    methods = ["saliency", "Grad-CAM", "occlusion, grey"]
    page = explain(str(picture), tmp_path / "p.html", str(tmp_path / "own.py"), methods).read_text()
    assert page.count('class="pair"') == 3 + 2 and "photo.png, seen by own" in page
    assert "It knows 3 classes and no others: left side, right &lt;b&gt;, middle." in page
    assert "right <b>" not in page


@pytest.mark.parametrize("precision", ["half", "bfloat16", "double"])
def test_networks_of_any_precision_get_their_maps(tmp_path, precision):
    (tmp_path / "own.py").write_text(
        NETWORK.replace("Linear(6, 3),\n)", f"Linear(6, 3),\n).{precision}()")
    )
    methods = ["saliency", "Grad-CAM", "occlusion, grey"]
    page = explain("coffee", tmp_path / "p.html", str(tmp_path / "own.py"), methods).read_text()
    assert page.count('class="pair"') == 3 + 2 and "Left out" not in page


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_is_shown_as_far_as_it_is_one(tmp_path):
    (tmp_path / "own.py").write_text(NETWORK)
    picture = os.fsdecode(os.fsencode(tmp_path) + b"/m\xfcll.png")
    Image.effect_noise((90, 70), 80).convert("RGB").save(picture, "PNG")
    page = explain(picture, tmp_path / "p.html", str(tmp_path / "own.py"), ["saliency"])
    assert "m?ll.png, seen by own" in page.read_text(encoding="utf-8")


def test_the_page_tells_the_command_that_makes_it(tmp_path):
    (tmp_path / "own net.py").write_text(NETWORK)
    network, methods = str(tmp_path / "own net.py"), ["saliency", "Grad-CAM"]
    page = explain("chelsea", tmp_path / "p.html", network, methods).read_text()
    told = re.search(r"<code>(course explain .*?)</code>", page).group(1)
    words = ["course", "explain", "chelsea", "--classifier", network, "--methods", *methods]
    assert shlex.split(html.unescape(told)) == words


def test_a_page_replaces_nothing_that_it_is_made_from(tmp_path, capsys):
    picture, network = tmp_path / "mine.png", tmp_path / "own.py"
    Image.effect_noise((40, 30), 80).save(picture)
    network.write_text(NETWORK)
    (tmp_path / "other name.png").hardlink_to(picture)
    for out in (picture, network, tmp_path / "other name.png"):
        before = out.read_bytes()
        arguments = [str(picture), "--classifier", str(network), "--out", str(out)]
        assert main(["explain", *arguments]) == 2
        assert "would replace" in capsys.readouterr().err and out.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_page_replaces_no_pipe_and_no_device(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    arguments = ["look_alikes/test/dog/20001", "--methods", "saliency"]
    assert main(["explain", *arguments, "--out", str(tmp_path / "pipe")]) == 2
    assert "is no file that could be replaced" in capsys.readouterr().err
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_what_a_network_has_no_map_for_is_left_out_with_the_reason(tmp_path):
    (tmp_path / "own.py").write_text(NETWORK.replace("nn.ReLU()", "nn.GELU()"))
    page = explain("chelsea", tmp_path / "p.html", str(tmp_path / "own.py")).read_text()
    assert page.count('class="pair"') == len(trial.METHODS) - 2 + 2
    assert "Left out: guided backprop. No ReLU ran" in page and "Left out: deconvnet." in page
    assert ">guided backprop</th>" not in page and ">Grad-CAM</th>" in page


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nowhere.jpg"], "nowhere.jpg"),
        (["chelsea", "--classifier", "look"], "There is no network 'look'"),
        (["chelsea", "--methods", "TCAV"], "no method 'TCAV'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, capsys, arguments, said):
    assert main(["explain", *arguments, "--out", str(tmp_path / "p.html")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "p.html").exists()


def test_what_goes_wrong_in_a_network_is_said_in_one_line(tmp_path, capsys):
    picky = """
class Picky(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = model

    def forward(self, x):
        if x.shape[0] == 1 and wrapped:
            raise RuntimeError("two\\nlines")
        return self.inside(x)

wrapped = False
classifier = wrap(Picky(), ["a", "b", "c"], Preprocess(64))
wrapped = True
"""
    (tmp_path / "own.py").write_text(NETWORK + picky)
    arguments = ["chelsea", "--classifier", str(tmp_path / "own.py")]
    assert main(["explain", *arguments, "--out", str(tmp_path / "p.html")]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "course explain: two"


def test_a_missing_file_is_noticed_before_anything_slow_is_imported(tmp_path):
    code = "import sys; from course_utils.classroom.command import main; main(sys.argv[1:])"
    code += "; print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, "explain", str(tmp_path / "nowhere.jpg")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "False\n" and "There is no picture" in result.stderr


def test_a_place_that_can_not_be_written_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file" / "page.html")
    arguments = ["explain", "look_alikes/test/dog/20001", "--methods", "saliency", "--out", out]
    assert main(arguments) == 2
    assert "Nothing can be written into" in capsys.readouterr().err


def test_the_last_maps_of_any_network():
    course = load("look_alikes")
    assert trial.last_maps(course) is course.layer("relu6")
    layers = [torch.nn.Conv2d(3, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    own = wrap(torch.nn.Sequential(*layers), ["a", "b"], Preprocess(16))
    assert trial.last_maps(own) is layers[0]
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(ValueError, match="no layer with feature maps"):
        trial.last_maps(wrap(flat, ["a", "b"], Preprocess(16)))
