"""Every notebook far from home: a photograph, another network, an accelerator, odd answers.

The network is the course's ImageNet network, with its real weights; laborious notebooks get a
lighter one of torchvision, whose weights are made on the spot and lie where torchvision looks for
them. The accelerator is the pretended one, as strict as a GPU about tensors on the wrong device; an
old torch has only the CPU. The exercises are solved twice, as the notebook does and as nobody would
expect (`odd_answers`). Each notebook has a process of its own, and no kernel, which would take
most of the time.
"""

import multiprocessing.forkserver
import os
import subprocess
import sys

import far_from_home
import imagenet_weights
import pretend_device
import pytest
import run_notebook

COURSE = [sys.executable, "-m", "course_utils.classroom.command"]

SIZE = 104
"""Of the lighter network's pictures, in pixels: neither the course's 128 nor ImageNet's 224.

It is no multiple of 16, so that its maps are rounded up and patches end before its border.
"""

LIGHT_NETWORK = "mnasnet0_5"
"""With batch norm and residuals, too."""

LABORIOUS = ("occlusion", "saliency", "gradients", "ascent", "real_network", "shapley")
"""Parts of the names of notebooks that ask a network thousands of times; they begin first."""


def is_laborious(notebook):
    return any(name in notebook.stem for name in LABORIOUS)


def in_good_order():
    """Each notebook as a group of its own, which any process may run."""
    paths = sorted(run_notebook.NOTEBOOKS, key=is_laborious, reverse=True)
    return [pytest.param(p, id=p.stem, marks=pytest.mark.xdist_group(p.stem)) for p in paths]


@pytest.fixture(scope="module")
def light_network(tmp_path_factory):
    """The environment in which the lighter network's weights are found."""
    return imagenet_weights.environment(LIGHT_NETWORK, tmp_path_factory.mktemp("weights"), SIZE)


@pytest.fixture(scope="module")
def processes():
    """Makes processes quickly: forks of one that has imported everything, and done no more."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([far_from_home.__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        multiprocessing.forkserver.ensure_running()
    return context


@pytest.mark.parametrize("notebook", in_good_order())
def test_it_runs_to_its_end(notebook, processes, light_network, tmp_path):
    # Pretending takes minutes with occlusion; on_the_pretended_device has it.
    pretends = pretend_device.AVAILABLE and "occlusion" not in notebook.stem
    device = {"COURSE_DEVICE": "pretend" if pretends else "cpu", "COURSE_STRICT": "1"}
    network = f"imagenet:{LIGHT_NETWORK}" if is_laborious(notebook) else "imagenet"
    parameters = {"CLASSIFIER": network, "PICTURE": "chelsea", "QUICK": True}
    errors = tmp_path / "errors.txt"
    arguments = notebook, parameters, light_network | device, errors
    process = processes.Process(target=far_from_home.run, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0, errors.read_text()[-3000:]


def test_without_weights_and_network_the_run_names_what_is_missing(tmp_path):
    environment = imagenet_weights.environment("mobilenet_v3_small", tmp_path)
    (weights,) = (tmp_path / "torch" / "hub" / "checkpoints").glob("*.pth")
    weights.unlink()
    environment["https_proxy"] = "http://127.0.0.1:9"  # where nobody answers
    command = "run 4 -p CLASSIFIER imagenet:mobilenet_v3_small --out".split()
    done = subprocess.run(
        [*COURSE, *command, str(tmp_path / "out")], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"{weights.name} is missing and can't be downloaded here" in done.stdout
    assert f"put it into {weights.parent}" in done.stdout
