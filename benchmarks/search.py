"""How much time and memory dataset search takes: `python -m benchmarks.search`.

The course's search keeps the best pictures of each channel while it goes through the gallery; the
naive way keeps the maps of all pictures, then sorts. Both go through the same pictures of the
course, read from their files, in batches of 16. They take turns in one process on one thread; what
counts is CPU time, the median of several rounds. Memory is the growth of the peak of a process of
its own. Both find the same pictures, which is checked.
"""

import torch
from torch.utils.data import ConcatDataset, Subset
from tqdm import tqdm

from benchmarks import _measure
from course_utils import pictures, search
from course_utils.classifiers import load

COUNTS = {"128 pictures": 128, "512 pictures": 512, "2048 pictures": 2048}
LAYERS = ("conv2", "conv6")
BATCH, BEST = 16, 9


def prepared(layer, count):
    """The course's network, a layer's name and the first `count` pictures."""
    everything = ConcatDataset(
        [pictures.load_set("look_alikes", split) for split in ("training", "test")]
    )
    return load("look_alikes"), layer, Subset(everything, range(count))


def ours(classifier, layer, gallery):
    """The nine strongest pictures of each channel, and where: three tensors (C, 9)."""
    found = search.search(
        classifier.model, classifier.layer(layer), gallery, classifier.preprocess, BEST,
        batch=BATCH, progress=False,
    ).top  # fmt: skip
    return found.pictures, found.rows, found.columns


@torch.no_grad()
def naive(classifier, layer, gallery):
    """The same from the maps of all pictures."""
    kept = []
    handle = classifier.layer(layer).register_forward_hook(lambda _m, _i, out: kept.append(out))
    for start in range(0, len(gallery), BATCH):
        part = [gallery[i][0] for i in range(start, min(start + BATCH, len(gallery)))]
        classifier.model(classifier.preprocess(torch.stack(part)))
    handle.remove()
    maps = torch.cat(kept)
    values, places = maps.flatten(2).max(dim=2)
    best = values.argsort(dim=0, descending=True, stable=True)[:BEST]
    places = places.gather(0, best).T
    return best.T, places // maps.shape[3], places % maps.shape[3]


WAYS = {"ours": ours, "naive": naive}


def ready(way, layer, count):
    """A function that searches; the network has run once."""
    prepare = prepared(layer, count)
    WAYS[way](*prepared(layer, BATCH))
    return lambda: WAYS[way](*prepare)


def measure(layer, name, rounds):
    """One line of the table, as a dictionary; times are milliseconds of CPU a picture."""
    count = COUNTS[name]
    setting = prepared(layer, count)
    one, other = ours(*setting), naive(*setting)
    works = {way: lambda way=way: WAYS[way](*setting) for way in WAYS}
    medians = _measure.take_turns(works, rounds, warm=True)
    return {
        "layer": layer, "pictures": count,
        "ms": {way: 1000 * seconds / count for way, seconds in medians.items()},
        "extra_memory_mib": {way: _measure.extra_memory(ready, way, layer, count) for way in WAYS},
        "same": float((one[0] == other[0]).float().mean()),
    }  # fmt: skip


def main():
    """Measures, prints the table, and writes JSON if asked."""
    chosen = _measure.options("search", __doc__, COUNTS, rounds=3)
    cases = [(layer, name) for layer in LAYERS for name in chosen.cases]
    results = [measure(*case, chosen.rounds) for case in tqdm(cases, desc="measuring")]
    print(f"CPU-milliseconds a picture and MiB of extra memory; {_measure.machine()}\n")
    rows = []
    for result in results:
        (own, other), memory = result["ms"].values(), result["extra_memory_mib"].values()
        cells = [f"{own:.2f}", f"{other:.2f} ({other / own:.1f}x)", *(f"{m:.0f}" for m in memory)]
        share = f"{100 * result['same']:.1f} %"
        rows.append((f"{result['layer']}, {result['pictures']} pictures", *cells, share))
    columns = ("layer, gallery", "course", "naive", "course, MiB", "naive, MiB", "same pictures")
    _measure.print_table(columns, rows)
    _measure.write_json(chosen.json, results)


if __name__ == "__main__":
    main()
