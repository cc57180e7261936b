"""Unusual right answers of notebook 9."""

import heapq

import numpy as np
import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------- peaks


def in_double_with_small_integers(maps):
    values = maps.double().numpy()
    places = values.reshape(*values.shape[:2], -1).argmax(2)
    rows, columns = np.unravel_index(places, values.shape[2:])
    found = [torch.from_numpy(a.astype(np.int32)) for a in (rows, columns)]
    return [torch.from_numpy(values.max((2, 3))), *found]


def by_pooling(maps):
    values, places = F.adaptive_max_pool2d(maps, 1, return_indices=True)
    places = places[..., 0, 0]
    return (
        values[..., 0, 0],
        places.div(maps.shape[3], rounding_mode="floor"),
        places % maps.shape[3],
    )


def rows_first(maps):
    by_row = maps.amax(3)
    rows = by_row.argmax(2)
    lines = maps.gather(2, rows[..., None, None].expand(-1, -1, 1, maps.shape[3]))[:, :, 0]
    return by_row.amax(2), rows, lines.argmax(2)


def the_last_of_several_places(maps):
    values, places = maps.flatten(2).flip(2).max(dim=2)
    places = maps.shape[2] * maps.shape[3] - 1 - places
    return values, places // maps.shape[3], places % maps.shape[3]


def by_comparing(maps):
    values = maps.amax((2, 3))
    is_peak = maps == values[:, :, None, None]
    places = is_peak.flatten(2).int().argmax(2)
    rows = places.div(maps.shape[3], rounding_mode="trunc")
    return values, rows, places - maps.shape[3] * rows


# ---------------------------------------------------------------------------- keeping k


def in_double_with_numpy(values, ids, new_values, new_ids, k):
    values = np.concatenate([values, new_values], 1).astype(float)
    ids = np.concatenate([ids, new_ids], 1)
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]
    chosen = [np.take_along_axis(a, order, 1) for a in (values, ids)]
    return [torch.from_numpy(a) for a in chosen]


def with_python_lists(values, ids, new_values, new_ids, k):
    chosen = []
    for (*kept,) in zip(values.tolist(), ids.tolist(), new_values.tolist(), new_ids.tolist()):
        pairs = [*zip(kept[0], kept[1]), *zip(kept[2], kept[3])]
        chosen.append(heapq.nlargest(k, pairs, key=lambda pair: pair[0]))
    values, ids = np.moveaxis(np.array(chosen, dtype=object), 2, 0)
    return torch.tensor(values.astype(np.float32)), torch.tensor(ids.astype(np.int64))


def by_insertion(values, ids, new_values, new_ids, k):
    rows = []
    for kept, names, more, new_names in zip(values, ids, new_values, new_ids):
        row = list(zip(kept.tolist(), names.tolist()))
        for value, name in zip(more.tolist(), new_names.tolist()):
            place = sum(other >= value for other, _ in row)
            row.insert(place, (value, name))
        rows.append(row[:k])
    return (
        torch.tensor([[value for value, _ in row] for row in rows]),
        torch.tensor([[name for _, name in row] for row in rows]),
    )


def by_ranks(values, ids, new_values, new_ids, k):
    values, ids = torch.hstack([values, new_values]), torch.hstack([ids, new_ids])
    count = values.shape[1]
    later = torch.arange(count)[:, None] > torch.arange(count)
    ahead = (values[:, None] > values[:, :, None]) | (
        (values[:, None] == values[:, :, None]) & later
    )
    order = ahead.sum(2).argsort(1)[:, :k]
    return values.take_along_dim(order, 1), ids.take_along_dim(order, 1)


# ---------------------------------------------------------------------------- crops


def on_a_double_canvas(picture, row, column, size, stride, start):
    canvas, pixels = np.ones((3, size, size)), picture.numpy()
    x = start + column * stride + np.arange(size)
    inside = (0 <= x) & (x < picture.shape[2])
    for i, y in enumerate(range(start + row * stride, start + row * stride + size)):
        if 0 <= y < picture.shape[1]:
            canvas[:, i, inside] = pixels[:, y, x[inside]]
    return torch.from_numpy(canvas)


def by_clipped_indices(picture, row, column, size, stride, start):
    rows = start + row * stride + torch.arange(size)[:, None]
    columns = start + column * stride + torch.arange(size)
    inside = (rows >= 0) & (rows < picture.shape[1]) & (columns >= 0) & (columns < picture.shape[2])
    seen = picture[:, rows.clamp(0, picture.shape[1] - 1), columns.clamp(0, picture.shape[2] - 1)]
    return torch.where(inside, seen, 1.0)


def by_negative_padding(picture, row, column, size, stride, start):
    top, left = start + row * stride, start + column * stride
    bottom, right = top + size - picture.shape[1], left + size - picture.shape[2]
    return F.pad(picture, (-left, right, -top, bottom), value=1)


# ---------------------------------------------------------------------------- overlap


def in_double_by_tensordot(hot, masks):
    hot, masks = hot.double(), masks.double()
    shared = torch.tensordot(hot, masks, ([0, 2, 3], [0, 2, 3]))
    return shared / (hot.sum((0, 2, 3))[:, None] + masks.sum((0, 2, 3)) - shared)


def by_the_larger_of_both(hot, masks):
    found = []
    for channel in hot.unbind(1):
        pairs = [(channel * part, torch.maximum(channel.float(), part)) for part in masks.unbind(1)]
        found.append([shared.sum() / union.sum() for shared, union in pairs])
    return torch.tensor(found)


def by_selecting(hot, masks):
    rows = []
    for channel in range(hot.shape[1]):
        chosen = masks.movedim(1, 3)[hot[:, channel]].sum(0)
        rest = masks.movedim(1, 3)[~hot[:, channel]].sum(0)
        rows.append(chosen / (hot[:, channel].sum() + rest))
    return torch.stack(rows)


ODD = {
    "channel_peaks": [
        in_double_with_small_integers,
        by_pooling,
        rows_first,
        by_comparing,
        the_last_of_several_places,
    ],
    "keep_best": [in_double_with_numpy, with_python_lists, by_insertion, by_ranks],
    "receptive_crop": [on_a_double_canvas, by_clipped_indices, by_negative_padding],
    "overlap": [in_double_by_tensordot, by_the_larger_of_both, by_selecting],
}
