"""Every notebook far from home: a photograph, a network of torchvision, an accelerator.

The weights are made on the spot and lie where torchvision looks for them. The accelerator is the
pretended one, as strict as a GPU about tensors on the wrong device; an old torch has only the CPU.
"""

import subprocess
import sys
from pathlib import Path

import imagenet_weights
import pretend_device
import pytest
from waiting import HANG

from course_utils.classroom import find_notebooks
from course_utils.classroom.run import execute

STARTUP = """
import sys
sys.path.insert(0, {folder!r})
import pretend_device
pretend_device.register()
"""

COURSE = [sys.executable, "-m", "course_utils.classroom.command"]

SIZE = 144
"""Of the pictures, in pixels: more than the course's 128, and less work than ImageNet's 224."""

NETWORK = "resnet18"
LIGHT_NETWORK = "mnasnet0_5"
"""With batch norm and residuals too, at a quarter of the work."""

LABORIOUS = ("occlusion", "saliency", "gradients", "ascent", "real_network", "shapley")
"""Parts of the names of notebooks that ask a network thousands of times; they begin first."""


def is_laborious(notebook):
    return any(name in notebook.stem for name in LABORIOUS)


def in_good_order():
    """Each notebook as a group of its own, which any process may run."""
    paths = sorted(find_notebooks(), key=is_laborious, reverse=True)
    return [pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(p.stem)) for p in paths]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What a run needs to find the weights and the device."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in {NETWORK, LIGHT_NETWORK}:
        environment = imagenet_weights.environment(name, folder, SIZE)
    if pretend_device.AVAILABLE:
        text = STARTUP.format(folder=str(Path(__file__).parent))
        startup = folder / "ipython" / "profile_default" / "startup" / "device.py"
        startup.write_text(text, encoding="utf-8")
        environment["COURSE_DEVICE"] = "pretend"
    return environment | {"JUPYTER_PREFER_ENV_PATH": "1", "COURSE_STRICT": "1"}


@pytest.mark.parametrize("notebook", in_good_order())
def test_it_runs_to_its_end(notebook, environment, tmp_path, monkeypatch):
    """What `course run -p QUICK True` does, in this process."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if "occlusion" in notebook.stem:  # pretending takes minutes; on_the_pretended_device has it
        monkeypatch.setenv("COURSE_DEVICE", "cpu")
    network = LIGHT_NETWORK if is_laborious(notebook) else NETWORK
    parameters = {"CLASSIFIER": f"imagenet:{network}", "PICTURE": "chelsea", "QUICK": True}
    assert execute(notebook, parameters, tmp_path, HANG).failure == ""


def test_without_weights_and_network_the_run_names_what_is_missing(tmp_path):
    environment = imagenet_weights.environment("mobilenet_v3_small", tmp_path)
    (weights,) = (tmp_path / "torch" / "hub" / "checkpoints").glob("*.pth")
    weights.unlink()
    environment["https_proxy"] = "http://127.0.0.1:9"  # where nobody answers
    command = "run 2 -p CLASSIFIER imagenet:mobilenet_v3_small --out".split()
    done = subprocess.run(
        [*COURSE, *command, str(tmp_path / "out")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"{weights.name} is missing and can't be downloaded here" in done.stdout
    assert f"put it into {weights.parent}" in done.stdout
