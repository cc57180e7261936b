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

from course_utils.classroom import find_notebooks

STARTUP = """
import sys
sys.path.insert(0, {folder!r})
import pretend_device
pretend_device.register()
"""

COURSE = [sys.executable, "-m", "course_utils.classroom.command"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What a run needs to find the weights and the device."""
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = imagenet_weights.environment("resnet18", folder)
    if pretend_device.AVAILABLE:
        text = STARTUP.format(folder=str(Path(__file__).parent))
        startup = folder / "ipython" / "profile_default" / "startup" / "device.py"
        startup.write_text(text, encoding="utf-8")
        environment["COURSE_DEVICE"] = "pretend"
    return environment


@pytest.mark.parametrize("stem", [path.stem for path in find_notebooks()])
def test_it_runs_to_its_end(stem, environment, tmp_path):
    if "occlusion" in stem:  # pretending takes minutes; on_the_pretended_device has it
        environment = {**environment, "COURSE_DEVICE": "cpu"}
    parameters = (
        "-p CLASSIFIER imagenet:resnet18 -p PICTURE chelsea -p QUICK True --jobs 1 --out".split()
    )
    done = subprocess.run(
        [*COURSE, "run", stem, *parameters, str(tmp_path)],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


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
