"""The shipped record of the trial, and the command that makes it anew."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from course_utils import _network_files, pictures
from course_utils.classifiers import load
from course_utils.errors import check_name
from course_utils.manifest import data_folder
from course_utils.trial.judging import (
    chosen_entries,
    judge_look_alikes,
    judge_robustness,
    judge_tanks,
)
from course_utils.trial.methods import (
    COALITIONS,
    EVERYTHING,
    PATCH,
    RISE_MASKS,
    SAMPLED,
    SAMPLES,
    STEPS,
    STRIDE,
    SUPERPIXELS,
    check_names,
)


def test_scenes(count: int = 100) -> list[int]:
    """The numbers of tank-yard test scenes."""
    entries = pictures.load_set("tank_yard", "test").entries
    return sorted({entry.scene for entry in entries})[:count]


RECORDS = ("record", "sampled")


def load_record(name: str = "record") -> dict:
    """A shipped record: {"look_alikes": ..., "robustness": ..., "tanks": ..., "settings": ...}.

    name: "record", of EVERYTHING, or "sampled", of SAMPLED, for some of the same pictures
    In each part, scores[method][score] is a list with one number for each picture or scene.
    Raises DataError if the file is missing or damaged, ValueError for an unknown name.
    """
    check_name("record", name, RECORDS)
    return _network_files.read_json(data_folder() / "trial" / f"{name}.json")


def make_record(names: Sequence[str] = tuple(EVERYTHING)) -> dict:
    """The whole trial of some methods and controls: all take about ten minutes on one core."""
    check_names(names)
    classifier = load("look_alikes")
    return {
        "settings": {
            "command": "python -m course_utils.trial",
            "samples": SAMPLES, "steps": STEPS, "patch": PATCH, "stride": STRIDE,
        },
        "look_alikes": judge_look_alikes(classifier, chosen_entries(2), names),
        "robustness": judge_robustness(classifier, chosen_entries(10), names),
        "tanks": judge_tanks(test_scenes(), names),
    }  # fmt: skip


def make_sampled_record() -> dict:
    """The trial of SAMPLED, whose maps are slow: about ten minutes on one core.

    Its pictures and scenes are some of those of the record of EVERYTHING. There is no part about
    robustness, which would take as long again.
    """
    classifier = load("look_alikes")
    names = tuple(SAMPLED)
    return {
        "settings": {
            "command": "python -m course_utils.trial --sampled",
            "superpixels": SUPERPIXELS, "coalitions": COALITIONS, "masks": RISE_MASKS,
        },
        "look_alikes": judge_look_alikes(classifier, chosen_entries(10), names),
        "tanks": judge_tanks(test_scenes(16), names),
    }  # fmt: skip


def joined(record: dict, newer: dict) -> dict:
    """A record in which the methods of a newer one take the place of their older scores.

    The methods keep the order of EVERYTHING.
    """
    parts = {}
    for part in ("look_alikes", "robustness", "tanks"):
        found = record[part]["scores"] | newer[part]["scores"]
        ordered = {name: found[name] for name in EVERYTHING if name in found}
        parts[part] = newer[part] | {"scores": ordered}
    return {"settings": newer["settings"], **parts}


def main():
    """Makes the record and writes it."""
    parser = argparse.ArgumentParser("python -m course_utils.trial", description=main.__doc__)
    folder = data_folder() / "trial"
    parser.add_argument("--out", type=Path, help="where to write it, if not where it ships")
    parser.add_argument("--sampled", action="store_true", help="the record of notebook 14")
    parser.add_argument(
        "names", nargs="*", metavar="METHOD", help="only these; all others keep their scores"
    )
    options = parser.parse_args()
    if options.sampled and options.names:
        parser.error("--sampled takes all of its methods: leave out the names.")
    if options.sampled:
        record = make_sampled_record()
    elif options.names:
        record = joined(load_record(), make_record(options.names))
    else:
        record = make_record()
    file = options.out or folder / ("sampled.json" if options.sampled else "record.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, separators=(",", ":")) + "\n"
    file.write_text(text, encoding="utf-8")
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
