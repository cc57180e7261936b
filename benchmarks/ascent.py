"""How much faster gradient ascent is than written plainly: `python -m benchmarks.ascent`.

The course climbs to several targets at once and computes no gradients of the weights. The naive
way takes one target after the other, with a network as it comes, whose weights want gradients
too. Both do the same steps from the same noise. If torch-lucent is installed (it needs kornia), it
takes part with as many steps of its own kind (Adam on plain pixels, no transforms) and with frozen
weights: one target after the other, and all in one batch. The ways take turns in one process on one
thread; what counts is CPU time, the median of several rounds.
"""

import copy

import torch
from tqdm import tqdm

from benchmarks import _measure
from course_utils import ascent
from course_utils._torchvision import import_torchvision

CASES = {  # name: network and picture, how many targets and steps
    "look_alikes, 128 px": (_measure.course_network, 8, 64),
    "resnet18, 224 px": (lambda: _measure.from_torchvision("resnet18"), 4, 16),
    "vgg16, 224 px": (lambda: _measure.from_torchvision("vgg16"), 2, 8),
}
MEAN, STD, STEP, NOISE = (0.45,) * 3, (0.25,) * 3, 0.1, 0.1


def ours(model, size, count, steps):
    """Pictures (N, 3, H, W) with high scores of the first N classes."""
    return ascent.ascend(model, range(count), size, MEAN, STD, steps=steps, step=STEP)


def naive(model, size, count, steps):
    """The same, one picture after the other, with the gradients of all weights."""
    return torch.cat([naive_ascent(model, target, size, steps) for target in range(count)])


def naive_ascent(model, target, size, steps):
    """Ascent as one would first write it -> (1, 3, H, W) in [0, 1]."""
    like = next(model.parameters())
    mean, std = (like.new_tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    noise = torch.randn(3, size, size, generator=torch.Generator().manual_seed(0))
    x = (NOISE * noise / noise.std()).to(like)[None].clamp(-mean / std, (1 - mean) / std)
    for number in range(steps):
        x = x.detach().requires_grad_()
        model.zero_grad()
        model(x)[0, target].backward()
        change = x.grad / x.grad.square().mean().sqrt()
        x = x.detach() + STEP * (1 - number / steps) * change
        x = x.clamp(-mean / std, (1 - mean) / std)
    return x * std + mean


def as_it_comes(model):
    """A copy of a network in which every weight wants its gradient."""
    return copy.deepcopy(model).requires_grad_(True)


# ---------------------------------------------------------------------------- torch-lucent


def lucent_or_none():
    """torch-lucent's modules (render, param, objectives), if they can be imported."""
    import_torchvision()  # which lucent needs too
    try:
        from lucent.optvis import objectives, param, render
    except ImportError:
        return None
    return render, param, objectives


def lucent_ways(lucent, model, size, count, steps):
    """Lucent one target at a time, and all of them in one batch: two functions."""
    render, param, objectives = lucent
    head = [name for name, module in model.named_modules() if not list(module.children())][-1]
    layer = head.replace(".", "_")

    def climb(objective, batch):
        try:
            render.render_vis(
                model, objective,
                lambda: param.image(size, fft=False, decorrelate=False, batch=batch),
                transforms=[], preprocess=False, thresholds=(steps,), fixed_image_size=size,
                progress=False, show_image=False,
            )  # fmt: skip
        finally:
            for module in model.modules():
                module._forward_hooks.clear()  # lucent leaves its own behind

    def one_by_one():
        for target in range(count):
            climb(objectives.channel(layer, target), 1)

    def batch():
        chosen = [objectives.channel(layer, target, batch=target) for target in range(count)]
        climb(objectives.Objective.sum(chosen), count)

    return {"lucent": one_by_one, "lucent_batch": batch}


# ---------------------------------------------------------------------------- measuring


def measure(case, rounds, lucent):
    """One line of the table, as a dictionary; times are milliseconds of CPU a picture and step."""
    make, count, steps = CASES[case]
    model, x = make()
    size, unfrozen = x.shape[-1], as_it_comes(model)
    works = {
        "ours": lambda: ours(model, size, count, steps),
        "naive": lambda: naive(unfrozen, size, count, steps),
    }
    if lucent:
        works |= lucent_ways(lucent, model, size, count, steps)
    medians = _measure.take_turns(works, rounds)
    return {
        "case": case, "targets": count, "steps": steps,
        "ms": {way: 1000 * seconds / (count * steps) for way, seconds in medians.items()},
        "difference": difference(model, unfrozen, size),
    }  # fmt: skip


def difference(model, unfrozen, size):
    """The largest one between our pictures and the naive ones after two steps.

    In double precision, because rounding decides which of two nearly equal pixels a max-pool picks.
    """
    one, other = ours(model.double(), size, 2, 2), naive(unfrozen.double(), size, 2, 2)
    return float((one - other).abs().max())


def main():
    """Measures, prints the table, and writes JSON if asked."""
    chosen = _measure.options("ascent", __doc__, CASES, rounds=3)
    lucent = lucent_or_none()
    results = [
        measure(case, chosen.rounds, lucent) for case in tqdm(chosen.cases, desc="measuring")
    ]
    print(f"CPU-milliseconds a picture and step; {_measure.machine()}\n")
    columns = ["network", "targets", "steps", "course", "naive"]
    columns += ["lucent, one by one", "lucent, all at once"] if lucent else []
    rows = []
    for result in results:
        own, *others = result["ms"].values()
        cells = [f"{own:.2f}", *(f"{ms:.2f} ({ms / own:.1f}x)" for ms in others)]
        cells = [result["case"], str(result["targets"]), str(result["steps"]), *cells]
        rows.append([*cells, f"{result['difference']:.0e}"])
    _measure.print_table([*columns, "difference from naive"], rows)
    _measure.write_json(chosen.json, results)


if __name__ == "__main__":
    main()
