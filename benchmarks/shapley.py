"""How fast Shapley values and RISE are: `python -m benchmarks.shapley`.

Captum's ShapleyValueSampling gets the same orders as the course's permutation sampling, and its
KernelShap as many coalitions, with a least-squares fit of its own form (scikit-learn is no part of
the course). Captum is measured at its best number of mixtures at a time. RISE has no counterpart
there; it is compared with one mask after the other. All take turns in one process on one thread;
what counts is CPU time, the median of several rounds, and the ratios.
"""

from functools import partial

import torch
from captum._utils.models.model import Model
from captum.attr import KernelShap, ShapleyValueSampling
from tqdm import tqdm

from benchmarks import _measure
from course_utils import masks, shapley

TARGET = 1
SIDE = 5
"""Players are SIDE x SIDE squares."""

ORDERS = 4
SAMPLES = 96
MASKS = 64
AT_A_TIME = (1, 8, 32)

CASES = {
    "look_alikes, 128 px": _measure.course_network,
    "resnet18, 224 px": lambda: _measure.from_torchvision("resnet18"),
}


class LeastSquares(Model):
    """The linear model that Captum fits, by weighted least squares."""

    def fit(self, train_data, **_options):
        rows, values, weights = next(iter(train_data))
        rows = torch.cat([rows.double(), torch.ones(len(rows), 1).double()], 1)
        weighted = weights.double().flatten()[:, None] * rows
        right = weighted.T @ values.double().view(-1, 1)
        self.found = torch.linalg.solve(weighted.T @ rows, right)

    def representation(self):
        return self.found[:-1, 0]

    def __call__(self, x):
        return x.double() @ self.found[:-1] + self.found[-1]


def squares(x):
    """The number of the square that owns each pixel, (H, W)."""
    row, column = (torch.arange(side) * SIDE // side for side in x.shape[2:])
    return row[:, None] * SIDE + column


def captums_orders(model, x, segments, at_a_time):
    """Captum's values of all players, from the orders that ours takes."""
    method = ShapleyValueSampling(model)
    generator = torch.Generator().manual_seed(0)
    method.permutation_generator = lambda players, count: (
        torch.randperm(players, generator=generator).tolist() for _ in range(count)
    )
    found = method.attribute(
        x, torch.zeros_like(x), target=TARGET, feature_mask=segments[None, None],
        n_samples=ORDERS, perturbations_per_eval=at_a_time,
    )  # fmt: skip
    return torch.stack([found[0, 0][segments == p][0] for p in range(SIDE**2)]).double()


def captums_kernel(model, x, segments, at_a_time):
    """Captum's KernelSHAP with its own draws."""
    method = KernelShap(model)
    method.interpretable_model = LeastSquares()
    return method.attribute(
        x, torch.zeros_like(x), target=TARGET, feature_mask=segments[None, None],
        n_samples=SAMPLES + 2, perturbations_per_eval=at_a_time, return_input_shape=False,
    )  # fmt: skip


def rise_one_by_one(model, x):
    """RISE as one would first write it, (H, W)."""
    generator = torch.Generator().manual_seed(0)
    total = shown = 0
    for _ in range(MASKS):
        mask = masks.random_masks(*x.shape[2:], 1, generator=generator)[0]
        with torch.no_grad():
            probability = model(mask * x).softmax(1)[0, TARGET]
        total = total + probability * mask
        shown = shown + mask
    return total / shown


def measure(case, rounds):
    """The lines of one network: {what: (ours, others', ratio, largest difference)}."""
    model, x = CASES[case]()
    segments, blank = squares(x), torch.zeros_like(x)
    game = partial(shapley.coalition_scores, model, x, TARGET, blank, segments)
    ours = {
        "sampled orders": lambda: shapley.permutation_sampling(game, SIDE**2, ORDERS)[0],
        "KernelSHAP": lambda: shapley.kernel_shap(game, SIDE**2, SAMPLES),
        "RISE": lambda: masks.rise(model, x, TARGET, blank, MASKS),
    }
    works = {(name, 0): work for name, work in ours.items()}
    works["RISE, one by one", 0] = lambda: rise_one_by_one(model, x)
    for size in AT_A_TIME:
        works["Captum's orders", size] = lambda n=size: captums_orders(model, x, segments, n)
        works["Captum's KernelSHAP", size] = lambda n=size: captums_kernel(model, x, segments, n)
    best = _measure.best_of(_measure.take_turns(works, rounds))
    seconds = {name: found for name, (found, _) in best.items()}
    pairs = {
        "sampled orders": ("Captum's orders", captums_orders(model, x, segments, 8)),
        "KernelSHAP": ("Captum's KernelSHAP", None),
        "RISE": ("RISE, one by one", rise_one_by_one(model, x)),
    }
    lines = {}
    for name, (other, theirs) in pairs.items():
        ratio = seconds[other] / seconds[name]
        gap = None
        if theirs is not None:
            gap = float((ours[name]() - theirs).abs().max() / theirs.abs().max())
        lines[name] = {"ours": seconds[name], "other": seconds[other], "ratio": ratio, "gap": gap}
    return lines


def many_samples(count):
    """A function that takes `count` coalitions of the course's network; one has run before."""
    model, x = _measure.course_network()
    segments = squares(x)
    game = partial(shapley.coalition_scores, model, x, TARGET, torch.zeros_like(x), segments)
    shapley.kernel_shap(game, SIDE**2, 64)
    return lambda: shapley.kernel_shap(game, SIDE**2, count)


def main():
    """Measures, prints the table, and writes JSON if asked."""
    chosen = _measure.options("shapley", __doc__, CASES, rounds=3)
    results = {case: measure(case, chosen.rounds) for case in tqdm(chosen.cases, desc="measuring")}
    print(f"CPU-seconds a map; {_measure.machine()}\n")
    rows = [
        (f"{case}, {name}", f"{line['ours']:.2f}", f"{line['other']:.2f} ({line['ratio']:.1f}x)",
         "other draws" if line["gap"] is None else f"{line['gap']:.0e}")
        for case, lines in results.items()
        for name, line in lines.items()
    ]  # fmt: skip
    columns = ("network, method", "course", "Captum, or one by one", "difference")
    _measure.print_table(columns, rows)
    grown = [_measure.extra_memory(many_samples, count) for count in (128, 1024)]
    print(f"KernelSHAP: {grown[0]:.0f} MiB more with 128 coalitions, {grown[1]:.0f} with 1024")
    _measure.write_json(chosen.json, results)


if __name__ == "__main__":
    main()
