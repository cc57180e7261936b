"""The sandbox's `course_utils/exercises/__init__.py`: checks without answers."""


class _NoChecks:
    """Any exercise module: every check is there and says nothing."""

    def __getattr__(self, name):
        return lambda answer=None: None


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return _NoChecks()
