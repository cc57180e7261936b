"""Checks of notebook 9, dataset search."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from course_utils.exercises import check

# ---------------------------------------------------------------------------- peaks


def _maps(random):
    """Maps that are not square, with values of both signs and all negative; a single map.

    In the last, maxima occur twice: of one picture the upper is at the right, of the other at the
    left.
    """
    negative = -0.1 - torch.rand(2, 3, 6, 4)
    twice = negative.clone()
    twice[0, :, 1, 3] = twice[0, :, 4, 1] = 0.5
    twice[1, :, 0, 1] = twice[1, :, 2, 2] = 0.5
    return [
        (torch.randn(3, 4, 5, 7),),
        (negative,),
        (torch.randn(1, 3, 2, 9),),
        (negative[:1, :1],),
        (twice,),
    ]


def _places(maps):
    """The maximum of each map and its index in reading order."""
    return maps.flatten(2).max(dim=2)


def _first_places(call, outcome):
    """The first place of each maximum instead of another one at which it occurs as well."""
    (maps,) = call
    values, rows, columns = outcome.value
    if not values.shape == rows.shape == columns.shape == maps.shape[:2]:
        return outcome
    pictures, channels = (torch.arange(count) for count in maps.shape[:2])
    there = maps[pictures[:, None], channels, rows.long(), columns.long()]
    right = (there == maps.amax((2, 3))) & (rows >= 0) & (columns >= 0)
    first = _places(maps).indices
    width = maps.shape[3]
    rows = torch.where(right, (first // width).to(rows.dtype), rows)
    columns = torch.where(right, (first % width).to(columns.dtype), columns)
    return replace(outcome, value=(values, rows, columns))


@check(points=1, probes=_maps, integers=True, one_form=_first_places)
def channel_peaks(maps):
    """The maximum of every map and where it is: maps (N, C, h, w) -> values, rows, columns.

    All three are tensors (N, C), also for one picture; rows and columns are integers.
    Where a maximum occurs more than once, any of its places will do.
    """
    values, places = maps.flatten(2).max(dim=2)
    width = maps.shape[3]
    return values, places // width, places % width


@channel_peaks.mistake(
    "Rows and columns are exchanged. Row by row is how the map was flattened: the quotient by the "
    "width is the row, the remainder the column."
)
def _exchanged(maps):
    values, places = _places(maps)
    return values, places % maps.shape[3], places // maps.shape[3]


@channel_peaks.mistake(
    "You divide by the map's height. Flattening puts row after row, each as long as the map is "
    "*wide*: divide by maps.shape[3]."
)
def _by_height(maps):
    values, places = _places(maps)
    return values, places // maps.shape[2], places % maps.shape[2]


@channel_peaks.mistake(
    "The row with the highest sum and the column with the highest sum need not meet at the "
    "maximum. Look for one place in the whole map."
)
def _by_sums(maps):
    return maps.amax((2, 3)), maps.sum(3).argmax(2), maps.sum(2).argmax(2)


@channel_peaks.mistake(
    "The places are still those of the flattened map, and two results instead of three. Divide "
    "them by the width: the quotient is the row, the remainder the column."
)
def _flat_places(maps):
    values, places = _places(maps)
    return values, places


@channel_peaks.mistake("You divided with /, so your rows are fractions. Whole rows come from //.")
def _fractions(maps):
    values, places = _places(maps)
    return values, places / maps.shape[3], places % maps.shape[3]


@channel_peaks.mistake(
    "`argmax` along one axis finds the best place of every row or column, not of the map. Look for "
    "one place in the whole map."
)
def _best_of_each_line(maps):
    return maps.amax((2, 3)), maps.argmax(2), maps.argmax(3)


@channel_peaks.mistake("Rows and columns come last: the order is values, rows, columns.")
def _values_last(maps):
    values, rows, columns = channel_peaks.reference(maps)
    return rows, columns, values


@channel_peaks.mistake(
    "`amax` over three axes leaves one number a channel. Each picture has its own: take it over "
    "rows and columns alone."
)
def _values_over_pictures(maps):
    _, rows, columns = channel_peaks.reference(maps)
    return maps.amax((0, 2, 3)), rows, columns


@channel_peaks.mistake(
    "You looked for the place in the whole picture, over all channels at once. Each map has its "
    "own: flatten the last two axes alone, `maps.flatten(2)`."
)
def _over_channels(maps):
    values, places = maps.flatten(1).max(dim=1)
    return values, places // maps.shape[3], places % maps.shape[3]


@channel_peaks.mistake(
    "You looked for the place over all pictures at once. Each picture has its own maximum: the "
    "answers are (N, C)."
)
def _over_pictures(maps):
    values, places = maps.transpose(0, 1).flatten(1).max(dim=1)
    cells = maps[0, 0].numel()
    return values, places % cells // maps.shape[3], places % maps.shape[3]


@channel_peaks.mistake(
    "Your values are means of the maps. Here a picture counts by its strongest place, the maximum."
)
def _means(maps):
    _, rows, columns = channel_peaks.reference(maps)
    return maps.mean((2, 3)), rows, columns


@channel_peaks.mistake("These are the lowest values and their places. Look for the highest.")
def _lowest(maps):
    values, rows, columns = channel_peaks.reference(-maps)
    return -values, rows, columns


@channel_peaks.mistake(
    "You take the largest *absolute* value. A strongly negative place is one the channel does not "
    "like."
)
def _absolute(maps):
    return channel_peaks.reference(maps.abs())


@channel_peaks.mistake(
    "You take the places from absolute values. A strongly negative place is one the channel does "
    "not like."
)
def _at_the_largest_absolute(maps):
    _, rows, columns = channel_peaks.reference(maps.abs())
    return maps.amax((2, 3)), rows, columns


@channel_peaks.mistake(
    "You cut off negative values first, as a ReLU does. Maps that are negative everywhere have "
    "their maxima, too, and the search is made before the ReLU so that it can order them."
)
def _rectified(maps):
    return channel_peaks.reference(maps.relu())


@channel_peaks.mistake(
    "For one picture, or one channel, an axis is missing: `squeeze()` takes away every axis of "
    "length 1. Name the axes that it may take, or flatten instead."
)
def _squeezed(maps):
    return tuple(result.squeeze() for result in channel_peaks.reference(maps))


# ---------------------------------------------------------------------------- keeping k

GALLERIES = (
    # values in the gallery's order: first what has been seen, then what is new; and k
    ([3, 5, 3, 1, 5], [5, 3, 9, 1, 5, 3, 9], 5),
    ([4, 2], [4, 2, 7], 9),
    ([], [1, 6, 6, 1], 3),
    ([2], [2, 5, 5], 1),
    ([3, 0, 3, 2, 1, 3], [3, 0, 2, 1] * 20, 6),
)


def _states(random):
    """Kept and new values of both signs, many of them equal; each channel has its own."""
    calls = []
    for channels, (seen, new, k) in zip((3, 2, 4, 1, 2), GALLERIES):
        rows = [torch.tensor(seen).roll(n).tolist() + new[n:] + new[:n] for n in range(channels)]
        lowered = torch.tensor(rows) - 4 - torch.arange(channels)[:, None]
        values = int(random.integers(1, 20)) * lowered.float()
        kept, order = values[:, : len(seen)].sort(dim=1, descending=True, stable=True)
        ids = 10 * torch.arange(100, 100 + values.shape[1]) + torch.arange(channels)[:, None]
        ids = ids + int(random.integers(1000))
        calls.append((kept, ids.gather(1, order), values[:, len(seen) :], ids[:, len(seen) :], k))
    return calls


def _joined(values, ids, new_values, new_ids):
    return torch.cat([values, new_values], dim=1), torch.cat([ids, new_ids], dim=1)


@check(points=2, probes=_states, integers=True)
def keep_best(values, ids, new_values, new_ids, k):
    """The k best of what was kept and what is new -> values, ids, best first, at most k of each.

    values, ids: (C, at most k), best first; new_values, new_ids: (C, N), in the gallery's order
    Both results are (C, min(k, all there are)), a row for each channel; ids stay whole numbers.
    Equal values stay in the gallery's order: what was kept comes before what is new.
    """
    values, ids = torch.cat([values, new_values], dim=1), torch.cat([ids, new_ids], dim=1)
    best = values.argsort(dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake("These are the k lowest: sorting counts upwards unless you say descending=True.")
def _the_lowest(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    best = values.argsort(dim=1, stable=True)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake(
    "You sorted by absolute values. A strongly negative value is a low one: sort the values as "
    "they are."
)
def _by_absolute(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    best = values.abs().argsort(dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake(
    "What was kept is lost: you sort the new values alone. Join both first, with `torch.cat`."
)
def _new_alone(values, ids, new_values, new_ids, k):
    return keep_best.reference(values[:, :0], ids[:, :0], new_values, new_ids, k)


@keep_best.mistake(
    "Joined, but not sorted: what was kept stands in front, however good the new values are."
)
def _not_sorted(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    return values[:, :k], ids[:, :k]


@keep_best.mistake(
    "The values are sorted, but the ids were left as they stood: an id has to move with its value. "
    "`gather` takes both by the same order."
)
def _ids_left(values, ids, new_values, new_ids, k):
    both = torch.cat([ids, new_ids], dim=1)
    return keep_best.reference(values, ids, new_values, new_ids, k)[0], both[:, :k]


@keep_best.mistake(
    "The ids were sorted by themselves. An id has to move with its value: `gather` takes both by "
    "the same order."
)
def _ids_sorted(values, ids, new_values, new_ids, k):
    both = torch.cat([ids, new_ids], dim=1).sort(dim=1, descending=True).values
    return keep_best.reference(values, ids, new_values, new_ids, k)[0], both[:, :k]


@keep_best.mistake(
    "Equal values come in the wrong order: what is new stands before what was kept. Put the kept "
    "ones first, and sort with stable=True."
)
def _new_first(values, ids, new_values, new_ids, k):
    return keep_best.reference(new_values, new_ids, values, ids, k)


@keep_best.mistake(
    "Equal values come in reversed order: you sorted upwards and turned the result round. Sort "
    "with descending=True and stable=True."
)
def _turned_round(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    best = values.argsort(dim=1, stable=True).flip(1)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake(
    "The values are right, but equal ones come in any order: `topk` promises none. Sort with "
    "stable=True, and cut off after k."
)
def _topk(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    values, best = values.topk(min(k, values.shape[1]), dim=1)
    return values, ids.gather(1, best)


@keep_best.mistake(
    "The values are right, but in a long row equal ones come in any order: sorting promises none "
    "unless you say stable=True."
)
def _unstable(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    best = values.argsort(dim=1, descending=True)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake(
    "You sort all channels by the first channel's order. Each row has its own best pictures: use "
    "`gather` with the order of all rows."
)
def _first_channel(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    best = values[0].argsort(descending=True, stable=True)[:k]
    return values[:, best], ids[:, best]


@keep_best.mistake(
    "You sort down the columns, so channels change places. Each row is a channel: dim=1."
)
def _down_the_columns(values, ids, new_values, new_ids, k):
    values, ids = _joined(values, ids, new_values, new_ids)
    best = values.argsort(dim=0, descending=True, stable=True)[:, :k]
    return values.gather(0, best), ids.gather(0, best)


@keep_best.mistake(
    "The new values were sorted before you joined them, and their ids were not. Join first, as "
    "they come, and sort both by one order."
)
def _new_values_sorted(values, ids, new_values, new_ids, k):
    new_values = new_values.sort(dim=1, descending=True, stable=True).values
    return keep_best.reference(values, ids, new_values, new_ids, k)


@keep_best.mistake("The ids come first in your answer: return values, ids.")
def _ids_first(values, ids, new_values, new_ids, k):
    return keep_best.reference(values, ids, new_values, new_ids, k)[::-1]


@keep_best.mistake(
    "You keep everything. Only the first k columns are wanted; the others would fill the memory as "
    "the gallery grows."
)
def _everything(values, ids, new_values, new_ids, k):
    return keep_best.reference(values, ids, new_values, new_ids, 10_000)


@keep_best.mistake(
    "You keep k channels instead of k pictures: [:k] cuts off rows. Columns are cut off by [:, :k]."
)
def _cut_rows(values, ids, new_values, new_ids, k):
    values, ids = keep_best.reference(values, ids, new_values, new_ids, 10_000)
    return values[:k], ids[:k]


@keep_best.mistake(
    "You return positions in the joined row. The ids say which picture it was: take them along "
    "with `ids.gather(1, order)`."
)
def _positions(values, ids, new_values, new_ids, k):
    both = torch.cat([values, new_values], dim=1)
    best = both.argsort(dim=1, descending=True, stable=True)[:, :k]
    return both.gather(1, best), best


# ---------------------------------------------------------------------------- crops


def _units(random):
    """Windows inside, beyond each border, beyond two, larger than the picture, and as large.

    Some pixels of the pictures are black.
    """
    wide, high = torch.rand(3, 24, 40), torch.rand(3, 36, 20)
    wide[:, 1::4, ::3], high[:, ::3, 1::4] = 0, 0
    return [
        (wide, 2, 4, 9, 4, -1),  # inside
        (wide, 0, 3, 9, 4, -3),  # above
        (high, 3, 0, 7, 5, -4),  # at the left
        (wide, 5, 2, 8, 4, -2),  # below
        (high, 1, 4, 7, 4, 1),  # at the right
        (high, 8, 5, 12, 4, -3),  # below and at the right
        (high, 4, 3, 62, 3, -24),  # on all sides
        (wide[:, :, :24], 0, 0, 24, 8, 0),  # exactly
    ]


def _window(picture, top, left, size, outside):
    """(3, size, size) from top, left on, with `outside` where there is no picture."""
    wide = F.pad(picture, [99] * 4, value=outside)
    return wide[:, top + 99 : top + 99 + size, left + 99 : left + 99 + size]


@check(points=2, probes=_units)
def receptive_crop(picture, row, column, size, stride, start):
    """What the unit at (row, column) sees of a picture (3, H, W): a tensor (3, size, size).

    Unit i sees `size` pixels from start + i * stride on, and a part of them may lie beyond any
    border of the picture. Outside the picture the crop is white (1).
    """
    top, left = start + row * stride, start + column * stride
    wide = F.pad(picture, (size, size, size, size), value=1.0)
    return wide[:, top + size : top + 2 * size, left + size : left + 2 * size]


@receptive_crop.mistake(
    "Row and column are exchanged: the row says how far down the window is, and a picture is "
    "(3, rows, columns)."
)
def _transposed(picture, row, column, size, stride, start):
    return _window(picture, start + column * stride, start + row * stride, size, 1.0)


@receptive_crop.mistake(
    "You forget `start`: with padding the first unit's window begins outside the picture."
)
def _no_start(picture, row, column, size, stride, start):
    return _window(picture, row * stride, column * stride, size, 1.0)


@receptive_crop.mistake(
    "You subtract `start`. It is where the first unit's window begins, negative if that lies "
    "outside the picture: add it."
)
def _start_subtracted(picture, row, column, size, stride, start):
    return _window(picture, row * stride - start, column * stride - start, size, 1.0)


@receptive_crop.mistake(
    "You multiply `start` by the stride as well. It is counted in pixels already: start + row * "
    "stride."
)
def _start_in_cells(picture, row, column, size, stride, start):
    return _window(picture, (start + row) * stride, (start + column) * stride, size, 1.0)


@receptive_crop.mistake(
    "Your window is centred on start + row * stride. That is where it *begins*; it ends `size` "
    "pixels further."
)
def _centred(picture, row, column, size, stride, start):
    start = start - size // 2
    return _window(picture, start + row * stride, start + column * stride, size, 1.0)


@receptive_crop.mistake(
    "Outside the picture your crop is black. White was asked for, so that nobody takes it for a "
    "dark picture."
)
def _black(picture, row, column, size, stride, start):
    return _window(picture, start + row * stride, start + column * stride, size, 0.0)


@receptive_crop.mistake(
    "Outside the picture you repeat its border. The unit sees nothing there: make it white."
)
def _repeated_border(picture, row, column, size, stride, start):
    wide = F.pad(picture, [99] * 4, mode="replicate")
    top, left = start + row * stride + 99, start + column * stride + 99
    return wide[:, top : top + size, left : left + size]


@receptive_crop.mistake(
    "You take the row of the map for a row of the picture. One step in the map is `stride` pixels."
)
def _no_stride(picture, row, column, size, stride, start):
    return _window(picture, start + row, start + column, size, 1.0)


@receptive_crop.mistake(
    "A slice that begins below 0 counts from the other end, so nothing is left of this crop. Pad "
    "the picture first, then the window lies inside."
)
def _sliced(picture, row, column, size, stride, start):
    top, left = start + row * stride, start + column * stride
    return picture[:, top : top + size, left : left + size]


@receptive_crop.mistake(
    "At the border your crop is smaller: you cut off what lies outside the picture. It is part of "
    "the crop, in white."
)
def _cut_off(picture, row, column, size, stride, start):
    top, left = start + row * stride, start + column * stride
    rows = slice(max(top, 0), min(top + size, picture.shape[1]))
    columns = slice(max(left, 0), min(left + size, picture.shape[2]))
    return picture[:, rows, columns]


@receptive_crop.mistake(
    "The window begins at the picture's border where it should begin outside: you raise its first "
    "row and column to 0, and it shows pixels that the unit can't see."
)
def _begins_inside(picture, row, column, size, stride, start):
    top, left = max(start + row * stride, 0), max(start + column * stride, 0)
    return picture[:, top : top + size, left : left + size]


@receptive_crop.mistake(
    "At the border your window is moved into the picture. It shows pixels that the unit can't see: "
    "leave it where it is, and fill what lies outside."
)
def _moved_inside(picture, row, column, size, stride, start):
    top = max(min(start + row * stride, picture.shape[1] - size), 0)
    left = max(min(start + column * stride, picture.shape[2] - size), 0)
    return picture[:, top : top + size, left : left + size].clone()


@receptive_crop.mistake(
    "Your window is pushed back into the picture. It shows pixels that the unit can't see: leave "
    "it where it is, and fill what lies outside."
)
def _pushed_inside(picture, row, column, size, stride, start):
    top = min(max(start + row * stride, 0), picture.shape[1] - size)
    left = min(max(start + column * stride, 0), picture.shape[2] - size)
    return picture[:, top : top + size, left : left + size].clone()


@receptive_crop.mistake(
    "You padded the picture, but cut as if you hadn't: every row and column has moved on by the "
    "padding. Add it to the window's first row and column."
)
def _padded_and_not_moved(picture, row, column, size, stride, start):
    wide = F.pad(picture, [size] * 4, value=1.0)
    top, left = max(start + row * stride, 0), max(start + column * stride, 0)
    return wide[:, top : top + size, left : left + size]


@receptive_crop.mistake(
    "You padded above and at the left alone. The window may also reach beyond the picture's last "
    "row or column: pad all four sides."
)
def _padded_on_two_sides(picture, row, column, size, stride, start):
    wide = F.pad(picture, (size, 0, size, 0), value=1.0)
    top, left = start + row * stride + size, start + column * stride + size
    return wide[:, top : top + size, left : left + size]


# ---------------------------------------------------------------------------- overlap


def _hot_and_masks(random):
    """Where channels are hot, and which share of each cell belongs to a part.

    A picture in which nothing is hot, a channel that never is, a part that never occurs, a cell
    that shows a part whole; several pictures and a single one, and one channel with one part.
    Nowhere are a channel and a part both of nothing: what 0 / 0 should be, the text doesn't say.
    """
    calls = []
    sizes = ((5, 3, 4, (3, 5)), (4, 5, 2, (6, 4)), (1, 2, 3, (4, 5)), (2, 1, 1, (5, 3)))
    for count, channels, parts, size in sizes:
        hot = torch.rand(count, channels, *size) > 0.6
        masks = torch.rand(count, parts, *size) * (torch.rand(count, parts, *size) > 0.5)
        masks[0, 0, 1, 2] = 1.0
        hot[-1, :, 0, 0] = True
        if count > 1:
            hot[0] = False
        calls.append((hot, masks))
    calls[0][0][:, 1] = False
    calls[1][1][:, 1] = 0
    return calls


def _areas(hot, masks):
    """Intersections (C, M), and the areas of both, (C, 1) and (1, M)."""
    hot = hot.float()
    shared = torch.einsum("nchw,nmhw->cm", hot, masks)
    return shared, hot.sum((0, 2, 3))[:, None], masks.sum((0, 2, 3))[None]


@check(points=2, probes=_hot_and_masks)
def overlap(hot, masks):
    """Intersection over union of channels and parts, over all pictures together: (C, M).

    hot: (N, C, h, w) bool, where each channel is above its threshold
    masks: (N, M, h, w) in [0, 1], the share of each cell that shows the part
    A cell where a channel is hot counts by its share in the intersection, as 1 in the hot area.
    """
    hot = hot.float().transpose(0, 1).flatten(1)  # (C, all cells)
    masks = masks.transpose(0, 1).flatten(1)  # (M, all cells)
    shared = hot @ masks.T
    areas = hot.sum(dim=1)[:, None] + masks.sum(dim=1)
    return shared / (areas - shared)


@overlap.mistake(
    "You divide by the sum of the two areas. In it the intersection counts twice: subtract it once."
)
def _by_both_areas(hot, masks):
    shared, hot_area, mask_area = _areas(hot, masks)
    return shared / (hot_area + mask_area)


@overlap.mistake(
    "This is the Dice coefficient, twice the intersection over the sum of the areas. Divide the "
    "intersection, once, by the union."
)
def _dice(hot, masks):
    shared, hot_area, mask_area = _areas(hot, masks)
    return 2 * shared / (hot_area + mask_area)


@overlap.mistake(
    "You divide by the part's area. A channel that is hot everywhere would be a perfect detector "
    "of everything: the union counts its other places as well."
)
def _recall(hot, masks):
    shared, _, mask_area = _areas(hot, masks)
    return shared / mask_area


@overlap.mistake(
    "You divide by the channel's area. A channel that is hot in one right place would be perfect: "
    "the union counts what it misses as well."
)
def _precision(hot, masks):
    shared, hot_area, _ = _areas(hot, masks)
    return shared / hot_area


@overlap.mistake(
    "You divide by the number of all cells. Divide by the cells that the channel or the part "
    "covers, their union."
)
def _by_all_cells(hot, masks):
    return _areas(hot, masks)[0] / hot[:, 0].numel()


@overlap.mistake(
    "Your areas are those of all channels and all parts together. Each channel and each part has "
    "its own: sum over the cells alone."
)
def _areas_of_all(hot, masks):
    shared, hot_area, mask_area = _areas(hot, masks)
    return shared / (hot_area.sum() + mask_area.sum() - shared)


@overlap.mistake("These are the intersections. Divide them by the unions.")
def _intersections(hot, masks):
    return _areas(hot, masks)[0]


@overlap.mistake(
    "You average the quotients of single pictures. Add up intersections and unions over all "
    "pictures first, then divide once."
)
def _by_picture(hot, masks):
    return _each_picture(hot, masks).nan_to_num(0.0).mean(0)


@overlap.mistake(
    "These are the overlaps of each picture, and the pictures are still apart. Sum over them as "
    "well, before you divide."
)
def _apart(hot, masks):
    return _each_picture(hot, masks)


def _each_picture(hot, masks):
    hot = hot.float()
    shared = torch.einsum("nchw,nmhw->ncm", hot, masks)
    return shared / (hot.sum((2, 3))[:, :, None] + masks.sum((2, 3))[:, None] - shared)


@overlap.mistake("Channels and parts are exchanged: the answer has one row for each channel.")
def _exchanged_axes(hot, masks):
    return overlap.reference(hot, masks).T


@overlap.mistake(
    "You count a cell as the part as soon as any of it shows the part. The masks are shares: use "
    "them as they are."
)
def _any_share(hot, masks):
    return overlap.reference(hot, (masks > 0).float())


@overlap.mistake(
    "You count a cell as the part where more than half of it shows the part. The masks are shares: "
    "use them as they are."
)
def _over_half(hot, masks):
    return overlap.reference(hot, (masks > 0.5).float())


@overlap.mistake(
    "`reshape` cuts the numbers anew and mixes channels and pictures. Bring the channels to the "
    "front first, with `transpose(0, 1)`, and flatten then."
)
def _mixed(hot, masks):
    hot, masks = hot.float(), masks.contiguous()
    shape = -1, hot.shape[0] * hot.shape[2] * hot.shape[3]
    return overlap.reference(
        hot.reshape(shape)[None, ..., None], masks.reshape(shape)[None, ..., None]
    )
