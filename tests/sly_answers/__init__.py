"""Wrong answers that look right: one module for each notebook, named like its exercises.

    @sly("softmax", breaks='logits "of any size"', told="NaN")
    def in_double_precision(logits): ...

Each of them breaks one promise of the exercise's text, and does well besides: so a check that has
no case for it lets it pass. `told` are words that the feedback must contain, as a regular
expression: give them where a learner could be sent on a wrong track, or where a hint fits.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Sly:
    """A wrong answer, and the promise of the task that it breaks."""

    exercise: str
    answer: Callable
    breaks: str
    told: str = ""


def sly(exercise: str, *, breaks: str, told: str = "") -> Callable[[Callable], Callable]:
    """Decorator: keeps a function as a wrong answer to this exercise of the module's notebook."""

    def keep(answer):
        kept = vars(answer).setdefault("sly", [])
        kept.append(Sly(exercise, answer, breaks, told))
        return answer

    return keep


def all_of_them() -> dict[str, list[Sly]]:
    """{notebook, without its number: its sly answers}"""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {
        name: [sly for thing in vars(module).values() for sly in getattr(thing, "sly", ())]
        for name, module in modules.items()
    }
