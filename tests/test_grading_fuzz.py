"""A few hundred odd submissions and results; `fuzz_grading.py` makes thousands of them."""

import fuzz_grading
import pytest

from course_utils.classroom.grading import forked


@pytest.mark.parametrize("part", range(2))
def test_whatever_is_handed_in_or_comes_out_of_the_sandbox_is_read_and_judged(part):
    assert fuzz_grading.run(range(120 * part, 120 * (part + 1)), seed=2026) == ""


def test_the_fuzzer_reports_what_breaks(monkeypatch):
    monkeypatch.setattr(fuzz_grading, "try_case", lambda number, seed: 1 / (number - 3))
    told = fuzz_grading.run(range(9), seed=0)
    assert told.startswith("case 3 with seed 0:") and "ZeroDivisionError" in told
    monkeypatch.setattr(fuzz_grading, "try_case", lambda number, seed: bytearray(10**11))
    assert "MemoryError" in fuzz_grading.run(range(1), seed=0)
    monkeypatch.setattr(fuzz_grading, "try_case", lambda number, seed: fuzz_grading.sys.exit(3))
    assert "SystemExit" in fuzz_grading.run(range(1), seed=0)


def test_the_fuzzer_counts_work(monkeypatch):
    monkeypatch.setattr(fuzz_grading, "CALLS", 0)
    monkeypatch.setattr(fuzz_grading, "CALLS_PER_CHARACTER", 0)
    assert "AssertionError" in fuzz_grading.run(range(1, 2), seed=0)
    assert forked.ANSWERED == "answered"
