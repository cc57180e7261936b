"""Settings of nbconvert: figures keep their descriptions.

Its default template, lab, has no place for them. (Its template classic has, and nbgrader's feedback
is made with that one. So these settings must not stand in jupyter_config.py, which nbgrader reads.)
`make` puts a copy into .venv/etc/jupyter, where nbconvert looks.
"""

from course_utils.classroom.files import TEMPLATES

c = get_config()  # noqa: F821 (Jupyter provides it)  # pyright: ignore[reportUndefinedVariable]

c.HTMLExporter.template_name = "described"
c.HTMLExporter.extra_template_basedirs = [str(TEMPLATES)]
