"""Trains a classifier. Batch norm helps training and is folded into the convolutions afterwards."""

import copy
from collections import OrderedDict
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from . import augment
from .descent import descend


@dataclass
class Schedule:
    """How a network is trained.

    `erasing` adds random erasing to the augmentation; `recolouring` is how strongly gain and offset
    of the colours vary.
    """

    epochs: int
    erasing: bool
    recolouring: float = 0.12
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    dropout: float = 0.2


def with_batch_norm(features):
    """A copy of a plain stack of layers with a batch norm behind every convolution."""
    layers = OrderedDict()
    for name, layer in features.named_children():
        layers[name] = copy.deepcopy(layer)
        if isinstance(layer, nn.Conv2d):
            layers[f"norm_{name}"] = nn.BatchNorm2d(layer.out_channels)
    return nn.Sequential(layers)


def fold_batch_norm(features):
    """The same function as `features` in eval mode, without batch norm: conv, ReLU, pool only."""
    features = copy.deepcopy(features).eval()
    layers, last = OrderedDict(), None
    for name, layer in features.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            layers[last] = fuse_conv_bn_eval(layers[last], layer)
        else:
            layers[name], last = layer, name
    return nn.Sequential(layers)


def augmented(pictures, generator, schedule):
    """A batch (N, 3, H, W) in [0, 1], changed at random in all the ways that a schedule has."""
    pictures = augment.shift_and_flip(pictures, generator)
    pictures = augment.recolour(pictures, generator, schedule.recolouring)
    pictures = augment.soften(pictures, generator)
    return augment.erase(pictures, generator) if schedule.erasing else pictures


def fit_network(network, batch_of, count, schedule, generator, describe):
    """Trains a classifier where it is -> its accuracy on the batches of the last epoch.

    batch_of: indices of pictures (n,) -> preprocessed pictures (n, 3, H, W), class indices (n,)
    count:    how many pictures there are
    schedule: a `Schedule`, or another recipe with epochs, batch, rates and label smoothing
    """
    network.to(memory_format=torch.channels_last).train()
    steps = -(-count // schedule.batch)
    optimizer = torch.optim.AdamW(
        network.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    rise = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, schedule.learning_rate, total_steps=steps * schedule.epochs
    )
    right = []

    def loss_of(chosen):
        x, labels = batch_of(chosen)
        scores = network(x.contiguous(memory_format=torch.channels_last))
        right.append(int((scores.argmax(1) == labels).sum()))
        return F.cross_entropy(scores, labels, label_smoothing=schedule.label_smoothing)

    descend(loss_of, optimizer, rise, count, schedule.batch, schedule.epochs, generator, describe)
    return sum(right[-steps:]) / count


def fit(model, pictures, labels, preprocess, schedule, seed, describe="training"):
    """Trains a `PlainNet` -> a new one in eval mode, and the accuracy on its last training epoch.

    pictures: uint8 (N, 3, H, W); labels: (N,) class indices; `preprocess` turns pictures in
    [0, 1] into the network's input. `model` itself is left as it was, except that its initial
    weights are drawn anew from `seed`.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    features = with_batch_norm(model.features)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    head = copy.deepcopy(model.head)
    head.reset_parameters()
    network = nn.Sequential(features, nn.Dropout2d(schedule.dropout), model.to_vector, head)

    def batch_of(chosen):
        batch = augmented(pictures[chosen].float() / 255, generator, schedule)
        return preprocess(batch), labels[chosen]

    network = network.requires_grad_(True)
    accuracy = fit_network(network, batch_of, len(pictures), schedule, generator, describe)
    trained = copy.deepcopy(model)
    trained.features = fold_batch_norm(features.to(memory_format=torch.contiguous_format))
    trained.head = copy.deepcopy(head)
    return trained.eval().requires_grad_(False), accuracy
