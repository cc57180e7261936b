"""Checks of notebook 9, dataset search."""

import torch

from course_utils.exercises import check

# ---------------------------------------------------------------------------- peaks


def _maps(random):
    """Maps that are not square, whose maxima lie anywhere."""
    return [(torch.randn(3, 4, *size),) for size in ((5, 7), (6, 4), (2, 9))]


def _places(maps):
    """The maximum of each map and its index in reading order."""
    return maps.flatten(2).max(dim=2)


@check(points=1, probes=_maps)
def channel_peaks(maps):
    """The maximum of every map and where it is: maps (N, C, h, w) -> values, rows, columns.

    All three (N, C); rows and columns are integers.
    """
    values, places = maps.flatten(2).max(dim=2)
    return values, places // maps.shape[3], places % maps.shape[3]


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
    "Your values are means of the maps. Here a picture counts by its strongest place, the maximum."
)
def _means(maps):
    _, rows, columns = channel_peaks.reference(maps)
    return maps.mean((2, 3)), rows, columns


@channel_peaks.mistake(
    "You take the largest *absolute* value. A strongly negative place is one the channel does not "
    "like."
)
def _absolute(maps):
    return channel_peaks.reference(maps.abs())


# ---------------------------------------------------------------------------- keeping k


def _states(random):
    """What was kept so far and what is new; many values are equal."""
    calls = []
    for channels, kept, new, k in ((4, 5, 6, 5), (3, 2, 3, 9), (5, 0, 4, 3), (6, 6, 8, 6)):
        values = torch.randint(0, 5, (channels, kept + new)).float()
        old, order = values[:, :kept].sort(dim=1, descending=True, stable=True)
        ids = torch.arange(kept + new).expand(channels, -1) + 100
        calls.append((old, ids.gather(1, order), values[:, kept:], ids[:, kept:], k))
    return calls


@check(points=2, probes=_states)
def keep_best(values, ids, new_values, new_ids, k):
    """The k best of what was kept and what is new -> values, ids, best first, at most k of each.

    values, ids: (C, at most k), best first; new_values, new_ids: (C, N), in the gallery's order
    Equal values stay in the gallery's order: what was kept comes before what is new.
    """
    values, ids = torch.cat([values, new_values], dim=1), torch.cat([ids, new_ids], dim=1)
    best = values.argsort(dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake("These are the k lowest: sorting counts upwards unless you say descending=True.")
def _lowest(values, ids, new_values, new_ids, k):
    values, ids = torch.cat([values, new_values], dim=1), torch.cat([ids, new_ids], dim=1)
    best = values.argsort(dim=1, stable=True)[:, :k]
    return values.gather(1, best), ids.gather(1, best)


@keep_best.mistake(
    "The values are sorted, but the ids were left as they stood: an id has to move with its value. "
    "`gather` takes both by the same order."
)
def _ids_left(values, ids, new_values, new_ids, k):
    both = torch.cat([ids, new_ids], dim=1)
    return keep_best.reference(values, ids, new_values, new_ids, k)[0], both[:, :k]


@keep_best.mistake(
    "Equal values come in the wrong order: what is new stands before what was kept. Put the kept "
    "ones first, and sort with stable=True."
)
def _new_first(values, ids, new_values, new_ids, k):
    return keep_best.reference(new_values, new_ids, values, ids, k)


@keep_best.mistake(
    "You sort all channels by the first channel's order. Each row has its own best pictures: use "
    "`gather` with the order of all rows."
)
def _first_channel(values, ids, new_values, new_ids, k):
    values, ids = torch.cat([values, new_values], dim=1), torch.cat([ids, new_ids], dim=1)
    best = values[0].argsort(descending=True, stable=True)[:k]
    return values[:, best], ids[:, best]


@keep_best.mistake(
    "You keep everything. Only the first k columns are wanted; the others would fill the memory as "
    "the gallery grows."
)
def _everything(values, ids, new_values, new_ids, k):
    return keep_best.reference(values, ids, new_values, new_ids, 10_000)


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
    """Units in the middle, and at each border, of pictures that are not square."""
    wide, high = torch.rand(3, 24, 40), torch.rand(3, 36, 20)
    return [
        (wide, 2, 4, 9, 4, -1),
        (wide, 0, 9, 9, 4, -3),
        (high, 8, 0, 7, 4, -2),
        (high, 3, 2, 12, 5, -4),
    ]


@check(points=2, probes=_units)
def receptive_crop(picture, row, column, size, stride, start):
    """What the unit at (row, column) sees of a picture (3, H, W): (3, size, size).

    Unit i sees `size` pixels from start + i * stride on. Outside the picture the crop is white (1).
    """
    crop = torch.ones(3, size, size)
    top, left = start + row * stride, start + column * stride
    rows = slice(max(top, 0), min(top + size, picture.shape[1]))
    columns = slice(max(left, 0), min(left + size, picture.shape[2]))
    crop[:, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = (
        picture[:, rows, columns]
    )
    return crop


@receptive_crop.mistake(
    "Row and column are exchanged: the row says how far down the window is, and a picture is "
    "(3, rows, columns)."
)
def _transposed(picture, row, column, size, stride, start):
    return receptive_crop.reference(picture, column, row, size, stride, start)


@receptive_crop.mistake(
    "You forget `start`: with padding the first unit's window begins outside the picture."
)
def _no_start(picture, row, column, size, stride, start):
    return receptive_crop.reference(picture, row, column, size, stride, 0)


@receptive_crop.mistake(
    "Your window is centred on start + row * stride. That is where it *begins*; it ends `size` "
    "pixels further."
)
def _centred(picture, row, column, size, stride, start):
    return receptive_crop.reference(picture, row, column, size, stride, start - size // 2)


@receptive_crop.mistake(
    "Outside the picture your crop is black. White was asked for, so that nobody takes it for a "
    "dark picture."
)
def _black(picture, row, column, size, stride, start):
    inside = receptive_crop.reference(torch.ones_like(picture), row, column, size, stride, start)
    crop = receptive_crop.reference(picture, row, column, size, stride, start)
    outside = receptive_crop.reference(torch.zeros_like(picture), row, column, size, stride, start)
    return torch.where((inside == 1) & (outside == 1), 0.0, crop)


@receptive_crop.mistake(
    "You take the row of the map for a row of the picture. One step in the map is `stride` pixels."
)
def _no_stride(picture, row, column, size, stride, start):
    return receptive_crop.reference(picture, row, column, size, 1, start)


@receptive_crop.mistake(
    "At the border your window is moved into the picture. It shows pixels that the unit can't see: "
    "leave it where it is, and fill what lies outside."
)
def _moved_inside(picture, row, column, size, stride, start):
    top = min(max(start + row * stride, 0), picture.shape[1] - size)
    left = min(max(start + column * stride, 0), picture.shape[2] - size)
    return picture[:, top : top + size, left : left + size].clone()


# ---------------------------------------------------------------------------- overlap


def _hot_and_masks(random):
    """Where channels are hot, and which share of each cell belongs to a part."""
    calls = []
    for count, channels, parts, size in ((5, 3, 4, (3, 5)), (4, 5, 2, (6, 4))):
        hot = torch.rand(count, channels, *size) > 0.6
        share = torch.rand(count, parts, *size) * (torch.rand(count, parts, *size) > 0.5)
        hot[0] = False  # so that averaging over pictures differs
        calls.append((hot, share))
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
    """
    hot = hot.float().transpose(0, 1).flatten(1)  # (C, all cells)
    masks = masks.transpose(0, 1).flatten(1)  # (M, all cells)
    shared = hot @ masks.T
    areas = hot.sum(dim=1)[:, None] + masks.sum(dim=1)
    return shared / (areas - shared)


@overlap.mistake(
    "You divide by the sum of the two areas. In it the intersection counts twice: subtract it once."
)
def _dice(hot, masks):
    shared, hot_area, mask_area = _areas(hot, masks)
    return shared / (hot_area + mask_area)


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
    "You average the quotients of single pictures. Add up intersections and unions over all "
    "pictures first, then divide once."
)
def _by_picture(hot, masks):
    hot = hot.float()
    shared = torch.einsum("nchw,nmhw->ncm", hot, masks)
    union = hot.sum((2, 3))[:, :, None] + masks.sum((2, 3))[:, None] - shared
    return (shared / union.clamp(min=1e-9)).mean(0)


@overlap.mistake("Channels and parts are exchanged: the answer has one row for each channel.")
def _exchanged_axes(hot, masks):
    return overlap.reference(hot, masks).T


@overlap.mistake(
    "You count a cell as the part as soon as any of it shows the part. The masks are shares: use "
    "them as they are."
)
def _any_share(hot, masks):
    return overlap.reference(hot, (masks > 0).float())
