"""Occlusion: cover a part of the picture, and see how far the score falls.

    grey = classifier.preprocess(fill(picture, "grey"))    # what the patch is cut from
    heatmap = occlusion_map(model, x, grey, patch=16, stride=4, measure=logit_drop(target))

A patch slides over the picture; under it, pixels come from the `replacement`, an input of the same
shape: grey, noise, a blurred version, or the same scene rendered without the object. Each pixel of
the map is the mean drop over all patches that cover it.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2.

Windows follow Captum's `Occlusion`: they start every `stride` pixels, the first at 0, as many as
needed to cover the last pixel; the last is clipped at the border.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_utils._arguments import check_picture, checks_arguments, three_numbers
from course_utils._filters import gaussian_blur
from course_utils._networks import (
    Ready,
    as_floats,
    check_pair,
    evaluating,
    in_double,
    looks_inside,
    network_of,
)
from course_utils._random import seeded_generator, uniform
from course_utils._warnings import warn
from course_utils.errors import as_whole, check_count, check_positive, shown, unknown_name

Measure = Callable[[Tensor, Tensor], Tensor]
"""(output before (1, ...), outputs after (N, ...)) -> how much fell for each of the N, (N,)."""

MANY = 4096
"""Windows whose sums are taken at once, which needs some megabytes."""

ROUNDINGS = 32
"""How many roundings of its size an output may be off: of a thousand, the farthest were off 21."""

# ---------------------------------------------------------------------------- fills

FILLS = ("grey", "black", "noise", "blur")
GREY = (0.45, 0.45, 0.45)
"""A middle grey, which course networks see as zero: their pictures are normalized around it."""


@checks_arguments
def fill(
    picture: Tensor, kind: str, grey: tuple = GREY, seed: int = 0, sigma: float = 8.0
) -> Tensor:
    """What to cover a picture (3, H, W) in [0, 1] with -> a picture of the same shape.

    kind:  "grey", a middle grey; "black"; "noise", uniform and independent for each value, from
           `seed`; or "blur", the picture itself, blurred with a Gaussian of `sigma` pixels
    """
    check_picture(picture)
    if kind == "grey":
        return three_numbers("grey", grey).to(picture)[:, None, None].expand_as(picture).clone()
    if kind == "black":
        return torch.zeros_like(picture)
    if kind == "noise":
        generator = seeded_generator(seed)
        return uniform(*picture.shape, generator=generator).to(picture)
    if kind == "blur":
        check_positive(sigma=sigma)
        return gaussian_blur(picture[None], sigma)[0]
    raise ValueError(unknown_name("fill", kind, FILLS))


# ---------------------------------------------------------------------------- windows


@checks_arguments
def windows(height: int, width: int, patch: int, stride: int) -> Tensor:
    """All positions of the patch -> (N, 4) integers: top, left, bottom, right, row by row.

    Bottom and right are the first row and column that are not covered. Raises ValueError for a
    patch that does not fit, and for a stride that would leave pixels out.
    """
    check_count("patch", patch)
    check_count("stride", stride)
    if patch > min(height, width):
        raise ValueError(f"patch={patch}: it must fit into the picture of {height} x {width}.")
    if stride > patch:
        raise ValueError(f"stride={stride} is more than patch={patch}: pixels would be left out.")
    tops = _starts(height, patch, stride)
    lefts = _starts(width, patch, stride)
    top, left = (grid.flatten() for grid in torch.meshgrid(tops, lefts, indexing="ij"))
    bottom, right = (top + patch).clamp(max=height), (left + patch).clamp(max=width)
    return torch.stack([top, left, bottom, right], 1)


def _starts(length, patch, stride):
    return torch.arange(math.ceil((length - patch) / stride) + 1) * stride


@checks_arguments
def occluded(x: Tensor, replacement: Tensor, places: Tensor) -> Tensor:
    """Copies of x (1, 3, H, W), one for each window of `places` (N, 4) -> (N, 3, H, W)."""
    check_places(x, replacement, places)
    copies = x.expand(len(places), -1, -1, -1).clone(memory_format=torch.channels_last)
    for copy, (top, left, bottom, right) in zip(copies, places.tolist()):
        copy[:, top:bottom, left:right] = replacement[0, :, top:bottom, left:right]
    return copies


# ---------------------------------------------------------------------------- measures


def logit_drop(target: int) -> Measure:
    """How far the score of a class falls. The usual measure, and Captum's.

    target: the class index, a whole number; other measures take it so, too
    """
    index = _class_index(target)
    return lambda before, after: _of_class(before, index) - _of_class(after, index)


def probability_drop(target: int) -> Measure:
    """How far its softmax probability falls, in [-1, 1].

    It is taken in double precision, because single precision has few numbers near 1.
    """
    index = _class_index(target)

    def drop(before, after):
        lost = _probability(before, index) - _probability(after, index)
        return lost.to(after.device, as_floats(after).dtype)

    return drop


def margin_drop(target: int, rival: int | None = None) -> Measure:
    """How far the score falls against that of a rival class; by default the best other one."""

    index = _class_index(target)
    other = None if rival is None else _class_index(rival)
    if other == index:
        raise ValueError(f"The class {target} can't be its own rival.")

    def margin(scores):
        if scores.dim() == 2 and scores.shape[1] == 1:
            raise ValueError("A network with one class has no margin: there is no rival.")
        chosen = _of_class(scores, index)
        if other is not None:
            return chosen - _of_class(scores, other)
        others = as_floats(scores).clone()
        others[:, index] = -torch.inf
        return chosen - others.amax(1)

    return lambda before, after: margin(before) - margin(after)


@checks_arguments
def feature_dip(before: Tensor, after: Tensor) -> Tensor:
    """For a model that ends at its last feature maps (N, K, h, w): the dip of the worst channel.

    The dip is averaged over all positions of a map; the largest mean of all K channels counts.
    No class is involved.
    """
    if before.dim() != 4:
        raise ValueError(
            f"feature_dip compares feature maps (N, K, h, w), not outputs {tuple(before.shape)}:"
            " pass a model that ends at its last maps."
        )
    if after.shape[1:] != before.shape[1:]:
        raise ValueError(
            f"The maps before and after must have one shape, not {tuple(before.shape)} and"
            f" {tuple(after.shape)}."
        )
    return (before - after).mean(dim=(2, 3)).amax(dim=1)


def _class_index(target):
    index = as_whole(target)
    if index is None:
        raise ValueError(
            f"A target is a class index, not {shown(target)}: classifier.class_index(name) finds"
            " it."
        )
    return index


def _of_class(scores, target):
    """The scores (N,) of one class, if there is such a class."""
    return _scores(scores, target)[:, target]


def _probability(scores, target):
    """The softmax probability (N,) of one class, in double precision, on the CPU."""
    return in_double(_scores(scores, target)).softmax(1)[:, target]


def _scores(outputs, target):
    """The outputs as floats, if they are scores (N, classes) and `target` is one of the classes."""
    if outputs.dim() != 2 or outputs.is_complex():
        raise ValueError(f"Scores are real numbers (N, classes), not {_described(outputs)}.")
    if not 0 <= target < outputs.shape[1]:
        raise ValueError(
            f"There is no class {target}: there are only classes 0 to {outputs.shape[1] - 1}."
        )
    return as_floats(outputs)


# ---------------------------------------------------------------------------- maps


@checks_arguments
def occluded_outputs(
    model: nn.Module, x: Tensor, replacement: Tensor, places: Tensor, batch: int = 8
) -> Iterator[Tensor]:
    """The model's outputs for x covered at each of the windows, a batch of them at a time.

    Only one batch of copies exists at any moment, however many windows there are. Small batches
    are faster on a CPU, because their feature maps fit into its cache.
    """
    check_count("batch", batch)
    check_places(x, replacement, places)
    model = network_of(model)
    network = Ready(model)
    for part in places.split(batch):
        # Only while the model runs, for whoever takes these outputs may do anything in between.
        with torch.no_grad(), evaluating(model):
            outputs = network(occluded(x, replacement, part))
        yield outputs


@looks_inside
def drops(
    model: nn.Module,
    x: Tensor,
    replacement: Tensor,
    places: Tensor,
    measure: Measure,
    batch: int | None = None,
    outputs: Callable = occluded_outputs,
    progress: bool = False,
) -> Tensor:
    """How much is lost at each window of `places` (N, 4) -> (N,).

    outputs: who computes the model's outputs; `incremental.occluded_outputs` gives the same, faster
    Raises ValueError for inputs that do not fit together and for NaN. A warning tells if outputs
    change by rounding errors alone, as in a deep network with random weights, and if nothing
    that is measured changes.
    """
    check_places(x, replacement, places)
    with torch.no_grad():
        before = Ready(model)(x)
    if not before.dim() or len(before) != 1:
        raise ValueError(
            f"The network returned {tuple(before.shape)} for one picture, and not (1, ...): it"
            " doesn't treat the pictures of a batch one by one."
        )
    size = {} if batch is None else {"batch": batch}
    rounding = _Rounding(before, x.dtype)
    values = []
    with tqdm(total=len(places), disable=not progress, desc="occlusion", unit="patch") as bar:
        for after in outputs(model, x, replacement, places, **size):
            rounding.look_at(after)
            values.append(_measured(measure, before, after))
            bar.update(len(after))
    values = torch.cat(values)
    if len(values) != len(places):
        raise ValueError(
            f"The network returned {len(values)} outputs for {len(places)} pictures: it doesn't"
            " treat the pictures of a batch one by one."
        )
    if not _any_covered(x, replacement, places):
        warn("The replacement equals the picture under every patch, so that nothing is covered.")
    elif rounding.is_all_there_is():
        warn(
            "Covering changes this network's outputs by no more than rounding in"
            f" {rounding.dtype} does, so the map shows rounding errors. Compute in double"
            " precision: model.double(), x.double(), replacement.double()."
        )
    elif values.is_floating_point() and not values.any():
        warn(
            "What is measured is the same under every patch, so the map is zero everywhere: the"
            " network doesn't react to what is covered, or what is measured is at its end, as a"
            " probability of 1 is."
        )
    return values


def _any_covered(x, replacement, places):
    """Whether a patch changes any pixel."""
    differs = (x != replacement)[0].any(0)
    return any(
        differs[top:bottom, left:right].any() for top, left, bottom, right in places.tolist()
    )


class _Rounding:
    """Whether outputs under patches differ from those before, (1, ...), by rounding alone.

    All that change at all are looked at, whatever is measured: if one of them changes by more, the
    network reacts. The smaller ones are rounded like most, for they are sums of numbers as large.

    dtype: of the pictures, which may be less precise than the outputs
    """

    def __init__(self, before, dtype):
        self.before = before
        self.is_all = before.is_floating_point()
        self.is_any = False
        self.dtype = max(dtype, before.dtype, key=_rounding_of)

    def look_at(self, after):
        """Takes notice of one batch, (N, ...), if none before has reacted."""
        if after.shape[1:] != self.before.shape[1:]:
            raise ValueError(
                f"The network's output is {tuple(self.before.shape)} for the picture and"
                f" {tuple(after.shape)} under patches: the shapes must fit."
            )
        if not self.is_all:
            return
        change = (after - self.before).abs()
        does_change = (change > 0).any(0)
        if does_change.any():
            size = self.before[0].abs()[does_change]
            step = ROUNDINGS * _rounding_of(self.dtype) * size.clamp(min=size.median())
            self.is_any = True
            self.is_all = bool((change[:, does_change] <= step).all())

    def is_all_there_is(self):
        """Whether outputs changed, and all by no more than rounding."""
        return self.is_all and self.is_any


def _rounding_of(dtype):
    return torch.finfo(dtype).eps if dtype.is_floating_point else 0


def _measured(measure, before, after):
    """What a measure says of copies, so that it may write into them and return a part of them."""
    lost = measure(before.clone(), after.clone())
    if not isinstance(lost, Tensor) or lost.shape != after.shape[:1] or lost.is_complex():
        raise ValueError(
            "The measure gets the output before and N outputs after, and returns a tensor (N,) of"
            f" what each lost, not {_described(lost)}."
        )
    if not lost.isfinite().all():
        if before.isfinite().all() and after.isfinite().all():
            raise ValueError("The measure gives NaN (not a number) or infinity for finite outputs.")
        raise ValueError(
            "The network's output is NaN (not a number) or infinite under some patches."
        )
    return lost.detach().clone()


def _described(value):
    if not isinstance(value, Tensor):
        return f"a value of type {type(value).__name__}"
    return f"one of {value.dtype} and the shape {tuple(value.shape)}"


def check_places(x: Tensor, replacement: Tensor, places: Tensor) -> None:
    """Raises ValueError unless `places` (N, 4) are windows of x, both pictures (1, 3, H, W)."""
    check_pair(x, replacement, "replacement")
    _check_windows(places, *x.shape[2:])


def _check_windows(places, height, width):
    """Raises ValueError for what are no windows of a picture."""
    is_list = places.dim() == 2 and places.shape[1] == 4 and len(places)
    if not is_list or places.is_floating_point():
        raise ValueError("The places are whole numbers (N, 4): top, left, bottom, right.")
    top, left, bottom, right = places.T
    inside = (top >= 0) & (left >= 0) & (bottom <= height) & (right <= width)
    wrong = (~(inside & (top < bottom) & (left < right))).nonzero()
    if len(wrong):
        raise ValueError(
            f"{places[wrong[0, 0]].tolist()} is no window of a picture of {height} x {width}: top,"
            " left, bottom, right."
        )


@checks_arguments
def mean_of_windows(values: Tensor, places: Tensor, height: int, width: int) -> Tensor:
    """Values (N,) of windows (N, 4) -> floats (H, W): each pixel the mean over its windows.

    The sums are taken in double precision, so that their order does not matter. Raises ValueError
    for NaN and infinity, and for pixels on which no window lies: they have no mean.
    """
    check_count("height", height)
    check_count("width", width)
    _check_windows(places, height, width)
    if values.dim() != 1 or len(values) != len(places):
        raise ValueError(
            f"There must be one value for each of the {len(places)} windows, but the values have"
            f" the shape {tuple(values.shape)}."
        )
    if not values.isfinite().all():
        raise ValueError("The values hold NaN or infinity, which have no mean.")
    total = torch.zeros(height, width, dtype=torch.float64)
    count = torch.zeros_like(total)
    for part, windows_of_part in zip(in_double(values).split(MANY), places.cpu().split(MANY)):
        top, left, bottom, right = windows_of_part.T
        rows, columns = _between(top, bottom, height), _between(left, right, width)
        total += (rows * part[:, None]).T @ columns
        count += rows.T @ columns
    if not count.all():
        row, column = (count == 0).nonzero()[0].tolist()
        raise ValueError(
            f"No window lies on the pixel at row {row}, column {column}: windows(height, width,"
            " patch, stride) cover all."
        )
    return (total / count).to(values.device, as_floats(values).dtype)


def _between(first, stop, length):
    """Ones from `first` to before `stop`, both (N,), zeros elsewhere -> (N, length)."""
    positions = torch.arange(length)
    return ((positions >= first[:, None]) & (positions < stop[:, None])).double()


@looks_inside
def occlusion_map(
    model: nn.Module,
    x: Tensor,
    replacement: Tensor,
    patch: int,
    stride: int,
    measure: Measure,
    batch: int | None = None,
    outputs: Callable = occluded_outputs,
    progress: bool = False,
) -> Tensor:
    """The occlusion map of one picture, (H, W): positive where covering costs.

    x:           the picture, preprocessed, (1, 3, H, W); any size that the model takes
    replacement: what shows under the patch, preprocessed, (1, 3, H, W)
    patch, stride: in pixels, stride <= patch
    measure:     for instance `logit_drop(target)`
    batch:       occluded copies at a time, if not the default of `outputs`; memory grows with it,
                 not with the number of positions
    """
    check_pair(x, replacement, "replacement")
    height, width = x.shape[2:]
    places = windows(height, width, patch, stride)
    values = drops(model, x, replacement, places, measure, batch, outputs, progress)
    return mean_of_windows(values, places, height, width)
