"""Right answers that nobody expects: one module for each notebook, named like its exercises.

    ODD = {"windows": [as_a_tensor, by_recursion, with_numpy], ...}

Three or more for each exercise, each of which fulfils the task's text and must pass: other types
(double precision, a list for a tuple, an array of rows, a view), other ways (loops, einsum, a
library), other helpers. The *first* of each list is the one that is most unusual in type: with
these, all at once, the notebook is run to its end, so that no accepted answer breaks a later cell.
"""

import importlib
import pkgutil
from collections.abc import Callable


def all_of_them() -> dict[str, dict[str, list[Callable]]]:
    """{notebook, without its number: {exercise: answers}}"""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return {name: importlib.import_module(f"{__name__}.{name}").ODD for name in names}
