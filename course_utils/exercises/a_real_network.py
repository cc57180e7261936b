"""Checks of notebook 13, a real network, and the articles' stories on trial."""

import itertools
import math

import torch
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- occlude and read


def _network(height, width):
    """A small network that is not linear, with scores of four classes."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(6 * (height - 2) * (width - 2), 4)
    ).eval()


def _blind(height, width):
    """A network that always says the same, so that all blocks tie."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * height * width, 4)).eval()
    nn.init.zeros_(model[1].weight)
    return model


def _pictures(random):
    calls = []
    sizes = ((3, 5, 4), (5, 2, 3), (2, 3, 5))
    for (rows, columns, block), target in zip(sizes, random.permutation(4)):
        height, width = rows * block, columns * block
        x, noise = 2 * torch.randn(1, 3, height, width), 2 * torch.randn(1, 3, height, width)
        calls.append((_network(height, width), x, noise, int(target), block))
    _, x, noise, target, block = calls[0]
    return [*calls, (_blind(*x.shape[2:]), x, noise, target, block)]


@check(points=2, probes=_pictures, integers=True)
def occlude(model, x, noise, target, block):
    """How far the target's logit falls under each block, and where most -> heatmap, row, column.

    heatmap: a tensor (H / block, W / block) without a graph, the logit of x minus the logit with
    that block covered. row, column: of the block with the largest value, two whole numbers; of
    equal values the first counts, row by row.

    x, noise: (1, 3, H, W), left as they are; H and W are multiples of `block`, the side of a
    block in pixels. Under a block the pixels are those of `noise`. Only one block is covered at a
    time. The model's output are the scores (1, classes).
    """
    rows, columns = x.shape[2] // block, x.shape[3] // block
    heatmap = torch.zeros(rows, columns)
    with torch.no_grad():
        before = model(x)[0, target]
        for row in range(rows):
            for column in range(columns):
                top, left = row * block, column * block
                covered = x.clone()
                window = (..., slice(top, top + block), slice(left, left + block))
                covered[window] = noise[window]
                heatmap[row, column] = before - model(covered)[0, target]
    row, column = divmod(int(heatmap.argmax()), columns)
    return heatmap, row, column


def _each_block(x, noise, block):
    """Row, column and x with that block covered, row by row."""
    for row in range(x.shape[2] // block):
        for column in range(x.shape[3] // block):
            covered = x.clone()
            window = (
                ...,
                slice(row * block, (row + 1) * block),
                slice(column * block, (column + 1) * block),
            )
            covered[window] = noise[window]
            yield row, column, covered


def _peak(heatmap):
    return divmod(int(heatmap.argmax()), heatmap.shape[1])


def _of_values(model, x, noise, block, value):
    """The answer with value(scores before, scores after) in the place of the logit's fall."""
    heatmap = torch.zeros(x.shape[2] // block, x.shape[3] // block)
    with torch.no_grad():
        before = model(x)[0]
        for row, column, covered in _each_block(x, noise, block):
            heatmap[row, column] = value(before, model(covered)[0])
    return heatmap, *_peak(heatmap)


@occlude.mistake(
    "Rows and columns are exchanged, as in the published code: the first index of a map is the row."
)
def _transposed(model, x, noise, target, block):
    heatmap, row, column = occlude.reference(model, x, noise, target, block)
    return heatmap.T, column, row


@occlude.mistake(
    "The map is right, but the place comes the wrong way round: first the row, then the column."
)
def _place_exchanged(model, x, noise, target, block):
    heatmap, row, column = occlude.reference(model, x, noise, target, block)
    return heatmap, column, row


@occlude.mistake(
    "The map is right, but the row with the largest sum and the column with the largest sum need "
    "not meet at the largest value. Look for one place in the whole map."
)
def _place_by_sums(model, x, noise, target, block):
    heatmap, _, _ = occlude.reference(model, x, noise, target, block)
    return heatmap, int(heatmap.sum(1).argmax()), int(heatmap.sum(0).argmax())


@occlude.mistake(
    "This is the published score: all scores, clamped to [-1, 1] under the block only. Take the "
    "logit of the target, and clamp nothing."
)
def _published(model, x, noise, target, block):
    return _of_values(
        model, x, noise, block, lambda a, b: (b.clamp(min=-1, max=1) - a).square().mean()
    )


@occlude.mistake(
    "You give the fall of the softmax probability, in which all other classes have a say. Take the "
    "logit."
)
def _probability(model, x, noise, target, block):
    return _of_values(model, x, noise, block, lambda a, b: (a.softmax(0) - b.softmax(0))[target])


@occlude.mistake(
    "The sign is turned round: a fall is the logit before minus the logit under the block."
)
def _sign(model, x, noise, target, block):
    return _of_values(model, x, noise, block, lambda a, b: (b - a)[target])


@occlude.mistake(
    "These are the logits under the blocks. Subtract them from the logit of the whole picture."
)
def _not_subtracted(model, x, noise, target, block):
    return _of_values(model, x, noise, block, lambda _, b: b[target])


@occlude.mistake(
    "You follow the highest score, whichever class has it. The map is about the target."
)
def _highest(model, x, noise, target, block):
    return _of_values(model, x, noise, block, lambda a, b: a.max() - b.max())


@occlude.mistake(
    "You count rises as well as falls. Covering may raise a score: keep the sign, and look for the "
    "largest value, not for the largest size."
)
def _absolute(model, x, noise, target, block):
    return _of_values(model, x, noise, block, lambda a, b: (a - b)[target].abs())


@occlude.mistake(
    "Your covers stay: each copy has the blocks before it covered, too. Begin with a fresh "
    "`x.clone()` for each block."
)
def _covers_stay(model, x, noise, target, block):
    heatmap = torch.zeros(x.shape[2] // block, x.shape[3] // block)
    now = x.clone()
    with torch.no_grad():
        before = model(x)[0, target]
        for row, column, covered in _each_block(x, noise, block):
            now = torch.where(covered != x, noise, now)
            heatmap[row, column] = before - model(now)[0, target]
    return heatmap, *_peak(heatmap)


@occlude.mistake(
    "You cover everything but the block. Keep the picture, and take the block alone from `noise`."
)
def _all_but_the_block(model, x, noise, target, block):
    heatmap = torch.zeros(x.shape[2] // block, x.shape[3] // block)
    with torch.no_grad():
        before = model(x)[0, target]
        for row, column, kept in _each_block(noise, x, block):
            heatmap[row, column] = before - model(kept)[0, target]
    return heatmap, *_peak(heatmap)


@occlude.mistake(
    "You cover with zeros, a middle grey. The article covers with noise: take the pixels from "
    "`noise`."
)
def _zeros(model, x, noise, target, block):
    return occlude.reference(model, x, torch.zeros_like(noise), target, block)


# ---------------------------------------------------------------------------- intervene and decide

CASES = "stays stays stays turns turns drops rival_all_along rival_later other other".split()
"""What happens to a scene: of each kind another number, so that no two counts are the same."""


def _logits(winners, classes, groups=()):
    """Logits (N, classes) whose largest are those of `winners`.

    The classes of a group to which the winner doesn't belong come close to it, so that two of them
    have a higher logsumexp; those of the first group come closest.
    """
    logits = torch.randn(len(winners), classes)
    for row, winner in zip(logits, winners):
        row[winner] = row.max() + 0.5 + torch.rand(())
        for place, group in enumerate(groups):
            if winner not in group:
                row[group] = row[winner] - 0.1 - 0.2 * place - 0.1 * torch.rand(len(group))
    return logits


def _scene_kinds(random, target, rival, other):
    """For every scene the class before and after, in random order: two lists.

    Scenes of one kind take turns with a thing's classes, so that each class occurs; one that stays
    becomes the next of the target's classes.
    """
    pick = {
        "stays": (target, target[1:] + target[:1]),
        "turns": (target, rival),
        "drops": (target, other),
        "rival_all_along": (rival, rival),
        "rival_later": (other, rival),
        "other": (other, target),
    }
    turns = {case: [itertools.cycle(side) for side in sides] for case, sides in pick.items()}
    pairs = [[next(turn) for turn in turns[case]] for case in CASES]
    return zip(*[pairs[number] for number in random.permutation(len(pairs))])


GROUPS = (([3], [0], [1, 2, 4]), ([4, 1, 2], [6], [0, 3, 5]), ([0], [2, 5], [1, 3]))
"""Target, rival, and other classes: with one number or several."""


def _scenes_before_and_after(random):
    calls = []
    for target, rival, other in GROUPS:
        sides = _scene_kinds(random, target, rival, other)
        near = (target, rival) if len(calls) % 2 else (rival, target)
        before, after = (_logits(side, 7, order) for side, order in zip(sides, (near, near[::-1])))
        calls.append((before, after, target, rival))
    nobody = _logits([1, 4, 2], 7), _logits([0, 3, 2], 7), [3], [0]
    alone = _logits([4], 7), _logits([6], 7), [4, 1, 2], [6]
    return [*calls, nobody, alone]


@check(points=2, probes=_scenes_before_and_after, integers=True)
def outcome(before, after, target, rival):
    """What an intervention did -> falls, recognized, still, became.

    falls: a tensor (N,), how far the target's score fell in each scene; if a thing has several
    classes, its score is the logarithm of their summed exponentials, `logsumexp`
    recognized: the number of scenes in which a class of `target` was the highest before
    still, became: of these, the number in which a class of `target`, or of `rival`, is the highest
    afterwards. All three are whole numbers.

    before, after: logits (N, classes) of the same scenes, whole and changed; target, rival: lists
    of class numbers, one or several
    """
    falls = before[:, target].logsumexp(dim=1) - after[:, target].logsumexp(dim=1)
    recognized = torch.isin(before.argmax(dim=1), torch.tensor(target))
    answers = after.argmax(dim=1)[recognized]
    still = torch.isin(answers, torch.tensor(target)).sum()
    became = torch.isin(answers, torch.tensor(rival)).sum()
    return falls, int(recognized.sum()), int(still), int(became)


def _called(logits, classes):
    return torch.isin(logits.argmax(dim=1), torch.tensor(classes))


def _with_falls(before, after, target, rival, falls):
    """The answer with other falls."""
    return falls, *outcome.reference(before, after, target, rival)[1:]


@outcome.mistake(
    "You count the scenes after the intervention without asking what they were before. Only scenes "
    "that the network recognized can tell what the change did."
)
def _all_scenes(before, after, target, rival):
    falls, recognized, _, _ = outcome.reference(before, after, target, rival)
    still, became = _called(after, target).sum(), _called(after, rival).sum()
    return falls, recognized, int(still), int(became)


@outcome.mistake(
    "Your last number counts scenes that the network did not recognize before, such as those that "
    "it called the rival all along."
)
def _rivals_all_along(before, after, target, rival):
    falls, recognized, still, _ = outcome.reference(before, after, target, rival)
    return falls, recognized, still, int(_called(after, rival).sum())


@outcome.mistake(
    "`became` is the number that is called the rival now, not the number that is no longer "
    "recognized: a picture may become a third thing."
)
def _lost(before, after, target, rival):
    falls, recognized, still, _ = outcome.reference(before, after, target, rival)
    return falls, recognized, still, recognized - still


@outcome.mistake(
    "You add the logits of the classes up. A sum of logits means nothing: add their exponentials "
    "and take the logarithm, `logits[:, target].logsumexp(dim=1)`."
)
def _summed(before, after, target, rival):
    falls = before[:, target].sum(1) - after[:, target].sum(1)
    return _with_falls(before, after, target, rival, falls)


@outcome.mistake(
    "You take the mean of the logits over the classes. Add their exponentials and take the "
    "logarithm, `logits[:, target].logsumexp(dim=1)`."
)
def _averaged(before, after, target, rival):
    falls = before[:, target].mean(1) - after[:, target].mean(1)
    return _with_falls(before, after, target, rival, falls)


@outcome.mistake(
    "You take the highest of the target's logits. Their exponentials add up: "
    "`logits[:, target].logsumexp(dim=1)`."
)
def _highest_logit(before, after, target, rival):
    falls = before[:, target].amax(1) - after[:, target].amax(1)
    return _with_falls(before, after, target, rival, falls)


@outcome.mistake("You look at the first class of the target only. It may have several.")
def _first_class(before, after, target, rival):
    return outcome.reference(before, after, target[:1], rival)


@outcome.mistake("A fall is the score before minus the score after; yours has the other sign.")
def _other_sign(before, after, target, rival):
    return _with_falls(
        before, after, target, rival, -outcome.reference(before, after, target, rival)[0]
    )


@outcome.mistake(
    "You measure how far the softmax probability falls. Of a probability near 1 it says little: "
    "take the logits."
)
def _fall_of_probability(before, after, target, rival):
    falls = (before.softmax(1) - after.softmax(1))[:, target].sum(1)
    return _with_falls(before, after, target, rival, falls)


@outcome.mistake(
    "You measure the fall of the margin between target and rival. Asked is the target's own score."
)
def _margin(before, after, target, rival):
    gain = after[:, rival].logsumexp(1) - before[:, rival].logsumexp(1)
    falls = outcome.reference(before, after, target, rival)[0] + gain
    return _with_falls(before, after, target, rival, falls)


@outcome.mistake(
    "Your falls are those of the recognized scenes only. Give one for each scene, in their order."
)
def _of_the_recognized(before, after, target, rival):
    falls = outcome.reference(before, after, target, rival)[0]
    return _with_falls(before, after, target, rival, falls[_called(before, target)])


# ---------------------------------------------------------------------------- a verdict


def _counts(random):
    """All three verdicts, each against several shares; and no scene at all.

    Where nothing was tried, an end of the interval also equals the share: it is beside neither.
    """
    calls = []
    for trials in (random.permutation(20) + 20)[:3].tolist():
        calls += [(trials - 1, trials, 0.5), (1, trials, 0.5), (trials // 2, trials, 0.5)]
    few, many = (random.permutation(8) + 24)[:2].tolist()
    calls += [(few // 2, few, 0.1), (many // 2, many, 0.9), (many - 2, many, 0.9)]
    calls += [(0, few, 0.5), (many, many, 0.5), (0, 0, 0.5), (1, 1, 0.5)]
    return [*calls, (0, 0, 0.0), (0, 0, 1.0)]


@check(points=2, probes=_counts)
def verdict(hits, trials, least):
    """Wilson's 95 % interval for a share, and what it decides -> low, high, word.

    hits: in so many of `trials` scenes the story came true. With z = 1.96 the interval is
    centre - reach to centre + reach, two numbers:
        centre = (hits + z**2 / 2) / (trials + z**2)
        reach = z / (trials + z**2) * sqrt(hits * (trials - hits) / trials + z**2 / 4)
    Without any trial it is 0 to 1. word: "holds" if the whole interval lies above `least`,
    "fails" if all of it lies below, otherwise "open". least: a share between 0 and 1
    """
    if trials == 0:
        return 0.0, 1.0, "open"
    z = 1.96
    centre = (hits + z**2 / 2) / (trials + z**2)
    reach = z / (trials + z**2) * math.sqrt(hits * (trials - hits) / trials + z**2 / 4)
    low, high = centre - reach, centre + reach
    if low > least:
        return low, high, "holds"
    return low, high, "fails" if high < least else "open"


def _decided(low, high, least):
    if low > least:
        return low, high, "holds"
    return low, high, "fails" if high < least else "open"


@verdict.mistake(
    "You decide by the share itself, so nothing is ever open. A share of few scenes is uncertain: "
    "decide by both ends of the interval."
)
def _by_the_share(hits, trials, least):
    low, high, _ = verdict.reference(hits, trials, least)
    return low, high, "holds" if trials and hits / trials > least else "fails"


@verdict.mistake(
    'What does not hold is not refuted yet: say "fails" only if the whole interval lies below '
    '`least`, and otherwise "open".'
)
def _never_open(hits, trials, least):
    low, high, _ = verdict.reference(hits, trials, least)
    return low, high, "holds" if low > least else "fails"


@verdict.mistake(
    "Your interval is share ± 1.96 * sqrt(share * (1 - share) / trials). It has no width at all "
    "where all scenes agree: Wilson's adds z**2 to the trials and half of it to the hits."
)
def _wald(hits, trials, least):
    if trials == 0:
        return 0.0, 1.0, "open"
    share = hits / trials
    reach = 1.96 * math.sqrt(share * (1 - share) / trials)
    return _decided(share - reach, share + reach, least)


@verdict.mistake(
    "Your interval is one standard error wide on either side, which holds the true share in two "
    "cases of three. For 95 % take z = 1.96."
)
def _one_error(hits, trials, least):
    if trials == 0:
        return 0.0, 1.0, "open"
    centre = (hits + 1 / 2) / (trials + 1)
    reach = math.sqrt(hits * (trials - hits) / trials + 1 / 4) / (trials + 1)
    return _decided(centre - reach, centre + reach, least)


@verdict.mistake(
    "You set the reach around the share, hits / trials. Wilson's centre lies nearer to a half: "
    "(hits + z**2 / 2) / (trials + z**2)."
)
def _around_the_share(hits, trials, least):
    low, high, _ = verdict.reference(hits, trials, least)
    if trials == 0:
        return low, high, "open"
    reach, share = (high - low) / 2, hits / trials
    return _decided(share - reach, share + reach, least)


@verdict.mistake("The words are exchanged: above `least` the story holds, below it fails.")
def _words_exchanged(hits, trials, least):
    low, high, word = verdict.reference(hits, trials, least)
    return low, high, {"holds": "fails", "fails": "holds"}.get(word, word)


@verdict.mistake("The interval's ends are exchanged: first the low one, then the high one.")
def _ends_exchanged(hits, trials, least):
    low, high, word = verdict.reference(hits, trials, least)
    return high, low, word


@verdict.mistake(
    "You compare with one half in every case. The share that counts is the argument `least`."
)
def _always_half(hits, trials, least):
    return verdict.reference(hits, trials, 0.5)


@verdict.mistake(
    "You decide by one end too early: if the *high* end lies above `least`, the low one may lie "
    "below it, and then the verdict is open."
)
def _by_the_other_end(hits, trials, least):
    low, high, _ = verdict.reference(hits, trials, least)
    return low, high, "holds" if high > least else "fails"


@verdict.mistake(
    "Without any scene nothing is known: the interval reaches from 0 to 1, and the verdict is open."
)
def _nothing_tried(hits, trials, least):
    if trials == 0:
        return 0.0, 0.0, "fails"
    return verdict.reference(hits, trials, least)


# ---------------------------------------------------------------------------- a story of one's own

ASK = nn.Sequential(nn.Flatten())
"""A network whose scores are the picture's twelve values, so that a probe's answers are planned."""


STORY_CASES = """
target rival target, target rival target, target rival target, target target rival,
target other target, target other target, target rival rival, target target target,
rival rival rival, other rival other, other rival other, other other rival,
target rival -, target - rival
"""
"""Each scene: whole, changed, under the control. A dash is a variant that does not exist."""


def _stories(random):
    """Scenes of all kinds, in random order; and the same without any control."""
    calls = []
    names = (("without_crown", "without_tips"), ("with_trunk", "elsewhere"))
    for pair, groups in zip(names, GROUPS[1:]):
        classes = dict(zip(("target", "rival", "other"), groups))
        turns = {kind: itertools.cycle(numbers) for kind, numbers in classes.items()}
        scenes = []
        for case in STORY_CASES.strip().split(","):
            kinds = zip(("whole", *pair), case.split())
            kept = {name: next(turns[kind]) for name, kind in kinds if kind != "-"}
            logits = _logits(list(kept.values()), 12)
            scenes.append(dict(zip(kept, logits.reshape(-1, 3, 2, 2))))
        scenes = [scenes[number] for number in random.permutation(len(scenes))]
        calls.append((ASK, scenes, *pair, classes["target"], classes["rival"]))
    ask, scenes, change, control, *classes = calls[0]
    lacking = [{name: s[name] for name in s if name != control} for s in scenes]
    return [*calls, (ask, lacking, change, control, *classes)]


@check(points=3, probes=_stories, integers=True)
def judge_story(ask, scenes, change, control, target, rival):
    """Put a story beside its control -> extra, recognized, became, became_by_control.

    Only scenes that have both variants, the change and the control, are used. extra: how much
    further the target's score falls by the change than by the control, the mean over all of these,
    recognized or not. recognized, became: what `outcome` counts for the change; became_by_control:
    what it counts for the control. Four numbers, the last three whole; 0 where no scene has both.

    ask: a function, pictures (N, 3, H, W) -> logits (N, classes)
    scenes: a list of dicts {name: picture (3, H, W)}; each has "whole", and most have `change` and
    `control`, two names of variants. target, rival: as `outcome` takes them
    """
    both = [scene for scene in scenes if change in scene and control in scene]
    if not both:
        return 0.0, 0, 0, 0
    whole = ask(torch.stack([scene["whole"] for scene in both]))
    changed = ask(torch.stack([scene[change] for scene in both]))
    placebo = ask(torch.stack([scene[control] for scene in both]))
    falls, recognized, _, became = outcome.reference(whole, changed, target, rival)
    falls_by_control, _, _, by_control = outcome.reference(whole, placebo, target, rival)
    extra = (falls - falls_by_control).mean()
    return float(extra), recognized, became, by_control


def _answers(ask, scenes, *names):
    """The logits of several variants of those scenes that have all of them."""
    both = [scene for scene in scenes if all(name in scene for name in names)]
    if not both:
        return None
    return [ask(torch.stack([scene[name] for scene in both])) for name in names]


def _told(ask, scenes, change, control, target, rival, extra):
    """The answer with extra(falls, falls by the control, recognized) for the difference."""
    found = _answers(ask, scenes, "whole", change, control)
    if found is None:
        return 0, 0, 0, 0
    whole, changed, placebo = found
    falls, recognized, _, became = outcome.reference(whole, changed, target, rival)
    others, _, _, by_control = outcome.reference(whole, placebo, target, rival)
    return float(extra(falls, others, _called(whole, target))), recognized, became, by_control


@judge_story.mistake(
    "This is the change's own fall. Anything that is altered may cost a little: subtract what the "
    "control costs in the same scenes."
)
def _without_control(*arguments):
    return _told(*arguments, lambda falls, others, known: falls.mean())


@judge_story.mistake(
    "The difference has the wrong sign: the fall by the change minus the fall by the control."
)
def _control_first(*arguments):
    return _told(*arguments, lambda falls, others, known: (others - falls).mean())


@judge_story.mistake(
    "Your difference is a sum over the scenes. Take the mean, or it grows with their number."
)
def _total(*arguments):
    return _told(*arguments, lambda falls, others, known: (falls - others).sum())


@judge_story.mistake(
    "Your mean leaves out the scenes that were not recognized. Scores can fall there as well: only "
    "the counts are about recognized scenes."
)
def _recognized_only(*arguments):
    return _told(*arguments, lambda falls, others, known: (falls - others)[known].mean())


@judge_story.mistake("Your difference is the median over the scenes. Asked is their mean.")
def _median(*arguments):
    return _told(*arguments, lambda falls, others, known: (falls - others).median())


@judge_story.mistake(
    "Change and control are measured on different scenes. Keep only those that have both variants, "
    "or the scenes decide and not the change."
)
def _unpaired(ask, scenes, change, control, target, rival):
    sides = [_answers(ask, scenes, "whole", name) for name in (change, control)]
    if None in sides:
        return 0, 0, 0, 0
    (falls, recognized, _, became), (others, _, _, by_control) = (
        outcome.reference(*side, target, rival) for side in sides
    )
    return float(falls.mean() - others.mean()), recognized, became, by_control


@judge_story.mistake(
    "The last two numbers are exchanged: first what the change turns into the rival, then what the "
    "control does."
)
def _counts_exchanged(*arguments):
    extra, recognized, became, by_control = judge_story.reference(*arguments)
    return extra, recognized, by_control, became


@judge_story.mistake(
    "Your second number is how many scenes have both variants. Asked is in how many of them the "
    "network recognizes the whole picture."
)
def _scenes_counted(ask, scenes, change, control, target, rival):
    extra, _, became, by_control = judge_story.reference(
        ask, scenes, change, control, target, rival
    )
    both = [scene for scene in scenes if change in scene and control in scene]
    return extra, len(both), became, by_control


@judge_story.mistake(
    "Your counts are of scenes that stay what they are. Asked is how many become the rival."
)
def _still(ask, scenes, change, control, target, rival):
    extra, recognized, _, _ = judge_story.reference(ask, scenes, change, control, target, rival)
    found = _answers(ask, scenes, "whole", change, control)
    if found is None:
        return 0, 0, 0, 0
    whole, changed, placebo = found
    still, by_control = (
        outcome.reference(whole, other, target, rival)[2] for other in (changed, placebo)
    )
    return extra, recognized, still, by_control
