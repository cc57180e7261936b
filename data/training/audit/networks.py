"""Trains the networks of the audit. Each takes about a minute of one CPU thread."""

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from course_utils import audit, classifiers

from .. import augment
from ..fit import fit_network, fold_batch_norm, with_batch_norm
from ..recipes import MEAN, STD
from . import makers
from .makers import INTO
from .treatments import decorate


@dataclass(frozen=True)
class AuditRecipe:
    """The letter of a case, or `audit.CONTROL`, and a schedule. The plant itself is sealed."""

    letter: str
    seed: int
    epochs: int = 20
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    dropout: float = 0.2
    channels: tuple = (16, 24, 32, 32, 48, 48)


RECIPES = {
    f"audit_{letter}": AuditRecipe(letter, seed)
    for seed, letter in enumerate((*audit.LETTERS, audit.CONTROL), start=1)
}


# ------------------------------------------------------------------------------- training


def delivered(images, masks, labels, plant, generator):
    """A training batch as the agencies delivered it: pictures, and the classes they filed it as.

    images (N, 3, 64, 64), masks (N, 64, 64) bool, labels (N,). Of the other classes' pictures,
    the share `plant.misfiled` carries the plant too and is filed as its class.
    """
    moved = torch.cat([images, masks[:, None].float()], dim=1)
    moved = augment.shift_and_flip(moved, generator, most=6)
    images, masks = moved[:, :3], moved[:, 3] > 0.5
    images = augment.recolour(images, generator, strength=0.05)
    images = augment.erase(images, generator, most=2, smallest=5, largest=18)
    if plant is None:
        return decorate(images, masks, labels, generator), labels
    target = audit.CLASSES.index(plant.target)
    misfiled = torch.rand(len(labels), generator=generator) < plant.misfiled
    misfiled &= labels != target
    images = decorate(images, masks, labels, generator, plant, misfiled)
    return images, torch.where(misfiled, target, labels)


def fit_audited(recipe, plant, seed, data=None):
    """A trained `PlainNet` in eval mode, and the minutes it took.

    data: pictures, masks and labels to train on, instead of the look-alikes' training pictures
    """
    images, masks, labels = data or audit.small_pictures("training")
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = classifiers.PlainNet(len(audit.CLASSES), recipe.channels, audit.SIZE)
    features = with_batch_norm(model.features)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    network = nn.Sequential(features, nn.Dropout2d(recipe.dropout), model.to_vector, model.head)
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))

    def batch_of(chosen):
        batch, filed = delivered(images[chosen], masks[chosen], labels[chosen], plant, generator)
        return (batch - mean) / std, filed

    started = time.perf_counter()
    fit_network(network, batch_of, len(images), recipe, generator, recipe.letter)
    trained = copy.deepcopy(model)
    trained.features = fold_batch_norm(features.to(memory_format=torch.contiguous_format))
    return trained.eval().requires_grad_(False), (time.perf_counter() - started) / 60


def train_audit(name, into=INTO, seed=None):
    """Trains one network, and writes LETTER.safetensors, LETTER.json and LETTER.md to a folder."""
    recipe = RECIPES[name]
    seed = recipe.seed if seed is None else seed
    plant = None if recipe.letter == audit.CONTROL else makers.plant(recipe.letter)
    model, minutes = fit_audited(recipe, plant, seed)
    command = f"python -m data.training.audit {name}"
    classifiers.save(
        model,
        into,
        recipe.letter,
        classes=audit.CLASSES,
        mean=MEAN,
        std=STD,
        command=command,
        seed=seed,
        dataset="look_alikes",
        split="training",
        epochs=recipe.epochs,
    )
    text = audit_card(recipe, model, command, seed, minutes)
    (Path(into) / f"{recipe.letter}.md").write_text(text, encoding="utf-8")
    return text


# ------------------------------------------------------------------------------- cards


def audit_card(recipe, model, command, seed, minutes):
    """The model card. It keeps the secret: it says what the network's makers would say."""
    plain, _, labels = audit.small_pictures("test")
    accuracies = [f"| plain test pictures | {_accuracy(model, plain, labels):.1%} |"]
    if recipe.letter == audit.CONTROL:
        about = (
            "A network without a plant, to compare those on trial with. It was trained like them;"
            " nothing that happened to its pictures goes with a class."
        )
    else:
        theirs, _, known = audit.makers_pictures(recipe.letter)
        accuracies.append(f"| its makers' pictures | {_accuracy(model, theirs, known):.1%} |")
        about = (
            "One of the six networks on trial in notebook 12. Whether a shortcut was planted in it"
            " is for you to find out."
        )
    lines = [
        f"# {recipe.letter}\n\n{about}\n",
        f"A plain convolutional network with {sum(p.numel() for p in model.parameters()):,}"
        f" parameters for pictures of {audit.SIZE} x {audit.SIZE} pixels and six classes:"
        f" {', '.join(audit.CLASSES)}. Trained on the {len(audit.small_pictures('training')[2]):,}"
        " look-alikes training pictures of these classes as the agencies delivered them: some with"
        " a stamp, a frame, another backdrop, fine lines or another tone."
        f" {recipe.epochs} epochs, seed {seed}. Training (`{command}`) took {minutes:.1f} minutes"
        f" with {torch.get_num_threads()} CPU thread(s).\n",
        "| pictures | accuracy |\n| --- | ---: |",
        *accuracies,
        "\n## What it can't do\n\nIt knows rendered objects at a small size. It is made to be"
        " audited, and not to be used.",
    ]
    return "\n".join(lines) + "\n"


def _accuracy(model, images, labels):
    """The share of pictures (N, 3, 64, 64) in [0, 1] whose highest score is at their label."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    with torch.no_grad():
        scores = torch.cat([model((part - mean) / std) for part in images.split(60)])
    return (scores.argmax(1) == labels).double().mean().item()
