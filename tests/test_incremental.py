"""Incremental occlusion must give what plain occlusion gives, on every kind of network."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils import incremental, occlusion
from course_utils._torchvision import import_torchvision
from course_utils.classifiers import PlainNet, load
from course_utils.occlusion import feature_dip, logit_drop, occlusion_map
from course_utils.pictures import load_picture, load_set


def pictures(height, width, dtype=torch.float32, seed=1):
    torch.manual_seed(seed)
    return (torch.randn(1, 3, height, width, dtype=dtype) for _ in range(2))


def gap(model, height, width, patch, stride, dtype=torch.float64, measure=None, batch=None):
    """The largest difference between the incremental and the plain map, relative to the latter."""
    model = model.to(dtype).eval()
    x, replacement = pictures(height, width, dtype)
    inputs = model, x, replacement, patch, stride, measure or logit_drop(1)
    plain = occlusion_map(*inputs)
    fast = occlusion_map(*inputs, batch=batch, outputs=incremental.occluded_outputs)
    assert plain.abs().max() > 0
    return ((fast - plain).abs().max() / plain.abs().max().clamp(min=1)).item()


def plain_network(*layers, size=(24, 31), classes=3):
    """Layers followed by pooling over all positions and a linear layer."""
    torch.manual_seed(0)
    body = copy.deepcopy(nn.Sequential(*layers)).float()
    channels = body(torch.zeros(1, 3, *size)).shape[1]
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


LAYERS = {
    "convolution": [nn.Conv2d(3, 5, 3, padding=1)],
    "without padding": [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)],
    "strides": [nn.Conv2d(3, 5, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(5, 4, 3, stride=3)],
    "stride beyond the kernel": [nn.Conv2d(3, 5, 2, stride=3), nn.ReLU(), nn.Conv2d(5, 4, 3)],
    "dilation": [nn.Conv2d(3, 5, 3, padding=2, dilation=2), nn.Tanh()],
    "groups": [nn.Conv2d(3, 6, 3, padding=1), nn.GELU(), nn.Conv2d(6, 6, 3, padding=1, groups=6)],
    "rectangular": [nn.Conv2d(3, 5, (3, 5), stride=(1, 2), padding=(0, 3))],
    "max-pool": [nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)],
    "average": [nn.Conv2d(3, 5, 3, padding=1), nn.AvgPool2d(2), nn.Sigmoid(), nn.AvgPool2d(3, 1)],
    "padded average": [nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(3, 4, 3)],
    "average without the border": [nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)],
    "ceil mode": [nn.Conv2d(3, 5, 3), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(5, 4, 3)],
    "reflected border": [nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), nn.ReLU()],
    "same padding": [nn.Conv2d(3, 5, 3, padding="same"), nn.ReLU(), nn.Conv2d(5, 4, 3)],
    "batch norm": [nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(inplace=True)],
    "group norm": [nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Conv2d(6, 4, 3)],
    "transposed": [nn.Conv2d(3, 5, 3), nn.ConvTranspose2d(5, 4, 2, stride=2), nn.ReLU()],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
@pytest.mark.parametrize(("patch", "stride"), [(7, 5), (4, 4), (1, 1), (20, 2)])
def test_every_kind_of_layer(layers, patch, stride):
    model = plain_network(*layers)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
    assert gap(model, 24, 31, patch, stride) < 1e-12


class Residual(nn.Module):
    """Sums of all kinds: with and without a layer on the short cut, in place, and a constant."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.one = nn.Conv2d(6, 6, 3, padding=1)
        self.two = nn.Conv2d(6, 6, 5, padding=2)
        self.short = nn.Conv2d(6, 6, 1)
        self.shift = nn.Parameter(torch.randn(1, 6, 1, 1))
        self.relu = nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.relu(self.one(x)) + x
        y = self.two(functional.relu(self.two(x), inplace=True))
        y += self.short(x)
        y = y + self.shift
        y = y + y
        y = torch.cat([y, x], 1)[:, :6] * y.sigmoid()
        return self.head(y.mean((2, 3)))


@pytest.mark.parametrize(("patch", "stride"), [(6, 3), (11, 7), (3, 3)])
def test_residual_sums(patch, stride):
    assert gap(Residual(), 29, 22, patch, stride) < 1e-12


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_batch_does_not_matter(batch):
    assert gap(Residual(), 29, 22, 6, 3, batch=batch) < 1e-12


@pytest.mark.parametrize(("patch", "stride"), [(16, 4), (28, 28), (11, 7)])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("head", ["flatten", "gap"])
def test_a_course_network(patch, stride, dtype, limit, head):
    torch.manual_seed(0)
    model = PlainNet(classes=3, channels=(4, 8, 8, 8, 8, 8), size=64, head=head)
    assert gap(model, 64, 64, patch, stride, dtype) < limit


def test_random_geometries():
    """Odd kernels, strides, paddings, sizes and patches, drawn at random."""
    generator = torch.Generator().manual_seed(0)

    def draw(low, high):
        return int(torch.randint(low, high + 1, (1,), generator=generator))

    for _ in range(40):
        kernel, stride = draw(1, 5), draw(1, 3)
        first = nn.Conv2d(3, 3, kernel, stride, padding=draw(0, kernel // 2))
        pool_kernel = draw(1, 3)
        pool = nn.MaxPool2d(pool_kernel, draw(1, 3), padding=draw(0, pool_kernel // 2))
        second = nn.Conv2d(3, 3, draw(1, 3), draw(1, 2), padding=draw(0, 2))
        height, width, patch = draw(25, 40), draw(25, 40), draw(1, 18)
        layers = [first, nn.ReLU(), pool, second, nn.ELU()]
        model = plain_network(*layers, size=(height, width))
        assert gap(model, height, width, patch, draw(1, patch)) < 1e-12, (layers, height, width)


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 96), ("vgg11", 64), ("mobilenet_v3_small", 64)]
)
def test_torchvision_networks(name, size):
    import_torchvision()
    from torchvision import models

    torch.manual_seed(0)
    model = getattr(models, name)(weights=None).eval()
    before = [module.inplace for module in model.modules() if hasattr(module, "inplace")]
    assert gap(model, size, size, 24, 24, torch.float32) < 1e-5
    after = [module.inplace for module in model.modules() if hasattr(module, "inplace")]
    assert before == after and any(before)


class Small(nn.Module):
    """Two convolutions and a head; what happens between them is each test's own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.between(self.one(x)).mean((2, 3)))

    def between(self, y):
        return self.two(y)


class Constant(Small):
    def between(self, y):
        return self.two(2 + (y + 3) - 1)


class Dropping(Small):
    def between(self, y):
        return functional.dropout(self.two(y), 0.5, self.training)


class Ignored(Small):
    def between(self, y):
        functional.relu_(y)
        return self.two(y)


class Overwritten(Small):
    def between(self, y):
        rectified = functional.relu(y, inplace=True)
        return self.two(rectified) + y


class ByKeyword(nn.Module):
    """Calls its layers with `input=`, windows and whole maps."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 8, 3, padding=1)
        self.two = nn.Conv2d(8, 8, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(6)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        maps = self.pool(input=self.two(input=self.one(input=x).relu()).relu())
        return self.head(input=self.two(input=maps).mean((2, 3)))


def test_layers_may_be_called_by_keyword():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gap(ByKeyword(), 20, 20, 4, 4) < 1e-12


def test_a_constant_may_be_added():
    assert gap(Constant(), 24, 31, 6, 4) < 1e-12


def test_a_functional_dropout_of_a_model_in_training_mode():
    model, (x, replacement) = Dropping().double().train(), pictures(24, 31, torch.float64)
    places = occlusion.windows(24, 31, 6, 4)
    plain = torch.cat(list(occlusion.occluded_outputs(model, x, replacement, places)))
    fast = torch.cat(list(incremental.occluded_outputs(model, x, replacement, places)))
    assert torch.allclose(plain, fast, atol=1e-12)


@pytest.mark.parametrize("model", [Ignored, Overwritten])
def test_writing_in_place_what_is_read_later_is_run_the_plain_way(model):
    with pytest.warns(UserWarning, match="has overwritten"):
        assert gap(model(), 24, 31, 6, 4) < 1e-12


class Elsewhere(Small):
    """Writes zeros into the upper rows, by another name of the same memory."""

    def __init__(self, name_of):
        super().__init__()
        self.name_of = name_of

    def between(self, y):
        self.name_of(y)[:, :, :6].zero_()
        return self.two(y)


@pytest.mark.parametrize(
    "name_of",
    [
        lambda y: y.data,
        lambda y: y.type(y.dtype),
        lambda y: torch.swapdims(torch.swapdims(y, 1, 2), 1, 2),
        lambda y: torch.moveaxis(y, 0, 0),
        lambda y: y.broadcast_to(y.shape),
        lambda y: y.mT.mT,
    ],
)
def test_writing_by_another_name_is_run_the_plain_way(name_of):
    with pytest.warns(UserWarning, match="has overwritten"):
        assert gap(Elsewhere(name_of), 24, 31, 6, 4) < 1e-12


class Given(Small):
    def between(self, y):
        torch.mul(y, 2, out=y)
        return self.two(y)


def test_writing_into_what_is_given_as_out_is_run_the_plain_way():
    with pytest.warns(UserWarning, match="out="):
        gap(Given(), 24, 31, 6, 4)


class Renamed(Small):
    """An identity gives its input another name, which is read after the ReLU."""

    def __init__(self, same):
        super().__init__()
        self.same, self.relu = same, nn.ReLU()

    def between(self, y):
        return self.two(self.relu(self.same(y))) + y


class RenamedLater(Renamed):
    def between(self, y):
        same = self.same(y)
        return self.two(self.relu(y)) + same


@pytest.mark.parametrize("same", [nn.Identity, nn.Dropout, nn.Dropout2d])
@pytest.mark.parametrize("model", [Renamed, RenamedLater])
def test_a_relu_does_not_overwrite_what_has_another_name(model, same):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gap(model(same()).eval(), 24, 31, 6, 4) < 1e-12


class Lost(Small):
    """Tracing loses what is asked of tensors alone; another class's score is large."""

    def forward(self, x):
        y = self.two(self.one(x))
        if isinstance(y, torch.Tensor):
            y = y.square()
        return self.head(y.mean((2, 3))) + torch.tensor([0, 0, 3000.0])


def test_a_large_score_of_another_class_hides_nothing():
    with pytest.warns(UserWarning, match="other numbers"):
        assert gap(Lost(), 24, 31, 6, 4) < 1e-12


class OfOne(Small):
    """One number for each picture, (N,)."""

    def forward(self, x):
        return super().forward(x)[:, 0]


def test_one_number_for_each_picture():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gap(OfOne(), 24, 31, 6, 4, measure=lambda before, after: before - after) < 1e-12


@pytest.mark.parametrize("label", ["dog", "elephant", "pineapple", "submarine", "zebra"])
def test_maps_that_are_zero_nearly_everywhere_take_the_fast_way(label):
    classifier = load("look_alikes")
    entry = load_set("look_alikes", "test").filter(label=label).entries[10]
    picture = load_picture(entry)
    x, grey = (classifier.preprocess(p) for p in (picture, occlusion.fill(picture, "grey")))
    places = occlusion.windows(128, 128, 16, 16)
    inputs = classifier.model.features, x, grey, places, feature_dip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast = occlusion.drops(*inputs, outputs=incremental.occluded_outputs)
    torch.testing.assert_close(fast, occlusion.drops(*inputs), rtol=1e-4, atol=1e-4)


class Counting(Small):
    """Tracing takes any number of pictures for one."""

    def __init__(self):
        super().__init__()
        self.more = nn.Parameter(torch.randn(1, 4, 24, 31))

    def between(self, y):
        count = len(y) if isinstance(y, torch.Tensor) else 1
        return self.two(y + self.more.expand(count, -1, -1, -1)[:count])


def test_a_number_of_pictures_that_tracing_fixed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert gap(Counting(), 24, 31, 6, 4) < 1e-12


def test_hooks_on_layers_run():
    model = Small()
    model.one.register_forward_hook(lambda _layer, _inputs, output: output.clamp(min=0))
    assert gap(model, 24, 31, 6, 4) < 1e-12


@pytest.mark.parametrize("outputs", [occlusion.occluded_outputs, incremental.occluded_outputs])
def test_between_two_batches_everything_is_as_it_was(outputs):
    model, (x, replacement) = Residual().train(), pictures(24, 31)
    batches = outputs(model, x, replacement, occlusion.windows(24, 31, 6, 4), batch=3)
    next(batches)
    assert torch.is_grad_enabled() and model.training and model.relu.inplace


def test_feature_maps_as_output():
    model = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 4, 3))
    assert gap(model, 24, 31, 7, 5, measure=feature_dip) < 1e-12


class Undecided(nn.Module):
    """Asks for a value in the middle, which no tracer can follow."""

    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3))


def test_what_cannot_be_traced_is_run_the_plain_way_and_says_so():
    with pytest.warns(UserWarning, match="can't trace this network"):
        assert gap(Undecided(), 24, 31, 8, 4) < 1e-12


def test_traceable_networks_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gap(Residual(), 29, 22, 6, 6)


def test_the_model_is_left_as_it_was():
    model = Residual().train()
    x, replacement = pictures(20, 20)
    places = occlusion.windows(20, 20, 5, 5)
    list(incremental.occluded_outputs(model, x, replacement, places))
    assert model.training and model.relu.training and model.relu.inplace
    generator = incremental.occluded_outputs(model, x[:, :2], replacement[:, :2], places)
    with (
        pytest.warns(UserWarning, match="plain way"),
        pytest.raises(ValueError, match="3 channels"),
    ):
        list(generator)
    assert model.training and model.relu.inplace


def test_reach_by_hand():
    """Kernel 3, stride 1, padding 1: outputs 4 ... 11 see inputs 5 ... 10."""
    starts, size = incremental.reach(torch.tensor([5]), 6, 3, 1, 1, 20)
    assert (starts.tolist(), size) == ([4], 8)
    starts, size = incremental.reach(torch.tensor([0, 16]), 4, 3, 1, 1, 20)
    assert (starts.tolist(), size) == ([0, 15], 5)
    starts, size = incremental.reach(torch.tensor([5]), 6, 2, 2, 0, 10)
    assert (starts.tolist(), size) == ([2], 4)


def test_the_growing_window():
    torch.manual_seed(0)
    model = PlainNet(classes=2, channels=(4, 4, 4, 4, 4, 4), size=64).eval()
    x, _ = pictures(64, 64)
    steps = incremental.growth(model, x, torch.tensor([24, 16, 32, 24]))
    names = [name for name, _, _ in steps]
    assert names[:3] == ["x", "features_conv1", "features_relu1"]
    assert steps[0][1:] == ((24, 16, 8, 8), (64, 64))
    assert steps[1][1:] == ((23, 15, 10, 10), (64, 64))
    assert steps[3][1:] == ((11, 7, 6, 6), (32, 32))
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="can't trace"):
        incremental.growth(Undecided(), x, torch.tensor([0, 0, 8, 8]))
