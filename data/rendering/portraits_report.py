"""What a network sees in the portraits: `python -m data.rendering.portraits_report [network]`.

Prints the tables of data/README.md: how many scenes there are, how often each class is recognized,
what it is taken for instead, and how far its score falls without each of its parts. With `--sheet
docs/portraits.jpg` it draws one scene of each class and its variants instead.
"""

import argparse
from collections import Counter

import torch
from PIL import Image, ImageDraw

from course_utils import imagenet, pictures
from course_utils.classifiers import load
from course_utils.parts import PORTRAIT_PARTS
from course_utils.scores import mean_with_interval

TILE = 160
"""Width of a picture on the contact sheet."""


def indices_of(label, classes):
    """The classes that count as a label: of ImageNet's maybe several, of the course's one."""
    return (classes.index(label),) if label in classes else imagenet.indices_of(label)


def class_score(scores, wanted):
    """The logit of the classes `wanted`, (N, C) -> (N,): the log of their summed exponentials."""
    return scores[:, list(wanted)].logsumexp(dim=1)


def recognized(scores, wanted, within=1):
    """Whether one of the classes `wanted` is among the `within` highest, (N, C) -> (N,) bool."""
    best = scores.topk(within, dim=1).indices
    return torch.isin(best, torch.tensor(wanted)).any(dim=1)


def scores_of_portraits(classifier):
    """{label: (scores of the portraits (N, C), {variant: (indices of scenes, scores)})}."""
    found = {}
    test = pictures.load_set("portraits", "test")
    for label in PORTRAIT_PARTS:
        whole, variants = [], {}
        for number, entry in enumerate(test.filter(label=label).entries):
            whole.append(pictures.load_picture(entry))
            for name, picture in pictures.load_variants(entry).items():
                variants.setdefault(name, []).append((number, picture))
        found[label] = (
            classifier.scores(torch.stack(whole)),
            {
                name: (
                    [number for number, _ in pairs],
                    classifier.scores(torch.stack([picture for _, picture in pairs])),
                )
                for name, pairs in variants.items()
            },
        )
    return found


def _named(scores, classes, wanted):
    """What wrongly recognized pictures were taken for, commonest first, in words."""
    wrong = ~recognized(scores, wanted)
    counts = Counter(classes[index] for index in scores[wrong].argmax(dim=1).tolist())
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(3)) or "none"


def recognition_table(found, classes):
    """Lines of the table of recognized shares."""
    lines = [
        "| class | scenes | top-1 | top-5 | taken for instead |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for label, (scores, _) in found.items():
        wanted = indices_of(label, classes)
        first, fifth = (int(recognized(scores, wanted, within).sum()) for within in (1, 5))
        mistaken = _named(scores, classes, wanted)
        lines.append(f"| {label} | {len(scores)} | {first} | {fifth} | {mistaken} |")
    return lines


def effect_table(found, classes):
    """Lines of the table of how far the logit falls in each variant."""
    lines = [
        "| class | variant | scenes | logit falls by (95 % interval) | top-1 before, after"
        " | then taken for |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for label, (whole, variants) in found.items():
        wanted = indices_of(label, classes)
        for name, (numbers, scores) in variants.items():
            before = whole[numbers]
            fall = class_score(before, wanted) - class_score(scores, wanted)
            mean, low, high = mean_with_interval(fall)
            bounds = f" ({low:.1f} to {high:.1f})" if len(numbers) > 2 else ""
            counts = [int(recognized(some, wanted).sum()) for some in (before, scores)]
            lines.append(
                f"| {label} | {name} | {len(numbers)} | {mean:.1f}{bounds}"
                f" | {counts[0]}, {counts[1]} | {_named(scores, classes, wanted)} |"
            )
    return lines


def contact_sheet(number=0, columns=7):
    """The scene `number` of each class as a row of pictures, each with its name: a PIL image."""
    test = pictures.load_set("portraits", "test")
    sheet = Image.new("RGB", (columns * (TILE + 4), len(PORTRAIT_PARTS) * (TILE + 16)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, label in enumerate(PORTRAIT_PARTS):
        entry = test.filter(label=label).entries[number]
        shown = {label: pictures.load_picture(entry), **pictures.load_variants(entry)}
        for column, (name, picture) in enumerate(list(shown.items())[:columns]):
            pixels = (picture.permute(1, 2, 0) * 255).round().byte().numpy()
            corner = column * (TILE + 4), row * (TILE + 16)
            tile = Image.fromarray(pixels).resize((TILE, TILE), Image.Resampling.LANCZOS)
            sheet.paste(tile, (corner[0], corner[1] + 12))
            draw.text(corner, name.replace("_", " "), fill="black")
    return sheet


def main():
    parser = argparse.ArgumentParser("python -m data.rendering.portraits_report")
    parser.add_argument("network", nargs="?", default="imagenet", help="a name that `load` takes")
    parser.add_argument("--sheet", help="draw a contact sheet into this file instead")
    arguments = parser.parse_args()
    if arguments.sheet:
        contact_sheet().save(arguments.sheet, quality=76)
        return
    classifier = load(arguments.network)
    found = scores_of_portraits(classifier)
    lines = recognition_table(found, classifier.classes)
    print("\n".join([*lines, "", *effect_table(found, classifier.classes)]))


if __name__ == "__main__":
    main()
