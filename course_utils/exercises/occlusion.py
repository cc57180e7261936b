"""Checks of notebook 4, occlusion."""

import math

import torch
from torch import nn

from course_utils.exercises import check

# ---------------------------------------------------------------------------- windows


def _sizes(random):
    """Oblong pictures: the stride fits, does not fit, equals the patch, is 1."""
    calls = []
    for patch, stride in ((8, 5), (8, 8), (7, 3), (5, 1)):
        height, width = (int(size) for size in random.choice(range(14, 36), 2, replace=False))
        calls.append((height, width, patch, stride))
    return [(20, 29, 8, 5), (31, 17, 6, 6), *calls]


def _starts(length, patch, stride):
    return [stride * i for i in range(math.ceil((length - patch) / stride) + 1)]


@check(points=2, probes=_sizes)
def windows(height, width, patch, stride):
    """All positions of the patch -> list of (top, left, bottom, right), row by row.

    Positions start every `stride` pixels, the first at 0, as many as are needed to cover the last
    pixel. The last is clipped: bottom <= height, right <= width.
    """
    return [
        (top, left, min(top + patch, height), min(left + patch, width))
        for top in _starts(height, patch, stride)
        for left in _starts(width, patch, stride)
    ]


@windows.mistake(
    "The last pixels at the border are never covered: you stop before the last, clipped window. "
    "Round the number of steps up, not down."
)
def _rounded_down(height, width, patch, stride):
    return [
        (top, left, top + patch, left + patch)
        for top in range(0, height - patch + 1, stride)
        for left in range(0, width - patch + 1, stride)
    ]


@windows.mistake(
    "The windows at the border reach beyond the picture. Clip them: `min(top + patch, height)`."
)
def _not_clipped(height, width, patch, stride):
    return [
        (top, left, top + patch, left + patch) for top, left, _, _ in
        windows.reference(height, width, patch, stride)
    ]  # fmt: skip


@windows.mistake(
    "You moved the last windows inwards. Here they start on the regular grid and are clipped, as "
    "in Captum."
)
def _moved_inwards(height, width, patch, stride):
    return [
        (min(top, height - patch), min(left, width - patch), bottom, right)
        for top, left, bottom, right in windows.reference(height, width, patch, stride)
    ]


@windows.mistake(
    "Rows and columns are exchanged: top and bottom are rows and run up to the height, left and "
    "right are columns."
)
def _exchanged(height, width, patch, stride):
    found = windows.reference(width, height, patch, stride)
    return [(top, left, bottom, right) for top, left, bottom, right in found]


@windows.mistake(
    "There is one window for each stride, also where a window before it has already reached the "
    "border: stop as soon as the last pixel is covered."
)
def _too_many(height, width, patch, stride):
    return [
        (top, left, min(top + patch, height), min(left + patch, width))
        for top in range(0, height, stride)
        for left in range(0, width, stride)
    ]


# ---------------------------------------------------------------------------- drops


def _networks(random):
    calls = []
    for height, width in ((12, 17), (15, 10)):
        model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5))
        model.append(nn.Linear(6 * (height - 2) * (width - 2), 4)).eval()
        x, replacement = torch.randn(1, 3, height, width), torch.randn(1, 3, height, width)
        places = windows.reference(height, width, 5, 3)
        calls.append((model, x, replacement, places, int(random.integers(4))))
    return calls


def _covered(x, replacement, place):
    top, left, bottom, right = place
    copy = x.clone()
    copy[:, :, top:bottom, left:right] = replacement[:, :, top:bottom, left:right]
    return copy


@check(points=2, probes=_networks)
def drops(model, x, replacement, places, target):
    """How far the target's logit falls when each window of x (1, 3, H, W) is covered -> (N,).

    Under a window (top, left, bottom, right) the pixels come from `replacement` (1, 3, H, W).
    """
    with torch.no_grad():
        before = model(x)[0, target]
        after = [model(_covered(x, replacement, place))[0, target] for place in places]
    return before - torch.stack(after)


@drops.mistake(
    "The sign is turned round: a drop is the score before minus the score after, positive where "
    "covering hurts."
)
def _rises(model, x, replacement, places, target):
    return -drops.reference(model, x, replacement, places, target)


@drops.mistake(
    "You return the scores under each patch. The drop compares them with the score of the "
    "uncovered picture."
)
def _scores(model, x, replacement, places, target):
    with torch.no_grad():
        return torch.stack([model(_covered(x, replacement, p))[0, target] for p in places])


@drops.mistake(
    "The patches pile up: you write into the same copy again and again. Every window starts from "
    "the whole picture."
)
def _piled_up(model, x, replacement, places, target):
    copy, after = x, []
    with torch.no_grad():
        before = model(x)[0, target]
        for place in places:
            copy = _covered(copy, replacement, place)
            after.append(model(copy)[0, target])
    return before - torch.stack(after)


@drops.mistake(
    "You cover with zeros. In the network's own units zero is the mean colour, which is one fill "
    "of many: take the pixels of `replacement`."
)
def _zeros(model, x, replacement, places, target):
    return drops.reference(model, x, torch.zeros_like(x), places, target)


@drops.mistake("These are drops of the softmax probability; the task is about the logit.")
def _probabilities(model, x, replacement, places, target):
    return drops.reference(nn.Sequential(model, nn.Softmax(1)), x, replacement, places, target)


@drops.mistake(
    "You compare the highest logits, whichever class they belong to. Follow the target alone: "
    "under a patch another class may win."
)
def _highest(model, x, replacement, places, target):
    with torch.no_grad():
        after = torch.stack([model(_covered(x, replacement, p)).max() for p in places])
        return model(x).max() - after


@drops.mistake(
    "Rows and columns are exchanged in your patch: the tensor is indexed [:, :, rows, columns]."
)
def _transposed_patch(model, x, replacement, places, target):
    turned = [(left, top, right, bottom) for top, left, bottom, right in places]
    return drops.reference(model, x, replacement, turned, target)


# ---------------------------------------------------------------------------- map


def _values(random):
    calls = []
    for height, width, patch, stride in ((9, 14, 4, 2), (13, 8, 5, 3)):
        places = windows.reference(height, width, patch, stride)
        calls.append((torch.randn(len(places)), places, height, width))
    return calls


@check(points=2, probes=_values)
def to_map(values, places, height, width):
    """Values (N,) of N windows -> heat map (H, W): each pixel the mean over the windows on it."""
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        total[top:bottom, left:right] += value
        count[top:bottom, left:right] += 1
    return total / count


@to_map.mistake(
    "You sum over the windows and never divide. Pixels in the middle lie under more windows than "
    "those at the border, so they would look more important."
)
def _summed(values, places, height, width):
    total = torch.zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        total[top:bottom, left:right] += value
    return total


@to_map.mistake(
    "Each window overwrites the one before: your pixels show the last window on them. Add, count, "
    "and divide."
)
def _last_wins(values, places, height, width):
    heatmap = torch.zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        heatmap[top:bottom, left:right] = value
    return heatmap


@to_map.mistake(
    "You divide by the number of all windows. Divide each pixel by the number of windows that lie "
    "on it."
)
def _by_all(values, places, height, width):
    return _summed(values, places, height, width) / len(places)


@to_map.mistake(
    "Your map is upside down or mirrored along its diagonal: the first index of a map is the row, "
    "top to bottom."
)
def _turned(values, places, height, width):
    heatmap = to_map.reference(values, places, height, width)
    return heatmap.T.flatten().reshape(height, width)


@to_map.mistake("You keep the largest value of all windows on a pixel; asked is their mean.")
def _largest(values, places, height, width):
    heatmap = torch.full((height, width), -torch.inf)
    for value, (top, left, bottom, right) in zip(values, places):
        heatmap[top:bottom, left:right] = heatmap[top:bottom, left:right].clamp(min=value)
    return heatmap


# ---------------------------------------------------------------------------- reach


def _layers(random):
    """First, size, kernel, stride, padding and number of outputs: in the middle and at the ends."""
    fixed = [
        (5, 6, 3, 1, 1, 20),
        (0, 8, 3, 2, 1, 16),
        (9, 7, 5, 3, 2, 8),
        (26, 6, 4, 2, 0, 15),
        (7, 4, 2, 2, 0, 16),
    ]
    drawn = [(int(random.integers(30)), int(random.integers(2, 9)), 3, 2, 1, 20) for _ in range(3)]
    return fixed + drawn


@check(points=2, probes=_layers)
def reach(first, size, kernel, stride, padding, length):
    """The outputs that see any of the inputs first ... first + size - 1 -> (lowest, highest).

    Along one axis, for a convolution or pooling with `length` outputs: output i sees the inputs
    from i * stride - padding on, `kernel` of them.
    """
    lowest = math.ceil((first + padding - kernel + 1) / stride)
    highest = (first + size - 1 + padding) // stride
    return max(lowest, 0), min(highest, length - 1)


@reach.mistake("You forgot the padding: with it, output i starts at input i * stride - padding.")
def _no_padding(first, size, kernel, stride, padding, length):
    return reach.reference(first, size, kernel, stride, 0, length)


@reach.mistake(
    "Your lowest output is rounded down, so it may not see the window at all: the smallest whole "
    "number that is large enough is rounded up."
)
def _floor(first, size, kernel, stride, padding, length):
    lowest = (first + padding - kernel + 1) // stride
    return max(lowest, 0), reach.reference(first, size, kernel, stride, padding, length)[1]


@reach.mistake(
    "Your window is only divided by the stride. An output also sees the kernel - 1 inputs that "
    "follow its first, so the window grows towards smaller indices."
)
def _divided(first, size, kernel, stride, padding, length):
    lowest = (first + padding) // stride
    return max(lowest, 0), reach.reference(first, size, kernel, stride, padding, length)[1]


@reach.mistake("The window leaves the map: there is no output below 0, and none above length - 1.")
def _unclipped(first, size, kernel, stride, padding, length):
    lowest = math.ceil((first + padding - kernel + 1) / stride)
    return lowest, (first + size - 1 + padding) // stride


@reach.mistake(
    "Your highest output is one too high in places: the last input of the window is "
    "first + size - 1."
)
def _one_too_high(first, size, kernel, stride, padding, length):
    lowest, _ = reach.reference(first, size, kernel, stride, padding, length)
    return lowest, min((first + size + padding) // stride, length - 1)
