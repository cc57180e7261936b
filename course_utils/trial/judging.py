"""What maps are judged by: the object, parts that are really gone, robustness, two networks."""

from collections.abc import Mapping

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_utils import occlusion, pictures, scores
from course_utils.classifiers import Classifier, load
from course_utils.parts import KEY_PART
from course_utils.trial.methods import EVERYTHING, Question, heatmaps, occlusion_maps

RESOLUTION = 1e-4
"""Of a map's largest value: pixels that differ by less tie in the rank correlation of two maps.

Processors round differently, by some 1e-6 of the largest value; a hundred times as much is still a
hundredth of what a picture shows.
"""


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


def part_shares(heatmap: Tensor, masks: Mapping[str, Tensor]) -> dict[str, float]:
    """The share of a map's positive relevance on each part in view, {part: number in [0, 1]}.

    heatmap: (H, W); masks: {part: (H, W) bool}. Parts may overlap, as a sail and its masts do. A
    part whose mask is empty can't be seen and is left out. A map that is nowhere positive says
    nothing: each part gets its share of the area.

    Raises ValueError for a map with NaN and for masks of another shape.
    """
    return {
        part: scores.relevance_mass(heatmap, mask) for part, mask in masks.items() if mask.any()
    }


def part_agreement(shares: Mapping[str, float], effects: Mapping[str, float]) -> float:
    """Spearman's rank correlation of one picture's part shares with true effects, in [-1, 1].

    shares:  of `part_shares`
    effects: {part: how far the class's score falls when that part alone is really gone}; parts
             that have no share are left out

    0 if all shares, or all effects, are equal: such a map ranks nothing. This is the score "single
    deletion" of FunnyBirds, before it is scaled to [0, 1]: Hesse, Schaub-Meyer and Roth,
    "FunnyBirds: A Synthetic Vision Dataset for a Part-Based Analysis of Explainable AI Methods",
    ICCV 2023, section 4.2.

    Raises ValueError if there are fewer than two parts, and if a part has no effect.
    """
    if len(shares) < 2:
        raise ValueError(f"A ranking takes two parts or more in view, not {len(shares)}.")
    unknown = [part for part in shares if part not in effects]
    if unknown:
        raise ValueError(f"No effect was given for {', '.join(unknown)}: measure it.")
    truth = torch.tensor([effects[part] for part in shares], dtype=torch.float64)
    return scores.rank_correlation(torch.tensor(list(shares.values())), truth)


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
