"""Trains a generator: a picture for every vector, and a vector for every training picture.

Generative latent optimization (Bojanowski, Joulin, Lopez-Paz and Szlam, "Optimizing the Latent
Space of Generative Networks", ICML 2018): the vectors are parameters and are learned together with
the network, so no second network, encoder or discriminator, is needed.
"""

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from course_utils import pictures
from course_utils.decoders import Generator

from .descent import descend


@dataclass(frozen=True)
class GeneratorRecipe:
    """A way up (see `Generator`), the class whose pictures are learned, a schedule."""

    up: str
    about: str
    dataset: str = "look_alikes"
    label: str = "pineapple"
    dimensions: int = 32
    epochs: int = 200
    batch: int = 20
    learning_rate: float = 4e-3
    seed: int = 0
    limits: str = (
        "It has seen 300 rendered pineapples and their mirror images. What it makes are blurred"
        " mixtures of these, not new pineapples."
    )


SIZE = 64


def close_ups(dataset, split, label, size=SIZE, margin=1.15):
    """Square crops around the objects of a class, (N, 3, size, size) in [0, 1].

    Each crop is as wide as the longer side of the object's box times `margin`.
    """
    chosen = pictures.load_set(dataset, split).filter(label=label)
    crops = []
    for (picture, _), entry in zip(chosen, chosen.entries):
        rows, columns = pictures.load_mask(entry).nonzero().T
        side = max(int(rows.max() - rows.min()), int(columns.max() - columns.min())) + 1
        side = min(round(side * margin), *picture.shape[1:])
        top = _within(int(rows.min() + rows.max()) // 2 - side // 2, picture.shape[1] - side)
        left = _within(int(columns.min() + columns.max()) // 2 - side // 2, picture.shape[2] - side)
        crop = picture[None, :, top : top + side, left : left + side]
        crops.append(F.interpolate(crop, (size, size), mode="bilinear", antialias=True)[0])
    return torch.stack(crops)


def _within(start, most):
    return max(0, min(start, most))


def pyramid_loss(made, wanted, levels=4):
    """The mean absolute difference, at full, half, quarter ... size, added up.

    At full size alone, a network learns average colours only slowly.
    """
    loss = 0
    for _ in range(levels):
        loss = loss + (made - wanted).abs().mean()
        made, wanted = F.avg_pool2d(made, 2), F.avg_pool2d(wanted, 2)
    return loss


def fit_generator(recipe, seed):
    """A trained `Generator`, its loss in the last epoch, and the minutes it took."""
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    wanted = close_ups(recipe.dataset, "training", recipe.label)
    wanted = torch.cat([wanted, wanted.flip(-1)])
    network = Generator(recipe.up, recipe.dimensions)
    vectors = nn.Parameter(torch.randn(len(wanted), recipe.dimensions) * 0.3)

    def loss_of(chosen):
        loss = pyramid_loss(network(vectors[chosen]), wanted[chosen])
        return loss + 1e-3 * vectors[chosen].square().mean()  # keeps the vectors together

    learned = [
        {"params": network.parameters(), "lr": recipe.learning_rate},
        {"params": [vectors], "lr": 5 * recipe.learning_rate},
    ]
    optimizer = torch.optim.Adam(learned, betas=(0.9, 0.95))
    steps = recipe.epochs * -(-len(wanted) // recipe.batch)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.perf_counter()
    loss = descend(
        loss_of, optimizer, fall, len(wanted), recipe.batch, recipe.epochs, order, recipe.up
    )
    minutes = (time.perf_counter() - started) / 60
    _note_spread(network, vectors.detach())
    return network.eval().requires_grad_(False), loss, minutes


def _note_spread(network, vectors):
    """Writes mean and spread of the learned vectors into the network, for `Generator.sample`."""
    network.centre.copy_(vectors.mean(0))
    network.spread.copy_(torch.linalg.cholesky(torch.cov(vectors.T)))


# ------------------------------------------------------------------------------- what it can do


def checkerboard(images):
    """How much of pictures (N, 3, H, W) alternates from pixel to pixel, a number per picture (N,).

    The root mean square of what a filter finds that answers only to a period of two pixels, along
    the rows, along the columns or along both.
    """
    wave = images.new_tensor([1.0, -4.0, 6.0, -4.0, 1.0]) / 16
    grey = images.mean(1, keepdim=True)
    across = F.conv2d(grey, wave.view(1, 1, 1, 5))
    down = F.conv2d(grey, wave.view(1, 1, 5, 1))
    energy = across.square().mean((1, 2, 3)) + down.square().mean((1, 2, 3))
    return energy.sqrt()


def generator_card(name, network, recipe, command, seed, loss, minutes):
    """The model card."""
    parameters = sum(p.numel() for p in network.parameters())
    made = network(network.sample(200))
    seen = close_ups(recipe.dataset, "training", recipe.label)
    return (
        f"# {name}\n\n{recipe.about}\n\n"
        f"{parameters:,} parameters: a vector of {recipe.dimensions} numbers becomes a picture of"
        f" {SIZE} x {SIZE} pixels. Trained on close-ups of the {recipe.label} training pictures and"
        f" their mirror images by generative latent optimization, {recipe.epochs} epochs, seed"
        f" {seed}. Training (`{command}`) took {minutes:.1f} minutes with"
        f" {torch.get_num_threads()} CPU thread(s). Loss in the last epoch: {loss:.4f}.\n\n"
        "## Checkerboard\n\nStrength of the pattern with a period of two pixels, on a scale where"
        " pictures reach from 0 to 1.\n\n| pictures | strength |\n| --- | ---: |\n"
        f"| 200 made from random vectors | {checkerboard(made).mean():.4f} |\n"
        f"| {len(seen)} training pictures | {checkerboard(seen).mean():.4f} |\n\n"
        f"## What it can't do\n\n{recipe.limits}\n"
    )
