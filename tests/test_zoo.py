"""Fast occlusion equals the plain one, on networks that nobody here wrote and on made-up graphs.

Either the two agree to a millionth, in double precision, or a warning says that the plain way runs.
"""

import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from course_utils import incremental, occlusion
from course_utils._torchvision import import_torchvision

TORCHVISION = (
    "alexnet:64 convnext_tiny:32 densenet121:32 efficientnet_b0:32 googlenet:64 inception_v3:80"
    " mnasnet0_5:32 mobilenet_v2:32 mobilenet_v3_small:32 regnet_x_400mf:32 regnet_y_400mf:32"
    " resnet18:32 resnext50_32x4d:32 shufflenet_v2_x0_5:32 squeezenet1_1:64 swin_t:32 swin_v2_t:64"
    " vgg11_bn:32 vit_b_16:32 wide_resnet50_2:32 efficientnet_v2_s:32"
).split()
"""One of each family, with the size of its pictures."""

TIMM = (
    "resnetv2_50:32 regnety_002:32 tf_efficientnet_lite0:32 mobilenetv3_small_050:32"
    " ghostnet_050:32 hrnet_w18_small:64 res2net50_14w_8s:32 dla34:64 vovnet39a:32 cspresnet50:32"
    " densenet121:32 convnextv2_atto:32 repvgg_a0:32 fastvit_t8:64 edgenext_xx_small:64"
    " poolformer_s12:64 eca_resnet33ts:64 selecsls42:64 skresnet18:64 resnest14d:64 rexnet_100:64"
    " tresnet_m:64 pvt_v2_b0:64 hardcorenas_a:32 lcnet_050:32"
    " tinynet_e:32 starnet_s1:64 gernet_s:32 semnasnet_050:32"
).split()


def lively(model):
    """The model in double precision, with weights and statistics that let every branch count."""
    generator = torch.Generator().manual_seed(1)
    noise = 0.02 * torch.randn(99_991, generator=generator)  # again and again: drawing takes long
    model = model.double().eval().requires_grad_(False)
    for parameter in model.parameters():
        for part in parameter.view(-1).split(len(noise)):
            part += noise[: len(part)]
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(0.1 * torch.randn(shape, generator=generator))
            module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
    return model


def both_ways(model, height, width, patch, stride):
    """Scores under three patches: the fast way, the plain way, and what the fast way warned of."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 3, height, width, generator=generator, dtype=torch.float64)
    replacement = torch.zeros_like(x)
    places = occlusion.windows(height, width, patch, stride)
    places = places[[0, len(places) // 2, len(places) - 1]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fast = torch.cat(list(incremental.occluded_outputs(model, x, replacement, places)))
    plain = torch.cat(list(occlusion.occluded_outputs(model, x, replacement, places)))
    return fast, plain, [str(each.message) for each in caught if "plain way" in str(each.message)]


def assert_exact(fast, plain):
    """Compared with how much the patches change, which is what a map shows."""
    assert fast.shape == plain.shape
    scale = plain.abs().max().clamp(min=1e-9)
    assert (fast - plain).abs().max() <= 1e-6 * scale


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_families(name):
    name, size = name.split(":")
    options = {"image_size": int(size)} if name.startswith("vit") else {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": False}
    if name.startswith("vgg"):
        options = {"init_weights": False}  # its layers have drawn weights already
    torch.manual_seed(0)
    models = import_torchvision().models
    model = lively(models.get_model(name, weights=None, num_classes=4, **options))
    fast, plain, _ = both_ways(model, int(size), int(size), int(size) // 4, int(size) // 4)
    assert_exact(fast, plain)


@pytest.mark.parametrize("name", TIMM)
def test_timms_families(name):
    import_torchvision()
    timm = pytest.importorskip("timm")
    name, size = name.split(":")
    torch.manual_seed(0)
    model = lively(timm.create_model(name, num_classes=4))
    fast, plain, warned = both_ways(model, int(size), int(size), int(size) // 4, int(size) // 4)
    assert_exact(fast, plain)
    # Padding that looks at the size of its input branches in Python.
    assert bool(warned) == (name == "tf_efficientnet_lite0")


# ---------------------------------------------------------------------------- made-up graphs


class Made(nn.Module):
    """A network put together from steps, each of which has been a trap for traced graphs."""

    CHANNELS = 8

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.first = nn.Conv2d(3, self.CHANNELS, 3, padding=1)
        self.convs = nn.ModuleList(
            [nn.Conv2d(self.CHANNELS, self.CHANNELS, 3, padding=1) for _ in steps]
        )
        self.norms = nn.ModuleList([nn.BatchNorm2d(self.CHANNELS) for _ in steps])
        self.wide = nn.Conv2d(self.CHANNELS, 2 * self.CHANNELS, 1)
        self.head = nn.Linear(self.CHANNELS, 3)

    def forward(self, x):
        x = self.first(x)
        for step, conv, norm in zip(self.steps, self.convs, self.norms):
            x = getattr(self, step)(x, conv, norm)
        return self.head(x.mean((2, 3)))

    def plain(self, x, conv, norm):
        return conv(x).relu()

    def normed(self, x, conv, norm):
        return nn.functional.relu(norm(conv(x)), inplace=True)

    def residual(self, x, conv, norm):
        return x + conv(x).relu()

    def residual_in_place(self, x, conv, norm):
        out = conv(x)
        out += x
        return out.relu_()

    def gated(self, x, conv, norm):
        values, gate = self.wide(conv(x)).chunk(2, dim=1)
        return x + values * gate.sigmoid()

    def split_and_joined(self, x, conv, norm):
        left, right = torch.split(conv(x), [3, self.CHANNELS - 3], dim=1)
        return torch.cat([right, left.relu()], dim=1)

    def shuffled(self, x, conv, norm):
        n, channels, height, width = x.size(0), x.size(1), x.size(2), x.size(3)
        x = x.reshape(n, 2, channels // 2, height, width).transpose(1, 2)
        return conv(x.reshape(n, channels, height, width))

    def squeezed(self, x, conv, norm):
        return x * conv(x).mean((2, 3), keepdim=True).sigmoid()

    def pooled(self, x, conv, norm):
        return nn.functional.max_pool2d(conv(x), 2)

    def enlarged(self, x, conv, norm):
        return nn.functional.interpolate(conv(x), scale_factor=2)

    def attended(self, x, conv, norm):
        tokens = conv(x).flatten(2)
        weights = (tokens.transpose(1, 2) @ tokens / 30).softmax(-1)
        return (tokens @ weights).view_as(x)

    def alias_written(self, x, conv, norm):
        other = x
        other += 0.5
        return conv(x) + other

    def view_written(self, x, conv, norm):
        x = conv(x)
        x[:, :2].mul_(2.0)
        return x

    def half_written(self, x, conv, norm):
        x = conv(x)
        first = x.narrow(1, 0, 4)
        first.relu_()
        return x + 1

    def shifted(self, x, conv, norm):
        return conv(torch.roll(x, 1, 2)) - x

    def maximum_of_two(self, x, conv, norm):
        return torch.maximum(conv(x), x)

    def ends_swapped(self, x, conv, norm):
        return conv(x.flip(3))


STEPS = [
    name for name in vars(Made) if not name.startswith("_") and name not in ("CHANNELS", "forward")
]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=4),
    st.sampled_from([(16, 16, 4, 4), (20, 12, 5, 3), (17, 23, 6, 4)]),
)
def test_made_up_graphs(steps, geometry):
    torch.manual_seed(0)
    model = lively(Made(steps))
    fast, plain, _ = both_ways(model, *geometry)
    assert_exact(fast, plain)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_by_itself(step):
    torch.manual_seed(0)
    model = lively(Made([step, "plain"]))
    fast, plain, warned = both_ways(model, 16, 16, 4, 4)
    assert_exact(fast, plain)
    # What writes into something that is read later can't be kept, and the network runs as it is.
    assert bool(warned) == (step in ("alias_written", "view_written", "half_written"))


def test_a_network_that_mixes_its_batch_is_refused():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).mean((2, 3)).sum(0, keepdim=True)

    x = torch.randn(1, 3, 16, 16)
    with pytest.raises(ValueError, match="doesn't treat the pictures of a batch one by one"):
        occlusion.occlusion_map(
            Mixing().eval(), x, torch.zeros_like(x), 4, 4, occlusion.logit_drop(1)
        )


def test_hooks_inside_a_block_are_not_lost():
    torch.manual_seed(0)
    model = lively(nn.Sequential(Made(["residual", "plain"])))
    model[0].register_forward_hook(lambda _module, _inputs, output: output * 2)
    fast, plain, warned = both_ways(model, 16, 16, 4, 4)
    assert_exact(fast, plain)
    assert "has hooks" in warned[0]
