"""How much faster SmoothGrad and integrated gradients are: `python -m benchmarks.gradients`.

Captum's and the course's take turns in one process on one thread; what counts is CPU time, the
median of several rounds, and the ratios. Captum is measured three times: as it comes (all steps at
once), at its best batch size, and at its best batch size with weights and picture arranged channels
last, which the course's functions do by themselves. Memory is the growth of the process's peak
while a map is made, in a process of its own (Linux).
"""

import argparse
import json
import statistics
import warnings

import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency

from benchmarks._measure import course_network, cpu_seconds, extra_memory, from_torchvision
from course_utils import gradients

TARGET, NOISE, BATCHES = 1, 0.15, (1, 4, 8, 16)
FLOOR = 1.5


CASES = {
    "look_alikes, 128 px": (course_network, 48),
    "resnet18, 224 px": (lambda: from_torchvision("resnet18"), 16),
    "vgg16, 224 px": (lambda: from_torchvision("vgg16"), 8),
}
"""Name: network and picture, and how many steps or samples."""


def captum_smoothgrad(model, x, samples, batch):
    return NoiseTunnel(Saliency(model)).attribute(
        x, nt_samples=samples, nt_samples_batch_size=batch, target=TARGET, abs=False,
        stdevs=NOISE * float(x.max() - x.min()),
    )  # fmt: skip


def captum_integrated(model, x, steps, batch):
    return IntegratedGradients(model).attribute(
        x, torch.zeros_like(x), target=TARGET, n_steps=steps, internal_batch_size=batch
    )


def our_smoothgrad(model, x, samples):
    return gradients.smoothgrad(model, x, TARGET, samples, NOISE)


def our_integrated(model, x, steps):
    return gradients.integrated_gradients(model, x, TARGET, torch.zeros_like(x), steps)


METHODS = {
    "SmoothGrad": (our_smoothgrad, captum_smoothgrad),
    "integrated gradients": (our_integrated, captum_integrated),
}


def measure(case, method, rounds):
    """The medians of one case -> dictionary; times are CPU-milliseconds for one gradient."""
    make, steps = CASES[case]
    ours, captums = METHODS[method]
    (model, x), (last_model, last_x) = make(), make()
    last_model, last_x = (
        value.to(memory_format=torch.channels_last) for value in (last_model, last_x)
    )
    runs = {
        "ours": lambda: ours(model, x, steps),
        "as it comes": lambda: captums(model, x, steps, None),
    }
    for batch in BATCHES:
        if batch < steps:
            runs["usual", batch] = lambda batch=batch: captums(model, x, steps, batch)
            runs["last", batch] = lambda batch=batch: captums(last_model, last_x, steps, batch)
    times = {name: [] for name in runs}
    for work in runs.values():
        work()  # not counted: the first run allocates and compiles
    for _ in range(rounds):
        for name, work in runs.items():
            times[name].append(1000 * cpu_seconds(work) / steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = {
        kind: min((ms, batch) for (name, batch), ms in _pairs(medians) if name == kind)
        for kind in ("usual", "last")
    }
    return {
        "case": case,
        "method": method,
        "steps": steps,
        "ours_ms": medians["ours"],
        "captum_as_it_comes_ms": medians["as it comes"],
        "captum_best_batch_ms": best["usual"][0],
        "captum_best_batch": best["usual"][1],
        "captum_channels_last_ms": best["last"][0],
        "captum_channels_last_batch": best["last"][1],
    }


def _pairs(medians):
    return [(name, ms) for name, ms in medians.items() if isinstance(name, tuple)]


def difference():
    """The largest difference between our integrated gradients and Captum's, by the largest value.

    In double precision, because rounding decides which of two nearly equal pixels a max-pool picks.
    """
    model, x = course_network()
    model, x = model.double(), x.double()
    ours, theirs = our_integrated(model, x, 48), captum_integrated(model, x, 48, 8)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def one_map(method, steps):
    """A function that makes a map; it has made one of a single step."""
    ours, _ = METHODS[method]
    model, x = course_network()
    ours(model, x, 1)
    return lambda: ours(model, x, steps)


def main():
    parser = argparse.ArgumentParser("python -m benchmarks.gradients", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("cases", nargs="*", help="parts of names; all by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # Captum announces that x needs gradients
    results = []
    print("CPU-ms a gradient; in brackets how many times longer than the course's\n")
    print(f"{'':44}{'course':>8}{'Captum, all at once':>22}{'best batch':>18}{'channels last':>18}")
    for case in CASES:
        for method in METHODS if all(part in case for part in options.cases) else ():
            result = measure(case, method, options.rounds)
            results.append(result)
            print(
                f"{case + ', ' + method:44}{result['ours_ms']:8.2f}" + _columns(result), flush=True
            )
    print(
        f"\nfloor: {FLOOR} times against the best batch; difference from Captum {difference():.0e}"
    )
    for method in METHODS:
        grown = [extra_memory(one_map, method, steps) for steps in (48, 480)]
        print(f"{method}: {grown[0]:.0f} MiB more with 48 steps, {grown[1]:.0f} with 480")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


def _columns(result):
    text = ""
    for name, width in (("as_it_comes", 22), ("best_batch", 18), ("channels_last", 18)):
        ms = result[f"captum_{name}_ms"]
        text += f"{ms:.2f} ({ms / result['ours_ms']:.2f})".rjust(width)
    return text


if __name__ == "__main__":
    main()
