"""Unusual right answers of notebook 11."""

import numpy as np
import torch
from scipy import stats

# ---------------------------------------------------------------------------- relevance mass


def as_a_double_tensor(heatmap, mask):
    positive = heatmap.double().relu()
    return (positive * mask).sum() / positive.sum()


def with_numpy(heatmap, mask):
    values = np.maximum(heatmap.numpy(), 0)
    return np.average(mask.numpy(), weights=values)


def by_selecting(heatmap, mask):
    total = heatmap[heatmap > 0].sum().item()
    return heatmap[(heatmap > 0) & mask].sum().item() / total


# ---------------------------------------------------------------------------- bootstrap


def as_one_tensor(values, picks, level=0.95):
    means = values.double()[picks].mean(1)
    return means.quantile(torch.tensor([(1 - level) / 2, (1 + level) / 2]).double())


def by_sorting(values, picks, level=0.95):
    means = sorted(values[row].mean().item() for row in picks)
    outside = round((1 - level) / 2 * (len(means) - 1))
    return means[outside], means[-1 - outside]


def by_counting_with_numpy(values, picks, level=0.95):
    counts = np.stack([np.bincount(row, minlength=len(values)) for row in picks.numpy()])
    means = counts @ values.numpy() / picks.shape[1]
    return list(np.percentile(means, [50 - 50 * level, 50 + 50 * level]))


# ---------------------------------------------------------------------------- rank correlation


def with_scipy(one, other):
    return stats.spearmanr(one.flatten(), other.flatten()).statistic


def by_the_formula_with_differences(one, other):
    ranks = [m.flatten().argsort().argsort() for m in (one, other)]
    difference = (ranks[0] - ranks[1]).double()
    count = difference.numel()
    return 1 - 6 * (difference @ difference) / (count * (count**2 - 1))


def by_scattering(one, other):
    ranks = torch.empty(2, one.numel(), dtype=torch.float64)
    for row, m in zip(ranks, (one, other)):
        row[m.reshape(-1).sort(descending=True).indices] = torch.arange(one.numel()).double()
    return torch.corrcoef(ranks)[0, 1]


# ---------------------------------------------------------------------------- deletion


def in_double_all_at_once(model, x, target, heatmap, replacement, steps):
    ranks = (-heatmap).flatten().argsort().argsort().view(heatmap.shape)
    counts = torch.tensor([round(k / steps * ranks.numel()) for k in range(steps + 1)])
    gone = (ranks < counts[:, None, None])[:, None]
    with torch.inference_mode():
        return model(torch.where(gone, replacement, x)).double().softmax(1)[:, target].clone()


def still_in_a_graph(model, x, target, heatmap, replacement, steps):
    mixed, curve = x.clone().requires_grad_(), []
    places = heatmap.flatten().sort(descending=True).indices
    for k in range(steps + 1):
        gone = torch.zeros(heatmap.numel())
        gone[places[: int(k * heatmap.numel() / steps + 0.5)]] = 1
        gone = gone.reshape(heatmap.shape)
        curve.append(torch.softmax(model(gone * replacement + (1 - gone) * mixed), -1)[:, target])
    return torch.cat(curve)


def one_pixel_after_the_other(model, x, target, heatmap, replacement, steps):
    mixed, curve, done = x.clone(), [], 0
    height, width = heatmap.shape
    order = sorted(np.ndindex(height, width), key=lambda place: -heatmap[place])
    for k in range(steps + 1):
        for row, column in order[done : round(k * height * width / steps)]:
            mixed[:, :, row, column] = replacement[:, :, row, column]
            done += 1
        with torch.no_grad():
            scores = model(mixed)[0]
        curve.append((scores[target] - scores.logsumexp(0)).exp())
    return torch.stack(curve)


ODD = {
    "relevance_mass": [as_a_double_tensor, with_numpy, by_selecting],
    "bootstrap_interval": [as_one_tensor, by_sorting, by_counting_with_numpy],
    "rank_correlation": [with_scipy, by_the_formula_with_differences, by_scattering],
    "deletion_curve": [in_double_all_at_once, still_in_a_graph, one_pixel_after_the_other],
}
