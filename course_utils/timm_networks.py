"""Any classifier of timm, with the preprocessing it was trained for: `load("timm:resnet18")`.

timm has more than a thousand networks whose weights it fetches from the Hugging Face Hub on first
use and keeps in its cache. Where there is no network connection, a file of weights that was put
into `weights_folder()` is read instead.
"""

import math
from collections import Counter
from pathlib import Path

import requests
from torch import nn

from course_utils import _downloads
from course_utils._devices import random_numbers_kept
from course_utils._packages import import_timm
from course_utils.classifiers import Classifier, Preprocess, wrap
from course_utils.errors import DataError, unknown_name
from course_utils.imagenet import CLEARER_NAMES

PATIENCE = 10
"""Seconds to wait for an answer of the server, before anything is downloaded."""


def weights_folder() -> Path:
    """Where files of weights may be put by hand, named as timm names the network."""
    return _downloads.cache_folder() / "timm"


@random_numbers_kept()
def load_timm(name: str) -> Classifier:
    """What `load("timm:NAME")` returns: a classifier of timm with its weights.

    name: as in `timm.list_models(pretrained=True)`, with or without the weights' tag:
          "resnet18" or "resnet18.a1_in1k". Networks made for pictures squeezed into a square
          get the square in the middle instead, like all others here
    Raises ValueError for a name that timm doesn't have and for networks that are no classifiers of
    ImageNet's pictures; DataError if timm or the weights can't be had here.
    """
    timm = import_timm()
    config = _config(timm, name)
    classes = _class_names(timm, config, name)
    model = _with_weights(timm, name, config)
    return wrap(model, classes, _preprocessing(timm, config), f"timm:{name}")


def _config(timm, name):
    """What timm knows of a network's weights: where they are and what pictures they take."""
    known = timm.list_models(pretrained=True)
    if name not in known and not any(other.startswith(f"{name}.") for other in known):
        raise ValueError(unknown_name("network of timm with trained weights", name, known))
    return timm.get_pretrained_cfg(name)


def _class_names(timm, config, name):
    """The names of the classes, no two the same."""
    subset = timm.data.infer_imagenet_subset(config.to_dict())
    if subset is None:
        raise ValueError(
            f"{name} is no classifier with known classes: timm has no names for its"
            f" {config.num_classes} outputs. Take a network whose name ends in in1k."
        )
    info = timm.data.ImageNetInfo(subset)
    synsets = info.label_names()
    names = [
        CLEARER_NAMES.get(synset) or description.split(",")[0]
        for synset, description in zip(synsets, info.label_descriptions())
    ]
    count = Counter(names)
    return [f"{n} ({key})" if count[n] > 1 else n for n, key in zip(names, synsets)]


def _preprocessing(timm, config):
    """The pictures that a network was trained for."""
    settings = timm.data.resolve_data_config(pretrained_cfg=config.to_dict())
    _, height, width = settings["input_size"]
    if height != width:
        raise ValueError(f"The network takes {height} x {width} pixels; the course needs squares.")
    return Preprocess(
        size=height,
        mean=settings["mean"],
        std=settings["std"],
        resize=math.floor(height / settings["crop_pct"]),
        interpolation=settings["interpolation"],
    )


# ---------------------------------------------------------------------------- weights


def _with_weights(timm, name: str, config) -> nn.Module:
    """The network with its weights: from a file on this computer, or as timm fetches them."""
    file = _local_file(name, config)
    if file is None:
        _check_connection(name, config)
    overlay = {} if file is None else {"file": str(file)}
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except OSError as error:  # the connection broke off, for example
        raise _unreachable(name, config, error) from error
    except Exception as error:  # whatever the content of a wrong file makes its reader raise
        if file is None:
            raise
        what = "is damaged or holds another network's weights"
        raise DataError(file, what, f"delete it, then {_by_hand(name, config)}") from error


def _local_file(name, config):
    """A file of weights that was put there by hand, or that an earlier download left; or None."""
    placed = weights_folder() / f"{name}{_ending(config)}"
    if placed.exists():
        return placed
    if not config.hf_hub_id or config.custom_load:
        return None
    from huggingface_hub import try_to_load_from_cache  # timm needs it too

    found = try_to_load_from_cache(config.hf_hub_id, config.hf_hub_filename or "model.safetensors")
    return found if isinstance(found, str) else None


def _check_connection(name, config):
    """Refuses in a sentence at once; timm would try for a minute."""
    try:
        requests.head(_address(config), timeout=PATIENCE, allow_redirects=True)
    except requests.RequestException:
        raise _unreachable(name, config, "no connection") from None


def _unreachable(name, config, reason):
    what = f"are not on this computer and can't be downloaded ({reason})"
    return DataError(f"The weights of {name}", what, _by_hand(name, config))


def _by_hand(name, config):
    place = weights_folder() / f"{name}{_ending(config)}"
    return f"download {_address(config)} and save it as {place}."


def _address(config):
    if config.hf_hub_id:
        file = config.hf_hub_filename or "model.safetensors"
        return f"https://huggingface.co/{config.hf_hub_id}/resolve/main/{file}"
    return config.url


def _ending(config):
    return Path(_address(config)).suffix
