"""Writes what the notebooks say about themselves into README.md and docs/teaching.md.

    python docs/chapters.py

Between `<!-- NAME -->` and `<!-- end of NAME -->` everything is made anew; a test compares.
"""

import re
import sys
import textwrap
import tomllib
from pathlib import Path

from course_utils.classroom.curriculum import DIFFICULTIES, Chapter, chapters
from course_utils.classroom.elsewhere import colab_link, repository

ROOT = Path(__file__).resolve().parents[1]
FILES = (ROOT / "README.md", ROOT / "docs" / "teaching.md")


FOUND = tomllib.loads((ROOT / "docs" / "chapters.toml").read_text(encoding="utf-8"))
"""What one finds out, by notebook."""


def totals(course: list[Chapter]) -> str:
    """A sentence with the course's size."""
    exercises = [exercise for chapter in course for exercise in chapter.exercises]
    counts = {d: sum(e.difficulty == d for e in exercises) for d in DIFFICULTIES}
    hours = round(sum(chapter.minutes for chapter in course) / 60)
    return (
        f"{len(course)} notebooks, about {hours} hours; {len(exercises)} exercises"
        f" ({', '.join(f'{count} {name}' for name, count in counts.items())}),"
        f" {sum(chapter.points for chapter in course)} points."
    )


def minutes_of(chapter: Chapter) -> str:
    """A chapter's minutes, such as "90", or "90 + 30" with those of its optional part."""
    optional = f" + {chapter.optional_minutes}" if chapter.optional_minutes else ""
    return f"{chapter.minutes}{optional}"


def table(course: list[Chapter], prefix: str) -> str:
    """A row for each chapter; `prefix` leads from the file to the folder of the notebooks."""
    rows = ["| | chapter | minutes | exercises | points |", "|--:|---|--:|--:|--:|"]
    for chapter in course:
        link = f"[{chapter.title}]({prefix}notebooks/{chapter.path.name})"
        minutes = minutes_of(chapter)
        cells = (chapter.number, link, minutes, len(chapter.exercises), chapter.points)
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


def overview(course: list[Chapter]) -> str:
    """A row for each chapter, with what one finds out, and a link to Colab once there is one."""
    address = repository()
    rows = ["| | | what you find out | minutes |", "|--:|---|---|--:|"]
    if address:
        rows = [rows[0] + " |", rows[1] + "---|"]
    for chapter in course:
        link = f"[{chapter.title}](notebooks/{chapter.path.name})"
        found = _found(chapter)
        row = f"| {chapter.number} | {link} | {found} | {minutes_of(chapter)} |"
        colab = f" [Colab]({colab_link(address, chapter.path.stem)}) |" if address else ""
        rows.append(row + colab)
    return "\n".join(rows)


def _found(chapter):
    name = chapter.path.stem.split("_", 1)[1]
    if name not in FOUND:
        raise SystemExit(f'docs/chapters.toml lacks a line: {name} = "what one finds out there"')
    return FOUND[name]


def needs(course: list[Chapter]) -> str:
    """Which notebooks need which, beyond those that everybody needs."""
    told = []
    for chapter in course:
        before = _notebooks_in(chapter.needs) - {1, 2}
        if before:
            told.append(f"{chapter.number} needs {_listed(sorted(before))}")
    text = f"Everybody needs notebooks 1 and 2. Beyond them, {'; '.join(told)}."
    return textwrap.fill(text, 116, break_long_words=False)


def _notebooks_in(text):
    """The numbers of notebooks that a text names: "notebooks 4 to 7", "notebook 3"."""
    numbers = set()
    for names in re.findall(r"\bnotebooks? (\d+(?:(?:, | and | to )\d+)*)", text):
        numbers |= {int(number) for number in re.findall(r"\d+", names)}
        for first, last in re.findall(r"(\d+) to (\d+)", names):
            numbers |= set(range(int(first), int(last) + 1))
    return numbers


def _listed(numbers):
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def details(course: list[Chapter]) -> str:
    """Objectives and exercises of each chapter, as sections."""
    return "\n\n".join(_details(chapter) for chapter in course)


def _details(chapter):
    objectives = "\n".join(f"- {objective}" for objective in chapter.objectives)
    rows = ["| exercise | function | | minutes | points |", "|---|---|---|--:|--:|"]
    rows += [
        f"| {e.title}{', optional' if e.is_optional else ''} | `{e.name}` | {e.difficulty}"
        f" | {e.minutes} | {e.points} |"
        for e in chapter.exercises
    ]
    return (
        f"### {chapter.number} · {chapter.title} ({minutes_of(chapter)} minutes)\n\n"
        f"Needs {chapter.needs} Afterwards learners can\n\n{objectives}\n\n" + "\n".join(rows)
    )


def filled(text: str, blocks: dict[str, str]) -> str:
    """A Markdown file with its blocks made anew; those that it doesn't have are left out."""
    for name, block in blocks.items():
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end of {name} -->)"
        text = re.sub(pattern, lambda m, b=block: m[1] + b + m[2], text, flags=re.DOTALL)
    return text


def made_anew() -> dict[Path, str]:
    """{file: what it should contain}."""
    course = chapters()
    made = {}
    for path in FILES:
        prefix = "" if path.parent == ROOT else "../"
        blocks = {
            "totals": totals(course),
            "overview": overview(course),
            "chapters": table(course, prefix),
            "details": details(course),
            "needs": needs(course),
        }
        made[path] = filled(path.read_text(encoding="utf-8"), blocks)
    return made


if __name__ == "__main__":
    for file, content in made_anew().items():
        file.write_text(content, encoding="utf-8")
        print(file.relative_to(ROOT), file=sys.stderr)
