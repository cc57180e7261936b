"""The pages of the site that are no notebooks: its index, the data, the trial's table."""

import html
import re
import tomllib
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


@dataclass(frozen=True, eq=False)
class Pair:
    """Two renders of a scene that differ in one thing."""

    name: str
    left: Tensor
    """(3, H, W) in [0, 1]; so is the right one."""
    right: Tensor
    title: str
    shows_left: str
    """What the left picture shows; `shows_right` says it of the right one."""
    shows_right: str


def _yard(scene, after, *texts):
    four = pictures.two_by_two(scene)
    return Pair(f"yard_{'_'.join(after)}", four["tank", "sunny"], four[after], *texts)


def _without_key(label, scene, *texts):
    entry = pictures.find_entry(f"look_alikes/test/{label}/{scene}")
    without = pictures.load_counterfactual(entry)
    return Pair(f"look_alikes_{label}", pictures.load_picture(entry), without, *texts)


def _portrait(label, variant, *texts):
    entry = pictures.find_entry(f"portraits/test/{label}/40000")
    other = pictures.load_variants(entry)[variant]
    return Pair(f"portrait_{label}_{variant}", pictures.load_picture(entry), other, *texts)


def pairs() -> list[Pair]:
    """The pairs that the page shows, in its order."""
    return [
        _yard(20004, ("no_tank", "sunny"), "The tank", "a meadow with a tank", "without it"),
        _yard(20003, ("tank", "overcast"), "The weather", "a tank in the sun", "under clouds"),
        _without_key("volleyball", 20003, "Seams", "a volleyball", "the ball without seams"),
        _without_key("pineapple", 20005, "The crown", "a pineapple", "it without its crown"),
        _without_key("submarine", 20010, "The sail", "a submarine", "it without its sail"),
        _without_key("grey_whale", 20003, "The fluke", "a grey whale", "it without its fluke"),
        _without_key("zebra", 20001, "Stripes", "a zebra", "it without stripes"),
        _without_key("elephant", 20008, "The trunk", "an elephant", "it without its trunk"),
        _portrait("zebra", "without_mane", "The mane", "a zebra's portrait", "without its mane"),
        _portrait("submarine", "elsewhere", "The place", "a submarine's portrait", "elsewhere"),
    ]


def data_page(folder: Path) -> str:
    """data/README.md with the pairs below its first paragraph; their pictures go into `folder`."""
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    title, paragraph, rest = text.split("\n\n", maxsplit=2)
    folder.mkdir(parents=True, exist_ok=True)
    shown = pairs()
    for pair in shown:
        for side, picture in (("left", pair.left), ("right", pair.right)):
            image = Image.fromarray((as_image(picture) * 255).round().astype("uint8"))
            image.save(folder / f"{pair.name}_{side}.jpg", quality=95, subsampling=0)
    return "\n\n".join([title, paragraph, fill("site/pairs.md", shown=shown), rest])


# ---------------------------------------------------------------------------- the trial

COLUMNS = {
    "share": ("look_alikes", "look_alikes", "mass"),
    "rank": ("look_alikes", "look_alikes", "rank"),
    "parts": ("imagenet", "portraits", "agreement"),
    "contrast": ("look_alikes", "contrast", "contrast"),
    "deletion": ("look_alikes", "robustness", "deletion"),
    "insertion": ("look_alikes", "robustness", "insertion"),
    "noise": ("look_alikes", "robustness", "after noise"),
    "shift": ("look_alikes", "robustness", "after a shift"),
}
"""{title: (record, its part, score)}."""


def trial_page() -> str:
    """The means of the trial's records, as a page with a table."""
    records = {name: trial.load_record(name) for name in ("look_alikes", "imagenet")}
    rows = []
    for name in trial.EVERYTHING:
        scores = [records[r][part]["scores"][name][score] for r, part, score in COLUMNS.values()]
        values = [f"{round(mean(each), 2) + 0:.2f}" for each in scores]  # + 0: never "-0.00"
        rows.append({"name": name, "is_control": name in trial.CONTROLS, "values": values})
    counts = {
        title: len(records[record][part]["pictures"])
        for title, (record, part, _) in COLUMNS.items()
    }
    return fill("site/trial.md", rows=rows, columns=COLUMNS, counts=counts)
