"""Submissions and results that nobody would write, through the grader's own code.

    python tests/fuzz_grading.py --cases 5000 --seed 1

Real submissions are changed at random: their bytes, their JSON, their cells and metadata; and so
are the results that answers send out of the sandbox. Whatever comes of it, reading it must end in
exercises or in a `BadSubmission`, and judging it in a verdict; and the work must stay in proportion
to what was handed in. Work is counted in calls of functions, so that it is the same on every
machine. No sandbox is started: this is the side of grading that runs with all rights.

Everything happens in a forked process with little memory, as in a worker. The first case that
breaks is printed with its number, which repeats it: --only NUMBER.
"""

import argparse
import ast
import copy
import json
import random
import sys
import traceback
import warnings
from functools import lru_cache

import nbformat
import numpy as np
import torch

from course_utils.classroom import find_notebooks
from course_utils.classroom.copies import release
from course_utils.classroom.grading import forked, submissions, transfer
from course_utils.classroom.grading.judging import judge
from course_utils.classroom.grading.records import Task, Verdict
from course_utils.exercises import all_checks
from course_utils.exercises.engine.calls import call_on_probes
from course_utils.exercises.engine.causes import Raised

NOTEBOOKS = ("08_gradient_ascent", "09_dataset_search", "02_predictions_and_top_k")
CHECKS = (
    ("gradient_ascent", "total_variation"),
    ("dataset_search", "overlap"),
    ("occlusion", "windows"),
    ("predictions_and_top_k", "top_k_accuracy"),
)
SEED = 7

CALLS, CALLS_PER_CHARACTER = 300_000, 12
"""Function calls that reading a submission may take, and those for each of its characters."""

PARSED, PARSED_PER_CHARACTER = 2_000_000, 20
"""Characters that Python's parser may be given for it, and those for each of its own."""

MEMORY = 3_000_000_000
"""Bytes of data that the process in which everything happens may add to what it begins with."""

ODD_VALUES = (
    None, True, -1, 0, 1.5, 10**30, 10**400, float("inf"), float("nan"), "", "x", "\ud800", "\0",
    "{9}", "{0:>99999999}", "%foo", [], {}, [[]], [None], {"kind": "list"}, {"kind": "tensor"},
    {"kind": "tensor", "dtype": "float32", "shape": [10**18, 0], "bytes": 0},
    {"kind": "array", "dtype": "float64", "shape": [-1], "bytes": 8},
    {"kind": "list", "items": 7}, {"kind": "dict", "items": [[[], 1]]}, {"kind": "foreign"},
)  # fmt: skip

LETTERS = "(){}[]:;,.=\n\t '\"\\#%!"

ODD_CODE = (
    "%foo\n" * 520, "%%time\n", "!ls\n", "x = !ls\n", "await f()\n", "return 3\n",
    "        x = 1\n", "\t\tx\n", "(" * 300, "[" * 90, "-" * 3000 + "1\n",
    "x = 1" + "+1" * 2000 + "\n",
    "def f(x):\n        a = x\n    return a\n", "x += 1\n" * 400, "x.y(x)\n" * 400, "\0", "\x0c",
    "\u2028", "'''", '"""', "\\", "from os import *\n", "from __future__ import annotations\n",
    "from google.colab import drive\n", "a = b = c = a\n", "x = x = x\n", "lambda: x\n", "é = 1\n",
    "global x\n", "class A:\n    x = x\n", "print(x, y)\n", "x: int\n", "del x\n", "?\n", "x??\n",
    "for x in y: z.append(x)\n", "with a as b: c[0] = b\n", "try:\n  x\nexcept: pass\n", "; ; ;\n",
    "match x:\n    case [y, *z]: pass\n", "@d\ndef total_variation(x): ...\n", "f'{x!r:>{y}}'\n",
    "total_variation = None\n", "#helper\n", "\n" * 3000, "x = 1; " * 500 + "\n", "0x\n", "1_\n",
)  # fmt: skip


# ---------------------------------------------------------------------------- submissions


@lru_cache
def originals():
    """The JSON of real submissions: solved ones, untouched ones, and an editor's without marks."""
    found = []
    for path in find_notebooks(NOTEBOOKS):
        solved = nbformat.read(path, as_version=4)
        bare = json.loads(nbformat.writes(solved))
        for cell in bare["cells"]:
            cell["metadata"] = {}
            del cell["id"]
        found += [json.loads(nbformat.writes(solved)), json.loads(nbformat.writes(release(solved)))]
        found.append(bare)
    for notebook in found:
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"] = []  # they are large, and nobody looks at them
    return [json.dumps(notebook) for notebook in found]


def submission(dice: random.Random) -> bytes:
    """One changed submission."""
    notebook = json.loads(dice.choice(originals()))
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        dice.choice((change_cells, change_code, change_metadata))(notebook["cells"], dice)
    if dice.random() < 0.3:
        change_json(notebook, dice)
    content = json.dumps(notebook).encode("utf-8", "surrogatepass")
    return change_bytes(content, dice) if dice.random() < 0.3 else content


def change_cells(cells, dice):
    """Cells twice, gone, or in another order."""
    place = dice.randrange(len(cells)) if cells else 0
    action = dice.choice(("twice", "gone", "shuffled", "backwards", "many"))
    if not cells or action == "many":
        for _ in range(dice.choice((9, 2500))):
            cells.append({"cell_type": "code", "source": "x = 1", "metadata": {}})
    elif action == "twice":
        cells.insert(dice.randrange(len(cells)), json.loads(json.dumps(cells[place])))
    elif action == "gone":
        del cells[place]
    elif action == "shuffled":
        dice.shuffle(cells)
    else:
        cells.reverse()


def change_code(cells, dice):
    """Odd code within a cell, instead of it, or in a cell of its own."""
    code = dice.choice(ODD_CODE)
    if dice.random() < 0.05:
        code = code * (1_000_000 // len(code))
    answers = [cell for cell in cells if cell["cell_type"] == "code"]
    action = dice.choice(("within", "instead", "own", "before", "letters"))
    if action == "own" or not answers:
        cells.insert(
            dice.randrange(len(cells) + 1),
            {"cell_type": "code", "source": code, "metadata": {}, "outputs": []},
        )
        return
    cell = dice.choice(answers)
    source = "".join(cell["source"])
    if action == "within":
        place = dice.randrange(len(source) + 1)
        source = source[:place] + code + source[place:]
    elif action == "letters":
        letters = list(source)
        for _ in range(dice.randint(1, 9)):
            letters.insert(
                dice.randrange(len(letters) + 1), dice.choice("(){}[]:;,.=\n\t '\"\\#%!")
            )
        source = "".join(letters)
    else:
        source = code + source if action == "before" else code
    cell["source"] = source


def change_metadata(cells, dice):
    """Marks that are missing, somebody else's, or of another kind."""
    names = [cell["metadata"].get("nbgrader", {}) for cell in cells if cell["metadata"]]
    for cell in dice.sample(cells, min(len(cells), dice.randint(1, 30))):
        odd = copy.deepcopy(dice.choice(ODD_VALUES))
        cell["metadata"] = dice.choice(
            ({}, {"nbgrader": odd}, {"nbgrader": dice.choice(names or [{}])})
        )
        if dice.random() < 0.3:
            cell["id"] = copy.deepcopy(dice.choice(ODD_VALUES))


def change_json(data, dice):
    """An odd value somewhere."""
    for _ in range(dice.randint(1, 3)):
        place = dice.choice(list(places_in(data)))
        holder, key = place
        holder[key] = copy.deepcopy(dice.choice(ODD_VALUES))


def places_in(data):
    """Every (holder, key) of nested lists and dicts, few of long ones."""
    pairs = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(pairs)[:200]:
        yield data, key
        if isinstance(value, (dict, list)):
            yield from places_in(value)


def change_bytes(content, dice):
    """Bytes flipped, gone, doubled, or the end cut off."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 6)):
        place = dice.randrange(len(data) or 1)
        action = dice.randrange(5)
        if action == 0 and data:
            data[place] = dice.randrange(256)
        elif action == 1:
            del data[place : place + dice.randint(1, 200)]
        elif action == 2:
            data[place:place] = data[place : place + dice.randint(1, 2000)]
        elif action == 3:
            data[place:place] = dice.choice(
                (b"[" * 2000, b"9" * 6000, b"\n" * 9999, b"[],", b"\xff")
            )
        elif dice.random() < 0.2:
            del data[place:]
    return bytes(data)


def read(content: bytes, masters) -> None:
    """Reads one submission; raises AssertionError where more is done or kept than it deserves."""
    calls, parsed = [0], [0]

    def count(frame, event, argument):
        calls[0] += event in ("call", "c_call")
        if event == "call" and frame.f_code is ast.parse.__code__:
            parsed[0] += len(frame.f_locals["source"])

    sys.setprofile(count)
    try:
        _, exercises = submissions.read_exercises(content, masters)
    except submissions.BadSubmission as reason:
        exercises = []
        assert 5 < len(str(reason)) < 300
    finally:
        sys.setprofile(None)
    assert calls[0] <= CALLS + CALLS_PER_CHARACTER * len(content), calls[0]
    assert parsed[0] <= PARSED + PARSED_PER_CHARACTER * len(content), parsed[0]
    for exercise in exercises:
        assert len(exercise.variants) <= 2 * submissions.MOST_ANSWERS
        size = sum(len(source) for cells in exercise.variants for source in cells)
        assert size <= 8 * (len(content) + 100_000), size
        assert exercise.variants or exercise.problem or exercise.is_untouched
        assert all(len(note) < 1000 for note in exercise.notes)


# ---------------------------------------------------------------------------- results


@lru_cache
def right_outcomes(module, name):
    """What the right answer sends."""
    check = all_checks()[module][name]
    return transfer.encode(call_on_probes(check.reference, check.probes, SEED))


def result(dice: random.Random, module: str, name: str) -> bytes:
    """What some answer sends: a right one's results, changed."""
    content = right_outcomes(module, name)
    if dice.random() < 0.25:
        return change_bytes(content, dice)
    outcomes = transfer.decode(content)
    if dice.random() < 0.5:
        change_outcomes(outcomes, dice)
        return transfer.encode(outcomes)
    length = int.from_bytes(content[:4])
    header, data = json.loads(content[4 : 4 + length]), content[4 + length :]
    change_json(header, dice)
    header = json.dumps(header).encode()
    return len(header).to_bytes(4) + header + data


def change_outcomes(outcomes, dice):
    """Values that a function can return."""
    outcome = dice.choice(outcomes)
    odd = dice.choice(
        (
            10**400, -(10**400), float("nan"), float("inf"), 1j, "x" * 10**5, [[]] * 5000, {}, (),
            {float("nan"): 1}, {"x" * 10**5: 2}, {1: 2, "1": 3}, object(), torch.zeros(0),
            torch.zeros(10**6), torch.full((3, 4), float("nan")), torch.zeros(2, 2).bool(),
            torch.zeros(2, dtype=torch.complex64), np.zeros((1,) * 30), np.array("text"),
            np.uint64(2**64 - 1), torch.tensor(3.0), torch.zeros(2, 3).to_sparse(), range(9), b"x",
            np.datetime64("2020-01-01"), torch.zeros(2, device="meta"), lambda: 3, int, Ellipsis,
        )
    )  # fmt: skip
    text = dice.choice(("{9}", "{", "}{", "\x1b[31m", "<b>", "x" * 10**5, "{0!r:>99999}", "\ud800"))
    action = dice.randrange(5)
    if action == 0:
        outcome.value = odd
    elif action == 1 and isinstance(outcome.value, (tuple, list)) and outcome.value:
        items = list(outcome.value)
        items[dice.randrange(len(items))] = odd
        outcome.value = tuple(items)
    elif action == 2:
        outcome.raised = Raised(text, text, text, dice.choice((0, 3, 10**5)), text)
    elif action == 3:
        outcome.changed = text
    else:
        del outcomes[dice.randrange(len(outcomes)) :]


def judge_result(content: bytes, module: str, name: str) -> None:
    """Judges one result; raises AssertionError if that says more than it may."""
    exercise = submissions.Exercise(name, [["pass"]])
    ending = forked.Ending(forked.ANSWERED, content)
    task = Task("ada", "x.ipynb", seed=SEED, partial=True)
    verdict = judge(all_checks()[module][name], exercise, [ending], task)
    assert isinstance(verdict, Verdict) and len(verdict.message) < 4000
    assert verdict.kind != "passed" or content == right_outcomes(module, name) or is_right(content)
    assert verdict.kind == "passed" or 0 <= verdict.points < verdict.out_of
    json.dumps(verdict.__dict__)


def is_right(content):
    """Whether changed results still hold what is asked for: then points are deserved."""
    return all(outcome.raised is None for outcome in transfer.decode(content))


# ---------------------------------------------------------------------------- all of it


def try_case(number: int, seed: int) -> None:
    """One case, the same for the same numbers."""
    dice = random.Random(f"{seed} {number}")
    if number % 3:
        read(submission(dice), masters())
    else:
        check = dice.choice(CHECKS)
        judge_result(result(dice, *check), *check)


@lru_cache
def masters():
    return submissions.read_masters()


def try_all(numbers, seed: int) -> bytes:
    """The first failure, or nothing."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for number in numbers:
        try:
            try_case(number, seed)
        except BaseException:
            return f"case {number} with seed {seed}:\n{traceback.format_exc()}".encode()
    return b""


def run(numbers, seed: int) -> str:
    """What went wrong, or "": tries the cases in a process with limits of its own."""
    bounds = forked.Bounds(cpu=10_000, clock=20_000, bytes=10**7, memory=MEMORY)
    ending = forked.run(lambda: try_all(numbers, seed), bounds)
    return ending.content.decode() if ending.how == forked.ANSWERED else ending.how


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of one case")
    options = parser.parse_args()
    numbers = range(options.cases) if options.only is None else [options.only]
    failure = run(numbers, options.seed)
    print(failure or f"{len(numbers)} cases, nothing broke")
    return bool(failure)


if __name__ == "__main__":
    sys.exit(main())
