"""The networks under study, all behind one object.

    classifier = load("tank_fair")             # a network of the course: files in data/classifiers
    classifier = load("imagenet")              # a network that knows photographs, installed here
    classifier = load("imagenet:resnet18")     # any classifier of torchvision, by its name there
    classifier = load("timm:resnet18")         # any classifier of timm
    x = classifier.preprocess(picture)         # (3, H, W) in [0, 1]  ->  (1, 3, S, S)
    scores = classifier.model(x)               # (1, C) logits: not probabilities
    classifier.top_k(picture, 2)               # [("tank", 0.98), ("no_tank", 0.02)]
    layer = classifier.layer("relu6")          # an nn.Module, for hooks

All that a technique needs is `model`, a `layer` and a preprocessed `x`, so the same notebook runs
on a course network and on an ImageNet network.
"""

import contextlib
import hashlib
import http.client
import importlib.machinery
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils import _devices, _network_files, _own_networks
from course_utils._arguments import check_colours, checks_arguments, computable
from course_utils._networks import Ready, evaluating, network_of, output_in
from course_utils.architectures import PlainNet, architecture_of, build, named_layers
from course_utils.errors import DataError, PictureError, check_count, first_line, unknown_name
from course_utils.manifest import data_folder

__all__ = [
    "SHIPPED", "Classifier", "PlainNet", "Preprocess", "available", "load", "load_from", "save",
    "wrap",
]  # fmt: skip

SHIPPED = (
    "look_alikes",
    "look_alikes_gap",
    "look_alikes_seed1",
    "tank_biased",
    "tank_fair",
    "tank_fair_plain",
)
"""Networks that belong to every clone: where one of these is missing, files are missing."""

MANY = 8  # pictures for which it pays to copy the weights in another order
ROUNDING = 1e-3  # how far outside [0, 1] resizing or rounding may leave a pixel


@dataclass(eq=False)
class Classifier:
    """A network, ready for looking inside: in eval mode, its own weights frozen.

    Frozen weights keep gradients with respect to the picture cheap.
    """

    name: str
    model: nn.Module = field(repr=False)
    classes: list[str] = field(repr=False)  # their names: the index is the position in the scores
    mean: tuple[float, ...]  # of the training pictures, for each of the three colours
    std: tuple[float, ...]
    size: int  # S: the network sees pictures of S x S pixels
    layers: dict[str, nn.Module] = field(repr=False)
    card: Path | None = None  # the model card: what the network was trained on and can't do
    resize: int | None = None  # the shorter side before the centre crop to S; None: S itself
    interpolation: str = "bilinear"

    def __post_init__(self):
        self.model.eval().requires_grad_(False)
        for module in self.model.modules():
            if getattr(module, "inplace", False):  # in-place ReLUs break hooks on what is before
                vars(module)["inplace"] = False

    def preprocess(self, picture: Tensor) -> Tensor:
        """What the network takes: x (N, 3, S, S), on the picture's device.

        picture: (3, H, W) or (N, 3, H, W), floats in [0, 1]. Resized so that the shorter side fits,
        cropped around the centre, then normalized. A picture of S x S pixels is only normalized,
        unless the network was made for a crop (`resize`).
        """
        pictures = _checked(picture)
        pictures = _resize(pictures, self.resize or self.size, self.interpolation)
        pictures = _centre_crop(pictures, self.size).to(next(self.model.parameters()).dtype)
        return (pictures - _per_channel(self.mean, pictures)) / _per_channel(self.std, pictures)

    def undo_preprocess(self, x: Tensor) -> Tensor:
        """The pictures that the network saw: x (N, 3, S, S) -> the same shape, in [0, 1]."""
        pictures = x.detach() * _per_channel(self.std, x) + _per_channel(self.mean, x)
        return pictures.clamp(0, 1)

    def scores(self, pictures: Tensor, batch: int = 32) -> Tensor:
        """The logits (N, C) of pictures (N, 3, H, W) or (3, H, W), `batch` of them at a time.

        In eval mode, on the pictures' device and without gradients: for those, call `model` on a
        preprocessed x.
        """
        pictures = _checked(pictures)
        check_count("batch", batch)
        network = self._fast_network() if len(pictures) >= MANY else self.model
        with torch.no_grad(), evaluating(network_of(self.model)):
            parts = [output_in(network(self.preprocess(p))) for p in pictures.split(batch)]
        return torch.cat(parts)

    def _fast_network(self) -> Callable[[Tensor], Tensor]:
        """The network as it is fastest, but as it is if somebody's hooks may look at its maps."""
        is_watched = any(_devices.is_hooked(module) for module in self.model.modules())
        return self.model if is_watched else Ready(self.model)

    def predict(self, pictures: Tensor, batch: int = 32) -> Tensor:
        """The index of the highest score for each picture: (N,)."""
        return self.scores(pictures, batch).argmax(dim=1)

    def top_k(self, picture: Tensor, k: int = 5) -> list[tuple[str, float]]:
        """The k likeliest classes of one picture (3, H, W) and their softmax probabilities."""
        check_count("k", k)
        probabilities = self.scores(picture).softmax(dim=1)
        if len(probabilities) != 1:
            raise PictureError(
                f"top_k takes one picture, got {len(probabilities)}: pass pictures[0]."
            )
        best = probabilities[0].argsort(descending=True, stable=True)[:k].tolist()
        return [(self.classes[index], probabilities[0, index].item()) for index in best]

    @checks_arguments
    def layer(self, name: str) -> nn.Module:
        """The layer of that name; `list(classifier.layers)` shows all names."""
        if name not in self.layers:
            raise ValueError(f"{self.name}: {unknown_name('layer', name, self.layers)}")
        return self.layers[name]

    @checks_arguments
    def class_index(self, name: str) -> int:
        """The position of a class in the scores. Case, `_` and spaces matter only if they must."""
        if name in self.classes:
            return self.classes.index(name)
        plain_names = [_plain(known) for known in self.classes]
        if plain_names.count(_plain(name)) == 1:
            return plain_names.index(_plain(name))
        raise ValueError(f"{self.name}: {unknown_name('class', name, self.classes)}")

    def to(self, device: str | torch.device) -> "Classifier":
        """Let the network compute on a device, such as "cuda". Returns the classifier itself.

        Pictures and maps stay where they are, see `course_utils._devices`.
        """
        _devices.move(self.model, device)
        return self


@checks_arguments
@_devices.random_numbers_kept()
def load(name: str, device: str | torch.device | None = None) -> Classifier:
    """A network by name: `load("tank_fair")` is one of the course's.

    `load("imagenet")` is one that knows photographs, see `course_utils.imagenet`; it comes with the
    course. `load("imagenet:resnet18")` is any of torchvision's classifiers and
    `load("timm:resnet18")` any of timm's: their weights are downloaded on first use and kept.
    `load("my_network.py")` runs a Python file of yours that makes a `classifier`, see `wrap`.

    device: where it computes, such as "cuda"; None: what the environment variable
            COURSE_DEVICE says, or else the CPU

    torch's random numbers go on afterwards as if nothing had been loaded.
    """
    if name == "imagenet":
        from course_utils.imagenet import load_imagenet  # it needs this module

        classifier = load_imagenet()
    elif name.startswith("timm:"):
        from course_utils.timm_networks import load_timm

        classifier = load_timm(name.removeprefix("timm:"))
    elif name.startswith("imagenet:"):
        classifier = _load_torchvision(name.removeprefix("imagenet:"))
    elif name.endswith(".py"):
        classifier = _load_own(Path(name))
    else:
        classifier = _load_course_network(name)
    return classifier.to(device or _devices.chosen_device())


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its pictures: S x S pixels, normalized.

    Raises ValueError for what no network can want.
    """

    size: int
    """S, in pixels."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Of each colour, in [0, 1]; by default ImageNet's. Any three numbers are kept as a tuple."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    resize: int | None = None
    """The shorter side before the centre crop to S; None: S itself."""
    interpolation: str = "bilinear"

    def __post_init__(self):
        _own_networks.check_preprocess(self)
        mean, std = check_colours(self.mean, self.std)  # tensors and arrays are welcome
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)


def wrap(
    model: nn.Module,
    classes: Sequence[str] | Mapping[int, str],
    preprocess: Preprocess,
    name: str = "own network",
) -> Classifier:
    """A network of your own, ready for every notebook.

    model:   takes x (N, 3, S, S), returns scores (N, number of classes): logits, no softmax. Of an
             output with several parts, `.logits` or the first item counts
    classes: their names, in the order of the scores, or {position: name}

        # my_network.py, used with: course run 5 -p CLASSIFIER my_network.py
        model = torch.load("my_weights.pt", weights_only=False)
        classifier = wrap(model, ["cat", "dog"], Preprocess(224))

    The model is put into eval mode and its weights are frozen. Raises ValueError for what is no
    classifier of pictures with logits, and for classes that don't fit its scores.
    """
    classes = _own_networks.class_names(classes)
    model = network_of(model)
    layers = named_layers(model)
    _own_networks.check_is_usable(model)
    writing = [module for module in model.modules() if getattr(module, "inplace", False)]
    classifier = Classifier(name, model, classes, layers=layers, **vars(preprocess))
    classifier.model = _own_networks.with_one_output(classifier)
    _own_networks.check_scores(classifier)
    _own_networks.check_without_writing(classifier, writing)
    return classifier


def _load_own(path: Path) -> Classifier:
    """What a Python file calls `classifier`. The working folder stays what it was."""
    if not path.exists():
        raise ValueError(f"There is no file {path}.")
    file = path.absolute()  # a relative path means another file once the working folder changes
    loader = importlib.machinery.SourceFileLoader("own_network", str(file))
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec(loader.name, loader))
    module.__file__ = str(file)
    sys.modules[loader.name] = module  # dataclasses look up the module that they stand in
    try:
        with contextlib.chdir("."):  # if the file goes elsewhere, those who called it don't
            loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever can go wrong in a file of somebody else
        where = [
            f"line {t.lineno}"
            for t in traceback.extract_tb(error.__traceback__)
            if Path(t.filename) == file
        ]
        place = f"{path}, {where[-1] if where else 'as a whole'}"
        raise ValueError(f"{place}: {_what_happened(error)}") from error
    classifier = getattr(module, "classifier", None)
    if not isinstance(classifier, Classifier):
        raise ValueError(
            f"{path} must make a `classifier`, with course_utils.classifiers.wrap; it has"
            f" {'none' if classifier is None else 'a ' + type(classifier).__name__}."
        )
    classifier.name = path.stem
    return classifier


def _what_happened(error: BaseException) -> str:
    """What went wrong in a file of somebody else, in one line."""
    if isinstance(error, SystemExit):
        return "it ends Python, so nothing after it can run: leave out sys.exit, or parse_args."
    said = first_line(error)
    kind = type(error).__name__
    return f"{kind}: {said}" if said != kind else f"{kind}."


def available() -> list[str]:
    """The names of the course's networks that are on this computer."""
    return sorted(path.stem for path in _folder().glob("*.safetensors"))


def save(
    model: PlainNet,
    folder: str | Path,
    name: str,
    *,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    command: str,
    seed: int,
    **facts,
) -> None:
    """Write a network as `load` reads it: FOLDER/NAME.safetensors and FOLDER/NAME.json.

    The same network gives the same bytes. `command` and `seed` say how to train it again; `facts`
    are further entries for the JSON file.

    Raises ValueError, and leaves what was saved before, for a network that is not of one of the
    course's architectures, or that hooks, exchanged layers or parametrized weights make compute
    something else; for classes, mean and std that `wrap` and `Preprocess` would refuse; and for
    what no file can hold or be called. To find out, it is run on a few pictures of noise.
    """
    architecture = architecture_of(model)
    classes = _own_networks.class_names(classes)
    mean, std = check_colours(mean, std)
    if model.head.out_features != len(classes):
        raise ValueError(f"{model.head.out_features} scores, but {len(classes)} names of classes.")
    description = {
        **facts,
        "architecture": architecture,
        **model.settings,
        "classes": classes,
        "mean": list(mean),
        "std": list(std),
        "command": command,
        "seed": seed,
    }
    size = model.settings["size"]
    _network_files.write_network(Path(folder), name, model, description, _empty, (3, size, size))


# ---------------------------------------------------------------------------- course networks


def _folder() -> Path:
    return data_folder() / "classifiers"


def _load_course_network(name: str) -> Classifier:
    known = sorted({*available(), *SHIPPED})
    if name not in known and os.path.isfile(os.path.expanduser(name)):
        raise ValueError(
            f"{name} is a file, but no Python file: write one, ending in .py, that reads the"
            " weights and makes a `classifier`, with course_utils.classifiers.wrap."
        )
    if name not in known:
        raise ValueError(
            f"{unknown_name('network', name, known)} Or 'imagenet', or any of torchvision's or"
            " timm's: 'imagenet:resnet18', 'timm:resnet18'."
        )
    return load_from(_folder(), name)


def load_from(folder: str | Path, name: str) -> Classifier:
    """The network that `save` wrote to a folder. Raises DataError if its files are damaged."""
    folder = Path(folder).absolute()  # as `save` finds it: files of the course are sought in data/
    needed = ("classes", "mean", "std", "size")
    model, description = _network_files.read_network(folder, name, _empty, needed)
    card = folder / f"{name}.md"
    return Classifier(
        name=name,
        model=model,
        classes=description["classes"],
        mean=tuple(description["mean"]),
        std=tuple(description["std"]),
        size=description["size"],
        layers=named_layers(model),
        card=card if card.exists() else None,
    )


def _empty(description: dict) -> nn.Module:
    """The network of a description, its weights not yet read.

    Raises an error for a description of what `save` would have refused.
    """
    _own_networks.class_names(description["classes"])
    Preprocess(description["size"], description["mean"], description["std"])
    architecture = description.get("architecture", "plain")  # which older files don't name
    return build(architecture, len(description["classes"]), description)


# ---------------------------------------------------------------------------- from torchvision


def _load_torchvision(name: str) -> Classifier:
    from course_utils._torchvision import import_torchvision  # only here: it is slow to import

    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(unknown_name("classifier of torchvision", name, known))
    weights = models.get_model_weights(name).DEFAULT
    model = _pretrained(models, name, weights)
    transforms = weights.transforms()
    return Classifier(
        name=f"imagenet:{name}",
        model=model,
        classes=list(weights.meta["categories"]),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        size=transforms.crop_size[0],
        layers=named_layers(model),
        resize=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
    )


def _pretrained(models, name: str, weights) -> nn.Module:
    """The network with torchvision's weights, which it downloads if they are not there yet."""
    path = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    by_hand = f"download {weights.url} and put it into {path.parent}."
    if path.exists() and not _has_promised_hash(path):
        raise DataError(path, "is truncated or not the right file", f"delete it, then {by_hand}")
    try:
        return models.get_model(name, weights=weights)
    except (OSError, http.client.HTTPException) as error:
        what = f"is missing and can't be downloaded here ({error})"
        raise DataError(path.name, what, by_hand) from error
    except RuntimeError as error:
        if "invalid hash value" not in str(error):
            raise
        what = "was damaged on its way here"
        raise DataError(path.name, what, f"try again, or {by_hand}") from error


def _has_promised_hash(path: Path) -> bool:
    """torchvision names its files by the first digits of their SHA-256: resnet18-f37072fd.pth."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest.startswith(path.stem.rpartition("-")[2])


# ---------------------------------------------------------------------------- pictures


def _checked(picture: Tensor) -> Tensor:
    """The pictures as a batch (N, 3, H, W), or a PictureError that says what is wrong with them."""
    if not isinstance(picture, Tensor):
        raise PictureError(
            f"A picture is a torch tensor (3, H, W), got {type(picture).__name__}: "
            "open files with course_utils.pictures, or use torch.from_numpy."
        )
    shape = tuple(picture.shape)
    if picture.dim() not in (3, 4) or shape[-3] != 3:
        hint = " Colours come first: use picture.permute(2, 0, 1)." if shape[-1:] == (3,) else ""
        raise PictureError(f"A picture is (3, H, W), a batch (N, 3, H, W); got {shape}.{hint}")
    if picture.numel() == 0:
        raise PictureError(f"There are no pixels in a picture of shape {shape}.")
    if not picture.is_floating_point():
        raise PictureError(
            f"A picture holds floats in [0, 1], got {picture.dtype}: "
            "for bytes (0 to 255) use picture.float() / 255."
        )
    picture = computable(picture)
    low, high = (value.item() for value in picture.detach().aminmax())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # written so that NaN is refused too
        raise PictureError(_range_complaint(low, high))
    return picture if picture.dim() == 4 else picture[None]


def _range_complaint(low: float, high: float) -> str:
    if low != low or high != high:
        return "The picture holds NaN: some computation before this one went wrong."
    if low < 0:
        return (
            f"A picture's values lie in [0, 1], these in [{low:.3g}, {high:.3g}]: "
            "if it was preprocessed already, pass it to the model itself."
        )
    return (
        f"A picture's values lie in [0, 1], these in [{low:.3g}, {high:.3g}]: "
        "if they go up to 255, divide by 255."
    )


def _resize(pictures: Tensor, shorter: int, interpolation: str) -> Tensor:
    """Resize to a given shorter side, antialiased, as torchvision's transforms do."""
    height, width = pictures.shape[-2:]
    if min(height, width) == shorter:
        return pictures
    longer = int(shorter * max(height, width) / min(height, width))
    size = (shorter, longer) if height <= width else (longer, shorter)
    if pictures.dtype in (torch.float16, torch.bfloat16):
        pictures = pictures.float()  # torch can't resize in half precision
    resized = functional.interpolate(
        pictures, size, mode=interpolation, antialias=True, align_corners=False
    )
    return resized.clamp(0, 1) if interpolation == "bicubic" else resized  # which overshoots


def _centre_crop(pictures: Tensor, size: int) -> Tensor:
    height, width = pictures.shape[-2:]
    top, left = round((height - size) / 2), round((width - size) / 2)
    return pictures[..., top : top + size, left : left + size]


def _per_channel(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


# ---------------------------------------------------------------------------- names


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
