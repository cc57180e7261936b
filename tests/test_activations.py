"""Recorded outputs against Captum, receptive fields against gradients."""

import pytest
import torch
from captum.attr import LayerActivation
from torch import nn

from course_utils.activations import ReceptiveField, box_by_gradient, receptive_fields, record
from course_utils.classifiers import PlainNet


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return PlainNet(classes=3, channels=(4, 4, 8, 8, 8, 8), size=64).eval()


def test_equals_captum(network):
    x, layers = torch.randn(2, 3, 64, 64), network.named_layers()
    maps = record(network, layers, x)
    assert list(maps) == list(layers)
    for name, layer in layers.items():
        torch.testing.assert_close(maps[name], LayerActivation(network, layer).attribute(x))


def test_a_later_change_in_place_does_not_reach_what_was_recorded():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True)).eval()
    x = torch.randn(1, 3, 8, 8)
    maps = record(model, {"conv": model[0], "relu": model[1]}, x)
    assert maps["conv"].min() < 0 <= maps["relu"].min()
    assert torch.equal(maps["conv"].relu(), maps["relu"])


def test_the_model_is_left_as_it_was(network):
    model = nn.Sequential(network, nn.Dropout(0.5)).train()
    record(model, {"net": network}, torch.randn(1, 3, 64, 64))
    assert model.training and not network._forward_hooks
    with pytest.raises(ValueError, match="takes pictures with 3 channels"):
        record(model, {"net": network}, torch.randn(1, 2, 64, 64))
    assert model.training and not network._forward_hooks
    model.eval()
    network.eval()


def test_a_layer_that_does_not_run_is_named(network):
    with pytest.raises(ValueError, match="'stranger' did not run"):
        record(network, {"stranger": nn.ReLU()}, torch.randn(1, 3, 64, 64))


class SqueezeAndExcite(nn.Module):
    def forward(self, maps):
        return maps * maps.mean((2, 3), keepdim=True)


def test_receptive_fields_by_hand():
    layers = {
        "conv": nn.Conv2d(3, 4, 3, padding=1),
        "relu": nn.ReLU(),
        "pool": nn.MaxPool2d(2),
        "wide": nn.Conv2d(4, 4, 5, stride=2, padding=2),
        "head": nn.Linear(4, 2),
    }
    assert receptive_fields(layers) == {
        "conv": ReceptiveField(3, 1, -1),
        "relu": ReceptiveField(3, 1, -1),
        "pool": ReceptiveField(4, 2, -1),
        "wide": ReceptiveField(12, 4, -5),
    }


def test_boxes_are_clipped_only_on_request():
    field = ReceptiveField(12, 4, -5)
    assert field.box(0, 2) == (-5, 3, 7, 15)
    assert field.box(0, 2, 20, 14) == (0, 3, 7, 14)


def test_the_box_of_a_unit_inside_the_padding_is_empty():
    field = receptive_fields({"conv": nn.Conv2d(3, 4, 3, padding=9)})["conv"]
    assert field.box(0, 9, 40, 40) == (0, 0, 0, 3)
    assert field.box(9, 55, 40, 40) == (0, 40, 3, 40)


@pytest.mark.parametrize(
    ("name", "place"), [("relu1", (5, 9)), ("pool2", (7, 8)), ("relu6", (0, 5))]
)
def test_gradients_confirm_the_arithmetic(network, name, place):
    layers = network.named_layers()
    box = receptive_fields(layers)[name].box(*place, 64, 64)
    assert box_by_gradient(network, layers[name], *place, torch.randn(16, 3, 64, 64)) == box


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 5, "stride": 3},
        {"kernel_size": 3, "padding": 4},
        {"kernel_size": 3, "dilation": 4, "padding": 1},
        {"kernel_size": 3, "padding": "valid"},
        {"kernel_size": 5, "dilation": 2, "padding": "same"},
        {"kernel_size": 4, "padding": "same"},
    ],
)
def test_other_geometries(settings):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, **settings), nn.Conv2d(4, 4, 3), nn.AvgPool2d(2), nn.PReLU()
    )
    check_second_unit(model)


@pytest.mark.parametrize("pad", [nn.ZeroPad2d(2), nn.ConstantPad2d((1, 3, 1, 0), 2.0)])
def test_borders_that_are_layers(pad):
    torch.manual_seed(0)
    check_second_unit(nn.Sequential(nn.MaxPool2d(2), pad, nn.Conv2d(3, 4, 3), nn.Identity()))


def check_second_unit(model):
    """The arithmetic's box of a unit near the border of the third layer is the gradient's."""
    fields = receptive_fields(dict(model.named_children()))
    box = fields["2"].box(1, 2, 48, 48)
    assert box_by_gradient(model, model[2], 1, 2, torch.randn(4, 3, 48, 48)) == box


def test_a_silent_unit_is_named():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    nn.init.constant_(model[0].bias, -100.0)
    with pytest.raises(ValueError, match=r"No input reached the unit at \(1, 2\)"):
        box_by_gradient(model, model[1], 1, 2, torch.randn(4, 3, 9, 9))


def test_oblong_layers_are_refused():
    with pytest.raises(ValueError, match="'conv' is not square"):
        receptive_fields({"conv": nn.Conv2d(3, 4, (3, 5))})
    with pytest.raises(ValueError, match="'conv' is not square"):
        receptive_fields({"conv": nn.Conv2d(3, 4, 3, padding=(1, 0))})
    with pytest.raises(ValueError, match="'pad' is not square"):
        receptive_fields({"pad": nn.ZeroPad2d((1, 1, 2, 2))})


@pytest.mark.parametrize(
    "layer",
    [
        nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(9), nn.Softmax(-1),
        nn.Sequential(nn.Conv2d(4, 4, 3)), SqueezeAndExcite(), nn.AdaptiveMaxPool2d(2),
        nn.AdaptiveAvgPool2d(2), nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(4, 4, 2, stride=2), nn.PixelShuffle(2),
        nn.ReflectionPad2d(2), nn.ReplicationPad2d(2), nn.CircularPad2d(2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_receptive_fields_end_where_the_rule_ends(layer):
    layers = {"first": nn.Conv2d(3, 4, 3), "odd": layer, "last": nn.Conv2d(4, 4, 3)}
    assert list(receptive_fields(layers)) == ["first"]
