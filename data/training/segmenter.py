"""Trains a decoder that says where the object is, behind a classifier's frozen features."""

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from course_utils import classifiers, pictures
from course_utils.decoders import Segmenter

from .augment import recolour
from .descent import descend


@dataclass(frozen=True)
class SegmenterRecipe:
    """A way up (see `Segmenter`), a classifier whose features are the encoder, a schedule."""

    up: str
    about: str
    encoder: str = "look_alikes"
    dataset: str = "look_alikes"
    epochs: int = 2
    batch: int = 20
    learning_rate: float = 4e-3
    seed: int = 0
    limits: str = (
        "It knows the ten rendered objects of the course on their backgrounds. Distracting objects"
        " and fine parts, such as a whale's fluke, are where it errs."
    )


def masks_of(picture_set):
    """Where the object is, for every picture of a set: (N, 1, H, W) bool."""
    return torch.stack([pictures.load_mask(entry) for entry in picture_set.entries])[:, None]


def _random_mirror(x, masks, generator):
    """Mirrors half of the pictures, each together with its mask."""
    flips = (torch.rand(len(x), generator=generator) < 0.5)[:, None, None, None]
    return torch.where(flips, x.flip(-1), x), torch.where(flips, masks.flip(-1), masks)


def fit_segmenter(recipe, seed):
    """A trained `Segmenter`, and the minutes it took."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    training = pictures.load_set(recipe.dataset, "training")
    images, masks = (training.stack()[0] * 255).round().byte(), masks_of(training)
    encoder = classifiers.load(recipe.encoder)
    # The segmenters in data/decoders drew their first weights after those of such a network.
    classifiers.PlainNet(len(encoder.classes))
    network = Segmenter(encoder.model.features, recipe.up)
    for conv in network.decoder:
        torch.nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    network = network.to(memory_format=torch.channels_last)

    def loss_of(chosen):
        batch = recolour(images[chosen].float() / 255, generator)
        batch, truth = _random_mirror(batch, masks[chosen], generator)
        x = encoder.preprocess(batch).contiguous(memory_format=torch.channels_last)
        return F.binary_cross_entropy_with_logits(network(x), truth.float())

    learned = [*network.decoder.parameters(), *network.head.parameters()]
    optimizer = torch.optim.Adam(learned, recipe.learning_rate)
    steps = recipe.epochs * -(-len(images) // recipe.batch)
    rise = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps)
    started = time.perf_counter()
    descend(
        loss_of, optimizer, rise, len(images), recipe.batch, recipe.epochs, generator, recipe.up
    )
    network = network.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)
    return network, (time.perf_counter() - started) / 60


# ------------------------------------------------------------------------------- what it can do


def ious(predicted, truth):
    """Intersection over union of masks (N, 1, H, W) bool, one number each: (N,)."""
    both, either = (predicted & truth).sum((1, 2, 3)), (predicted | truth).sum((1, 2, 3))
    return both / either.clamp(min=1)


def near_the_edge(masks, pixels=3):
    """The pixels of masks (N, 1, H, W) within `pixels` of the object's outline."""
    width = 2 * pixels + 1
    wider = F.max_pool2d(masks.float(), width, stride=1, padding=pixels)
    narrower = 1 - F.max_pool2d(1 - masks.float(), width, stride=1, padding=pixels)
    return wider > narrower


def predicted_masks(network, encoder, images, batch=25):
    """What a segmenter says of pictures (N, 3, H, W) in [0, 1]: masks (N, 1, H, W) bool."""
    with torch.no_grad():
        parts = [network(encoder.preprocess(part)) > 0 for part in images.split(batch)]
    return torch.cat(parts)


def segmenter_card(name, network, recipe, command, seed, minutes):
    """The model card, measured on the test pictures."""
    encoder, test = classifiers.load(recipe.encoder), pictures.load_set(recipe.dataset, "test")
    images, labels = test.stack()
    truth = masks_of(test)
    predicted = predicted_masks(network, encoder, images)
    each, edge = ious(predicted, truth), near_the_edge(truth)
    right = (predicted == truth)[edge].float().mean()
    decoder = sum(p.numel() for p in (*network.decoder.parameters(), *network.head.parameters()))
    lines = [
        f"# {name}\n\n{recipe.about}\n",
        f"The encoder is `{recipe.encoder}`, unchanged; the decoder has {decoder:,} parameters and"
        f" was trained on the {recipe.dataset} training pictures and their masks, {recipe.epochs}"
        f" epochs, seed {seed}. Training (`{command}`) took {minutes:.1f} minutes with"
        f" {torch.get_num_threads()} CPU thread(s).\n",
        "## How well it finds the object\n",
        f"Mean intersection over union (IoU) on {len(test)} test pictures: {each.mean():.3f}."
        f" Within 3 pixels of the outline, {right:.1%} of the pixels are right.\n",
        "| class | mean IoU |\n| --- | ---: |",
        *(
            f"| {label} | {each[labels == number].mean():.3f} |"
            for number, label in enumerate(test.classes)
        ),
        f"\n## What it can't do\n\n{recipe.limits}",
    ]
    return "\n".join(lines) + "\n"
