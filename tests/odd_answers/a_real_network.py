"""Unusual right answers of notebook 13."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import binomtest, norm

# ---------------------------------------------------------------------------- occlude and read


def all_copies_at_once_in_double(model, x, noise, target, block):
    _, _, height, width = x.shape
    cells = torch.eye((height // block) * (width // block), dtype=torch.bool)
    cells = cells.reshape(-1, 1, height // block, width // block)
    hidden = cells.repeat_interleave(block, 2).repeat_interleave(block, 3)
    with torch.inference_mode():
        after = torch.cat([model(each[None]) for each in torch.where(hidden, noise, x)])
        falls = (model(x) - after)[:, target].double()
    heatmap = falls.reshape(height // block, width // block).numpy().copy()
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    return [torch.from_numpy(heatmap), row, column]


def covered_and_restored(model, x, noise, target, block):
    copy = x.detach().clone()
    before = model(copy).detach()[0, target].item()
    best, place, rows = -math.inf, (0, 0), []
    for top in range(0, x.shape[2], block):
        rows.append([])
        for left in range(0, x.shape[3], block):
            square = copy[0, :, top : top + block, left : left + block]
            kept = square.clone()
            square.copy_(noise[0, :, top : top + block, left : left + block])
            fall = before - model(copy)[0][target].item()
            square.copy_(kept)
            rows[-1].append(fall)
            if fall > best:
                best, place = fall, (top // block, left // block)
    return torch.tensor(rows), *place


def by_padding(model, x, noise, target, block):
    height, width = x.shape[2:]
    difference = noise - x
    found = []
    for top in range(0, height, block):
        for left in range(0, width, block):
            margins = (left, width - left - block, top, height - top - block)
            square = F.pad(torch.ones(1, 1, block, block), margins)
            with torch.no_grad():
                found.append(model(x)[:, target] - model(x + square * difference)[:, target])
    heatmap = torch.cat(found).view(height // block, -1)
    place = int(torch.nonzero(heatmap.flatten() == heatmap.max())[0])
    return heatmap, place // heatmap.shape[1], place % heatmap.shape[1]


# ---------------------------------------------------------------------------- an intervention


def with_numpy_in_double(before, after, target, rival):
    def score(logits):
        return np.logaddexp.reduce(logits.double().numpy()[:, target], axis=1)

    first, then = before.numpy().argmax(1), after.numpy().argmax(1)
    known = np.isin(first, target)
    counts = [
        known.sum(),
        (known & np.isin(then, target)).sum(),
        (known & np.isin(then, rival)).sum(),
    ]
    return torch.from_numpy(score(before) - score(after)), *counts


def scene_by_scene(before, after, target, rival):
    falls, recognized, still, became = [], 0, 0, 0
    for one, other in zip(before, after):
        exp = [sum(math.exp(side[number]) for number in target) for side in (one, other)]
        falls.append(math.log(exp[0]) - math.log(exp[1]))
        if int(one.argmax()) in target:
            recognized += 1
            still += int(other.argmax()) in target
            became += int(other.argmax()) in rival
    return torch.tensor(falls), recognized, still, became


def by_one_hot_vectors(before, after, target, rival):
    def called(logits, classes):
        return F.one_hot(logits.topk(1).indices[:, 0], logits.shape[1])[:, classes].sum(1)

    score = [torch.log(torch.exp(logits)[:, target].sum(-1)) for logits in (before, after)]
    known = called(before, target)
    still = known @ called(after, target)
    return score[0] - score[1], known.sum(), still, known @ called(after, rival)


# ---------------------------------------------------------------------------- a verdict


def with_scipy(hits, trials, least):
    if not trials:
        return 0.0, np.float32(1), "open"
    found = binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    low, high = np.float64(found.low), np.float64(found.high)
    return low, high, np.select([low > least, high < least], ["holds", "fails"], "open").item()


def by_the_quadratic_equation(hits, trials, least):
    z, share = norm.ppf(0.975), hits / max(trials, 1)
    if trials < 1:
        low, high = 0, 1
    else:
        a, b, c = 1 + z * z / trials, -(2 * share + z * z / trials), share**2
        root = math.sqrt(max(b * b - 4 * a * c, 0))
        low, high = (-b - root) / (2 * a), (-b + root) / (2 * a)
    word = "open" if low <= least <= high else "holds" if least < low else "fails"
    return [low, high, word]


def with_torch(hits, trials, least):
    if trials == 0:
        return 0, 1, "open"
    z = torch.tensor(1.96, dtype=torch.float64)
    share = torch.tensor(hits / trials, dtype=torch.float64)
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    root = (share * (1 - share) / trials + z**2 / (4 * trials**2)).sqrt()
    reach = z * root / (1 + z**2 / trials)
    side = int(centre - reach > least) - int(centre + reach < least)
    return centre - reach, centre + reach, {1: "holds", -1: "fails", 0: "open"}[side]


# ---------------------------------------------------------------------------- a story


def scene_after_scene(ask, scenes, change, control, target, rival):
    extras, counts = [], np.zeros(3, int)
    for scene in scenes:
        if {change, control} <= scene.keys():
            sides = ask(torch.stack([scene[n] for n in ("whole", change, control)])).double()
            score = sides[:, target].logsumexp(1)
            extras.append(score[2] - score[1])
            first, then, placebo = sides.argmax(1).tolist()
            if first in target:
                counts += [1, then in rival, placebo in rival]
    return (sum(extras) / max(len(extras), 1), *counts)


def with_nested_functions(ask, scenes, change, control, target, rival):
    chosen = [s for s in scenes if s.get(change) is not None and s.get(control) is not None]

    def logits(name):
        return torch.cat([ask(scene[name][None]) for scene in chosen]).detach()

    def is_one_of(found, classes):
        return (found.argmax(-1)[:, None] == torch.tensor(classes)).any(-1)

    if len(chosen) == 0:
        return [0.0, 0, 0, 0]
    known = is_one_of(logits("whole"), target)
    score = {n: torch.logsumexp(logits(n)[:, target], -1) for n in (change, control)}
    became = [(known & is_one_of(logits(name), rival)).sum() for name in (change, control)]
    return [(score[control] - score[change]).mean(), known.sum(), *became]


def in_one_batch(ask, scenes, change, control, target, rival):
    names = ("whole", change, control)
    chosen = [s for s in scenes if all(name in s for name in names)]
    if not chosen:
        return 0.0, 0, 0, 0
    found = ask(torch.stack([scene[name] for name in names for scene in chosen])).chunk(3)
    score = [torch.exp(logits.detach())[:, target].sum(1).log() for logits in found]
    best = [logits.argmax(1).tolist() for logits in found]
    known = [number for number, winner in enumerate(best[0]) if winner in target]
    became = [sum(side[number] in rival for number in known) for side in best[1:]]
    return (score[2] - score[1]).mean().item(), len(known), *became


ODD = {
    "occlude": [all_copies_at_once_in_double, covered_and_restored, by_padding],
    "outcome": [with_numpy_in_double, scene_by_scene, by_one_hot_vectors],
    "verdict": [with_torch, by_the_quadratic_equation, with_scipy],
    "judge_story": [scene_after_scene, with_nested_functions, in_one_batch],
}
