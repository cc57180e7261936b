"""How much faster incremental occlusion is: `python -m benchmarks.occlusion`.

The course's incremental and plain occlusion and Captum's Occlusion take turns on the same positions
of the same picture, in one process on one thread; what counts is CPU time, the median of several
rounds, and the ratios. Captum is measured twice, each time at its best batch size: as it usually
comes, and with weights and picture arranged channels last, which the course's functions do by
themselves. Random weights do: no method looks at them.
"""

import statistics

import torch
from captum.attr import Occlusion
from torch import nn
from tqdm import tqdm

from benchmarks import _measure
from benchmarks._measure import channels_last, cpu_seconds
from course_utils import incremental, occlusion

SETTINGS = {  # network -> (patch, stride) pairs, how many positions a round for us, for others
    "small": ([(16, 4), (32, 8)], 841, 128),
    "course": ([(16, 4), (32, 8)], 841, 128),
    "resnet18": ([(16, 4), (28, 28)], 256, 32),
    "vgg16": ([(16, 4), (28, 28)], 128, 32),
}
FLOORS = {
    ("small", 16): 12,
    ("small", 32): 7,
    ("vgg16", 16): 7,
    ("resnet18", 16): 3,
}
"""What the course wants to reach, in times Captum's speed."""

BATCHES = (1, 8, 32)
TRIAL = 32
"""Positions on which the batch sizes compete: a multiple of all of them."""


def small():
    """Five blocks of convolution, batch norm, ReLU and max-pool: the network of the floors."""
    layers, inputs = [], 3
    for outputs in (32, 64, 128, 128, 256):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10))


def make(name):
    """A network in eval mode and a picture; except the course's, random weights and noise."""
    if name == "course":
        return _measure.course_network()
    if name != "small":
        return _measure.from_torchvision(name)
    torch.manual_seed(0)
    return small().eval().requires_grad_(False), torch.randn(1, 3, 128, 128)


# ---------------------------------------------------------------------------- the ways


class EnoughError(Exception):
    """Raised inside Captum's Occlusion to stop it after a number of positions."""


def captum_scores(model, x, patch, stride, batch, positions):
    """Runs Captum on the first `positions` windows, and on the picture itself."""
    done = 0

    def forward(copies):
        nonlocal done
        if done > positions:  # the first call is the picture itself
            raise EnoughError
        done += len(copies)
        return model(copies)[:, 0]

    try:
        Occlusion(forward).attribute(
            x,
            sliding_window_shapes=(3, patch, patch),
            strides=(3, stride, stride),
            perturbations_per_eval=batch,
        )
    except EnoughError:
        pass


def own_scores(module, model, x, places, batch):
    """Scores of class 0 at the windows `places`, (N,)."""
    found = module.occluded_outputs(model, x, torch.zeros_like(x), places, batch)
    return torch.cat([scores[:, 0] for scores in found])


# ---------------------------------------------------------------------------- measuring


def measure(name, patch, stride, rounds):
    """One line of the table, as a dictionary; times are milliseconds of CPU a position."""
    _, many, few = SETTINGS[name]
    (model, x), (last_model, last_x) = make(name), map(channels_last, make(name))
    places = occlusion.windows(*x.shape[2:], patch, stride)
    total = len(places)
    many, few = min(many, total), min(few, total)

    def captum(batch, count):
        captum_scores(model, x, patch, stride, batch, count)

    def captum_last(batch, count):
        captum_scores(last_model, last_x, patch, stride, batch, count)

    def plain(batch, count):
        own_scores(occlusion, model, x, places[:count], batch)

    def windows(count):
        own_scores(incremental, model, x, middle(places, count), 64)

    ways = {"captum": captum, "captum_channels_last": captum_last, "plain": plain}
    batches = {way: fastest(function, min(TRIAL, total)) for way, function in ways.items()}
    once = statistics.median(cpu_seconds(lambda: windows(1)) for _ in range(3))
    works = {way: lambda way=way: ways[way](batches[way], few) for way in ways}
    medians = _measure.take_turns({**works, "incremental": lambda: windows(many)}, rounds, True)
    # Captum runs the picture itself too, which hardly counts in a whole map of `total` positions.
    passes = {"captum": few + 1, "captum_channels_last": few + 1, "plain": few}
    times = {way: 1000 * medians[way] / passes[way] for way in ways}
    # What is computed once for a picture is shared by all its positions, however many we time.
    times["incremental"] = 1000 * ((medians["incremental"] - once) / many + once / total)
    return {
        "network": name, "patch": patch, "stride": stride, "positions": total,
        "ms": times, "batches": batches,
        "ratios": {way: times[way] / times["incremental"] for way in ways},
        "floor": FLOORS.get((name, patch)),
        "difference": difference(model, x, middle(places, 32)),
        "difference_double": difference(model.double(), x.double(), middle(places, 8)),
    }  # fmt: skip


def middle(places, count):
    """`count` neighbouring windows from the middle of the picture, or all if there are no more."""
    start = max(0, (len(places) - count) // 2)
    return places[start : start + count]


def fastest(function, count):
    """The batch size with the least CPU time; the first call of all warms up."""
    function(BATCHES[0], 2)
    return min(BATCHES, key=lambda batch: cpu_seconds(lambda: function(batch, count)))


def difference(model, x, places):
    """Between the incremental and the plain way: the largest one, by the largest score."""
    one, other = (own_scores(way, model, x, places, 32) for way in (incremental, occlusion))
    return float((one - other).abs().max() / other.abs().max())


def memory():
    """Extra MiB of a whole map of the small network, printed too: {"patch / stride": {way: MiB}}"""
    peaks = {
        f"{patch} / {stride}": {
            way: _measure.extra_memory(one_map, patch, stride, way)
            for way in ("incremental", "plain")
        }
        for patch, stride in SETTINGS["small"][0]
    }
    print("Extra memory of a whole map, MiB (floor: 150)\n")
    rows = [
        (f"small, {pair}", *(f"{mib:.0f}" for mib in of_pair.values()))
        for pair, of_pair in peaks.items()
    ]
    _measure.print_table(("network, patch / stride", "incremental", "plain"), rows)
    return peaks


def one_map(patch, stride, way):
    """A function that makes an occlusion map of the small network; it has run the network once."""
    model, x = make("small")
    outputs = {"plain": occlusion, "incremental": incremental}[way].occluded_outputs
    with torch.no_grad():
        model(x)
    return lambda: occlusion.occlusion_map(
        model, x, torch.zeros_like(x), patch, stride, occlusion.logit_drop(0), outputs=outputs
    )


# ---------------------------------------------------------------------------- the report

COLUMNS = (
    "network, patch / stride", "positions", "incremental, ms", "plain, ms", "Captum, ms",
    "Captum channels last, ms", "floor", "difference, float32 / float64",
)  # fmt: skip


def row(result):
    """One line of the table; in brackets, how many times as long as the incremental way."""
    times, ratios = result["ms"], result["ratios"]
    others = [
        f"{times[way]:.2f} ({ratios[way]:.1f}x)"
        for way in ("plain", "captum", "captum_channels_last")
    ]
    return (
        f"{result['network']}, {result['patch']} / {result['stride']}",
        str(result["positions"]),
        f"{times['incremental']:.2f}",
        *others,
        f"{result['floor']}x" if result["floor"] else "",
        f"{result['difference']:.0e} / {result['difference_double']:.0e}",
    )


def main():
    """Measures, prints the tables, and writes JSON if asked."""
    chosen = _measure.options("occlusion", __doc__, SETTINGS)
    cases = [(name, *pair) for name in chosen.cases for pair in SETTINGS[name][0]]
    results = [measure(*case, chosen.rounds) for case in tqdm(cases, desc="measuring")]
    print(f"CPU-milliseconds a position; {_measure.machine()}\n")
    _measure.print_table(COLUMNS, map(row, results))
    peaks = memory() if "small" in chosen.cases else {}
    _measure.write_json(chosen.json, {"times": results, "extra_memory_mib": peaks})


if __name__ == "__main__":
    main()
