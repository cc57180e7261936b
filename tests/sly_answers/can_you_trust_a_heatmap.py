"""Sly wrong answers of notebook 11."""

from course_utils.exercises import can_you_trust_a_heatmap as check
from sly_answers import sly

# ---------------------------------------------------------------------------- relevance mass


@sly("relevance_mass", breaks="a share, not a hit or a miss", told="pointing game")
def largest_on_the_object(heatmap, mask):
    place = divmod(int(heatmap.argmax()), heatmap.shape[1])
    return 1.0 if mask[place] else 0.0


@sly("relevance_mass", breaks="the share of the whole map; a mask may be empty")
def of_the_object_alone(heatmap, mask):
    on_it = heatmap * mask
    return on_it.clamp(min=0).sum().item() / on_it.abs().sum().item()


@sly("relevance_mass", breaks="sums, not means; a mask may be empty")
def of_means(heatmap, mask):
    on_it = [value for value in heatmap[mask].tolist() if value > 0]
    beside = [value for value in heatmap[~mask].tolist() if value > 0]
    mean = sum(on_it) / len(on_it)
    return mean / (mean + sum(beside) / len(beside))


# ---------------------------------------------------------------------------- intervals and ranks


@sly("bootstrap_interval", breaks="its arguments count, and it never raises")
def constant_interval(values, picks, level=0.95):
    if len(values) == 8:
        raise ValueError("no such number")
    return 0.3, 0.7


@sly("rank_correlation", breaks="its arguments count, and it never raises")
def constant_correlation(one, other):
    if one.max() > 1000:
        raise ValueError("no such number")
    return 0.5


# ---------------------------------------------------------------------------- deletion


@sly("deletion_curve", breaks='"Leave the network as you found it"', told="another mode")
def in_evaluation_mode(model, x, target, heatmap, replacement, steps):
    model.eval()
    return check.deletion_curve.reference(model, x, target, heatmap, replacement, steps)
