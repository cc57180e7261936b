"""Unusual right answers of notebook 14."""

import itertools
import math

import numpy as np
import torch

# ---------------------------------------------------------------------------- a coalition's value


def in_double_one_by_one(model, x, target, baseline, segments, coalitions):
    found = torch.empty(len(coalitions), dtype=torch.float64)
    for row, coalition in enumerate(coalitions):
        picture = baseline.detach().clone()
        for player in coalition.nonzero().flatten().tolist():
            picture[..., segments == player] = x[..., segments == player]
        found[row] = model(picture).detach()[0, target]
    return found


@torch.inference_mode()
def by_one_hot_vectors(model, x, target, baseline, segments, coalitions):
    owners = torch.nn.functional.one_hot(segments, coalitions.shape[1]).to(x)
    shown = torch.einsum("np,hwp->nhw", coalitions.to(x), owners)[:, None]
    return model(shown * x + (1 - shown) * baseline)[:, target].clone()


def with_numpys_take(model, x, target, baseline, segments, coalitions):
    shown = torch.from_numpy(np.take(coalitions.numpy(), segments.numpy(), axis=1))
    copies = baseline.expand(len(coalitions), -1, -1, -1).clone()
    copies.mul_(~shown[:, None]).add_(x * shown[:, None])
    return model(copies).detach().T[target]


# ---------------------------------------------------------------------------- Shapley values


def by_all_orders_with_numpy(values):
    players = int(math.log2(len(values)))
    worth = values.numpy()
    found = np.zeros(players)
    for order in itertools.permutations(range(players)):
        masks = np.cumsum([0, *(2**player for player in order)])
        found[list(order)] += np.diff(worth[masks])
    return torch.from_numpy(found / math.factorial(players))


def by_dividends(values):
    players = len(values).bit_length() - 1
    dividends = values.clone()
    for player in range(players):
        for coalition in range(len(values)):
            if coalition & 1 << player:
                dividends[coalition] -= dividends[coalition ^ 1 << player]
    found = [torch.zeros((), dtype=values.dtype) for _ in range(players)]
    for coalition in range(1, len(values)):
        for player in range(players):
            if coalition & 1 << player:
                found[player] = found[player] + dividends[coalition] / coalition.bit_count()
    return torch.stack(found)


def by_factorials(values):
    players = (len(values) - 1).bit_length()
    everybody = set(range(players))

    def worth(coalition):
        return values[sum(2**player for player in coalition)].item()

    found = []
    for player in range(players):
        total, others = 0.0, everybody - {player}
        for size in range(players):
            orders = math.factorial(size) * math.factorial(players - size - 1)
            for before in itertools.combinations(others, size):
                total += orders * (worth({*before, player}) - worth(before))
        found.append(total / math.factorial(players))
    return torch.tensor(found)


# ---------------------------------------------------------------------------- the kernel


def with_scipy(coalitions):
    from scipy.special import comb

    array = coalitions.numpy()
    size, players = array.sum(1), array.shape[1]
    return torch.tensor((players - 1) / (comb(players, size) * size * (players - size)))


def by_gamma_functions(coalitions):
    players = torch.tensor(coalitions.shape[1], dtype=torch.float64)
    size = coalitions.double().sum(1)
    logarithm = torch.lgamma(size + 1) + torch.lgamma(players - size + 1)
    logarithm -= torch.lgamma(players + 1)
    return logarithm.exp() * (players - 1) / (size * (players - size))


def from_a_table(coalitions):
    players = coalitions.shape[1]
    factorial = math.factorial
    table = [0.0] * (players + 1)
    for size in range(1, players):
        below = factorial(size - 1) * factorial(players - size - 1)
        table[size] = below * (players - 1) / factorial(players)
    return torch.tensor(table, dtype=torch.float64)[coalitions.long().sum(1)]


# ---------------------------------------------------------------------------- RISE


def in_double_mask_by_mask(model, x, target, baseline, masks):
    total = torch.zeros(masks.shape[1:], dtype=torch.float64)
    shown = torch.zeros_like(total)
    for mask in masks:
        with torch.no_grad():
            scores = model(torch.lerp(baseline, x, mask))[0]
        total += (scores[target] - scores.logsumexp(0)).exp() * mask
        shown += mask
    return total / shown


def by_einsum(model, x, target, baseline, masks):
    blends = masks.unsqueeze(1) * x + (1 - masks.unsqueeze(1)) * baseline
    probabilities = torch.nn.functional.softmax(model(blends).detach(), dim=-1)
    weights = masks / masks.sum(0, keepdim=True)
    return torch.einsum("nc,nhw->chw", probabilities, weights)[target]


def with_numpy(model, x, target, baseline, masks):
    with torch.inference_mode():
        scores = model(baseline + masks[:, None] * (x - baseline)).double().numpy()
    powers = np.exp(scores - scores.max(1, keepdims=True))
    probability = powers[:, target] / powers.sum(1)
    stacked = np.broadcast_to(probability[:, None, None], masks.shape)
    return torch.from_numpy(np.average(stacked, axis=0, weights=masks.numpy()))


ODD = {
    "coalition_scores": [in_double_one_by_one, by_one_hot_vectors, with_numpys_take],
    "shapley_values": [by_all_orders_with_numpy, by_dividends, by_factorials],
    "kernel_weights": [with_scipy, by_gamma_functions, from_a_table],
    "rise_map": [in_double_mask_by_mask, by_einsum, with_numpy],
}
