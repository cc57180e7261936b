"""What maps are judged by: the object, parts that are really gone, rival classes, robustness.

The truth of a part is an intervention: the picture was rendered again without it, and the score of
the class falls by so much. Beside each such truth stands what an untrained network would say.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from course_utils import imagenet, occlusion, pictures, scores
from course_utils._random import seeded_generator
from course_utils.classifiers import Classifier, load
from course_utils.manifest import Entry
from course_utils.parts import KEY_PART, PAIRS
from course_utils.trial.methods import EVERYTHING, cam_layers, heatmaps, untrained
from course_utils.trial.settings import CANDIDATES, settings_for

DECISIVE = 0.5
"""Two classes differ about a part if its removal costs one this much more score than the other."""

RELEVANT = 0.05
"""A thing matters to a network if the class's score falls by this share of its size without it."""

THRESHOLDS = tuple(round(0.01 + 0.49 * step / 79, 4) for step in range(80))
"""From which share of a map on a thing that map may be said to mark it."""

GROUP = 10
"""How many look-alikes are asked at a time, with one seed."""

RIVAL = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
"""The look-alike of each label."""


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


def contrast(
    shares: Mapping[str, float],
    rival_shares: Mapping[str, float],
    effects: Mapping[str, float],
    rival_effects: Mapping[str, float],
) -> float | None:
    """How often the map of the right class of two has the larger share on a part, in [0, 1].

    shares, rival_shares:   of `part_shares`, of one picture's maps for a class and for its rival
    effects, rival_effects: how far the scores of the two classes fall without each part

    The class that loses more score without a part is the right one. Parts about which the two
    hardly differ (see DECISIVE) are left out; None if no other is left. Equal shares count a half,
    so maps that don't depend on the class get 0.5. FunnyBirds (see `part_agreement`) calls it
    target sensitivity, and knows which parts belong to a class; here the network decides.
    """
    won = []
    for part, share in shares.items():
        difference = effects[part] - rival_effects[part]
        if abs(difference) >= DECISIVE:
            lead = (share - rival_shares[part]) * difference
            won.append(1.0 if lead > 0 else 0.5 if lead == 0 else 0.0)
    return sum(won) / len(won) if won else None


# ---------------------------------------------------------------------------- what doesn't matter


def matters(fall: float, score: float) -> bool:
    """Whether a thing matters to a network.

    score: of the class with the thing in the picture; fall: by how much it is lower without

    This is FunnyBirds' rule (see `part_agreement`), as its authors' code has it: in
    evaluation_protocols.py of github.com/visinf/funnybirds-framework, distractibility_protocol and
    background_independence_protocol. A constant added to all logits would change its answer.
    """
    return fall > 0 and fall >= RELEVANT * abs(score)


def background_independence(falls: Sequence[float], values: Sequence[float]) -> float:
    """The share of things in the background that don't matter to a network, in [0, 1].

    falls:  how far the class's score falls without each of them; values: the score with it

    FunnyBirds' score of the same name (see `matters` for its source). It judges a network, not a
    map, and a network that looks at nothing passes. There the things go one by one; a portrait
    loses all that stand in it at once.

    Raises ValueError if there are none.
    """
    if not falls:
        raise ValueError("There is nothing in the background: choose pictures with things in it.")
    return 1 - sum(map(matters, falls, values)) / len(falls)


def distractibility(
    shares: Mapping[str, float], falls: Mapping[str, float], score: float, threshold: float
) -> float | None:
    """The share of the things that don't matter which a map leaves unmarked, in [0, 1].

    shares:    of a map on each thing: parts of the object and things beside it, see `part_shares`
    falls:     how far the class's score falls without each; score: with all of them
    threshold: a map marks what has more than this share of it

    FunnyBirds' score of that name (see `matters` for its source); in spite of the name, 1 is best.
    None if everything matters. A map that marks nothing gets 1 too, so it takes `recall` beside it.
    """
    spare = [share for thing, share in shares.items() if not matters(falls[thing], score)]
    return sum(share <= threshold for share in spare) / len(spare) if spare else None


def recall(
    shares: Mapping[str, float], falls: Mapping[str, float], score: float, threshold: float
) -> float | None:
    """The share of the things that matter which a map marks, in [0, 1]; None if nothing matters.

    The other half of `distractibility`, with the same arguments. It stands for FunnyBirds' three
    scores of completeness, two of which remove several parts at once, as no render of ours does.
    """
    needed = [share for thing, share in shares.items() if matters(falls[thing], score)]
    return sum(share > threshold for share in needed) / len(needed) if needed else None


# ---------------------------------------------------------------------------- pictures

FIRST = {"test": 20, "validation": 7}
"""Scenes of each class among which portraits are chosen."""


def chosen_entries(every: int = 2):
    """Test pictures of the seven classes with a counterfactual, evenly spread: a PictureSet."""
    chosen = pictures.load_set("look_alikes", "test").filter(label=list(KEY_PART))
    return pictures.PictureSet(chosen.name, chosen.classes, chosen.entries[::every])


def chosen_portraits(count: int = 8, split: str = "test"):
    """`count` portraits of each class, evenly spread: a PictureSet.

    They are chosen among the first FIRST scenes of a split, so that a record stays valid when more
    are rendered; with more than FIRST, all of these are taken.
    """
    everything = pictures.load_set("portraits", split)
    kept = []
    for label in everything.classes:
        mine = everything.filter(label=label).entries[: FIRST[split]]
        kept += [mine[n * len(mine) // count] for n in range(count)] if count < len(mine) else mine
    return pictures.PictureSet(everything.name, everything.classes, kept)


def class_of(classifier: Classifier, label: str, image: Tensor) -> int:
    """The network's class for a label; of several, such as kinds of elephant, the likeliest."""
    if label in classifier.classes:
        return classifier.class_index(label)
    indices = list(imagenet.indices_of(label))
    return indices[int(classifier.scores(image)[0, indices].argmax())]


def part_of(entry: Entry) -> Tensor:
    """The mask (H, W) bool of the part that a picture's counterfactual lacks."""
    return pictures.load_part_masks(entry)[KEY_PART[entry.label]]


def true_drop(classifier: Classifier, entry: Entry) -> float:
    """By how much the class's score falls when the key part is really gone."""
    part = KEY_PART[entry.label]
    target = class_of(classifier, entry.label, pictures.load_picture(entry))
    return part_effects(classifier, entry, target)[part]


def part_masks(entry: Entry) -> dict[str, Tensor]:
    """Where the parts in view are that a picture also comes without, {part: (H, W) bool}."""
    if entry.dataset != "portraits":
        return {KEY_PART[entry.label]: part_of(entry)}
    masks = pictures.load_removable_masks(entry)
    return {part: mask for part, mask in masks.items() if mask.any()}


def part_effects(classifier: Classifier, entry: Entry, target: int) -> dict[str, float]:
    """How far the score of a class falls when a part alone is really gone, {part: difference}."""
    if entry.dataset == "portraits":
        variants = pictures.load_variants(entry)
        bare = {part: variants[f"without_{part.replace(' ', '_')}"] for part in part_masks(entry)}
    else:
        bare = {KEY_PART[entry.label]: pictures.load_counterfactual(entry)}
    images = torch.stack([pictures.load_picture(entry), *bare.values()])
    values = classifier.scores(images)[:, target]
    return dict(zip(bare, (values[0] - values[1:]).tolist()))


def things_beside(entry: Entry) -> tuple[Tensor, Tensor] | None:
    """A portrait without what else stands in it, and the mask of that; None if nothing is seen."""
    bare = pictures.load_variants(entry).get("without_things_beside")
    if bare is None:
        return None
    changed = (pictures.load_picture(entry) - bare).abs().amax(0) > 4 / 255
    mask = changed & ~pictures.load_mask(entry)
    return (bare, mask) if mask.any() else None


def portraits_with_things():
    """All test portraits with something beside the object: a PictureSet."""
    everything = pictures.load_set("portraits", "test")
    kept = [entry for entry in everything.entries if things_beside(entry)]
    return pictures.PictureSet(everything.name, everything.classes, kept)


# ---------------------------------------------------------------------------- settings


def try_candidates(classifier: Classifier, chosen, label: str = "", progress: bool = True) -> dict:
    """The mean relevance mass of every candidate -> {method: [[candidate, mass], ...]}.

    chosen: validation pictures with masks
    label:  what they are asked for, if not for the label of each
    """
    images = torch.stack([pictures.load_picture(entry) for entry in chosen.entries])
    masks = [pictures.load_mask(entry) for entry in chosen.entries]
    targets = torch.tensor(
        [class_of(classifier, label or e.label, i) for e, i in zip(chosen.entries, images)]
    )
    settings = settings_for(classifier.name)
    candidates = dict(CANDIDATES) | {"Grad-CAM": tuple(cam_layers(classifier))}
    tried = {method: [] for method in candidates}
    cases = [(method, value) for method, values in candidates.items() for value in values]
    for method, value in tqdm(cases, desc=classifier.name, disable=not progress):
        case = (classifier, images, targets, [method], 0, settings.but(method, value))
        masses = map(scores.relevance_mass, heatmaps(*case)[method], masks)
        tried[method].append([value, round(sum(masses) / len(masks), 4)])
    return tried


# ---------------------------------------------------------------------------- the judges


def judge_look_alikes(
    classifier: Classifier, chosen, names=tuple(EVERYTHING), progress: bool = True
) -> dict:
    """Scores of every method for pictures with a counterfactual -> a record (see `load_record`)."""
    found = {name: {} for name in names}
    blank = _untrained_in_double(classifier)
    drops, drops_untrained = [], []
    for start in tqdm(range(0, len(chosen), GROUP), desc="look-alikes", disable=not progress):
        entries = chosen.entries[start : start + GROUP]
        images = torch.stack([pictures.load_picture(entry) for entry in entries])
        targets = torch.tensor([classifier.class_index(entry.label) for entry in entries])
        maps = heatmaps(classifier, images, targets, names, seed=start)
        for number, entry in enumerate(entries):
            drops.append(round(true_drop(classifier, entry), 4))
            drops_untrained.append(_digits(true_drop(blank, entry)))
            mask, part = pictures.load_mask(entry), part_of(entry)
            for name in names:
                heatmap = maps[name][number]
                results = on_the_object(heatmap, mask) | {"density": density(heatmap, part)}
                _note(found[name], results)
    names_of = [entry.name for entry in chosen.entries]
    labels = [entry.label for entry in chosen.entries]
    return {
        "pictures": names_of, "labels": labels,
        "drop": drops, "drop, untrained": drops_untrained, "scores": found,
    }  # fmt: skip


def judge_portraits(
    classifier: Classifier, chosen, names=tuple(EVERYTHING), progress: bool = True
) -> dict:
    """Scores of every method for portraits, whose parts are removed one by one -> a record.

    parts, areas:       of each picture the parts in view and their share of its area
    score:              of the class
    effects:            how far it falls without each part
    recognized:         whether the network's first answer is right
    painted:            the agreement of a map that is painted from the effects: as good as it gets,
                        since parts overlap
    beside, beside area: how far the score falls without the things beside, and their share of the
                        picture's area; None where there are none
    "score, untrained", "effects, untrained", "beside, untrained": of a network that has learned
                        nothing
    scores[method]:     those of `on_the_object`; the share on each part; "agreement" (see
                        `part_agreement`); "beside", the density on the things beside, or None
    """
    found = {name: {} for name in names}
    blank = _untrained_in_double(classifier)
    facts = {key: [] for key in FACTS}
    for entry in tqdm(chosen.entries, desc="portraits", disable=not progress):
        image, masks = pictures.load_picture(entry), part_masks(entry)
        target = class_of(classifier, entry.label, image)
        effects = part_effects(classifier, entry, target)
        beside = things_beside(entry)
        networks = {"": classifier, ", untrained": blank}
        right = classifier.predict(image).item() in imagenet.indices_of(entry.label)
        nothing = part_effects(blank, entry, target)
        painted = part_agreement(part_shares(painted_map(effects, masks), masks), effects)
        areas = [mask.double().mean().item() for mask in masks.values()]
        _note(
            facts,
            {
                "pictures": entry.name, "labels": entry.label, "recognized": right,
                "parts": list(masks), "areas": areas, "effects": list(effects.values()),
                "effects, untrained": list(nothing.values()), "painted": painted,
                "beside area": beside and beside[1].double().mean().item(),
            }
            | {f"score{of}": n.scores(image)[0, target].item() for of, n in networks.items()}
            | {
                f"beside{of}": beside and _fall(n, image, beside[0], target)
                for of, n in networks.items()
            },
        )  # fmt: skip
        maps = heatmaps(classifier, image[None], torch.tensor([target]), names, entry.scene)
        for name in names:
            heatmap = maps[name][0]
            shares = part_shares(heatmap, masks)
            results = on_the_object(heatmap, pictures.load_mask(entry)) | {
                "shares": list(shares.values()),
                "agreement": part_agreement(shares, effects),
                "beside": beside and density(heatmap, beside[1]),
            }
            _note(found[name], results)
    return {**facts, "scores": found}


FACTS = (
    "pictures", "labels", "recognized", "parts", "areas", "effects", "effects, untrained",
    "painted", "beside area", "score", "score, untrained", "beside", "beside, untrained",
)  # fmt: skip
"""What the record says of each portrait, whatever the method."""


def painted_map(effects: Mapping[str, float], masks: Mapping[str, Tensor]) -> Tensor:
    """A map (H, W) made of the truth: each part's effect, if positive, spread evenly over it."""
    layers = [max(effects[part], 0) * mask / mask.sum() for part, mask in masks.items()]
    return torch.stack(layers).sum(0)


def judge_contrast(
    classifier: Classifier, chosen, judged: dict, names=tuple(EVERYTHING), progress: bool = True
) -> dict:
    """Whether the maps for a class and for its look-alike differ on parts as the scores do.

    judged: the part of the record that has the maps' shares for the class itself: what
            `judge_look_alikes` or `judge_portraits` returned for these pictures, and perhaps more

    Only pictures with a part about which the two classes differ; see `contrast`.
    """
    found = {name: {} for name in names}
    facts = {"pictures": [], "labels": []}
    for entry in tqdm(chosen.entries, desc="contrast", disable=not progress):
        image, masks = pictures.load_picture(entry), part_masks(entry)
        place = judged["pictures"].index(entry.name)
        classes = [class_of(classifier, n, image) for n in (entry.label, RIVAL[entry.label])]
        effects = [part_effects(classifier, entry, target) for target in classes]
        if contrast(*[dict.fromkeys(masks, 0.0)] * 2, *effects) is None:
            continue
        _note(facts, {"pictures": entry.name, "labels": entry.label})
        seed = entry.scene if entry.dataset == "portraits" else place // GROUP * GROUP
        maps = heatmaps(classifier, image[None], torch.tensor(classes[1:]), names, seed)
        for name in names:
            shares = _shares_in(judged["scores"][name], place, masks)
            rival = _digits_of_shares(maps[name][0], masks, entry)
            _note(found[name], {"contrast": contrast(shares, rival, *effects)})
    return {**facts, "scores": found}


def _shares_in(results, place, masks):
    """What a record says of the parts of one picture; the key part's density if it has no shares.

    Two maps are compared on the same part, so either will do.
    """
    kept = results["shares"][place] if "shares" in results else [results["density"][place]]
    return dict(zip(masks, kept))


def _digits_of_shares(heatmap, masks, entry):
    """The same of a new map, with a record's digits, so that equal maps stay equal."""
    if entry.dataset == "portraits":
        found = part_shares(heatmap, masks)
    else:
        found = {part: density(heatmap, mask) for part, mask in masks.items()}
    return {part: _digits(value) for part, value in found.items()}


def judge_distractors(chosen, judged: dict, names=tuple(EVERYTHING)) -> dict:
    """What maps mark of the things that matter to the network, and of those that don't.

    chosen: portraits
    judged: what `judge_portraits` returned for them, and perhaps more; no map is drawn again

    Only portraits with things of both kinds.

    things, matters:    of each portrait the parts in view and, where there are any, the "things
                        beside", and whether each matters; "matters, untrained": to a network that
                        has learned nothing
    scores[method]:     "unmarked" (see `distractibility`), "recall", and "balanced", the mean of
                        both, a half for a map that marks everything or nothing; and the
                        "threshold". FunnyBirds takes the one with the best scores on the pictures
                        that are judged; here every other portrait has the best one of the rest.
    painted:            the same of a map that is painted from the truth
    """
    facts = {key: [] for key in ("pictures", "labels", "things", "matters", "matters, untrained")}
    asked = {name: [] for name in (*names, "painted")}
    for entry in chosen.entries:
        place = judged["pictures"].index(entry.name)
        falls, score = _falls_in(judged, place, ""), judged["score"][place]
        relevant = [matters(fall, score) for fall in falls.values()]
        if len(set(relevant)) == 1:
            continue
        idle, blank = _falls_in(judged, place, ", untrained"), judged["score, untrained"][place]
        _note(
            facts,
            {
                "pictures": entry.name, "labels": entry.label,
                "things": list(falls), "matters": relevant,
                "matters, untrained": [matters(fall, blank) for fall in idle.values()],
            },
        )  # fmt: skip
        masks = part_masks(entry)
        if beside := things_beside(entry):
            masks["things beside"] = beside[1]
        marked = {name: _all_shares_in(judged, name, place, falls) for name in names}
        marked["painted"] = part_shares(painted_map(falls, masks), masks)
        for name, shares in marked.items():
            asked[name].append((shares, falls, score))
    results = {name: {} for name in asked}
    for name, cases in asked.items():
        thresholds = [_best_threshold(cases[1::2]), _best_threshold(cases[::2])]
        for number, case in enumerate(cases):
            threshold = thresholds[number % 2]
            _note(results[name], {"threshold": threshold} | _marks(case, threshold))
    return {**facts, "painted": results.pop("painted"), "scores": results}


def _falls_in(judged, place, of):
    """How far the score falls without each thing of a portrait, by a record."""
    falls = dict(zip(judged["parts"][place], judged[f"effects{of}"][place]))
    if judged["beside"][place] is not None:
        falls["things beside"] = judged[f"beside{of}"][place]
    return falls


def _all_shares_in(judged, name, place, things):
    """The share of a method's map on each thing of a portrait, by a record."""
    results, area = judged["scores"][name], judged["beside area"][place]
    beside = [] if area is None else [results["beside"][place] * area]
    return dict(zip(things, [*results["shares"][place], *beside]))


def _marks(case, threshold):
    """The scores of one map; case: its shares, the falls and the score."""
    shares, falls, score = case
    unmarked = distractibility(shares, falls, score, threshold)
    marked = recall(shares, falls, score, threshold)
    assert unmarked is not None and marked is not None
    return {"unmarked": unmarked, "recall": marked, "balanced": (unmarked + marked) / 2}


def _best_threshold(cases):
    """The one of THRESHOLDS with the best mean of "balanced"; of equal ones the first."""
    return max(THRESHOLDS, key=lambda t: sum(_marks(case, t)["balanced"] for case in cases))


def judge_background(classifier: Classifier, chosen, progress: bool = True) -> dict:
    """How far the score falls without what isn't the object, in a network and an untrained one.

    chosen: portraits with things beside, see `portraits_with_things`; a network for smaller
            pictures sees them smaller

    score:        with everything
    things:       how far it falls without the things beside (see `background_independence`)
    elsewhere:    how far it falls before another background, in its light
    object:       how far it falls without the object, for comparison
    recognized:   whether the network's first answer is right
    Each but the last also as "..., untrained".
    """
    networks = {"": classifier, ", untrained": _untrained_in_double(classifier)}
    facts = {}
    for entry in tqdm(chosen.entries, desc=classifier.name, disable=not progress):
        image, variants = pictures.load_picture(entry), pictures.load_variants(entry)
        names = {"things": "without_things_beside", "object": "without_object"}
        names = {"elsewhere": "elsewhere"} | names
        images = torch.stack([image, *[variants[name] for name in names.values()]])
        target = class_of(classifier, entry.label, image)
        right = classifier.predict(image).item() == target
        results = {"pictures": entry.name, "labels": entry.label, "recognized": right}
        for of, network in networks.items():
            whole, *without = network.scores(images)[:, target].tolist()
            results[f"score{of}"] = whole
            results |= {f"{key}{of}": whole - value for key, value in zip(names, without)}
        _note(facts, results)
    return facts


def judge_robustness(
    classifier: Classifier, chosen, names=tuple(EVERYTHING), progress: bool = True
) -> dict:
    """Deletion, insertion, and how a map changes under one grey level of noise or a shift by 1."""
    found = {name: {} for name in names}
    for start in tqdm(range(0, len(chosen), 6), desc="robustness", disable=not progress):
        entries = chosen.entries[start : start + 6]
        images = torch.stack([pictures.load_picture(entry) for entry in entries])
        targets = torch.tensor([classifier.class_index(entry.label) for entry in entries])
        noise = torch.randint(-1, 2, images.shape, generator=seeded_generator(start))
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

    drop_fair, drop_biased: how far the score of "tank" falls when the tank is really gone;
                            drop_untrained: in a network that has learned nothing
    mass_fair, mass_biased: of each method, the share of each map on the tank (its mask 3 px wider)
    """
    networks = {"fair": load("tank_fair"), "biased": load("tank_biased")}
    all_three = networks | {"untrained": _untrained_in_double(networks["fair"])}
    tank = networks["fair"].class_index("tank")
    found = {name: {} for name in names}
    facts = {key: [] for key in ("area", *(f"drop_{kind}" for kind in all_three))}
    for start in tqdm(range(0, len(scenes), 10), desc="tanks", disable=not progress):
        group = list(scenes[start : start + 10])
        four = [pictures.two_by_two(scene) for scene in group]
        images = torch.stack([each["tank", "sunny"] for each in four])
        targets = torch.tensor([tank] * len(group))
        maps = {k: heatmaps(c, images, targets, names, start) for k, c in networks.items()}
        for number, scene in enumerate(group):
            mask = pictures.grown(pictures.tank_mask(scene), 3)
            empty = four[number]["no_tank", "sunny"]
            falls = {
                f"drop_{kind}": _fall(network, images[number], empty, tank)
                for kind, network in all_three.items()
            }
            _note(facts, {"area": mask.double().mean().item()} | falls)
            for name in names:
                results = {
                    f"mass_{kind}": scores.relevance_mass(maps[kind][name][number], mask)
                    for kind in networks
                }
                _note(found[name], results)
    return {"scenes": list(scenes), **facts, "scores": found}


def _untrained_in_double(classifier):
    """The untrained network, whose tiny reactions would drown in single precision's rounding.

    On the CPU, since not every device has double precision.
    """
    blank = untrained(classifier).to("cpu")
    blank.model.double()
    return blank


def _fall(classifier, image, without, target):
    """How far the score of a class falls from one picture (3, H, W) to another."""
    with_it, without_it = classifier.scores(torch.stack([image, without]))[:, target].tolist()
    return with_it - without_it


def _note(found, results):
    """Adds one picture's results to the lists of all."""
    for score, value in results.items():
        found.setdefault(score, []).append(_digits(value))


def _digits(value: Any) -> Any:
    """Numbers with the digits that a record keeps: four places, or four digits of small ones."""
    if isinstance(value, list):
        return [_digits(each) for each in value]
    if not isinstance(value, float):
        return value
    return round(value, 4) if abs(value) >= 0.01 else float(f"{value:.4g}")
