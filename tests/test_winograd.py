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
    made_for=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    bias=st.booleans(),
    order=st.sampled_from([torch.contiguous_format, torch.channels_last]),
)
def test_all_sizes(count, channels, size, made_for, bias, order):
    conv = convolution(*channels, bias=bias)
    x = torch.randn(count, channels[0], *size, dtype=torch.float64).contiguous(memory_format=order)
    found = _winograd.Filters(conv, *made_for).convolve(x)
    torch.testing.assert_close(found, direct(conv, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("at_once", _winograd.POINTS)
def test_no_more_is_lost_than_in_a_direct_convolution(at_once):
    """Twice as much in the mean at most, with rectified maps and weights as networks have them."""
    conv = convolution(256, 256, torch.float32)
    x = torch.randn(2, 256, 14, 14).relu()
    exact = direct(conv.double(), x.double())
    conv.float()
    filters = _winograd.Filters(conv, at_once, at_once)
    assert filters.at_once == at_once

    def lost(values):
        return (values - exact).square().mean().sqrt()

    assert lost(filters.convolve(x)) < 2 * lost(direct(conv, x))


@pytest.mark.parametrize(
    ("side", "at_once"), [(1, 2), (2, 2), (4, 4), (5, 3), (6, 3), (7, 4), (12, 4), (13, 4), (14, 4)]
)
def test_tiles_waste_little(side, at_once):
    """The side of the tiles is the one with the fewest products."""
    assert _winograd.Filters(convolution(1, 1), side, side).at_once == at_once


def test_pieces_do_not_matter(monkeypatch):
    conv = convolution(3, 2)
    x = torch.randn(5, 3, 9, 9, dtype=torch.float64)
    filters = _winograd.Filters(conv, 7, 7)
    whole = filters.convolve(x)
    monkeypatch.setattr(_winograd, "AT_ONCE", 2 * 36 * 4 * 3)  # two pictures at a time
    torch.testing.assert_close(filters.convolve(x), whole, rtol=1e-12, atol=1e-12)


def test_what_it_suits():
    wide = _winograd.MANY
    maps = torch.zeros(1, wide, 8, 8)

    def suits(x=maps, outputs=wide, kernel_size=3, **options: Any):
        return _winograd.suits(nn.Conv2d(wide, outputs, kernel_size, **options), x)

    assert suits()
    assert suits(padding=1, bias=False)
    assert not suits(stride=2)
    assert not suits(dilation=2)
    assert not suits(groups=2)
    assert not suits(kernel_size=5)
    assert not suits(outputs=wide - 1)
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
            made.append(args)
            super().__init__(*args)

    monkeypatch.setattr(_winograd, "Filters", Counted)
    monkeypatch.setattr(_winograd, "MANY", 4)
    fast, plain = (
        torch.cat(list(way.occluded_outputs(model, x, torch.zeros_like(x), places)))
        for way in (incremental, occlusion)
    )
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-10)
    assert len(made) == 3  # second, third and fourth, each once
