"""Retrains only a network's last layer, behind global average pooling instead of flattening.

Everything before it stays as it is. So each picture passes through the network once, its channel
means are kept, and what remains to be learned is a linear layer on a few numbers per picture.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.classifiers import PlainNet

from .fit import augmented


def channel_means(source, pictures: Tensor, change: Callable, describe: str = "means") -> Tensor:
    """What global average pooling leaves of a classifier's last maps of pictures: (N, K).

    pictures: uint8 (N, 3, H, W); `change` is applied to batches of them, in [0, 1], beforehand.
    """
    features = copy.deepcopy(source.model.features).to(memory_format=torch.channels_last)
    means = []
    with torch.no_grad():
        for part in tqdm(pictures.split(100), describe, unit="batch"):
            x = source.preprocess(change(part.float() / 255))
            means.append(features(x.contiguous(memory_format=torch.channels_last)).mean((2, 3)))
    return torch.cat(means)


def fit_linear(means: Tensor, labels: Tensor, classes: int, ridge: float, seed: int) -> nn.Linear:
    """The linear layer with the least cross-entropy + `ridge` times its squared weights.

    The channels differ in size, so each is brought to mean 0 and spread 1 first, and that is then
    folded into the layer. The problem has one solution: `seed` says where the search starts.
    """
    torch.manual_seed(seed)
    centre, spread = means.mean(0), means.std(0).clamp_min(1e-6)
    standardized = (means - centre) / spread
    layer = nn.Linear(means.shape[1], classes)
    nn.init.zeros_(layer.bias)  # a constant added to all scores changes no loss: keep it out
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        error = F.cross_entropy(layer(standardized), labels)
        total = error + ridge * layer.weight.square().sum()
        total.backward()
        return total

    optimizer.step(loss)
    with torch.no_grad():
        layer.weight /= spread
        layer.bias -= layer.weight @ centre
    return layer


def with_gap(model: PlainNet, layer: nn.Linear) -> PlainNet:
    """A copy of a network whose last layer is `layer`, behind global average pooling."""
    settings = model.settings
    gap = PlainNet(layer.out_features, settings["channels"], settings["size"], head="gap")
    gap.features.load_state_dict(model.features.state_dict())
    gap.head.load_state_dict(layer.state_dict())
    return gap.eval().requires_grad_(False)


def fit_gap_head(source, pictures, labels, recipe, seed):
    """A `Classifier`'s network with a GAP head, and its accuracy on what it learned from.

    pictures: uint8 (N, 3, H, W); labels: (N,). It learns from the pictures, their mirror images
    and one copy of each that is changed at random as in the training of `source`.
    """
    generator = torch.Generator().manual_seed(seed)
    changes = {
        "pictures": lambda batch: batch,
        "mirror images": lambda batch: batch.flip(-1),
        "changed copies": lambda batch: augmented(batch, generator, recipe.schedule),
    }
    means = torch.cat(
        [channel_means(source, pictures, change, name) for name, change in changes.items()]
    )
    labels = labels.repeat(len(changes))
    layer = fit_linear(means, labels, len(source.classes), recipe.ridge, seed)
    accuracy = float((layer(means).argmax(1) == labels).float().mean())
    return with_gap(source.model, layer), accuracy
