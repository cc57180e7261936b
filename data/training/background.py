"""Do the look-alikes' backgrounds give a class away? A network that sees only them should guess.

Training and test pictures are halved to 64 x 64, and in each a grey box hides the objects: the box
that holds *both* objects of the matched pair, so that it says nothing about which one it hides.
A control sees the same pictures without the box; it shows that such a network can learn.
"""

import torch
import torch.nn.functional as F

from course_utils import pictures
from course_utils.classifiers import PlainNet
from course_utils.parts import PAIRS

from .fit import Schedule, fit
from .recipes import MEAN, STD

SIZE = 64
MARGIN = 8
"""Pixels (of 128) added to every side of the box, for shadows and the lens's blur."""
CHANNELS = (16, 24, 32, 32, 48, 48)
SCHEDULE = Schedule(epochs=12, erasing=False)


def _box(masks):
    """First and last row and column of what several masks cover, widened by MARGIN."""
    rows, columns = torch.stack(masks).any(0).nonzero().T
    return (
        slice(max(int(rows.min()) - MARGIN, 0), int(rows.max()) + MARGIN + 1),
        slice(max(int(columns.min()) - MARGIN, 0), int(columns.max()) + MARGIN + 1),
    )


def without_objects(picture_set):
    """A set's pictures (N, 3, 128, 128) with a grey box over both objects of the pair."""
    images, _ = picture_set.stack()
    scenes = {}
    for entry in picture_set.entries:
        pair = next(number for number, pair in enumerate(PAIRS) if entry.label in pair)
        scenes.setdefault((pair, entry.scene), []).append(pictures.load_mask(entry))
    for image, entry in zip(images, picture_set.entries):
        pair = next(number for number, pair in enumerate(PAIRS) if entry.label in pair)
        rows, columns = _box(scenes[pair, entry.scene])
        image[:, rows, columns] = 0.45
    return images


def _preprocess(images):
    return (images - MEAN[0]) / STD[0]


def _accuracy_within_pairs(model, images, labels, classes):
    """{pair: share of its pictures for which the right one of its two scores is higher}."""
    with torch.no_grad():
        logits = torch.cat([model(_preprocess(part)) for part in images.split(100)])
    shares = {}
    for pair in PAIRS:
        first, second = (classes.index(name) for name in pair)
        chosen = (labels == first) | (labels == second)
        called_first = logits[chosen, first] > logits[chosen, second]
        shares[pair] = float((called_first == (labels[chosen] == first)).float().mean())
    return shares


def _trained_shares(training, test, images_of, name):
    halved = [F.avg_pool2d(images_of(part), 2) for part in (training, test)]
    model = PlainNet(len(training.classes), CHANNELS, SIZE)
    images = (halved[0] * 255).round().byte()
    model, _ = fit(model, images, training.labels, _preprocess, SCHEDULE, seed=0, describe=name)
    return _accuracy_within_pairs(model, halved[1], test.labels, list(test.classes))


def background_check():
    """A Markdown table: accuracy within each pair, from backgrounds alone and from everything."""
    training, test = (pictures.load_set("look_alikes", split) for split in ("training", "test"))
    hidden = _trained_shares(training, test, without_objects, "backgrounds")
    control = _trained_shares(training, test, lambda part: part.stack()[0], "control")
    lines = ["| pair | background alone | whole picture (control) |", "| --- | ---: | ---: |"]
    for pair in PAIRS:
        names = " / ".join(name.replace("_", " ") for name in pair)
        lines.append(f"| {names} | {hidden[pair]:.1%} | {control[pair]:.1%} |")
    means = [sum(shares.values()) / len(PAIRS) for shares in (hidden, control)]
    lines.append(f"| mean | {means[0]:.1%} | {means[1]:.1%} |")
    return "\n".join(lines) + "\n"
