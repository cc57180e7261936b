"""What answers return, on its way out of the sandbox."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from course_utils.classroom.grading.transfer import Unreadable, decode, encode
from course_utils.exercises.engine.calls import Outcome
from course_utils.exercises.engine.causes import Raised


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 2.5, "text", [1, (2, "three")], {"a": 1, (0, "b"): [None]},
        np.arange(6.0).reshape(2, 3), np.array([True, False]), torch.arange(4), torch.ones(2, 0, 3),
        torch.tensor(1.5), {"maps": torch.ones(2, 3)}, float("inf"), torch.ones(2, 3).t(),
        np.arange(6, dtype=np.uint16)[::2], torch.ones(2, dtype=torch.complex64),
    ],
    ids=str,
)  # fmt: skip
def test_results_survive_the_way_out(value):
    (outcome,) = decode(encode([Outcome(value)]))
    same = torch.equal if isinstance(value, torch.Tensor) else lambda a, b: str(a) == str(b)
    assert type(outcome.value) is type(value) and same(outcome.value, value)


def test_all_fields_of_an_outcome_survive():
    raised = Raised("ValueError", "no", "x = 1", 3, "Because.")
    outcomes = [Outcome(torch.ones(2), None, "it changed {0}"), Outcome(raised=raised)]
    assert [vars(o) for o in decode(encode(outcomes))][1] == vars(outcomes[1])
    assert decode(encode(outcomes))[0].changed == "it changed {0}"


def test_numbers_texts_and_tensors_of_unusual_kinds():
    class Own(int):
        pass

    class Mine(torch.Tensor):
        pass

    values = [
        Own(3), 10**400, -(10**5000), "x" * 10**6, torch.ones(3, dtype=torch.bfloat16),
        torch.ones(3, requires_grad=True) * 2, torch.ones(2).as_subclass(Mine),
        torch.ones(2, dtype=torch.complex64).conj(),
    ]  # fmt: skip
    own, huge, tiny, text, brain, graph, mine, conj = decode(encode([Outcome(values)]))[0].value
    assert (own, type(own)) == (3, int)
    assert huge == 10**300 == -tiny and float(huge) == 1e300
    assert text == "x" * 2000
    assert brain.dtype == torch.float32 and not graph.requires_grad
    assert type(mine) is torch.Tensor and torch.equal(conj, torch.ones(2, dtype=torch.complex64))


@pytest.mark.parametrize(
    "value",
    [Path("x"), torch.ones(2, 2).to_sparse(), torch.ones(2, device="meta"), np.array(["a"]), 1j],
    ids=str,
)
def test_what_no_exercise_asks_for_arrives_as_something_unequal(value):
    (outcome,) = decode(encode([Outcome(value)]))
    assert type(outcome.value).__name__ == type(value).__name__
    assert type(outcome.value).__bases__ == (object,)


def test_a_list_without_end_ends():
    endless = []
    endless.append(endless)
    (outcome,) = decode(encode([Outcome(endless)]))
    assert str(outcome.value).count("[") == 12


def record(**changes):
    """What a right answer could send, with some entries changed."""
    entry = json.loads(encode([Outcome(1.0)])[4:])[0] | changes
    header = json.dumps([entry]).encode()
    return len(header).to_bytes(4) + header


ARRAY = {"kind": "tensor", "dtype": "float32", "shape": [2], "bytes": 8}


@pytest.mark.parametrize(
    "content",
    [
        "", "[", "7", "[" * 5000, b"\n" * 10**6, b"\x00\x00\x00\x02[]x", b"\xff" * 99,
        record(extra=1), record(value=[]), record(value={"kind": "list", "items": 3}),
        record(value=ARRAY), record(value=ARRAY | {"bytes": 0}), record(value=ARRAY | {"shape": 2}),
        record(value=ARRAY | {"shape": [-2]}), record(value=ARRAY | {"shape": [10**30]}),
        record(value=ARRAY | {"shape": [float("inf")]}), record(value=ARRAY | {"dtype": "O"}),
        record(value=ARRAY | {"shape": [1] * 99, "bytes": 4}), record(changed=3),
        record(raised={"type": "E", "message": "", "line": "", "cause": "", "number": 1e999}),
        record(raised={"type": "E", "message": "", "line": "", "cause": "", "number": -1}),
        record(raised={"type": "E"}), record(raised=7),
        record(value={"kind": "dict", "items": [[{"kind": "list", "items": []}, 1]]}),
    ],
)  # fmt: skip
def test_forged_results_are_refused(content):
    with pytest.raises(Unreadable, match="its results can't be read"):
        decode(content)


def test_a_header_that_is_too_long_is_not_even_read():
    content = b"[" + b"[]," * 2_000_000
    with pytest.raises(Unreadable):
        decode(len(content).to_bytes(4) + content)


@pytest.mark.parametrize(
    "told, kept",
    [
        ("it changed {0} and {1}", "it changed {0} and {1}"),
        ("{0:>999999999}", "0:>999999999"),
        ("{0!r}{a.b}{}{{0}}", "0!ra.b{0}"),
        ("}{", ""),
        ("{12}", "12"),
    ],
)
def test_no_text_from_inside_holds_a_format(told, kept):
    (outcome,) = decode(record(changed=told))
    assert outcome.changed == kept


def test_the_name_of_a_foreign_type_is_a_short_word():
    (outcome,) = decode(record(value={"kind": "foreign", "name": "<b>\x1b" + "x" * 10**5}))
    assert type(outcome.value).__name__ == "b" + "x" * 39
