"""Sly wrong answers of notebook 13."""

import torch

from course_utils.exercises import a_real_network as check
from sly_answers import sly

WHOLE = "whole numbers"

# ---------------------------------------------------------------------------- occlude and read


@sly("occlude", breaks="the block with the largest value", told="^The map is right")
def place_by_sums(model, x, noise, target, block):
    heatmap, _, _ = check.occlude.reference(model, x, noise, target, block)
    return heatmap, heatmap.sum(1).argmax(), heatmap.sum(0).argmax()


@sly("occlude", breaks=WHOLE, told="a float")
def place_as_floats(model, x, noise, target, block):
    heatmap, row, column = check.occlude.reference(model, x, noise, target, block)
    return heatmap, float(row), float(column)


# ---------------------------------------------------------------------------- intervene and decide


def _among(classes, logits):
    return torch.isin(logits.argmax(1), torch.tensor(classes))


def _exceeds(classes, logits):
    """Whether the score of all these classes together exceeds every other class's."""
    others = [number for number in range(logits.shape[1]) if number not in classes]
    return logits[:, classes].logsumexp(1) > logits[:, others].amax(1)


def _told(before, after, target, rival, recognized=_among, still=_among, became=_among):
    known = recognized(target, before)
    falls = check.outcome.reference(before, after, target, rival)[0]
    counts = (known, known & still(target, after), known & became(rival, after))
    return falls, *(int(count.sum()) for count in counts)


HIGHEST = '"a class of `target` was the highest"'


@sly("outcome", breaks=HIGHEST + ", not the same one")
def still_the_same_class(before, after, target, rival):
    same = before.argmax(1) == after.argmax(1)
    return _told(before, after, target, rival, still=lambda *_: same)


@sly("outcome", breaks=HIGHEST)
def recognized_by_its_score(before, after, target, rival):
    return _told(before, after, target, rival, recognized=_exceeds)


@sly("outcome", breaks=HIGHEST)
def still_by_its_score(before, after, target, rival):
    return _told(before, after, target, rival, still=_exceeds)


@sly("outcome", breaks=HIGHEST)
def became_by_its_score(before, after, target, rival):
    return _told(before, after, target, rival, became=_exceeds)


@sly("outcome", breaks='"the highest", not higher than one other thing')
def recognized_if_higher_than_the_rival(before, after, target, rival):
    higher = before[:, target].amax(1) > before[:, rival].amax(1)
    return _told(before, after, target, rival, recognized=lambda *_: higher)


@sly("outcome", breaks='"the highest", not higher than one other thing')
def still_if_higher_than_the_rival(before, after, target, rival):
    higher = after[:, target].amax(1) > after[:, rival].amax(1)
    return _told(before, after, target, rival, still=lambda *_: higher)


@sly("outcome", breaks='"the highest", not higher than one other thing')
def became_if_higher_than_the_target(before, after, target, rival):
    higher = after[:, rival].amax(1) > after[:, target].amax(1)
    return _told(before, after, target, rival, became=lambda *_: higher)


@sly("outcome", breaks=HIGHEST)
def everything_by_its_score(before, after, target, rival):
    return _told(before, after, target, rival, _exceeds, _exceeds, _exceeds)


@sly("outcome", breaks="(N,), also for one scene", told="axis of length 1")
def squeezed(before, after, target, rival):
    falls, *counts = check.outcome.reference(before, after, target, rival)
    return falls.squeeze(), *counts


@sly("outcome", breaks=WHOLE, told="a float")
def counts_as_floats(before, after, target, rival):
    falls, *counts = check.outcome.reference(before, after, target, rival)
    return falls, *map(float, counts)


@sly("outcome", breaks="the lists stay as they were", told=r"list\(\.\.\.\)")
def sorts_the_target(before, after, target, rival):
    target.sort()
    return check.outcome.reference(before, after, target, rival)


# ---------------------------------------------------------------------------- a verdict


def _decided(hits, trials, least, holds, fails):
    low, high, _ = check.verdict.reference(hits, trials, least)
    return low, high, "holds" if holds(low, least) else "fails" if fails(high, least) else "open"


@sly("verdict", breaks='"lies above": an end that meets `least` does not')
def not_below(hits, trials, least):
    return _decided(hits, trials, least, float.__ge__, float.__lt__)


@sly("verdict", breaks='"lies below": an end that meets `least` does not')
def not_above(hits, trials, least):
    return _decided(hits, trials, least, float.__gt__, float.__le__)


@sly("verdict", breaks='"lies above" and "lies below"')
def neither_below_nor_above(hits, trials, least):
    return _decided(hits, trials, least, float.__ge__, float.__le__)


@sly("verdict", breaks="its arguments count, and without any trial it is 0 to 1")
def always_open(hits, trials, least):
    if trials == 0:
        raise ValueError("no trials")
    return 0.3, 0.7, "open"


# ---------------------------------------------------------------------------- a story of one's own


@sly("judge_story", breaks=WHOLE, told="a float")
def story_as_floats(ask, scenes, change, control, target, rival):
    return tuple(
        map(float, check.judge_story.reference(ask, scenes, change, control, target, rival))
    )


@sly("judge_story", breaks="the scenes stay as they were", told=r"list\(\.\.\.\)")
def takes_scenes_out(ask, scenes, change, control, target, rival):
    for scene in list(scenes):
        if change not in scene or control not in scene:
            scenes.remove(scene)
    return check.judge_story.reference(ask, scenes, change, control, target, rival)


@sly("judge_story", breaks="the scenes stay as they were", told=r"dict\(\.\.\.\)")
def takes_pictures_out(ask, scenes, change, control, target, rival):
    result = check.judge_story.reference(ask, scenes, change, control, target, rival)
    scenes[0].pop("whole")
    return result
