"""How an exercise ended in the sandbox -> its verdict. Runs none of the learner's code."""

from course_utils.classroom.grading import forked
from course_utils.classroom.grading.records import GRADER_ERROR, Task, Verdict
from course_utils.classroom.grading.submissions import Exercise
from course_utils.classroom.grading.text import printable, sentence
from course_utils.classroom.grading.transfer import Unreadable, decode
from course_utils.exercises.engine.calls import call_on_probes
from course_utils.exercises.engine.checks import Check
from course_utils.exercises.engine.feedback import Feedback

LONGEST_MESSAGE = 3000
"""Characters."""

LONGEST_HTML = 2_000_000
"""Characters; a box with three maps has a few ten thousand."""


class GraderError(Exception):
    """The grader itself is at fault; the message is a clause."""


def judge(check: Check, exercise: Exercise, endings: list[forked.Ending], task: Task) -> Verdict:
    """The verdict on one exercise: that of its best variant.

    endings: of its variants, the likeliest first
    """
    if exercise.is_untouched:
        told = "Write the function above, and run its cell."
        return _verdict(check, exercise, Feedback(check.name, "not attempted", told, check.points))
    if exercise.problem:
        told = sentence(exercise.problem)
        return _verdict(check, exercise, Feedback(check.name, "not attempted", told, check.points))
    verdicts = []
    for ending in endings:
        feedback, certain = _feedback(check, ending, task)
        verdicts.append(_verdict(check, exercise, feedback, certain))
        if feedback.passed:
            break
    return max(verdicts, key=lambda verdict: verdict.points)  # the first of equals


def _feedback(check, ending, task):
    """(feedback, whether another run would say the same)."""
    if ending.how != forked.ANSWERED:
        return _raised(check, _why(ending, task.limits)), False
    try:
        outcomes = decode(ending.content)
    except Unreadable as error:
        return Feedback(check.name, "wrong type", sentence(str(error)), check.points), True
    try:
        feedback = check.judge(outcomes, task.seed)
        if task.partial and feedback.kind not in ("passed", "not attempted"):
            feedback.partial = check.partial_points(outcomes, task.seed)
        return feedback, True
    except Exception as error:
        return _beyond_judgement(check, error, task.seed), False


def _beyond_judgement(check, error, seed):
    """Where judging raised: the answer's fault if the course's own answer can be judged."""
    try:
        own = check.judge(call_on_probes(check.reference, check.probes, seed), seed)
    except Exception as other:
        own, error = None, other
    if isinstance(error, MemoryError) or own is None or not own.passed:
        raise GraderError(f"judging {check.name} failed ({_words(error)})") from error
    told = f"It returned something that can't be compared with the answer ({_words(error)})."
    return Feedback(check.name, "wrong type", told, check.points)


def _words(error):
    return printable(f"{type(error).__name__}: {error}")


def _raised(check, clause):
    return Feedback(check.name, "raised", sentence(clause), check.points)


def _why(ending, limits):
    """Why there is no answer, in one clause."""
    return {
        forked.OUT_OF_CPU: (
            f"it computed for longer than {limits.seconds} seconds: does a loop never end?"
        ),
        forked.OUT_OF_TIME: (
            f"it was not done after {limits.waiting} seconds, of which it computed for "
            f"{ending.cpu:.0f}: does it wait for something?"
        ),
        forked.TOO_MUCH: "it returned far more than the answer",
        forked.FULL: f"it wrote more than {limits.folder // 1_000_000} MB to files",
        forked.KILLED: "it was stopped, twice; it may have needed too much memory",
        forked.EXITED: "it ended Python itself (a crash, or os._exit): an answer must return",
    }[ending.how]


def _verdict(check, exercise, feedback, certain=True):
    message, html = feedback.message, feedback.as_html()
    if len(message) > LONGEST_MESSAGE:
        message = f"{message[:LONGEST_MESSAGE]}..."
    return Verdict(
        check.name,
        feedback.kind,
        feedback.points,
        feedback.out_of,
        message,
        html if len(html) <= LONGEST_HTML else "",
        certain,
        exercise.answer,
    )


def failed(check: Check, exercise: Exercise) -> Verdict:
    """In place of the verdict on an exercise that could not be judged."""
    return Verdict(check.name, GRADER_ERROR, 0, check.points, certain=False, answer=exercise.answer)
