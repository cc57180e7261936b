"""`course doctor`: says in plain words what is missing or wrong on this machine, and what helps."""

import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from course_utils.classroom import NOTEBOOKS, ROOT, UsageError, read_notebook
from course_utils.errors import first_line

LEAST_DISK, LEAST_MEMORY = 2e9, 3e9


class Trouble(Exception):
    """Something that has to be cured: what it is, and the cure."""

    def __init__(self, what: str, cure: str, severe: bool = True):
        super().__init__(what)
        self.cure, self.severe = cure, severe


def doctor() -> int:
    """Makes every check and prints what it found -> 1 if something severe is wrong, else 0."""
    severe = 0
    for name, check in CHECKS.items():
        severe += _examine(name, check)
    print(
        "\nAll is well."
        if not severe
        else f"\n{severe} of these will keep the course from working."
    )
    return 1 if severe else 0


def _examine(name: str, check: Callable[[], str]) -> bool:
    """Makes one check, prints its line -> whether something severe is wrong."""
    try:
        found, sign, cure, severe = check(), "✓", "", False
    except Trouble as trouble:
        found, cure, severe = str(trouble), trouble.cure, trouble.severe
        sign = "✗" if severe else "!"
    except Exception as error:  # a check that breaks is a finding, not the doctor's end
        found, sign, severe = f"{type(error).__name__}: {error}", "✗", True
        cure = "Please report this."
    print(f"{sign} {name:12} {found}")
    if cure:
        print(f"  {'':12} → {cure}")
    return severe


# ---------------------------------------------------------------------------- the checks


def python() -> str:
    """Python's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 (who runs this may not have installed it)
        raise Trouble(
            f"{version} is too old", "Install Python 3.11 or newer: make PYTHON=python3.12"
        )
    return f"{version} in {sys.prefix}"


def pins() -> dict[str, str]:
    """The tested versions: {package: version}."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split(";")[0].strip().split("==") for line in lines if "==" in line)
    return {name: version for name, version in pairs if not name.startswith("#")}


def packages() -> str:
    """Installed packages against the pins."""
    missing, other = [], []
    for name, pinned in pins().items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed.split("+")[0] != pinned:  # "2.13.0+cpu" is 2.13.0
            other.append(f"{name} {installed} (tested: {pinned})")
    needed = [name for name in missing if name in _needed()]
    if needed:
        raise Trouble(f"missing: {', '.join(needed)}", "pip install -r requirements.txt")
    if other or missing:
        told = "; ".join([*other[:4], *(f"no {name}" for name in missing[:4])])
        count = len(other) + len(missing)
        cure = "If something fails: pip install -r requirements.txt"
        raise Trouble(f"{count} differ from the tested ones: {told}", cure, severe=False)
    return f"{len(pins())} as tested"


def _needed():
    """The packages that the course can't do without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.split(r"[<>=!~ ;\[]", line)[0] for line in project["dependencies"]}


def torch_pair() -> str:
    """Whether torch and torchvision go together, and what they can use."""
    import torch

    from course_utils._torchvision import import_torchvision

    try:
        torchvision = import_torchvision()
    except Exception as error:
        raise Trouble(
            f"torch {torch.__version__} and the installed torchvision don't go together ({error})",
            "Install a pair of the same release: pip install torch==2.13.0 torchvision==0.28.0",
        ) from None
    return f"torch {torch.__version__}, torchvision {torchvision.__version__}"


def device() -> str:
    """Where networks compute, and where they could."""
    import torch

    from course_utils._devices import chosen_device

    try:
        chosen = torch.empty(1, device=chosen_device()).device.type
    except (ValueError, RuntimeError, AssertionError) as error:
        raise Trouble(
            f"COURSE_DEVICE={os.environ.get('COURSE_DEVICE')} can't be used ({first_line(error)})",
            "Set COURSE_DEVICE to auto or cpu, or unset it",
        ) from None
    available = torch.accelerator.is_available()
    accelerator = torch.accelerator.current_accelerator() if available else None
    if accelerator is None:
        return f"networks compute on {chosen}; no GPU is here, and none is needed"
    present = accelerator.type
    if chosen == present:
        return f"networks compute on {chosen}"
    return f"networks compute on {chosen}; COURSE_DEVICE=auto would take {present}"


def data() -> str:
    """Pictures against their check sums."""
    from course_utils.errors import DataError
    from course_utils.manifest import verify

    try:
        count = verify(progress=sys.stderr.isatty())
    except DataError as error:
        raise Trouble(error.fault, error.cure) from None
    return f"{count:,} files as they should be" if count else "all files as they should be"


def networks() -> str:
    """Every shipped network loads, and the weights of the ImageNet network are there."""
    from course_utils import classifiers, decoders, imagenet
    from course_utils.errors import DataError

    readers = [partial(classifiers.load, name, "cpu") for name in classifiers.SHIPPED]
    readers += [partial(decoders.load, name) for name in decoders.SHIPPED]
    faults, cures = [], []
    for read in [*readers, imagenet.read_weights]:  # to load that network takes seconds more
        try:
            read()
        except DataError as error:
            faults.append(error.fault)
            cures.append(error.cure)
    if faults:
        raise Trouble("; ".join(faults), "; ".join(dict.fromkeys(cures)))
    return f"{len(readers)} load; the ImageNet network's weights are as they should be"


def notebooks() -> str:
    """A notebook for each module of exercises, and all can be read."""
    from course_utils.exercises import module_names

    there = {path.stem.partition("_")[2]: path for path in NOTEBOOKS.glob("*.ipynb")}
    faults = [f"there is none on {name}" for name in module_names() if name not in there]
    for path in there.values():
        try:
            read_notebook(path)
        except UsageError as error:
            faults.append(str(error).rstrip("."))
    if faults:
        is_clone = (ROOT / ".git").exists()
        cure = "git restore notebooks" if is_clone else "Take notebooks/ from the archive again."
        raise Trouble("; ".join(faults), cure)
    return f"all {len(there)} are there"


def disk() -> str:
    """Room for results."""
    free = shutil.disk_usage(ROOT).free
    if free < LEAST_DISK:
        raise Trouble(
            f"{free / 1e9:.1f} GB free", "Make room: results and caches need 2 GB.", False
        )
    return f"{free / 1e9:.0f} GB free"


def memory() -> str:
    """Memory that programs may still use."""
    try:
        text = Path("/proc/meminfo").read_text()
        free = int(text.split("MemAvailable:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        return "not known on this system; 4 GB are enough"
    if free < LEAST_MEMORY:
        cure = "Close other programs, or execute one notebook at a time: course run --jobs 1"
        raise Trouble(f"{free / 1e9:.1f} GB free", cure, severe=False)
    return f"{free / 1e9:.0f} GB free"


def writable() -> str:
    """Whether results can be written."""
    for folder in (ROOT, Path(tempfile.gettempdir())):
        if not os.access(folder, os.W_OK):
            raise Trouble(f"{folder} can't be written to", "Clone into a folder of your own.")
    return "the course's folder and the temporary one"


def kernel() -> str:
    """Whether a notebook's kernel starts and computes."""
    import nbformat
    from nbclient import NotebookClient

    cell = nbformat.v4.new_code_cell("import torch\nprint(torch.ones(2).sum().item())")
    notebook, started = nbformat.v4.new_notebook(cells=[cell]), time.monotonic()
    try:
        NotebookClient(
            notebook,
            timeout=120,
            kernel_name="python3",
            extra_arguments=["--log-level=CRITICAL"],  # the kernel warns of TCP every time
        ).execute()
    except Exception as error:
        cure = "python -m ipykernel install --sys-prefix"
        raise Trouble(f"a notebook's kernel does not start ({first_line(error)})", cure) from None
    return f"a notebook's kernel starts and answers in {time.monotonic() - started:.0f} s"


def sandbox() -> str:
    """Whether submissions can be graded safely; only lecturers need it."""
    from course_utils.classroom.grading.sandbox import find_bubblewrap, memory_is_bounded

    try:
        path = find_bubblewrap()
        if not memory_is_bounded():
            raise Trouble(
                f"{path} works, but only each process is bounded in memory, not all together",
                "It can be used. For root, and where users have systemd, all together is bounded.",
                severe=False,
            )
        return f"{path} works; `course grade` can be used"
    except UsageError as error:
        cure = "Only `course grade` needs it; everything else works without."
        raise Trouble(str(error), cure, severe=False) from None


CHECKS = {
    "Python": python,
    "packages": packages,
    "torch": torch_pair,
    "device": device,
    "pictures": data,
    "networks": networks,
    "notebooks": notebooks,
    "disk": disk,
    "memory": memory,
    "writing": writable,
    "kernel": kernel,
    "sandbox": sandbox,
}
"""In the order in which they are made and printed."""
