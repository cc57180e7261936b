"""Settings with which nbgrader marks this course's notebooks rightly.

Put it, with a copy of the notebooks, into a folder of its own, in the course's environment:

    source .venv/bin/activate
    mkdir -p course/source
    cp -r notebooks course/source/networks
    cp nbgrader_config.py course
    cd course
    nbgrader generate_assignment networks
    nbgrader autograde networks
    nbgrader generate_feedback networks

nbgrader runs what learners wrote with your rights; `course grade` doesn't.
"""

import os

c = get_config()  # noqa: F821 (nbgrader provides it)

# A check that fails has to raise: nbgrader gives full points to every cell that doesn't.
os.environ["COURSE_STRICT"] = "1"

# nbgrader gives no points to a cell that writes to stderr, as warnings and progress bars do.
os.environ["PYTHONWARNINGS"] = "ignore"
os.environ["TQDM_DISABLE"] = "1"

# By default a cell has 30 seconds, a kernel 60 to start, and output 4: too few on a busy machine.
c.Execute.timeout = 300
c.Execute.startup_timeout = 300
c.Execute.iopub_timeout = 120

# A kernel that is asked to end takes torch down first, a second or two for each submission.
c.Execute.shutdown_kernel = "immediate"
