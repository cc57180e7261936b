"""Winograd's convolutions must give what torch's give, for every size of maps, and lose no more."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from course_utils import _winograd, incremental, occlusion


def convolution(inputs, outputs, dtype=torch.float64, **options):
    torch.manual_seed(0)
    return nn.Conv2d(inputs, outputs, 3, dtype=dtype, **options).eval().requires_grad_(False)


def direct(conv, x):
    return functional.conv2d(x, conv.weight, conv.bias)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 4),
    channels=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(3, 17), st.integers(3, 17)),
    side=st.sampled_from(list(_winograd.POINTS)),
    bias=st.booleans(),
    order=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_all_sizes(count, channels, size, side, bias, order):
    conv = convolution(*channels, bias=bias)
    x = torch.randn(count, channels[0], *size, dtype=torch.float64).contiguous(memory_format=order)
    found = _winograd.Filters(conv, side).convolve(x)
    torch.testing.assert_close(found, direct(conv, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("side", _winograd.POINTS)
def test_no_more_is_lost_than_in_a_direct_convolution(side):
    """Twice as much in the mean at most, with rectified maps and weights as networks have them."""
    conv = convolution(256, 256, torch.float32)
    x = torch.randn(2, 256, 14, 14).relu()
    exact = direct(conv.double(), x.double())
    conv.float()
    filters = _winograd.Filters(conv, side)

    def lost(values):
        return (values - exact).square().mean().sqrt()

    assert lost(filters.convolve(x)) < 2 * lost(direct(conv, x))


@pytest.mark.parametrize(
    ("channels", "outputs", "side"),
    [(512, 12, 4), (512, 9, 3), (512, 2, 2), (512, 1, None), (96, 8, 4), (32, 12, None)],
)
def test_the_tiles_that_take_least(channels, outputs, side):
    """For each pair of channels: 12 = 3 * 4 outputs take 9 * 36 products and not 9 * 144."""
    conv, x = nn.Conv2d(channels, channels, 3), torch.zeros(1, channels, outputs + 2, outputs + 2)
    assert _winograd.best_tile(conv, x) == side


def test_pieces_do_not_matter(monkeypatch):
    conv = convolution(3, 2)
    x = torch.randn(5, 3, 9, 9, dtype=torch.float64)
    filters = _winograd.Filters(conv, 4)
    whole = filters.convolve(x)
    monkeypatch.setattr(_winograd, "INPUTS", 2 * 36 * 4 * 3)  # two pictures at a time
    torch.testing.assert_close(filters.convolve(x), whole, rtol=1e-12, atol=1e-12)


def test_what_it_suits():
    maps = torch.zeros(1, 512, 14, 14)

    def suits(x=maps, outputs=512, kernel_size=3, **options: Any):
        conv = nn.Conv2d(512, outputs, kernel_size, **options)
        return _winograd.best_tile(conv, x) is not None

    assert suits()
    assert suits(padding=1, bias=False)
    assert not suits(stride=2)
    assert not suits(dilation=2)
    assert not suits(groups=2)
    assert not suits(kernel_size=5)
    assert not suits(outputs=8)
    assert not suits(x=maps.double())  # another type than the weights: torch says so
    assert not suits(x=maps[0])


class Wide(nn.Module):
    """Windows first, then whole maps; flattened by `view`, which takes one order of memory only."""

    def __init__(self, flatten):
        super().__init__()
        wide = 4
        self.first = nn.Conv2d(3, wide, 3, padding=1)
        self.second = nn.Conv2d(wide, wide, 3, padding=(2, 0), bias=False)
        self.pool = nn.MaxPool2d(2)
        self.third = nn.Conv2d(wide, wide, 3, padding=1)
        self.whole = nn.AdaptiveAvgPool2d((5, 6))
        self.fourth = nn.Conv2d(wide, wide, 3, padding=1)
        self.last = nn.Linear(30 * wide, 3)
        self.flatten = flatten

    def forward(self, x):
        x = self.pool(self.second(self.first(x).relu()).relu())
        return self.last(self.flatten(self.fourth(self.whole(self.third(x).relu())).relu()))


@pytest.mark.parametrize("patch", [3, 14])
@pytest.mark.parametrize(
    "flatten", [lambda maps: maps.flatten(1), lambda maps: maps.view(maps.size(0), -1)]
)
def test_occlusion_computes_wide_layers_this_way(flatten, patch, monkeypatch):
    torch.manual_seed(0)
    model = Wide(flatten).double().eval()
    x = torch.randn(1, 3, 20, 23, dtype=torch.float64)
    places = occlusion.windows(20, 23, patch, 3)
    made = []

    class Counted(_winograd.Filters):
        def __init__(self, *args):
            made.append(args[0])
            super().__init__(*args)

    monkeypatch.setattr(_winograd, "Filters", Counted)
    monkeypatch.setattr(_winograd, "SUMMING", 0)
    fast, plain = (
        torch.cat(list(way.occluded_outputs(model, x, torch.zeros_like(x), places)))
        for way in (incremental, occlusion)
    )
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    assert {model.second, model.third, model.fourth} <= set(made)
