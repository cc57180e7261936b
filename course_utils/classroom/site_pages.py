"""The pages of the site that are no notebooks: its index, the data, the trial's table."""

import html
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from PIL import Image
from torch import Tensor

from course_utils import pictures, trial
from course_utils.classroom import ROOT
from course_utils.classroom.curriculum import Chapter
from course_utils.classroom.files import fill
from course_utils.figures import as_image

CHAPTER_PICTURES = Path("docs", "chapters")
"""One small picture for each notebook, called like it."""


def home(course: list[Chapter]) -> str:
    """The index, in Markdown: the beginning of README.md, and a card for each chapter."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = tomllib.loads((ROOT / "docs" / "chapters.toml").read_text(encoding="utf-8"))
    cards = [_card(chapter, found) for chapter in course]
    head = re.split(r"^<!-- overview -->|^## ", readme, maxsplit=1, flags=re.MULTILINE)[0]
    return fill("site/index.md", head=head.strip(), cards=cards)


def _card(chapter, found):
    name = chapter.path.stem
    picture = CHAPTER_PICTURES / f"{name}.jpg"
    return {
        "name": name,
        "title": html.escape(f"{chapter.number} · {chapter.title}"),
        "found": html.escape(found.get(name.split("_", 1)[1], "")),
        "minutes": chapter.minutes,
        "exercises": len(chapter.exercises),
        "picture": picture.as_posix() if (ROOT / picture).exists() else "",
    }


# ---------------------------------------------------------------------------- the data


@dataclass(frozen=True)
class Pair:
    """Two renders of a scene that differ in one thing."""

    name: str
    before: Callable[[], Tensor]
    """Gives the picture (3, H, W) at the left of the slider; `after` the one at the right."""
    after: Callable[[], Tensor]
    title: str
    left: str
    """What the left picture shows; `right` says it of the right one."""
    right: str


def _without_key(label, scene, title, left, right):
    entry = pictures.find_entry(f"look_alikes/test/{label}/{scene}")
    return Pair(
        f"{label}_{scene}",
        lambda: pictures.load_picture(entry),
        lambda: pictures.load_counterfactual(entry),
        title,
        left,
        right,
    )


def _yard(scene, before, after, title, left, right):
    return Pair(
        f"yard_{scene}_{'_'.join(after)}",
        lambda: pictures.two_by_two(scene)[before],
        lambda: pictures.two_by_two(scene)[after],
        title,
        left,
        right,
    )


def _portrait(label, scene, variant, title, left, right):
    entry = pictures.find_entry(f"portraits/test/{label}/{scene}")
    return Pair(
        f"{label}_{scene}_{variant}",
        lambda: pictures.load_picture(entry),
        lambda: pictures.load_variants(entry)[variant],
        title,
        left,
        right,
    )


def pairs() -> list[Pair]:
    """The pairs that the page shows, in its order."""
    tank, no_tank = ("tank", "sunny"), ("no_tank", "sunny")
    return [
        _yard(20004, tank, no_tank, "The tank", "a meadow with a tank", "the meadow without it"),
        _yard(
            20003, tank, ("tank", "overcast"), "The weather", "a tank in the sun", "under clouds"
        ),
        _without_key("volleyball", 20003, "Seams", "a volleyball", "the ball without seams"),
        _without_key("pineapple", 20005, "The crown", "a pineapple", "the fruit without its crown"),
        _without_key("submarine", 20010, "The sail", "a submarine", "the boat without its sail"),
        _without_key("grey_whale", 20003, "The fluke", "a whale", "the whale without its fluke"),
        _without_key("zebra", 20001, "Stripes", "a zebra", "the zebra without stripes"),
        _without_key("elephant", 20008, "The trunk", "an elephant", "the elephant without a trunk"),
        _portrait(
            "zebra", 40000, "without_mane", "A portrait's mane", "a zebra", "it without its mane"
        ),
        _portrait(
            "submarine", 40000, "elsewhere", "A portrait's place", "a submarine", "it elsewhere"
        ),
    ]


def data_page(folder: Path) -> str:
    """data/README.md with the pairs below its first paragraph; their pictures go into `folder`."""
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    title, paragraph, rest = text.split("\n\n", maxsplit=2)
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for pair in pairs():
        left, right = pair.before(), pair.after()
        for side, picture in (("left", left), ("right", right)):
            image = Image.fromarray((as_image(picture) * 255).round().astype("uint8"))
            image.save(folder / f"{pair.name}_{side}.jpg", quality=95, subsampling=0)
        shown.append({"pair": pair, "size": left.shape[-1]})
    return "\n\n".join([title, paragraph, fill("site/pairs.md", shown=shown), rest])


# ---------------------------------------------------------------------------- the trial

COLUMNS = {
    "peak": (
        "look_alikes",
        "pointing",
        "how often the highest pixel lies on the object: the pointing game.",
    ),
    "share": ("look_alikes", "mass", "the share of the map that lies on the object."),
    "rank": (
        "look_alikes",
        "rank",
        "of the K highest pixels, the share that lies on an object of K pixels.",
    ),
    "truth": (
        "tanks",
        "agreement",
        "rank correlation of a tank network's map with what changes when a patch is taken from the"
        " picture without the tank.",
    ),
    "deletion": (
        "robustness",
        "deletion",
        "the probability that is left while the highest pixels are blurred first. Low is good.",
    ),
    "insertion": ("robustness", "insertion", "the same while they are brought back."),
    "noise": (
        "robustness",
        "after noise",
        "likeness to the map of the picture with a little noise.",
    ),
    "shift": ("robustness", "after a shift", "likeness to its map when it has moved by a pixel."),
}
"""{title: (part of the record, score, what it says)}."""


def trial_page() -> str:
    """The means of the trial's record, as a page with a table."""
    record = trial.load_record()
    rows = []
    for name in trial.EVERYTHING:
        values = [
            f"{mean(record[part]['scores'][name][score]):.2f}"
            for part, score, _ in COLUMNS.values()
        ]
        rows.append({"name": name, "is_control": name in trial.CONTROLS, "values": values})
    counts = {
        "objects": len(record["look_alikes"]["pictures"]),
        "tanks": len(record["tanks"]["scenes"]),
        "robust": len(record["robustness"]["pictures"]),
    }
    return fill("site/trial.md", rows=rows, columns=COLUMNS, counts=counts)
