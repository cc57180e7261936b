"""Settings of nbconvert and of JupyterLab's export: figures keep their descriptions.

nbconvert's default template, lab, has no place for them. Its template classic has, and nbgrader's
feedback is made with that one. Installing the course puts this file into .venv/etc/jupyter, where
Jupyter looks.
"""

from course_utils.classroom.files import TEMPLATES

c = get_config()  # noqa: F821 (Jupyter provides it)  # pyright: ignore[reportUndefinedVariable]

c.HTMLExporter.template_name = "described"
c.HTMLExporter.extra_template_basedirs = [str(TEMPLATES)]
