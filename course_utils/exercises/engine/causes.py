"""What an exception means: the learner's own line, and the likely cause."""

import ast
import difflib
import inspect
import linecache
import re
import sysconfig
import traceback
from dataclasses import dataclass
from pathlib import Path

from course_utils.exercises.engine.values import printable

COURSE = str(Path(__file__).resolve().parents[2])
PYTHON = sysconfig.get_paths()["stdlib"]

LONGEST = 300
"""Characters of a message that are told."""


@dataclass
class Raised:
    """An exception, as a learner should read it."""

    type: str
    message: str
    line: str
    """The learner's line that raised it, or called what raised it; "" if there is none."""
    number: int
    """That line's number in its cell."""
    cause: str
    """The likely cause in one or two sentences; "" if there is none to be guessed."""


def explain(error: BaseException, function, arguments: int) -> Raised:
    """Reads an exception that calling `function` with so many arguments raised."""
    frame = _learners_frame(error)
    line = linecache.getline(frame.filename, frame.lineno).strip() if frame else ""
    number = frame.lineno if frame and line else 0
    kind = type(error).__name__
    kinds = TypeError, ValueError, RuntimeError
    if line and _compares_without_brackets(line) and isinstance(error, kinds):
        return Raised(kind, "", line, number, WITHOUT_BRACKETS)
    return Raised(kind, _first_line(error), line, number, _cause(error, function, arguments))


def _first_line(error):
    text = _message(error).strip()
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."


def _message(error):
    """An exception's text; "" for one that raises when it is asked."""
    try:
        return printable(str(error))
    except Exception:
        return ""


def _learners_frame(error):
    """The innermost frame that belongs neither to Python, a package nor the course."""
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame for frame in reversed(frames) if not _is_installed(frame.filename)), None)


def _is_installed(filename):
    inside = filename.startswith((COURSE, PYTHON, "<frozen"))
    return inside or "site-packages" in filename or "dist-packages" in filename


def _compares_without_brackets(line):
    """Whether `&` or `|` stands between two comparisons, so that it takes their middle first."""
    try:
        tree = ast.parse(re.sub(r"^(if|elif|while)\b", "", line).strip().rstrip(":,"))
    except SyntaxError:
        return False
    return any(
        isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.BinOp) and isinstance(side.op, (ast.BitAnd, ast.BitOr))
            for side in node.comparators
        )
        for node in ast.walk(tree)
    )


WITHOUT_BRACKETS = (
    "`&` and `|` bind more tightly than `==`, so Python takes the middle of this line first: put "
    "each comparison in brackets, `(a == b) & (c == d)`."
)


def _cause(error, function, arguments):
    if isinstance(error, TypeError) and error.__traceback__.tb_next is None:
        return _arity(function, arguments)
    if isinstance(error, UnboundLocalError):
        return "A name is used before it gets its value inside the function."
    if isinstance(error, NameError):
        return _unknown_name(getattr(error, "name", None), error)
    if isinstance(error, SystemExit):
        return "A function should return its answer, not end the program."
    if isinstance(error, RecursionError):
        return "The function calls itself without an end."
    text = _message(error)
    return next((cause for pattern, cause in CAUSES.items() if re.search(pattern, text)), "")


def _unknown_name(name, error):
    """Said of a name that Python does not know: an import, a misspelling, a cell not yet run."""
    if not name:
        return "Is that name misspelt, or defined in a cell that has not run yet?"
    if name in IMPORTS:
        return f"Nothing has imported it yet: add `{IMPORTS[name]}` above your function."
    *_, frame = traceback.walk_tb(error.__traceback__)
    known = [*frame[0].f_locals, *(n for n in frame[0].f_globals if not n.startswith("_"))]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    if near:
        return f"Is {name} misspelt, for {near[0]}?"
    return f"Is {name} misspelt, or defined in a cell that has not run yet?"


IMPORTS = {
    "math": "import math",
    "np": "import numpy as np",
    "numpy": "import numpy",
    "torch": "import torch",
    "nn": "from torch import nn",
    "F": "import torch.nn.functional as F",
    "plt": "import matplotlib.pyplot as plt",
    "ndimage": "from scipy import ndimage",
    "random": "import random",
    "itertools": "import itertools",
    "Counter": "from collections import Counter",
    "defaultdict": "from collections import defaultdict",
}
"""Names that stand for a module, or something in one, wherever Python is written."""


def _arity(function, arguments):
    """Said when the call itself failed, before the first line of the function ran."""
    count = "1 argument" if arguments == 1 else f"{arguments} arguments"
    try:
        name = getattr(function, "__name__", "function")
        return f"It is called with {count}, but yours is {name}{inspect.signature(function)}."
    except (TypeError, ValueError):
        return f"It is called with {count}."


CAUSES = {
    r"(dimension|axis) 0 with size 1\b": (
        "The first axis has one entry only. If it is the batch, with one picture, index it before "
        "the next axis: `[0, target]` or `[:, target]`."
    ),
    r"truth value|[Bb]oolean value of Tensor": (
        "`if`, `and`, `or` and `not` want one truth value, and this is a whole array of them: "
        "use `&`, `|` and `~` with brackets around each comparison, or .any() or .all()."
    ),
    r"'NoneType'": "Something in this line is None. Does a function you call forget its `return`?",
    r"in-?place|is a view": (
        "An operation changes a tensor in place that autograd still needs. "
        "Use a copy (x.clone()) or an operation that makes a new tensor."
    ),
    r"numpy\(\) on Tensor that requires grad": (
        "The tensor is part of a graph for gradients: take .detach() first."
    ),
    r"does not require grad": (
        "No gradient was recorded. Call x.requires_grad_() on a copy of x before the network runs, "
        "and don't compute the score under torch.no_grad()."
    ),
    r"grad can be implicitly created only for scalar": (
        "A gradient starts from one number: pick the target's score, or sum over the batch."
    ),
    r"backward through the graph a second time": (
        "Each graph can be used once: run the network again for a second gradient."
    ),
    r"shape of the mask": (
        "A mask (H, W) belongs to the last two axes of a picture (3, H, W): index with `[:, mask]`."
    ),
    r"must match the size|must match the existing size|could not be broadcast|"
    r"cannot be multiplied|shape mismatch|broadcastable|Given groups": (
        "The shapes don't fit: print the .shape of both sides. Is a `keepdim=True` or a "
        "`[:, None]` missing?"
    ),
    r"is invalid for input of size": (
        "`reshape` and `view` can't change how many values there are: print the .shape before."
    ),
    r"return_types": (
        "`max`, `min`, `sort` and `topk` along an axis return two tensors, values and indices: "
        "take `.values`, or use `amax` and `amin`."
    ),
    r"'dim' .*must be int, not tuple|(max|min)\(\) received .*tuple": (
        "`max` and `min` take one axis; `amax` and `amin` take several."
    ),
    r"unsupported operand.*'(tuple|list)'": (
        "A tuple or list takes no part in arithmetic: make a tensor or array of it first."
    ),
    r"could not infer output dtype": (
        "PyTorch takes no mean of whole numbers or of True and False: turn them into numbers with "
        "a fraction first, with .float()."
    ),
    r"converted to Scalar": (
        "`.item()` wants one number, and there are several: is an index missing, such as "
        "`[0, target]`?"
    ),
    r"scalar type|same dtype|type .*should be the same": (
        "Single precision (float32) meets double (float64): convert one, for instance with "
        "`.to(x.dtype)`."
    ),
    r"takes \d+ positional arguments? but \d+ were given": (
        "A function is called here with another number of arguments than it takes. A forward hook "
        "gets three: layer, inputs, output."
    ),
    r"list index out of range": (
        "The list is shorter than you think, perhaps empty: print its length."
    ),
    r"same device": "Two tensors are on different devices: make new ones with device=x.device.",
    r"not supported for .*bool|argmax\(\).*int": "Check the dtype: print x.dtype.",
    r"out of (range|bounds)": "An index is too large: the last index is the length minus one.",
}
"""Patterns in messages of Python, NumPy and PyTorch, and what usually causes them."""
