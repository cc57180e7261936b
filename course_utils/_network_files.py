"""Networks of the course on disk: NAME.safetensors holds the weights, NAME.json describes them.

The description names the SHA-256 sum of the weights, so damaged files are noticed and named.
"""

import hashlib
import json
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.func import functional_call

from course_utils._devices import random_numbers_kept
from course_utils._networks import evaluating
from course_utils._random import gaussian, seeded_generator
from course_utils.errors import DataError, first_line, shown
from course_utils.manifest import damage, read_file, write_files

STRENGTHS = (0.1, 1, 10, 100)
"""How widely the inputs are spread on which a network and its file are compared: what is bounded,
such as a ReLU6, shows only with strong ones."""

INSTEAD = "or keep the whole network with torch.save."


@random_numbers_kept()
def write_network(
    folder: Path,
    name: str,
    network: nn.Module,
    description: dict,
    build: Callable[[dict], nn.Module],
    takes: tuple[int, ...],
    borrowed: str | None = None,
):
    """Writes the two files of a network. The same network gives the same bytes.

    build, borrowed: what `read_network` will be given
    takes:           the shape of one of the network's inputs

    NumPy's and torch's numbers in the description become Python's. Raises ValueError, and writes
    nothing, for a name that no file can have, for an entry that JSON can't hold, and for a network
    of which `read_network` would make another one.
    """
    _check_is_file_name(name)
    weights = _weights_of(network, borrowed)
    content = safetensors.torch.save(weights)
    facts = {**description, "name": name, "sha256": hashlib.sha256(content).hexdigest()}
    text = _as_json(facts)  # before anything is written: what was saved earlier stays if it fails
    rebuilt = _built(build, json.loads(text)).double()
    _check_weights(weights, rebuilt, borrowed)
    _fill(rebuilt, weights, borrowed)
    _check_says_the_same(network, rebuilt, takes)
    folder.mkdir(parents=True, exist_ok=True)
    write_files({folder / f"{name}.safetensors": content, folder / f"{name}.json": text.encode()})


def _weights_of(network, borrowed):
    """The weights that a file of the network holds. Each is a copy, because some may be shared."""
    weights = {}
    for key, value in network.state_dict().items():
        if _is_borrowed(key, borrowed):
            continue
        if value.is_meta:
            raise ValueError(f"The weights {key!r} are on the device meta, so they have no values.")
        weights[key] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
    return weights


def _is_borrowed(key, borrowed):
    return borrowed is not None and key.startswith(f"{borrowed}.")


def _built(build, description):
    try:
        return build(description)
    except (ValueError, DataError):  # sentences about what the description says
        raise
    except Exception as error:  # whatever an entry that doesn't fit makes a network raise
        raise ValueError(
            f"No network can be made from this description ({type(error).__name__}:"
            f" {first_line(error)}): look at the network's settings and at the facts."
        ) from error


def _check_weights(weights, rebuilt, borrowed):
    """Raises ValueError if a network has other weights than the one made from its description."""
    known = {key: value.shape for key, value in rebuilt.state_dict().items()}
    found = {key: value.shape for key, value in weights.items()}
    for key in (*found, *known):
        if found.get(key) != known.get(key) and not _is_borrowed(key, borrowed):
            raise ValueError(
                f"The network's weights are not those of its architecture: {key!r} is"
                f" {_size(found.get(key))} in the one and {_size(known.get(key))} in the other."
                " Undo what was done to its layers, such as by prune.remove or"
                f" parametrize.remove_parametrizations, {INSTEAD}"
            )


def _size(shape):
    return "missing" if shape is None else tuple(shape)


def _check_says_the_same(network, rebuilt, takes):
    """Raises ValueError if exchanged layers or hooks make a network compute something else.

    In double precision, where rounding can't be taken for a difference.
    """
    strengths = torch.tensor(STRENGTHS, dtype=torch.float64)
    x = gaussian(len(STRENGTHS), *takes, generator=seeded_generator(0)).double()
    x = x * strengths.view(-1, *[1] * len(takes))
    try:
        said = _output(network, x)
    except Exception as error:  # whatever somebody's layers and hooks raise
        raise ValueError(
            f"Given {tuple(x.shape)}, the network fails ({type(error).__name__}:"
            f" {first_line(error)}), so it can't be compared with its file: remove hooks and put"
            f" exchanged layers back, {INSTEAD}"
        ) from error
    if not _agree(said, _output(rebuilt, x)):
        raise ValueError(
            "The network computes something else than its architecture does with its weights, and"
            " the files keep nothing but these: remove hooks and put exchanged layers back,"
            f" {INSTEAD}"
        )


def _output(network, x):
    """The output for x in eval mode, on the CPU and in double precision; nothing is changed."""
    weights = {
        key: value.detach().cpu().double() if value.is_floating_point() else value.detach().cpu()
        for key, value in network.state_dict().items()
    }
    with torch.no_grad(), evaluating(network):
        return functional_call(network, weights, (x.clone(),), tie_weights=False)


def _agree(one, other):
    """Whether outputs (N, ...) are the same, but for rounding, for each of the N inputs."""
    if not isinstance(one, Tensor) or one.shape != other.shape:
        return False
    scale = other.nan_to_num(0, 0, 0).abs().flatten(1).amax(1).clamp(min=1e-30)
    scale = scale.view(-1, *[1] * (other.dim() - 1))
    return torch.allclose(one / scale, other / scale, rtol=0, atol=1e-9, equal_nan=True)


def _check_is_file_name(name):
    is_text = isinstance(name, str) and name.isprintable()
    if not is_text or not 0 < len(name.encode()) <= 200 or set(name) & set('/\\:*?"<>|'):
        raise ValueError(
            f"name={shown(name)}: two files get it, so it is a text of at most 200 letters, without"
            " slashes, colons and the like."
        )


def _as_json(facts):
    for name, value in facts.items():
        try:
            json.dumps(value, default=_as_pythons)
        except (TypeError, ValueError, RuntimeError):  # the last from a tensor without values
            raise ValueError(
                f"{name}={shown(value)} can't be kept in a JSON file: give texts, numbers, and"
                " lists or dicts of these."
            ) from None
    return json.dumps(facts, indent=2, sort_keys=True, default=_as_pythons) + "\n"


def _as_pythons(value):
    """NumPy's and torch's numbers as Python's, arrays and tensors as lists."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        return value.tolist()
    raise TypeError


@random_numbers_kept()
def read_network(
    folder: Path,
    name: str,
    build: Callable[[dict], nn.Module],
    needed: Collection[str] = (),
    borrowed: str | None = None,
) -> tuple[nn.Module, dict]:
    """A network with its weights, and its description.

    build:    makes the network from the description, its weights not yet read
    needed:   what the description must hold
    borrowed: the part of the network whose weights `build` knows, for they are not in the file
    Raises DataError, which names the file that is missing or damaged.
    """
    described, weighed = folder / f"{name}.json", folder / f"{name}.safetensors"
    description = read_json(described, {"sha256", *needed})
    content = read_file(weighed)
    if hashlib.sha256(content).hexdigest() != description["sha256"]:
        raise damage(weighed, "damaged")
    try:
        network = build(description)
        _fill(network, safetensors.torch.load(content), borrowed)
    except DataError:  # of a file that `build` reads
        raise
    except (KeyError, ValueError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        # The weights are those that were saved, so it is the description that doesn't fit them.
        raise damage(described, "damaged") from error
    return network, description


def _fill(network, weights, borrowed):
    missing, unexpected = network.load_state_dict(weights, strict=False)
    lacking = [key for key in missing if not _is_borrowed(key, borrowed)]
    if lacking or unexpected:
        raise ValueError(f"missing: {lacking}; unexpected: {unexpected}")


def read_json(path: Path, needed: Collection[str] = ()) -> dict:
    """The entries of a JSON file of the course; `needed` are those it must hold."""
    try:
        entries = json.loads(read_file(path))
    except ValueError as error:
        raise damage(path, "damaged") from error
    if not isinstance(entries, dict) or not set(needed) <= entries.keys():
        raise damage(path, "damaged")
    return entries
