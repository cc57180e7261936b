"""What the text of a notebook claims, checked by the run that it describes.

Below a paragraph with numbers or comparisons stands a cell tagged `claims`, folded away:

    claims(
        ("a grey sky leaves 48 % of the sunny tanks", shares["sky"], 0.48, 0.02),
        ("no exchange of land alone flips the second scene", (land_scores > 0).all()),
        when=AS_PRINTED,
    )

So a sentence can't stay when a network, a picture or the code changes and makes it untrue. Let the
tolerance be as wide as the sentence is vague: rounding, and what differs between processors.
"""

import math

from course_utils.exercises.engine.checks import is_strict


class UntrueClaim(AssertionError):
    """A statement of the text does not hold; raised only where COURSE_STRICT is set."""


def claims(*statements: tuple, when: bool = True) -> None:
    """Compares what the text states with what the run found.

    statements: (sentence, value, stated, tolerance): true if the number `value` differs from
                `stated` by no more than `tolerance`; or (sentence, condition)
    when:       False where the text is about another run: with QUICK, or with a network or picture
                of the reader's own. Then nothing happens. It is an argument, since only the
                notebook knows which of its parameters a paragraph depends on; a first cell may say
                `AS_PRINTED = CLASSIFIER == "look_alikes" and not QUICK`. A cell that forgets it
                fails in the tests that run every notebook with other parameters.

    Prints one line. Where an untrue statement has to be an error, which is where failed checks
    raise (COURSE_STRICT=1), it raises `UntrueClaim` with one sentence for each of them.

    Raises ValueError for what can't be compared: no statement, several values at once, NaN.
    """
    if not when:
        return
    if not statements:
        raise ValueError("No claim was given: pass (sentence, value, stated, tolerance).")
    found = [_untrue(statement) for statement in statements]
    untrue = [sentence for sentence in found if sentence]
    if untrue and is_strict():
        raise UntrueClaim("\n".join(untrue))
    count = f"{len(statements)} statement{'s' if len(statements) > 1 else ''} of the text"
    if untrue:
        print(f"{len(untrue)} of {count} {'is' if len(untrue) == 1 else 'are'} untrue in this run.")
        print("\n".join(untrue))
    else:
        print(f"✓ {count} checked")


def _untrue(statement):
    """The sentence that says how a statement is untrue; "" if it is true."""
    if not isinstance(statement, tuple) or len(statement) not in (2, 4):
        raise ValueError(
            "A claim is (sentence, value, stated, tolerance) or (sentence, condition), not "
            f"{str(statement)[:60]!r}."
        )
    sentence = statement[0]
    if not isinstance(sentence, str) or not sentence.strip():
        raise ValueError(f"A claim begins with its sentence, not with {str(sentence)[:60]!r}.")
    if len(statement) == 2:
        return "" if _condition(sentence, statement[1]) else f"{sentence!r} is untrue."
    names = ("value", "stated", "tolerance")
    value, stated, tolerance = (
        _number(sentence, name, number) for name, number in zip(names, statement[1:])
    )
    if tolerance < 0:
        raise ValueError(f"The tolerance of {sentence!r} is {tolerance:g}: it can't be negative.")
    rounding = 1e-6 * max(abs(stated), tolerance)  # .475 lies within .005 of .48, in any precision
    if abs(value - stated) <= tolerance + rounding:
        return ""
    return f"{sentence!r} is untrue: stated {stated:g} (± {tolerance:g}), got {value:.4g}."


def _number(sentence, name, number):
    number = _single(sentence, name, number)
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        kind = type(number).__name__
        raise ValueError(f"The {name} of {sentence!r} is of type {kind}: give a number.")
    if not math.isfinite(number):
        raise ValueError(f"The {name} of {sentence!r} is {number}, which compares with nothing.")
    return number


def _condition(sentence, condition):
    condition = _single(sentence, "condition", condition)
    if not isinstance(condition, bool):
        kind = type(condition).__name__
        raise ValueError(f"The condition of {sentence!r} is of type {kind}: give True or False.")
    return condition


def _single(sentence, name, value):
    """A tensor or array of one value as that value; anything else as it is."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return value
    if math.prod(shape) != 1:
        cure = "use .all() or .any()" if name == "condition" else "give one number"
        raise ValueError(f"The {name} of {sentence!r} has the shape {tuple(shape)}: {cure}.")
    return value.item()
