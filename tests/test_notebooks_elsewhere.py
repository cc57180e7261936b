"""Every notebook far from home: a photograph, a network of torchvision, an accelerator.

The weights are made on the spot and lie where torchvision looks for them. The accelerator is the
pretended one, as strict as a GPU about tensors on the wrong device; an old torch has only the CPU.
Each notebook has a process of its own, and no kernel, which would take most of the time.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import imagenet_weights
import pretend_device
import pytest
import run_notebook

RUN = """
import json, os, sys
from pathlib import Path
if os.environ["COURSE_DEVICE"] == "pretend":
    import pretend_device
    pretend_device.register()
for startup in Path(os.environ["IPYTHONDIR"]).glob("profile_default/startup/*.py"):
    exec(startup.read_text())  # as a kernel does
import run_notebook
run_notebook.run(Path(sys.argv[1]), {}, json.loads(sys.argv[2]))
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
    paths = sorted(run_notebook.NOTEBOOKS, key=is_laborious, reverse=True)
    return [pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(p.stem)) for p in paths]


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """What a run needs to find the weights and the device."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in {NETWORK, LIGHT_NETWORK}:
        environment = imagenet_weights.environment(name, folder, SIZE)
    here = Path(__file__).parent
    paths = os.pathsep.join(map(str, (here, here.parent)))
    return environment | {"COURSE_STRICT": "1", "PYTHONPATH": paths}


@pytest.mark.parametrize("notebook", in_good_order())
def test_it_runs_to_its_end(notebook, environment):
    # Pretending takes minutes with occlusion; on_the_pretended_device has it.
    pretends = pretend_device.AVAILABLE and "occlusion" not in notebook.stem
    environment = environment | {"COURSE_DEVICE": "pretend" if pretends else "cpu"}
    network = LIGHT_NETWORK if is_laborious(notebook) else NETWORK
    parameters = {"CLASSIFIER": f"imagenet:{network}", "PICTURE": "chelsea", "QUICK": True}
    command = [sys.executable, "-c", RUN, str(notebook), json.dumps(parameters)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


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
