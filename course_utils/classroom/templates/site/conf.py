"""Sphinx's configuration of the site. `course site` copies it beside the pages."""

project = html_title = "What does the network see?"
author = "the authors of the course"
copyright = "texts and pictures CC BY 4.0, code MIT"
language = "en"

extensions = ["myst_nb", "course_utils.classroom.sphinx_course"]
nb_execution_mode = "off"  # outputs stay as they were executed
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

suppress_warnings = ["toc.not_included"]  # a network's card is linked where it is spoken of

html_theme = "sphinx_book_theme"
templates_path = ["components"]
html_sidebars = {"**": ["search-field", "sbt-sidebar-nav"], "search": ["sbt-sidebar-nav"]}
html_static_path = ["static"]
html_css_files = ["course.css"]
html_js_files = [("course.js", {"defer": "defer"})]
html_extra_path = ["files"]  # figures and pictures, under their own names
html_copy_source = False
html_use_index = False
html_show_search_summary = False  # summaries are fetched, which browsers forbid for files
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "search_bar_text": "Search the course",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
