"""Settings of the JupyterLab that `course learn` starts: it exports as nbconvert does."""

load_subconfig("jupyter_nbconvert_config.py")  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
