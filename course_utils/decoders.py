"""Networks that go from few numbers to many pixels: two segmenters and three generators.

    segmenter = load("segmenter_switches")     # files in data/decoders
    logits = segmenter(x)                      # (N, 1, 128, 128): above 0, it says "object"
    generator = load("generator_transposed_4")
    pictures = generator(vectors)              # (N, 32) -> (N, 3, 64, 64) in [0, 1]

Each pair differs only in how it doubles the size of a map: unpooling with switches or plain
upsampling, transposed convolution or upsampling followed by a convolution.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils import _network_files, classifiers
from course_utils._arguments import checks_arguments
from course_utils._random import gaussian, seeded_generator
from course_utils.errors import unknown_name
from course_utils.manifest import data_folder

SHIPPED = (
    "generator_transposed_3",
    "generator_transposed_4",
    "generator_upsample",
    "segmenter_switches",
    "segmenter_upsample",
)
"""Networks that belong to every clone."""


class Segmenter(nn.Module):
    """An encoder-decoder: preprocessed pictures x (N, 3, H, W) -> logits (N, 1, H, W).

    The encoder is a trained classifier's features, used as they are. The decoder mirrors it: a
    convolution to as many channels as the map had before the pooling, then the way back to its
    size, three times.

    up="switches": each value returns to where the encoder's max-pool found its maximum (Noh et
                   al., ICCV 2015; Badrinarayanan et al., "SegNet", 2015)
    up="upsample": each value is repeated in a 2 x 2 square (nearest neighbour)
    """

    def __init__(self, features: nn.Sequential, up: str = "switches"):
        super().__init__()
        if up not in ("switches", "upsample"):
            raise ValueError(f"up={up!r}: the ways up are 'switches' and 'upsample'.")
        self.settings = {"up": up}
        self.encoder = features
        c1, c2, _, c3, _, last = (
            layer.out_channels for layer in features if isinstance(layer, nn.Conv2d)
        )
        self.decoder = nn.ModuleList(
            [
                nn.Conv2d(last, c3, kernel_size=3, padding=1),
                nn.Conv2d(c3, c2, kernel_size=3, padding=1),
                nn.Conv2d(c2, c1, kernel_size=3, padding=1),
                nn.Conv2d(c1, c1, kernel_size=3, padding=1),
            ]
        )
        self.head = nn.Conv2d(c1, 1, kernel_size=1)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The last feature map, and the switches of every max-pool, the first one first."""
        switches = []
        for layer in self.encoder:
            if isinstance(layer, nn.MaxPool2d):
                x, indices = functional.max_pool2d(x, 2, return_indices=True)
                switches.append(indices)
            else:
                x = layer(x)
        return x, switches

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():  # the encoder learns nothing here
            maps, switches = self.encode(x)
        for conv in self.decoder[:-1]:
            maps = self._doubled(conv(maps).relu(), switches.pop())
        return self.head(self.decoder[-1](maps).relu())

    def _doubled(self, maps, switches):
        if self.settings["up"] == "switches":
            return functional.max_unpool2d(maps, switches, [2, 2])
        return functional.interpolate(maps, scale_factor=2, mode="nearest")


class Generator(nn.Module):
    """Vectors (N, dimensions) -> pictures (N, 3, 64, 64) in [0, 1].

    A linear layer makes a map of 4 x 4, which is doubled four times.

    up="transposed_4": transposed convolutions, kernel 4, stride 2 (as in DCGAN, ICLR 2016): each
                       pixel gets four contributions
    up="transposed_3": the same with kernel 3: one, two, two or four contributions
    up="upsample":     nearest-neighbour upsampling, then a 3 x 3 convolution
    """

    CHANNELS = (96, 64, 48, 32, 3)

    def __init__(self, up: str = "upsample", dimensions: int = 32):
        super().__init__()
        if up not in ("transposed_3", "transposed_4", "upsample"):
            raise ValueError(
                f"up={up!r}: the ways up are 'transposed_3', 'transposed_4' and 'upsample'."
            )
        self.settings = {"up": up, "dimensions": dimensions}
        self.first = nn.Linear(dimensions, self.CHANNELS[0] * 16)
        self.layers = nn.ModuleList(
            [self._layer(up, *pair) for pair in zip(self.CHANNELS, self.CHANNELS[1:])]
        )
        # How the vectors of the training pictures are spread; `sample` draws from it.
        self.centre: Tensor
        self.spread: Tensor
        self.register_buffer("centre", torch.zeros(dimensions))
        self.register_buffer("spread", torch.eye(dimensions))

    @staticmethod
    def _layer(up, before, after):
        if up == "transposed_4":
            return nn.ConvTranspose2d(before, after, kernel_size=4, stride=2, padding=1)
        if up == "transposed_3":
            return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)
        return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1))

    def forward(self, vectors: Tensor) -> Tensor:
        maps = self.first(vectors).unflatten(1, (-1, 4, 4))
        for layer in self.layers:
            maps = layer(functional.leaky_relu(maps, 0.1))
        return maps.sigmoid()

    @checks_arguments
    def sample(self, count: int, seed: int = 0, size: float = 1.0) -> Tensor:
        """Random vectors (count, dimensions), spread as those of the training pictures are.

        size: 1 draws them as widely as the training pictures' own; 0 gives their mean `count` times
        """
        generator = seeded_generator(seed)
        drawn = gaussian(count, self.settings["dimensions"], generator=generator)
        return self.centre + size * drawn.to(self.spread) @ self.spread.T


# ---------------------------------------------------------------------------- files


def load(name: str) -> Segmenter | Generator:
    """A decoder by name (see SHIPPED), in eval mode with its weights frozen, on the CPU."""
    if name not in SHIPPED:
        raise ValueError(unknown_name("decoder", name, SHIPPED))
    network, _ = _network_files.read_network(_folder(), name, _empty, borrowed="encoder")
    assert isinstance(network, (Segmenter, Generator))
    return network.eval().requires_grad_(False)


def save(network: Segmenter | Generator, folder: str | Path, name: str, **facts) -> None:
    """Write what `load` reads: FOLDER/NAME.safetensors and FOLDER/NAME.json.

    A segmenter's encoder is not written: it is one of the course's classifiers, named by the fact
    `encoder`.

    Raises ValueError, and leaves what was saved before, for a network of another class, for one
    that hooks, exchanged layers or parametrized weights make compute something else, for a
    segmenter without its `encoder` or with another one, and for what no file can hold or be called.
    """
    if type(network) not in (Segmenter, Generator):
        raise ValueError(
            f"A decoder is a Segmenter or a Generator, not a {type(network).__name__}."
        )
    if isinstance(network, Segmenter):
        _check_encoder(network, facts)
    takes = (3, 64, 64) if isinstance(network, Segmenter) else (network.settings["dimensions"],)
    description = {**facts, "kind": type(network).__name__.lower(), **network.settings}
    _network_files.write_network(
        Path(folder), name, network, description, _empty, takes, borrowed="encoder"
    )


def _check_encoder(segmenter, facts):
    """Raises ValueError if the fact `encoder` doesn't name the classifier that it is."""
    if "encoder" not in facts:
        raise ValueError(
            "A segmenter's encoder is not written: name the course's classifier that it is, such"
            ' as encoder="look_alikes".'
        )
    name, own = facts["encoder"], segmenter.encoder.state_dict()
    named = _encoder(name).state_dict()
    if own.keys() != named.keys() or not all(
        torch.equal(own[key].cpu().to(named[key]), named[key]) for key in own
    ):
        raise ValueError(
            f"The segmenter's encoder has other weights than {name!r}: name the course's classifier"
            " that it is."
        )


def _encoder(name):
    """The feature maps' part of one of the course's classifiers."""
    model = classifiers.load(name, "cpu").model
    if not isinstance(model, classifiers.PlainNet):
        raise ValueError(
            f"{name!r} is no encoder of a segmenter: name one of the course's networks."
        )
    return model.features


def _empty(description):
    """The network of a description, its weights not yet read."""
    if description["kind"] == "generator":
        return Generator(description["up"], description["dimensions"])
    return Segmenter(_encoder(description["encoder"]), description["up"])


def _folder():
    return data_folder() / "decoders"
