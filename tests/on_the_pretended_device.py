"""Networks on an accelerator: the same results as on the CPU, and nothing on the wrong device.

`test_devices` runs this file in a process of its own: torch counts the devices when it first sends
gradients back, and a device that is registered later gets none.
"""

import copy

import pretend_device
import pytest
import torch
from torch import nn

from course_utils import (
    activations,
    ascent,
    audit,
    cam,
    deconvolution,
    gradients,
    incremental,
    masks,
    occlusion,
    pictures,
    search,
    shapley,
    trial,
)
from course_utils.classifiers import load

pretend_device.register()

TOLERANCE = 1e-9
"""Of a map's largest value: how far a device may be from the CPU, in double precision.

In single precision rounding decides which side of a ReLU or of max-pooling wins a near-tie, so
gradients differ by more than rounding, and by how much depends on the processor.
"""


@pytest.fixture(scope="module")
def pair():
    """The same network on the CPU and on the pretended accelerator, in double precision."""
    return in_double_precision("cpu"), in_double_precision("pretend")


def in_double_precision(device):
    classifier = load("look_alikes", device)
    classifier.model.double()
    return classifier


@pytest.fixture(scope="module")
def picture():
    return pictures.load_set("look_alikes", "test")[70][0].double()


def largest_difference(here, there):
    return ((here - there).abs().max() / here.abs().max().clamp(min=1e-12)).item()


def test_all_networks_follow_the_setting(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "pretend")
    for network in (load("tank_fair"), audit.load("A").classifier):
        assert {p.device.type for p in network.model.parameters()} == {"pretend"}


# ---------------------------------------------------------------------------- the network


def test_the_pretended_device_is_as_strict_as_a_gpu(pair):
    here, there = torch.ones(2), torch.ones(2).to("pretend")
    with pytest.raises(RuntimeError, match="of another device"):
        here + there
    with pytest.raises(TypeError, match="can't convert pretend"):
        there.numpy()
    with pytest.raises(RuntimeError, match="generator of the CPU"):
        there.normal_(generator=torch.Generator())


def test_a_network_answers_where_it_was_asked(pair, picture):
    here, there = pair
    x = here.preprocess(picture)
    assert there.preprocess(picture).device.type == "cpu"
    assert there.model(x).device.type == "cpu"
    assert there.model(x.to("pretend")).device.type == "pretend"
    assert there.model.features(x).device.type == "cpu"
    assert torch.allclose(there.model(x), here.model(x), atol=1e-5)
    assert torch.equal(there.predict(picture), here.predict(picture))


def test_convolutions_keep_full_precision(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    load("tank_fair", "pretend")
    assert not torch.backends.cudnn.allow_tf32


def test_a_network_on_the_cpu_is_left_alone_and_one_that_returns_still_answers(picture):
    assert not any(module._forward_hooks for module in load("tank_fair", "cpu").model.modules())
    back = load("look_alikes", "pretend").to("cpu")
    assert torch.equal(back.predict(picture), load("look_alikes", "cpu").predict(picture))


def test_gradients_come_back_too(pair, picture):
    found = []
    for network in pair:
        x = network.preprocess(picture).requires_grad_()
        found.append(torch.autograd.grad(network.model(x)[0, 3], x)[0])
    assert found[1].device.type == "cpu"
    assert largest_difference(*found) < TOLERANCE


def test_a_network_answers_in_inference_mode(pair, picture):
    here, there = pair
    x = here.preprocess(picture)
    with torch.inference_mode():
        assert torch.allclose(there.model(x), here.model(x), atol=1e-6)


def test_a_copy_and_a_network_around_it_answer_too(pair, picture):
    _, there = pair
    x = there.preprocess(picture)
    around = nn.Sequential(copy.deepcopy(there.model), nn.Softmax(dim=1))
    assert around(x).device.type == "cpu"
    assert torch.allclose(around(x), there.model(x).softmax(1), atol=1e-6)


def test_a_network_answers_after_an_error(pair, picture):
    _, there = pair
    with pytest.raises(RuntimeError):
        there.model(torch.zeros(1, 5, 128, 128))
    assert there.model(there.preprocess(picture)).device.type == "cpu"
    assert not any(module._askers for module in there.model.modules())


# ---------------------------------------------------------------------------- the techniques


def test_every_method_of_the_trial_gives_the_same_map(pair, picture):
    target = torch.tensor([pair[0].predict(picture).item()])
    here, there = (trial.heatmaps(network, picture[None], target) for network in pair)
    for name in trial.METHODS:
        assert there[name].device.type == "cpu", name
        assert largest_difference(here[name], there[name]) < TOLERANCE, name


def layer_maps(network, x):
    layer = network.layer("relu4")
    background = network.preprocess(torch.rand(4, 3, 128, 128, generator=seeded()))
    yield activations.record(network.model, {"relu4": layer}, x)["relu4"]
    yield cam.grad_cam(network.model, layer, x, 3)
    yield cam.hires_cam(network.model, layer, x, 3)
    yield cam.grad_cam_plus_plus(network.model, layer, x, 3)
    yield cam.layer_cam(network.model, layer, x, 3)
    yield gradients.expected_gradients(network.model, x, 3, background, 8, layer=layer)
    yield deconvolution.deconvnet(network.model.features, layer, x, 5)
    yield torch.tensor(activations.box_by_gradient(network.model, layer, 7, 7, x)).float()


def climbs(network, x):
    options = {"size": 128, "mean": network.mean, "std": network.std, "steps": 4}
    yield ascent.ascend(network.model, [3], **options)
    yield ascent.ascend(network.model, [2], layer=network.layer("conv5"), start=x[0], **options)


def occlusions(network, x):
    settings = (network.model, x, torch.zeros_like(x), 32, 16, occlusion.logit_drop(3))
    yield occlusion.occlusion_map(*settings)
    yield occlusion.occlusion_map(*settings, outputs=incremental.occluded_outputs)
    steps = incremental.growth(network.model, x, torch.tensor([32, 80, 48, 96]))
    yield torch.tensor([window for _, window, _ in steps]).float()


def coalitions(network, x):
    baseline = torch.zeros_like(x)
    segments = torch.arange(128).div(32, rounding_mode="floor").expand(128, 128)
    options = (network.model, x, 3, baseline, segments, shapley.all_coalitions(4))
    yield shapley.coalition_scores(*options)
    yield masks.rise(network.model, x, 3, baseline, 10)
    yield masks.learned_mask(network.model, x, 3, baseline, steps=4)


def searches(network, x):
    brightness = torch.linspace(0.5, 1, 6).view(-1, 1, 1, 1)
    gallery = network.undo_preprocess(x) * brightness
    layer = network.layer("conv6")
    yield search.search(network.model, layer, list(gallery), network.preprocess, 3).top.values


def seeded():
    return torch.Generator().manual_seed(0)


TECHNIQUES = [layer_maps, climbs, occlusions, coalitions, searches]


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_every_technique_gives_the_same_and_brings_it_home(pair, picture, technique):
    x = pair[0].preprocess(picture)
    for here, there in zip(*(technique(network, x) for network in pair), strict=True):
        assert there.device.type == "cpu"
        assert largest_difference(here, there) < TOLERANCE
