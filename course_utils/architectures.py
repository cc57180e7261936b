"""The architectures of the course's own networks; a network's JSON file names its architecture.

    model = build("plain", 10, {"channels": ..., "size": 128, "head": "gap"})

A new architecture is a module that takes the number of classes and its settings, and keeps these by
name, as `settings`. Once it stands in ARCHITECTURES, `classifiers.save` and `load` know it.
"""

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from course_utils.errors import check_name


class PlainNet(nn.Module):
    """A plain VGG-like network: 3x3 convolutions, ReLUs and max-pools, then one linear layer.

    Preprocessed pictures x (N, 3, size, size) -> scores (N, classes), the logits.
    The last feature map, `relu6`, is (N, 96, 16, 16) for pictures of 128 x 128.

    head="flatten": the linear layer sees every position of the last map by itself.
    head="gap":     global average pooling: it sees only each channel's mean.
    """

    def __init__(
        self,
        classes: int,
        channels: Sequence[int] = (16, 32, 64, 64, 96, 96),
        size: int = 128,
        head: str = "flatten",
    ):
        super().__init__()
        if head not in ("flatten", "gap"):
            raise ValueError(f"head={head!r}: the heads are 'flatten' and 'gap'.")
        if len(channels) != 6:
            raise ValueError(f"channels={tuple(channels)}: give six, one for each convolution.")
        if size % 8:
            raise ValueError(f"size={size}: three max-pools halve it, so use a multiple of 8.")
        self.settings = {"channels": list(channels), "head": head, "size": size}

        c1, c2, c3, c4, c5, c6 = channels
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, c1, kernel_size=3, padding=1),
                relu1=nn.ReLU(),  # one module each and not in place, so that hooks work on it
                pool1=nn.MaxPool2d(2),
                conv2=nn.Conv2d(c1, c2, kernel_size=3, padding=1),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(2),
                conv3=nn.Conv2d(c2, c3, kernel_size=3, padding=1),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(c3, c4, kernel_size=3, padding=1),
                relu4=nn.ReLU(),
                pool3=nn.MaxPool2d(2),
                conv5=nn.Conv2d(c4, c5, kernel_size=3, padding=1),
                relu5=nn.ReLU(),
                conv6=nn.Conv2d(c5, c6, kernel_size=3, padding=1),
                relu6=nn.ReLU(),
            )
        )
        if head == "flatten":
            self.to_vector = nn.Flatten()
            self.head = nn.Linear(c6 * (size // 8) ** 2, classes)
        else:
            self.to_vector = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            self.head = nn.Linear(c6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.to_vector(self.features(x)))

    def named_layers(self) -> dict[str, nn.Module]:
        """The layers by name, in order: conv1, relu1, pool1, ... relu6, head."""
        return {**dict(self.features.named_children()), "head": self.head}


ARCHITECTURES: dict[str, type[nn.Module]] = {"plain": PlainNet}
"""Architectures by the name that stands in a network's JSON file."""


def build(architecture: str, classes: int, settings: Mapping) -> nn.Module:
    """A network with random weights and `classes` scores.

    settings: may hold more entries than the architecture's own, such as a whole JSON file's
    Raises ValueError for an unknown architecture and KeyError for a setting that is missing.
    """
    check_name("architecture", architecture, ARCHITECTURES)
    kind = ARCHITECTURES[architecture]
    names = [name for name in inspect.signature(kind).parameters if name != "classes"]
    return kind(classes, **{name: settings[name] for name in names})


def architecture_of(model: nn.Module) -> str:
    """The name of a network's architecture. Raises ValueError if it is not one of the course's."""
    for name, kind in ARCHITECTURES.items():
        if type(model) is kind:
            return name
    raise ValueError(
        f"{type(model).__name__} is not among the course's architectures:"
        f" {', '.join(ARCHITECTURES)}."
    )


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers of any network by name, in order: its own list of them, or all its modules."""
    if isinstance(model, PlainNet):
        return model.named_layers()
    return {path: module for path, module in model.named_modules() if path}
