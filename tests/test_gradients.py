"""Gradient maps against Captum and SHAP, what can be worked out by hand, and planted answers."""

import warnings

import captum.attr as captum
import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils import gradients
from course_utils.classifiers import PlainNet
from course_utils.gradients import (
    deconvnet,
    expected_gradients,
    guided_backprop,
    integrated_gradients,
    quadrature,
    saliency,
    score_change,
    smoothgrad,
    to_map,
)

TARGETS = torch.tensor([4, 0, 2])


@pytest.fixture
def x():
    torch.manual_seed(1)
    return torch.randn(3, 3, 32, 32, dtype=torch.float64)


@pytest.fixture
def baseline():
    torch.manual_seed(2)
    return torch.randn(3, 3, 32, 32, dtype=torch.float64)


@pytest.fixture(params=["flatten", "gap"])
def model(request):
    return small_net(request.param)


def small_net(head="flatten"):
    torch.manual_seed(0)
    model = PlainNet(5, channels=(4, 6, 8, 8, 10, 12), size=32, head=head).eval().double()
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)
    return model


def with_batch_norm_and_dropout():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 13 * 13, 5),
    ).double()  # fmt: skip


def linear_net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5)).double().eval()


def without_biases():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, bias=False),
        nn.ReLU(), nn.Flatten(), nn.Linear(8 * 13 * 13, 5, bias=False),
    ).double().eval()  # fmt: skip


class Corner(nn.Module):
    """Provably looks at one rectangle only: its score is a function of those pixels' sum."""

    def __init__(self, rows, columns):
        super().__init__()
        self.window = (..., rows, columns)

    def forward(self, x):
        inside = x[self.window].flatten(1)
        return torch.stack([inside.square().sum(1), inside.relu().sum(1)], 1)


def methods(x):
    """All techniques as functions of (model, x, target), cheaply set."""
    zeros = torch.zeros_like(x)
    return {
        "saliency": saliency,
        "smoothgrad": lambda *a, **k: smoothgrad(*a, samples=3, **k),
        "smoothgrad, absolute": lambda *a, **k: smoothgrad(*a, samples=3, average="absolute", **k),
        "guided_backprop": guided_backprop,
        "deconvnet": deconvnet,
        "integrated_gradients": lambda *a, **k: integrated_gradients(*a, zeros[:1], steps=3, **k),
        "expected_gradients": lambda *a, **k: expected_gradients(*a, zeros, samples=3, **k),
    }


NAMES = list(methods(torch.zeros(1, 3, 4, 4)))


def close(ours, theirs, tolerance=1e-9):
    return torch.allclose(ours, theirs.detach(), rtol=0, atol=tolerance * float(theirs.abs().max()))


# ---------------------------------------------------------------------------- saliency


def test_saliency_is_captums_without_the_absolute_value(model, x):
    theirs = captum.Saliency(model).attribute(x, TARGETS, abs=False)
    assert close(saliency(model, x, TARGETS), theirs)


def test_saliency_is_captums_in_single_precision_and_channels_last(model, x):
    """Without biases and with smooth inputs no score lies near a kink, so rounding is all."""
    model, x = model.float(), x.float()
    theirs = captum.Saliency(model).attribute(x, TARGETS, abs=False)
    assert close(saliency(model, x, TARGETS), theirs, 1e-4)


def test_saliency_of_a_linear_model_is_its_weights(x):
    model = linear_net()
    expected = model[1].weight[TARGETS].reshape(x.shape)
    assert close(saliency(model, x, TARGETS), expected)


def test_gradient_times_input_adds_up_to_the_score_without_biases(x):
    model = without_biases()
    total = (saliency(model, x, TARGETS) * x).sum((1, 2, 3))
    assert close(total, model(x).gather(1, TARGETS[:, None])[:, 0])


def test_saliency_of_a_layer_is_captums(model, x):
    for layer in (model.features.relu1, model.features.conv4, model.features.relu6):
        theirs = captum.LayerGradientXActivation(model, layer, multiply_by_inputs=False)
        expected = theirs.attribute(x, target=TARGETS)
        assert close(saliency(model, x, TARGETS, layer=layer), expected)


def test_an_in_place_relu_behind_the_layer_changes_nothing(x):
    model, plain = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace), nn.Flatten(), nn.Linear(3600, 5))
        for inplace in (True, False)
    )
    plain.load_state_dict(model.state_dict())
    model, plain = model.double().eval(), plain.double().eval()
    for layer in (0, 1):
        ours = saliency(model, x, 1, layer=model[layer])
        assert close(ours, saliency(plain, x, 1, layer=plain[layer]))


# ---------------------------------------------------------------------------- SmoothGrad


def test_smoothgrad_without_noise_is_saliency(model, x):
    expected = saliency(model, x, TARGETS)
    assert close(smoothgrad(model, x, TARGETS, samples=5, noise=0.0), expected)
    absolute = smoothgrad(model, x, TARGETS, samples=5, noise=0.0, average="absolute")
    assert close(absolute, expected.abs())
    squared = smoothgrad(model, x, TARGETS, samples=5, noise=0.0, average="squared")
    assert close(squared, expected.square())


@pytest.mark.parametrize("average", gradients.AVERAGES)
def test_smoothgrad_is_the_mean_over_the_very_same_noise(model, x, average, monkeypatch):
    """Against gradients by hand; the first convolution's shortcut must not show."""
    noises = torch.randn(7, *x.shape[1:], dtype=torch.float64)
    left = list(noises.repeat(3, 1, 1, 1))
    monkeypatch.setattr(
        gradients, "_noises", lambda n, *_: torch.stack([left.pop(0) for _ in range(n)])
    )
    ours = smoothgrad(model, x, TARGETS, 7, noise=0.1, average=average, batch=3)
    ranges = x.amax((1, 2, 3)) - x.amin((1, 2, 3))
    for picture, target, spread, got in zip(x, TARGETS, ranges, ours):
        points = (picture + 0.1 * spread * noises).requires_grad_()
        (each,) = torch.autograd.grad(model(points)[:, target].sum(), points)
        assert close(got, gradients.AVERAGES[average](each).mean(0))


@pytest.mark.parametrize("absolute", [False, True])
def test_smoothgrad_comes_near_captums_noise_tunnel(x, absolute):
    """Captum's noise is another, in absolute units; both approach the same mean."""
    model, x = small_net(), x[:1]
    ours = smoothgrad(
        model, x, 1, samples=600, noise=0.05, average="absolute" if absolute else "signed"
    )
    torch.manual_seed(3)
    theirs = captum.NoiseTunnel(captum.Saliency(model)).attribute(
        x, nt_samples=600, nt_samples_batch_size=50, stdevs=0.05 * float(x.max() - x.min()),
        target=1, abs=absolute,
    )  # fmt: skip
    difference = (ours - theirs).norm() / theirs.norm()
    assert difference < (0.1 if absolute else 0.35)
    if not absolute:  # the mean of 600 is nearer to that of other 600 than to one gradient
        assert difference < 0.5 * (saliency(model, x, 1) - theirs).norm() / theirs.norm()


def test_the_seed_decides_about_the_noise(x):
    model = small_net()
    first, again, other = (smoothgrad(model, x, 1, 4, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.allclose(first, other)


def test_global_random_numbers_are_left_alone(x):
    model = small_net()
    torch.manual_seed(11)
    expected = torch.rand(4)
    torch.manual_seed(11)
    smoothgrad(model, x, 1, 2)
    expected_gradients(model, x, 1, x, 2)
    assert torch.equal(torch.rand(4), expected)


class Residual(nn.Module):
    """The first convolution gets the very x that a second path uses as well."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 5, padding=2), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        maps = self.first(x).relu() * self.second(x) + self.first(x).sigmoid()
        return torch.stack([maps.sum((1, 2, 3)), (maps.mean(1) * x[:, 0]).sum((1, 2))], 1)


@pytest.mark.parametrize(
    "make",
    [
        Residual,
        lambda: nn.Sequential(nn.Conv2d(3, 2, 3, padding="same"), nn.Tanh(), nn.Flatten(1)),
        lambda: nn.Sequential(
            nn.Conv2d(3, 2, 3, padding=1, padding_mode="reflect"), nn.Tanh(), nn.Flatten()
        ),
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, padding=2, dilation=2, groups=3, bias=False), nn.Tanh(),
            nn.Flatten(),
        ),
        lambda: nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten()),
    ],
)  # fmt: skip
def test_the_shortcut_through_the_first_convolution_is_exact(make, x, baseline):
    torch.manual_seed(4)
    model = make().double().eval()
    ours = integrated_gradients(model, x, 1, baseline, steps=9, rule="midpoint", batch=4)
    theirs = captum.IntegratedGradients(model).attribute(
        x, baseline, target=1, n_steps=9, method="riemann_middle"
    )
    assert close(ours, theirs, 1e-6)


# ---------------------------------------------------------------------------- rules for ReLUs


@pytest.mark.parametrize(
    "ours, theirs", [(guided_backprop, captum.GuidedBackprop), (deconvnet, captum.Deconvolution)]
)
def test_relu_rules_are_captums(model, x, ours, theirs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum announces its hooks
        expected = theirs(model).attribute(x, TARGETS)
    assert close(ours(model, x, TARGETS), expected)
    assert not close(ours(model, x, TARGETS), saliency(model, x, TARGETS), 1e-2)


class Written(nn.Module):
    """Two convolutions and two ReLUs, which are called in a given way."""

    def __init__(self, relu):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(4 * 28 * 28, 5)
        self.relu = relu

    def forward(self, x):
        return self.head(self.relu(self.second(self.relu(self.first(x)))).flatten(1))


def unused_result(values):
    functional.relu_(values)
    return values


@pytest.mark.parametrize(
    "relu",
    [
        nn.ReLU(inplace=True), torch.relu, functional.relu, torch.Tensor.relu, torch.relu_,
        lambda values: functional.relu(values, inplace=True),
        lambda values: functional.relu(input=values, inplace=True), unused_result,
        torch.Tensor.relu_,
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", [guided_backprop, deconvnet, saliency])
def test_it_does_not_matter_how_a_relu_is_called(method, relu, x):
    expected = method(Written(nn.ReLU()).double().eval(), x, 1)
    assert torch.equal(method(Written(relu).double().eval(), x, 1), expected)


def test_rules_on_one_relu_by_hand():
    """Score = w . relu(x): the gradient at the ReLU is w, so each rule can be read off."""
    values = torch.tensor([-1.0, 2.0, -3.0, 4.0]).reshape(1, 1, 2, 2)
    model = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(4, 1)).eval()
    model[2].weight.data = torch.tensor([[5.0, 6.0, -7.0, -8.0]])
    assert saliency(model, values, 0).flatten().tolist() == [0, 6, 0, -8]
    assert guided_backprop(model, values, 0).flatten().tolist() == [0, 6, 0, 0]
    assert deconvnet(model, values, 0).flatten().tolist() == [5, 6, 0, 0]


def test_without_a_relu_there_is_no_rule(x):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU(), nn.Flatten()).double().eval()
    for method in (guided_backprop, deconvnet):
        with pytest.raises(ValueError, match="No ReLU ran"):
            method(model, x, 1)


# ---------------------------------------------------------------------------- integrated gradients

CAPTUMS = {
    "gauss_legendre": "gausslegendre",
    "midpoint": "riemann_middle",
    "left": "riemann_left",
    "right": "riemann_right",
}


@pytest.mark.parametrize("rule", CAPTUMS)
def test_integrated_gradients_are_captums(model, x, baseline, rule):
    theirs = captum.IntegratedGradients(model).attribute(
        x, baseline, target=TARGETS, n_steps=11, method=CAPTUMS[rule]
    )
    assert close(integrated_gradients(model, x, TARGETS, baseline, 11, rule, batch=4), theirs, 1e-6)


def test_the_trapezoid_rule_is_captums_with_weights_that_add_up_to_one(model, x, baseline):
    """Captum divides by the number of points instead of the number of intervals between them."""
    theirs = captum.IntegratedGradients(model).attribute(
        x, baseline, target=TARGETS, n_steps=11, method="riemann_trapezoid"
    )
    ours = integrated_gradients(model, x, TARGETS, baseline, 11, "trapezoid")
    assert close(ours, theirs * 11 / 10, 1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("rule", [*CAPTUMS, "trapezoid"])
def test_for_a_linear_model_any_number_of_steps_is_exact(x, baseline, rule, steps):
    if (rule, steps) == ("trapezoid", 1):
        pytest.skip("a trapezoid has two ends")
    model = linear_net()
    expected = model[1].weight[TARGETS].reshape(x.shape) * (x - baseline)
    assert close(integrated_gradients(model, x, TARGETS, baseline, steps, rule), expected)


def test_quadrature_integrates_what_it_must():
    for rule in gradients.RULES:
        points, weights = quadrature(rule, 40)
        assert points.shape == weights.shape == (40,)
        assert 0 <= points.min() and points.max() <= 1
        assert weights.sum().item() == pytest.approx(1)
        assert (weights * points.exp()).sum().item() == pytest.approx(torch.e - 1, rel=0.03)
    points, weights = quadrature("gauss_legendre", 4)
    for power in range(8):  # exact up to degree 2 n - 1
        assert (weights * points**power).sum().item() == pytest.approx(1 / (power + 1))
    with pytest.raises(ValueError, match="no rule 'simpson'"):
        quadrature("simpson", 4)
    with pytest.raises(ValueError, match="at least 2"):
        quadrature("trapezoid", 1)


def test_completeness_comes_with_the_steps(model, x, baseline):
    change = score_change(model, x, TARGETS, baseline)
    scores = model(x) - model(baseline)
    assert close(change, scores.gather(1, TARGETS[:, None])[:, 0])
    gaps = [
        (integrated_gradients(model, x, TARGETS, baseline, n).sum((1, 2, 3)) - change).abs().max()
        for n in (4, 64, 1024)
    ]
    assert gaps[2] < 0.01 * change.abs().max() and gaps[2] < gaps[1] < gaps[0]


class Standardizing(nn.Module):
    """Brings each picture to mean 0 and deviation 1, so that from black on its scores jump."""

    def __init__(self):
        super().__init__()
        self.net = small_net()

    def forward(self, x):
        centred = x - x.mean((1, 2, 3), keepdim=True)
        return self.net(centred / (x.std((1, 2, 3), keepdim=True) + 1e-6))


def test_attributions_that_do_not_add_up_are_told(x, recwarn):
    model = Standardizing().eval()
    with pytest.warns(UserWarning, match="add up to .* the baseline's differ by .* Take more"):
        integrated_gradients(model, x, TARGETS, torch.zeros_like(x))
    recwarn.clear()
    coarse = integrated_gradients(model, x, TARGETS, torch.zeros_like(x), steps=31)
    assert coarse.any() and not recwarn.list


def test_attributions_that_add_up_are_not_warned_of(model, x, baseline, recwarn):
    for start in (baseline, torch.zeros_like(x), x, x + 1e-6):
        integrated_gradients(model, x, TARGETS, start, steps=256)
    assert not recwarn.list


def test_one_baseline_serves_all_pictures(model, x, baseline):
    together = integrated_gradients(model, x, TARGETS, baseline[:1], steps=5)
    assert close(together, integrated_gradients(model, x, TARGETS, baseline[[0, 0, 0]], steps=5))


def test_integrated_gradients_of_a_layer_are_captums(model, x, baseline):
    for layer in (model.features.relu1, model.features.pool2, model.features.relu6):
        theirs = captum.LayerIntegratedGradients(model, layer).attribute(
            x, baseline, target=TARGETS, n_steps=9
        )
        ours = integrated_gradients(model, x, TARGETS, baseline, 9, layer=layer, batch=4)
        assert close(ours, theirs, 1e-6)


def test_at_the_input_of_the_whole_network_layer_and_picture_agree(x, baseline):
    model = nn.Sequential(nn.Identity(), small_net()).eval()
    ours = integrated_gradients(model, x, 1, baseline, 6, layer=model[0])
    assert close(ours, integrated_gradients(model, x, 1, baseline, 6))


# ---------------------------------------------------------------------------- expected gradients


def test_expected_gradients_of_a_linear_model_are_exact(x, baseline):
    """As often as each background picture is used equally often, whatever the places."""
    model = linear_net()
    expected = model[1].weight[TARGETS].reshape(x.shape) * (x - baseline.mean(0))
    assert close(expected_gradients(model, x, TARGETS, baseline, samples=6), expected)


def test_expected_gradients_are_the_mean_of_integrated_gradients(model, x, baseline):
    """At the input and at a layer: the expectation, worked out with a fine quadrature."""
    x = x[:1]
    for layer in (None, model.features.relu3):
        each = [
            integrated_gradients(model, x, 4, start[None], 200, layer=layer) for start in baseline
        ]
        expected = torch.stack(each).mean(0)
        ours = expected_gradients(model, x, 4, baseline, 1500, layer=layer, batch=64)
        assert (ours - expected).norm() < 0.06 * expected.norm()
        change = score_change(model, x.expand(3, -1, -1, -1), 4, baseline).mean()
        assert (ours.sum() - change).abs() < 0.01 * ours.abs().sum()


def test_expected_gradients_come_near_captums_gradient_shap(x, baseline):
    model, x = small_net(), x[:1]
    ours = expected_gradients(model, x, 4, baseline, 2000, batch=64)
    torch.manual_seed(3)
    theirs = captum.GradientShap(model).attribute(x, baseline, n_samples=2000, stdevs=0.0, target=4)
    assert (ours - theirs).norm() < 0.15 * theirs.norm()


def test_expected_gradients_come_near_shaps_gradient_explainer(x, baseline):
    """SHAP is no part of the course: install it beside it to run this test."""
    shap = pytest.importorskip("shap")
    model, x, baseline = small_net().float(), x[:1].float(), baseline.float()
    explainer = shap.GradientExplainer(model, baseline, local_smoothing=0)
    theirs = torch.from_numpy(explainer.shap_values(x, nsamples=2000, rseed=5)[..., 4])
    ours = expected_gradients(model, x, 4, baseline, 2000, batch=64)
    assert (ours - theirs).norm() < 0.15 * theirs.norm()
    wrong_class = expected_gradients(model, x, 1, baseline, 500, batch=64)
    assert (wrong_class - theirs).norm() > 0.5 * theirs.norm()


def test_each_background_picture_is_used_equally_often():
    which, places = gradients._stratified(count=7, samples=45, seed=3)
    counts = which.bincount(minlength=7)
    assert counts.min() == 6 and counts.max() == 7
    assert ((places * 45).floor().sort().values == torch.arange(45)).all()
    assert torch.corrcoef(torch.stack([which.double(), places.double()]))[0, 1].abs() < 0.5


# ---------------------------------------------------------------------------- planted answers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows, columns", [(slice(2, 9), slice(20, 31)), (slice(25, 30), slice(4))])
def test_the_map_lies_where_the_network_looks(name, rows, columns, x):
    """Only there, and everywhere there: which a transposed map would not pass."""
    attributions = methods(x.abs())[name](Corner(rows, columns).eval(), x.abs(), 1)
    inside = torch.zeros(32, 32, dtype=torch.bool)
    inside[rows, columns] = True
    for how in ("max", "sum", "l2"):
        heatmap = to_map(attributions, how)
        assert heatmap.shape == (3, 32, 32)
        assert torch.equal(heatmap != 0, inside.expand(3, -1, -1))


def test_non_square_pictures_keep_their_shape():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.randn(2, 3, 8, 13)
    for name, method in methods(x).items():
        assert method(model.eval(), x, 1).shape == x.shape, name


def test_to_map_by_hand():
    attributions = torch.tensor([3.0, -4.0, 0.0]).reshape(1, 3, 1, 1)
    assert [to_map(attributions, how).item() for how in ("max", "sum", "l2")] == [4, -1, 5]
    with pytest.raises(ValueError, match="mean"):
        to_map(attributions, "mean")
    with pytest.raises(ValueError, match="shape"):
        to_map(attributions[0])


# ---------------------------------------------------------------------------- batches and memory


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_size_does_not_matter(name, model, x):
    method = methods(x)[name]
    expected = method(model, x, TARGETS, batch=1)
    for batch in (2, 64):
        assert close(method(model, x, TARGETS, batch=batch), expected, 1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "expected_gradients"])
def test_each_picture_stands_for_itself(name, model, x):
    method = methods(x)[name]
    together = method(model, x, TARGETS)
    for index, target in enumerate(TARGETS.tolist()):
        alone = methods(x[[index]])[name](model, x[[index]], target)
        assert close(together[[index]], alone)


@pytest.mark.parametrize("name", NAMES)
def test_never_more_than_a_batch_at_a_time(name, x):
    sizes = []
    model = small_net()
    model.features.conv1.register_forward_hook(lambda _m, _i, output: sizes.append(len(output)))
    many = {"samples": 40} if "smooth" in name or "expected" in name else {}
    method = {
        "smoothgrad": smoothgrad,
        "expected_gradients": lambda *a, **k: expected_gradients(*a, x.expand(3, -1, -1, -1), **k),
        "integrated_gradients": lambda *a, **k: integrated_gradients(*a, x, steps=40, **k),
    }.get(name, methods(x)[name])
    if name == "smoothgrad, absolute":
        many = {}
    method(model, x, 1, batch=2, **many)
    assert max(sizes) == 2


@pytest.mark.parametrize("method", [smoothgrad, integrated_gradients, expected_gradients])
def test_progress_is_shown_only_on_request(method, x, capsys):
    extra = () if method is smoothgrad else (x,)
    method(small_net(), x, 1, *extra, **{_count(method): 3})
    assert capsys.readouterr().err == ""
    method(small_net(), x, 1, *extra, **{_count(method): 3}, progress=True)
    assert "9/9" in capsys.readouterr().err


def _count(method):
    return "steps" if method is integrated_gradients else "samples"


# ---------------------------------------------------------------------------- nothing is touched


def state(model):
    return [
        [
            (name, p.requires_grad, p.grad, p._version, id(p))
            for name, p in model.named_parameters()
        ],
        [(name, b._version, b.clone().tolist()) for name, b in model.named_buffers()],
        [module.training for module in model.modules()],
        [dict(module._forward_hooks) for module in model.modules()],
        [dict(module._forward_pre_hooks) for module in model.modules()],
        [dict(module._backward_hooks) for module in model.modules()],
        ["forward" in vars(module) for module in model.modules()],
    ]


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_left_as_it_was(name, x):
    model = with_batch_norm_and_dropout().eval()
    model[0].weight.requires_grad_(False)
    model[1].train()
    before, x_before = state(model), x.clone()
    x.requires_grad_()
    result = methods(x)[name](model, x, 1)
    assert state(model) == before
    assert x.grad is None and torch.equal(x, x_before) and not result.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_the_training_mode_is_left_as_it_was_with_a_warning(name, x):
    model = with_batch_norm_and_dropout().train()
    expected = methods(x)[name](with_batch_norm_and_dropout().eval(), x, 1)
    before = state(model)
    with pytest.warns(UserWarning, match="training mode"):
        result = methods(x)[name](model, x, 1)
    assert torch.equal(result, expected) and state(model) == before


class Breaks(nn.Module):
    """Fails in its second forward pass, or on the way back."""

    def __init__(self, backward):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten())
        self.backward, self.runs = backward, 0

    def forward(self, x):
        self.runs += 1
        scores = self.layers(x)
        if self.backward:
            scores.register_hook(self.fail)
        elif self.runs >= 2:
            self.fail()
        return scores

    def fail(self, *_):
        raise ArithmeticError("on purpose")


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_also_after_an_error(name, backward, x):
    model = Breaks(backward).double().train()
    before = state(model)
    with pytest.raises(ValueError, match="ArithmeticError: on purpose"):
        methods(x)[name](model, x, 1, batch=2)
    assert state(model) == before
    relu = torch.tensor([-1.0, 1.0], requires_grad=True)
    assert torch.autograd.grad(-relu.relu().sum(), relu)[0].tolist() == [0, -1]  # the usual rule


@pytest.mark.parametrize("method", [saliency, integrated_gradients, expected_gradients])
def test_hooks_of_a_layer_are_removed_after_an_error(method, x):
    model = Breaks(backward=False).double().eval()
    before, extra = state(model), () if method is saliency else (x,)
    with pytest.raises(ValueError, match="ArithmeticError: on purpose"):
        method(model, x, 1, *extra, layer=model.layers[0])
    assert state(model) == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(name, context, x):
    model = small_net()
    expected = methods(x)[name](model, x, 1)
    with context():
        assert torch.equal(methods(x)[name](model, x * 1, 1), expected)
        assert not torch.is_grad_enabled()


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", NAMES)
def test_bad_input_gets_one_clear_sentence(name, x):
    model, method = small_net(), methods(x)[name]
    wrong = {
        "whole number; got 1.5": (model, x, 1.5),
        "0 to 4": (model, x, 5),
        "The targets are 0 to 4": (model, x, -1),
        "one for each of the 3 pictures": (model, x, torch.tensor([1, 2])),
        r"pictures \(N, 3, H, W\), not \(3, 32, 32\)": (model, x[0], 1),
        "floats; got list": (model, [1], 1),
        "torch.int64": (model, x.long(), 1),
        "an nn.Module, not a function": (functional.relu, x, 1),
        r"scores \(N, classes\), not \(": (model.features, x, 1),
        "is NaN": (model, x * float("nan"), 1),
        "No gradient reaches the input": (Cut().eval(), x, 1),
    }
    for message, arguments in wrong.items():
        with pytest.raises(ValueError, match=message):
            method(*arguments)
    with pytest.raises(ValueError, match="batch=0"):
        method(model, x, 1, batch=0)


class Cut(nn.Module):
    """Its scores are whole numbers: nothing flows back."""

    def forward(self, x):
        return x.relu().detach().flatten(1)[:, :3].round()


def test_baselines_and_backgrounds_must_fit(x):
    model = small_net()
    for wrong in (x[:2], x[0], x[:, :, :5]):
        with pytest.raises(ValueError, match="Preprocess it as x was"):
            integrated_gradients(model, x, 1, wrong)
    for wrong in (x[0], x[:, :, :5], x[:0]):
        with pytest.raises(ValueError, match="background must be pictures"):
            expected_gradients(model, x, 1, wrong)


def test_numbers_and_names_that_do_not_exist(x):
    model = small_net()
    with pytest.raises(ValueError, match="samples=0"):
        smoothgrad(model, x, 1, samples=0)
    with pytest.raises(ValueError, match="steps=2.5"):
        integrated_gradients(model, x, 1, x, steps=2.5)
    with pytest.raises(ValueError, match="average='mean'"):
        smoothgrad(model, x, 1, average="mean")
    with pytest.raises(ValueError, match="noise=-1"):
        smoothgrad(model, x, 1, noise=-1)


def test_layers_that_can_not_be_explained(x):
    model = small_net()
    with pytest.raises(ValueError, match="did not run"):
        saliency(model, x, 1, layer=nn.ReLU())
    twice = Written(nn.ReLU()).double().eval()
    with pytest.raises(ValueError, match="more than once"):
        saliency(twice, x, 1, layer=twice.relu)
    with pytest.raises(ValueError, match="No gradient reaches"):
        stuck = nn.Sequential(nn.Conv2d(3, 2, 3), Cut()).double().eval()
        saliency(stuck, x, 1, layer=stuck[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_on_a_gpu_the_maps_are_the_same(name, x):
    expected = methods(x)[name](small_net(), x, TARGETS)
    model, x = small_net().cuda(), x.cuda()
    result = methods(x)[name](model, x, TARGETS.cuda())
    assert result.is_cuda and close(result.cpu(), expected, 1e-6)
