"""python -m course_utils.trial makes the record of the trial anew."""

from course_utils.trial.record import main

main()
