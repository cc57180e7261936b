"""How much faster Grad-CAM is than written plainly, and than Captum's: `python -m benchmarks.cam`.

Maps of many pictures, each for a target of its own. The naive way takes one picture after the other
and goes back all the way, to the gradients of all weights. The course's function and Captum's
LayerGradCam are measured twice each, at their best batch size: as they usually come, and with
weights and pictures arranged channels last, which neither does by itself. All take turns in one
process on one thread; what counts is CPU time, the median of several rounds.
"""

import copy

import torch
from captum.attr import LayerGradCam
from tqdm import tqdm

from benchmarks import _measure
from benchmarks._measure import channels_last
from course_utils import cam

CASES = {  # name: network and picture, layer, how many pictures
    "look_alikes, last layer (relu6)": (_measure.course_network, "features.relu6", 32),
    "look_alikes, early layer (relu2)": (_measure.course_network, "features.relu2", 32),
    "resnet18, last layer (layer4)": (lambda: _measure.from_torchvision("resnet18"), "layer4", 16),
    "vgg16, last layer (features.29)": (
        lambda: _measure.from_torchvision("vgg16"), "features.29", 8,
    ),
}  # fmt: skip
BATCHES = (1, 8, 32)


def ours(model, layer, x, targets, batch):
    """Maps (N, h, w), `batch` pictures at a time."""
    layer = model.get_submodule(layer)
    parts = zip(x.split(batch), targets.split(batch))
    return torch.cat([cam.grad_cam(model, layer, *part) for part in parts])


def captums(model, layer, x, targets, batch):
    """The same with Captum."""
    method = LayerGradCam(model, model.get_submodule(layer))
    parts = zip(x.split(batch), targets.split(batch))
    maps = [method.attribute(part, target, relu_attributions=True) for part, target in parts]
    return torch.cat(maps)[:, 0].detach()


def naive(model, layer, x, targets):
    """Grad-CAM as one would first write it: hooks, and the gradients of everything."""
    return torch.stack([naive_map(model, layer, x[i : i + 1], targets[i]) for i in range(len(x))])


def naive_map(model, layer, x, target):
    """The map (h, w) of one picture (1, 3, H, W)."""
    outputs = []

    def keep(_module, _inputs, output):
        output.retain_grad()
        outputs.append(output)
        return output.clone()  # because an in-place ReLU may follow

    handle = model.get_submodule(layer).register_forward_hook(keep)
    model.zero_grad()
    model(x)[0, target].backward()
    handle.remove()
    (output,) = outputs
    weights = output.grad.mean(dim=(2, 3), keepdim=True)
    return (weights * output.detach()).sum(dim=1)[0].relu()


def measure(case, rounds):
    """One line of the table, as a dictionary; times are milliseconds of CPU a map."""
    make, layer, count = CASES[case]
    model, x = make()
    random = torch.Generator().manual_seed(0)
    x = x + 0.1 * torch.randn(count, *x.shape[1:], generator=random)
    targets = torch.arange(count) % 10
    last_model, last_x = channels_last(copy.deepcopy(model)), channels_last(x.clone())
    unfrozen = copy.deepcopy(model).requires_grad_(True)
    works = {("naive", 1): lambda: naive(unfrozen, layer, x, targets)}
    for size in [size for size in BATCHES if size <= count]:
        works |= {
            ("ours", size): lambda n=size: ours(model, layer, x, targets, n),
            ("ours_channels_last", size): lambda n=size: ours(
                last_model, layer, last_x, targets, n
            ),
            ("captum", size): lambda n=size: captums(model, layer, x, targets, n),
            ("captum_channels_last", size): lambda n=size: captums(
                last_model, layer, last_x, targets, n
            ),
        }
    best = _measure.best_of(_measure.take_turns(works, rounds))
    return {
        "case": case, "maps": count,
        "ms": {way: 1000 * seconds / count for way, (seconds, _) in best.items()},
        "batches": {way: size for way, (_, size) in best.items()},
        **differences(model.double(), unfrozen.double(), layer, x[:4].double(), targets[:4]),
    }  # fmt: skip


def differences(model, unfrozen, layer, x, targets):
    """How far our maps are from the others', by the largest value. In double precision."""
    maps = ours(model, layer, x, targets, len(x))
    others = {
        "captum": captums(model, layer, x, targets, len(x)),
        "naive": naive(unfrozen, layer, x, targets),
    }
    return {
        f"difference_from_{name}": float((maps - other).abs().max() / other.abs().max())
        for name, other in others.items()
    }


def main():
    """Measures, prints the table, and writes JSON if asked."""
    chosen = _measure.options("cam", __doc__, CASES)
    results = [measure(case, chosen.rounds) for case in tqdm(chosen.cases, desc="measuring")]
    print(f"CPU-milliseconds a map; {_measure.machine()}\n")
    rows = []
    for result in results:
        own = result["ms"]["ours"]
        others = [
            f"{result['ms'][way]:.2f} ({result['ms'][way] / own:.1f}x)"
            for way in ("ours_channels_last", "naive", "captum", "captum_channels_last")
        ]
        largest = max(result["difference_from_captum"], result["difference_from_naive"])
        rows.append((result["case"], str(result["maps"]), f"{own:.2f}", *others, f"{largest:.0e}"))
    columns = (
        "network, layer", "maps", "course", "course channels last", "naive", "Captum",
        "Captum channels last", "difference",
    )  # fmt: skip
    _measure.print_table(columns, rows)
    _measure.write_json(chosen.json, results)


if __name__ == "__main__":
    main()
