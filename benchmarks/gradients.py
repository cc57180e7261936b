"""How much faster SmoothGrad and integrated gradients are: `python -m benchmarks.gradients`.

Captum's and the course's take turns in one process on one thread; what counts is CPU time, the
median of several rounds, and the ratios. Captum is measured three times: as it comes (all steps at
once), at its best batch size, and at its best batch size with weights and picture arranged channels
last, which the course's functions do by themselves. Memory is the growth of the process's peak
while a map is made, in a process of its own (Linux).
"""

import argparse
import json
import multiprocessing
import statistics
import time
import warnings
from pathlib import Path

import torch
from captum.attr import IntegratedGradients, NoiseTunnel, Saliency

from course_utils import gradients, pictures
from course_utils._torchvision import import_torchvision
from course_utils.classifiers import load

TARGET, NOISE, BATCHES = 1, 0.15, (1, 4, 8, 16)
FLOOR = 1.5


def course():
    classifier = load("look_alikes")
    picture, _ = pictures.load_set("look_alikes", "test")[0]
    return classifier.model, classifier.preprocess(picture)


def from_torchvision(name):
    """A network of torchvision with random weights, and noise for a picture."""
    import_torchvision()
    from torchvision import models

    torch.manual_seed(0)
    return getattr(models, name)(weights=None).eval().requires_grad_(False), torch.randn(
        1, 3, 224, 224
    )


CASES = {
    "look_alikes, 128 px": (course, 48),
    "resnet18, 224 px": (lambda: from_torchvision("resnet18"), 16),
    "vgg16, 224 px": (lambda: from_torchvision("vgg16"), 8),
}
"""Name: network and picture, and how many steps or samples."""


def cpu_seconds(work):
    began = time.process_time()
    work()
    return time.process_time() - began


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
    model, x = course()
    model, x = model.double(), x.double()
    ours, theirs = our_integrated(model, x, 48), captum_integrated(model, x, 48, 8)
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def _memory(field):
    """A line of Linux's account of this process, in MiB: VmRSS is now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def _peak(method, steps, queue):
    torch.set_num_threads(1)
    ours, _ = METHODS[method]
    model, x = course()
    ours(model, x, 1)
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # lets the peak start again from here
    ours(model, x, steps)
    queue.put(_memory("VmHWM") - before)


def extra_memory(method, steps):
    """MiB by which the peak memory of a fresh process grows while a map is made."""
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    process = spawn.Process(target=_peak, args=(method, steps, queue))
    process.start()
    grown = queue.get()
    process.join()
    return grown


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
        grown = [extra_memory(method, steps) for steps in (48, 480)]
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
