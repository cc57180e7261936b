"""`course doctor`."""

SUMMARY = "say what is missing or wrong on this machine"


def add_arguments(parser):
    """It has none."""


def work(options):
    from course_utils.classroom.doctor import doctor

    return doctor()
