"""torchvision imports beside a CPU-only torch, and a pair that matches is left alone.

Each case runs in a process of its own, since an operator can be defined only once.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from forks import Forks
from waiting import HANG

REPOSITORY = Path(__file__).resolve().parent.parent

MATCHING_PAIR = """
import torch
compiled = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    compiled.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

@torch.library.register_fake("torchvision::nms")
def describe_nms(dets, scores, iou_threshold):
    return dets
"""

UNMATCHED_PAIR = """
from . import helper
helper.imports_of_the_package += 1
import torch

for name in ("nms", "qnms"):
    @torch.library.register_fake(f"torchvision::{name}")
    def describe(dets, scores, iou_threshold):
        return dets
"""


@pytest.fixture(scope="module")
def with_torch():
    """Processes that have imported torch, as all of them would, and no torchvision."""
    with Forks("torch") as forks:
        yield forks


@pytest.fixture
def run(with_torch):
    """Runs code, with extra folders ahead of the installed packages; returns what it prints."""

    def run(code, *extra_folders):
        path = os.pathsep.join(map(str, [*extra_folders, REPOSITORY]))
        result = with_torch.run("-c", code, env={**os.environ, "PYTHONPATH": path})
        assert result.returncode == 0, result.stderr
        return result.stdout

    return run


@pytest.fixture
def fake_torchvision(tmp_path):
    """Writes a package `torchvision` with the given code; returns the folder to import it from."""

    def write(code):
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text(code)
        (package / "helper.py").write_text("imports_of_the_package = 0\n")
        return tmp_path

    return write


def test_the_installed_torchvision_imports_and_works():
    code = """
from course_utils._torchvision import import_torchvision
torchvision = import_torchvision()
import torch
import torchvision.transforms.v2
model = torchvision.models.get_model("squeezenet1_1", weights=None).eval()
print(tuple(model(torch.zeros(1, 3, 64, 64)).shape))
"""
    command = [sys.executable, "-c", code]  # from the very beginning, once
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    said = subprocess.check_output(command, env=environment, text=True, timeout=HANG)
    assert said == "(1, 1000)\n"


def test_importing_twice_gives_the_same_module(run):
    code = """
from course_utils import _torchvision
first = _torchvision.import_torchvision()
definitions = len(_torchvision._definitions)
import torchvision
assert torchvision is first is _torchvision.import_torchvision()
assert len(_torchvision._definitions) == definitions
"""
    run(code)


def test_an_import_that_failed_earlier_does_no_harm(run):
    code = """
try:
    import torchvision
except RuntimeError:
    pass
from course_utils._torchvision import import_torchvision
assert import_torchvision().models.resnet18
"""
    run(code)


def test_an_imported_torchvision_is_left_alone(fake_torchvision, run):
    folder = fake_torchvision(MATCHING_PAIR)
    code = """
import torchvision
from course_utils import _torchvision
assert _torchvision.import_torchvision() is torchvision
assert not _torchvision._definitions
"""
    run(code, folder)


def test_a_matching_pair_defines_its_own_operators(fake_torchvision, run):
    folder = fake_torchvision(MATCHING_PAIR)
    code = """
from course_utils import _torchvision
assert _torchvision.import_torchvision().describe_nms
assert not _torchvision._definitions
"""
    run(code, folder)


def test_missing_operators_are_defined_and_the_failed_import_is_forgotten(fake_torchvision, run):
    folder = fake_torchvision(UNMATCHED_PAIR)
    code = """
import gc, torch
from course_utils import _torchvision
torchvision = _torchvision.import_torchvision()
gc.collect()
print(torchvision.helper.imports_of_the_package, torch.ops.torchvision.nms.default._schema)
"""
    schema = "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    assert run(code, folder) == f"1 {schema}\n"


def test_only_the_missing_operator_is_defined(fake_torchvision, run):
    folder = fake_torchvision(UNMATCHED_PAIR)
    code = """
import torch
other = torch.library.Library("torchvision", "FRAGMENT")
other.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from course_utils._torchvision import import_torchvision
import_torchvision()
assert torch.ops.torchvision.nms.default
"""
    run(code, folder)


@pytest.mark.parametrize("error", ["RuntimeError('out of luck')", "ImportError('no such file')"])
def test_other_failures_are_not_hidden(fake_torchvision, run, error):
    folder = fake_torchvision(f"raise {error}")
    code = f"""
from course_utils import _torchvision
try:
    _torchvision.import_torchvision()
except Exception as error:
    assert repr(error) == {error!r}.replace('"', "'"), error
    assert not _torchvision._definitions
else:
    raise AssertionError("the failure was hidden")
"""
    run(code, folder)
