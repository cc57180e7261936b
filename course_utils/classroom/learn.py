"""`course learn`: a copy of the notebooks to work in, opened in JupyterLab.

The copies live in `learner/`, which git ignores, so updating the course never conflicts with
what somebody wrote, and what somebody wrote is never lost.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from course_utils.classroom import ROOT, UsageError, find_notebooks
from course_utils.classroom.copies import update_copy

LEARNER = ROOT / "learner"
CONFIG = Path(__file__).resolve().parent / "jupyterlab"


def learn(browser=True):
    """Makes or updates the copies and runs JupyterLab until it is stopped -> its exit status."""
    update_all()
    command = [sys.executable, "-m", "jupyterlab", str(LEARNER)]
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container one often is root
    try:
        return subprocess.call(command, env=_environment())
    except KeyboardInterrupt:
        return 0  # Ctrl-C is how JupyterLab is stopped


def _environment():
    """JupyterLab without nbgrader's buttons for instructors and without a question about news."""
    paths = [str(CONFIG), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return {
        **os.environ,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_PATH": os.pathsep.join(paths),
    }


def update_all(folder=LEARNER, masters=None):
    """Makes or updates every copy and says what happened -> the updates."""
    updates = []
    try:
        for master in masters or find_notebooks():
            updates.append(update_copy(master, folder))
    except OSError as error:
        raise UsageError(f"The copies can't be written to {folder}: {error}.") from None
    finally:
        _tell(folder, updates)  # after an error too: what is done is done
    return updates


def _tell(folder, updates):
    count = Counter(update.action for update in updates if not update.kept)
    doubtful = sum(update.kept is not None for update in updates)
    print(
        f"{folder}: {count['new']} notebooks new, {count['updated']} updated with your answers in"
        f" them,{f' {doubtful} updated as told below,' if doubtful else ''}"
        f" {count['unchanged']} as they were."
    )
    for update in updates:
        if update.kept:
            print(f"Your old {update.path.name} is kept as {update.kept.name}: {update.doubt}.")
