"""What notebooks say about themselves, the overviews made of it, and the archive for learners."""

import posixpath
import re
import runpy
import subprocess
import zipfile

import nbformat
import pytest

from course_utils.classroom import ROOT, UsageError, archive, find_notebooks
from course_utils.classroom.command import main
from course_utils.classroom.copies import release
from course_utils.classroom.curriculum import chapters, read_chapter

HEAD = """# 7 · Echoes

*About 30 minutes. Every cell runs on a laptop.*

Afterwards you can

- hear `one`;
- count it.

**You need** ears.
"""
TASK = "### Exercise 1 · Listen &nbsp; (hard, 10 minutes)"


def notebook_file(folder, head=HEAD, task=TASK):
    check = {"grade": True, "grade_id": "check_listen", "points": 3, "solution": False}
    cells = [nbformat.v4.new_markdown_cell(head), nbformat.v4.new_markdown_cell(task)]
    cells.append(nbformat.v4.new_code_cell("check", metadata={"nbgrader": check}))
    path = folder / "07_echoes.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_chapter_is_read(tmp_path):
    chapter = read_chapter(notebook_file(tmp_path))
    assert (chapter.number, chapter.title, chapter.minutes) == (7, "Echoes", 30)
    assert chapter.objectives == ("hear `one`", "count it") and chapter.needs == "ears."
    (exercise,) = chapter.exercises
    assert (exercise.title, exercise.name, exercise.difficulty) == ("Listen", "listen", "hard")
    assert exercise.minutes == 10 and chapter.points == 3
    assert chapter.optional_minutes == 0 and not exercise.is_optional


def test_the_optional_part_is_told_apart(tmp_path):
    told = "minutes. The optional part at the end takes 15 minutes more."
    head = HEAD.replace("minutes.", told, 1)
    chapter = read_chapter(notebook_file(tmp_path, head, f"## Optional: echoes\n\n{TASK}"))
    assert (chapter.minutes, chapter.optional_minutes) == (30, 15)
    assert [exercise.is_optional for exercise in chapter.exercises] == [True]
    shown = runpy.run_path(str(ROOT / "docs" / "chapters.py"))
    assert "| 30 + 15 | 1 | 3 |" in shown["table"]([chapter], "")
    assert "| Listen, optional | `listen` | hard | 10 | 3 |" in shown["details"]([chapter])


@pytest.mark.parametrize(
    "head, task, told",
    [
        ("# Echoes", TASK, "lacks a title"),
        (HEAD.replace("About", "Nearly"), TASK, "About 90 minutes"),
        (HEAD.replace("**You need**", "You need"), TASK, "You need"),
        (HEAD, "### Exercise 1 · Listen (hard)", "has 1 checks but 0 headings"),
    ],
)
def test_what_a_chapter_leaves_out_is_named(tmp_path, head, task, told):
    with pytest.raises(ValueError, match="07_echoes.ipynb") as error:
        read_chapter(notebook_file(tmp_path, head, task))
    assert told in str(error.value)


def test_every_chapter_says_what_it_teaches_and_takes():
    for chapter in chapters():
        assert len(chapter.objectives) >= 2, chapter.path.name
        required = [e.minutes for e in chapter.exercises if not e.is_optional]
        optional = [e.minutes for e in chapter.exercises if e.is_optional]
        assert chapter.minutes >= sum(required)
        assert chapter.optional_minutes >= sum(optional)


def test_the_overviews_are_up_to_date():
    """`python docs/chapters.py` makes them anew."""
    made = runpy.run_path(str(ROOT / "docs" / "chapters.py"))["made_anew"]()
    assert len(made) == 2
    for path, content in made.items():
        assert "| 1 | [The tank legend](" in content
        assert path.read_text(encoding="utf-8") == content, path.name


# ---------------------------------------------------------------------------- the archive


@pytest.fixture(scope="module")
def contents():
    """{name: content} of the archive's files."""
    return dict(archive.members())


def test_the_archive_holds_notebooks_without_answers_and_no_tests(contents):
    names, released = set(), {}
    for name, content in contents.items():
        names.add(str(name))
        if name.suffix == ".ipynb":
            released[name.stem] = nbformat.reads(content.decode(), as_version=4)
    assert {"README.md", "Makefile", "data/manifest.csv", "course_utils/cam.py"} <= names
    assert not [n for n in names if n.startswith(("tests/", "data/training/", ".ci/"))]
    assert set(released) == {path.stem for path in find_notebooks()}
    for path in find_notebooks():
        master = nbformat.read(path, as_version=4)
        again = release(released[path.stem])  # by `make learn`, from the archive
        assert [c.source for c in again.cells] == [c.source for c in release(master).cells]
        answers = [c.source for c in master.cells if c.metadata.get("nbgrader", {}).get("solution")]
        sources = {cell.source for cell in released[path.stem].cells}
        assert answers and not sources & set(answers)


def prose_of(name, content):
    """What a file of the archive tells a reader, in Markdown; templates are none."""
    if name.suffix == ".ipynb":
        cells = nbformat.reads(content.decode(), as_version=4).cells
        return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    is_page = name.suffix == ".md" and name.parts[0] != "course_utils"
    return content.decode() if is_page else ""


def test_every_link_in_the_archive_leads_to_a_file_in_it(contents):
    known = {str(name) for name in contents} | {str(p) for name in contents for p in name.parents}
    links = [
        (name, target)
        for name, content in contents.items()
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", prose_of(name, content))
    ]
    assert len(links) > 20
    for name, target in links:
        assert posixpath.normpath(posixpath.join(name.parent, target)) in known, (name, target)


def test_the_archives_readme_is_for_learners(contents):
    texts = {str(name): text.decode() for name, text in contents.items() if name.suffix == ".md"}
    readme = texts["README.md"]
    assert "make learn" in readme and "notebooks/04_occlusion.ipynb" in readme
    assert "make test" not in readme and "course grade" not in readme and "<!--" not in readme
    assert "[Installing](docs/installing.md)" in readme
    assert (
        "Teaching" in texts["docs/questions.md"] and "teaching.md" not in texts["docs/questions.md"]
    )


def small_course(folder):
    folder.mkdir()
    (folder / "LICENSE").write_text("free")
    (folder / "draft.txt").write_text("not of the course")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "add", "LICENSE"], check=True)
    return folder


def test_the_archive_takes_what_git_knows_and_is_always_the_same(tmp_path):
    root = small_course(tmp_path / "course")
    files = [tmp_path / "out" / name for name in ("one.zip", "two.zip")]
    assert [archive.write_archive(file, root) for file in files] == [1, 1]
    with zipfile.ZipFile(files[0]) as made:
        assert made.namelist() == ["what-does-the-network-see/LICENSE"]
        assert made.read(made.namelist()[0]) == b"free"
    assert files[0].read_bytes() == files[1].read_bytes()


def test_no_repository_and_no_folder_are_told(tmp_path, capsys):
    with pytest.raises(UsageError, match="is no git repository"):
        archive.write_archive(tmp_path / "course.zip", tmp_path)
    (tmp_path / "file").write_text("")
    assert main(["release", str(tmp_path / "file" / "course.zip")]) == 2
    assert "Nothing can be written into" in capsys.readouterr().err
