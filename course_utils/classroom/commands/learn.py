"""`course learn`."""

SUMMARY = "make or update your own copy of the notebooks and open JupyterLab"


def add_arguments(parser):
    parser.add_argument("--no-browser", action="store_true", help="only print JupyterLab's address")


def work(options):
    from course_utils.classroom.learn import learn

    return learn(browser=not options.no_browser)
