"""What of the course lies inside the sandbox: its package without the answers.

For each notebook there is a copy in which the functions that its exercises ask for are missing:
`from course_utils.ascent import total_variation` is no answer to "write total_variation". Whoever
grades another notebook finds them there, since later notebooks build on them.
"""

import ast
import contextlib
import fcntl
import os
import py_compile
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

import course_utils

PACKAGE = Path(course_utils.__file__).resolve().parent
HERE = Path(__file__).resolve().parent

PREFIX = "course_stage_"
LOCK = ".in_use"

ABSENT = (
    "audit/judging.py",
    "audit/seal.py",
    "classroom/*",
    "classroom/grading/*",
    "exercises/*.py",
    "**/__pycache__",
)
"""Files and folders of the package that the sandbox lacks: answers, judges, and what grades."""

PRESENT = (
    "classroom/__init__.py",
    "classroom/grading",
    "classroom/grading/__init__.py",
    "classroom/grading/forked.py",
    "classroom/grading/frames.py",
    "classroom/grading/harness.py",
    "classroom/grading/transfer.py",
    "classroom/magics.py",
)
"""What is there all the same."""

ABSENT_DATA = ("audit/sealed.json", "rendering", "training")
"""What of the data folder is hidden there: the seal, and what the networks were trained with."""

HIDDEN = {
    "cam_localization": ("box_from_map", "iou"),
    "can_you_trust_a_heatmap": ("rank_correlation", "relevance_mass"),
    "dataset_search": ("channel_peaks", "receptive_crop"),
    "deconvolution_and_unpooling": (
        "convolution_matrix",
        "transpose_by_shuffle",
        "transpose_by_zeros",
        "unpool",
    ),
    "gradient_ascent": ("total_variation",),
    "occlusion": ("windows",),
    "saliency": ("saliency",),
    "shapley_and_masks": ("coalition_scores",),
}
"""For each notebook's exercises, the functions of the package that do what one of them asks for.

They are hidden wherever they are defined. A test finds them, by trying all functions.
"""


@contextlib.contextmanager
def staged_package() -> Iterator[Path]:
    """A folder with a folder for each notebook's checks, such as "gradient_ascent", while this
    lasts; in each lies the package as it may be seen while that notebook is graded."""
    remove_stale()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with open(folder / LOCK, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # until the process ends, however it does
            _fill(folder)
            yield folder


def remove_stale() -> None:
    """Removes the folders of runs that were killed: nobody holds their locks."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), open(folder / LOCK, "r+") as lock:
            if folder.lstat().st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


def _fill(folder):
    whole = folder / "whole" / PACKAGE.name
    absent = {path for pattern in ABSENT for path in PACKAGE.glob(pattern)}
    absent -= {PACKAGE / name for name in PRESENT}
    shutil.copytree(
        PACKAGE, whole, ignore=lambda place, names: {n for n in names if Path(place, n) in absent}
    )
    shutil.copy(HERE / "exercises_in_the_sandbox.py", whole / "exercises" / "__init__.py")
    for path in whole.rglob("*.py"):
        _compile(path)
    for path in whole.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for module in _modules():
        copy = folder / module / PACKAGE.name
        shutil.copytree(whole, copy, copy_function=os.link)
        for path in copy.rglob("*.py"):
            _hide(path, HIDDEN.get(module, ()))
    for path in (folder, *folder.iterdir()):
        if path.is_dir():
            path.chmod(0o755)


def _modules():
    """The modules of checks, one for each notebook."""
    return sorted(path.stem for path in (PACKAGE / "exercises").glob("[!_]*.py"))


def _hide(path, functions):
    """Puts a sentence in the place of some functions, if a module defines them."""
    text = path.read_text(encoding="utf-8")
    changed = without(text, functions, path.stem)
    if changed == text:
        return
    path.unlink()  # a hard link: the other copies stay as they are
    path.write_text(changed, encoding="utf-8")
    path.chmod(0o644)
    _compile(path)


def without(source: str, functions: tuple[str, ...], module: str) -> str:
    """A module's source in which these functions only say that they are missing."""
    if not any(f"def {name}(" in source for name in functions):
        return source
    lines = source.splitlines(keepends=True)
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    for node in reversed(nodes):
        if node.name in functions:
            first = min(part.lineno for part in (node, *node.decorator_list))
            told = f"{module}.{node.name} does what an exercise asks for: use your own function."
            stub = f"def {node.name}(*arguments, **options):\n    raise RuntimeError({told!r})\n"
            lines[first - 1 : node.end_lineno] = [stub]
    return "".join(lines)


def _compile(path):
    """Once for all runs: inside, nothing can be written."""
    compiled = Path(cache_from_source(str(path)))
    compiled.unlink(missing_ok=True)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(path), cfile=str(compiled), doraise=True, invalidation_mode=mode)
