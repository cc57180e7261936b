"""The house itself: pins, imports, layering and the files that the README promises."""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import course_utils

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "course_utils"


def modules_after(statement):
    """The modules that a fresh Python has loaded after `statement`."""
    command = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return set(result.stdout.split())


# ---------------------------------------------------------------------------- pins


def pins():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_requirements_are_exact_and_for_any_machine():
    assert len(pins()) > 50
    for pin in pins():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*(; .+)?", pin), pin
        assert "+cpu" not in pin


def test_environment_has_the_same_pins():
    text = (ROOT / "environment.yml").read_text()
    listed = re.findall(r"^      - (.+)$", text, flags=re.MULTILINE)
    packages = [line.strip("'") for line in listed if not line.startswith("--")]
    assert packages == pins()
    assert listed[-1] == "--editable .", "Binder must find course_utils from every folder"


def test_environment_is_valid_yaml():
    yaml = pytest.importorskip("yaml")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, pinned = environment["dependencies"]
    assert python.startswith("python=3.") and pip == "pip"
    assert len(pinned["pip"]) == len(pins()) + 2


def test_the_oldest_python_is_the_one_that_all_pins_take():
    """Debian 12 has 3.11.2, and one package that asks for 3.11.5 would keep it out."""
    specifiers = pytest.importorskip("packaging.specifiers")
    makefile = (ROOT / "Makefile").read_text()
    (floor,) = re.findall(r"sys.version_info < \(([\d, ]+)\)", makefile)
    oldest = floor.replace(", ", ".")
    for pin in pins():
        if ";" not in pin:
            asked = importlib.metadata.metadata(pin.split("==")[0]).get("Requires-Python") or ""
            assert specifiers.SpecifierSet(asked).contains(oldest), f"{pin} needs Python {asked}"
    for name in ("README.md", "docs/installing.md", "course_utils/classroom/templates/archive.md"):
        assert f"Python {oldest} or newer" in (ROOT / name).read_text(encoding="utf-8"), name


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["render"] + extras["dev"]
    pinned = {pin.split("==")[0] for pin in pins()}
    for requirement in wanted:
        assert re.split(r"[>=<!]", requirement)[0] in pinned, requirement


def test_the_pins_lie_in_the_ranges():
    requirements = pytest.importorskip("packaging.requirements")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version_of = dict(pin.split(";")[0].split("==") for pin in pins())
    extras = project["optional-dependencies"]
    for text in project["dependencies"] + extras["render"] + extras["dev"]:
        requirement = requirements.Requirement(text)
        assert requirement.specifier.contains(version_of[requirement.name]), text


# ---------------------------------------------------------------------------- imports


def test_importing_the_package_loads_no_library():
    added = modules_after("import course_utils") - modules_after("pass")
    foreign = {name for name in added if name.split(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"course_utils", "course_utils._memory"}


def test_what_every_notebook_imports_stays_light():
    """Below 0.2 s beyond torch: nothing heavy but torch, NumPy and Pillow may come along."""
    loaded = modules_after("from course_utils import classifiers, parts, pictures")
    heavy = {"torchvision", "matplotlib", "scipy", "skimage", "IPython", "ipywidgets", "captum"}
    heavy |= {"mitsuba", "pandas", "papermill"}
    assert not heavy & loaded


def test_the_command_is_quick_to_ask_for_help():
    loaded = modules_after("import course_utils.classroom.command")
    assert not {"torch", "numpy", "papermill", "nbconvert"} & loaded


def test_reading_a_notebook_builds_no_grammar_of_addresses():
    loaded = modules_after("import course_utils.classroom.export, nbformat")
    assert "jsonschema" in loaded and "lark" not in loaded


def imports_of(file):
    """The names of the modules that a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_torchvision_is_imported_only_through_the_shim(file):
    """Beside a CPU-only torch a plain `import torchvision` fails, see `_torchvision.py`."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("torchvision") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not (node.module or "").startswith("torchvision")


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.stem)
def test_the_package_needs_neither_rendering_nor_training(file):
    for name in imports_of(file):
        assert not name.startswith(("data.", "mitsuba", "trimesh")), name


# ---------------------------------------------------------------------------- files and commands


DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
    ROOT / "benchmarks" / "README.md",
]


def code_in(document):
    """The lines of a document that are code: its blocks, and what stands in backticks."""
    text = document.read_text(encoding="utf-8")
    if document.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
    blocks = re.findall(r"^(?: {4}|\t)(.+)$", text, re.MULTILINE)
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"(?<!`)`([^`]+)`(?!`)", text)
    return [*blocks, *"\n".join(fenced).splitlines(), *(" ".join(i.split()) for i in inline)]


def test_every_target_of_make_that_is_named_exists():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    assert {"help", "run", "test", "learn", "lint", "format", "data", "train", "clean"} <= targets
    for document in DOCUMENTS:
        for line in code_in(document):
            named = set(re.findall(r"(?:^|[\s`])make ([a-z]+)\b", line))
            assert named <= targets, f"{document.name}: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_document_exists_and_knows_its_options(document):
    from course_utils.classroom.command import _parser

    choices = next(a.choices for a in _parser()._actions if isinstance(a.choices, dict))
    for line in code_in(document):
        for name, rest in re.findall(
            r"(?:^|[\s/\\])course ([a-z]+)\b([^#&|]*)", line.split(" #")[0]
        ):
            assert name in choices, f"course {name}, in: {line}"
            known = choices[name]._option_string_actions
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest):
                assert option in known, f"course {name} {option}, in: {line}"
        for module in re.findall(r"\bpython -m ((?:course_utils|data|benchmarks)[\w.]*)", line):
            file = ROOT / module.replace(".", "/")
            is_there = file.with_suffix(".py").exists() or (file / "__main__.py").exists()
            assert is_there, f"python -m {module}, in: {line}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_path_in_a_document_is_there(document):
    """Paths that begin with a folder of the repository; NAME and <name> stand for others."""
    begins = r"(?:notebooks|course_utils|data|docs|tests|benchmarks|\.github|\.devcontainer|\.ci)"
    for line in code_in(document):
        for path in re.findall(rf"(?<![\w./~-])({begins}/[^\s`'\"),;:]*)", line):
            if re.search(r"[A-Z]{2}|[<{{*%]", path.replace("README", "")):
                continue
            assert (ROOT / path).exists(), f"{path}, in: {line}"


def test_links_in_the_documents_lead_somewhere():
    for document in DOCUMENTS:
        if document.suffix == ".ipynb":
            continue  # see test_notebooks
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if not target.startswith("http"):
                found = document.parent / target
                assert found.exists(), f"{document.name} links to {target}"


def test_make_installs_settings_that_exist():
    (name,) = re.findall(r"cp \$\(JUPYTER\)/(\S+) ", (ROOT / "Makefile").read_text())
    assert (PACKAGE / "classroom" / "jupyterlab" / name).is_file()


def test_the_files_for_other_platforms_can_be_read():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert "make .venv/.ready" in container["postCreateCommand"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step][1:] == [".ci/run", "make run"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == course_utils.__version__
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def make(*arguments):
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)


def test_make_alone_lists_what_it_can_do():
    result = make()
    assert result.returncode == 0
    assert "make run" in result.stdout and "make clean" in result.stdout
    assert "|" not in result.stdout


def test_an_old_python_is_refused_in_one_sentence(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    result = make("run", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert result.returncode != 0
    assert f"needs Python 3.11 or newer, but {old} is Python 3.9.2" in result.stdout
    assert "make PYTHON=python3.12 run" in result.stdout
    assert not (tmp_path / "venv").exists()


def test_the_ci_script_can_be_run():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", script], check=True)


def test_what_the_package_imports_is_declared():
    """Every third-party module that any file of the package imports belongs to a dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = project["dependencies"] + project["optional-dependencies"]["grade"]
    names = {re.split(r"[<>=!~ ;\[]", line)[0].lower().replace("-", "_") for line in declared}
    called = {
        "PIL": "pillow", "skimage": "scikit_image", "bs4": "beautifulsoup4", "IPython": "ipython"
    }  # fmt: skip
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules = [node.module]
            for module in {name.split(".")[0] for name in modules}:
                known = module in sys.stdlib_module_names or module == "course_utils"
                assert known or called.get(module, module).lower() in names, (file.name, module)


@pytest.mark.parametrize("folder", [PACKAGE, PACKAGE / "trial", PACKAGE / "audit"])
def test_random_numbers_are_drawn_in_one_place(folder):
    for path in folder.glob("*.py"):
        drawn = re.search(r"torch\.randn?\(|Generator\(\)", path.read_text(encoding="utf-8"))
        assert not drawn or path.name == "_random.py", f"{path.name}: draw by course_utils._random"


def test_warnings_are_given_in_one_place():
    """A fixed stacklevel is right for one way through the package, and wrong for the others."""
    allowed = {"_warnings.py", "feedback.py"}
    for path in PACKAGE.rglob("*.py"):
        assert "warnings.warn(" not in path.read_text(encoding="utf-8") or path.name in allowed
