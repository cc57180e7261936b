"""Ascent on phases: what is climbed rises, what is fixed stays, and chance is seeded."""

import pytest
import torch
from torch import nn

from course_utils.architectures import PlainNet
from course_utils.ascent import COLOURS, target_scores
from course_utils.feature_visualization import ascend_phases

MEAN = (0.4, 0.5, 0.6)
STD = (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = PlainNet(5, channels=(4, 6, 8, 8, 10, 12), size=32, head="gap").eval()
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter)
    return model.double().requires_grad_(False)


def scores(model, pictures, target):
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (MEAN, STD))
    return target_scores(model, (pictures - mean) / std, [target] * len(pictures))


def magnitudes(picture):
    """Those of the independent channels behind a picture (3, S, S), before contrast and colours."""
    root = torch.tensor(COLOURS, dtype=torch.float64)
    root = root / root.norm(dim=0).max()
    values = torch.einsum("cd,dhw->chw", root.inverse(), picture.logit())
    spectrum = torch.fft.rfft2(values).abs()
    return spectrum / spectrum[0, 0, 2]


def test_each_target_gets_a_picture_with_a_higher_score(model):
    options = {"steps": 30, "step": 0.5, "noise": 0.01, "smallest": 0.8}
    found = ascend_phases(model, [0, 3], 32, MEAN, STD, **options)
    assert found.shape == (2, 3, 32, 32) and found.dtype == torch.float64
    assert 0 <= found.min() and found.max() <= 1 and not found.requires_grad
    start = ascend_phases(model, [0], 32, MEAN, STD, steps=1, step=1e-9)
    for picture, target in zip(found, (0, 3)):
        assert scores(model, picture[None], target) > scores(model, start, target) + 0.1
        others = scores(model, found, target)
        assert others.argmax() == (0, 3).index(target)


def test_the_spectrum_is_fixed(model):
    """Besides components that must be real: those mix with their mirror images."""
    found = ascend_phases(model, [1, 2], 32, MEAN, STD, steps=3, falloff=1.5)
    rows = torch.fft.fftfreq(32, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(32, dtype=torch.float64)[None]
    expected = (rows.square() + columns.square()).sqrt().clamp_min(1 / 32) ** -1.5
    expected = (expected / expected[0, 2]).expand(3, -1, -1)
    for picture in found:
        inner = magnitudes(picture)[..., 1:-1]
        torch.testing.assert_close(inner, expected[..., 1:-1], rtol=1e-4, atol=1e-6)


def test_the_seed_decides_and_the_other_targets_do_not(model):
    options = {"steps": 3, "crops": 3}
    both = ascend_phases(model, [0, 3], 32, MEAN, STD, **options)
    alone = ascend_phases(model, [3], 32, MEAN, STD, **options)
    torch.testing.assert_close(both[1], alone[0])
    other = ascend_phases(model, [3], 32, MEAN, STD, seed=2, **options)
    assert (other - alone).abs().max() > 0.1


def test_units_of_a_layer_can_be_targets(model):
    layer = model.features.conv3
    found = ascend_phases(model, [(2, 4, 4)], 32, MEAN, STD, layer=layer, steps=3)
    assert found.shape == (1, 3, 32, 32) and found.isfinite().all()


@pytest.mark.parametrize(
    "options, said",
    [
        ({"steps": 0}, "steps=0"),
        ({"crops": 0}, "crops=0"),
        ({"smallest": 0.0}, "smallest=0.0"),
        ({"smallest": 1.5}, "smallest=1.5"),
        ({"contrast": -1.0}, "contrast=-1.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(model, options, said):
    with pytest.raises(ValueError, match=said):
        ascend_phases(model, [0], 32, MEAN, STD, **options)


def test_a_class_that_is_not_there_is_refused(model):
    with pytest.raises(ValueError, match="there is no class 5"):
        ascend_phases(model, [5], 32, MEAN, STD, steps=1)
