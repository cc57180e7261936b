"""Shapley values against their definition, solved games and Captum's, with settings matched."""

import itertools
import math
from functools import partial

import pytest
import torch
from captum._utils.models.model import Model
from captum.attr import KernelShap, LimeBase, ShapleyValueSampling
from torch import nn

from course_utils import shapley


def table(players, seed=0):
    """A game of random numbers: its values by coalition, and the game."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2**players, generator=generator, dtype=torch.float64)
    return values, lambda coalitions: values[number(coalitions)]


def number(coalitions):
    return (coalitions.long() << torch.arange(coalitions.shape[1])).sum(1)


def by_all_orders(values, players):
    """The definition: what each player adds, over all orders in which they can come."""
    total = [0.0] * players
    for order in itertools.permutations(range(players)):
        coalition = 0
        for player in order:
            joined = coalition | 1 << player
            total[player] += values[joined].item() - values[coalition].item()
            coalition = joined
    return torch.tensor(total, dtype=torch.float64) / math.factorial(players)


def linear(weights, start=0.0):
    return lambda coalitions: start + coalitions.double() @ weights


# ---------------------------------------------------------------------------- exact


def test_coalitions_are_numbered_by_their_bits():
    coalitions = shapley.all_coalitions(3)
    assert coalitions.dtype == torch.bool
    assert torch.equal(number(coalitions), torch.arange(8))
    assert coalitions[6].tolist() == [False, True, True]


@pytest.mark.parametrize("players", [1, 2, 3, 5])
def test_exact_values_are_those_of_the_definition(players):
    values, game = table(players)
    assert torch.allclose(shapley.exact(game, players), by_all_orders(values, players))


def test_a_linear_game_is_solved_by_its_weights():
    weights = torch.tensor([3.0, -1.0, 0.5, 0.0, 2.0], dtype=torch.float64)
    game = linear(weights, start=7.0)
    assert torch.allclose(shapley.exact(game, 5), weights)
    mean, error = shapley.permutation_sampling(game, 5, 3)
    assert torch.allclose(mean, weights)
    assert torch.allclose(error, torch.zeros(5, dtype=torch.float64), atol=1e-7)
    assert torch.allclose(shapley.kernel_shap(game, 5, 14, seed=1), weights)
    assert torch.allclose(shapley.lime(game, 5, 64, ridge=0.0), weights)


def test_the_glove_game():
    """One left glove, two right ones; a pair is worth 1: 2/3 and 1/6 each (a textbook's answer)."""

    def pairs(coalitions):
        return (coalitions[:, 0] & (coalitions[:, 1] | coalitions[:, 2])).double()

    expected = torch.tensor([2 / 3, 1 / 6, 1 / 6], dtype=torch.float64)
    assert torch.allclose(shapley.exact(pairs, 3), expected)


def test_the_axioms_hold():
    values, game = table(6, seed=3)

    def with_a_dummy_and_a_twin(coalitions):
        """Players 6 and 7: one adds nothing, the other does what player 0 does."""
        first = coalitions[:, 0] | coalitions[:, 7]
        return game(torch.cat([first[:, None], coalitions[:, 1:6]], 1))

    found = shapley.exact(with_a_dummy_and_a_twin, 8)
    assert found.sum().item() == pytest.approx((values[-1] - values[0]).item())
    assert found[6].item() == pytest.approx(0, abs=1e-12)
    assert found[7].item() == pytest.approx(found[0].item())


def test_a_game_of_many_coalitions_is_asked_a_few_at_a_time():
    sizes = []

    def game(coalitions):
        sizes.append(len(coalitions))
        return coalitions.double().sum(1)

    assert torch.allclose(shapley.exact(game, 10), torch.ones(10, dtype=torch.float64))
    assert max(sizes) <= shapley.AT_ONCE and sum(sizes) == 1024
    sizes.clear()
    shapley.permutation_sampling(game, 100, 9)
    assert max(sizes) <= shapley.AT_ONCE and sum(sizes) == 2 + 9 * 99
    sizes.clear()
    shapley.kernel_shap(game, 100, 999)
    assert max(sizes) <= shapley.AT_ONCE and sum(sizes) == 2 + 999


# ---------------------------------------------------------------------------- sampled


def test_permutations_come_near_and_tell_how_near():
    values, game = table(6, seed=1)
    exact = by_all_orders(values, 6)
    mean, error = shapley.permutation_sampling(game, 6, 400)
    assert ((mean - exact).abs() < 4 * error).all()
    assert mean.sum().item() == pytest.approx((values[-1] - values[0]).item())
    quarter = shapley.permutation_sampling(game, 6, 100)[1]
    assert 1.5 < (quarter / error).mean() < 2.7


def test_errors_are_those_of_the_mean_over_single_orders():
    _, game = table(4, seed=2)
    generator = torch.Generator().manual_seed(5)
    added = []
    for _ in range(7):
        order = torch.randperm(4, generator=generator).tolist()
        row, before = [0.0] * 4, torch.zeros(1, 4, dtype=torch.bool)
        for player in order:
            after = before.clone()
            after[0, player] = True
            row[player] = (game(after) - game(before)).item()
            before = after
        added.append(row)
    added = torch.tensor(added, dtype=torch.float64)
    mean, error = shapley.permutation_sampling(game, 4, 7, seed=5)
    assert torch.allclose(mean, added.mean(0))
    assert torch.allclose(error, added.std(0) / math.sqrt(7))


def test_kernel_weights_by_hand():
    weights = shapley.kernel_weights(4)
    expected = torch.tensor([math.inf, 3 / 12, 3 / 24, 3 / 12, math.inf], dtype=torch.float64)
    assert torch.allclose(weights, expected)


@pytest.mark.parametrize("players", [1, 2, 4, 7])
def test_kernel_shap_of_all_coalitions_is_exact(players):
    values, game = table(players, seed=4)
    found = shapley.kernel_shap(game, players, 2**players)
    assert torch.allclose(found, by_all_orders(values, players))


def test_kernel_shap_of_samples_comes_near_and_always_sums_up():
    _, game = table(8, seed=4)
    exact = shapley.exact(game, 8)
    gaps = []
    for samples in (24, 200):
        found = [shapley.kernel_shap(game, 8, samples, seed=seed) for seed in range(12)]
        assert all(torch.allclose(f.sum(), exact.sum()) for f in found)
        gaps.append(torch.stack([(f - exact).square().mean() for f in found]).mean().sqrt())
    assert gaps[1] < gaps[0] / 1.8


def test_lime_is_a_weighted_ridge_regression():
    """Against the plain normal equations with an intercept, coalition by coalition."""
    _, game = table(5, seed=6)
    generator = torch.Generator().manual_seed(9)
    rows = torch.rand(40, 5, generator=generator) < 0.5
    product, right = torch.zeros(6, 6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    for row in rows:
        z = torch.cat([row.double(), torch.ones(1, dtype=torch.float64)])
        distance = 1 - torch.cosine_similarity(row.double(), torch.ones(5).double(), dim=0)
        weight = math.exp(-(distance**2) / (2 * 0.25**2))
        product += weight * torch.outer(z, z)
        right += weight * z * game(row[None])
    expected = torch.linalg.solve(product + torch.diag(torch.tensor([0.3] * 5 + [0])), right)[:5]
    assert torch.allclose(shapley.lime(game, 5, 40, ridge=0.3, seed=9), expected)


@pytest.mark.parametrize(
    "method",
    [
        lambda game, **options: shapley.permutation_sampling(game, 6, 8, **options)[0],
        lambda game, **options: shapley.kernel_shap(game, 6, 30, **options),
        lambda game, **options: shapley.lime(game, 6, 30, **options),
    ],
)
def test_a_seed_decides_and_the_size_of_the_parts_does_not(method, monkeypatch):
    _, game = table(6, seed=8)
    first = method(game, seed=3)
    assert torch.equal(first, method(game, seed=3))
    assert not torch.allclose(first, method(game, seed=4))
    monkeypatch.setattr(shapley, "AT_ONCE", 8)
    assert torch.allclose(first, method(game, seed=3))


# ---------------------------------------------------------------------------- pictures


class Quadrants(nn.Module):
    """Scores that depend on the quadrants of a picture, with products between them."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Parameter(torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.3, 0.2, 0.1, -1.0]]))

    def forward(self, x):
        means = nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4).flatten(1)
        together = 9 * means[:, :1] * means[:, 3:] - 20 * means[:, :3].prod(1, keepdim=True)
        return means @ self.mix.T + together


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(2)
    x = 0.5 + torch.rand(1, 3, 8, 8, generator=generator)
    baseline = 0.3 * torch.rand(1, 3, 8, 8, generator=generator)
    segments = torch.arange(4).view(2, 2).repeat_interleave(4, 0).repeat_interleave(4, 1)
    return Quadrants().eval(), x, baseline, segments


def game_of(case, target=0, **options):
    model, x, baseline, segments = case
    return partial(shapley.coalition_scores, model, x, target, baseline, segments, **options)


def test_coalition_scores_picture_by_picture(case):
    model, x, baseline, segments = case
    coalitions = shapley.all_coalitions(4)
    found = shapley.coalition_scores(model, x, 1, baseline, segments, coalitions, batch=3)
    for coalition, score in zip(coalitions, found):
        picture = baseline.clone()
        for player in coalition.nonzero()[:, 0]:
            picture[:, :, segments == player] = x[:, :, segments == player]
        assert score.item() == pytest.approx(model(picture)[0, 1].item(), abs=1e-5)


class LeastSquares(Model):
    """Captum's interpretable model by weighted least squares; its own would need scikit-learn."""

    def __init__(self, ridge=0.0):
        self.ridge = ridge

    def fit(self, train_data, **_options):
        self.rows, values, weights = next(iter(train_data))
        rows = torch.cat([self.rows.double(), torch.ones(len(self.rows), 1).double()], 1)
        weights = weights.double().flatten()[:, None]
        penalty = torch.diag(torch.tensor([self.ridge] * (rows.shape[1] - 1) + [0.0]).double())
        product = rows.T @ (weights * rows) + penalty
        self.found = torch.linalg.solve(product, rows.T @ (weights * values.double().view(-1, 1)))

    def representation(self):
        return self.found[:-1, 0]

    def __call__(self, x):
        return x.double() @ self.found[:-1] + self.found[-1]


def test_captums_kernel_shap_on_the_same_samples(case, monkeypatch):
    """The coalitions that Captum drew, handed to our fit, give its values."""
    model, x, baseline, segments = case
    captum = KernelShap(model)
    captum.interpretable_model = LeastSquares()
    torch.manual_seed(0)
    options = {"target": 0, "feature_mask": segments[None, None], "n_samples": 13}
    theirs = captum.attribute(x, baseline, return_input_shape=False, **options).double()
    drawn = captum.interpretable_model.rows.bool()[2:]  # the first two are everybody and nobody
    weights = torch.ones(len(drawn), dtype=torch.float64)
    monkeypatch.setattr(shapley, "_by_the_kernel", lambda *_: [(drawn, weights)])
    ours = shapley.kernel_shap(game_of(case), 4, 11)
    assert torch.allclose(theirs, ours, atol=1e-4)
    assert not torch.allclose(ours, shapley.exact(game_of(case), 4), atol=1e-3)


def test_captums_lime_on_the_same_samples(case):
    model, x, baseline, segments = case
    generator = torch.Generator().manual_seed(7)

    def perturb(_x, **_options):
        """The coalitions that our function draws."""
        while True:
            yield (torch.rand(1, 4, generator=generator) < 0.5).long()

    def similarity(_x, _perturbed, row, **_options):
        return shapley.lime_weights(row).float()

    def picture_of(row, _x, **_options):
        shown = row.bool()[:, segments][:, None]
        return torch.where(shown, x, baseline)

    captum = LimeBase(model, LeastSquares(0.5), similarity, perturb, True, picture_of, None)
    theirs = captum.attribute(x, target=1, n_samples=50)
    ours = shapley.lime(game_of(case, 1), 4, 50, ridge=0.5, seed=7)
    assert torch.allclose(theirs.double().flatten(), ours, atol=1e-4)


def test_captums_shapley_value_sampling_on_the_same_orders(case):
    model, x, baseline, segments = case
    captum = ShapleyValueSampling(model)
    generator = torch.Generator().manual_seed(4)
    captum.permutation_generator = lambda players, count: (
        torch.randperm(players, generator=generator).tolist() for _ in range(count)
    )
    options = {"target": 0, "feature_mask": segments[None, None], "n_samples": 9}
    theirs = captum.attribute(x, baseline, **options)[0, 0]
    theirs = torch.stack([theirs[segments == player][0] for player in range(4)])
    ours, error = shapley.permutation_sampling(game_of(case), 4, 9, seed=4)
    assert torch.allclose(theirs.double(), ours, atol=1e-4)
    exact = shapley.exact(game_of(case), 4)
    assert not torch.allclose(ours, exact, atol=0.05)
    assert ((ours - exact).abs() < 4 * error).all()


def test_spread_keeps_the_sum_of_every_segment():
    segments = torch.tensor([[0, 0, 1], [0, 2, 2]])
    values = torch.tensor([3.0, -1.0, 4.0])
    heatmap = shapley.spread(values, segments)
    assert heatmap.tolist() == [[1, 1, -1], [1, 2, 2]]


def test_superpixels_are_numbered_without_gaps_and_follow_colours():
    picture = torch.zeros(3, 40, 60)
    picture[0, :, 31:] = 1.0
    segments = shapley.superpixels(picture, 12)
    assert segments.shape == (40, 60) and segments.dtype == torch.int64
    assert segments.unique().tolist() == list(range(int(segments.max()) + 1))
    left, right = segments[:, :31].unique(), segments[:, 31:].unique()
    assert not set(left.tolist()) & set(right.tolist())


# ---------------------------------------------------------------------------- errors


def test_too_many_players_are_sent_to_sampling():
    for function in (lambda: shapley.exact(linear(None), 17), lambda: shapley.all_coalitions(40)):
        with pytest.raises(ValueError, match="use permutation_sampling or kernel_shap"):
            function()


def test_an_unknown_class_and_pictures_that_do_not_fit(case):
    model, x, baseline, segments = case
    coalitions = shapley.all_coalitions(4)
    ask = shapley.coalition_scores
    with pytest.raises(ValueError, match="The targets are 0 to 1"):
        ask(model, x, 2, baseline, segments, coalitions)
    with pytest.raises(ValueError, match="one preprocessed picture"):
        ask(model, x[0], 0, baseline, segments, coalitions)
    with pytest.raises(ValueError, match="preprocess it as x was"):
        ask(model, x, 0, baseline[..., :4], segments, coalitions)
    with pytest.raises(ValueError, match="bool tensor"):
        ask(model, x, 0, baseline, segments, coalitions.float())
    with pytest.raises(ValueError, match="whole numbers of the picture's size"):
        ask(model, x, 0, baseline, segments.float(), coalitions)
    with pytest.raises(ValueError, match="numbered from 0 on"):
        ask(model, x, 0, baseline, segments - 1, coalitions)


def test_empty_superpixels_are_named(case):
    model, x, baseline, segments = case
    with pytest.raises(ValueError, match="no pixel belongs to player 4"):
        shapley.coalition_scores(model, x, 0, baseline, segments, shapley.all_coalitions(5))
    with pytest.raises(ValueError, match="name 4 players, 0 to 3, but there are 3"):
        shapley.coalition_scores(model, x, 0, baseline, segments, shapley.all_coalitions(3))
    with pytest.raises(ValueError, match="no pixel belongs to player 1"):
        shapley.spread(torch.ones(3), torch.tensor([[0, 2]]))


def test_values_that_are_no_numbers_are_refused():
    def broken(coalitions):
        return torch.where(coalitions[:, 1], torch.nan, 0.0)

    with pytest.raises(ValueError, match=r"NaN .* for the coalition \[1\]"):
        shapley.exact(broken, 3)
    with pytest.raises(ValueError, match="one number for each coalition"):
        shapley.exact(lambda coalitions: coalitions.double(), 3)


METHODS = {
    "exact": lambda game: shapley.exact(game, 3),
    "permutations": lambda game: shapley.permutation_sampling(game, 3, 8),
    "kernel_shap": lambda game: shapley.kernel_shap(game, 3, 30),
    "kernel_shap_drawn": lambda game: shapley.kernel_shap(game, 20, 90),
    "kernel_shap_alone": lambda game: shapley.kernel_shap(game, 1),
    "lime": lambda game: shapley.lime(game, 3, 30),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@every_method
@pytest.mark.parametrize("odd", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("who", [False, True])
def test_every_method_refuses_a_game_that_is_not_finite(method, odd, who):
    def game(coalitions):
        return torch.where(coalitions[:, 0] == who, odd, 0.0)

    told = r"^The game's value is (NaN|infinite).* for the coalition \[.*\], and .*: return finite"
    with pytest.raises(ValueError, match=told):
        method(game)


@every_method
def test_every_method_refuses_numbers_whose_differences_overflow(method):
    big = torch.tensor(1.7e308, dtype=torch.float64)
    with pytest.raises(ValueError, match="^The game's numbers are so large"):
        method(lambda coalitions: torch.where(coalitions[:, 0], big, -big))


def test_errors_that_overflow_are_refused_where_the_mean_does_not():
    _, game = table(3)
    with pytest.raises(ValueError, match="^The game's numbers are so large"):
        shapley.permutation_sampling(lambda coalitions: 1e200 * game(coalitions), 3)


@every_method
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_every_method_refuses_complex_values(method, dtype):
    with pytest.raises(ValueError, match="^what a game returns must be a tensor of real numbers"):
        method(lambda coalitions: coalitions[:, 0].to(dtype))


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_method_tells_where_a_game_differs_by_rounding_alone(method, dtype, recwarn):
    def game(coalitions):
        return (10 + 3e-6 * coalitions.double().mean(1)).to(dtype)

    method(game)
    told = [str(warning.message) for warning in recwarn.list]
    method(lambda coalitions: 1e6 + coalitions[:, 0].to(dtype))  # small, but exact
    assert len(recwarn.list) == len(told)
    assert len(told) == (dtype == torch.float32)
    assert all("are rounding errors. Let the network compute in double" in text for text in told)


@every_method
def test_a_game_may_write_into_its_coalitions(method):
    def game(coalitions):
        return coalitions.double() @ torch.arange(1.0, coalitions.shape[1] + 1).double()

    def writing(coalitions):
        values = game(coalitions)
        coalitions.logical_not_()
        return values

    expected, found = method(game), method(writing)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one, other)
    everyone = shapley.all_coalitions(3)
    shapley.worth(writing, everyone)
    assert torch.equal(everyone, shapley.all_coalitions(3))


def test_values_to_be_spread_are_finite():
    with pytest.raises(ValueError, match="^The values contain NaN"):
        shapley.spread(torch.tensor([1, torch.inf]), torch.tensor([[0, 1]]))


def test_too_few_samples_and_odd_settings_are_refused():
    _, game = table(6)
    with pytest.raises(ValueError, match="don't determine the values of 6 players"):
        shapley.kernel_shap(game, 6, 3)
    with pytest.raises(ValueError, match="or a ridge above 0"):
        shapley.lime(game, 6, 3, ridge=0.0)
    with pytest.raises(ValueError, match="permutations=1: a whole number from 2 on"):
        shapley.permutation_sampling(game, 6, 1)
    with pytest.raises(ValueError, match="width=0.0: it must be positive"):
        shapley.lime(game, 6, 9, width=0.0)
    with pytest.raises(ValueError, match="players=0"):
        shapley.exact(game, 0)
    with pytest.raises(ValueError, match="count=2.5"):
        shapley.superpixels(torch.rand(3, 8, 8), 2.5)
    with pytest.raises(ValueError, match=r"shape \(3, H, W\)"):
        shapley.superpixels(torch.rand(1, 3, 8, 8), 4)
    with pytest.raises(ValueError, match="NaN"):
        shapley.superpixels(torch.full((3, 8, 8), torch.nan), 4)
