"""RISE against a plain double loop; learned masks against planted answers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from course_utils import masks


class Bright(nn.Module):
    """Class 1 is probable where the given corner of a picture is bright."""

    def __init__(self, rows, columns):
        super().__init__()
        self.window = rows, columns

    def forward(self, x):
        seen = 8 * x[:, :, self.window[0], self.window[1]].mean((1, 2, 3)) - 4
        return torch.stack([torch.zeros_like(seen), seen], 1)


TOP_LEFT = slice(0, 6), slice(0, 6)


@pytest.fixture
def case():
    """A corner that counts, a white picture, a black baseline."""
    x = torch.ones(1, 3, 16, 24)
    return Bright(*TOP_LEFT), x, torch.zeros_like(x)


def test_masks_are_smooth_random_and_in_range():
    generator = torch.Generator().manual_seed(0)
    found = masks.random_masks(20, 30, 400, cells=5, share=0.3, generator=generator)
    assert found.shape == (400, 20, 30)
    assert found.min() >= 0 and found.max() <= 1
    assert found.mean().item() == pytest.approx(0.3, abs=0.02)
    assert found.diff(dim=1).abs().max() <= 1 / 4 + 1e-6  # a cell is 4 pixels high


def test_rise_is_a_plain_double_loop(case):
    model, x, baseline = case
    generator = torch.Generator().manual_seed(3)
    drawn = masks.random_masks(16, 24, 11, cells=4, share=0.4, generator=generator)
    total, shown = torch.zeros(16, 24), torch.zeros(16, 24)
    for mask in drawn:
        probability = model(mask * x + (1 - mask) * baseline).softmax(1)[0, 1]
        for row in range(16):
            for column in range(24):
                total[row, column] += probability * mask[row, column]
                shown[row, column] += mask[row, column]
    found = masks.rise(model, x, 1, baseline, 11, cells=4, share=0.4, seed=3, batch=4)
    assert torch.allclose(found, total / shown, atol=1e-6)


def test_rise_does_not_depend_on_the_batch_and_follows_the_seed(case):
    model, x, baseline = case
    one = masks.rise(model, x, 1, baseline, 9, seed=1, batch=2)
    assert torch.allclose(one, masks.rise(model, x, 1, baseline, 9, seed=1, batch=9), atol=1e-6)
    assert not torch.allclose(one, masks.rise(model, x, 1, baseline, 9, seed=2))


def test_rise_of_a_constant_network_is_flat(case):
    class Constant(nn.Module):
        def forward(self, x):
            return x.new_tensor([0.0, 1.0]).expand(len(x), 2)

    _, x, baseline = case
    found = masks.rise(Constant(), x, 1, baseline, 20)
    assert torch.allclose(found, found[0, 0].expand_as(found), atol=1e-6)


@pytest.mark.parametrize("method", [masks.rise, masks.learned_mask])
def test_maps_find_the_planted_corner(method):
    for window in (TOP_LEFT, (slice(9, 15), slice(1, 7)), (slice(1, 7), slice(17, 23))):
        x = torch.ones(1, 3, 16, 24)
        found = method(Bright(*window), x, 1, torch.zeros_like(x))
        inside = torch.zeros(16, 24, dtype=torch.bool)
        inside[window] = True
        assert found.shape == (16, 24) and not found.requires_grad
        assert found[inside].mean() > found[~inside].mean() + 0.1


def test_a_learned_mask_takes_both_of_two_sufficient_parts():
    """The class needs either corner: covering one alone changes nothing."""

    class Either(nn.Module):
        def __init__(self):
            super().__init__()
            self.eyes = nn.ModuleList([Bright(*TOP_LEFT), Bright(slice(8, 14), slice(16, 22))])

        def forward(self, x):
            return torch.stack([eye(x) for eye in self.eyes]).amax(0)

    model = Either()
    x = torch.ones(1, 3, 16, 24)
    baseline = torch.zeros_like(x)
    covered = x.clone()
    covered[:, :, TOP_LEFT[0], TOP_LEFT[1]] = 0
    assert torch.equal(model(covered), model(x))
    gone = masks.learned_mask(model, x, 1, baseline)
    for eye in model.eyes:
        assert gone[eye.window].mean() > 0.4
    assert gone[:, 10:13].mean() < 0.1
    left = masks.blend(x, baseline, 1 - gone[None])
    assert model(left).softmax(1)[0, 1] < 0.3 < 0.9 < model(x).softmax(1)[0, 1]


def test_a_larger_price_of_area_takes_less(case):
    model, x, baseline = case
    sizes = [masks.learned_mask(model, x, 1, baseline, area=a).mean() for a in (0.1, 1.0)]
    assert sizes[1] < sizes[0]


def test_the_network_and_the_picture_stay_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)).eval()
    x = torch.rand(1, 3, 8, 8)
    copy = x.clone()
    masks.learned_mask(model, x, 0, torch.zeros_like(x), cells=4, steps=3)
    masks.rise(model, x, 0, torch.zeros_like(x), 3, cells=4)
    assert torch.equal(x, copy)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_masks_run_a_few_at_a_time():
    sizes = []

    class Counting(nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            return functional.pad(x.mean((1, 2, 3))[:, None], (0, 1))

    x = torch.rand(1, 3, 8, 8)
    masks.rise(Counting(), x, 0, torch.zeros_like(x), 21, cells=2, batch=8)
    assert sizes[-3:] == [8, 8, 5] and max(sizes) == 8  # before, one picture tells the layout


def test_what_can_not_be_asked_is_refused(case):
    model, x, baseline = case
    for batch in (0, -1, 2.5):
        with pytest.raises(ValueError, match="batch=.* a whole number"):
            masks.rise(model, x, 0, baseline, 4, batch=batch)
    for method in (masks.rise, masks.learned_mask):
        with pytest.raises(ValueError, match="The targets are 0 to 1"):
            method(model, x, 5, baseline)
        with pytest.raises(ValueError, match="one preprocessed picture"):
            method(model, x[0], 1, baseline)
        with pytest.raises(ValueError, match="preprocess it as x was"):
            method(model, x, 1, baseline[..., :4])
        with pytest.raises(ValueError, match="NaN"):
            method(model, x * torch.nan, 1, baseline)
        with pytest.raises(ValueError, match="cells=0"):
            method(model, x, 1, baseline, cells=0)
    with pytest.raises(ValueError, match="share=1"):
        masks.rise(model, x, 1, baseline, share=1)
    with pytest.raises(ValueError, match="more than the 16 x 24 pixels"):
        masks.rise(model, x, 1, baseline, cells=17)
    with pytest.raises(ValueError, match="steps=0"):
        masks.learned_mask(model, x, 1, baseline, steps=0)
