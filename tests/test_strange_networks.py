"""Networks that few people write: each gets a right result, a warning, or one clear sentence."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils import (
    activations,
    ascent,
    cam,
    deconvolution,
    feature_visualization,
    gradients,
    incremental,
    masks,
    occlusion,
    scores,
    search,
)


class Small(nn.Module):
    """Two convolutions and a head; what is strange comes in the classes derived from it."""

    def __init__(self, head=8):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 8, 3, padding=1)
        self.head = nn.Linear(head, 5)
        self.eval()

    def maps(self, x):
        return self.two(self.one(x).relu()).relu()

    def forward(self, x):
        return self.head(self.maps(x).mean((2, 3)))


def pictures(count=3, size=16):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def occluded(model, x, outputs):
    measure = occlusion.logit_drop(1)
    return occlusion.occlusion_map(model, x, torch.zeros_like(x), 4, 4, measure, outputs=outputs)


def relative(ours, truth):
    return (ours - truth).abs().max().item() / truth.abs().max().item()


# ---------------------------------------------------------------------------- masked classes


class Masked(Small):
    """One class can't be: its logit is minus infinity."""

    def forward(self, x):
        off = torch.tensor([0, 0, -torch.inf, 0, 0])
        return self.head(self.pooled(x)) + off

    def pooled(self, x):
        return self.maps(x).mean((2, 3))


class WrittenOver(Masked):
    """Writes into another name of what it reads again."""

    def pooled(self, x):
        first = self.one(x)
        other = first
        other += x.mean(1, keepdim=True)
        return self.two(first * first.sigmoid()).mean((2, 3))


class MaskedByBatch(Masked):
    def pooled(self, x):
        maps = self.maps(x)
        return ((maps - maps.mean(0)) * maps).mean((2, 3))


def test_a_masked_class_hides_no_difference():
    x = pictures(1)
    with pytest.warns(UserWarning, match="occlusion runs the plain way"):
        ours = occluded(WrittenOver(), x, incremental.occluded_outputs)
    assert relative(ours, occluded(WrittenOver(), x, occlusion.occluded_outputs)) < 1e-5
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        gradients.saliency(MaskedByBatch(), pictures(), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        occluded(Masked(), x, incremental.occluded_outputs)
        gradients.saliency(Masked(), pictures(), 1)


# ---------------------------------------------------------------------------- order of memory


class Strided(Small):
    """Reads its maps by strides of its own, as if they lay in the usual order."""

    def __init__(self):
        super().__init__(head=16)

    def forward(self, x):
        maps = self.one(x).relu()
        n, c, h, w = maps.shape
        blocks = maps.as_strided((n, c, h // 2, w // 2, 2, 2), (c * h * w, h * w, 2 * w, 2, w, 1))
        return self.head(blocks.permute(0, 1, 4, 5, 2, 3).flatten(1, 3).mean((2, 3)))


def test_the_order_of_memory_is_looked_at_with_a_layer_too():
    x = pictures(1)
    model = Strided()
    found = activations.record(model, {"head": model.head}, x)["head"]
    assert torch.allclose(found, model(x), atol=1e-6)
    model, zeros = Strided(), torch.zeros_like(x)
    options = {"layer": model.one, "steps": 64}
    attributions = gradients.integrated_gradients(model, x, 1, zeros, **options)
    change = (model(x) - model(zeros))[0, 1].item()
    assert attributions.sum().item() == pytest.approx(change, rel=0.02)


# ---------------------------------------------------------------------------- others in the batch


class ByBatch(Small):
    def maps(self, x):
        maps = functional.batch_norm(self.one(x), None, None, training=True)
        return self.two(maps.relu()).relu()


class Branching(Small):
    """Treats a batch that is bright altogether in another way."""

    def forward(self, x):
        return super().forward(x - x.mean() if x.mean() > 0.2 else x)


def test_a_batch_that_matters_is_told_with_a_layer_too():
    model = ByBatch()
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        cam.grad_cam(model, model.two, pictures(), 1)
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        activations.record(model, {"two": model.two}, pictures())


def test_equal_pictures_tell_nothing_about_batches():
    model, x = ByBatch(), pictures(1)
    gradients.saliency(model, torch.cat([x, x]), torch.tensor([1, 2]))
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        gradients.saliency(model, pictures(), 1)


def test_all_of_a_batch_is_looked_at():
    x = torch.cat([0.1 * pictures(2), pictures(1) + 2])
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        gradients.saliency(Branching(), x, 1)


# ---------------------------------------------------------------------------- numbers of rows


class Mirrored(Small):
    """Also looks at the mirrored pictures, in one batch with them, and takes the mean."""

    def forward(self, x):
        both = super().forward(torch.cat([x, x.flip(-1)]))
        return both.view(2, len(x), -1).mean(0)


class TwoRows(Small):
    def forward(self, x):
        return torch.cat([super().forward(x), super().forward(x.flip(3))])


class SequenceFirst(Small):
    """A transformer's layer whose first axis is the sequence."""

    def __init__(self):
        super().__init__(head=16)
        self.cut = nn.Conv2d(3, 16, 4, 4)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32).eval()

    def forward(self, x):
        words = self.cut(x).flatten(2).permute(2, 0, 1)
        return self.head(self.encoder(words).mean(0))


def test_layers_that_do_not_return_one_output_a_picture_are_refused():
    model, x = Mirrored(), pictures()
    zeros = torch.zeros_like(x[:1])
    for technique in (
        lambda: cam.grad_cam(model, model.two, x, 1),
        lambda: gradients.saliency(model, x, 1, layer=model.two),
        lambda: gradients.integrated_gradients(model, x, 1, zeros, layer=model.two),
        lambda: ascent.target_scores(model, x, [1, 2, 3], layer=model.two),
    ):
        with pytest.raises(ValueError, match="(for|came for) [0-9]+ pictures"):
            technique()
    transformer = SequenceFirst()
    with pytest.raises(ValueError, match="16 outputs for 3 pictures"):
        gradients.saliency(transformer, x, 1, layer=transformer.encoder)


def test_networks_that_return_other_numbers_of_rows_are_refused():
    model, x = TwoRows(), pictures(1)
    for technique in (
        lambda: gradients.saliency(model, x, 1),
        lambda: cam.grad_cam(model, model.two, x, 1),
        lambda: scores.deletion(model, x, 1, x[0, 0], torch.zeros_like(x)),
        lambda: masks.rise(model, x, 1, torch.zeros_like(x), 8, 4),
    ):
        with pytest.raises(ValueError, match="rows of scores for"):
            technique()


# ---------------------------------------------------------------------------- wrappers


class Lightning(nn.Module):
    """Has a network called `model`, which it does not call as it is given x."""

    def __init__(self):
        super().__init__()
        self.model = Small()
        self.class_index = {"cat": 1}

    def forward(self, x):
        return self.model((x - 0.5) / 0.1)


def by_hand(model, x, target=1):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(model(leaf)[:, target].sum(), leaf)[0]


def test_a_network_with_the_attributes_of_a_classifier_is_no_classifier():
    model, x = Lightning().eval(), pictures(1)
    assert torch.allclose(gradients.saliency(model, x, 1), by_hand(model, x), atol=1e-6)
    with pytest.raises(ValueError, match="pass the classifier instead"):
        gradients.saliency(model, x, "cat")


class Energy(Small):
    """Takes a gradient in its forward pass."""

    def forward(self, x):
        x = x if x.requires_grad else x.requires_grad_()
        energy = super().forward(x).square().sum()
        with torch.enable_grad():
            (pull,) = torch.autograd.grad(energy, x, create_graph=True)
        return self.head(self.maps(x + pull).mean((2, 3)))


def test_a_network_that_takes_gradients_itself_has_integrated_ones():
    x = pictures(1)
    zeros, model = torch.zeros_like(x), Energy()
    ours = gradients.integrated_gradients(model, x, 1, zeros, steps=128)
    change = (model(x.clone()) - model(zeros.clone()))[0, 1].item()
    assert ours.sum().item() == pytest.approx(change, rel=0.02)


class Roots(Small):
    """Bilinear pooling with signed roots, whose gradient at zero is none."""

    def __init__(self):
        super().__init__(head=64)
        self.two.bias.data[0] = -50

    def forward(self, x):
        maps = self.maps(x).flatten(2)
        pairs = (maps @ maps.mT / maps.shape[2]).flatten(1)
        return self.head(pairs.sign() * pairs.abs().sqrt())


def test_gradients_that_are_nan_are_refused():
    model, x = Roots(), pictures(1)
    zeros = torch.zeros_like(x)
    for technique in (
        lambda: gradients.saliency(model, x, 1),
        lambda: gradients.smoothgrad(model, x, 1, 2),
        lambda: gradients.integrated_gradients(model, x, 1, zeros, 4),
        lambda: cam.grad_cam(model, model.two, x, 1),
    ):
        with pytest.raises(ValueError, match="gradient is NaN"):
            technique()


class OwnRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (ctx.saved_tensors[0] > 0)


class WithOwnRelu(Small):
    def maps(self, x):
        return self.last(self.two(OwnRelu.apply(self.one(x))))

    def last(self, maps):
        return OwnRelu.apply(maps)


class WithBothRelus(WithOwnRelu):
    def last(self, maps):
        return maps.relu()


@pytest.mark.parametrize("technique", [gradients.guided_backprop, gradients.deconvnet])
@pytest.mark.parametrize("count", [1, 3])
def test_a_relu_with_a_way_back_of_its_own_is_told(technique, count):
    with pytest.raises(ValueError, match=r"No ReLU ran.*a ReLU with a way back of its own"):
        technique(WithOwnRelu(), pictures(count), 1)
    with pytest.warns(UserWarning, match="has a ReLU with a way back of its own"):
        technique(WithBothRelus(), pictures(count), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        technique(Small(), pictures(count), 1)


def test_the_sentence_of_an_assertion_is_passed_on():
    class Insisting(Small):
        def forward(self, x):
            assert x.shape[2] == 224, "height must be 224"
            return super().forward(x)

    with pytest.raises(ValueError, match="does it need another size.*height must be 224"):
        gradients.saliency(Insisting(), pictures(1), 1)


# ---------------------------------------------------------------------------- deconvnet and fields


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


class Standardized(nn.Conv2d):
    def forward(self, x):
        weight = self.weight / self.weight.std()
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


class PaddingItself(nn.Conv2d):
    def forward(self, x):
        return super().forward(functional.pad(x, (2, 2, 2, 2)))


def test_a_deconvnet_runs_layers_that_stand_there_twice_twice():
    torch.manual_seed(0)
    one, two, three = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
    relu, x = nn.ReLU(), pictures(1)
    shared = nn.Sequential(one, relu, two, relu, three)
    own = nn.Sequential(one, nn.ReLU(), two, nn.ReLU(), three)
    ours, truth = (deconvolution.deconvnet(net, three, x, 1) for net in (shared, own))
    assert torch.equal(ours, truth) and ours.abs().max() > 0


@pytest.mark.parametrize(
    "part",
    [
        Residual(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)),
        Standardized(4, 4, 3), PaddingItself(4, 4, 3),
    ],
    ids=lambda part: type(part).__name__,
)  # fmt: skip
def test_a_deconvnet_knows_no_ways_of_their_own(part):
    last = nn.Conv2d(4, 4, 3)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), part, nn.ReLU(), last)
    with pytest.raises(ValueError, match="can't reverse the layer '1'"):
        deconvolution.deconvnet(net, last, pictures(1), 1)
    with pytest.raises(ValueError, match="needs a sequence"):
        deconvolution.deconvnet(Residual(nn.Conv2d(3, 3, 3)), last, pictures(1), 1)


def test_receptive_fields_end_before_a_layer_with_a_way_of_its_own():
    layers = {"conv": nn.Conv2d(3, 4, 3), "own": PaddingItself(4, 4, 3)}
    assert list(activations.receptive_fields(layers)) == ["conv"]


class Mirror(nn.Module):
    """Both signs of each channel, as concatenated ReLUs take them."""

    def forward(self, maps):
        return torch.cat([maps, -maps], 1)


def test_channels_that_mirror_each_other_do_not_hide_what_a_unit_sees():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), Mirror(), nn.ReLU(), nn.Flatten())
    assert activations.box_by_gradient(model, model[1], 5, 5, pictures()) == (4, 4, 7, 7)


# ---------------------------------------------------------------------------- odd arguments


@pytest.mark.parametrize(
    "places",
    [
        [[-4, 0, 4, 8]], [[20, 20, 24, 24]], [[8, 8, 0, 0]], [[0.0, 0.0, 4.0, 4.0]], [0, 0, 4, 4],
    ],
)  # fmt: skip
@pytest.mark.parametrize("outputs", [occlusion.occluded_outputs, incremental.occluded_outputs])
def test_places_that_are_no_windows(places, outputs):
    x = pictures(1)
    with pytest.raises(ValueError, match="no window of a picture of 16 x 16|whole numbers"):
        occlusion.drops(
            Small(), x, torch.zeros_like(x), torch.tensor(places), occlusion.logit_drop(1),
            outputs=outputs,
        )  # fmt: skip


def test_odd_fills_rivals_and_precisions():
    with pytest.raises(ValueError, match="divide by 255"):
        occlusion.fill(torch.zeros(3, 8, 8, dtype=torch.uint8), "grey")
    with pytest.raises(ValueError, match="its own rival"):
        occlusion.margin_drop(1, 1)
    x = pictures(1)
    with pytest.raises(ValueError, match=r"precision of x.*float32, not .*float64"):
        masks.rise(Small(), x, 1, torch.zeros_like(x).double(), 8, 4)
    with pytest.raises(ValueError, match=r"replacement.*precision of x.*float32, not .*float64"):
        scores.deletion(Small(), x, 1, x[0, 0], x.double())
    with pytest.raises(
        ValueError, match=r"replacement.*precision of x, torch.float32, not .*float64"
    ):
        occluded_in_double = torch.zeros_like(x).double()
        occlusion.occlusion_map(Small(), x, occluded_in_double, 4, 4, occlusion.logit_drop(1))


@pytest.mark.parametrize(
    "setting", [{"turn": float("nan")}, {"falloff": float("inf")}, {"noise": -1}]
)
def test_settings_of_phases_that_mean_nothing(setting):
    half = (0.5, 0.5, 0.5)
    with pytest.raises(ValueError, match="a finite number from 0 on"):
        feature_visualization.ascend_phases(Small(), [1], 16, half, half, steps=2, **setting)


def test_numpys_whole_numbers_are_numbers():
    np = pytest.importorskip("numpy")
    x = pictures(3)
    ours = gradients.saliency(Small(), x, np.int64(1), batch=np.int64(2))
    assert torch.equal(ours, gradients.saliency(Small(), x, 1, batch=2))


# ---------------------------------------------------------------------------- networks that fail


class Failing(Small):
    """Raises an error of its own."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


FAILING = {
    "saliency": lambda model, x: gradients.saliency(model, x, 1),
    "integrated gradients": lambda model, x: gradients.integrated_gradients(
        model, x, 1, torch.zeros_like(x), steps=2
    ),
    "Grad-CAM": lambda model, x: cam.grad_cam(model, model.two, x, 1),
    "record": lambda model, x: activations.record(model, {"one": model.one}, x),
    "occlusion": lambda model, x: occluded(model, x, occlusion.occluded_outputs),
    "fast occlusion": lambda model, x: occluded(model, x, incremental.occluded_outputs),
    "deletion": lambda model, x: scores.deletion(model, x, 1, x[0, 0], torch.zeros_like(x)),
    "RISE": lambda model, x: masks.rise(model, x, 1, torch.zeros_like(x), 4, 4),
    "ascent": lambda model, x: ascent.ascend(model, [1], 16, [0.5] * 3, [0.5] * 3, steps=1),
    "search": lambda model, x: search.search(model, model.one, x, lambda x: x, progress=False),
}


@pytest.mark.filterwarnings("ignore:torch.fx can't trace")
@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize(
    "error",
    [
        ValueError("not of 224"), IndexError("out of range"), TypeError("missing"), KeyError("k"),
        NotImplementedError("no forward"), RuntimeError("sizes"), AssertionError("other"),
        AttributeError("none"), type("TheirOwn", (Exception,), {})("theirs"), ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_error_of_a_network_is_passed_on_in_a_sentence(name, error):
    with pytest.raises(ValueError, match="The network failed on") as raised:
        FAILING[name](Failing(error), pictures(1))
    assert raised.value.__cause__ is error
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError(), UserWarning("w")])
def test_errors_that_say_themselves_what_to_do_pass_unchanged(error):
    with pytest.raises(type(error)) as raised:
        gradients.saliency(Failing(error), pictures(1), 1)
    assert raised.value is error


class Tupled(Small):
    def maps(self, x):
        return self.both(super().maps(x))[0]


def test_what_the_course_says_while_a_network_runs_passes_unchanged():
    model = Tupled()
    model.both = nn.MaxPool2d(2, return_indices=True)
    with pytest.raises(ValueError, match="^The layer returns a tuple, not a tensor"):
        cam.grad_cam(model, model.both, pictures(1), 1)


@pytest.mark.parametrize("name", FAILING)
def test_lazy_layers_are_told_to_run_once(name):
    model = Small()
    model.two = nn.LazyConv2d(8, 3, padding=1)
    with pytest.raises(ValueError, match=r"lazy layers without weights, such as 'two'.*model\(x\)"):
        FAILING[name](model, pictures(1))
    model(pictures(1))
    FAILING[name](model, pictures(1))


def test_what_fails_is_not_computed_a_second_time(monkeypatch):
    def again(*_args):
        raise AssertionError("it was")

    monkeypatch.setattr(gradients, "_gradient_at", again)
    with pytest.raises(ValueError, match="The targets are 0 to 4"):
        gradients.smoothgrad(Small(), pictures(1), 99, 2)
    with pytest.raises(ValueError, match="gradient is NaN"):
        gradients.smoothgrad(Roots(), pictures(1), 1, 2)


# ---------------------------------------------------------------------------- half precision

HALF = (torch.float16, torch.bfloat16)
HALVES = (0.5, 0.5, 0.5)

IN_HALF = {
    "ascent": lambda model, x: ascent.ascend(
        model, [1], 16, HALVES, HALVES, steps=4, l2=0.1, tv=0.1, blur=1.0, decorrelated=True,
        start="fourier",
    ),
    "phases": lambda model, x: feature_visualization.ascend_phases(
        model, [1], 16, HALVES, HALVES, steps=2
    ),
    "learned mask": lambda model, x: masks.learned_mask(
        model, x, 1, torch.zeros_like(x), cells=4, steps=3
    ),
    "RISE": lambda model, x: masks.rise(model, x, 1, torch.zeros_like(x), 8, 4),
    "CAM": lambda model, x: cam.cam(model, model.relu, model.head, x, 1),
    "Grad-CAM": lambda model, x: cam.grad_cam(model, model.relu, x, 1),
    "Grad-CAM++": lambda model, x: cam.grad_cam_plus_plus(model, model.relu, x, 1),
    "smoothgrad": lambda model, x: gradients.smoothgrad(model, x, 1, 4),
    "occlusion": lambda model, x: occluded(model, x, occlusion.occluded_outputs),
}  # fmt: skip


class WithRelu(Small):
    def __init__(self):
        super().__init__()
        self.relu = nn.ReLU()

    def maps(self, x):
        return self.relu(self.two(self.one(x).relu()))


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", IN_HALF)
def test_half_precision_gives_nearly_the_same(name, dtype):
    x = pictures(1)
    truth = IN_HALF[name](WithRelu(), x)
    ours = IN_HALF[name](WithRelu().to(dtype), x.to(dtype))
    assert ours.isfinite().all()
    assert relative(ours.float(), truth) < {"phases": 0.5, "occlusion": 0.2}.get(name, 0.1)


@pytest.mark.parametrize("technique", [cam.grad_cam, cam.grad_cam_plus_plus, cam.hires_cam])
def test_maps_of_large_activations_do_not_overflow_in_half_precision(technique):
    def scaled():
        model = WithRelu()
        with torch.no_grad():
            model.two.weight *= 10_000
            model.two.bias *= 10_000
            model.head.weight[1] = model.head.weight[1].abs() / 50
        return model

    model, x = scaled(), pictures(1)
    truth = technique(model, model.relu, x, 1)
    half = scaled().half()
    ours = technique(half, half.relu, x.half(), 1)
    assert ours.isfinite().all() and relative(ours, truth) < 0.05


def test_a_gradient_that_float16_rounds_away_is_told():
    model = WithRelu()
    with torch.no_grad():
        model.head.weight /= 1e5
    half, x = model.half(), pictures(1).half()
    for technique in (
        lambda: gradients.saliency(half, x, 1),
        lambda: gradients.smoothgrad(half, x, 1, 2),
        lambda: cam.grad_cam(half, half.relu, x, 1),
    ):
        with pytest.warns(UserWarning, match="too small for float16"):
            technique()


class Backwardless(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, _gradient):
        raise KeyError("a saved tensor")


class WithoutWayBack(Small):
    def maps(self, x):
        return Backwardless.apply(super().maps(x))


def test_an_error_on_the_way_back_is_passed_on_in_a_sentence():
    model, x = WithoutWayBack(), pictures(1)
    for technique in (
        lambda: gradients.saliency(model, x, 1),
        lambda: gradients.smoothgrad(model, x, 1, 2),
        lambda: cam.grad_cam(model, model.two, x, 1),
        lambda: ascent.ascend(model, [1], 16, HALVES, HALVES, steps=1),
        lambda: feature_visualization.ascend_phases(model, [1], 16, HALVES, HALVES, steps=1),
        lambda: masks.learned_mask(model, x, 1, torch.zeros_like(x), cells=4, steps=1),
    ):
        with pytest.raises(ValueError, match="No gradient can be taken.*KeyError") as raised:
            technique()
        assert isinstance(raised.value.__cause__, KeyError)
