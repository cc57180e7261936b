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


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"scenes": [20.5]}, "scene=20.5: a whole number"),
        ({"scenes": 20}, "scenes=20: a list is needed"),
        ({"scenes": []}, "nothing to test"),
        ({"weathers": ()}, "nothing to test"),
        ({"weathers": "sunny"}, "weathers='sunny': a list is needed"),
        ({"weathers": ["foggy"]}, "no weather 'foggy'; there are: sunny, overcast"),
        ({"classifier": None}, "classifier must be a Classifier, not a NoneType"),
    ],
)
def test_what_the_paste_test_can_not_paste(small_data, changes, told):
    with pytest.raises(ValueError, match=told):
        scores.paste_test(**{"classifier": planted(), "scenes": [20], **changes})


# ---------------------------------------------------------------------------- boxes


def squares():
    """Six masks with a 20 x 20 square in different places of 40 x 60 pixels."""
    masks = torch.zeros(6, 40, 60, dtype=torch.bool)
    for number, mask in enumerate(masks):
        mask[2 * number : 2 * number + 20, 6 * number : 6 * number + 20] = True
    return masks


def test_a_perfect_map_finds_every_box_at_every_threshold():
    masks = squares()
    shares = scores.box_accuracies(masks.float(), masks)
    assert list(shares) == [pytest.approx(step / 20) for step in range(1, 20)]
    assert set(shares.values()) == {1.0}


def test_a_flat_map_and_a_map_beside_the_object_find_none():
    masks = squares()
    assert set(scores.box_accuracies(torch.ones(6, 40, 60), masks).values()) == {0.0}
    beside = torch.zeros(6, 40, 60)
    beside[:, 39, 0] = 1
    assert set(scores.box_accuracies(beside, masks).values()) == {0.0}


def test_the_best_threshold_is_one_for_all_pictures():
    """One map needs a high threshold and the other a low one: no threshold serves both."""
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[5:15, 5:15] = True
    peaked, broad = torch.where(mask, 0.3, 0.0), torch.where(mask, 1.0, 0.6)
    peaked[9, 9] = 1
    shares = scores.box_accuracies([peaked, broad], [mask, mask], [0.2, 0.5, 0.7])
    assert shares == {0.2: 1.0, 0.5: 0.5, 0.7: 0.5}
    shifted = broad + 0.0
    shifted[0, 0] = 0.0
    shares = scores.box_accuracies([peaked, shifted], [mask, mask], [0.2, 0.5, 0.7])
    assert shares == {0.2: 0.5, 0.5: 0.0, 0.7: 0.5}


def test_how_well_boxes_must_agree_can_be_chosen():
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[0:10, 0:10] = True
    heatmap = torch.zeros(20, 20)
    heatmap[0:10, 0:6] = 1  # an intersection over union of 0.6
    for least, expected in ((0.5, 1.0), (0.6, 1.0), (0.61, 0.0)):
        assert scores.box_accuracies([heatmap], [mask], [0.5], least) == {0.5: expected}


def test_maps_and_masks_must_be_as_many():
    with pytest.raises(ValueError, match="a mask for each heatmap; there are 3 .* and 2 masks"):
        scores.box_accuracies(torch.rand(3, 8, 8), torch.ones(2, 8, 8) > 0)
    with pytest.raises(ValueError, match="there are 0 heatmaps and 0 masks"):
        scores.box_accuracies([], [])


def test_a_threshold_that_is_given_twice_counts_once():
    masks = squares()
    assert scores.box_accuracies(masks.float(), masks, [0.5, 0.5, 0.5]) == {0.5: 1.0}


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"thresholds": []}, "no thresholds"),
        ({"least": 0}, r"least=0: .* lies in \(0, 1\]"),
        ({"least": 1.5}, r"least=1.5: .* lies in \(0, 1\]"),
        ({"least": float("nan")}, r"least=nan: .* lies in \(0, 1\]"),
        ({"masks": [torch.zeros(8, 8) > 0]}, "mask is empty"),
        ({"masks": [torch.ones(8, 8)]}, "mask must be bool"),
    ],
)
def test_what_box_accuracies_have_no_answer_for(changes, told):
    arguments = {"heatmaps": [torch.rand(8, 8)], "masks": [torch.ones(8, 8) > 0]}
    with pytest.raises(ValueError, match=told):
        scores.box_accuracies(**{**arguments, **changes})
