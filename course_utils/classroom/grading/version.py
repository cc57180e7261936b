"""Which course this is: changes with all that decides about points."""

import hashlib
from functools import lru_cache

from course_utils.classroom import find_notebooks
from course_utils.classroom.grading.stage import PACKAGE


@lru_cache
def course_version() -> str:
    """A digest of the exercises, the notebooks and the grader: old results then count no longer,
    and machines with another one don't grade together."""
    total = hashlib.sha256()
    patterns = ("exercises/**/*.py", "classroom/grading/*.py", "classroom/magics.py")
    files = [path for pattern in patterns for path in PACKAGE.glob(pattern)]
    for path in sorted([*files, *find_notebooks()]):
        total.update(path.name.encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]
