"""Every technique on an accelerator without double precision, as Apple's MPS is.

`test_devices` runs this file in a process of its own.
"""

import pretend_device
import pytest
import torch

pretend_device.register(has_double=False)

from on_the_pretended_device import TECHNIQUES  # noqa: E402

from course_utils import pictures  # noqa: E402
from course_utils.classifiers import load  # noqa: E402


@pytest.fixture(scope="module")
def pair():
    return load("look_alikes", "cpu"), load("look_alikes", "pretend")


@pytest.fixture(scope="module")
def picture():
    return pictures.load_set("look_alikes", "test")[70][0]


def test_the_device_has_no_double_precision():
    with pytest.raises(TypeError, match="no torch.float64"):
        torch.ones(2, dtype=torch.float64).to("pretend")
    with pytest.raises(TypeError, match="no torch.float64"):
        torch.ones(2).to("pretend").double()


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_technique_brings_its_results_home(pair, picture, technique):
    x = pair[0].preprocess(picture)
    for here, there in zip(*(technique(network, x) for network in pair), strict=True):
        assert there.device.type == "cpu"
        assert (there.shape, there.dtype) == (here.shape, here.dtype)
