"""The shipped record of the trial, and the command that makes it anew."""

import argparse
import json
from pathlib import Path

from course_utils import _network_files, pictures
from course_utils.classifiers import load
from course_utils.manifest import data_folder
from course_utils.trial.judging import (
    chosen_entries,
    judge_look_alikes,
    judge_robustness,
    judge_tanks,
)
from course_utils.trial.methods import PATCH, SAMPLES, STEPS, STRIDE


def test_scenes(count: int = 100) -> list[int]:
    """The numbers of tank-yard test scenes."""
    entries = pictures.load_set("tank_yard", "test").entries
    return sorted({entry.scene for entry in entries})[:count]


def load_record() -> dict:
    """The shipped record: {"look_alikes": ..., "robustness": ..., "tanks": ..., "settings": ...}.

    In each, scores[method][score] is a list with one number for each picture or scene.
    Raises DataError if the file is missing or damaged.
    """
    return _network_files.read_json(data_folder() / "trial" / "record.json")


def make_record() -> dict:
    """The whole trial: about ten minutes on one core."""
    classifier = load("look_alikes")
    return {
        "settings": {
            "command": "python -m course_utils.trial",
            "samples": SAMPLES, "steps": STEPS, "patch": PATCH, "stride": STRIDE,
        },
        "look_alikes": judge_look_alikes(classifier, chosen_entries(2)),
        "robustness": judge_robustness(classifier, chosen_entries(10)),
        "tanks": judge_tanks(test_scenes()),
    }  # fmt: skip


def main():
    """Makes the record and writes it."""
    parser = argparse.ArgumentParser("python -m course_utils.trial", description=main.__doc__)
    folder = data_folder() / "trial"
    parser.add_argument("--out", type=Path, default=folder / "record.json")
    out = parser.parse_args().out
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(make_record(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")
