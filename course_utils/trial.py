"""All heat maps of the course before one jury: the same pictures, the same scores, with controls.

    maps = heatmaps(load("look_alikes"), images, targets)      # {method: (N, S, S)}
    record = load_record()                                     # scores of 210 + 100 pictures

    python -m course_utils.trial                               # makes that record anew

The record is `data/trial/record.json`: for each method and picture the scores of
`course_utils.scores`, and what is known of the truth: how much the score falls when a part is
really gone (the counterfactual renders), and of two networks which one looks at tanks.
"""

import argparse
import copy
import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils import _network_files, cam, gradients, incremental, occlusion, pictures, scores
from course_utils.classifiers import Classifier, PlainNet, load
from course_utils.parts import KEY_PART

SAMPLES, STEPS = 24, 24
"""Of SmoothGrad and expected gradients, and of integrated gradients."""

PATCH, STRIDE = 16, 8
"""Of occlusion, in pixels."""

RESOLUTION = 1e-4
"""Of a map's largest value: pixels that differ by less tie in the rank correlation of two maps.

Processors round differently, by some 1e-6 of the largest value; a hundred times as much is still a
hundredth of what a picture shows.
"""


@dataclass
class Question:
    """What a method is asked: which pixels speak for these targets?"""

    classifier: Classifier
    images: Tensor
    """(N, 3, S, S) in [0, 1]."""
    targets: Tensor
    """(N,) class indices."""
    seed: int = 0

    @property
    def model(self):
        return self.classifier.model

    @property
    def x(self) -> Tensor:
        """The pictures, preprocessed."""
        return self.classifier.preprocess(self.images)


# ---------------------------------------------------------------------------- the methods
#
# Each gives (N, S, S), never negative: where a map is signed, what speaks for the class.


def _saliency(q):
    return gradients.to_map(gradients.saliency(q.model, q.x, q.targets))


def _gradient_times_input(q):
    grey = q.classifier.preprocess(torch.full_like(q.images, occlusion.GREY[0]))
    product = gradients.saliency(q.model, q.x, q.targets) * (q.x - grey)
    return gradients.to_map(product, "sum").clamp(min=0)


def _smoothgrad(q):
    noisy = gradients.smoothgrad(q.model, q.x, q.targets, samples=SAMPLES, seed=q.seed)
    return gradients.to_map(noisy)


def _guided(q):
    return gradients.to_map(gradients.guided_backprop(q.model, q.x, q.targets))


def _deconvnet(q):
    return gradients.to_map(gradients.deconvnet(q.model, q.x, q.targets))


def _integrated(q):
    grey = q.classifier.preprocess(torch.full_like(q.images, occlusion.GREY[0]))
    found = gradients.integrated_gradients(q.model, q.x, q.targets, grey, steps=STEPS)
    return gradients.to_map(found, "sum").clamp(min=0)


def _expected(q):
    background = q.classifier.preprocess(_background(q.classifier))
    found = gradients.expected_gradients(
        q.model, q.x, q.targets, background, samples=SAMPLES, seed=q.seed
    )
    return gradients.to_map(found, "sum").clamp(min=0)


def _background(classifier):
    """Twenty training pictures of the set that the network knows, evenly spread."""
    name = "tank_yard" if "tank" in classifier.classes else "look_alikes"
    split = "fair_training" if name == "tank_yard" else "training"
    training = pictures.load_set(name, split)
    return torch.stack([training[n * len(training) // 20][0] for n in range(20)])


def _grad_cam(q):
    layer = last_maps(q.classifier)
    return cam.upsample(cam.grad_cam(q.model, layer, q.x, q.targets), q.images.shape[-1])


def last_maps(classifier: Classifier) -> nn.Module:
    """The last layer with feature maps (N, C, h, w) of more than one cell; ValueError if none."""
    seen = []

    def note(module, _inputs, output):
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1:
            seen.append(module)

    handles = [module.register_forward_hook(note) for module in classifier.layers.values()]
    try:
        classifier.scores(torch.full((3, classifier.size, classifier.size), 0.5))
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise ValueError(f"{classifier.name} has no layer with feature maps, so no Grad-CAM.")
    return seen[-1]


def _occluded_with(kind):
    def occlude(q):
        covers = torch.stack([occlusion.fill(image, kind, seed=q.seed) for image in q.images])
        return occlusion_maps(q, covers)

    return occlude


def occlusion_maps(q: Question, covers: Tensor) -> Tensor:
    """Occlusion maps (N, S, S) with the pictures `covers` (N, 3, S, S) under the patch."""
    maps, scale = [], max(128, q.images.shape[-1])
    for x, cover, target in zip(q.x, q.classifier.preprocess(covers), q.targets.tolist()):
        measure = occlusion.logit_drop(target)
        found = occlusion.occlusion_map(
            q.model, x[None], cover[None], PATCH * scale // 128, STRIDE * scale // 128, measure,
            outputs=incremental.occluded_outputs,
        )  # fmt: skip
        maps.append(found.clamp(min=0))
    return torch.stack(maps)


def _random(q):
    side = q.images.shape[-1]
    return torch.stack([scores.random_map(side, side, q.seed + n) for n in range(len(q.images))])


def _centre(q):
    side = q.images.shape[-1]
    return scores.centre_map(side, side).expand(len(q.images), -1, -1).clone()


def _edges(q):
    return torch.stack([scores.edge_map(image) for image in q.images])


def _of_an_untrained_network(method):
    def ask(q):
        blank = dataclasses.replace(q.classifier, name="untrained", **_untrained(q))
        return method(Question(blank, q.images, q.targets, q.seed))

    return ask


def _untrained(q):
    """A network like the question's, as it was before training, and its layers."""
    with torch.random.fork_rng():
        torch.manual_seed(q.seed)
        if isinstance(q.model, PlainNet):
            network = PlainNet(len(q.classifier.classes), head=q.model.settings["head"])
            return {"model": network, "layers": network.named_layers()}
        network = copy.deepcopy(q.model)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        return {"model": network, "layers": {n: m for n, m in network.named_modules() if n}}


METHODS: dict[str, Callable[[Question], Tensor]] = {
    "saliency": _saliency,
    "gradient x input": _gradient_times_input,
    "SmoothGrad": _smoothgrad,
    "guided backprop": _guided,
    "deconvnet": _deconvnet,
    "integrated gradients": _integrated,
    "expected gradients": _expected,
    "Grad-CAM": _grad_cam,
    "occlusion, grey": _occluded_with("grey"),
    "occlusion, blurred": _occluded_with("blur"),
}
"""The methods on trial."""

CONTROLS: dict[str, Callable[[Question], Tensor]] = {
    "random map": _random,
    "centre map": _centre,
    "edges": _edges,
    "saliency, untrained": _of_an_untrained_network(_saliency),
    "Grad-CAM, untrained": _of_an_untrained_network(_grad_cam),
}
"""What knows nothing of the network: a method must do better than these."""

EVERYTHING = METHODS | CONTROLS


def heatmaps(
    classifier: Classifier, images: Tensor, targets: Tensor, names=tuple(EVERYTHING), seed: int = 0
) -> dict[str, Tensor]:
    """The maps of several methods for the same pictures: {name: (N, S, S)}, never negative.

    images: (N, 3, S, S) in [0, 1]; targets: (N,) class indices; names: of METHODS and CONTROLS

    Raises ValueError for an unknown name.
    """
    check_names(names)
    question = Question(classifier, images, targets, seed)
    return {name: EVERYTHING[name](question).detach() for name in names}


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that is neither a method's nor a control's."""
    unknown = [name for name in names if name not in EVERYTHING]
    if unknown:
        raise ValueError(f"There is no method {unknown[0]!r}; there are: {', '.join(EVERYTHING)}.")


# ---------------------------------------------------------------------------- the jury


def on_the_object(heatmap: Tensor, mask: Tensor) -> dict[str, float]:
    """The scores of one map (H, W) against the object's mask (H, W) bool."""
    return {
        "pointing": scores.pointing_game(heatmap, mask),
        "pointing, 5 px": scores.pointing_game(heatmap, mask, tolerance=5),
        "mass": scores.relevance_mass(heatmap, mask),
        "rank": scores.relevance_rank(heatmap, mask),
    }


def density(heatmap: Tensor, part: Tensor) -> float:
    """How many times as much of the map lies on a part as its area would get by chance."""
    return scores.relevance_mass(heatmap, part) / part.double().mean().item()


def chosen_entries(every: int = 2):
    """Test pictures of the seven classes with a counterfactual, evenly spread: a PictureSet."""
    chosen = pictures.load_set("look_alikes", "test").filter(label=list(KEY_PART))
    return pictures.PictureSet(chosen.name, chosen.classes, chosen.entries[::every])


def part_of(entry) -> Tensor:
    """The mask (H, W) bool of the part that a picture's counterfactual lacks."""
    return pictures.load_part_masks(entry)[KEY_PART[entry.label]]


def true_drop(classifier: Classifier, entry) -> float:
    """By how much the class's score falls when the key part is really gone."""
    both = torch.stack([pictures.load_picture(entry), pictures.load_counterfactual(entry)])
    with_part, without = classifier.scores(both)[:, classifier.class_index(entry.label)].tolist()
    return with_part - without


def judge_look_alikes(
    classifier: Classifier, chosen, names=tuple(EVERYTHING), progress: bool = True
) -> dict:
    """Scores of every method for pictures with a counterfactual -> a record (see `load_record`)."""
    found = {name: {} for name in names}
    drops, groups = [], range(0, len(chosen), 10)
    for start in tqdm(groups, desc="look-alikes", disable=not progress):
        entries = chosen.entries[start : start + 10]
        images = torch.stack([pictures.load_picture(entry) for entry in entries])
        targets = torch.tensor([classifier.class_index(entry.label) for entry in entries])
        maps = heatmaps(classifier, images, targets, names, seed=start)
        for number, entry in enumerate(entries):
            drops.append(round(true_drop(classifier, entry), 4))
            mask, part = pictures.load_mask(entry), part_of(entry)
            for name in names:
                heatmap = maps[name][number]
                results = on_the_object(heatmap, mask) | {"density": density(heatmap, part)}
                _note(found[name], results)
    names_of = [entry.name for entry in chosen.entries]
    labels = [entry.label for entry in chosen.entries]
    return {"pictures": names_of, "labels": labels, "drop": drops, "scores": found}


def judge_robustness(
    classifier: Classifier, chosen, names=tuple(EVERYTHING), progress: bool = True
) -> dict:
    """Deletion, insertion, and how a map changes under one grey level of noise or a shift by 1."""
    found = {name: {} for name in names}
    for start in tqdm(range(0, len(chosen), 6), desc="robustness", disable=not progress):
        entries = chosen.entries[start : start + 6]
        images = torch.stack([pictures.load_picture(entry) for entry in entries])
        targets = torch.tensor([classifier.class_index(entry.label) for entry in entries])
        noise = torch.randint(-1, 2, images.shape, generator=torch.Generator().manual_seed(start))
        noisy = (images + noise / 255).clamp(0, 1)
        ask = [
            heatmaps(classifier, i, targets, names, start) for i in (images, noisy, moved(images))
        ]
        for name in names:
            for number, image in enumerate(images):
                one, other, shifted = (maps[name][number] for maps in ask)
                back = shifted.roll((-1, -1), (0, 1))
                inner = (slice(2, -2), slice(2, -2))
                blurred = classifier.preprocess(occlusion.fill(image, "blur"))
                case = (classifier.model, classifier.preprocess(image), int(targets[number]))
                results = {
                    "deletion": scores.deletion(*case, one, blurred, steps=16),
                    "insertion": scores.insertion(*case, one, blurred, steps=16),
                    "after noise": scores.rank_correlation(one, other),
                    "after a shift": scores.rank_correlation(one[inner], back[inner]),
                }
                _note(found[name], results)
    return {"pictures": [entry.name for entry in chosen.entries], "scores": found}


def moved(images: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) one pixel down and to the right; the border is repeated."""
    wide = torch.nn.functional.pad(images, (1, 0, 1, 0), mode="replicate")
    return wide[:, :, :-1, :-1]


def judge_tanks(scenes, names=tuple(EVERYTHING), progress: bool = True) -> dict:
    """Maps of the fair and the biased tank network for the same sunny pictures with a tank.

    mass_fair, mass_biased: the share of each map on the tank (its mask 3 px wider)
    agreement: the rank correlation, at RESOLUTION, of the fair network's map with its occlusion by
               the paired scene without the tank, the truth; that is zero wherever the scenes agree
    """
    networks = {"fair": load("tank_fair"), "biased": load("tank_biased")}
    found = {name: {} for name in names}
    areas, scenes = [], list(scenes)
    for start in tqdm(range(0, len(scenes), 10), desc="tanks", disable=not progress):
        group = scenes[start : start + 10]
        four = [pictures.two_by_two(scene) for scene in group]
        images = torch.stack([each["tank", "sunny"] for each in four])
        empty = torch.stack([each["no_tank", "sunny"] for each in four])
        targets = torch.tensor([networks["fair"].class_index("tank")] * len(group))
        maps = {k: heatmaps(c, images, targets, names, start) for k, c in networks.items()}
        truth = occlusion_maps(Question(networks["fair"], images, targets), empty)
        for number, scene in enumerate(group):
            mask = pictures.grown(pictures.tank_mask(scene), 3)
            areas.append(round(mask.double().mean().item(), 4))
            for name in names:
                results = {
                    f"mass_{kind}": scores.relevance_mass(maps[kind][name][number], mask)
                    for kind in networks
                }
                fair = maps["fair"][name][number]
                results["agreement"] = scores.rank_correlation(fair, truth[number], RESOLUTION)
                _note(found[name], results)
    return {"scenes": scenes, "area": areas, "scores": found}


def _note(found, results):
    for score, value in results.items():
        found.setdefault(score, []).append(round(value, 4))


# ---------------------------------------------------------------------------- the record


def test_scenes(count: int = 100) -> list[int]:
    """The numbers of tank-yard test scenes."""
    entries = pictures.load_set("tank_yard", "test").entries
    return sorted({entry.scene for entry in entries})[:count]


def load_record() -> dict:
    """The shipped record: {"look_alikes": ..., "robustness": ..., "tanks": ..., "settings": ...}.

    In each, scores[method][score] is a list with one number for each picture or scene.
    Raises DataError if the file is missing or damaged.
    """
    return _network_files.read_json(pictures.data_folder() / "trial" / "record.json")


def make_record() -> dict:
    """The whole trial: about ten minutes on one core."""
    classifier = load("look_alikes")
    return {
        "settings": {
            "command": "python -m course_utils.trial",
            "samples": SAMPLES, "steps": STEPS, "patch": PATCH, "stride": STRIDE,
        },
        "look_alikes": judge_look_alikes(classifier, chosen_entries(2)),
        "robustness": judge_robustness(classifier, chosen_entries(10)),
        "tanks": judge_tanks(test_scenes()),
    }  # fmt: skip


def main():
    """Makes the record and writes it."""
    parser = argparse.ArgumentParser("python -m course_utils.trial", description=main.__doc__)
    folder = pictures.data_folder() / "trial"
    parser.add_argument("--out", type=Path, default=folder / "record.json")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(make_record(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
