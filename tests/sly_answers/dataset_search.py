"""Sly wrong answers of notebook 9."""

import torch.nn.functional as F

from course_utils.exercises import dataset_search as check
from sly_answers import sly

# ---------------------------------------------------------------------------- peaks

TIES = '"Where a maximum occurs more than once, any of its places will do", and no other place'


@sly("channel_peaks", breaks=TIES)
def row_and_column_by_themselves(maps):
    return maps.amax((2, 3)), maps.amax(3).argmax(2), maps.amax(2).argmax(2)


@sly("channel_peaks", breaks=TIES)
def first_row_and_first_column(maps):
    values = maps.amax((2, 3), keepdim=True)
    highest = maps == values
    rows, columns = highest.any(3).int().argmax(2), highest.any(2).int().argmax(2)
    return values[..., 0, 0], rows, columns


@sly("channel_peaks", breaks=TIES)
def one_place_for_each_map(maps):
    values = maps.amax((2, 3))
    places = (maps == values[..., None, None]).nonzero()
    return values, places[:, 2].view(values.shape), places[:, 3].view(values.shape)


# ---------------------------------------------------------------------------- crops


@sly("receptive_crop", breaks="white outside the picture, and nowhere else")
def black_made_white(picture, row, column, size, stride, start):
    wide = F.pad(picture, [size] * 4)
    wide[wide == 0] = 1
    top, left = start + row * stride + size, start + column * stride + size
    return wide[:, top : top + size, left : left + size]


# ---------------------------------------------------------------------------- overlap


@sly("overlap", breaks="(C, M), also for one channel and one part", told="axis of length 1")
def squeezed(hot, masks):
    return check.overlap.reference(hot, masks).squeeze()
