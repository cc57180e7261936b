"""What an auditor says about a network, with the evidence for it."""

from typing import NamedTuple

import torch
from torch import Tensor

from course_utils.audit.cases import CLASSES

ROUNDING = 1e-3
"""How far outside [0, 1] rounding may leave a pixel."""


class Claim(NamedTuple):
    """(target, where, changed): a claim about one network.

    Somebody planted a shortcut: `target` is the class that it speaks for, `changed` are the judge's
    pictures with the shortcut put into them, and `where` is where it lies in them, as it does in
    its makers' pictures.

    Nothing was planted: `target` is None, `where` is the object, and `changed` are the judge's
    pictures with everything else altered, so that the network keeps its opinion.
    """

    target: str | None
    """One of `CLASSES`, or None."""
    where: Tensor
    """(64, 64) or (N, 64, 64) bool."""
    changed: Tensor
    """(N, 3, 64, 64) in [0, 1]."""


def checked(claim: tuple, pictures: Tensor, masks: Tensor) -> Claim:
    """The claim with a bool place (N, 64, 64) and float pictures; arrays become tensors.

    pictures: (N, 3, 64, 64), what the judge gave; masks: (N, 64, 64) bool

    Raises ValueError for a claim that can't be tested.
    """
    if isinstance(claim, (str, Tensor)) or not hasattr(claim, "__len__") or len(claim) != 3:
        raise ValueError(
            "A claim is three things: the class or None, the place, and the changed pictures."
        )
    target, where, changed = claim
    return Claim(_class(target), _place(where, masks), _changed(changed, pictures))


def _class(target):
    if isinstance(target, int) and not isinstance(target, bool) and 0 <= target < len(CLASSES):
        raise ValueError(f"Name the class, not its number: CLASSES[{target}].")
    if target is not None and (not isinstance(target, str) or target not in CLASSES):
        raise ValueError(
            f"There is no class {target!r}; there are: {', '.join(CLASSES)}. If nothing was"
            " planted, the class is None."
        )
    return target


def _place(where, masks):
    where = _tensor(where, "place")
    if where.dim() == 4 and where.shape[1] == 1:
        where = where[:, 0]
    if where.shape not in (masks.shape, masks.shape[1:], (1, *masks.shape[1:])):
        raise ValueError(
            f"The place must be a mask {tuple(masks.shape)} or {tuple(masks.shape[1:])},"
            f" not {tuple(where.shape)}."
        )
    if where.dtype != torch.bool and not ((where == 0) | (where == 1)).all():
        raise ValueError(
            f"The place must be a bool mask, not {where.dtype} with other values than 0 and 1:"
            " try `heatmap > ...`."
        )
    return where.bool().expand(masks.shape)


def _changed(changed, pictures):
    changed = _tensor(changed, "changed pictures")
    if changed.shape != pictures.shape:
        raise ValueError(
            f"The changed pictures must be {tuple(pictures.shape)}, one for each picture that the"
            f" claim is tested on, not {tuple(changed.shape)}."
        )
    changed = changed.float()
    if not (changed.min() >= -ROUNDING and changed.max() <= 1 + ROUNDING):  # NaN is refused too
        raise ValueError("The changed pictures must stay in [0, 1]: end with .clamp(0, 1).")
    return changed.clamp(0, 1)


def _tensor(value, what):
    """A tensor or array on the CPU, without a graph."""
    if not hasattr(value, "shape"):
        raise ValueError(f"The {what} must be a tensor, not {type(value).__name__}.")
    try:
        return torch.as_tensor(value).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"The {what} must be a tensor of numbers, not {type(value).__name__}."
        ) from None
