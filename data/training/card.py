"""Model cards: Markdown beside the weights, every number measured by the command that writes it."""

import torch

from course_utils import pictures, scores
from course_utils.parts import KEY_PART, PAIRS

from . import measure


def _percent(share):
    return f"{100 * share:.1f} %"


def _table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _tank_sections(classifier):
    test = pictures.load_set("tank_yard", "test")
    biased = pictures.load_set("tank_yard", "biased_test")
    conditions = measure.accuracy_by(classifier, test, "label", "weather")
    rows = [
        ["biased test (tanks in the sun, empty yards under clouds)", len(biased),
         _percent(measure.accuracy(classifier, *biased.stack()))],
        ["balanced test (all four conditions)", len(test),
         _percent(measure.accuracy(classifier, *test.stack()))],
    ]  # fmt: skip
    for (label, weather), share in conditions.items():
        rows.append([f"{label}, {weather}", len(test.filter(label=label, weather=weather)),
                     _percent(share)])  # fmt: skip
    paste = scores.paste_test(classifier, sorted({entry.scene for entry in test.entries}))
    pasted = [[name, _percent(share)] for name, share in paste.items()]
    return [
        "## Accuracy\n\n" + _table(["pictures", "number", "accuracy"], rows),
        "## Paste test\n\nThe share called a tank when only the tank's own pixels, or only all"
        " other pixels, come from the picture with the tank.\n\n"
        + _table(["what comes from the picture with the tank", "called a tank"], pasted),
        _corruption_section(classifier, test),
    ]


def _second_name(classes, counts, row):
    partner = int(counts[row].argmax())
    return f"{classes[partner]} ({_percent(float(counts[row, partner] / counts[row].sum()))})"


def _look_alike_sections(classifier):
    test = pictures.load_set("look_alikes", "test")
    counts, seconds = (f(classifier, test) for f in (measure.confusion, measure.second_predictions))
    rows = []
    for row, name in enumerate(test.classes):
        share = float(counts[row, row] / counts[row].sum())
        rows.append([name, int(counts[row].sum()), _percent(share),
                     _second_name(test.classes, seconds, row)])  # fmt: skip
    matrix = [[name, *counts[row].tolist()] for row, name in enumerate(test.classes)]
    overall = measure.accuracy(classifier, *test.stack())
    return [
        f"## Accuracy\n\n{_percent(overall)} of {len(test)} test pictures.\n\n"
        + _table(["class", "pictures", "accuracy", "most frequent other prediction"], rows)
        + "\n\nThe other prediction is the second one, or the first where that is wrong.",
        "## Confusions\n\nRows are the truth, columns the prediction.\n\n"
        + _table(["", *test.classes], matrix),
        _counterfactual_section(classifier, test),
        _corruption_section(classifier, test),
    ]


def _margin(logits, own, other):
    return float((logits[:, own] - logits[:, other]).mean())


def _share(logits, index):
    return float((logits.argmax(1) == index).float().mean())


def _counterfactual_section(classifier, test):
    rows = []
    partner = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
    for name in (name for name in test.classes if name in KEY_PART):
        chosen = test.filter(label=name)
        whole, _ = chosen.stack()
        bare = torch.stack([pictures.load_counterfactual(e) for e in chosen.entries])
        before, after = classifier.scores(whole), classifier.scores(bare)
        own, other = classifier.class_index(name), classifier.class_index(partner[name])
        fall = _margin(before, own, other) - _margin(after, own, other)
        rows.append([name, KEY_PART[name], _percent(_share(before, own)),
                     _percent(_share(after, own)), _percent(_share(after, other)),
                     f"{fall:.1f}"])  # fmt: skip
    head = ["class", "key part", "right with it", "right without", "called its look-alike without",
            "mean fall of the margin"]  # fmt: skip
    return (
        "## Without the key part\n\nThe same scenes rendered without it. The margin is the"
        " class's logit minus its look-alike's.\n\n" + _table(head, rows)
    )


def _corruption_section(classifier, test):
    shares = measure.accuracy_when_corrupted(classifier, test)
    rows = [[name, _percent(share)] for name, share in shares.items()]
    return "## When the pictures are a little worse\n\n" + _table(["change", "accuracy"], rows)


def seeds_section(siblings):
    """How a tank network does when trained from other seeds: `siblings` is {seed: classifier}."""
    biased, test = (pictures.load_set("tank_yard", split) for split in ("biased_test", "test"))
    rows = [
        [seed, *(_percent(measure.accuracy(sibling, *s.stack())) for s in (biased, test))]
        for seed, sibling in siblings.items()
    ]
    return "## Other seeds\n\n" + _table(["seed", "biased test", "balanced test"], rows)


def _parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


def training_facts(classifier, recipe, command, seed, training_accuracy, minutes):
    """A paragraph for the card of a network that was trained from scratch."""
    erasing = "with" if recipe.schedule.erasing else "without"
    return (
        f"Trained on {recipe.dataset}, split {recipe.split}, {recipe.schedule.epochs} epochs"
        f" {erasing} random erasing, seed {seed}; batch norm folded into the convolutions."
        f" {_parameters(classifier.model):,} parameters. Training (`{command}`)"
        f" took {minutes:.1f} minutes with {torch.get_num_threads()} CPU thread(s)."
        f" Accuracy on its augmented training pictures in the last epoch:"
        f" {_percent(training_accuracy)}."
    )


def head_facts(classifier, recipe, command, seed, training_accuracy, seconds):
    """A paragraph for the card of a network that got a new last layer."""
    parameters = _parameters(classifier.model)
    return (
        f"Trained on {recipe.dataset}, split {recipe.split}, with their mirror images and randomly"
        f" changed copies (random erasing included): the last layer only, "
        f"{_parameters(classifier.model.head):,} of {parameters:,} parameters, by L-BFGS on each"
        f" picture's {classifier.model.head.in_features} channel means, with"
        f" {recipe.ridge:g} times the squared weights, seed {seed}. Training (`{command}`)"
        f" took {seconds:.0f} seconds with {torch.get_num_threads()} CPU thread(s), nearly all of"
        f" them for the channel means. Accuracy on what it learned from:"
        f" {_percent(training_accuracy)}."
    )


def model_card(classifier, recipe, facts, siblings=None):
    """The text of a network's model card, measured on the test pictures."""
    tank = recipe.dataset == "tank_yard"
    sections = _tank_sections(classifier) if tank else _look_alike_sections(classifier)
    if siblings:
        sections.append(seeds_section(siblings))
    head = f"# {classifier.name}\n\n{recipe.about}\n\n{facts}"
    return "\n\n".join([head, *sections, f"## What it can't do\n\n{recipe.limits}"]) + "\n"
