"""Checks of notebook 14, Shapley values and masks."""

import math

import torch
from torch import nn

from course_utils.exercises import check


def _network(height, width):
    """A small network that is not linear, so that parts of a picture interact."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * (height - 2) * (width - 2), 4)
    ).eval()


def _inputs(height, width):
    return 2 * torch.randn(1, 3, height, width), 2 * torch.randn(1, 3, height, width)


# ---------------------------------------------------------------------------- a coalition's value


def _coalitions(random):
    """Players with scattered pixels; nobody and everybody are among the coalitions."""
    calls = []
    sizes = ((6, 9, 4, 7), (8, 5, 3, 2), (4, 7, 6, 1))
    for (height, width, players, count), target in zip(sizes, random.permutation(4)):
        owners = torch.arange(height * width) % players
        segments = owners[torch.randperm(len(owners))].reshape(height, width)
        coalitions = torch.rand(count, players) < 0.5
        coalitions[-1] = True
        coalitions[0, : players // 2] = False
        coalitions[0, players // 2 :] = True
        if count > 2:
            coalitions[1] = False
        x, baseline = _inputs(height, width)
        calls.append((_network(height, width), x, int(target), baseline, segments, coalitions))
    return calls


@check(points=2, probes=_coalitions)
def coalition_scores(model, x, target, baseline, segments, coalitions):
    """The target's score of one mixed picture for each coalition -> (N,).

    A tensor without a graph. A pixel of the mixture comes from x if its player is in the coalition,
    else from the baseline.
    x, baseline: (1, 3, H, W), left as they are; segments: (H, W), the number of the player who owns
    each pixel; coalitions: (N, players) bool. The model's output are the scores (N, classes).
    """
    shown = coalitions[:, segments]
    mixed = torch.where(shown[:, None], x, baseline)
    with torch.no_grad():
        return model(mixed)[:, target]


def _mixed(x, baseline, shown):
    return torch.where(shown[:, None], x, baseline)


def _scores(model, mixed):
    with torch.no_grad():
        return model(mixed)


@coalition_scores.mistake(
    "Your players show the baseline while they are in, and x while they are out. It is the other "
    "way round."
)
def _turned_round(model, x, target, baseline, segments, coalitions):
    return coalition_scores.reference(model, x, target, baseline, segments, ~coalitions)


@coalition_scores.mistake(
    "You give the softmax probability. A game of probabilities is another game: return the logit."
)
def _probability(model, x, target, baseline, segments, coalitions):
    return _scores(model, _mixed(x, baseline, coalitions[:, segments])).softmax(1)[:, target]


@coalition_scores.mistake(
    "Who is out becomes zero. Zero is only one of many baselines: use the `baseline` that was "
    "passed."
)
def _zeros(model, x, target, baseline, segments, coalitions):
    return coalition_scores.reference(model, x, target, 0 * baseline, segments, coalitions)


@coalition_scores.mistake(
    "You subtract the score of the empty coalition. Asked is what each coalition scores; the "
    "differences come later."
)
def _less_nobody(model, x, target, baseline, segments, coalitions):
    found = coalition_scores.reference(model, x, target, baseline, segments, coalitions)
    return found - _scores(model, baseline)[0, target]


@coalition_scores.mistake(
    "You return the highest score of each mixture, of whichever class. The game is about one "
    "class: `[:, target]`."
)
def _highest(model, x, target, baseline, segments, coalitions):
    return _scores(model, _mixed(x, baseline, coalitions[:, segments])).amax(1)


@coalition_scores.mistake("These are the scores of all classes. Return those of the target alone.")
def _all_classes(model, x, target, baseline, segments, coalitions):
    return _scores(model, _mixed(x, baseline, coalitions[:, segments]))


@coalition_scores.mistake(
    "Each of your mixtures shows one player only, the last of its coalition. All members show "
    "their pixels."
)
def _last_member(model, x, target, baseline, segments, coalitions):
    alone = torch.zeros_like(coalitions)
    for row, members in zip(alone, coalitions):
        row[members.nonzero()[-1:, 0]] = True
    return coalition_scores.reference(model, x, target, baseline, segments, alone)


@coalition_scores.mistake(
    "You blend by the share of players who are in. Each pixel belongs to one player and comes "
    "whole, from x or from the baseline: look it up with `coalitions[:, segments]`."
)
def _blended(model, x, target, baseline, segments, coalitions):
    share = coalitions.float().mean(1)[:, None, None, None]
    return _scores(model, baseline + share * (x - baseline))[:, target]


# ---------------------------------------------------------------------------- Shapley values


def _games(random):
    """Games of one to four players: random numbers for all coalitions."""
    return [(torch.randn(2**players, dtype=torch.float64),) for players in (3, 4, 1, 2)]


@check(points=3, probes=_games)
def shapley_values(values):
    """The Shapley values of a game, from what all of its coalitions are worth -> (players,).

    values: (2 ** players,); number k is the worth of the coalition that holds player i if bit i of
    k is set, `k >> i & 1`. So number 0 is nobody, and with three players number 5 is players 0 and
    2. A player's value is the mean of what it adds to those before it, over all orders. Return a
    tensor.
    """
    players = len(values).bit_length() - 1
    found = torch.zeros(players, dtype=values.dtype)
    for player in range(players):
        for others in range(len(values)):
            if not others >> player & 1:
                added = values[others | 1 << player] - values[others]
                found[player] += added / (players * math.comb(players - 1, others.bit_count()))
    return found


def _weighted(values, weigh):
    """The sum of what each player adds, weighted by weigh(players, size of the others)."""
    players = len(values).bit_length() - 1
    found = torch.zeros(players, dtype=values.dtype)
    for player in range(players):
        for others in range(len(values)):
            if not others >> player & 1:
                added = values[others | 1 << player] - values[others]
                found[player] += weigh(players, others.bit_count()) * added
    return found


@shapley_values.mistake(
    "You give every coalition of others the same weight (that is the Banzhaf value). In a random "
    "order nobody and everybody else are likelier to come first than any one coalition in the "
    "middle, and your values don't sum to what all are worth."
)
def _banzhaf(values):
    return _weighted(values, lambda players, size: 1 / 2 ** (players - 1))


@shapley_values.mistake(
    "You only ask what each player adds to nobody. A player may be worth more, or less, when "
    "others are there already."
)
def _first(values):
    return _weighted(values, lambda players, size: size == 0)


@shapley_values.mistake(
    "You only ask what is lost when a player leaves all others, as occlusion does. Average over "
    "all coalitions that it can join."
)
def _last(values):
    return _weighted(values, lambda players, size: size == players - 1)


@shapley_values.mistake(
    "You average the first and the last step, adding to nobody and adding to all others. With more "
    "players there are steps in between."
)
def _first_and_last(values):
    return (_first(values) + _last(values)) / 2


@shapley_values.mistake(
    "Your weights add up to the number of players for each of them: you forgot to divide by it. "
    "The sizes of the coalition that is already there are equally likely, each 1 / players."
)
def _not_divided(values):
    return _weighted(values, lambda players, size: 1 / math.comb(players - 1, size))


@shapley_values.mistake(
    "You count coalitions among all players. The others, who can be there before a player, are one "
    "fewer: `math.comb(players - 1, size)`."
)
def _among_all(values):
    return _weighted(values, lambda players, size: 1 / (players * math.comb(players, size)))


@shapley_values.mistake(
    "Your players are numbered the other way round: player 0 belongs to the lowest bit, so the "
    "coalition number 1 is player 0 alone."
)
def _bits_reversed(values):
    return shapley_values.reference(values).flip(0)


@shapley_values.mistake(
    "You average what coalitions with the player are worth. What counts is what the player *adds*: "
    "subtract the worth of the same coalition without it."
)
def _not_subtracted(values):
    players = len(values).bit_length() - 1
    found = torch.zeros(players, dtype=values.dtype)
    for player in range(players):
        for others in range(len(values)):
            if not others >> player & 1:
                share = 1 / (players * math.comb(players - 1, others.bit_count()))
                found[player] += share * values[others | 1 << player]
    return found


@shapley_values.mistake(
    "Your players come in one order only, 0, 1, 2 and so on. The value is the mean over all orders."
)
def _one_order(values):
    players = len(values).bit_length() - 1
    return values[[2**size - 1 for size in range(players + 1)]].diff()


@shapley_values.mistake("The sign is turned round: it is the worth with the player minus without.")
def _sign(values):
    return -shapley_values.reference(values)


# ---------------------------------------------------------------------------- the kernel


def _some_coalitions(random):
    """Coalitions of two to nine players, of all sizes but nobody and everybody; a single one."""
    calls = []
    for players in random.permutation([3, 5, 6, 8, 9])[:3]:
        sizes = torch.arange(1, int(players)).repeat(2)[torch.randperm(2 * int(players) - 2)]
        ranks = torch.rand(len(sizes), int(players)).argsort(1)
        calls.append((ranks < sizes[:, None],))
    pair = torch.tensor([[True, False], [False, True], [True, False]])
    return [*calls, (pair,), (torch.tensor([[True, False, True]]),)]


@check(points=2, probes=_some_coalitions)
def kernel_weights(coalitions):
    """The Shapley kernel's weight of each coalition -> (N,), a tensor of floats.

    (players - 1) / (c * size * (players - size)), where size is the number of players in the
    coalition and c the number of coalitions of that size: players over size, `math.comb`.

    coalitions: (N, players) bool; neither nobody nor everybody is among them
    """
    players = coalitions.shape[1]
    weights = []
    for size in coalitions.sum(1).tolist():
        count = math.comb(players, size)
        weights.append((players - 1) / (count * size * (players - size)))
    return torch.tensor(weights)


def _by_size(coalitions, weigh):
    players = coalitions.shape[1]
    return torch.tensor([float(weigh(players, size)) for size in coalitions.sum(1).tolist()])


@kernel_weights.mistake(
    "You left out the number of coalitions of that size, so this is the weight of all of them "
    "together."
)
def _of_all_of_a_size(coalitions):
    return _by_size(coalitions, lambda n, s: (n - 1) / (s * (n - s)))


@kernel_weights.mistake(
    "You only divide by the number of coalitions of that size. Sizes have different weights as "
    "well: the extremes count most."
)
def _only_counted(coalitions):
    return _by_size(coalitions, lambda n, s: (n - 1) / math.comb(n, s))


@kernel_weights.mistake(
    "Your numerator is the number of players; it is one less. The fit would be the same, because "
    "only ratios of weights matter, but the task asks for the paper's numbers."
)
def _numerator(coalitions):
    return _by_size(coalitions, lambda n, s: n / (math.comb(n, s) * s * (n - s)))


@kernel_weights.mistake("You left out the numerator, players - 1.")
def _no_numerator(coalitions):
    return _by_size(coalitions, lambda n, s: 1 / (math.comb(n, s) * s * (n - s)))


@kernel_weights.mistake(
    "You divide by the sum of your weights. Then they depend on which coalitions were passed; "
    "asked is the weight of each by itself."
)
def _normalized(coalitions):
    weights = kernel_weights.reference(coalitions)
    return weights / weights.sum()


@kernel_weights.mistake(
    "These are the weights by which a player's contributions are averaged, 1 / (players * "
    "comb(players - 1, size)). The kernel weighs the squares of a fit, and is symmetric: a "
    "coalition weighs as much as its complement."
)
def _of_the_definition(coalitions):
    return _by_size(coalitions, lambda n, s: 1 / (n * math.comb(n - 1, s)))


@kernel_weights.mistake(
    "You count coalitions among all players but one. The kernel has players over size."
)
def _among_the_others(coalitions):
    return _by_size(coalitions, lambda n, s: (n - 1) / (math.comb(n - 1, s) * s * (n - s)))


@kernel_weights.mistake(
    "You have the number of rows for the number of players: players stand in columns, "
    "`coalitions.shape[1]`, and each row is a coalition."
)
def _rows_for_players(coalitions):
    rows = len(coalitions)
    return _by_size(
        coalitions, lambda _, s: (rows - 1) / (math.comb(rows, s) * s * (rows - s) or math.inf)
    )


# ---------------------------------------------------------------------------- RISE


def _masked(random):
    """Masks with grey values; every pixel shows in one of them at least."""
    calls = []
    sizes = ((6, 9, 5), (8, 5, 3), (4, 7, 1))
    for (height, width, count), target in zip(sizes, random.permutation(4)):
        x, baseline = _inputs(height, width)
        masks = 0.05 + 0.95 * torch.rand(count, height, width)
        calls.append((_network(height, width), x, int(target), baseline, masks))
    return calls


@check(points=2, probes=_masked)
def rise_map(model, x, target, baseline, masks):
    """For each pixel, the mean of the class's probability, weighted by how much it shows -> (H, W).

    A mask (H, W) is 1 where x shows and 0 where the baseline does; in between it blends. The
    probability of each blend counts, at each pixel, as much as the mask is high there.

    x, baseline: (1, 3, H, W), left as they are; masks: (N, H, W) in [0, 1], and every pixel shows
    in some mask. The model's output are the scores (N, classes). Return a tensor without a graph.
    """
    blends = baseline + masks[:, None] * (x - baseline)
    with torch.no_grad():
        probability = model(blends).softmax(dim=1)[:, target]
    return (probability[:, None, None] * masks).sum(dim=0) / masks.sum(dim=0)


def _probabilities(model, x, target, baseline, masks):
    with torch.no_grad():
        return model(baseline + masks[:, None] * (x - baseline)).softmax(1)[:, target]


def _weigh(found, masks):
    return (found[:, None, None] * masks).sum(0)


@rise_map.mistake(
    "You average the logit. RISE averages the softmax probability, so that one extreme mask can't "
    "outweigh all others."
)
def _logit(model, x, target, baseline, masks):
    with torch.no_grad():
        found = model(baseline + masks[:, None] * (x - baseline))[:, target]
    return _weigh(found, masks) / masks.sum(0)


@rise_map.mistake(
    "You divide by the number of masks. A pixel that happens to show more often would look more "
    "important: divide by how much it showed, the sum of the masks at that pixel."
)
def _by_the_count(model, x, target, baseline, masks):
    return _weigh(_probabilities(model, x, target, baseline, masks), masks) / len(masks)


@rise_map.mistake("You sum and never divide: a mean divides by the sum of its weights, the masks.")
def _summed(model, x, target, baseline, masks):
    return _weigh(_probabilities(model, x, target, baseline, masks), masks)


@rise_map.mistake(
    "You divide by one number for the whole map. Each pixel has its own sum of weights."
)
def _by_the_mean(model, x, target, baseline, masks):
    found = _weigh(_probabilities(model, x, target, baseline, masks), masks)
    return found / masks.sum(0).mean()


@rise_map.mistake(
    "You divide by the sum of the probabilities, and so get the mean *mask*. Asked is the mean "
    "probability, weighted by the masks."
)
def _mean_mask(model, x, target, baseline, masks):
    found = _probabilities(model, x, target, baseline, masks)
    return _weigh(found, masks) / found.sum()


@rise_map.mistake("Your masks hide where they should show. Where a mask is 1, the blend is x.")
def _hidden(model, x, target, baseline, masks):
    found = _probabilities(model, x, target, baseline, 1 - masks)
    return _weigh(found, masks) / masks.sum(0)


@rise_map.mistake(
    "You multiply x by the mask, as if the baseline were zero. Blend with the `baseline` that was "
    "passed: baseline + mask * (x - baseline)."
)
def _zero_baseline(model, x, target, baseline, masks):
    found = _probabilities(model, x, target, 0 * baseline, masks)
    return _weigh(found, masks) / masks.sum(0)


@rise_map.mistake(
    "Your weights are the hidden shares, 1 - mask. A mask's probability speaks for the pixels that "
    "it *shows*."
)
def _weights_of_the_hidden(model, x, target, baseline, masks):
    found = _probabilities(model, x, target, baseline, masks)
    return _weigh(found, 1 - masks) / (1 - masks).sum(0)


@rise_map.mistake(
    "All of your pixels get the same value, the mean probability. Weight it at each pixel by the "
    "masks."
)
def _unweighted(model, x, target, baseline, masks):
    found = _probabilities(model, x, target, baseline, masks)
    return found.mean() * torch.ones_like(masks[0])
