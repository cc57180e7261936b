"""Transposed convolutions against explicit matrices and torch, the deconvnet against autograd and
Captum, and a planted answer."""

import captum.attr as captum
import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils import gradients
from course_utils._torchvision import import_torchvision
from course_utils.classifiers import PlainNet
from course_utils.deconvolution import (
    RELU_RULES,
    ascend,
    convolution_matrix,
    deconvnet,
    deconvnet_steps,
    descend,
    insert_zeros,
    keep_strongest,
    overlap_counts,
    transpose_by_shuffle,
    transpose_by_zeros,
    transposed,
    unpool,
)

EDGE = torch.tensor([-1.0, 0.0, 0.0, 1.0])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# ---------------------------------------------------------------------------- one dimension

CASES = [
    (12, 4, 2),
    (12, 3, 2),
    (9, 3, 1),
    (17, 5, 3),
    (16, 4, 4),
    (20, 2, 3),
    (7, 7, 2),
    (8, 1, 2),
]


@pytest.mark.parametrize("size, width, stride", CASES)
def test_the_matrix_is_torchs_convolution(size, width, stride):
    filter, x = torch.randn(width), torch.randn(size)
    matrix = convolution_matrix(filter, size, stride)
    expected = functional.conv1d(x[None, None], filter[None, None], stride=stride)[0, 0]
    assert matrix.shape == (len(expected), size)
    assert torch.allclose(matrix @ x, expected, atol=1e-6)


@pytest.mark.parametrize("size, width, stride", CASES)
def test_every_way_to_transpose_is_the_matrix_transposed(size, width, stride):
    filter = torch.randn(width)
    y = torch.randn((size - width) // stride + 1)
    reached = (len(y) - 1) * stride + width  # beyond, no window starts
    expected = convolution_matrix(filter, reached, stride).T @ y
    by_torch = functional.conv_transpose1d(y[None, None], filter[None, None], stride=stride)[0, 0]
    for result in (
        by_torch,
        transpose_by_zeros(y, filter, stride),
        transpose_by_shuffle(y, filter, stride),
    ):
        assert result.shape == expected.shape
        assert torch.allclose(result, expected, atol=1e-5)


def test_the_edge_filters_rows_are_orthogonal_with_squared_norm_two():
    matrix = convolution_matrix(EDGE, 12, 2)
    assert torch.equal(matrix @ matrix.T, 2 * torch.eye(5))
    x = torch.randn(12)
    projection = matrix.T @ (matrix @ x) / 2
    assert torch.allclose(torch.linalg.pinv(matrix) @ (matrix @ x), projection, atol=1e-5)
    assert torch.allclose(matrix @ (x - projection), torch.zeros(5), atol=1e-5)


def test_the_filter_of_length_five_is_not_orthogonal():
    matrix = convolution_matrix(torch.tensor([-1.0, 0, 0, 0, 1]), 12, 2)
    products = matrix @ matrix.T
    assert not torch.equal(products, torch.diag(products.diag()))


def test_zeros_are_inserted_between_only():
    spread = insert_zeros(torch.tensor([[1.0, 2.0, 3.0]]), 3)
    assert spread.tolist() == [[1, 0, 0, 2, 0, 0, 3]]
    assert torch.equal(insert_zeros(EDGE, 1), EDGE)


def test_overlaps_by_hand():
    assert overlap_counts(4, 3, 2).tolist() == [1, 1, 2, 1, 2, 1, 2, 1, 1]
    assert overlap_counts(4, 4, 2).tolist() == [1, 1, 2, 2, 2, 2, 2, 2, 1, 1]
    assert overlap_counts(3, 2, 2).tolist() == [1] * 6


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: convolution_matrix(torch.ones(2, 2), 8), "vector"),
        (lambda: convolution_matrix(torch.ones(4), 3), "doesn't fit"),
        (lambda: convolution_matrix(torch.ones(4), 8, 0), "stride=0"),
        (lambda: transpose_by_zeros(torch.ones(3), torch.ones(0), 1), "vector"),
        (lambda: transpose_by_shuffle(torch.ones(3), torch.ones(3), 0), "stride=0"),
        (lambda: insert_zeros(torch.ones(3), 0), "stride=0"),
    ],
)
def test_wrong_one_dimensional_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------------------- two dimensions

CONVOLUTIONS = [
    {"kernel_size": 3},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": (3, 5), "stride": (2, 3), "padding": (1, 0)},
    {"kernel_size": 3, "padding": "same", "dilation": 2},
    {"kernel_size": 4, "padding": "same"},
    {"kernel_size": 3, "padding": "valid", "bias": False},
    {"kernel_size": 3, "stride": 3, "groups": 2},
    {"kernel_size": 1, "stride": 2},
]


@pytest.mark.parametrize("settings", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("size", [(12, 17), (13, 16)])
def test_a_convolution_and_its_transpose_are_adjoint(settings, size):
    """<W x, s> = <x, W^T s> for every s defines the transpose."""
    conv = nn.Conv2d(4, 6, **settings).double()
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    y = conv(x) - (0 if conv.bias is None else conv.bias[:, None, None])
    signal = torch.randn_like(y)
    back = transposed(conv, signal, size)
    assert back.shape == x.shape
    assert torch.allclose((y * signal).sum(), (x * back).sum())
    (expected,) = torch.autograd.grad(y, x, signal)
    assert torch.allclose(back, expected)


POOLINGS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 2, "stride": 3},
    {"kernel_size": 2, "ceil_mode": True},
    {"kernel_size": (3, 2), "dilation": 2, "stride": 1},
]


@pytest.mark.parametrize("settings", POOLINGS, ids=str)
def test_unpooling_is_the_backward_of_pooling(settings):
    x = torch.randn(2, 3, 11, 14, requires_grad=True)
    values, switches = nn.MaxPool2d(**settings, return_indices=True)(x)
    signal = torch.randn_like(values)
    (expected,) = torch.autograd.grad(values, x, signal)
    assert torch.allclose(unpool(signal, switches, (11, 14)), expected, atol=1e-6)


def test_without_overlap_unpooling_is_torchs():
    values, switches = functional.max_pool2d(torch.randn(2, 3, 8, 10), 2, return_indices=True)
    expected = functional.max_unpool2d(values, switches, 2)
    assert torch.equal(unpool(values, switches, (8, 10)), expected)


def test_with_overlap_values_add_up_where_torch_keeps_one():
    x = torch.zeros(1, 1, 3, 5)
    x[0, 0, 1, 2] = 7
    values, switches = functional.max_pool2d(x, 3, stride=2, return_indices=True)
    assert unpool(values, switches, (3, 5))[0, 0, 1, 2] == 14
    assert functional.max_unpool2d(values, switches, 3, 2, output_size=(3, 5))[0, 0, 1, 2] == 7


def test_keeping_the_strongest():
    maps = torch.randn(3, 4, 5, 6)
    kept = keep_strongest(maps, 2)
    assert (kept != 0).sum() == 3
    for before, after in zip(maps, kept):
        assert after.max() == before[2].max() or after.min() == before[2].max()
        assert after[2].flatten()[before[2].argmax()] == before[2].max()
    assert keep_strongest(torch.ones(1, 1, 2, 3), 0)[0, 0].tolist() == [[1, 0, 0], [0, 0, 0]]
    transposed_maps = torch.randn(2, 6, 5, 3).permute(0, 3, 1, 2)  # not contiguous
    assert (keep_strongest(transposed_maps, 1) != 0).sum() == 2


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: unpool(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 3).long(), (4, 4)), "switch"),
        (lambda: unpool(torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 16), (4, 4)), "outside"),
        (lambda: keep_strongest(torch.ones(1, 2, 3, 3), 2), "channels 0 to 1"),
        (lambda: keep_strongest(torch.ones(2, 3, 3), 0), "N, C, h, w"),
    ],
)
def test_wrong_maps_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------------------- the deconvnet


def lively(network):
    """Weights that keep the signals large: in dead networks every way back is zero."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight)
            nn.init.constant_(part.bias, 0.3)
    return network.double().eval()


def plain_features():
    return lively(PlainNet(5, channels=(4, 6, 8, 8, 10, 12), size=32).features)


def odd_features():
    """Strides, overlapping and rounded-up pools, an in-place ReLU, groups, a nested sequence."""
    return lively(nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        nn.Sequential(nn.Conv2d(6, 8, 3, groups=2, padding="same"), nn.ReLU(), nn.Dropout()),
        nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(8, 4, 2), nn.ReLU(),
    ))  # fmt: skip


def pictures(count=3):
    return torch.randn(count, 3, 32, 35, dtype=torch.float64)


def live_channel(network, x):
    """A channel that fires for every picture."""
    return int(network(x.clone()).amax(dim=(2, 3)).amin(dim=0).argmax())


class Activation(nn.Module):
    """A classifier whose "scores" are one channel's activations, flattened: (N, h * w)."""

    def __init__(self, network, channel):
        super().__init__()
        self.network, self.channel = network, channel

    def forward(self, x):
        return self.network(x)[:, self.channel].flatten(1)


NETWORKS = pytest.mark.parametrize("features", [plain_features, odd_features])


@NETWORKS
@pytest.mark.parametrize("rule", RELU_RULES)
def test_the_explicit_way_back_is_autograd_with_the_rule(features, rule):
    network, x = features(), pictures()
    channel = live_channel(network, x)
    ours = deconvnet(network, network[-1], x, channel, rule)
    model = Activation(network, channel)
    peaks, places = model(x.clone()).detach().max(dim=1)
    by_autograd = {
        "deconvnet": gradients.deconvnet,
        "gradient": gradients.saliency,
        "guided": gradients.guided_backprop,
    }[rule]
    theirs = by_autograd(model, x.clone(), places) * peaks[:, None, None, None]
    assert peaks.min() > 0 and ours.abs().max() > 1e-3
    assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_the_features_of_networks_of_torchvision_go_back_too(name):
    network = getattr(import_torchvision().models, name)(weights=None)
    features, x = network.features.eval().requires_grad_(False), torch.randn(1, 3, 96, 96)
    layer = features[-2]
    channel = live_channel(features[:-1], x)
    ours = deconvnet(features, layer, x, channel, "gradient")
    x.requires_grad_()
    maps = features[:-1](x)[0, channel]
    (theirs,) = torch.autograd.grad(maps.square().amax() / 2, x)
    assert functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.9999


@NETWORKS
@pytest.mark.parametrize(
    "rule, method",
    [("deconvnet", captum.Deconvolution), ("guided", captum.GuidedBackprop)],
)
@pytest.mark.filterwarnings("ignore:Setting backward hooks", "ignore:Input Tensor")
def test_it_is_captums(features, rule, method):
    network, x = features().float(), pictures().float()
    channel = live_channel(network, x)
    for module in network.modules():  # Captum's hooks and in-place ReLUs don't go together
        if isinstance(module, nn.ReLU):
            module.inplace = False
    ours = deconvnet(network, network[-1], x, channel, rule)
    model = Activation(network, channel)
    peaks, places = model(x).detach().max(dim=1)
    theirs = method(model).attribute(x.clone().requires_grad_(), target=places)
    assert ours.abs().max() > 1e-3
    assert torch.allclose(ours, theirs * peaks[:, None, None, None], atol=1e-5)


@NETWORKS
def test_a_batch_is_its_pictures_one_by_one(features):
    network, x = features(), pictures()
    together = deconvnet(network, network[-1], x, 0)
    alone = torch.cat([deconvnet(network, network[-1], part, 0) for part in x.split(1)])
    assert torch.allclose(together, alone)


def test_the_steps_lead_from_the_kept_activation_to_the_pixels():
    network, x = plain_features(), pictures()
    steps = deconvnet_steps(network, network.relu4, x, 3)
    assert [name for name, _ in steps] == [
        "relu4 output", "relu4", "conv4", "relu3", "conv3", "pool2", "relu2", "conv2", "pool1",
        "relu1", "conv1",
    ]  # fmt: skip
    maps, way = ascend(network, network.relu4, x)
    assert torch.equal(steps[0][1], keep_strongest(maps, 3))
    assert all(torch.equal(s, step.values * 0 + s) for (_, s), step in zip(steps[:0:-1], way))
    assert torch.equal(steps[-1][1], deconvnet(network, network.relu4, x, 3))
    for name, signal in steps:
        assert not name.startswith("relu") or signal.min() >= 0


def test_the_way_back_is_positively_homogeneous():
    network, x = plain_features(), pictures()
    maps, steps = ascend(network, network.relu6, x)
    (*_, (_, once)) = descend(steps, maps)
    (*_, (_, thrice)) = descend(steps, 3 * maps)
    assert torch.allclose(thrice, 3 * once)


def test_a_planted_answer_is_found():
    """A filter that looks for one bright pixel: the projection shows it there, nothing else."""
    network = nn.Sequential(nn.Conv2d(3, 1, 1, bias=False), nn.ReLU(), nn.MaxPool2d(4))
    nn.init.ones_(network[0].weight)
    x = torch.full((1, 3, 16, 24), 0.1)
    x[0, :, 5, 18] = 1
    projection = deconvnet(network, network[2], x, 0)
    assert torch.allclose(projection[0, :, 5, 18], torch.full((3,), 3.0))
    assert (projection != 0).sum() == 3


def test_the_network_and_x_are_left_as_they_were():
    network, x = odd_features().train(), pictures().requires_grad_()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    copy = x.detach().clone()
    deconvnet(network, network[-1], x, 0)
    assert network.training and torch.equal(x.detach(), copy) and x.grad is None
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_first_layer_on_the_way_back_that_cannot_be_reversed_is_named():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Sigmoid(), nn.Sequential(nn.Conv2d(4, 4, 3), nn.GELU()),
        nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
    )  # fmt: skip
    x = pictures().float()
    with pytest.raises(ValueError, match=r"'2\.1' \(GELU\)"):
        deconvnet(network, network[4], x, 0)
    with pytest.raises(ValueError, match=r"'5' \(AdaptiveAvgPool2d\)"):
        deconvnet(network, network[5], x, 0)
    with pytest.raises(ValueError, match=r"'1' \(Sigmoid\)"):
        deconvnet(network, network[2][0], x, 0)
    assert deconvnet(network, network[0], x, 0).shape == x.shape
    mirrored = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ValueError, match="'0' .*'reflect'"):
        deconvnet(mirrored, mirrored[0], x, 0)


def test_other_wrong_input_is_named():
    model, x = PlainNet(3, size=32), torch.randn(1, 3, 32, 32)
    with pytest.raises(ValueError, match="PlainNet: pass the part"):
        deconvnet(model, model.features.relu6, x, 0)
    with pytest.raises(ValueError, match="Linear is not among"):
        deconvnet(model.features, model.head, x, 0)
    with pytest.raises(ValueError, match="channels 0 to 95"):
        deconvnet(model.features, model.features.relu6, x, 96)
    with pytest.raises(ValueError, match="no rule 'relu'"):
        deconvnet(model.features, model.features.relu6, x, 0, rule="relu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_it_works_on_a_gpu():
    network, x = plain_features(), pictures()
    expected = deconvnet(network, network[-1], x, 1)
    there = deconvnet(network.cuda(), network[-1], x.cuda(), 1)
    assert torch.allclose(there.cpu(), expected, atol=1e-9)
