"""Every technique on EfficientNet-Lite0, in float64, against Captum, autograd and plain loops."""

import copy
import warnings

import captum.attr
import pytest
import torch
from torch import nn

from course_utils import (
    ascent,
    cam,
    deconvolution,
    gradients,
    imagenet,
    incremental,
    occlusion,
    pictures,
    search,
)

EGYPTIAN_CAT = 285


class CappedReLU(nn.ReLU):
    """A ReLU6 that Captum takes for a ReLU, so that its rules reach it."""

    def forward(self, values):
        return values.clamp(0, 6)


@pytest.fixture(scope="module")
def classifier():
    """In float64, where differences are those of the methods."""
    classifier = imagenet.load_imagenet()
    classifier.model.double()
    return classifier


@pytest.fixture(scope="module")
def model(classifier):
    return classifier.model


@pytest.fixture(scope="module")
def x(classifier):
    return classifier.preprocess(pictures.open_picture("chelsea", 224)).double()


def assert_equal(found, expected):
    """To 1e-5 of the largest value."""
    largest = expected.abs().max().item()
    assert largest > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * largest)


def for_captum(model):
    """The same network with ReLUs that Captum knows."""
    other = copy.deepcopy(model)
    for module in list(other.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, CappedReLU())
    return other


def _outputs(model, layer, x):
    """What a layer returns for x."""
    kept = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: kept.append(output))
    model(x)
    handle.remove()
    return kept[0]


# ---------------------------------------------------------------------------- gradients


def test_saliency_is_autograds_gradient(model, x):
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf)[0, EGYPTIAN_CAT], leaf)
    assert_equal(gradients.saliency(model, x, EGYPTIAN_CAT), expected)


@pytest.mark.parametrize(
    "function, method",
    [
        (gradients.guided_backprop, captum.attr.GuidedBackprop),
        (gradients.deconvnet, captum.attr.Deconvolution),
    ],
)
def test_relu6_follows_the_rules_as_captums_relus_do(model, x, function, method):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum says that it sets hooks
        expected = method(for_captum(model)).attribute(x, target=EGYPTIAN_CAT)
    found = function(model, x, EGYPTIAN_CAT)
    assert_equal(found, expected.detach())
    plain = gradients.saliency(model, x, EGYPTIAN_CAT)
    assert (found - plain).abs().max() > 0.01 * plain.abs().max()


def test_integrated_gradients_are_captums(model, x):
    grey = torch.zeros_like(x)
    captums = captum.attr.IntegratedGradients(model)
    expected = captums.attribute(
        x, grey, target=EGYPTIAN_CAT, n_steps=4, method="gausslegendre", internal_batch_size=4
    )
    found = gradients.integrated_gradients(model, x, EGYPTIAN_CAT, grey, steps=4)
    assert_equal(found, expected)


def test_expected_gradients_at_the_last_maps_are_exact(model, classifier, x):
    """From there on the score is linear, so any number of samples gives the expectation."""
    layer, head = classifier.layer("head.relu"), classifier.layer("classifier")
    noise = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(x)
    coffee = classifier.preprocess(pictures.open_picture("coffee", 224)).double()
    background = torch.cat([noise, coffee])
    found = gradients.expected_gradients(model, x, EGYPTIAN_CAT, background, samples=2, layer=layer)
    maps = _outputs(model, layer, torch.cat([x, background]))
    weights = head.weight[EGYPTIAN_CAT][:, None, None] / maps[0, 0].numel()
    assert_equal(found[0], weights * (maps[0] - maps[1:].mean(0)))


# ---------------------------------------------------------------------------- maps of layers


@pytest.mark.parametrize("name", ["block5", "block11.depthwise_relu", "head.relu"])
def test_grad_cam_is_captums(model, classifier, x, name):
    layer = classifier.layer(name)
    expected = captum.attr.LayerGradCam(model, layer).attribute(x, target=EGYPTIAN_CAT)
    found = cam.grad_cam(model, layer, x, EGYPTIAN_CAT, relu=False)
    assert_equal(found, expected[:, 0].detach())


def test_it_has_a_cam_whose_mean_is_the_score(model, classifier, x):
    head = classifier.layer("classifier")
    heatmap = cam.cam(model, classifier.layer("head.relu"), head, x, EGYPTIAN_CAT)
    with torch.no_grad():
        score = model(x)[0, EGYPTIAN_CAT]
    assert_equal(heatmap.mean() + head.bias[EGYPTIAN_CAT], score)


# ---------------------------------------------------------------------------- occlusion


def test_incremental_occlusion_is_exact(model, x):
    """Strided convolutions with padding on two sides, depthwise ones and residual sums."""
    places = torch.tensor([[0, 0, 20, 20], [97, 101, 117, 121], [204, 204, 224, 224]])
    grey = torch.zeros_like(x)
    found = torch.cat(list(incremental.occluded_outputs(model, x, grey, places)))
    expected = torch.cat(list(occlusion.occluded_outputs(model, x, grey, places)))
    assert_equal(found, expected)


def test_incremental_occlusion_starts_with_small_windows(model, x):
    steps = incremental.growth(model, x, torch.tensor([97, 101, 117, 121]))
    sizes = {name: (window[2], maps[0]) for name, window, maps in steps}
    assert sizes["stem_conv"][0] <= 12 and sizes["stem_conv"][1] == 112
    assert "block5" in " ".join(sizes)  # windows reach maps of 28 x 28 at least


# ---------------------------------------------------------------------------- units


def test_ascent_climbs_to_a_class(model, classifier):
    zebra = classifier.class_index("zebra")
    options = {"start": "fourier", "decorrelated": True, "jitter": 8, "steps": 4}
    _, frames = ascent.ascend(
        model, [zebra], 224, classifier.mean, classifier.std, keep=[0, 4], **options
    )
    with torch.no_grad():
        before, after = (model(classifier.preprocess(f).double())[0, zebra] for f in frames)
    assert after > before + 1


def test_search_finds_what_a_channel_likes_most(model, classifier):
    photos = ["chelsea", "coffee", "rocket"]
    gallery = torch.stack([pictures.open_picture(name, 224) for name in photos]).double()
    layer = classifier.layer("head.relu")
    found = search.search(model, layer, gallery, classifier.preprocess, k=3)
    maps = _outputs(model, layer, classifier.preprocess(gallery))
    strongest = maps.amax((2, 3)).T  # (channels, pictures)
    assert_equal(found.top.values, strongest.sort(dim=1, descending=True).values)


# ---------------------------------------------------------------------------- explicit deconvnet


def test_the_deconvnet_goes_back_through_the_layers_in_a_row(model, classifier, x):
    """With the gradient's rule it is the gradient of the strongest activation, times it."""
    layer = classifier.layer("block2.depthwise_relu")
    found = deconvolution.deconvnet(model, layer, x, 7, rule="gradient")
    leaf = x.clone().requires_grad_()
    peak = _outputs(model, layer, leaf)[0, 7].max()
    (gradient,) = torch.autograd.grad(peak, leaf)
    assert_equal(found, gradient * peak.detach())


def test_the_deconvnet_refuses_a_residual_sum(model, classifier, x):
    with pytest.raises(ValueError, match="can't reverse the layer 'block3' .*Residual"):
        deconvolution.deconvnet(model, classifier.layer("block4.project"), x, 0)
    with pytest.raises(ValueError, match="is inside of 'block3' .*Residual"):
        deconvolution.deconvnet(model, classifier.layer("block3.project"), x, 0)
