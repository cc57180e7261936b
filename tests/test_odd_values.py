"""Whatever an answer returns or raises, a check says one sentence about it and never stumbles."""

import decimal
import fractions
import sys

import numpy as np
import pytest
import torch

from course_utils.exercises import check
from course_utils.exercises.engine.checks import source_hash
from course_utils.exercises.engine.values import Foreign, plain


def _maps(random):
    return [(torch.rand(5, 7), 2.0), (torch.rand(9, 4), 3.0)]


@check(points=1, probes=_maps)
def a_tensor(heatmap, factor):
    """A tensor."""
    return heatmap * factor


@check(points=1, probes=_maps)
def an_array(heatmap, factor):
    """A NumPy array."""
    return (heatmap * factor).numpy()


@check(points=1, probes=_maps)
def a_number(heatmap, factor):
    """A float."""
    return float(heatmap.sum() * factor)


@check(points=1, probes=_maps)
def an_integer(heatmap, factor):
    """An int."""
    return 3 + int(factor)


@check(points=1, probes=_maps)
def a_pair(heatmap, factor):
    """A tensor and an int."""
    return heatmap * factor, 3


@check(points=1, probes=_maps)
def a_list(heatmap, factor):
    """A list of tuples."""
    return [(1, 2, int(factor)), (4, 5, 6)]


@check(points=1, probes=_maps)
def a_dict(heatmap, factor):
    """A dict."""
    return {(0, "sunny"): factor, (1, "overcast"): 0.5}


@check(points=1, probes=_maps)
def a_text(heatmap, factor):
    """A text."""
    return f"about {factor}"


@check(points=1, probes=_maps)
def labels(heatmap, factor):
    """A tensor of integers."""
    return (heatmap * 10).long()


@check(points=1, probes=_maps)
def a_mask(heatmap, factor):
    """A bool tensor."""
    return heatmap > 0.5


CHECKS = (
    a_tensor, an_array, a_number, an_integer, a_pair, a_list, a_dict, a_text, labels, a_mask
)  # fmt: skip


class Hostile:
    """Raises whatever is done with it."""

    def __getattribute__(self, name):
        raise RuntimeError(f"no {name} here")

    def __eq__(self, other):
        raise RuntimeError("not to be compared")

    def __bool__(self):
        raise RuntimeError("neither true nor false")

    def __repr__(self):
        raise RuntimeError("not to be shown")

    __len__ = __iter__ = __float__ = __hash__ = __str__ = __array__ = __repr__


class EqualToAll(int):
    """A number that says it equals everything."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    def __repr__(self):
        raise RuntimeError("not to be shown")

    __hash__ = int.__hash__


class HostileText(str):
    def __eq__(self, other):
        return True

    def __str__(self):
        raise RuntimeError("not to be shown")

    __repr__ = __str__
    __hash__ = str.__hash__


class HostileList(list):
    def __iter__(self):
        raise RuntimeError("not to be read")

    def __len__(self):
        return -5


class HostileTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        raise RuntimeError("no operation is known")


def contains_itself():
    items = []
    items.append(items)
    return items


def contains_itself_often():
    items = []
    items.extend([items] * 50)
    return items


def dict_of_itself():
    mapping = {}
    mapping["me"] = mapping
    return mapping


def nested_tensor():
    return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def quantized():
    return torch.quantize_per_tensor(torch.rand(5, 7), 0.1, 0, torch.quint8)


def objects(*items):
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def structured():
    return np.zeros((5, 7), [("a", "f4"), ("b", "i4")])


VALUES = {
    "sparse": lambda: torch.eye(5, 7).to_sparse(),
    "sparse rows": lambda: torch.eye(5, 7).to_sparse_csr(),
    "quantized": quantized,
    "nested": nested_tensor,
    "meta": lambda: torch.empty(5, 7, device="meta"),
    "meta without dimensions": lambda: torch.empty((), device="meta"),
    "tensor of nothing": lambda: torch.empty(0),
    "complex tensor": lambda: torch.zeros(5, 7, dtype=torch.complex64),
    "conjugate": lambda: torch.zeros(5, 7, dtype=torch.complex64).conj(),
    "half": lambda: torch.zeros(5, 7, dtype=torch.float16),
    "bfloat16": lambda: torch.zeros(5, 7, dtype=torch.bfloat16),
    "float8": lambda: torch.zeros(5, 7).to(torch.float8_e4m3fn),
    "uint8": lambda: torch.zeros(5, 7, dtype=torch.uint8),
    "uint16": lambda: torch.zeros(5, 7, dtype=torch.uint16),
    "infinite": lambda: torch.full((5, 7), torch.inf),
    "not a number": lambda: torch.full((5, 7), torch.nan),
    "expanded": lambda: torch.zeros(1).expand(10**9, 10**6),
    "parameter": lambda: torch.nn.Parameter(torch.zeros(5, 7)),
    "hostile tensor": lambda: torch.zeros(5, 7).as_subclass(HostileTensor),
    "many dimensions": lambda: torch.zeros([1] * 30),
    "huge int": lambda: 10**400,
    "monstrous int": lambda: 10**6000,
    "minus huge int": lambda: -(10**400),
    "int above float": lambda: 2**1023 * 2,
    "largest int64": lambda: torch.full((5, 7), 2**63 - 1),
    "smallest int64": lambda: torch.full((5, 7), -(2**63)),
    "nan": lambda: float("nan"),
    "infinity": lambda: float("inf"),
    "complex": lambda: 1j,
    "fraction": lambda: fractions.Fraction(1, 3),
    "decimal": lambda: decimal.Decimal("NaN"),
    "signalling decimal": lambda: decimal.Decimal("sNaN"),
    "objects": lambda: objects(Hostile(), None, 3),
    "object without dimensions": lambda: objects(Hostile())[0, ...],
    "structured": structured,
    "dates": lambda: np.zeros((5, 7), "datetime64[s]"),
    "bytes array": lambda: np.zeros((5, 7), "S3"),
    "masked": lambda: np.ma.masked_all((5, 7)),
    "matrix": lambda: np.asmatrix(np.zeros((5, 7))),
    "long double": lambda: np.zeros((5, 7), np.longdouble),
    "record": lambda: np.zeros(3, [("a", "f4")])[0],
    "generator": lambda: (n for n in range(3)),
    "map": lambda: map(str, [1]),
    "set": lambda: {1, 2},
    "bytes": lambda: b"abc",
    "function": lambda: len,
    "class": lambda: int,
    "module": lambda: sys,
    "error": lambda: ValueError("x"),
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "hostile": Hostile,
    "hostile in a list": lambda: [Hostile()],
    "hostile as a key": lambda: {(Hostile,): 1},
    "equal to all": lambda: EqualToAll(4),
    "hostile text": lambda: HostileText("about"),
    "hostile list": lambda: HostileList([1, 2]),
    "itself": contains_itself,
    "itself, often": contains_itself_often,
    "dict of itself": dict_of_itself,
    "deep": lambda: eval("[" * 90 + "]" * 90),
    "surrogate": lambda: "about \ud800",
    "surrogate as a key": lambda: {"\ud800": 1},
    "long text": lambda: "x" * 10**6,
    "control characters": lambda: "\x00\x1b[31m",
    "many items": lambda: list(range(100_000)),
    "range": lambda: range(2),
    "empty": lambda: (),
    "ragged": lambda: [[1], [1, 2]],
    "pair of hostile": lambda: (Hostile(), Hostile()),
    "pair of sparse": lambda: (torch.eye(5, 7).to_sparse(), 3),
    "pair of huge": lambda: (10**400, 10**400),
    "bare truth": lambda: True,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_each_value_gets_a_sentence(value):
    for exercise in CHECKS:
        feedback = exercise.review(lambda heatmap, factor: value())
        assert not feedback.passed and feedback.points == 0
        assert feedback.kind not in ("not attempted", "raised"), str(feedback)
        assert feedback.message.rstrip("`").endswith((".", "?", "!"))
        assert len(feedback.message) < 1000
        for shown in (str(feedback), feedback.as_html()):
            shown.encode("utf-8")


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("not to be shown")

    __repr__ = __str__


class OwnEnd(BaseException):
    pass


def endless(depth=0):
    return endless(depth + 1)


ERRORS = {
    "hostile": HostileError,
    "own end": OwnEnd,
    "exit": SystemExit,
    "generator's exit": GeneratorExit,
    "stop": StopIteration,
    "memory": MemoryError,
    "surrogate": lambda: ValueError("\ud800 is half a character"),
    "long": lambda: ValueError("x" * 10**6),
    "many": lambda: ExceptionGroup("several", [ValueError("a"), TypeError("b")]),
    "not text": lambda: ValueError(Hostile),
    "assertion": AssertionError,
    "key": lambda: KeyError("\n"),
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
def test_each_error_gets_a_sentence(error):
    def answer(heatmap, factor):
        raise error()

    feedback = a_tensor.review(answer)
    assert feedback.kind == "raised" and len(feedback.message) < 1000
    (str(feedback) + feedback.as_html()).encode("utf-8")


def test_endless_recursion_gets_a_sentence():
    feedback = a_tensor.review(lambda heatmap, factor: endless())
    assert feedback.kind == "raised" and "calls itself" in feedback.message


def test_stopping_the_kernel_stops_the_check():
    def interrupted(heatmap, factor):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        a_tensor.review(interrupted)


class HostileFunction:
    """An answer that raises when it is looked at."""

    def __call__(self, heatmap, factor):
        return heatmap * factor

    def __getattr__(self, name):
        raise RuntimeError(f"no {name} here")


def test_the_answer_itself_may_be_hostile():
    assert a_tensor.review(HostileFunction()).passed
    assert source_hash(HostileFunction()) is None


def test_a_number_that_says_it_equals_everything_does_not():
    assert not an_integer.review(lambda heatmap, factor: EqualToAll(4)).passed
    assert an_integer.review(lambda heatmap, factor: EqualToAll(3 + factor)).passed


@pytest.mark.filterwarnings("ignore")
def test_what_is_read_is_plain():
    known = (type(None), bool, int, float, str, list, tuple, dict, torch.Tensor, np.ndarray)
    for make in VALUES.values():
        value = plain(make())
        assert isinstance(value, Foreign) or type(value) in known


def test_what_is_read_does_not_change_with_the_original():
    tensor, array = torch.zeros(3), np.zeros(3)
    read = plain([tensor, array, {"a": tensor}])
    tensor += 1
    array += 1
    assert read[0].sum() == 0 and read[1].sum() == 0 and read[2]["a"].sum() == 0
