"""What a function calls, and the source of a worked answer."""

import inspect
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType


def functions_used(function: Callable) -> dict[str, Callable]:
    """{name: function} of the functions that a function calls by their global names, at any depth.

    Only functions written in Python beside it count: the learner's in the notebook, or those of its
    module. A name may stand for a `Check`, of which the reference is followed.
    """
    found, waiting = {}, [function]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, FunctionType):
            continue
        for name in _names(current.__code__):
            value = current.__globals__.get(name)
            value = getattr(value, "reference", value)
            if name in found or value is function or not isinstance(value, FunctionType):
                continue
            if value.__module__ == current.__module__:
                found[name] = value
                waiting.append(value)
    return found


def _names(code: CodeType) -> list[str]:
    """The global names that some code may look up, also in the functions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [*code.co_names, *(name for each in inner for name in _names(each))]


def worked_answer(reference: Callable) -> str:
    """The source of a reference and of what it calls in its module, without decorators."""
    functions = [*functions_used(reference).values(), reference]
    functions.sort(key=lambda function: function.__code__.co_firstlineno)
    text = "\n\n\n".join(_source(function) for function in functions)
    return text.replace(".reference(", "(")


def _source(function):
    lines = textwrap.dedent(inspect.getsource(function)).rstrip().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("def "))
    return "\n".join(lines[start:])
