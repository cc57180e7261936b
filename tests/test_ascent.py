"""Gradient ascent: cases that can be solved by hand, planted units, and what it leaves behind."""

import pytest
import torch
from captum.attr import NeuronGradient, Saliency
from torch import nn

from course_utils._filters import gaussian_blur
from course_utils.ascent import ascend, target_scores, total_variation
from course_utils.classifiers import PlainNet

GREY, ONE = (0.5, 0.5, 0.5), (1.0, 1.0, 1.0)


def to_x(pictures, mean=GREY, std=ONE):
    return (pictures - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


def linear(classes=2, size=6, seed=0):
    """A linear model with small weights: the score of class c is weight[c] . x."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes, bias=False))
    nn.init.normal_(model[1].weight, std=0.1)
    return model


def maximizers(model, size=6):
    return model[1].weight.detach().reshape(-1, 3, size, size)


@pytest.fixture
def network():
    """Random weights, large enough that scores change by whole numbers."""
    torch.manual_seed(0)
    model = PlainNet(3, channels=(4, 4, 6, 6, 8, 8), size=32)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return model.requires_grad_(False)


# ---------------------------------------------------------------------------- solved by hand


@pytest.mark.parametrize("start", ["zeros", "noise", "fourier"])
def test_a_linear_score_with_l2_ends_at_w_over_two_lambda(start):
    model, l2 = linear(), 0.5
    pictures = ascend(model, [0, 1], 6, GREY, ONE, l2=l2, steps=400, step=0.02, start=start)
    expected = maximizers(model) / (2 * l2)
    assert expected.abs().max() < 0.5  # no pixel is clipped
    assert torch.allclose(to_x(pictures), expected, atol=2e-3)


def test_without_a_penalty_a_linear_score_ends_in_the_corner_of_its_signs():
    model = linear(size=4)
    model[1].weight.data = model[1].weight.sign() * (1 + model[1].weight.abs())
    pictures = ascend(model, [0], 4, GREY, ONE, steps=300, step=0.1)
    assert torch.equal(pictures, (maximizers(model, 4)[:1] > 0).float())


def test_the_first_step_is_the_gradient_scaled_to_the_step_size():
    model = linear()
    (first,) = ascend(model, [1], 6, GREY, ONE, steps=10, step=0.03, start="zeros", keep=[1])[1]
    weight = maximizers(model)[1]
    expected = 0.03 * weight / weight.square().mean().sqrt()
    assert torch.allclose(to_x(first)[0], expected, atol=1e-6)


def test_decorrelated_steps_follow_the_gradient_times_the_covariance():
    """In one grey Fourier component the filter is a number: the direction must stay the same."""
    size = 8
    wave = torch.cos(2 * torch.pi * 2 * torch.arange(size) / size).expand(3, size, size)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 1, bias=False))
    model[1].weight.data = wave.reshape(1, -1).clone()
    options = {"steps": 4, "step": 0.02, "start": "zeros", "keep": [1]}
    (plain,) = ascend(model, [0], size, GREY, ONE, **options)[1]
    (other,) = ascend(model, [0], size, GREY, ONE, decorrelated=True, **options)[1]
    plain, other = to_x(plain).flatten(), to_x(other).flatten()
    assert torch.cosine_similarity(plain, other, dim=0) > 0.99  # colours differ by a few per cent


def test_decorrelated_steps_prefer_coarse_to_fine_by_the_square_of_the_frequency():
    size, place = 16, 2 * torch.pi * torch.arange(16) / 16
    coarse, fine = (torch.cos(k * place).expand(3, size, size) for k in (1, 4))
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 1, bias=False))
    model[1].weight.data = (coarse + fine).reshape(1, -1).clone()
    options = {"steps": 4, "step": 0.02, "start": "zeros", "keep": [1], "decorrelated": True}
    x = to_x(ascend(model, [0], size, GREY, ONE, **options)[1][0])[0]
    assert torch.allclose((x * coarse).sum() / (x * fine).sum(), torch.tensor(16.0), rtol=1e-3)


def test_total_variation_counts_the_steps_between_neighbours():
    x = torch.zeros(2, 1, 4, 5)
    x[0, 0, 1, 2] = 3.0  # four neighbours
    x[1, 0, :, 2:] = 1.0  # an edge, four pixels high
    assert total_variation(x).tolist() == [12.0, 4.0]
    assert torch.equal(total_variation(x + 7), total_variation(x))


def test_blur_keeps_constants_and_sums_and_spreads_as_a_gaussian():
    assert torch.allclose(gaussian_blur(torch.full((1, 3, 9, 7), 0.3), 1.5), torch.tensor(0.3))
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    spread = gaussian_blur(point, 1.5)[0, 0]
    assert torch.isclose(spread.sum(), torch.tensor(1.0), atol=1e-5)
    distance = (torch.arange(21) - 10.0).square()
    assert torch.isclose((spread.sum(1) * distance).sum(), torch.tensor(1.5**2), rtol=0.02)
    assert torch.allclose(spread, spread.T, atol=1e-7)


# ---------------------------------------------------------------------------- planted units


def planted(weight):
    """A convolution whose channel 1 is the given 3x3 filter; the other channel is silent."""
    conv = nn.Conv2d(3, 2, 3, padding=1, bias=False)
    conv.weight.data = torch.stack([torch.zeros_like(weight), weight])
    return nn.Sequential(conv, nn.ReLU())


def test_the_best_picture_of_a_unit_is_its_filter_at_its_place_and_grey_elsewhere():
    weight = torch.randn(3, 3, 3, generator=torch.Generator().manual_seed(2)) / 10
    model = planted(weight)
    options = {"layer": model[0], "l2": 0.5, "steps": 300, "step": 0.02, "start": "zeros"}
    x = to_x(ascend(model, [(1, 4, 6)], (9, 11), GREY, ONE, **options))[0]
    expected = torch.zeros(3, 9, 11)
    expected[:, 3:6, 5:8] = weight  # w / (2 l2) with l2 = 1/2
    assert torch.allclose(x, expected, atol=3e-3)


def test_a_planted_detector_of_horizontal_stripes_gets_horizontal_stripes():
    weight = torch.tensor([1.0, -2.0, 1.0])[None, :, None].expand(3, 3, 3).contiguous()
    model = planted(weight)
    picture = ascend(model, [1], (12, 15), GREY, ONE, layer=model[1], steps=100)[0]
    across, along = picture.diff(dim=1).abs().mean(), picture.diff(dim=2).abs().mean()
    assert across > 5 * along


@pytest.mark.parametrize("options", [{}, {"decorrelated": True}, {"jitter": 1}, {"blur": 0.4}])
def test_a_planted_class_that_looks_at_a_corner_changes_the_corner(options):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 20, 2, bias=False))
    seen = torch.zeros(3, 16, 20)
    seen[:, :4, 12:] = 1.0
    model[1].weight.data = torch.stack([-seen, seen]).flatten(1)
    picture = ascend(model, [1], (16, 20), GREY, ONE, start="zeros", steps=12, step=0.05, **options)
    change = (picture[0] - 0.5).mean(0)
    assert change[:4, 12:].mean() > 0.1
    assert change[:4, 12:].mean() > 3 * change[8:, :6].abs().mean()


# ---------------------------------------------------------------------------- real networks


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"l2": 1e-3},
        {"tv": 1e-4},
        {"blur": 0.5},
        {"jitter": 3},
        {"decorrelated": True, "start": "fourier"},
    ],
)
def test_the_score_rises(network, options):
    pictures, (first, half, last) = ascend(
        network, [0, 1, 2], 32, GREY, ONE, steps=40, keep=[0, 20, 40], **options
    )
    scores = [target_scores(network, to_x(p), [0, 1, 2]) for p in (first, half, last)]
    assert (scores[0] + 0.2 < scores[1]).all() and (scores[0] + 0.2 < scores[2]).all()
    assert torch.equal(pictures, last)
    assert pictures.shape == (3, 3, 32, 32)
    assert pictures.min() >= 0 and pictures.max() <= 1


def test_the_objective_rises_to_rest(network):
    kept = [0, 10, 20, 40, 80]
    _, frames = ascend(network, [1], 32, GREY, ONE, l2=0.01, steps=80, step=0.05, keep=kept)
    x = [to_x(frame) for frame in frames]
    values = [float(target_scores(network, f, [1]) - 0.01 * f.square().sum()) for f in x]
    assert values == sorted(values)
    assert values[-1] - values[-2] < values[1] - values[0]


def test_penalties_do_what_they_promise(network):
    def result(**options):
        return to_x(ascend(network, [2], 32, GREY, ONE, steps=30, **options))

    plain = result()
    assert result(l2=0.01).square().sum() < plain.square().sum()
    assert total_variation(result(tv=0.003)) < total_variation(plain)
    assert total_variation(result(blur=1.0)) < total_variation(plain)


def test_scores_agree_with_plain_reading(network):
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    maps = network.features[:11](x)  # up to the third max-pool
    layer = network.features.pool3
    with torch.no_grad():
        assert torch.allclose(target_scores(network, x, [2, 0]), network(x)[[0, 1], [2, 0]])
        got = target_scores(network, x, [4, (3, 1, 2)], layer)
        assert torch.allclose(got, torch.stack([maps[0, 4].mean(), maps[1, 3, 1, 2]]))
        got = target_scores(network, x, [None, None], layer)
        assert torch.allclose(got, maps.square().mean((1, 2, 3)))


def test_the_first_direction_is_captums_gradient(network):
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.1
    layer, unit = network.features.conv5, (3, 1, 2)
    cases = [
        ({}, 1, Saliency(network).attribute(x, target=1, abs=False)),
        ({"layer": layer}, unit, NeuronGradient(network, layer).attribute(x, neuron_selector=unit)),
    ]
    for options, target, gradient in cases:
        _, (after,) = ascend(
            network, [target], 32, GREY, ONE, start=x, step=0.01, keep=[1], **options
        )
        expected = x + 0.01 * gradient / gradient.square().mean().sqrt()
        assert torch.allclose(to_x(after), expected, atol=1e-6)


def test_sgd_that_maximizes_takes_the_same_way(network):
    network = network.double()  # rounding grows from step to step
    steps, step, l2 = 12, 0.05, 0.01
    start = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)).double() * 0.1
    pictures = ascend(network, [1], 32, GREY, ONE, steps=steps, step=step, l2=l2, start=start)
    x = start.clone().requires_grad_()
    optimizer = torch.optim.SGD([x], lr=step, maximize=True)
    slower = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda number: 1 - number / steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (network(x)[0, 1] - l2 * x.square().sum()).backward()
        x.grad /= x.grad.square().mean().sqrt()
        optimizer.step()
        slower.step()
        with torch.no_grad():
            x.clamp_(-0.5, 0.5)
    assert torch.allclose(to_x(pictures), x.detach(), atol=1e-4)


# ---------------------------------------------------------------------------- repeatable, tidy


OPTIONS = {"jitter": 2, "blur": 0.5, "tv": 1e-4, "decorrelated": True, "start": "fourier"}


def test_the_same_seed_gives_the_same_picture(network):
    def result(seed):
        return ascend(network, [1], 32, GREY, ONE, steps=9, seed=seed, **OPTIONS)

    state = torch.get_rng_state()
    first = result(3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    assert torch.equal(first, result(3))
    assert not torch.equal(first, result(4))


def test_a_picture_does_not_depend_on_the_others_in_the_batch(network):
    network = network.double()  # rounding grows from step to step
    together = ascend(network, [0, 2], 32, GREY, ONE, steps=9, **OPTIONS)
    alone = ascend(network, [2], 32, GREY, ONE, steps=9, **OPTIONS)
    assert torch.allclose(together[1:], alone, atol=1e-6)


def test_keeping_frames_changes_nothing(network):
    pictures = ascend(network, [1], (32, 32), GREY, ONE, steps=6)
    again, frames = ascend(network, [1], 32, GREY, ONE, steps=6, keep=[6, 0, 3])
    assert torch.equal(pictures, again) and torch.equal(frames[0], again)
    assert frames.shape == (3, 1, 3, 32, 32)
    assert not torch.equal(frames[1], frames[2])


def test_an_own_start_is_used_and_left_alone(network):
    x = torch.rand(3, 32, 32) - 0.5
    before = x.clone()
    _, (start,) = ascend(network, [0, 1], 32, GREY, ONE, start=x, steps=2, keep=[0])
    assert torch.allclose(to_x(start), x.expand(2, 3, 32, 32), atol=1e-6)
    assert torch.equal(x, before)


class Broken(nn.Module):
    """Raises while the hook is on."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x):
        self.conv(x)
        raise ArithmeticError("broken")


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(),
        nn.Flatten(),
        nn.LazyLinear(2),
    )
    model(torch.rand(2, 3, 8, 8))
    model.train(training)
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ascend(model, [0, 1], 8, GREY, ONE, steps=3, jitter=1)
    ascend(model, [0, None], 8, GREY, ONE, steps=3, layer=model[0])
    assert [module.training for module in model] == [training, False] + [training] * 4
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_the_model_is_left_as_it_was_after_an_error():
    model = Broken().train()
    with pytest.raises(ValueError, match="ArithmeticError: broken"):
        ascend(model, [0], 8, GREY, ONE, layer=model.conv)
    assert model.training and model.conv.training
    assert not model.conv._forward_hooks


def test_works_inside_no_grad(network):
    with torch.no_grad():
        inside = ascend(network, [1], 32, GREY, ONE, steps=3)
    assert torch.equal(inside, ascend(network, [1], 32, GREY, ONE, steps=3))
    assert not inside.requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_picture(network):
    expected = ascend(network, [1, 2], 32, GREY, ONE, steps=5, **OPTIONS)
    got = ascend(network.cuda(), [1, 2], 32, GREY, ONE, steps=5, **OPTIONS)
    assert got.is_cuda
    assert torch.allclose(got.cpu(), expected, atol=1e-2)


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("targets", "layer", "message"),
    [
        (1, None, r"list of targets, such as \[3\]"),
        ("12", None, "doesn't know that '12' is one of its classes"),
        ([], None, "no targets"),
        ([3], None, "classes are 0 to 2; there is no class 3"),
        ([-1], None, "classes are 0 to 2"),
        ([1.0], None, r"whole number.*got 1\.0"),
        ([True], None, "whole number"),
        ([(1, 2)], "conv5", r"\(channel, row, column\)"),
        ([None], None, "Without a layer a target is a class index"),
        ([(0, 0, 0)], None, "Without a layer a target is a class index"),
        ([8], "conv5", r"\(8, 4, 4\).*no target 8"),
        ([(0, 4, 0)], "conv5", r"no target \(0, 4, 0\)"),
        ([(0, 0, 0)], "head", r"\(3,\).*no target"),
    ],
)
def test_targets_that_do_not_exist_are_refused(network, targets, layer, message):
    layer = network.named_layers()[layer] if layer else None
    with pytest.raises(ValueError, match=message) as error:
        ascend(network, targets, 32, GREY, ONE, layer=layer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "ones"}, "no start 'ones'; there are: noise, zeros, fourier"),
        ({"start": torch.zeros(3, 8, 8)}, r"\(1, 3, 32, 32\).*\(3, 8, 8\)"),
        ({"steps": 0}, "steps=0"),
        ({"step": 0.0}, "step=0.0"),
        ({"l2": -1.0}, "l2=-1.0: it can't be negative"),
        ({"blur": -1.0}, "blur"),
        ({"keep": [5, 129]}, "keep=129: steps are numbered from 0"),
        ({"layer": nn.ReLU()}, "did not run"),
    ],
)
def test_bad_options_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        ascend(network, [0], 32, GREY, ONE, **options)


def test_dead_units_are_named():
    model = planted(torch.ones(3, 3, 3))
    with pytest.raises(ValueError, match=r"score of 0: a ReLU is silent"):
        ascend(model, [1, 0], 8, GREY, ONE, layer=model[1])


def test_nan_is_named(network):
    with torch.no_grad():
        network.head.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        ascend(network, [0], 32, GREY, ONE)


def test_as_many_targets_as_pictures(network):
    with pytest.raises(ValueError, match="2 pictures but 1 targets"):
        target_scores(network, torch.zeros(2, 3, 32, 32), [0])
