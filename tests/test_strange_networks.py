"""Networks that few people write: each gets a right result, a warning, or one clear sentence."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from captum.attr import LayerIntegratedGradients
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
    shapley,
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
    """The largest difference; of drops, in float64 only, which are far smaller than scores."""
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
    x, model = pictures(1).double(), WrittenOver().double()
    with pytest.warns(UserWarning, match="occlusion runs the plain way"):
        ours = occluded(model, x, incremental.occluded_outputs)
    assert relative(ours, occluded(model, x, occlusion.occluded_outputs)) < 1e-9
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        gradients.saliency(MaskedByBatch(), pictures(), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        occluded(Masked(), pictures(1), incremental.occluded_outputs)
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


class Normed(Small):
    """Normalizes the maps of each picture by themselves, behind its first convolution."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def maps(self, x):
        return self.two(self.norm(self.one(x).relu())).relu()


NORMS = {
    "layer": nn.InstanceNorm2d(4),
    "with weights": nn.InstanceNorm2d(4, affine=True),
    "with statistics": nn.InstanceNorm2d(4, track_running_stats=True),
    "function": functional.instance_norm,
    "batch norm of one": lambda maps: functional.batch_norm(
        maps.reshape(1, -1, *maps.shape[2:]), None, None, training=True
    ).reshape(maps.shape),
    "group norm": lambda maps: functional.group_norm(maps, 2),
}


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("count", [1, 3])
def test_gradients_pass_instance_norms_in_the_order_that_torch_can_take(name, count):
    model, x = Normed(NORMS[name]).eval(), pictures(count)
    leaf = x.clone().requires_grad_()
    (truth,) = torch.autograd.grad(model(leaf)[:, 1].sum(), leaf)
    ours = gradients.saliency(model, x, 1)
    assert relative(ours, truth) < 1e-4
    together, last_alone = (
        gradients.smoothgrad(model, x[:1], 1, samples=4, batch=batch, seed=0) for batch in (4, 3)
    )
    assert relative(last_alone, together) < 1e-4


@pytest.mark.parametrize("name", NORMS)
def test_grad_cam_passes_instance_norms_too(name):
    model, x = Normed(NORMS[name]).eval(), pictures(1)
    maps = model.one(x).detach().requires_grad_()
    scores = model.head(model.two(model.norm(maps.relu())).relu().mean((2, 3)))
    (slope,) = torch.autograd.grad(scores[0, 1], maps)
    truth = (slope.mean((2, 3), keepdim=True) * maps).sum(1)[0].detach()
    assert relative(cam.grad_cam(model, model.one, x, 1, relu=False), truth) < 1e-4


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


def test_equal_pictures_are_compared_with_others():
    model, x = ByBatch(), pictures(1)
    with pytest.warns(UserWarning, match="depends on the others in its batch"):
        gradients.saliency(model, torch.cat([x, x]), torch.tensor([1, 2]))


MIXING = {
    "least and largest pixel": lambda x: (x - x.min()) / (x.max() - x.min()),
    "largest amount": lambda x: x / x.abs().max(),
    "largest pixel": lambda x: x / x.max(),
    "the first picture": lambda x: x - x[:1],
    "mean of all": lambda x: torch.where(x > 0, x, x.mean()),
}


class Mixing(Small):
    """Changes its pictures, or its maps, by something that is taken over the batch."""

    def __init__(self, mix, first):
        super().__init__()
        self.mix, self.first = mix, first

    def maps(self, x):
        return self.mix(super().maps(x)) if not self.first else super().maps(self.mix(x))


@pytest.mark.parametrize("first", [True, False], ids=["pictures", "maps"])
@pytest.mark.parametrize("name", MIXING)
def test_whatever_is_taken_over_the_batch_is_told(name, first):
    x = pictures(1)
    for technique in (
        lambda model: gradients.saliency(model, pictures(2), torch.tensor([1, 3])),
        lambda model: gradients.smoothgrad(model, x, 1, 4),
        lambda model: gradients.integrated_gradients(model, x, 1, torch.zeros_like(x), 4),
        lambda model: occluded(model, x, occlusion.occluded_outputs),
        lambda model: occluded(model, x, incremental.occluded_outputs),
    ):
        with pytest.warns(UserWarning, match="depends on the others in its batch"):
            technique(Mixing(MIXING[name], first))


def test_pictures_that_are_normalized_one_by_one_are_no_batch():
    def each(x):
        return (x - x.amin((1, 2, 3), keepdim=True)) / x.amax((1, 2, 3), keepdim=True)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradients.saliency(Mixing(each, True), pictures(), 1)


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
    assert gradients.score_change(model, x, 1, zeros).item() == pytest.approx(change)
    assert ours.sum().item() == pytest.approx(change, rel=0.02)


class Answering(Small):
    """Returns whole numbers, or truth values."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return self.how(100 * super().forward(x))


@pytest.mark.parametrize(
    "how", [torch.Tensor.long, torch.Tensor.int, lambda s: s > s.mean(1, keepdim=True)]
)
def test_whole_numbers_and_truth_values_are_scores(how):
    x = pictures(1)
    segments = torch.arange(16).div(4, rounding_mode="floor").expand(16, 16)
    coalitions = shapley.all_coalitions(4)
    for technique in (
        lambda m: masks.rise(m, x, 1, x * 0, 20),
        lambda m: masks.learned_mask(m, x, 1, x * 0, steps=2),
        lambda m: shapley.coalition_scores(m, x, 1, x * 0, segments, coalitions),
        lambda m: gradients.score_change(m, x, 1, x * 0),
    ):
        expected = technique(Answering(lambda scores: how(scores).to(x.dtype)))
        assert torch.allclose(technique(Answering(how)).to(x.dtype), expected, atol=1e-5)


def test_a_network_that_gets_no_gradients_where_it_takes_some_is_not_said_to_need_a_size():
    class Pulled(Small):
        def forward(self, x):
            (pull,) = torch.autograd.grad(super().forward(x).sum(), x)
            return super().forward(x + pull)

    x = pictures(1)
    with pytest.raises(ValueError, match="failed on x .*: RuntimeError: .*does not require grad"):
        occlusion.occlusion_map(Pulled(), x, x * 0, 4, 4, occlusion.logit_drop(1))


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


# ---------------------------------------------------------------------------- left as it was


class TwoNames(Small):
    """A layer under two names, and one weight in two layers."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(self.one, nn.ReLU(), self.two)
        self.tied = nn.Linear(8, 5)
        self.tied.weight = self.head.weight

    def maps(self, x):
        return self.blocks(x).relu()

    def forward(self, x):
        pooled = self.maps(x).mean((2, 3))
        return self.head(pooled) + self.tied(pooled)


class Counting(Small):
    """Counts its runs in a buffer, and keeps a running mean."""

    def __init__(self):
        super().__init__()
        self.register_buffer("runs", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x):
        self.runs += 1
        self.mean.mul_(0.9).add_(x.mean())
        return super().forward(x)


class CountingUntraceably(Counting):
    """What torch.fx can't trace comes after something has been written."""

    def forward(self, x):
        scores = super().forward(x)
        return scores if scores.isfinite().all() else scores.nan_to_num()


def each_technique(model, x):
    """Calls techniques of every kind, one after the other."""
    zeros = torch.zeros_like(x)
    yield gradients.saliency(model, x, 1)
    yield gradients.smoothgrad(model, x, 1, 2)
    yield gradients.guided_backprop(model, x, 1)
    yield gradients.integrated_gradients(model, x, 1, zeros, 2)
    yield cam.grad_cam(model, model.one, x, 1)
    yield activations.record(model, {"two": model.two}, x)
    yield occluded(model, x, occlusion.occluded_outputs)
    yield occluded(model, x, incremental.occluded_outputs)
    yield masks.rise(model, x, 1, zeros, count=4)


@pytest.mark.filterwarnings("ignore:torch.fx can't trace")
@pytest.mark.parametrize("kind", [TwoNames, Counting, CountingUntraceably])
def test_the_very_weights_and_the_values_of_buffers_stay(kind):
    model, x = kind(), pictures(1)
    weights = [(name, id(weight)) for name, weight in model.named_parameters()]
    buffers = [(name, id(buffer), buffer.clone()) for name, buffer in model.named_buffers()]
    for _ in each_technique(model, x):
        assert [(name, id(weight)) for name, weight in model.named_parameters()] == weights
        assert all(weight.requires_grad for weight in model.parameters())
        for (name, buffer), (as_before, place, values) in zip(model.named_buffers(), buffers):
            assert (name, id(buffer)) == (as_before, place) and torch.equal(buffer, values)


def test_networks_made_in_inference_mode_are_occluded():
    with torch.inference_mode():  # whose tensors keep no count of what was written into them
        model = Small()
        model.one = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)).eval()
        model.double()
    x = pictures(1).double()
    truth = occluded(model, x, occlusion.occluded_outputs)
    assert relative(occluded(model, x, incremental.occluded_outputs), truth) < 1e-9


def test_the_very_weights_stay_after_an_error():
    model = TwoNames()
    weights = [id(weight) for weight in model.parameters()]
    with pytest.raises(ValueError, match="0 to 4, one for each class; got 99"):
        gradients.saliency(model, pictures(1), 99)
    assert [id(weight) for weight in model.parameters()] == weights


class Adapted(nn.Linear):
    """Adapters as loralib has them: eval() merges them into the weight, train() takes them out."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs)
        self.down = nn.Parameter(torch.randn(2, inputs))
        self.up = nn.Parameter(torch.randn(outputs, 2))
        self.is_merged = False

    def train(self, mode=True):
        if mode == self.is_merged:
            with torch.no_grad():
                self.weight += (self.up @ self.down) * (-1 if mode else 1)
            self.is_merged = not mode
        return super().train(mode)

    def forward(self, x):
        more = 0 if self.is_merged else self.up @ self.down
        return functional.linear(x, self.weight + more, self.bias)


@pytest.mark.filterwarnings("ignore:The model is in training mode")
def test_what_eval_does_besides_is_undone():
    model, x = Small(), pictures(1)
    model.head = Adapted(8, 5)
    before = model.train().head.weight.clone()
    for _ in each_technique(model, x):
        assert model.head.training and not model.head.is_merged
        assert torch.allclose(model.head.weight, before, atol=1e-5)
    model(x).sum().backward()
    assert model.head.down.grad is not None


def test_threads_wait_for_each_other():
    model, x = WithRelu(), pictures(1)
    weights = [id(weight) for weight in model.parameters()]
    truth = cam.grad_cam(model, model.relu, x, 1), gradients.saliency(model, x, 1)

    def ask(_):
        maps = cam.grad_cam(model, model.relu, x, 1)
        recorded = activations.record(model, {"relu": model.relu}, x)["relu"]
        return maps, gradients.saliency(model, x, 1), recorded

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(40)))
    for maps, saliency, recorded in answers:
        assert torch.equal(maps, truth[0]) and torch.equal(saliency, truth[1])
        assert recorded.shape == answers[0][2].shape
    assert [id(weight) for weight in model.parameters()] == weights


# ---------------------------------------------------------------------------- ways around a layer


class Around(Small):
    """A residual connection leads around its second convolution."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3, padding=1)
        self.two = nn.Conv2d(8, 8, 3, padding=1)

    def maps(self, x):
        before = self.one(x).relu()
        return (before + self.two(before)).relu() ** 2


def test_what_leads_around_a_layer_carries_the_picture():
    model, x = Around().double(), pictures(2).double()
    baseline = 0.1 * pictures(1, 16).double()
    ours = gradients.integrated_gradients(model, x, 1, baseline, 48, layer=model.two)
    captum = LayerIntegratedGradients(model, model.two)
    truth = captum.attribute(x, baseline.expand_as(x), 1, n_steps=48, method="gausslegendre")
    assert relative(ours, truth) < 1e-6
    with torch.no_grad():
        at_baseline = model.two(model.one(baseline).relu())
        handle = model.two.register_forward_hook(lambda *_: at_baseline.expand(len(x), -1, -1, -1))
        without = model(x)[:, 1]
        handle.remove()
        change = model(x)[:, 1] - without
    assert torch.allclose(ours.flatten(1).sum(1), change, rtol=1e-3)
    background = torch.cat([baseline, pictures(3).double()])
    expected = gradients.expected_gradients(model, x[:1], 1, background, 400, layer=model.two)
    each = gradients.integrated_gradients(
        model, x[:1].expand(4, -1, -1, -1), 1, background, layer=model.two
    )
    assert relative(expected[0], each.mean(0)) < 0.1


# ---------------------------------------------------------------------------- ReLUs nobody hears


@torch.jit.script
def scripted(x: torch.Tensor) -> torch.Tensor:
    return torch.relu(x)


class Rectified(Small):
    def __init__(self, rectify):
        super().__init__()
        self.rectify = rectify

    def maps(self, x):
        return self.two(self.rectify(self.one(x))).relu()


OPERATORS = [
    torch.ops.aten.relu, torch.ops.aten.relu.default, torch.ops.aten.relu_.default,
    lambda x: torch.ops.aten.clamp_min.default(x, 0),
]  # fmt: skip
UNHEARD = [
    scripted,
    torch.jit.trace(lambda x: x.relu(), torch.zeros(1, 4, 16, 16)),
    lambda x: x * (x.detach() > 0),
    lambda x: x - torch.minimum(x, torch.zeros_like(x)),
]


@pytest.mark.parametrize("technique", [gradients.guided_backprop, gradients.deconvnet])
def test_relus_take_the_rule_or_are_told(technique):
    x = pictures(1)
    truth = technique(Rectified(functional.relu), x, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rectify in OPERATORS:
            assert relative(technique(Rectified(rectify), x, 1), truth) < 1e-5
    for rectify in UNHEARD:
        with pytest.warns(UserWarning, match="gradients pass there the plain way"):
            technique(Rectified(rectify), x, 1)


# ---------------------------------------------------------------------------- and more of them


class Rounding(Small):
    def forward(self, x):
        return super().forward((x * 8).round() / 8)


def test_warnings_name_the_line_of_whoever_asked():
    model, x = Rounding(), pictures(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # once for each line
        gradients.saliency(model, x, 1)
        gradients.saliency(model, x, 1)
        gradients.guided_backprop(model, x, 1)
        gradients.integrated_gradients(model, x, 1, torch.zeros_like(x), 64)
    flat = [each for each in caught if "zero everywhere" in str(each.message)]
    assert len({each.lineno for each in flat}) == 4
    assert {each.filename for each in caught} == {__file__}


def test_a_gradient_that_is_zero_everywhere_is_told():
    model, x = Rounding(), pictures(1)
    for technique in (
        lambda: gradients.saliency(model, x, 1),
        lambda: gradients.integrated_gradients(model, x, 1, torch.zeros_like(x), 2),
        lambda: gradients.expected_gradients(model, x, 1, pictures(2), 2),
    ):
        with pytest.warns(UserWarning, match="zero everywhere for picture 0"):
            technique()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not gradients.integrated_gradients(Small(), x, 1, x, 2).any()
        gradients.smoothgrad(model, x, 1, 2)  # so much noise that every ReLU is off is no fault


class ChannelsLast(Small):
    """Its maps are (N, h, w, C) with h = 8, w = 16 and C = 32."""

    def __init__(self):
        super().__init__()
        self.two = nn.Conv2d(4, 32, 3, stride=2, padding=1)
        self.last = nn.Identity()
        self.head = nn.Linear(32, 5)

    def forward(self, x):
        maps = self.last(self.two(self.one(x)).permute(0, 2, 3, 1).contiguous())
        return self.head(maps.mean((1, 2)))


def test_shapes_that_fit_both_orders_are_told():
    model = ChannelsLast()
    x = torch.randn(2, 3, 16, 32, generator=torch.Generator().manual_seed(1))
    with pytest.warns(UserWarning, match="may be .N, C, h, w. or .N, h, w, C."):
        cam.grad_cam(model, model.last, x, 1)


def test_a_convolution_s_maps_fit_one_order_whatever_their_shape():
    model = Small()
    model.two = nn.Conv2d(4, 16, 3, padding=1)
    model.head = nn.Linear(16, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cam.grad_cam(model, model.two, pictures(2), 1)  # maps (2, 16, 16, 16)


class LossFirst(Small):
    def forward(self, x):
        scores = super().forward(x)
        return scores.mean(), scores


def test_a_loss_is_no_score():
    for technique in each_technique, lambda model, x: [gradients.saliency(model, x, 1)]:
        with pytest.raises(ValueError, match="at first a single number, maybe a loss"):
            list(technique(LossFirst(), pictures(1)))


class Asserting(Small):
    def forward(self, x):
        torch._assert(x.shape[2] % 24 == 0, "")
        return super().forward(x)


@pytest.mark.filterwarnings("ignore:torch.fx can't trace")
def test_an_error_without_words_is_an_error():
    with pytest.raises(ValueError, match="does it need another size.*AssertionError"):
        occluded(Asserting(), pictures(1), incremental.occluded_outputs)


def test_receptive_fields_end_before_what_settings_do_not_tell():
    hooked, patched = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3)
    hooked.register_forward_pre_hook(lambda _module, inputs: functional.avg_pool2d(*inputs, 5))
    patched.forward = lambda x: x.flip(-1)
    for last in (nn.BatchNorm2d(8, track_running_stats=False), hooked, patched):
        fields = activations.receptive_fields({"one": nn.Conv2d(3, 8, 3), "last": last})
        assert list(fields) == ["one"]


def test_a_deconvnet_refuses_hooks_that_change_something_and_no_others():
    network, x, seen = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), pictures(1), []
    truth = deconvolution.deconvnet(network, network[1], x, 0)
    network[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    assert torch.equal(deconvolution.deconvnet(network, network[1], x, 0), truth) and seen
    network[0].register_forward_hook(lambda _module, _inputs, output: 3 * output)
    with pytest.raises(ValueError, match="'0' .its hooks change what it returns.: remove them"):
        deconvolution.deconvnet(network, network[1], x, 0)


class Remembering(Small):
    """Keeps what it computed: for its own next run, and for whoever wants to look."""

    def __init__(self):
        super().__init__()
        self.place = None
        self.last = None
        self.seen = []
        self.by_name = {}
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        maps = self.one(x).relu()
        if self.place is None:
            self.place = torch.linspace(0, 1, maps.shape[-1])
        self.last = maps
        self.seen.append(maps)
        self.by_name["one"] = maps
        self.mean = maps.detach().mean((0, 2, 3))
        maps = maps * torch.tensor([0.5]) + self.place
        return self.head(self.two(maps).relu().mean((2, 3)))


def test_tracing_leaves_no_symbols_in_a_network():
    model, x = Remembering().double(), pictures(1).double()
    attributes = set(vars(model))
    truth = occluded(model, x, occlusion.occluded_outputs)
    model.place, seen = None, list(model.seen)
    assert incremental.trace(model) is not None
    assert model.place is None and len(model.seen) == len(seen)
    assert set(vars(model)) == attributes and not model.mean.any()
    assert relative(occluded(model, x, incremental.occluded_outputs), truth) < 1e-9
    incremental.growth(model, x, torch.tensor([0, 0, 4, 4]))
    kept = [model.place, model.last, *model.seen, *model.by_name.values(), model.mean, model(x)]
    assert all(type(value) is torch.Tensor for value in kept)
    assert set(vars(model)) == attributes


class DroppingAlways(Small):
    """Dropout that stays on, for many answers about one picture."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout2d(0.5)

    def train(self, mode=True):
        super().train(mode)
        for part in self.modules():
            part.training = part.training or isinstance(part, nn.Dropout2d)
        return self

    def maps(self, x):
        return self.drop(super().maps(x))


def test_dropout_that_stays_on_is_not_traced_away():
    model = DroppingAlways().eval()
    with (
        pytest.warns(UserWarning, match="'drop' stays in training mode"),
        pytest.warns(UserWarning, match="changes from run to run"),
    ):
        occluded(model, pictures(1), incremental.occluded_outputs)


# ---------------------------------------------------------------------------- function transforms


class Transformed(Small):
    """Runs its layers inside of one of torch's function transforms."""

    def __init__(self, transform):
        super().__init__()
        self.transform = transform

    def forward(self, x):
        def scores(x):
            return self.head(self.maps(x).mean((2, 3)))

        if self.transform == "vmap":
            return torch.vmap(lambda picture: scores(picture[None])[0])(x)
        if self.transform == "functionalize":
            return torch.func.functionalize(scores)(x)
        return scores(x + torch.func.grad(lambda x: scores(x).sum())(x))


CATCHING = {
    "record": lambda net, x: activations.record(net, {"two": net.two}, x),
    "box": lambda net, x: activations.box_by_gradient(net, net.two, 3, 3, x),
    "Grad-CAM": lambda net, x: cam.grad_cam(net, net.two, x, 1),
    "LayerCAM": lambda net, x: cam.layer_cam(net, net.two, x, 1),
    "CAM": lambda net, x: cam.cam(net, net.two, net.head, x, 1),
    "saliency": lambda net, x: gradients.saliency(net, x, 1, layer=net.two),
    "ascent": lambda net, x: ascent.target_scores(net, x, [1] * len(x), layer=net.two),
    "search": lambda net, x: search.search(net, net.two, x, lambda x: x, 2, progress=False),
}


@pytest.mark.parametrize("transform", ["vmap", "functionalize"])
@pytest.mark.parametrize("catch", CATCHING.values(), ids=CATCHING)
def test_what_a_layer_returns_can_not_be_taken_out_of_a_transform(transform, catch):
    with pytest.raises(
        ValueError, match=r"The layer.* runs inside of torch\.vmap.*: choose"
    ) as error:
        catch(Transformed(transform), pictures())
    assert "\n" not in str(error.value) and "another size" not in str(error.value)


@pytest.mark.parametrize("transform", ["vmap", "functionalize", "grad"])
def test_the_picture_s_own_gradient_passes_transforms(transform):
    net, x = Transformed(transform), pictures()
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(leaf)[:, 1].sum(), leaf)
    assert torch.allclose(gradients.saliency(net, x, 1), expected, atol=1e-6)


def test_layers_beside_a_transform_and_inside_of_a_gradient_are_caught():
    net, x = Transformed("grad"), pictures()
    maps = activations.record(net, {"two": net.two}, x)["two"]
    moved = x + torch.func.grad(lambda x: Small()(x).sum())(x)
    assert torch.allclose(maps, Small().two(Small().one(moved).relu()), atol=1e-5)
