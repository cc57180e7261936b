"""All techniques on networks as people write them: each gives the map of a well-behaved twin.

The twin is the same network without the habit: written with `flatten` instead of `view`, without
writing into its input, and so on. So a map is right, or one sentence says what to do.
"""

import ast
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import course_utils
from course_utils import (
    activations,
    ascent,
    cam,
    gradients,
    incremental,
    masks,
    occlusion,
    scores,
    search,
    shapley,
)
from course_utils._networks import Ready, fast_layout
from course_utils.classifiers import Preprocess, wrap

CLASSES = ["cat", "dog", "owl"]


class Twin(nn.Module):
    """What all others compute, written without any habit."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(8 * 8 * 8, 3)

    def enter(self, x):
        return (x - 0.4) / 0.3

    def first(self, x):
        return self.relu(self.conv1(x))

    def second(self, x):
        return functional.max_pool2d(self.relu(self.conv2(x)), 2)

    def leave(self, scores):
        return scores

    def forward(self, x):
        maps = self.second(self.first(self.enter(x)))
        return self.leave(self.head(maps.flatten(1)))


class Viewing(Twin):
    def forward(self, x):
        maps = self.second(self.first(self.enter(x)))
        return self.head(maps.view(x.size(0), -1))


class WritingIntoItsInput(Twin):
    def enter(self, x):
        return x.sub_(0.4).div_(0.3)


class WritingOverWhatLayersReturn(Twin):
    def first(self, x):
        return functional.relu(self.conv1(x), inplace=True)

    def second(self, x):
        return functional.max_pool2d(self.conv2(x).relu_(), 2)


class InPlaceModules(Twin):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)


class Clamping(Twin):
    def first(self, x):
        return self.conv1(x).clamp(min=0)

    def second(self, x):
        return functional.max_pool2d(torch.clamp(self.conv2(x), 0), 2)


class ReturningATuple(Twin):
    def leave(self, scores):
        return scores, scores * 2


class ReturningADict(Twin):
    def leave(self, scores):
        return {"features": scores * 2, "logits": scores}


class Output:
    def __init__(self, logits):
        self.logits = logits


class ReturningAnObject(Twin):
    def leave(self, scores):
        return Output(scores)


HABITS = (
    Viewing, WritingIntoItsInput, WritingOverWhatLayersReturn, InPlaceModules, Clamping,
    ReturningATuple, ReturningADict, ReturningAnObject,
)  # fmt: skip


def made(kind, dtype=torch.float64):
    torch.manual_seed(0)
    return kind().to(dtype).eval()


def pictures(count=2, dtype=torch.float64):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)).to(dtype)


def occluded(model, x, **options):
    x = x[:1]
    measure = occlusion.logit_drop(1)
    return occlusion.occlusion_map(model, x, torch.zeros_like(x), 4, 4, measure, **options)


TECHNIQUES = {
    "saliency": lambda m, x: gradients.saliency(m, x, 1),
    "saliency of a layer": lambda m, x: gradients.saliency(m, x, 1, layer="conv2"),
    "guided backprop": lambda m, x: gradients.guided_backprop(m, x, 1),
    "deconvnet": lambda m, x: gradients.deconvnet(m, x, 1),
    "SmoothGrad": lambda m, x: gradients.smoothgrad(m, x, 1, samples=3, noise=0.1),
    "SmoothGrad, absolute": lambda m, x: gradients.smoothgrad(m, x, 1, 3, average="absolute"),
    "integrated gradients": lambda m, x: gradients.integrated_gradients(
        m, x, 1, torch.zeros_like(x[:1]), steps=4
    ),
    "integrated gradients of a layer": lambda m, x: gradients.integrated_gradients(
        m, x, 1, torch.zeros_like(x[:1]), steps=4, layer="conv1"
    ),
    "expected gradients": lambda m, x: gradients.expected_gradients(m, x, 1, x.flip(0), samples=4),
    "score change": lambda m, x: gradients.score_change(m, x, 1, torch.zeros_like(x)),
    "Grad-CAM": lambda m, x: cam.grad_cam(m, "conv2", x, 1),
    "HiResCAM": lambda m, x: cam.hires_cam(m, "conv2", x, 1),
    "Grad-CAM++": lambda m, x: cam.grad_cam_plus_plus(m, "conv2", x, 1),
    "LayerCAM": lambda m, x: cam.layer_cam(m, "conv2", x, 1),
    "occlusion": occluded,
    "fast occlusion": lambda m, x: occluded(m, x, outputs=incremental.occluded_outputs),
    "record": lambda m, x: activations.record(m, {"maps": "conv1"}, x)["maps"],
    "ascent": lambda m, x: ascent.ascend(
        m, [1, 2], 16, [0.5] * 3, [0.5] * 3, steps=2, start=x.clone()
    ),
    "ascent to a channel": lambda m, x: ascent.ascend(
        m, [1, 2], 16, [0.5] * 3, [0.5] * 3, steps=2, start=x.clone(), layer="conv2"
    ),
    "search": lambda m, x: (
        search.search(m, "conv1", x, lambda p: p, k=2, progress=False).top.values
    ),
    "deletion": lambda m, x: torch.tensor(
        scores.deletion(m, x[:1], 1, x[0, 0], torch.zeros_like(x[:1]), steps=4)
    ),
    "insertion": lambda m, x: torch.tensor(
        scores.insertion(m, x[:1], 1, x[0, 0], torch.zeros_like(x[:1]), steps=4)
    ),
    "coalition scores": lambda m, x: shapley.coalition_scores(
        m, x[:1], 1, x[1:], torch.arange(256).view(16, 16) // 64, shapley.all_coalitions(4)
    ),
    "RISE": lambda m, x: masks.rise(m, x[:1], 1, torch.zeros_like(x[:1]), 5, cells=4),
    "learned mask": lambda m, x: masks.learned_mask(m, x[:1], 1, x[1:], cells=4, steps=3),
    "box by gradient": lambda m, x: torch.tensor(activations.box_by_gradient(m, "conv2", 3, 3, x)),
}


OTHERS = {
    "drops": "occlusion_map calls it",
    "target_scores": "ascend calls it",
    "cam": "it is for networks that end in an average",
    "growth": "it gives windows, not a map",
    "ascend_phases": "it is for networks of a certain size",
    "deconvnet_steps": "it is for sequences of layers",
}
"""What looks inside and is no technique of this table, and why."""


def test_every_function_that_looks_inside_is_tried():
    table = ast.unparse(ast.parse(Path(__file__).read_text(encoding="utf-8")))
    for file in sorted(Path(course_utils.__file__).parent.glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            decorators = getattr(node, "decorator_list", [])
            if "looks_inside" in map(ast.unparse, decorators) and node.name not in OTHERS:
                called = re.search(rf"{file.stem}\.{node.name}\(", table)
                assert called, f"put {file.stem}.{node.name} among the TECHNIQUES"


@pytest.fixture(scope="module")
def truth():
    twin = made(Twin)
    return {name: technique(twin, pictures()) for name, technique in TECHNIQUES.items()}


def assert_same(ours, truth, tolerance=1e-9):
    assert ours.shape == truth.shape
    scale = truth.abs().max().item() + 1e-12
    assert (ours.double() - truth.double()).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize("kind", HABITS)
@pytest.mark.parametrize("name", TECHNIQUES)
def test_habits_change_no_map(kind, name, truth):
    x = pictures()
    given = x.clone()
    model = made(kind)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    assert_same(TECHNIQUES[name](model, x), truth[name])
    assert torch.equal(x, given)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", [Viewing, WritingIntoItsInput, WritingOverWhatLayersReturn])
@pytest.mark.parametrize("name", TECHNIQUES)
def test_single_precision_too_where_memory_is_arranged_anew(kind, name, truth):
    x = pictures(dtype=torch.float32)
    ours = TECHNIQUES[name](made(kind, torch.float32), x)
    assert_same(ours, truth[name], tolerance=1e-3)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_inference_mode_around_it(name, truth):
    with torch.inference_mode():
        x = pictures()
        ours = TECHNIQUES[name](made(Twin), x)
    assert_same(ours, truth[name])


@pytest.mark.parametrize("name", TECHNIQUES)
def test_no_grad_around_it(name, truth):
    with torch.no_grad():
        assert_same(TECHNIQUES[name](made(Twin), pictures()), truth[name])


@pytest.mark.parametrize("name", TECHNIQUES)
def test_autocast_around_it(name, truth):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = TECHNIQUES[name](made(Twin, torch.float32), pictures(dtype=torch.float32))
    assert_same(ours, truth[name], tolerance=1e-3)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_the_default_precision_changes_nothing(name, truth):
    before = torch.get_default_dtype()
    model, x = made(Twin), pictures()
    torch.set_default_dtype(torch.float64)
    try:
        ours = TECHNIQUES[name](model, x)
    finally:
        torch.set_default_dtype(before)
    assert_same(ours, truth[name], 1e-7)  # the table makes a tensor of a number


class WithWeightsOfItsOwn(Twin):
    """A dynamic convolution: its weights are made from the picture."""

    def first(self, x):
        weights = self.conv1.weight * (1 + x.mean())
        return self.relu(functional.conv2d(x, weights, self.conv1.bias, padding=1))


@pytest.mark.parametrize("name", ["SmoothGrad", "integrated gradients"])
def test_weights_that_depend_on_the_picture_have_gradients_too(name):
    model = made(WithWeightsOfItsOwn)
    x = pictures(1)
    ours = TECHNIQUES[name](model, x)
    hidden = Hidden(model)  # where no convolution of x is seen
    assert_same(ours, TECHNIQUES[name](hidden, x), 1e-9)
    assert (ours - TECHNIQUES[name](made(Twin), x)).abs().max() > 1e-3 * ours.abs().max()


class Hidden(nn.Module):
    """The same network behind a step that changes nothing."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return self.inside(x * 1.0)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_torch_puts_around_a_network(name, truth):
    for around in (nn.DataParallel, lambda model: torch.compile(model, backend="eager")):
        assert_same(TECHNIQUES[name](around(made(Twin)), pictures()), truth[name])


def test_a_part_of_a_network_may_be_compiled():
    model = made(Twin)
    wanted = gradients.saliency(model, pictures(), 0)
    parts = made(Twin)
    parts.conv1 = torch.compile(parts.conv1, backend="eager")
    assert_same(gradients.saliency(parts, pictures(), 0), wanted)


def test_no_technique_imports_torchs_compiler():
    code = """
import sys, torch
from torch import nn
from course_utils import cam, gradients
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
gradients.saliency(model, torch.rand(2, 3, 8, 8), 0)
cam.grad_cam(model, model[1], torch.rand(2, 3, 8, 8), 0)
assert "torch._dynamo" not in sys.modules  # importing it takes seconds
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_hooks_of_others_stay_and_count(name, truth):
    model = made(Twin)
    seen = []
    model.conv1.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    model.head.register_forward_hook(lambda _module, _inputs, output: output * 1.0)
    assert_same(TECHNIQUES[name](model, pictures()), truth[name])
    assert seen and len(model.conv1._forward_hooks) == 1


@pytest.mark.parametrize("name", TECHNIQUES)
def test_a_classifier_may_stand_for_its_network(name, truth):
    classifier = wrap(made(Twin), CLASSES, Preprocess(16))
    assert_same(TECHNIQUES[name](classifier, pictures()), truth[name])


class WithDropout(Twin):
    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def enter(self, x):
        return self.dropout(super().enter(x))


class WithDropoutOfItsOwn(Twin):
    def forward(self, x):
        return super().forward(functional.dropout(x, 0.5, training=self.training))


@pytest.mark.parametrize("kind", [WithDropout, WithDropoutOfItsOwn])
@pytest.mark.parametrize("name", TECHNIQUES)
def test_training_mode_is_told_where_it_matters_and_restored(kind, name, truth):
    model = made(kind).train()
    model.conv2.eval()
    with pytest.warns(UserWarning, match="in training mode") as caught:
        assert_same(TECHNIQUES[name](model, pictures()), truth[name])
    assert caught[0].filename == __file__
    assert model.training and not model.conv2.training
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(TECHNIQUES[name](made(Twin).train(), pictures()), truth[name])


@pytest.mark.parametrize("name", TECHNIQUES)
def test_torchscript_is_refused_with_the_cure(name):
    scripted = torch.jit.trace(made(Twin), pictures())
    with pytest.raises(ValueError, match="pass the network that it was made from"):
        TECHNIQUES[name](scripted, pictures())


def test_names_of_classes_need_a_classifier():
    classifier = wrap(made(Twin), CLASSES, Preprocess(16))
    x = pictures()
    assert torch.equal(
        gradients.saliency(classifier, x, ["dog", "owl"]),
        gradients.saliency(classifier.model, x, torch.tensor([1, 2])),
    )
    with pytest.raises(ValueError, match=r"class_index\('dog'\)"):
        gradients.saliency(classifier.model, x, "dog")
    with pytest.raises(ValueError, match="no class 'fox'; there are: cat, dog, owl"):
        gradients.saliency(classifier, x, "fox")
    with pytest.raises(ValueError, match="no layer 'conv9'; there are: conv1"):
        cam.grad_cam(classifier, "conv9", x, 1)


@pytest.mark.parametrize("target", [None, 1.0, True, [1, 2, 0], -1, 3, torch.tensor([[1], [2]])])
def test_targets_that_are_none(target):
    for name in ("saliency", "grad_cam", "deletion"):
        with pytest.raises(ValueError, match=r"[Tt]arget"):
            x = pictures()
            if name == "saliency":
                gradients.saliency(made(Twin), x, target)
            elif name == "grad_cam":
                cam.grad_cam(made(Twin), "conv2", x, target)
            else:
                scores.deletion(made(Twin), x[:1], target, x[0, 0], torch.zeros_like(x[:1]))


def test_an_output_without_an_obvious_choice_is_named():
    class Odd(Twin):
        def leave(self, scores):
            return {"one": scores, "two": scores}

    with pytest.raises(ValueError, match="returns a dict with one, two, but a classifier"):
        gradients.saliency(made(Odd), pictures(), 1)


def test_maps_with_channels_last_are_refused():
    class Last(Twin):
        def __init__(self):
            super().__init__()
            self.turn = nn.Identity()

        def second(self, x):
            return self.turn(super().second(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    model = Last()
    model.conv2 = nn.Conv2d(6, 20, 3, padding=1)
    model.head = nn.Linear(20 * 8 * 8, 3)
    x = pictures(dtype=torch.float32)
    for technique in (
        lambda: cam.grad_cam(model.eval(), "turn", x, 1),
        lambda: search.search(model.eval(), "turn", x, lambda p: p, progress=False),
        lambda: activations.box_by_gradient(model.eval(), "turn", 1, 1, x),
    ):
        with pytest.raises(ValueError, match=r"channels seem to come last, \(N, h, w, C\)"):
            technique()


def test_batch_statistics_are_warned_of():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3),
    ).eval()  # fmt: skip
    with pytest.warns(UserWarning, match="'1' has no running statistics"):
        gradients.saliency(model, pictures(dtype=torch.float32), 1)
    with pytest.raises(ValueError, match="depends on the other pictures in its batch"):
        wrap(model, CLASSES, Preprocess(16))


class Standardizing(Twin):
    """Normalizes by the batch, in code of its own."""

    def first(self, x):
        maps = super().first(x)
        return (maps - maps.mean((0, 2, 3), keepdim=True)) / maps.std((0, 2, 3), keepdim=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_statistics_without_a_batch_norm_are_warned_of(dtype):
    x = pictures(dtype=dtype)
    model = made(Standardizing, dtype)
    for _ in range(2):  # each time
        with pytest.warns(UserWarning, match="depends on the others in its batch"):
            gradients.saliency(model, x, 1)
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        occluded(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradients.saliency(model, x[:1], 1)
        gradients.saliency(made(Twin, dtype), x, 1)


def test_outputs_that_are_differences_of_equal_ones_do_not_depend_on_the_batch():
    """Seen from the first picture, whose own output is zero, up to rounding."""

    class Centred(Twin):
        def forward(self, x):
            return super().forward(x) - self.middle

    x = pictures(dtype=torch.float32)
    model = made(Centred, torch.float32)
    for offset in (0.0, 1e-7):
        model.middle = made(Twin, torch.float32)(x[:1]).detach() + offset
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gradients.saliency(model, x, 1)


class Noisy(Twin):
    """Adds noise, also in eval mode."""

    def first(self, x):
        return super().first(x) + torch.randn_like(x[:, :1])


def test_chance_in_a_network_is_told():
    with pytest.warns(UserWarning, match="changes from run to run.*random numbers"):
        gradients.saliency(made(Noisy), pictures(), 1)
    with pytest.warns(UserWarning, match="changes from run to run.*random numbers"):
        cam.grad_cam(made(Noisy, torch.float32), "conv2", pictures(1, torch.float32), 1)


class OfTwo(Twin):
    """Takes two pictures and no other number."""

    def enter(self, x):
        assert len(x) == 2
        return super().enter(x)


def test_a_network_for_a_fixed_number_of_pictures_is_not_asked_for_others():
    ours = gradients.saliency(made(OfTwo), pictures(), 1)
    assert_same(ours, gradients.saliency(made(Twin), pictures(), 1))


UNFIT = {
    "double precision": (lambda x: x.double(), "x is torch.float64, but .* are torch.float32"),
    "half precision": (lambda x: x.half(), "x is torch.float16, but .* are torch.float32"),
    "one channel": (lambda x: x[:, :1], "takes pictures with 3 channels"),
    "four channels": (lambda x: torch.cat([x, x[:, :1]], 1), "takes pictures with 3 channels"),
    "other size": (lambda x: x[..., :12], "does it need another size"),
    "bytes": (lambda x: (255 * x).byte(), "floats; got"),
    "a list": (lambda x: x.tolist(), "floats; got list"),
    "no batch": (lambda x: x[0], "preprocessed picture"),
}
"""What a technique may be given by mistake, and what it answers."""


STARTS = ("double precision", "half precision", "no batch", "bytes", "a list")
"""What ascent may begin with all the same."""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for name in TECHNIQUES
        for kind in UNFIT
        if not (name.startswith("ascent") and kind in STARTS)
        if kind != "a list" or name in ("Grad-CAM", "record", "saliency")
        if (kind, name) != ("bytes", "search")  # the network makes floats of them
    ],
)
def test_pictures_that_the_network_can_not_take_get_a_sentence(kind, name):
    spoil, message = UNFIT[kind]
    if name == "coalition scores" and kind in ("other size", "no batch"):
        message = "segments|preprocessed picture"  # they are made for pictures of 16 x 16
    if name.startswith("ascent"):
        message = "The start must be x"
    model = made(Twin, torch.float32)
    with pytest.raises(ValueError, match=message):
        TECHNIQUES[name](model, spoil(pictures(dtype=torch.float32)))


def test_the_same_picture_gets_the_same_map_wherever_it_stands():
    model = made(Twin)
    x = pictures(3)
    background = pictures(5).flip(0)
    for technique in (
        lambda x: gradients.smoothgrad(model, x, 1, samples=5),
        lambda x: gradients.expected_gradients(model, x, 1, background, samples=5),
        lambda x: gradients.expected_gradients(
            model, x, 1, background, samples=5, layer=model.conv2
        ),
    ):
        together = technique(x)
        assert_same(torch.cat([technique(one[None]) for one in x]), together)
        assert_same(technique(x.flip(0)).flip(0), together)


# ---------------------------------------------------------------------------- rectifiers


class Rectified(nn.Module):
    """Two convolutions, each followed by a rectifier."""

    def __init__(self, one, two):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.conv2 = nn.Conv2d(6, 6, 3)
        self.one = one
        self.two = two
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.two(self.conv2(self.one(self.conv1(x))))
        return self.head(x.mean((2, 3)))


SIX = (
    nn.ReLU6(), nn.ReLU6(inplace=True), nn.Hardtanh(0, 6), functional.relu6,
    lambda x: x.clamp(0, 6), lambda x: torch.clamp(x, min=0, max=6),
    lambda x: functional.hardtanh(x, 0.0, 6.0), lambda x: x.clamp_(0, 6), lambda x: x.clip(0, 6),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(SIX)))
def test_the_rules_hold_for_relu6_in_whatever_way(number):
    """Scaled so that some values exceed 6, against the rule written out."""
    torch.manual_seed(0)
    model = Rectified(SIX[number], nn.ReLU()).double().eval()
    model.conv1.weight.data *= 20
    x = pictures()
    with torch.no_grad():
        before = model.conv1(x)
        middle = model.conv2(before.clamp(0, 6))
    for technique, rule in (
        (gradients.guided_backprop, lambda g, v, top: g.relu() * (v > 0) * (v < top)),
        (gradients.deconvnet, lambda g, v, top: g.relu()),
    ):
        area = middle.shape[2] * middle.shape[3]
        signal = (model.head.weight[1] / area)[None, :, None, None].expand_as(middle)
        signal = rule(signal, middle, torch.inf)
        signal = functional.conv_transpose2d(signal, model.conv2.weight)
        signal = rule(signal, before, 6)
        expected = functional.conv_transpose2d(signal, model.conv1.weight).detach()
        assert (before > 6).any()
        assert_same(technique(model, x, 1), expected)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        (nn.LeakyReLU(), "leaky_relu"), (nn.Hardtanh(), "hardtanh"), (nn.GELU(), "gelu"),
        (nn.Threshold(0.1, 0.0), "threshold"), (lambda x: x.clamp(0, 1), "clamp"),
        (nn.Hardswish(), "hardswish"), (nn.ELU(), "elu"), (nn.PReLU(), "prelu"),
        (lambda x: torch.where(x > 0, x, torch.zeros_like(x)), "comparisons"),
        (lambda x: x * (x > 0), "comparisons"), (lambda x: x * x.gt(0).float(), "comparisons"),
        (lambda x: x.masked_fill(x < 0, 0), "comparisons"),
        (lambda x: x * (x.sign() + 1) / 2, "comparisons"),
        (lambda x: torch.max(x, torch.zeros_like(x)), "max"), (lambda x: (x + x.abs()) / 2, "abs"),
        (lambda x: x.maximum(torch.zeros(())), "maximum"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_rectifiers_without_a_rule_are_named(other, name):
    torch.manual_seed(0)
    model = Rectified(other, nn.ReLU()).eval()
    x = pictures(dtype=torch.float32)
    with pytest.warns(UserWarning, match=f"Besides ReLUs this model has {name}"):
        gradients.guided_backprop(model, x, 1)
    with pytest.raises(ValueError, match="No ReLU ran"):
        gradients.deconvnet(Rectified(other, other).eval(), x, 1)


def test_a_scripted_part_is_named():
    torch.manual_seed(0)
    model = Rectified(torch.jit.script(nn.ReLU()), nn.ReLU()).eval()
    with pytest.warns(UserWarning, match="a part in TorchScript"):
        gradients.guided_backprop(model, pictures(dtype=torch.float32), 1)


# ---------------------------------------------------------------------------- controls


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm])
def test_spectral_norms_are_those_of_the_new_weights(norm):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), norm(nn.Linear(8 * 36, 20)))
    x = pictures(dtype=torch.float32)[:, :, :8, :8]
    for _ in range(30):
        model.train()(x)  # the norm finds its singular vectors
    (blank,) = scores.randomized(model.eval(), [""])
    blank(x)
    largest = torch.linalg.matrix_norm(blank[2].weight, 2).item()
    assert largest == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "part",
    [
        nn.Conv2d(3, 4, 3),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)),
        nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3)),
        nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)),
        nn.MultiheadAttention(8, 2),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        nn.TransformerEncoderLayer(8, 2, 16),
        nn.Embedding(5, 4),
    ],
    ids=lambda part: type(part).__name__,
)
def test_randomized_parts_keep_nothing(part):
    """What was trained is gone: no weight that varies is the same, nor what the part computes."""
    torch.manual_seed(5)
    for parameter in part.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    model = nn.ModuleDict({"part": part})
    (blank,) = scores.randomized(model, ["part"])
    for name, tensor in blank.state_dict().items():
        old = model.state_dict()[name]
        if tensor.is_floating_point() and old.numel() > 1 and old.unique().numel() > 1:
            assert not torch.equal(tensor, old), name
    for name, module in blank.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.Tensor):
            assert weight.isfinite().all()
            assert not torch.allclose(weight, model.get_submodule(name).weight), name


def test_what_has_no_weights_cannot_be_randomized():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(ValueError, match="'1' has no weights"):
        next(scores.randomized(model, ["1"]))
    with pytest.raises(ValueError, match="no module '7'; there are: 0, 1"):
        next(scores.randomized(model, ["7"]))


# ---------------------------------------------------------------------------- networks of one's own


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda s: functional.log_softmax(s, 1), "leave the log_softmax out"),
        (lambda s: functional.softmax(s, 1), "leave the softmax out"),
        (torch.sigmoid, "leave the sigmoid out"),
        (lambda s: 1 / (1 + (-s).exp()), "leave the sigmoid out"),
        (functional.logsigmoid, "leave the logsigmoid out"),
        (lambda s: s - s.logsumexp(1, keepdim=True), "leave the log_softmax out"),
        (torch.tanh, "leave the tanh out"),
        (lambda s: s.argmax(1), "floats: leave out argmax"),
        (lambda s: s[:, :1], "one score for each picture"),
        (lambda s: s[:, 0], "one score for each picture"),
        (lambda s: s.detach(), "No gradient leads"),
        (lambda s: functional.dropout(s, 0.5, training=True), "two answers for the same pictures"),
        (lambda s: s - s.mean(0), "depends on the other pictures"),
        (lambda s: s * torch.nan, "NaN or infinity"),
        (lambda s: s.T, r"should be \(2, 3\)"),
    ],
)
def test_what_is_no_classifier_with_logits_is_refused(end, message):
    class Ending(Twin):
        def leave(self, scores):
            return end(scores)

    with pytest.raises(ValueError, match=message):
        wrap(made(Ending), CLASSES, Preprocess(16))


class Overwriting(Twin):
    """Adds what the ReLU has overwritten to itself."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def leave(self, scores):
        return self.act(scores - scores.mean(1, keepdim=True)) + scores


class OverwritingScores(Overwriting):
    def leave(self, scores):
        scores = scores - scores.mean(1, keepdim=True)
        return self.act(scores) + scores


def test_in_place_steps_that_change_what_is_computed_are_refused_and_left_as_they_were():
    network = made(OverwritingScores, torch.float32)
    before = network(pictures(dtype=torch.float32))
    with pytest.raises(ValueError, match="writes over a map that this network reads again"):
        wrap(network, CLASSES, Preprocess(16))
    assert network.act.inplace
    assert torch.equal(network(pictures(dtype=torch.float32)), before)
    harmless = wrap(made(Overwriting, torch.float32), CLASSES, Preprocess(16))
    assert not harmless.model.act.inplace


def test_classes_in_a_dict_and_what_are_no_names():
    names = {2: "owl", 0: "cat", 1: "dog"}
    classifier = wrap(made(Twin, torch.float32), names, Preprocess(16))
    assert classifier.classes == CLASSES and classifier.class_index("owl") == 2
    for classes, message in (
        ({1: "cat", 2: "dog", 3: "owl"}, "every position from 0"),
        ([0, 1, 2], "a list of their names"),
        ("cat", "a list of their names"),
        (["cat", "dog", "cat"], "the same name"),
    ):
        with pytest.raises(ValueError, match=message):
            wrap(made(Twin, torch.float32), classes, Preprocess(16))


def test_a_grey_network_and_other_sizes_get_a_sentence():
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 14 * 14, 3))
    with pytest.raises(ValueError, match="takes 1 channels, but pictures here have three colours"):
        wrap(grey, CLASSES, Preprocess(16))
    with pytest.raises(ValueError, match="Is the size right"):
        wrap(made(Twin), CLASSES, Preprocess(32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (32, 48)}, "square"),
        ({"size": 0}, "a whole number"),
        ({"size": 224, "resize": 200}, "can't be larger than"),
        ({"size": 32, "mean": 0.5}, "three numbers"),
        ({"size": 32, "std": (0.5, 0.0, 0.5)}, "positive"),
        ({"size": 32, "mean": (0.5, float("nan"), 0.5)}, "finite"),
        ({"size": 32, "mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, "by 255"),
        ({"size": 32, "interpolation": "lanczos"}, "choose one of nearest"),
    ],
)
def test_preprocessing_that_no_network_wants(arguments, message):
    with pytest.raises(ValueError, match=message):
        Preprocess(**arguments)


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_three_numbers_may_come_in_any_kind_of_list(kind):
    given = Preprocess(32, kind([0.5, 0.25, 0.125]), kind([0.5, 0.5, 1.0]))
    assert given == Preprocess(32, (0.5, 0.25, 0.125), (0.5, 0.5, 1.0))
    assert hash(given) == hash(Preprocess(32, (0.5, 0.25, 0.125), (0.5, 0.5, 1.0)))


def test_outputs_with_several_parts_are_wrapped_and_keep_their_layers():
    classifier = wrap(made(ReturningATuple, torch.float32), CLASSES, Preprocess(16))
    x = pictures(dtype=torch.float32)
    assert classifier.model(x).shape == (2, 3)
    assert cam.grad_cam(classifier, "conv2", x, "dog").shape == (2, 16, 16)
    assert len(classifier.top_k(x[0], 2)) == 2


# ---------------------------------------------------------------------------- the order of memory


class Strides(nn.Module):
    """Reads blocks of 2 x 2 by strides, as if memory had its usual order."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Linear(3 * 8 * 8, 2)

    def forward(self, x):
        n, c, h, w = x.shape
        steps = (c * h * w, h * w, 2 * w, 2, w, 1)
        blocks = x.as_strided((n, c, h // 2, w // 2, 2, 2), steps)
        return self.head(blocks.reshape(n, -1)[:, : 3 * 8 * 8].relu())


class Insisting(nn.Sequential):
    def forward(self, x):
        assert x.is_contiguous()
        return super().forward(x)


def digits_lost():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.GroupNorm(1, 8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    model[0].bias.data += 100
    return model


def insisting():
    torch.manual_seed(0)
    return Insisting(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("make", [Strides, insisting, digits_lost])
def test_a_network_that_needs_the_usual_order_of_memory_gets_it(make):
    model, x = make().eval(), torch.randn(9, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        usual = model(x)
    assert (Ready(model)(x) - usual).abs().max() < 1e-5 * usual.abs().max()


def test_an_error_is_raised_in_the_usual_order_and_changes_nothing_for_later():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="mat1 and mat2"):
        Ready(model)(torch.zeros(1, 3, 5, 5))
    assert fast_layout(model, torch.zeros(1, 3, 3, 3)) == torch.channels_last


# ---------------------------------------------------------------------------- checkpoints


class Checkpointed(nn.Module):
    """Two parts, of which nothing is kept for the backward pass."""

    def __init__(self, reentrant):
        super().__init__()
        torch.manual_seed(0)
        self.reentrant = reentrant
        self.one = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.two = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def run(self, part, x):
        if self.reentrant is None:
            return part(x)
        return checkpoint(part, x, use_reentrant=self.reentrant)

    def forward(self, x):
        return self.head(self.run(self.two, self.run(self.one, x)).mean((2, 3)))


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("layer", ["one.0", "one.2", "two.0", "two.1", "two", None])
def test_what_a_network_would_compute_anew_is_kept(reentrant, layer):
    x = pictures(dtype=torch.float32)
    blank = torch.zeros_like(x)
    asked = [
        lambda model: gradients.saliency(model, x, 1, layer=layer),
        lambda model: gradients.integrated_gradients(model, x, 1, blank, 8, layer=layer),
    ]
    if layer is None:
        asked += [
            lambda model: gradients.guided_backprop(model, x, 1),
            lambda model: gradients.smoothgrad(model, x, 1, samples=3),
        ]
    else:
        asked += [
            lambda model: cam.grad_cam(model, layer, x, 1, relu=False),
            lambda model: cam.hires_cam(model, layer, x, 1),
        ]
    network, plain = Checkpointed(reentrant).eval(), Checkpointed(None).eval()
    for ask in asked:
        assert torch.allclose(ask(network), ask(plain), atol=1e-7)


def test_afterwards_checkpoints_are_torch_s_own():
    x = pictures(dtype=torch.float32)
    cam.grad_cam(Checkpointed(False).eval(), "two", x, 1)
    module = sys.modules["torch.utils.checkpoint"]
    assert module.CheckpointFunction.__module__ == "torch.utils.checkpoint"
    assert module._checkpoint_without_reentrant_generator.__module__ == "torch.utils.checkpoint"
