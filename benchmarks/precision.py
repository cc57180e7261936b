"""What half precision does to heat maps: how much of their order of pixels is left.

    python -m benchmarks.precision

Each method's maps in float16 and in bfloat16 against those in float32, for the same pictures. A
network gets half precision by `classifier.model.half()` or `classifier.model.bfloat16()`. On a CPU
that is slower; it is meant for a GPU, whose sums may round a little differently.
"""

import statistics

import torch
from tqdm import tqdm

from benchmarks import _measure
from course_utils import scores, trial
from course_utils.classifiers import load

KINDS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
PICTURES = 20


def measure(method):
    """How well a method's maps keep their order: {kind: (mean, worst)} of the rank correlations."""
    images, _ = trial.chosen_entries(10).stack()
    images = images[:PICTURES]
    full = load("look_alikes", "cpu")
    targets = full.predict(images)
    expected = trial.heatmaps(full, images, targets, [method])[method]
    found = {}
    for kind, dtype in KINDS.items():
        half = load("look_alikes", "cpu")
        half.model.to(dtype)
        maps = trial.heatmaps(half, images, targets, [method])[method].float()
        kept = [scores.rank_correlation(*pair) for pair in zip(expected, maps)]
        found[kind] = (statistics.mean(kept), min(kept))
    return {"method": method, **found}


def main():
    """Measures, prints the table, and writes JSON if asked."""
    chosen = _measure.options("precision", __doc__, list(trial.METHODS))
    results = [measure(method) for method in tqdm(chosen.cases, desc="measuring")]
    print(f"Rank correlation with float32, {PICTURES} pictures; {_measure.machine()}\n")
    columns = ["method", *(f"{kind}, {what}" for kind in KINDS for what in ("mean", "worst"))]
    rows = [
        (result["method"], *(f"{value:.3f}" for kind in KINDS for value in result[kind]))
        for result in results
    ]
    _measure.print_table(columns, rows)
    _measure.write_json(chosen.json, results)


if __name__ == "__main__":
    main()
