"""Scores of heat maps on cases whose answers are known without any program."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.utils import prune, weight_norm

from course_utils import scores
from course_utils.classifiers import PlainNet

MASK = torch.zeros(12, 17, dtype=torch.bool)
MASK[3:7, 10:15] = True  # 20 of 204 pixels
AREA = 20 / 204
ON_OBJECT = (scores.pointing_game, scores.relevance_mass, scores.relevance_rank)


@pytest.mark.parametrize("score", ON_OBJECT)
def test_the_perfect_map_scores_1_and_the_opposite_one_0(score):
    assert score(MASK.float(), MASK) == 1
    assert score((~MASK).float(), MASK) == 0


@pytest.mark.parametrize("score", ON_OBJECT)
@pytest.mark.parametrize("value", [1.0, 0.0, 7.5])
def test_a_constant_map_scores_the_share_of_the_area(score, value):
    assert score(torch.full(MASK.shape, value), MASK) == pytest.approx(AREA)


def test_a_map_without_positive_relevance_has_the_mass_of_a_constant_one():
    assert scores.relevance_mass(-torch.rand(MASK.shape), MASK) == pytest.approx(AREA)


@pytest.mark.parametrize("score", ON_OBJECT)
def test_random_maps_score_the_share_of_the_area_on_average(score):
    values = [score(scores.random_map(12, 17, seed), MASK) for seed in range(600)]
    assert np.mean(values) == pytest.approx(AREA, abs=0.03)


@pytest.mark.parametrize("score", ON_OBJECT)
def test_transposed_maps_are_refused_or_wrong(score):
    with pytest.raises(ValueError, match="one shape"):
        score(MASK.float().T, MASK)


def test_the_pointing_game_by_hand():
    heatmap = torch.zeros(MASK.shape)
    heatmap[8, 12] = 1  # two rows below the object
    assert [scores.pointing_game(heatmap, MASK, t) for t in (0, 1, 2)] == [0, 0, 1]
    heatmap[4, 11] = 1  # a tie: one of two peaks lies on it
    assert scores.pointing_game(heatmap, MASK) == 0.5


def test_the_relevance_mass_by_hand():
    heatmap = torch.zeros(MASK.shape)
    heatmap[4, 11], heatmap[0, 0], heatmap[0, 1] = 3, 1, -100
    assert scores.relevance_mass(heatmap, MASK) == 0.75


def test_the_relevance_rank_by_hand():
    heatmap = torch.rand(MASK.shape)
    heatmap[3, 10:15] = 5  # one of the object's four rows
    heatmap[0, :15] = 4  # and fifteen pixels elsewhere
    assert scores.relevance_rank(heatmap, MASK) == 0.25


def test_ties_for_the_last_places_count_on_average():
    heatmap = torch.zeros(MASK.shape)
    heatmap[3:5, 10:15] = 2  # 10 places for certain; 10 more among 194 zeros, 10 of them right
    assert scores.relevance_rank(heatmap, MASK) == pytest.approx((10 + 10 * 10 / 194) / 20)


@pytest.mark.parametrize("score", ON_OBJECT)
@pytest.mark.parametrize(
    ("heatmap", "mask", "message"),
    [
        (torch.full(MASK.shape, float("nan")), MASK, "NaN"),
        (torch.rand(3, 12, 17), MASK, "one shape"),
        (torch.rand(12, 17), MASK.float(), "must be bool"),
        (torch.rand(12, 17), torch.zeros(12, 17, dtype=torch.bool), "mask is empty"),
    ],
)
def test_what_cannot_be_scored(score, heatmap, mask, message):
    with pytest.raises(ValueError, match=message):
        score(heatmap, mask)


# ---------------------------------------------------------------------------- taking away


class Planted(nn.Module):
    """Its two logits are ten times the mean over the mask, and zero."""

    def forward(self, x):
        seen = 10 * x[:, :, MASK].mean((1, 2))
        return torch.stack([seen, torch.zeros_like(seen)], 1)


X, BLANK = torch.ones(1, 3, 12, 17), torch.zeros(1, 3, 12, 17)


def areas(heatmap, steps=204):
    inputs = Planted(), X, 0, heatmap, BLANK, steps
    return scores.deletion(*inputs), scores.insertion(*inputs)


def test_the_right_map_deletes_and_inserts_fastest():
    """By hand: the probability is sigmoid(10 (1 - t)) at the share t of the object's pixels."""
    share = torch.linspace(0, 1, 21)
    falling = torch.trapezoid((10 * (1 - share)).sigmoid(), share * AREA).item()
    deleted, inserted = areas(MASK.float())
    assert deleted == pytest.approx(falling + 0.5 * (1 - AREA), abs=1e-4)
    rising = torch.trapezoid((10 * share).sigmoid(), share * AREA).item()
    assert inserted == pytest.approx(rising + 1 * (1 - AREA), abs=1e-4)
    worst = areas((~MASK).float())
    assert worst[0] > deleted and worst[1] < inserted
    assert areas(scores.random_map(12, 17))[0] > deleted


def test_the_number_of_steps_hardly_matters_for_a_smooth_curve():
    heatmap = scores.random_map(12, 17)
    assert areas(heatmap, 204)[0] == pytest.approx(areas(heatmap, 51)[0], abs=0.01)


def test_deletion_leaves_the_network_as_it_was():
    model = nn.Sequential(Planted(), nn.Dropout(0.5)).train()
    first = scores.deletion(model, X, 0, MASK.float(), BLANK)
    assert model.training and first == scores.deletion(model, X, 0, MASK.float(), BLANK)


def test_deletion_needs_fitting_inputs():
    with pytest.raises(ValueError, match="as large as the picture"):
        scores.deletion(Planted(), X, 0, torch.rand(17, 12), BLANK)
    with pytest.raises(ValueError, match="must have the shape of x"):
        scores.insertion(Planted(), X, 0, MASK.float(), BLANK[0])
    with pytest.raises(ValueError, match="NaN"):
        scores.deletion(Planted(), X, 0, torch.full((12, 17), float("nan")), BLANK)


# ---------------------------------------------------------------------------- two maps


def test_rank_correlation():
    one = torch.rand(12, 17)
    assert scores.rank_correlation(one, one.exp()) == pytest.approx(1)
    assert scores.rank_correlation(one, -one) == pytest.approx(-1)
    assert scores.rank_correlation(one, torch.ones(12, 17)) == 0
    other = torch.rand(12, 17)
    expected = stats.spearmanr(one.flatten().numpy(), other.flatten().numpy())[0]
    assert scores.rank_correlation(one, other) == pytest.approx(expected)


def test_rounding_noise_is_not_ranked_at_a_resolution():
    """A truth that is zero but for a part, on three processors."""
    truth = torch.where(MASK, torch.rand(MASK.shape) + 0.5, torch.zeros(MASK.shape))
    noisy = [truth + 1e-6 * torch.randn(MASK.shape) for _ in range(2)]
    heatmap = torch.rand(MASK.shape)
    expected = scores.rank_correlation(heatmap, truth)
    ranks = [scores.rank_correlation(heatmap, other, 1e-4) for other in noisy]
    assert ranks == pytest.approx([expected] * 2, abs=1e-3)
    assert [scores.rank_correlation(heatmap, -other, 1e-4) for other in noisy] == pytest.approx(
        [-expected] * 2, abs=1e-3
    )
    without = [scores.rank_correlation(heatmap, other) for other in noisy]
    assert abs(without[0] - without[1]) > 0.01


def test_a_resolution_is_a_share_of_the_largest_value():
    one = torch.tensor([[0.0, 0.001, 0.002, 1.0]])
    other = torch.tensor([[2.0, 1.0, 0.0, 3.0]])
    for scale in (1, -1, 1e6, 1e-6):
        sign = 1 if scale > 0 else -1
        fine = scores.rank_correlation(scale * one, other, 1e-4)
        assert fine == pytest.approx(sign * scores.rank_correlation(one, other))
        coarse = scores.rank_correlation(scale * one, other, 0.01)
        assert coarse == pytest.approx(sign * scores.rank_correlation(one > 0.5, other))


def test_what_is_constant_at_a_resolution_has_rank_correlation_0():
    nearly = 1 + 1e-7 * torch.rand(12, 17)
    assert scores.rank_correlation(nearly, torch.rand(12, 17), 1e-4) == 0
    assert scores.rank_correlation(torch.zeros(12, 17), torch.rand(12, 17), 1e-4) == 0


@pytest.mark.parametrize("resolution", [-1e-4, 1, float("nan")])
def test_a_resolution_that_leaves_no_ranks_is_refused(resolution):
    with pytest.raises(ValueError, match=f"less than 1, not {resolution}"):
        scores.rank_correlation(torch.rand(12, 17), torch.rand(12, 17), resolution)


def test_structural_similarity():
    one, other = scores.centre_map(32, 40), scores.random_map(32, 40)
    assert scores.structural_similarity(one, 3 * one - 2) == pytest.approx(1)
    assert abs(scores.structural_similarity(one, other)) < 0.1
    assert scores.structural_similarity(one, torch.ones(32, 40)) == 0
    assert scores.structural_similarity(one > 0.5, (one > 0.5).half()) == pytest.approx(1)


@pytest.mark.parametrize("score", [scores.rank_correlation, scores.structural_similarity])
def test_nan_has_no_likeness(score):
    with pytest.raises(ValueError, match="NaN"):
        score(torch.rand(12, 17), torch.full((12, 17), float("nan")))


# ---------------------------------------------------------------------------- controls


def test_the_random_map_depends_on_its_seed_alone():
    assert torch.equal(scores.random_map(5, 7, 3), scores.random_map(5, 7, 3))
    assert not torch.equal(scores.random_map(5, 7, 3), scores.random_map(5, 7, 4))


def test_the_centre_map_is_highest_in_the_middle_and_symmetric():
    hill = scores.centre_map(11, 15)
    assert divmod(hill.argmax().item(), 15) == (5, 7)
    assert torch.allclose(hill, hill.flip(0)) and torch.allclose(hill, hill.flip(1))


def test_the_edge_map_finds_an_edge():
    picture = torch.zeros(3, 12, 17)
    picture[:, :, 9:] = 1
    edges = scores.edge_map(picture)
    assert edges[:, 8:10].min() > 0 and edges[:, :7].max() == edges[:, 11:].max() == 0


def test_randomizing_goes_from_the_last_layer_down_and_spares_the_network():
    torch.manual_seed(0)
    model = PlainNet(3, (4, 4, 4, 4, 4, 4), 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    names = ["head", "features.conv6", "features.conv5"]
    for count, forgetful in enumerate(scores.randomized(model, names), 1):
        changed = {
            name.rsplit(".", 1)[0]
            for name, value in forgetful.state_dict().items()
            if not torch.equal(value, before[name])
        }
        assert changed == set(names[:count])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"'features.relu1' has no weights"):
        list(scores.randomized(model, ["features.relu1"]))


def pruned(layer):
    return prune.l1_unstructured(layer, "weight", 0.5)


@pytest.mark.parametrize("changed", [weight_norm, pruned])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_networks_whose_weights_are_computed_forget_too(changed):
    torch.manual_seed(0)
    model = nn.Sequential(changed(nn.Linear(3, 4)), nn.ReLU(), changed(nn.Linear(4, 2)))
    x = torch.rand(5, 3)
    before, before_last = model(x), model[:2](x)
    for forgetful in scores.randomized(model, ["2", "0"]):
        assert not torch.equal(forgetful[2](before_last), model[2](before_last))
    assert not torch.equal(forgetful[0](x), model[0](x))
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("seed", [2**64, 2**64 - 1, -(2**63) - 1])
def test_a_seed_that_is_none_is_told(seed):
    with pytest.raises(ValueError, match="^seed=.* at most 64 bits"):
        list(scores.randomized(PlainNet(3, (4,) * 6, 32), ["head", "features.conv6"], seed))


def test_quantus_gives_the_same_scores():
    """Where it happens to be installed: it would bring OpenCV, pandas and scikit-learn along.

    Hedström et al., "Quantus: An Explainable AI Toolkit for Responsible Evaluation of Neural
    Network Explanations and Beyond", JMLR 2023. Version 0.6.0 gave the same within 1e-7.
    """
    quantus = pytest.importorskip("quantus")
    maps = torch.stack([scores.random_map(12, 17, seed) for seed in range(5)])
    case = {
        "model": None,
        "x_batch": np.zeros((5, 3, 12, 17), np.float32),
        "y_batch": np.zeros(5, int),
        "a_batch": maps.numpy()[:, None],
        "s_batch": np.broadcast_to(MASK.numpy(), (5, 1, 12, 17)),
    }
    pairs = (
        (quantus.PointingGame, scores.pointing_game),
        (quantus.RelevanceMassAccuracy, scores.relevance_mass),
        (quantus.RelevanceRankAccuracy, scores.relevance_rank),
    )
    for metric, score in pairs:
        theirs = metric(abs=False, normalise=False, disable_warnings=True)(**case)
        ours = [score(heatmap, MASK) for heatmap in maps]
        assert np.asarray(theirs, float) == pytest.approx(ours, abs=1e-6), metric.__name__


# ---------------------------------------------------------------------------- many pictures


def test_the_interval_of_a_mean_is_the_bootstrap_s_of_scipy():
    values = np.random.default_rng(1).exponential(size=40)
    mean, low, high = scores.mean_with_interval(values, level=0.9, draws=20_000)
    known = stats.bootstrap(
        (values,), np.mean, confidence_level=0.9, method="percentile", n_resamples=20_000
    ).confidence_interval
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((known.low, known.high), abs=0.02 * values.std())


@pytest.mark.parametrize("make", [list, np.asarray, torch.tensor])
def test_the_interval_takes_lists_arrays_and_tensors_and_is_the_same_each_time(make):
    values = [0, 1, 1, 4]
    found = scores.mean_with_interval(make(values))
    assert found == scores.mean_with_interval(values) and found[0] == 1.5
    assert 0 <= found[1] < 1.5 < found[2] <= 4


def test_the_interval_holds_the_true_mean_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    ends = [scores.mean_with_interval(random.normal(3, 1, 30), 0.9, 200)[1:] for _ in range(500)]
    assert 0.84 < np.mean([low < 3 < high for low, high in ends]) < 0.93


@pytest.mark.parametrize(
    "values, level, told",
    [([], 0.95, "at least 1"), ([[1.0]], 0.95, r"\(1, 1\)"), ([1.0], 95, "such as 0.95")],
)
def test_the_interval_says_what_it_can_not_take(values, level, told):
    with pytest.raises(ValueError, match=told):
        scores.mean_with_interval(values, level)


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_the_interval_of_values_with_nan_or_infinity_is_nan(odd):
    assert np.isnan(scores.mean_with_interval([1.0, odd])).all()


def test_the_interval_of_many_values_takes_little_memory_and_draws_the_same():
    values = np.random.default_rng(2).normal(size=7001)
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    expected = np.quantile(means, [0.025, 0.975])
    assert scores.mean_with_interval(values)[1:] == pytest.approx(expected, abs=1e-12)


# ---------------------------------------------------------------------------- what fits no score


@pytest.mark.parametrize(
    "ask, told",
    [
        (lambda: scores.box_accuracies([torch.rand(4, 4)], [MASK]), "one shape"),
        (lambda: scores.rank_correlation(torch.rand(2, 8), torch.rand(4, 4)), "one shape"),
        (lambda: scores.rank_correlation(torch.rand(2, 8), torch.rand(3, 8)), "one shape"),
        (lambda: scores.structural_similarity(torch.rand(6, 9), torch.rand(6, 9)), "7 x 7"),
        (lambda: scores.structural_similarity(torch.rand(8, 9), torch.rand(9, 8)), "one shape"),
        (lambda: scores.relevance_mass(torch.full(MASK.shape, torch.inf), MASK), "infinity"),
        (lambda: scores.mean_with_interval([1.0], draws=0), "draws=0"),
    ],
)
def test_maps_that_can_not_be_scored_get_a_sentence(ask, told):
    with pytest.raises(ValueError, match=told):
        ask()


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_deletion_takes_whole_steps(steps):
    model = PlainNet(3, channels=(4,) * 6, size=32).eval()
    x = torch.zeros(1, 3, 32, 32)
    with pytest.raises(ValueError, match="a whole number"):
        scores.deletion(model, x, 0, torch.rand(32, 32), x, steps=steps)


def test_deletion_of_a_picture_with_nan():
    model = PlainNet(3, channels=(4,) * 6, size=32).eval()
    x = torch.full((1, 3, 32, 32), torch.nan)
    with pytest.raises(ValueError, match="look at x"):
        scores.deletion(model, x, 0, torch.rand(32, 32), torch.zeros_like(x))
