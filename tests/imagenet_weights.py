"""Weights made on the spot: seeded, in the folder and under the name that torchvision looks for.

torchvision names its files by the first digits of their SHA-256, and random weights have others.
So a line that every kernel runs first tells torchvision the name of the file that we made; from
there on everything goes the way of real weights.

Pictures can be made smaller than those of real weights, since the work grows with their area.
"""

import hashlib
import os
from pathlib import Path

import torch

from course_utils._torchvision import import_torchvision

STARTUP = """
from functools import partial
from course_utils._torchvision import import_torchvision
weights = import_torchvision().models.get_model_weights("{name}").DEFAULT.value
weights.url = "{address}"
weights.transforms = partial(weights.transforms, crop_size={size}, resize_size={resize})
del import_torchvision, partial, weights
"""


def environment(name: str, folder: Path, size: int = 224) -> dict[str, str]:
    """Makes weights for a classifier of torchvision -> the environment in which they are found.

    size: of the pictures that the network sees, in pixels
    """
    models = import_torchvision().models
    address = models.get_model_weights(name).DEFAULT.url
    made = _write(models, name, folder / "torch" / "hub" / "checkpoints")
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    address = address.rpartition("/")[0] + f"/{made.name}"
    lines = STARTUP.format(name=name, address=address, size=size, resize=size * 8 // 7)
    (startup / f"{name}.py").write_text(lines)
    home, ipython = str(folder / "torch"), str(folder / "ipython")
    return {**os.environ, "TORCH_HOME": home, "IPYTHONDIR": ipython}


def _write(models, name, folder):
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    unnamed = folder / "weights.pth"
    torch.save(models.get_model(name, weights=None).state_dict(), unnamed)
    with unnamed.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return unnamed.rename(folder / f"{name}-{digest[:8]}.pth")
