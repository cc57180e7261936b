"""Makes torchvision importable beside a CPU-only torch.

PyPI's torchvision for Linux is built against the CUDA torch. Beside the (much smaller) CPU-only
torch its compiled operators can't be loaded, and `import torchvision` then fails with "operator
torchvision::nms does not exist": it describes two operators that nobody has defined.
All that the course uses (networks, weights, transforms) is plain Python and needs neither. So their
signatures are defined here, without an implementation: torchvision then imports, and only its
own compiled operators, such as non-maximum suppression, still refuse to run.
"""

import importlib
import sys
from types import ModuleType

import torch

COMPLAINT = "operator torchvision::nms does not exist"
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# A Library takes its definitions with it when it is deleted, so they are kept here.
_definitions: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """The module torchvision, whether or not its compiled operators can be loaded.

    The plain import comes first: where it works (a matching pair, or torchvision is imported
    already) nothing is touched. Defining the operators earlier would clash with a matching pair's.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if COMPLAINT not in str(error):
            raise
    _forget_failed_import()
    _define_missing_operators()
    return importlib.import_module("torchvision")


def _forget_failed_import() -> None:
    """Drop the submodules that a failed import leaves behind, so that they are imported afresh."""
    for name in list(sys.modules):
        if name == "torchvision" or name.startswith("torchvision."):
            del sys.modules[name]


def _define_missing_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + SIGNATURE)
    _definitions.append(library)
