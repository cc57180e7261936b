"""Networks of the course on disk: NAME.safetensors holds the weights, NAME.json describes them.

The description names the SHA-256 sum of the weights, so damaged files are noticed and named.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor, nn

from course_utils.errors import DataError, shown
from course_utils.manifest import damage, read_file, write_files


def write_network(folder: Path, name: str, weights: Mapping[str, Tensor], description: dict):
    """Writes the two files of a network. The same network gives the same bytes.

    NumPy's and torch's numbers in the description become Python's. Raises ValueError, and writes
    nothing, for a name that no file can have and for an entry that JSON can't hold.
    """
    _check_is_file_name(name)
    kept = {key: value.detach().cpu().contiguous() for key, value in weights.items()}
    content = safetensors.torch.save(kept)
    facts = {**description, "name": name, "sha256": hashlib.sha256(content).hexdigest()}
    text = _as_json(facts)  # before anything is written: what was saved earlier stays if it fails
    folder.mkdir(parents=True, exist_ok=True)
    write_files({folder / f"{name}.safetensors": content, folder / f"{name}.json": text.encode()})


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
    lacking = [key for key in missing if borrowed is None or not key.startswith(f"{borrowed}.")]
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
