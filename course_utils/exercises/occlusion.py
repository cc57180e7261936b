"""Checks of notebook 4, occlusion."""

import math

import torch
from torch import nn

from course_utils.exercises import check
from course_utils.exercises.engine.probes import LittleMemory, middling_class

# ---------------------------------------------------------------------------- windows


def _sizes(random):
    """Oblong pictures: the stride fits, does not fit, equals the patch, is 1; one patch is all."""
    height, width = (int(size) for size in random.choice(range(14, 36), 2, replace=False))
    fixed = [(20, 29, 8, 5), (31, 17, 6, 6), (15, 24, 9, 3), (7, 8, 5, 1), (9, 6, 6, 4)]
    return [*fixed, (height, width, 7, 4)]


def _starts(length, patch, stride):
    return [stride * i for i in range(math.ceil((length - patch) / stride) + 1)]


def _window(top, left, height, width, patch):
    return top, left, min(top + patch, height), min(left + patch, width)


def _from_starts(tops, lefts, height, width, patch):
    return [_window(top, left, height, width, patch) for top in tops for left in lefts]


@check(points=2, probes=_sizes)
def windows(height, width, patch, stride):
    """All positions of a square patch -> list of (top, left, bottom, right), row by row.

    Positions start every `stride` pixels, the first at 0, as many as are needed to cover the last
    pixel. As in slices, bottom and right are the first row and column behind the window. The last
    windows are clipped: bottom <= height, right <= width. All are whole numbers, and
    stride <= patch <= height and width.
    """
    tops = [stride * i for i in range(math.ceil((height - patch) / stride) + 1)]
    lefts = [stride * i for i in range(math.ceil((width - patch) / stride) + 1)]
    return [
        (top, left, min(top + patch, height), min(left + patch, width))
        for top in tops
        for left in lefts
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
        (bottom - patch, right - patch, bottom, right)
        for _, _, bottom, right in windows.reference(height, width, patch, stride)
    ]


@windows.mistake(
    "Height and width are exchanged: top and bottom are rows and run up to the height, left and "
    "right are columns and run up to the width."
)
def _sides_exchanged(height, width, patch, stride):
    return windows.reference(width, height, patch, stride)


@windows.mistake(
    "The right edge is clipped at the height. Columns run up to the width: "
    "`min(left + patch, width)`."
)
def _clipped_at_the_height(height, width, patch, stride):
    return [
        (top, left, bottom, min(left + patch, height))
        for top, left, bottom, _ in windows.reference(height, width, patch, stride)
    ]


@windows.mistake(
    "Each window is (left, top, right, bottom) in your list. Rows come first, as in the shape of a "
    "picture: (top, left, bottom, right)."
)
def _columns_first(height, width, patch, stride):
    found = windows.reference(height, width, patch, stride)
    return [(left, top, right, bottom) for top, left, bottom, right in found]


@windows.mistake(
    "The windows are right, but you go down the columns. Row by row: the outer loop is over the "
    "tops, the inner one over the lefts."
)
def _column_by_column(height, width, patch, stride):
    return sorted(windows.reference(height, width, patch, stride), key=lambda window: window[1])


@windows.mistake(
    "Each window ends with its height and width in your list. The last two numbers are where it "
    "ends: bottom = top + patch, clipped."
)
def _with_sizes(height, width, patch, stride):
    found = windows.reference(height, width, patch, stride)
    return [(top, left, patch, patch) for top, left, _, _ in found]


@windows.mistake(
    "Your bottom and right are the last row and column *inside* the window. As in a slice, they "
    "are the first ones behind it: no - 1."
)
def _inclusive(height, width, patch, stride):
    found = windows.reference(height, width, patch, stride)
    return [(top, left, bottom - 1, right - 1) for top, left, bottom, right in found]


@windows.mistake(
    "Positions lie one pixel apart: you use the number of the position as its top or left. "
    "Multiply it by the stride."
)
def _numbers_as_places(height, width, patch, stride):
    rows, columns = _starts(height, patch, stride), _starts(width, patch, stride)
    return _from_starts(range(len(rows)), range(len(columns)), height, width, patch)


@windows.mistake(
    "You ignore the stride: your windows lie side by side, one patch apart. Positions start every "
    "`stride` pixels."
)
def _stride_ignored(height, width, patch, stride):
    return windows.reference(height, width, patch, patch)


@windows.mistake(
    "The last row and the last column of windows are missing: with n steps between them there are "
    "n + 1 positions."
)
def _one_too_few(height, width, patch, stride):
    rows, columns = _starts(height, patch, stride), _starts(width, patch, stride)
    return _from_starts(rows[:-1], columns[:-1], height, width, patch)


@windows.mistake(
    "Your windows lie on the diagonal alone: `zip` pairs the first top with the first left, and so "
    "on. Every top goes with every left: use two loops."
)
def _diagonal(height, width, patch, stride):
    pairs = zip(_starts(height, patch, stride), _starts(width, patch, stride))
    return [_window(top, left, height, width, patch) for top, left in pairs]


@windows.mistake(
    "There is one window for each stride, also where a window before it has already reached the "
    "border: stop as soon as the last pixel is covered."
)
def _too_many(height, width, patch, stride):
    return _from_starts(range(0, height, stride), range(0, width, stride), height, width, patch)


# ---------------------------------------------------------------------------- drops


def _networks(random):
    """Windows overlap and come in no order; in the last call there is one alone."""
    calls = []
    for height, width in ((12, 17), (15, 10)):
        model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Flatten())
        model.append(nn.Linear(6 * (height - 2) * (width - 2), 4))
        x, replacement = torch.randn(1, 3, height, width), torch.randn(1, 3, height, width)
        places = windows.reference(height, width, 5, 2)
        places = [places[i] for i in random.permutation(len(places))]
        middling = middling_class(model(x)[0], [target for *_, target in calls])
        # x itself, a batch of eight, and the batch before it; x may stand in a batch, too
        network = LittleMemory(model.eval(), 17, batch=9)
        calls.append((network, x, replacement, places, middling))
    model, x, replacement, _, target = calls[0]
    return [*calls, (model, x, replacement, [(2, 7, 6, 16)], target)]


def _covered(x, replacement, place):
    top, left, bottom, right = place
    copy = x.clone()
    copy[:, :, top:bottom, left:right] = replacement[:, :, top:bottom, left:right]
    return copy


@check(points=2, probes=_networks)
def drops(model, x, replacement, places, target):
    """How far the target's logit falls when each window of x (1, 3, H, W) is covered -> (N,).

    A tensor without a graph: the score of x minus the score with the window covered. Under a window
    (top, left, bottom, right) the pixels come from `replacement` (1, 3, H, W). x is left as it is.
    Copies are made when they are needed, never more than eight at a time.
    """
    after = []
    with torch.no_grad():
        before = model(x)[0, target]
        for top, left, bottom, right in places:
            copy = x.clone()
            copy[:, :, top:bottom, left:right] = replacement[:, :, top:bottom, left:right]
            after.append(model(copy)[0, target])
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
    "You divide each drop by the score of the uncovered picture. Logits have no natural zero: keep "
    "the difference as it is."
)
def _relative(model, x, replacement, places, target):
    with torch.no_grad():
        before = model(x)[0, target]
    return drops.reference(model, x, replacement, places, target) / before


@drops.mistake(
    "You cover with zeros. In the network's own units zero is the mean colour, which is one fill "
    "of many: take the pixels of `replacement`."
)
def _zeros(model, x, replacement, places, target):
    return drops.reference(model, x, torch.zeros_like(x), places, target)


@drops.mistake(
    "You keep the window and cover everything else. Start from a copy of x, and take the "
    "replacement's pixels inside the window."
)
def _all_but_the_window(model, x, replacement, places, target):
    turned_round = drops.reference(model, replacement, x, places, target)
    with torch.no_grad():
        change = (model(x) - model(replacement))[0, target]
    return turned_round + change


@drops.mistake(
    "You cover the first colour alone. A window goes through all three: `[:, :, top:bottom, "
    "left:right]`."
)
def _first_colour(model, x, replacement, places, target):
    first = torch.cat([replacement[:, :1], x[:, 1:]], 1)
    return drops.reference(model, x, first, places, target)


@drops.mistake(
    "Your windows are one row and one column too large. Bottom and right are the first ones behind "
    "the window, as a slice has it: no + 1."
)
def _one_larger(model, x, replacement, places, target):
    larger = [(top, left, bottom + 1, right + 1) for top, left, bottom, right in places]
    return drops.reference(model, x, replacement, larger, target)


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
    """Overlapping windows of a grid and of no grid; values of both signs, 0, and all negative."""
    calls = []
    for height, width, patch, stride in ((9, 14, 4, 2), (13, 8, 5, 3)):
        places = windows.reference(height, width, patch, stride)
        values = torch.randn(len(places))
        values[::5] = 0
        calls.append((values, places, height, width))
    halves = [(0, 0, 7, 6), (0, 4, 7, 11), (2, 1, 5, 9)]
    return [*calls, (-1 - torch.rand(len(halves)), halves, 7, 11)]


@check(points=2, probes=_values)
def to_map(values, places, height, width):
    """Values (N,) of N windows -> heat map (H, W), a tensor: the mean over the windows on a pixel.

    places: N windows (top, left, bottom, right), where bottom and right are the first row and
    column behind; on every pixel lies at least one. height, width: of the map
    """
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        total[top:bottom, left:right] += value
        count[top:bottom, left:right] += 1
    return total / count


def _mean_map(values, slices, height, width):
    """The mean of the values on each pixel; NaN where none is."""
    total, count = torch.zeros(height, width), torch.zeros(height, width)
    for value, (rows, columns) in zip(values, slices):
        total[rows, columns] += value
        count[rows, columns] += 1
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
    "Rows and columns are exchanged, and some pixels get no window: 0 / 0 is NaN. A map is indexed "
    "[rows, columns], so [top:bottom, left:right]."
)
def _exchanged(values, places, height, width):
    slices = [(slice(left, right), slice(top, bottom)) for top, left, bottom, right in places]
    return _mean_map(values, slices, height, width)


@to_map.mistake(
    "Rows and columns are exchanged, and the pixels without a window are hidden by your clamp. A "
    "map is indexed [rows, columns], so [top:bottom, left:right]."
)
def _exchanged_without_nan(values, places, height, width):
    return _exchanged(values, places, height, width).nan_to_num(0)


@to_map.mistake(
    "You take a window for (top, bottom, left, right). Its order is (top, left, bottom, right)."
)
def _other_order(values, places, height, width):
    slices = [(slice(top, left), slice(bottom, right)) for top, left, bottom, right in places]
    return _mean_map(values, slices, height, width).nan_to_num(0)


@to_map.mistake(
    "Your windows are one row and one column too large. Bottom and right are the first ones behind "
    "the window, as a slice has it: no + 1."
)
def _too_large(values, places, height, width):
    slices = [
        (slice(top, bottom + 1), slice(left, right + 1)) for top, left, bottom, right in places
    ]
    return _mean_map(values, slices, height, width)


@to_map.mistake(
    "Your count starts at 1, so every pixel is divided by one window too many. Start it at 0."
)
def _counted_from_one(values, places, height, width):
    total, count = torch.zeros(height, width), torch.ones(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        total[top:bottom, left:right] += value
        count[top:bottom, left:right] += 1
    return total / count


@to_map.mistake(
    "You halve the sum of the old and the new value at each window, so that later windows weigh "
    "more. Add all values and count them; divide once at the end."
)
def _halved_again(values, places, height, width):
    heatmap = torch.zeros(height, width)
    for value, (top, left, bottom, right) in zip(values, places):
        heatmap[top:bottom, left:right] = (heatmap[top:bottom, left:right] + value) / 2
    return heatmap


@to_map.mistake(
    "You spread each value over its window's area. Every pixel under a window gets the whole "
    "value; what you divide by is the number of windows on a pixel."
)
def _by_area(values, places, height, width):
    areas = torch.tensor([(bottom - top) * (right - left) for top, left, bottom, right in places])
    return _summed(values / areas, places, height, width)


@to_map.mistake(
    "Only the first pixel of each window gets its value. All of them do: "
    "`[top:bottom, left:right]`."
)
def _first_pixel(values, places, height, width):
    slices = [(slice(top, top + 1), slice(left, left + 1)) for top, left, _, _ in places]
    return _mean_map(values, slices, height, width).nan_to_num(0)


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
        (0, 4, 3, 1, 1, 16),  # the lower end, where "rounded up" is still below 0
        (1, 3, 7, 2, 0, 13),
        (9, 7, 5, 3, 2, 8),
        (12, 4, 5, 3, 0, 9),
        (26, 6, 4, 2, 0, 15),
        (27, 5, 3, 1, 1, 32),  # the upper end, where "rounded down" is length, or more
        (28, 4, 5, 1, 2, 32),
        (7, 4, 2, 2, 0, 16),
        (6, 1, 1, 1, 0, 16),
    ]
    drawn = [(int(random.integers(30)), int(random.integers(2, 9)), 3, 2, 1, 20) for _ in range(3)]
    return fixed + drawn


@check(points=2, probes=_layers)
def reach(first, size, kernel, stride, padding, length):
    """The outputs that see any of the inputs first ... first + size - 1 -> (lowest, highest).

    Along one axis, for a convolution or pooling with `length` outputs, 0 ... length - 1: output i
    sees the inputs from i * stride - padding on, `kernel` of them. Two whole numbers, both included
    and both among the outputs; at least one output sees the inputs.
    """
    lowest = math.ceil((first + padding - kernel + 1) / stride)
    highest = (first + size - 1 + padding) // stride
    return max(lowest, 0), min(highest, length - 1)


def _clipped(lowest, highest, length):
    return max(math.ceil(lowest), 0), min(math.floor(highest), length - 1)


@reach.mistake("You forgot the padding: with it, output i starts at input i * stride - padding.")
def _no_padding(first, size, kernel, stride, padding, length):
    return reach.reference(first, size, kernel, stride, 0, length)


@reach.mistake(
    "You subtract the padding. Output i starts at i * stride - padding, so padding is *added* when "
    "you solve for i."
)
def _padding_subtracted(first, size, kernel, stride, padding, length):
    return reach.reference(first, size, kernel, stride, -padding, length)


@reach.mistake(
    "The kernel has the wrong sign: an output sees kernel - 1 inputs *behind* its first, so lower "
    "outputs reach the window as well."
)
def _kernel_added(first, size, kernel, stride, padding, length):
    _, highest = reach.reference(first, size, kernel, stride, padding, length)
    return max(math.ceil((first + padding + kernel - 1) / stride), 0), highest


@reach.mistake(
    "Your lowest output is rounded down, so it may not see the window at all: the smallest whole "
    "number that is large enough is rounded up."
)
def _floor(first, size, kernel, stride, padding, length):
    lowest = (first + padding - kernel + 1) // stride
    return max(lowest, 0), reach.reference(first, size, kernel, stride, padding, length)[1]


@reach.mistake(
    "Your highest output is rounded up, so it may start behind the window: the largest whole "
    "number that is small enough is rounded down."
)
def _ceil(first, size, kernel, stride, padding, length):
    lowest, _ = reach.reference(first, size, kernel, stride, padding, length)
    return lowest, min(math.ceil((first + size - 1 + padding) / stride), length - 1)


@reach.mistake(
    "Your window is only divided by the stride. An output also sees the kernel - 1 inputs that "
    "follow its first, so the window grows towards smaller indices."
)
def _divided(first, size, kernel, stride, padding, length):
    return _clipped((first + padding) // stride, (first + size - 1 + padding) / stride, length)


@reach.mistake(
    "You count half a kernel to both sides, which is right only where the padding is half of it. "
    "Towards lower outputs it is kernel - 1 - padding, towards higher ones padding."
)
def _half_kernels(first, size, kernel, stride, padding, length):
    half = kernel // 2
    return _clipped((first - half) / stride, (first + size - 1 + half) / stride, length)


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


@reach.mistake(
    "Your second number is the first output *behind* those that see the window, as in a slice. "
    "Here the highest one itself is asked for."
)
def _behind(first, size, kernel, stride, padding, length):
    lowest, highest = reach.reference(first, size, kernel, stride, padding, length)
    return lowest, highest + 1


@reach.mistake("Your second number says how many outputs there are. Return the highest one.")
def _how_many(first, size, kernel, stride, padding, length):
    lowest, highest = reach.reference(first, size, kernel, stride, padding, length)
    return lowest, highest - lowest + 1


# ---------------------------------------------------------------------------- score


def _maps_and_masks(random):
    """Signed maps, nearly all negative, very small, very large; without a positive value; one."""
    calls = []
    for height, width, share, scale in ((9, 14, 0.2, 1), (13, 7, 0.6, 1e-4), (6, 11, 0.1, 1e4)):
        mask = torch.rand(height, width) < share
        mask[2, 3] = True
        calls.append((scale * (torch.randn(height, width) - 0.3), mask))
    heatmap, mask = calls[0]
    calls.append((heatmap - heatmap.max() + 0.5, mask))  # few pixels are left
    calls.append((-1 - torch.rand(9, 14), mask))
    calls.append((torch.zeros(9, 14), mask))
    calls.append((torch.where(mask, -1.0, heatmap.abs()), mask))  # all weight beside the mask
    return [*calls, (heatmap, torch.ones(9, 14, dtype=torch.bool))]


@check(points=2, probes=_maps_and_masks)
def weight_on(heatmap, mask):
    """How many times its share of the area a region gets of the map's weight -> one number.

    heatmap: (H, W), of any sign; positive values are weight, negative ones count as none. mask:
    (H, W) bool, True on the region, at least once. 1 means no more weight than area, 2 twice as
    much. A map without any positive value prefers no region: then the answer is 1.
    """
    weight = heatmap.clamp(min=0)
    if weight.sum() == 0:
        return 1.0
    return (weight[mask].mean() / weight.mean()).item()


def _or_one(value):
    return value if math.isfinite(value) else 1.0


@weight_on.mistake(
    "You return the region's share of the weight. A large region gets a large share by chance: "
    "divide by its share of the area."
)
def _share_alone(heatmap, mask):
    weight = heatmap.clamp(min=0)
    return _or_one((weight[mask].sum() / weight.sum()).item())


@weight_on.mistake(
    "Negative values count as much as positive ones in your answer. Where covering *raises* the "
    "score there is no weight."
)
def _without_signs(heatmap, mask):
    weight = heatmap.abs()
    return _or_one((weight[mask].mean() / weight.mean()).item())


@weight_on.mistake(
    "You let negative values cancel positive ones, so the sum may be tiny, or negative. Set them "
    "to 0 first."
)
def _with_signs(heatmap, mask):
    return _or_one((heatmap[mask].mean() / heatmap.mean()).item())


@weight_on.mistake(
    "Your answer is upside down: it falls where the region has more weight. The weight's share is "
    "divided by the area's."
)
def _upside_down(heatmap, mask):
    weight = heatmap.clamp(min=0)
    return _or_one((weight.mean() / weight[mask].mean()).item())


@weight_on.mistake(
    "You compare the region with the rest of the picture. Compare it with the whole picture, the "
    "region included."
)
def _against_the_rest(heatmap, mask):
    weight = heatmap.clamp(min=0)
    return _or_one((weight[mask].mean() / weight[~mask].mean()).item())


@weight_on.mistake(
    "A map without any positive value gives 0 / 0, which is NaN. It prefers no region: return 1 "
    "for it."
)
def _not_a_number(heatmap, mask):
    weight = heatmap.clamp(min=0)
    return (weight[mask].mean() / weight.mean()).item()


@weight_on.mistake(
    "For a map without any positive value you return 0, as if it avoided the region. It prefers "
    "none: return 1."
)
def _none_is_zero(heatmap, mask):
    weight = heatmap.clamp(min=0)
    return (weight[mask].mean() / weight.mean().clamp(min=1e-12)).item()


@weight_on.mistake(
    "You count the pixels with positive values. Each of them weighs as much as its value says."
)
def _counted(heatmap, mask):
    return weight_on.reference((heatmap > 0).float(), mask)


@weight_on.mistake(
    "You shift the map so that its smallest value becomes 0. That gives weight to pixels that have "
    "none: negative values become 0, the others stay."
)
def _shifted(heatmap, mask):
    return weight_on.reference(heatmap - heatmap.min(), mask)


# ---------------------------------------------------------------------------- planted


def _planted_windows(random):
    """Oblong batches, one picture alone; windows at each border, of one row, of all."""
    calls = []
    for count, height, width in ((2, 9, 14), (1, 12, 7), (3, 8, 10)):
        for window in ((0, 2, 3, 6), (height - 4, 1, height, 7), (2, width - 5, 5, width)):
            calls.append((torch.randn(count, 3, height, width), window))
    return [*calls, (torch.randn(2, 3, 6, 8), (4, 3, 5, 8)), (torch.rand(2, 3, 5, 7), (0, 0, 5, 7))]


@check(points=2, probes=_planted_windows)
def planted(x, window):
    """The scores of a network that looks at one window and nowhere else -> (N, 2).

    x: pictures (N, 3, H, W); window: (top, left, bottom, right), where bottom and right are the
    first row and column behind. For each picture the first score is the mean of all its values in
    the window, over rows, columns and colours; the second score is the first with its sign changed.
    """
    top, left, bottom, right = window
    score = x[:, :, top:bottom, left:right].mean((1, 2, 3))
    return torch.stack([score, -score], 1)


def _pair(score):
    return torch.stack([score, -score], 1)


@planted.mistake(
    "Rows and columns are exchanged: your network looks at another place than you said. A picture "
    "is indexed [:, :, rows, columns]. A test with this mistake would call the wrong map right."
)
def _elsewhere(x, window):
    top, left, bottom, right = window
    if left >= x.shape[2] or top >= x.shape[3]:
        return torch.full((len(x), 2), torch.nan)
    return _pair(x[:, :, left:right, top:bottom].mean((1, 2, 3)))


@planted.mistake(
    "You take (top, left, bottom, right) for (top, bottom, left, right), so the window is another."
)
def _other_corners(x, window):
    top, bottom, left, right = window
    return _pair(x[:, :, top:bottom, left:right].mean((1, 2, 3)))


@planted.mistake(
    "You sum the values in the window. Asked is their mean, so that windows of any size give "
    "scores of one scale."
)
def _summed_up(x, window):
    top, left, bottom, right = window
    return _pair(x[:, :, top:bottom, left:right].sum((1, 2, 3)))


@planted.mistake(
    "All pictures of the batch get one score, the mean over all of them. Leave the first dimension "
    "out of the mean."
)
def _one_for_all(x, window):
    top, left, bottom, right = window
    score = x[:, :, top:bottom, left:right].mean()
    return _pair(score.expand(len(x)))


@planted.mistake(
    "The sign of the mean is lost: a window with negative values has a negative first score."
)
def _without_sign(x, window):
    return _pair(planted.reference(x, window)[:, 0].abs())


@planted.mistake("You look at one colour alone. The mean goes over all three.")
def _red_alone(x, window):
    top, left, bottom, right = window
    return _pair(x[:, 0, top:bottom, left:right].mean((1, 2)))


@planted.mistake(
    "Your network looks at the whole picture, with the rest set to 0: it divides by all pixels. "
    "Divide by those in the window."
)
def _by_all_pixels(x, window):
    top, left, bottom, right = window
    only = torch.zeros_like(x)
    only[:, :, top:bottom, left:right] = x[:, :, top:bottom, left:right]
    return _pair(only.mean((1, 2, 3)))


@planted.mistake("Your network looks at the whole picture; cut the window out first.")
def _whole_picture(x, window):
    return _pair(x.mean((1, 2, 3)))


@planted.mistake(
    "Your window is one row and one column too large: bottom and right are the first ones behind, "
    "as in a slice."
)
def _one_more(x, window):
    top, left, bottom, right = window
    return _pair(x[:, :, top : bottom + 1, left : right + 1].mean((1, 2, 3)))


@planted.mistake("Both scores are the same. The second one has the opposite sign.")
def _twice(x, window):
    score = planted.reference(x, window)[:, 0]
    return torch.stack([score, score], 1)


@planted.mistake(
    "The two scores are exchanged: the first is the mean, the second the mean with its sign "
    "changed."
)
def _exchanged_scores(x, window):
    return planted.reference(x, window).flip(1)


@planted.mistake(
    "The second score is 1 minus the first, as for probabilities. These are scores: change the "
    "sign alone."
)
def _as_probabilities(x, window):
    score = planted.reference(x, window)[:, 0]
    return torch.stack([score, 1 - score], 1)
