"""Trains the networks of the audit, and makes what goes with them.

Without arguments it trains all of them. What was planted is read from the sealed notes, which takes
half a minute of computing for each network.
"""

import argparse
import json
from pathlib import Path

from course_utils import audit

from . import makers, records
from .networks import RECIPES, train_audit
from .treatments import Plant


def main():
    parser = argparse.ArgumentParser("python -m data.training.audit", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument("--seed", type=int, help="instead of the recipe's own")
    parser.add_argument("--into", type=Path, default=makers.INTO, help="folder for the results")
    parser.add_argument("--seal", type=Path, help="first seal the plants of this JSON file anew")
    parser.add_argument("--sheets", action="store_true", help="write the makers' pictures anew")
    parser.add_argument("--record", action="store_true", help="measure what the notebook shows")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in RECIPES]
    if unknown:
        parser.error(f"there is no recipe {unknown[0]!r}; there are: {', '.join(RECIPES)}.")
    if arguments.seal:
        makers.seal_notes(_plants_of(arguments.seal), arguments.into)
    if arguments.sheets or arguments.record:
        plants = {letter: makers.plant(letter) for letter in audit.LETTERS}
        if arguments.sheets:
            for letter, plant in plants.items():
                makers.write_sheet(letter, plant, arguments.into)
        if arguments.record:
            records.write_record(plants, arguments.into)
    made = arguments.seal or arguments.sheets or arguments.record
    for name in arguments.names or ([] if made else RECIPES):
        print(train_audit(name, arguments.into, arguments.seed))


def _plants_of(file):
    """{letter: plant or None} of a JSON file whose entries have the fields of `Plant`."""
    entries = json.loads(file.read_text(encoding="utf-8"))
    return {letter: Plant(**entry) if entry else None for letter, entry in entries.items()}
