"""Occlusion against Captum, against sums that can be done by hand, and on planted networks."""

import math
import warnings

import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from course_utils import incremental, occlusion, scores
from course_utils.classifiers import PlainNet, load
from course_utils.occlusion import (
    logit_drop,
    margin_drop,
    occlusion_map,
    probability_drop,
    windows,
)


def network(seed=0, classes=4):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, classes),
    ).eval()


def pictures(height=24, width=31, seed=1):
    torch.manual_seed(seed)
    return torch.randn(1, 3, height, width), torch.randn(1, 3, height, width)


class Corner(nn.Module):
    """Provably looks at one rectangle: its score is the mean there."""

    def __init__(self, rows, columns):
        super().__init__()
        self.window = (..., slice(*rows), slice(*columns))

    def forward(self, x):
        score = x[self.window].mean((1, 2, 3))
        return torch.stack([score, -score], 1)


# ---------------------------------------------------------------------------- against Captum


@pytest.mark.parametrize(("patch", "stride"), [(8, 8), (8, 3), (7, 5), (5, 1), (24, 1), (1, 1)])
@pytest.mark.parametrize("size", [(24, 31), (33, 24)])
def test_equals_captum(patch, stride, size):
    model, (x, replacement) = network(), pictures(*size)
    ours = occlusion_map(model, x, replacement, patch, stride, logit_drop(2))
    captum = Occlusion(model).attribute(
        x,
        sliding_window_shapes=(3, patch, patch),
        strides=(3, stride, stride),
        target=2,
        baselines=replacement,
        perturbations_per_eval=16,
    )
    assert torch.allclose(ours, captum[0, 0], atol=1e-5)


def test_equals_captum_on_a_course_network():
    torch.manual_seed(0)
    model = PlainNet(classes=3, channels=(4, 4, 8, 8, 8, 8), size=64).eval()
    x, replacement = pictures(64, 64)
    ours = occlusion_map(model, x, replacement, 16, 6, logit_drop(1))
    captum = Occlusion(model).attribute(
        x, (3, 16, 16), (3, 6, 6), target=1, baselines=replacement, perturbations_per_eval=8
    )
    assert torch.allclose(ours, captum[0, 0], atol=1e-5)


# ---------------------------------------------------------------------------- by hand


def test_a_linear_model_loses_the_sum_of_its_block():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 12, 2)).double()
    x, replacement = (tensor.double() for tensor in pictures(8, 12))
    heatmap = occlusion_map(model, x, replacement, 4, 4, logit_drop(1))
    change = (model[1].weight[1].reshape(3, 8, 12) * (x - replacement)[0]).sum(0)
    blocks = change.reshape(2, 4, 3, 4).sum((1, 3))
    expected = blocks.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert torch.allclose(heatmap, expected.detach(), atol=1e-12)


def test_overlapping_windows_are_averaged_and_the_last_is_clipped():
    places = windows(1 + 4, 7, 4, 2)
    assert places.tolist() == [
        [0, 0, 4, 4], [0, 2, 4, 6], [0, 4, 4, 7],
        [2, 0, 5, 4], [2, 2, 5, 6], [2, 4, 5, 7],
    ]  # fmt: skip
    heatmap = occlusion.mean_of_windows(torch.tensor([6.0, 0, 0, 0, 0, 0]), places, 5, 7)
    assert heatmap[0].tolist() == [6, 6, 3, 3, 0, 0, 0]
    assert heatmap[2].tolist() == [3, 3, 1.5, 1.5, 0, 0, 0]


def test_64_positions_of_28_pixels_on_224():
    assert len(windows(224, 224, 28, 28)) == 64
    assert len(windows(128, 128, 16, 16)) == 64
    assert len(windows(224, 224, 4, 4)) == 3136


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 8), (20, 28)), ((12, 20), (4, 8)), ((16, 24), (0, 8))]
)
def test_a_planted_answer_is_found_where_it_is(rows, columns):
    """Catches exchanged rows and columns: the peak must lie in the rectangle, and nowhere else."""
    x = torch.ones(1, 3, 24, 28)
    model = Corner(rows, columns)
    heatmap = occlusion_map(model, x, torch.zeros_like(x), 4, 4, logit_drop(0))
    inside = torch.zeros(24, 28, dtype=torch.bool)
    inside[slice(*rows), slice(*columns)] = True
    assert heatmap[inside].min() > 0 and heatmap[~inside].abs().max() == 0


# ---------------------------------------------------------------------------- measures


def test_measures_by_hand():
    before = torch.tensor([[3.0, 1.0, 0.0]])
    after = torch.tensor([[2.0, 2.5, 0.0], [3.0, 1.0, 0.0]])
    assert logit_drop(0)(before, after).tolist() == [1, 0]
    assert occlusion.margin_drop(0)(before, after).tolist() == [2.5, 0]
    assert occlusion.margin_drop(0, rival=2)(before, after).tolist() == [1, 0]
    lost = occlusion.probability_drop(0)(before, after)
    expected = before.softmax(1)[:, 0] - after.softmax(1)[:, 0]
    assert torch.allclose(lost, expected) and lost[1] == 0


def test_the_feature_dip_by_hand():
    before = torch.zeros(1, 2, 2, 2)
    before[0, 0] = 4
    after = before.repeat(2, 1, 1, 1)
    after[0, 0, 0] = 0  # half of the first channel's positions fall by 4
    assert occlusion.feature_dip(before, after).tolist() == [2, 0]


def test_any_model_output_can_be_measured():
    model, (x, replacement) = network()[:3], pictures()
    heatmap = occlusion_map(model, x, replacement, 8, 8, occlusion.feature_dip)
    assert heatmap.shape == (24, 31) and heatmap.max() > 0


# ---------------------------------------------------------------------------- fills


def test_fills():
    picture = torch.rand(3, 20, 30)
    assert occlusion.fill(picture, "black").abs().max() == 0
    assert torch.allclose(occlusion.fill(picture, "grey", (0.1, 0.2, 0.3))[2], torch.tensor(0.3))
    noise = occlusion.fill(picture, "noise", seed=3)
    assert torch.equal(noise, occlusion.fill(picture, "noise", seed=3))
    assert not torch.equal(noise, occlusion.fill(picture, "noise", seed=4))
    assert 0 <= noise.min() and noise.max() <= 1 and noise.shape == picture.shape


def test_blurring_is_a_gaussian_and_keeps_a_flat_picture():
    from scipy.ndimage import gaussian_filter

    flat = torch.full((3, 20, 30), 0.3)
    assert torch.allclose(occlusion.fill(flat, "blur"), flat, atol=1e-6)
    picture = torch.rand(3, 40, 52, dtype=torch.float64)
    ours = occlusion.fill(picture, "blur", sigma=2.0)
    scipy = gaussian_filter(picture.numpy(), (0, 2, 2), mode="nearest", truncate=3.0)
    assert torch.allclose(ours, torch.from_numpy(scipy), atol=1e-9)


# ---------------------------------------------------------------------------- manners


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(network(), nn.Dropout(0.9)).train()
    model[0].eval()
    x, replacement = pictures()
    first = occlusion_map(model, x, replacement, 8, 8, logit_drop(0))
    assert torch.equal(first, occlusion_map(model, x, replacement, 8, 8, logit_drop(0)))
    assert model.training and model[1].training and not model[0].training


def test_the_inputs_are_left_as_they_were():
    model, (x, replacement) = network(), pictures()
    copies = x.clone(), replacement.clone()
    occlusion_map(model, x, replacement, 8, 4, logit_drop(0))
    assert torch.equal(x, copies[0]) and torch.equal(replacement, copies[1])


def test_the_batch_does_not_matter_and_bounds_the_copies():
    sizes = []
    model, (x, replacement) = network(), pictures()
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    maps = [occlusion_map(model, x, replacement, 8, 4, logit_drop(0), batch=b) for b in (1, 7, 99)]
    assert torch.allclose(maps[0], maps[1], atol=1e-6) and torch.allclose(
        maps[0], maps[2], atol=1e-6
    )
    sizes.clear()
    occlusion_map(model, x, replacement, 8, 4, logit_drop(0), batch=7)
    assert max(sizes) == 7 and sum(sizes) == 1 + len(windows(24, 31, 8, 4))


@pytest.mark.parametrize("measure", [logit_drop, probability_drop, margin_drop])
@pytest.mark.parametrize("target", ["cat", 1.5, None, True])
def test_a_target_is_a_class_index(measure, target):
    with pytest.raises(ValueError, match=f"a class index, not {target!r}: classifier.class_index"):
        measure(target)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_under_a_patch_makes_no_map(value):
    model, (x, replacement) = network(), pictures()
    with pytest.raises(ValueError, match="measure gives NaN .* or infinity for finite outputs"):
        occlusion_map(model, x, replacement, 8, 4, lambda _, after: after[:, 0] * 0 + value)
    spoiled = Answering(lambda scores: scores + value)
    with pytest.raises(ValueError, match="network's output is NaN .* or infinite"):
        occlusion_map(spoiled, x, replacement, 8, 4, logit_drop(0))


def test_a_mean_is_taken_window_by_window():
    top, left = torch.randint(24, (40,)), torch.randint(31, (40,))
    bottom = (top + torch.randint(1, 9, (40,))).clamp(max=24)
    right = (left + torch.randint(1, 9, (40,))).clamp(max=31)
    everything = torch.tensor([[0, 0, 24, 31]])  # so that a window lies on each pixel
    places = torch.cat([torch.stack([top, left, bottom, right], dim=1), everything])
    values = torch.randn(len(places))
    total, count = torch.zeros(2, 24, 31, dtype=torch.float64)
    for value, (above, before, below, after) in zip(values, places.tolist()):
        total[above:below, before:after] += value
        count[above:below, before:after] += 1
    assert torch.allclose(
        occlusion.mean_of_windows(values, places, 24, 31), (total / count).float(), atol=1e-7
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch": 25}, "patch=25: it must fit into the picture of 24 x 31"),
        ({"patch": 0}, "patch=0"),
        ({"stride": 0}, "stride=0: a whole number from 1 on"),
        ({"patch": 8.0}, "patch=8.0: a whole number"),
        ({"stride": 2.5}, "stride=2.5: a whole number"),
        ({"stride": 9}, "stride=9 is more than patch=8"),
        ({"x": torch.zeros(3, 24, 31)}, "one preprocessed picture"),
        ({"x": torch.zeros(2, 3, 24, 31)}, "one preprocessed picture"),
        ({"replacement": torch.zeros(1, 3, 24, 30)}, "must have the shape of x"),
        ({"measure": logit_drop(4)}, "only classes 0 to 3"),
        ({"measure": logit_drop(-1)}, "no class -1"),
        ({"measure": occlusion.margin_drop(4)}, "only classes 0 to 3"),
        ({"measure": occlusion.margin_drop(0, rival=9)}, "no class 9"),
        ({"measure": occlusion.feature_dip}, "compares feature maps"),
        ({"replacement": torch.full((1, 3, 24, 31), float("nan"))}, "NaN"),
    ],
)
def test_bad_input_is_named(changes, message):
    x, replacement = pictures()
    inputs = {"x": x, "replacement": replacement, "patch": 8, "stride": 4, "measure": logit_drop(0)}
    with pytest.raises(ValueError, match=message):
        occlusion_map(network(), **{**inputs, **changes})


def test_unknown_fills_are_listed():
    with pytest.raises(ValueError, match="no fill 'white'; there are: grey, black, noise, blur"):
        occlusion.fill(torch.rand(3, 8, 8), "white")
    with pytest.raises(ValueError, match=r"shape \(3, H, W\)"):
        occlusion.fill(torch.rand(8, 8), "grey")


@pytest.mark.parametrize("sigma", [0, -1, float("nan"), float("inf")])
def test_a_blur_has_a_width(sigma):
    with pytest.raises(ValueError, match="it must be positive, and finite"):
        occlusion.fill(torch.rand(3, 8, 8), "blur", sigma=sigma)


@pytest.mark.parametrize("batch", [0, -1, 2.5])
@pytest.mark.parametrize("outputs", [occlusion.occluded_outputs, incremental.occluded_outputs])
def test_a_batch_holds_a_whole_number_of_copies(outputs, batch):
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ValueError, match="batch=.* a whole number"):
        next(outputs(nn.Flatten(), x, x, occlusion.windows(8, 8, 4, 4), batch=batch))


# ---------------------------------------------------------------------------- rounding


class Faint(nn.Module):
    """Large outputs that hardly depend on the picture: `share` says how little."""

    def __init__(self, share, classes=3):
        super().__init__()
        self.share = share
        self.classes = classes

    def forward(self, x):
        seen = x.mean((1, 2, 3))[:, None] * torch.arange(1, self.classes + 1, dtype=x.dtype)
        return 10 + 10 * self.share * seen


MEASURES = {"logit": logit_drop(1), "margin": margin_drop(2, 0), "likeliest rival": margin_drop(1)}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
def test_a_map_of_rounding_errors_is_told(measure):
    x, replacement = pictures(16, 16)
    with pytest.warns(UserWarning, match=r"shows rounding errors.*model\.double\(\)"):
        occlusion_map(Faint(1e-6), x, replacement, 4, 4, measure)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES.keys())
def test_a_map_of_small_drops_is_none_of_rounding_errors(measure, dtype, recwarn):
    share = 1e-2 if dtype == torch.float32 else 1e-9
    x, replacement = (picture.to(dtype) for picture in pictures(16, 16))
    occlusion_map(Faint(share), x, replacement, 4, 4, measure)
    assert not recwarn.list


def test_a_class_whose_own_score_is_near_zero_is_rounded_like_the_others():
    class Lopsided(Faint):
        def forward(self, x):
            return super().forward(x) - torch.tensor([0.0, 10.0, 0.0])

    x, replacement = pictures(16, 16)
    with pytest.warns(UserWarning, match="shows rounding errors"):
        occlusion_map(Lopsided(1e-6), x, replacement, 4, 4, logit_drop(1))


@pytest.mark.parametrize("impossible", [-math.inf, torch.finfo(torch.float32).min, -1e9])
def test_impossible_classes_don_t_make_the_others_rounding_errors(impossible, recwarn):
    class Masked(Faint):
        def forward(self, x):
            return super().forward(x).index_fill(1, torch.tensor([2]), impossible)

    x, replacement = pictures(16, 16)
    for measure in (logit_drop(1), margin_drop(0), probability_drop(0)):
        occlusion_map(Masked(1e-2, classes=5), x, replacement, 4, 4, measure)
    assert not recwarn.list


def test_a_sure_network_s_probabilities_are_no_rounding_errors(recwarn):
    """They move little because they are near 1, not because the network's output does."""

    class Sure(nn.Module):
        def forward(self, x):
            seen = x.mean((1, 2, 3))
            return torch.stack([11 + 30 * seen, -seen], 1)

    x, replacement = pictures(16, 16)
    values = occlusion.drops(Sure(), x, replacement, windows(16, 16, 4, 4), probability_drop(0))
    assert 0 < values.abs().max() < 1e-5
    assert not recwarn.list


@pytest.mark.parametrize("outputs", [occlusion.occluded_outputs, incremental.occluded_outputs])
def test_a_replacement_that_equals_the_picture_is_told(outputs):
    x, _ = pictures(16, 16)
    with pytest.warns(UserWarning, match="nothing is covered") as caught:
        found = occlusion_map(network(), x, x, 4, 4, logit_drop(0), outputs=outputs)
    assert found.abs().max() < 1e-6 and len(caught) == 1


def test_measures_may_return_true_and_false():
    x, replacement = pictures(16, 16)
    places = windows(16, 16, 4, 4)
    model = network()
    changed = occlusion.drops(
        model, x, replacement, places, lambda a, b: a.argmax(1) != b.argmax(1)
    )
    assert changed.shape == (16,) and changed.dtype == torch.bool


def test_a_map_of_true_and_false_is_the_share_of_the_windows_that_are_true():
    places = windows(6, 6, 4, 2)
    one = torch.tensor([True, False, False, False])
    for values in (one, one.long(), one.double()):
        mean = occlusion.mean_of_windows(values, places, 6, 6)
        assert mean[:2, 0].tolist() == [1, 1] and mean[2, 0] == 1 / 2 and mean[2, 2] == 1 / 4
        assert mean.is_floating_point()


@pytest.mark.parametrize(
    "returned, told",
    [
        (lambda before, after: (before - after)[:, 1].numpy(), "type ndarray"),
        (lambda before, after: 1.0, "type float"),
        (lambda before, after: None, "type NoneType"),
        (lambda before, after: (before - after).sum(), r"float32 and the shape \(\)"),
        (lambda before, after: (before - after)[:, :1], r"float32 and the shape \(8, 1\)"),
        (lambda before, after: (before - after)[:1, 0], r"float32 and the shape \(1,\)"),
        (lambda before, after: (before - after)[:, 0] * 1j, "complex64"),
    ],
)
def test_a_measure_returns_one_number_for_each_output(returned, told):
    x, replacement = pictures(16, 16)
    with pytest.raises(ValueError, match=rf"returns a tensor \(N,\) of what each lost, .*{told}"):
        occlusion_map(network(), x, replacement, 4, 4, returned)


@pytest.mark.parametrize("target", range(3))
def test_whole_numbers_are_scores_too(target):
    before, after = torch.tensor([[30, 10, 0]]), torch.tensor([[20, 25, 0], [30, 10, 0]])
    for make in (logit_drop, probability_drop, margin_drop):
        lost = make(target)(before, after)
        assert torch.equal(lost, make(target)(before.double(), after.double()))
        large = make(target)(before + 2**52, after + 2**52)
        assert torch.equal(lost, large) or make is probability_drop


def test_scores_are_real_numbers_for_each_class():
    for make in (logit_drop, probability_drop, margin_drop):
        with pytest.raises(ValueError, match="Scores are real numbers .N, classes., not one of"):
            make(1)(torch.rand(1), torch.rand(4))
        with pytest.raises(ValueError, match="not one of torch.complex64"):
            make(1)(torch.rand(1, 3) * 1j, torch.rand(4, 3) * 1j)


class Certain(nn.Module):
    """So far ahead in class 0 that its probability is 1, whatever is covered."""

    def forward(self, x):
        seen = x.mean((1, 2, 3))
        return torch.stack([200 + seen, -seen], 1)


def test_a_map_of_zeros_is_told(recwarn):
    x, replacement = pictures(16, 16)
    occlusion_map(Certain(), x, replacement, 4, 4, logit_drop(0))
    assert not recwarn.list
    for outputs in (occlusion.occluded_outputs, incremental.occluded_outputs):
        with pytest.warns(UserWarning, match="zero everywhere: .* as a probability of 1 is"):
            occlusion_map(Certain(), x, replacement, 4, 4, probability_drop(0), outputs=outputs)


def test_windows_that_cover_nothing_are_told():
    x, _ = pictures(16, 16)
    elsewhere = x.clone()
    elsewhere[..., 8:] = 0
    left = windows(16, 16, 4, 4)[[0, 4]]
    with pytest.warns(UserWarning, match="equals the picture under every patch"):
        assert not occlusion.drops(Certain(), x, elsewhere, left, logit_drop(0)).any()


def spoiling(before, after):
    """A measure that writes into what it is given."""
    lost = (before - after)[:, 1].clone()
    before.fill_(7)
    after.fill_(7)
    return lost


BUFFER = torch.zeros(64)


def reusing(before, after):
    """A measure that returns the same memory each time."""
    BUFFER[: len(after)] = (before - after)[:, 1]
    return BUFFER[: len(after)]


def with_gradients(before, after):
    return (before - after)[:, 1] * torch.ones(1, requires_grad=True)


@pytest.mark.parametrize("measure", [spoiling, reusing, with_gradients])
def test_what_a_measure_does_with_its_arguments_and_result_does_not_matter(measure):
    x, replacement = pictures(16, 16)
    expected = occlusion_map(network(), x, replacement, 4, 4, logit_drop(1), batch=3)
    found = occlusion_map(network(), x, replacement, 4, 4, measure, batch=3)
    assert torch.equal(found, expected) and not found.requires_grad


class Answering(nn.Module):
    """The scores of a network, made into something else."""

    def __init__(self, change, scores=None):
        super().__init__()
        self.network = scores or network()
        self.change = change

    def forward(self, x):
        return self.change(self.network(x))


def test_a_network_may_write_its_outputs_into_the_same_memory(recwarn):
    buffer = torch.zeros(64, 4)

    def written(scores):
        buffer[: len(scores)] = scores.detach()
        return buffer[: len(scores)]

    x, replacement = pictures(16, 16)
    expected = occlusion_map(network(), x, replacement, 4, 4, logit_drop(1))
    for batch in (1, 5):
        found = occlusion_map(Answering(written), x, replacement, 4, 4, logit_drop(1), batch)
        assert torch.allclose(found, expected, atol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize("outputs", [occlusion.occluded_outputs, incremental.occluded_outputs])
def test_truth_values_are_scores_of_0_and_1(outputs):
    x, replacement = pictures(16, 16)
    sign = Answering(lambda scores: scores > 0)
    same = Answering(lambda scores: (scores > 0).float())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for measure in (logit_drop(1), margin_drop(0), probability_drop(2)):
            found = occlusion_map(sign, x, replacement, 4, 4, measure, outputs=outputs)
            expected = occlusion_map(same, x, replacement, 4, 4, measure, outputs=outputs)
            assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda s: s.sum(), r"returned \(\) for one picture"),
        (lambda s: torch.cat([s, s]), r"returned \(2, 4\) for one picture"),
        (lambda s: s.to_sparse(), "torch can't compute"),
        (lambda s: s.to(torch.float8_e5m2), "torch can't compute"),
        (lambda s: s.abs().to(torch.uint16), "torch can't compute"),
        (lambda s: s[:, : 2 + len(s) % 2], "the shapes must fit"),
    ],
)
@pytest.mark.parametrize("outputs", [occlusion.occluded_outputs, incremental.occluded_outputs])
@pytest.mark.filterwarnings("ignore")
def test_outputs_that_are_none_for_each_picture_get_a_sentence(change, told, outputs):
    x, replacement = pictures(16, 16)
    with pytest.raises(ValueError, match=told):
        occlusion_map(Answering(change), x, replacement, 4, 4, logit_drop(1), 4, outputs)


@pytest.mark.parametrize("lead", [14.0, 15.5, 17.0, 22.0])
def test_probabilities_near_1_keep_their_digits(lead):
    ahead = torch.tensor([lead, 0.0, 0.0, 0.0])
    x, replacement = pictures(16, 16)
    places = windows(16, 16, 4, 4)
    model = Answering(lambda scores: scores + ahead.to(scores.dtype))
    found = occlusion.drops(model, x, replacement, places, probability_drop(0))
    model.double()
    exact = occlusion.drops(model, x.double(), replacement.double(), places, probability_drop(0))
    assert found.dtype == torch.float32 and (found - exact).abs().max() < 0.01 * exact.abs().max()


def test_outputs_in_double_precision_of_a_network_in_single_are_rounded_like_it():
    """Neither is the graph said to give other numbers, nor are rounding errors taken for a map."""
    x, replacement = pictures(16, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = Answering(lambda scores: scores.double())
        fast = incremental.occluded_outputs
        occlusion_map(model, x, replacement, 4, 4, logit_drop(1), outputs=fast)
    with pytest.warns(UserWarning, match="rounding in torch.float32"):
        model = Answering(lambda scores: scores.double(), Faint(1e-6))
        occlusion_map(model, x, replacement, 4, 4, logit_drop(1))


@pytest.mark.parametrize("share", [1e-6, 1e-2])
def test_a_measure_is_asked_about_the_windows_and_nothing_else(share):
    x, replacement = pictures(16, 16)
    asked = []

    def measure(before, after):
        asked.append(after)
        return (before - after)[:, 1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        occlusion_map(Faint(share), x, replacement, 4, 4, measure)
    assert len(torch.cat(asked)) == 16


@pytest.mark.parametrize("measure", [logit_drop(1), probability_drop(1)])
def test_a_rare_class_s_own_probability_is_no_rounding_error(measure, recwarn):
    class Rare(nn.Module):
        def forward(self, x):
            seen = 3 * x.mean((1, 2, 3))
            return torch.stack([20 + seen, seen * 2, -seen], 1).softmax(1)

    x, replacement = pictures(16, 16)
    occlusion_map(Rare(), x, replacement, 4, 4, measure)
    assert not any("rounding" in str(warning.message) for warning in recwarn.list)


def test_random_weights_of_a_deep_network_are_told_whatever_is_measured():
    classifier = load("imagenet")
    drawn = next(iter(scores.randomized(classifier.model, [""], seed=0)))
    x, replacement = pictures(96, 96)
    for measure in (logit_drop(0), margin_drop(7), probability_drop(100)):
        with pytest.warns(UserWarning, match="shows rounding errors"):
            occlusion_map(drawn, x, replacement, 32, 32, measure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        occlusion_map(classifier.model, x, replacement, 32, 32, logit_drop(0))
        drawn.double()
        occlusion_map(drawn, x.double(), replacement.double(), 32, 32, logit_drop(0))
