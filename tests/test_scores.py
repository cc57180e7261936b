"""The paste test, on a made-up yard whose tanks are black boxes and on planted networks."""

import pytest
import torch
from torch import nn

from course_utils import pictures, scores
from course_utils.classifiers import Classifier


class Darkest(nn.Module):
    """Says "tank" if the darkest pixel of a window is nearly black: it provably looks there."""

    def __init__(self, rows, columns):
        super().__init__()
        self.window = (..., rows, columns)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        darkest = x[self.window].amax(1).flatten(1).amin(1)
        score = self.scale * (0.15 - darkest)
        return torch.stack([-score, score], 1)


def planted(rows=slice(None), columns=slice(None)):
    model = Darkest(rows, columns)
    return Classifier("planted", model, ["no_tank", "tank"], (0.0,) * 3, (1.0,) * 3, 128, {})


def test_a_network_that_looks_at_the_tank_passes(small_data):
    assert scores.paste_test(planted(), [20, 21]) == {"inside only": 1.0, "outside only": 0.0}


def test_a_network_that_looks_at_the_sky_does_not(small_data):
    shares = scores.paste_test(planted(slice(0, 30)), [20, 21])
    assert shares["inside only"] == shares["outside only"]


def test_the_mixtures_come_from_the_right_pictures(small_data):
    inside, outside = scores.pasted(20, "sunny", margin=0)
    four, mask = pictures.two_by_two(20), pictures.tank_mask(20)
    assert torch.equal(inside[:, mask], four["tank", "sunny"][:, mask])
    assert torch.equal(inside[:, ~mask], four["no_tank", "sunny"][:, ~mask])
    assert torch.equal(outside[:, mask], four["no_tank", "sunny"][:, mask])
    assert torch.equal(outside[:, ~mask], four["tank", "sunny"][:, ~mask])


def test_an_unknown_scene_is_named(small_data):
    with pytest.raises(ValueError, match="no scene 99"):
        scores.paste_test(planted(), [99])
