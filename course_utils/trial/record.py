"""The shipped records of the trial, and the command that makes them anew."""

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from course_utils import _network_files, pictures
from course_utils.classifiers import load
from course_utils.errors import check_name
from course_utils.manifest import data_folder
from course_utils.trial.judging import (
    chosen_entries,
    chosen_portraits,
    judge_background,
    judge_contrast,
    judge_distractors,
    judge_look_alikes,
    judge_portraits,
    judge_robustness,
    judge_tanks,
    portraits_with_things,
    try_candidates,
)
from course_utils.trial.methods import (
    COALITIONS,
    EVERYTHING,
    RISE_MASKS,
    SAMPLED,
    SUPERPIXELS,
    check_names,
)
from course_utils.trial.settings import best, settings_for

NETWORKS = ("look_alikes", "look_alikes_seed1", "look_alikes_gap", "imagenet")
"""Each has a record of its own."""

RECORDS = (*NETWORKS, "sampled", "background")


def test_scenes(count: int = 40) -> list[int]:
    """The numbers of tank-yard test scenes."""
    entries = pictures.load_set("tank_yard", "test").entries
    return sorted({entry.scene for entry in entries})[:count]


def load_record(name: str = "look_alikes") -> dict:
    """A shipped record: {"settings": ..., "look_alikes": ..., "contrast": ..., ...}.

    name: one of NETWORKS, for the record of EVERYTHING on that network; or "sampled", of SAMPLED on
          the network look_alikes, for some of the same pictures; or "background", with a part for
          each of NETWORKS that has no scores of methods, see `judge_background`
    In each part, scores[method][score] is a list with one value for each picture or scene. Which
    parts there are depends on the pictures: see the functions judge_... that make them.

    Raises DataError if the file is missing or damaged, ValueError for an unknown name.
    """
    check_name("record", name, RECORDS)
    return _network_files.read_json(data_folder() / "trial" / f"{name}.json")


# ---------------------------------------------------------------------------- making them


def make_record(
    network: str = "look_alikes",
    names: Sequence[str] = tuple(EVERYTHING),
    parts: Sequence[str] = (),
) -> dict:
    """The trial of some methods and controls on one of NETWORKS: see `load_record`.

    parts: which parts to make, with what they need from the shipped record; all if none is named

    All methods take about 8 minutes of one core for look_alikes, which is judged by everything, one
    and a half for each of the smaller trials of its two siblings, and 12 for imagenet.

    Raises ValueError for unknown names of methods and parts.
    """
    check_names(names)
    makers = _makers(network, names)
    for part in parts:
        check_name("part", part, makers)
    first = next(iter(makers))
    judged = load_record(network)[first] if parts and first not in parts else {}
    made = {}
    for part in [part for part in makers if part in parts or not parts]:
        made[part] = makers[part](judged)
        judged = judged or made[part]
    return {"settings": _described(network), **made}


def _makers(network, names) -> dict[str, Callable[[dict], dict]]:
    """How each part of a record is made: {part: function of the first part, which some need}."""
    classifier = load(network)
    if network == "imagenet":
        eight, four = chosen_portraits(8), chosen_portraits(4)
        return {
            "portraits": lambda _: judge_portraits(classifier, eight, names),
            "contrast": lambda judged: judge_contrast(classifier, four, judged, names),
            "distractors": lambda judged: judge_distractors(eight, judged, names),
        }
    chosen = chosen_entries(2 if network == "look_alikes" else 10)
    few = chosen_entries(10)
    makers = {
        "look_alikes": lambda _: judge_look_alikes(classifier, chosen, names),
        "contrast": lambda judged: judge_contrast(classifier, few, judged, names),
    }
    if network == "look_alikes":
        makers["robustness"] = lambda _: judge_robustness(classifier, chosen_entries(20), names)
        makers["tanks"] = lambda _: judge_tanks(test_scenes(), names)
    return makers


def _described(network):
    settings = settings_for(network)
    return {
        "command": f"python -m course_utils.trial --network {network}",
        "samples": settings.samples,
        "chosen": settings.chosen,
    }


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


def make_background_record() -> dict:
    """How much NETWORKS care about what isn't the object: a minute or two on one core."""
    chosen = portraits_with_things()
    command = {"command": "python -m course_utils.trial --background"}
    return {"settings": command} | {name: judge_background(load(name), chosen) for name in NETWORKS}


def joined(record: dict, newer: dict) -> dict:
    """A record in which the methods of a newer one take the place of their older scores.

    The methods keep the order of EVERYTHING. Parts that the newer one lacks stay as they are.
    """
    whole = record | newer
    for part in newer.keys() - {"settings"}:
        found = record.get(part, {"scores": {}})["scores"] | newer[part]["scores"]
        ordered = {name: found[name] for name in EVERYTHING if name in found}
        whole[part] = newer[part] | {"scores": ordered}
    return whole


def make_choices(networks: Iterable[str] = (*NETWORKS, "tank_fair")) -> dict:
    """What `settings.load_choices` reads: all candidates on validation pictures, and the best.

    Takes about six minutes on one core, most of it for imagenet.
    """
    choices = {}
    for name in networks:
        chosen, label = validation_pictures(name)
        tried = try_candidates(load(name), chosen, label)
        names = [entry.name for entry in chosen.entries]
        choices[name] = {"chosen": best(tried), "tried": tried, "pictures": names}
    return choices


def validation_pictures(network: str):
    """Two validation pictures of each class of the set that a network is judged on, or 20 tanks.

    -> a PictureSet, and a label if all are asked for the same
    """
    if network == "tank_fair":
        yard = pictures.load_set("tank_yard", "validation").filter(label="tank", weather="sunny")
        return _spread(yard, 20), "tank"
    if network == "imagenet":
        return chosen_portraits(2, "validation"), ""
    known = pictures.load_set("look_alikes", "validation")
    return _spread(known, 2 * len(known.classes)), ""


def _spread(chosen, count):
    """`count` of the pictures, evenly spread."""
    kept = [chosen.entries[n * len(chosen) // count] for n in range(min(count, len(chosen)))]
    return pictures.PictureSet(chosen.name, chosen.classes, kept)


# ---------------------------------------------------------------------------- the command


def main():
    """Makes a record of the trial, or chooses its settings, and writes that."""
    parser = argparse.ArgumentParser("python -m course_utils.trial", description=main.__doc__)
    parser.add_argument("--out", type=Path, help="where to write it, if not where it ships")
    parser.add_argument("--network", choices=NETWORKS, default=NETWORKS[0])
    parser.add_argument("--sampled", action="store_true", help="the record of notebook 14")
    parser.add_argument("--background", action="store_true", help="what isn't the object")
    parser.add_argument("--settings", action="store_true", help="choose settings anew")
    parser.add_argument(
        "--part", action="append", default=[], help="only this part; all others stay as they are"
    )
    parser.add_argument(
        "names", nargs="*", metavar="METHOD", help="only these; all others keep their scores"
    )
    options = parser.parse_args()
    whole = {
        "settings": make_choices, "sampled": make_sampled_record,
        "background": make_background_record,
    }  # fmt: skip
    asked = [name for name in whole if getattr(options, name)]
    if asked and (len(asked) > 1 or options.names or options.part):
        parser.error(f"--{asked[0]} makes a whole file: leave out everything else.")
    if asked:
        [name] = asked
        content = whole[name]()
    elif options.names or options.part:
        name = options.network
        newer = make_record(name, options.names or tuple(EVERYTHING), options.part)
        content = joined(load_record(name), newer)
    else:
        name, content = options.network, make_record(options.network)
    file = options.out or data_folder() / "trial" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, separators=(",", ":")) + "\n"
    file.write_text(text, encoding="utf-8")
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")
