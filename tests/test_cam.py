"""Class activation maps against Captum, against what can be worked out by hand, planted answers."""

import math

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from skimage import measure
from torch import nn

from course_utils.cam import (
    box_from_map,
    box_of_mask,
    cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    iou,
    layer_cam,
    upsample,
)
from course_utils.classifiers import PlainNet


@pytest.fixture(params=["gap", "flatten"])
def model(request):
    return small_net(request.param)


@pytest.fixture
def gap():
    return small_net("gap")


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(3, 3, 32, 32)


def small_net(head):
    torch.manual_seed(0)
    model = PlainNet(5, channels=(4, 6, 8, 8, 10, 12), size=32, head=head).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)
    return model


class Corner(nn.Module):
    """A GAP network whose class 1 provably sees red in one 8 x 8 square, class 0 nothing."""

    def __init__(self, top, left, rows, columns):
        super().__init__()
        window = torch.zeros(rows, columns)
        window[top : top + 8, left : left + 8] = 1
        self.register_buffer("window", window)
        self.pool = nn.AvgPool2d(8)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight[:] = torch.tensor([[0.0], [2.0]])
            self.head.bias[:] = torch.tensor([1.0, -0.5])

    def forward(self, x):
        return self.head(self.pool(x[:, :1] * self.window).mean((2, 3)))


# ---------------------------------------------------------------------------- CAM


def test_the_mean_of_a_cam_plus_the_bias_is_the_score(gap, x):
    for target in range(5):
        heatmaps = cam(gap, gap.features.relu6, gap.head, x, target)
        assert heatmaps.shape == (3, 4, 4)
        scores = heatmaps.mean((1, 2)) + gap.head.bias[target]
        assert torch.allclose(scores, gap(x)[:, target], atol=1e-6)


def test_there_is_no_cam_where_the_mean_of_the_map_plus_the_bias_is_not_the_score(x):
    torch.manual_seed(0)
    convolution, head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)
    largest = nn.Sequential(convolution, nn.AdaptiveMaxPool2d(1), nn.Flatten(), head).eval()
    rectified = nn.Sequential(
        convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head
    ).eval()
    for model in (largest, rectified):
        with pytest.raises(ValueError, match="is not the score"):
            cam(model, convolution, head, x, 1)
    with pytest.raises(ValueError, match="is not the score"):
        cam(rectified, rectified[1], nn.Linear(6, 4), x, 1)  # another head
    with pytest.raises(ValueError, match="The head gives 9 scores"):
        cam(rectified, rectified[1], nn.Linear(6, 9), x, 1)
    assert cam(rectified, rectified[1], head, x, 1).shape == (3, 30, 30)


@pytest.mark.parametrize("technique", [grad_cam, hires_cam, layer_cam, grad_cam_plus_plus])
def test_a_picture_with_nan_has_no_map(technique, gap, x):
    with pytest.raises(ValueError, match="The score is NaN"):
        technique(gap, gap.features.relu6, x * torch.nan, 1)


def test_each_picture_may_have_its_own_target(gap, x):
    targets = torch.tensor([4, 0, 2])
    layer = gap.features.relu6
    together = cam(gap, layer, gap.head, x, targets)
    for index, target in enumerate(targets.tolist()):
        alone = cam(gap, layer, gap.head, x[index : index + 1], target)
        assert torch.allclose(together[index], alone[0], atol=1e-6)


def test_cam_is_grad_cam_times_the_number_of_cells_on_a_gap_network(gap, x):
    layer = gap.features.relu6
    for target in range(5):
        plain = cam(gap, layer, gap.head, x, target)
        gradient = grad_cam(gap, layer, x, target, relu=False)
        assert torch.allclose(plain, 16 * gradient, atol=1e-6)


def test_grad_cam_of_a_flatten_network_is_the_cam_of_its_averaged_weights(x):
    flat, gap = small_net("flatten"), small_net("gap")
    gap.features.load_state_dict(flat.features.state_dict())
    with torch.no_grad():
        gap.head.weight[:] = flat.head.weight.view(5, 12, 4, 4).mean((2, 3))
    expected = cam(gap, gap.features.relu6, gap.head, x, 3)
    found = grad_cam(flat, flat.features.relu6, x, 3, relu=False)
    assert torch.allclose(found, expected, atol=1e-6)
    assert not torch.allclose(found.mean((1, 2)) + flat.head.bias[3], flat(x)[:, 3], atol=1e-4)


@pytest.mark.parametrize(("top", "left"), [(0, 24), (16, 0), (8, 32)])
def test_cam_and_grad_cam_point_at_the_planted_corner(top, left):
    planted = Corner(top, left, 24, 40)
    x = torch.rand(2, 3, 24, 40) + 0.1
    for heatmaps in (
        cam(planted, planted.pool, planted.head, x, 1),
        grad_cam(planted, planted.pool, x, 1),
    ):
        assert heatmaps.shape == (2, 3, 5)
        hot = torch.zeros(3, 5, dtype=torch.bool)
        hot[top // 8, left // 8] = True
        assert (heatmaps[:, hot] > 0).all() and (heatmaps[:, ~hot] == 0).all()
        box = box_from_map(upsample(heatmaps[0], (24, 40)), 0.6)
        assert iou(box, (top, left, top + 8, left + 8)) > 0.4


# ---------------------------------------------------------------------------- Grad-CAM


@pytest.mark.parametrize("name", ["relu1", "conv4", "pool3", "relu6"])
@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_is_captums(model, x, name, relu):
    layer = model.named_layers()[name]
    found = []
    for target in range(5):
        theirs = LayerGradCam(model, layer).attribute(x, target=target, relu_attributions=relu)
        found.append(grad_cam(model, layer, x, target, relu=relu))
        assert torch.allclose(found[-1], theirs[:, 0], rtol=1e-4, atol=1e-6)
    assert torch.stack(found).max() > 1e-3 and not found[0].requires_grad


def test_upsampled_it_is_captums_interpolation(model, x):
    layer = model.features.relu6
    theirs = LayerGradCam(model, layer).attribute(x, target=0)
    theirs = LayerGradCam.interpolate(theirs, (48, 32), interpolate_mode="bilinear")
    ours = upsample(grad_cam(model, layer, x, 0, relu=False), (48, 32))
    assert torch.allclose(ours, theirs[:, 0], atol=1e-7)


def test_grad_cam_of_residual_blocks_with_in_place_relus_is_captums():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = (nn.Conv2d(6, 6, 3, padding=1) for _ in range(2))
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(x + self.conv2(self.relu(self.conv1(x))))

    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
    tail = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    model, x = nn.Sequential(stem, Block(), Block(), tail).eval(), torch.randn(2, 3, 20, 14)
    for layer in (model[1], model[2], stem[2]):
        theirs = LayerGradCam(model, layer).attribute(x, target=1)
        assert torch.allclose(grad_cam(model, layer, x, 1, relu=False), theirs[:, 0], atol=1e-6)
    maps_before_relu = grad_cam(model, model[1].conv1, x, 1, relu=False)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    expected = LayerGradCam(model, model[1].conv1).attribute(x, target=1)
    assert torch.allclose(maps_before_relu, expected[:, 0], atol=1e-6)


# ---------------------------------------------------------------------------- its relatives

RELATIVES = (hires_cam, grad_cam_plus_plus, layer_cam)


class TwoCells(nn.Module):
    """Its feature maps are the first two channels of a picture; a linear layer weighs all cells."""

    def __init__(self, *weights):
        super().__init__()
        self.maps = nn.Identity()
        self.register_buffer("weights", torch.tensor(weights))

    def forward(self, x):
        score = (self.maps(x[:, :2]) * self.weights).sum((1, 2, 3))
        return torch.stack([-score, score], dim=1)


@pytest.fixture
def by_hand():
    """A network of two channels and 1 x 2 cells, and a picture of these features:

    channel 0: A = 1, 3 with the gradients 2, -1;  channel 1: A = 2, 0 with the gradients 0.5, 1
    """
    picture = torch.tensor([[[1.0, 3.0]], [[2.0, 0.0]], [[9.0, 9.0]]])
    return TwoCells([[2.0, -1.0]], [[0.5, 1.0]]), picture[None]


def test_the_relatives_of_grad_cam_by_hand(by_hand):
    model, x = by_hand
    # Channel weights: (2 - 1) / 2 = 0.5 and (0.5 + 1) / 2 = 0.75.
    expected = [[0.5 * 1 + 0.75 * 2, 0.5 * 3 + 0.75 * 0]]
    assert torch.allclose(grad_cam(model, model.maps, x, 1)[0], torch.tensor(expected))
    # Each cell times its own gradient: what speaks against the class stays negative.
    expected = [[2 * 1 + 0.5 * 2, -1 * 3 + 1 * 0]]
    assert torch.allclose(hires_cam(model, model.maps, x, 1)[0], torch.tensor(expected))
    assert torch.allclose(hires_cam(model, model.maps, x, 0)[0], -torch.tensor(expected))
    # The same without the negative gradient.
    expected = [[2 * 1 + 0.5 * 2, 0 * 3 + 1 * 0]]
    assert torch.allclose(layer_cam(model, model.maps, x, 1)[0], torch.tensor(expected).float())
    # alpha = g^2 / (2 g^2 + sum(A) g^3), with sum(A) = 4 and 2; where g is negative, its ReLU is 0.
    first = 4 / (2 * 4 + 4 * 8) * 2
    second = 0.25 / (2 * 0.25 + 2 * 0.125) * 0.5 + 1 / (2 * 1 + 2 * 1) * 1
    expected = [[first * 1 + second * 2, first * 3 + second * 0]]
    found = grad_cam_plus_plus(model, model.maps, x, 1)[0]
    assert torch.allclose(found, torch.tensor(expected))


def test_where_all_gradients_are_zero_so_are_the_maps():
    model, x = TwoCells([[0.0, 0.0]], [[0.0, 0.0]]), torch.rand(2, 3, 1, 2)
    for technique in RELATIVES:
        assert torch.equal(technique(model, model.maps, x, 1), torch.zeros(2, 1, 2))


def cut(model, name, x, target):
    """A layer's feature maps of one picture, and a function from these to the class's score."""
    place = list(dict(model.features.named_children())).index(name) + 1
    rest = nn.Sequential(*model.features[place:], model.to_vector, model.head)
    return model.features[:place](x).detach(), lambda maps: rest(maps)[0, target]


@pytest.mark.parametrize("name", ["relu4", "pool3", "relu6"])
def test_grad_cam_plus_plus_is_the_papers_for_exp_of_the_score(model, x, name):
    """Weights and alpha as the paper defines them, each derivative by autograd, cell by cell."""
    model.double()
    picture = x[:1].double()
    for target in range(3):
        maps, score = cut(model, name, picture, target)
        weights = torch.zeros(maps.shape[1], dtype=torch.float64)
        for k in range(maps.shape[1]):
            for i in range(maps.shape[2]):
                for j in range(maps.shape[3]):
                    value = maps[0, k, i, j].clone().requires_grad_()
                    changed = maps.clone()
                    changed[0, k, i, j] = value
                    y = score(changed).exp()
                    (once,) = torch.autograd.grad(y, value, create_graph=True)
                    (twice,) = torch.autograd.grad(once, value, create_graph=True)
                    (thrice,) = torch.autograd.grad(twice, value)
                    if once > 0:
                        alpha = twice / (2 * twice + maps[0, k].sum() * thrice)
                        weights[k] += (alpha * once).item()
        expected = torch.einsum("k,khw->hw", weights, maps[0]).relu() / score(maps).exp()
        found = grad_cam_plus_plus(model, model.features.get_submodule(name), picture, target)[0]
        assert found.max() > 1e-3 and torch.allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["relu1", "conv4", "pool3", "relu6"])
def test_hires_cam_and_layer_cam_are_sums_of_captums_gradient_and_activation(model, x, name):
    layer = model.named_layers()[name]
    captums = LayerGradientXActivation(model, layer)
    for target in range(5):
        theirs = captums.attribute(x, target=target)
        found = hires_cam(model, layer, x, target)
        assert torch.allclose(found, theirs.sum(1), rtol=1e-4, atol=1e-5)
        if name != "conv4":  # behind a ReLU the product has the sign of the gradient
            expected = theirs.relu().sum(1)
            assert torch.allclose(
                layer_cam(model, layer, x, target), expected, rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("name", ["conv4", "relu6"])
def test_layer_cam_is_the_papers_one_cell_at_a_time(model, x, name):
    """Weights relu(g), then the sum over the channels of weight times A, then a ReLU."""
    maps, score = cut(model, name, x[:1], 2)
    maps.requires_grad_()
    (gradient,) = torch.autograd.grad(score(maps), maps)
    found = layer_cam(model, model.named_layers()[name], x[:1], 2)[0]
    for i in range(maps.shape[2]):
        for j in range(maps.shape[3]):
            channels = zip(gradient[0, :, i, j].tolist(), maps[0, :, i, j].tolist())
            total = sum(max(slope, 0) * value for slope, value in channels)
            assert found[i, j].item() == pytest.approx(max(total, 0), rel=1e-4, abs=1e-6)


def test_a_hires_cam_adds_up_to_the_score_where_a_linear_layer_follows(model, x):
    for target in range(5):
        total = hires_cam(model, model.features.relu6, x, target).sum((1, 2))
        assert torch.allclose(total + model.head.bias[target], model(x)[:, target], atol=1e-5)


def test_on_a_gap_network_hires_cam_is_grad_cam_before_its_relu(gap, x):
    layer = gap.features.relu6
    for target in range(5):
        expected = grad_cam(gap, layer, x, target, relu=False)
        assert torch.allclose(hires_cam(gap, layer, x, target), expected, atol=1e-6)


@pytest.mark.parametrize("technique", RELATIVES)
def test_each_picture_may_have_its_own_target_in_the_relatives_too(model, x, technique):
    layer, targets = model.features.relu4, torch.tensor([4, 0, 2])
    together = technique(model, layer, x, targets)
    assert together.shape == (3, 8, 8) and not together.requires_grad
    for index, target in enumerate(targets.tolist()):
        alone = technique(model, layer, x[index : index + 1], target)
        assert torch.allclose(together[index], alone[0], atol=1e-6)


# ---------------------------------------------------------------------------- what it leaves behind


def trace(model):
    modules = list(model.modules())
    return (
        [module.training for module in modules],
        [len(module._forward_hooks) + len(module._backward_hooks) for module in modules],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad for parameter in model.parameters()],
    )


def test_the_model_is_left_as_it_was_also_after_an_error(gap, x):
    model = nn.Sequential(gap.features, nn.BatchNorm2d(12), gap.to_vector, nn.Dropout(), gap.head)
    model.train()
    model[1].eval()
    before, mean = trace(model), model[1].running_mean.clone()
    first = grad_cam(model, gap.features.relu6, x, 1)
    assert torch.equal(first, grad_cam(model, gap.features.relu6, x, 1))
    cam(model, model[1], gap.head, x, 1)
    with pytest.raises(ValueError, match="4, 32, 32"):
        grad_cam(model, gap.features.relu6, torch.zeros(1, 4, 32, 32), 1)
    with pytest.raises(ValueError):
        grad_cam(model, gap.head, x, 1)
    assert trace(model) == before
    assert torch.equal(model[1].running_mean, mean)


def test_frozen_weights_and_no_grad_are_no_obstacle(gap, x):
    expected = grad_cam(gap, gap.features.relu4, x, 1)
    gap.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(grad_cam(gap, gap.features.relu4, x, 1), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_it_works_on_a_gpu(gap, x):
    layer = gap.features.relu6
    expected = cam(gap, layer, gap.head, x, 1), grad_cam(gap, layer, x, torch.tensor([0, 1, 2]))
    gap.cuda()
    targets = torch.tensor([0, 1, 2])
    found = cam(gap, layer, gap.head, x.cuda(), 1), grad_cam(gap, layer, x.cuda(), targets)
    for ours, theirs in zip(found, expected):
        assert ours.is_cuda and torch.allclose(ours.cpu(), theirs, atol=1e-4)
    assert box_from_map(found[0][0], 0.5) == box_from_map(expected[0][0], 0.5)


# ---------------------------------------------------------------------------- clear complaints


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "0 to 4"),
        (-1, "0 to 4"),
        (1.0, "whole number"),
        (torch.tensor([0, 1]), "each of the 3 pictures"),
    ],
)
@pytest.mark.parametrize("gradient", [True, False])
def test_bad_targets_are_explained(gap, x, target, message, gradient):
    layer = gap.features.relu6
    with pytest.raises(ValueError, match=message):
        grad_cam(gap, layer, x, target) if gradient else cam(gap, layer, gap.head, x, target)


def test_bad_layers_are_explained(gap, x):
    with pytest.raises(ValueError, match="did not run: is it a layer of this model"):
        grad_cam(gap, nn.Conv2d(3, 3, 1), x, 1)
    with pytest.raises(ValueError, match=r"output has the shape \(3, 5\).*before the flattening"):
        grad_cam(gap, gap.head, x, 1)
    with pytest.raises(ValueError, match="12 channels|8 channels"):
        cam(gap, gap.features.relu4, gap.head, x, 1)
    with pytest.raises(ValueError, match="head must be a Linear, not a .*Sequential"):
        cam(gap, gap.features.relu6, gap.to_vector, x, 1)
    flat = small_net("flatten")
    with pytest.raises(ValueError, match="takes 192 numbers.*12 channels.*Use grad_cam"):
        cam(flat, flat.features.relu6, flat.head, x, 1)
    with pytest.raises(ValueError, match="must return scores"):
        grad_cam(gap.features, gap.features.relu6, x, 1)


def test_a_layer_that_the_scores_ignore_is_named(gap, x):
    class Ignoring(nn.Module):
        def forward(self, x):
            gap.features(x)
            return x.flatten(1)[:, :5].clone().requires_grad_()

    with pytest.raises(ValueError, match="don't depend on this layer"):
        grad_cam(Ignoring(), gap.features.relu6, x, 1)


# ---------------------------------------------------------------------------- upsampling


@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 5), (3, 2), (2, 6)])
def test_the_peak_stays_in_the_middle_of_its_cell(row, column):
    heatmap = torch.zeros(4, 7)
    heatmap[row, column] = 1
    large = upsample(heatmap, (4 * 9, 7 * 9))
    found = divmod(int(large.argmax()), 7 * 9)
    if 0 < row < 3 and 0 < column < 6:  # at the border the peak is a plateau
        assert found == (9 * row + 4, 9 * column + 4)
    assert large[9 * row + 4, 9 * column + 4] == large.max() == 1


def test_upsampling_keeps_the_mean_of_a_linear_ramp_in_place():
    ramp = torch.arange(8.0).expand(5, 8)
    large = upsample(ramp, (20, 32))
    centres = (torch.arange(32) + 0.5) / 4 - 0.5
    assert torch.allclose(large[0, 2:-2], centres[2:-2], atol=1e-5)
    assert large.shape == (20, 32) and torch.allclose(large, large[:1].expand(20, 32))


def test_several_maps_are_enlarged_one_by_one():
    maps = torch.rand(3, 4, 5)
    large = upsample(maps, 20)
    assert large.shape == (3, 20, 20)
    assert all(torch.equal(large[i], upsample(maps[i], (20, 20))) for i in range(3))
    with pytest.raises(ValueError, match=r"got \(1, 1, 4, 5\)"):
        upsample(maps[None, :1], 20)


@pytest.mark.parametrize("values", [torch.rand(4, 5) > 0.5, torch.arange(20).view(4, 5)])
def test_masks_and_whole_numbers_are_enlarged_as_numbers(values):
    assert torch.equal(upsample(values, np.int64(20)), upsample(values.float(), 20))


# ---------------------------------------------------------------------------- boxes


def blobs():
    """Two blobs: 3 x 4 cells with value 1, touched at a corner by one cell; 2 x 2 with value 5."""
    heatmap = torch.full((10, 14), -1.0)
    heatmap[1:4, 2:6] = 1
    heatmap[4, 6] = 1
    heatmap[7:9, 10:12] = 5
    return heatmap


def test_the_box_is_that_of_the_largest_region():
    assert box_from_map(blobs(), 0.3) == (1, 2, 5, 7)
    assert box_from_map(blobs(), 0.5) == (7, 10, 9, 12)
    assert box_from_map(blobs(), 0.0) == (0, 0, 10, 14)
    assert box_from_map(blobs(), 1.0) == (7, 10, 9, 12)


def test_scale_and_offset_of_a_map_do_not_matter():
    heatmap = torch.randn(9, 12, generator=torch.Generator().manual_seed(0))
    for threshold in (0.2, 0.5, 0.8):
        assert box_from_map(heatmap, threshold) == box_from_map(4 * heatmap - 8, threshold)


def test_of_equal_regions_the_uppermost_counts():
    heatmap = torch.zeros(8, 8)
    heatmap[0:2, 5:7] = heatmap[4:6, 1:3] = 1
    assert box_from_map(heatmap, 0.5) == (0, 5, 2, 7)


def test_the_box_is_scikit_images():
    random = torch.Generator().manual_seed(0)
    for shape in ((12, 9), (6, 17), (20, 20)):
        heatmap = upsample(torch.randn(5, 4, generator=random), shape)
        scaled = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
        for threshold in (0.3, 0.5, 0.7):
            regions = measure.regionprops(measure.label(scaled.numpy() >= threshold))
            largest = max(regions, key=lambda region: region.area)
            assert box_from_map(heatmap, threshold) == largest.bbox


def test_a_flat_map_points_nowhere():
    for value in (0.0, 3.0):
        box = box_from_map(torch.full((6, 6), value), 0.5)
        assert box == (0, 0, 0, 0) and iou(box, (0, 0, 6, 6)) == 0


def test_bad_maps_and_thresholds_are_explained():
    for bad in (float("nan"), float("inf")):
        heatmap = torch.zeros(4, 4)
        heatmap[1, 1] = bad
        with pytest.raises(ValueError, match="NaN or infinity"):
            box_from_map(heatmap, 0.5)
    with pytest.raises(ValueError, match="between 0 and 1; got 40"):
        box_from_map(torch.rand(4, 4), 40)
    with pytest.raises(ValueError, match=r"not \(1, 4, 4\)"):
        box_from_map(torch.rand(1, 4, 4), 0.5)
    with pytest.raises(ValueError, match=r"A mask has the shape \(H, W\), not \(4,\)"):
        box_of_mask(torch.ones(4) > 0)


def test_the_box_of_a_mask_holds_all_its_pieces():
    mask = torch.zeros(10, 14, dtype=torch.bool)
    mask[2, 3] = mask[7, 11] = True
    assert box_of_mask(mask) == (2, 3, 8, 12)
    assert box_of_mask(torch.zeros(4, 4, dtype=torch.bool)) == (0, 0, 0, 0)


def test_iou_counts_cells():
    random = torch.Generator().manual_seed(0)
    for _ in range(50):
        drawn = torch.randint(0, 12, (2, 4), generator=random)
        boxes = [
            (*map(min, a, b), *map(max, a, b))
            for a, b in zip(drawn[:, :2].tolist(), drawn[:, 2:].tolist())
        ]
        first, second = (torch.zeros(12, 12, dtype=torch.bool) for _ in range(2))
        for mask, (top, left, bottom, right) in zip((first, second), boxes):
            mask[top:bottom, left:right] = True
        union = (first | second).sum().item()
        expected = (first & second).sum().item() / union if union else 0.0
        assert iou(*boxes) == iou(*boxes[::-1]) == pytest.approx(expected)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.float32, torch.int8, torch.uint8])
def test_iou_of_small_numbers_of_other_libraries_does_not_overflow(kind):
    make = torch.tensor if isinstance(kind, torch.dtype) else np.array
    box, other = (list(make(sides, dtype=kind)) for sides in ((0, 0, 100, 100), (50, 0, 100, 100)))
    assert iou(box, other) == iou(other, box) == 0.5 and type(iou(box, other)) is float


@pytest.mark.parametrize("box", [(0, 0, math.nan, 4), (0, 0, math.inf, 4), (0, 0, 4), (4, 0, 0, 4)])
def test_iou_of_what_is_no_box(box):
    for boxes in ((box, (0, 0, 4, 4)), ((0, 0, 4, 4), box)):
        with pytest.raises(ValueError, match=r"A box is \(top, left, bottom, right\)"):
            iou(*boxes)


def test_iou_of_boxes_side_by_side_is_zero():
    assert iou((0, 0, 4, 4), (0, 4, 4, 8)) == 0
    assert iou((0, 0, 2, 2), (5, 5, 9, 9)) == 0
    assert iou((1, 2, 5, 9), (1, 2, 5, 9)) == 1


@pytest.mark.parametrize("odd", [torch.nan, torch.inf, -torch.inf])
def test_a_map_that_is_not_finite_is_not_enlarged(odd):
    heatmaps = torch.ones(2, 3, 3)
    heatmaps[1, 2, 2] = odd
    for given in (heatmaps, heatmaps[1]):
        with pytest.raises(ValueError, match="^The heatmap contains NaN .* or infinity"):
            upsample(given, 6)
