"""Gradient ascent: start from noise and change the picture until a network's score is high.

    pictures = ascend(model, [zebra, elephant], size=128, mean=mean, std=std)   # (2, 3, 128, 128)
    pictures = ascend(model, [5, 9], 128, mean, std, layer=conv3)                # two channels
    pictures = ascend(model, [(5, 8, 8)], 128, mean, std, layer=conv3)           # a single unit
    scores = target_scores(model, x, [zebra, zebra])                            # what is climbed

What is maximized is the target's score minus penalties for pictures that look like nothing:

    score(x) - l2 |x|^2 - tv sum |x[i] - x[j]| over neighbours i, j

Each picture goes its own way: the same seed gives the same result, whatever else is in the batch.

Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", 2013 (arXiv:1312.6034),
section 2, have the class score and the squared norm; Mahendran and Vedaldi, CVPR 2015, section 3.2,
the total variation; Yosinski et al., "Understanding Neural Networks Through Deep Visualization",
2015 (arXiv:1506.06579), section 3, the blur; Olah, Mordvintsev and Schubert, "Feature
Visualization", Distill 2017, the jitter, channels and units, and the decorrelated steps.
"""

import operator
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from course_utils._arguments import check_colours, checks_arguments, height_and_width
from course_utils._filters import gaussian_blur
from course_utils._networks import (
    Ready,
    first_weights,
    gradients_of,
    in_full,
    looks_inside,
    outputs_of,
)
from course_utils._random import gaussian, seeded_generator
from course_utils.errors import (
    as_whole,
    check_count,
    check_not_negative,
    check_positive,
    shown,
    unknown_name,
)

Target = int | tuple[int, int, int] | None
"""A class or channel; a unit (channel, row, column); or None, all of a layer."""

STARTS = ("noise", "zeros", "fourier")
NOISE = 0.1
"""The spread of the noise that ascent starts from, in units of x."""

BLUR_EVERY = 4
"""The picture is blurred after every so many steps."""

# The square root of the covariance of red, green and blue in ImageNet's pictures, from the code of
# Olah et al., https://github.com/tensorflow/lucid, lucid/optvis/param/color.py. Its columns are
# lightness, and two opponent colours, which vary far less.
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


@looks_inside
def ascend(
    model: nn.Module,
    targets: Sequence[Target],
    size: int | tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    layer: nn.Module | None = None,
    steps: int = 128,
    step: float = 0.1,
    l2: float = 0.0,
    tv: float = 0.0,
    blur: float = 0.0,
    jitter: int = 0,
    decorrelated: bool = False,
    start: str | Tensor = "noise",
    seed: int = 0,
    keep: Sequence[int] | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Pictures (N, 3, H, W) in [0, 1] that have high scores, one for each target.

    targets: with a layer, channels or units of its feature maps, or None for the whole layer;
             without one, classes. See `target_scores`.
    size:    H = W, or (H, W), in pixels
    mean, std: the network sees x = (picture - mean) / std; ascent works on x, and keeps the picture
             in [0, 1]

    steps, step: every step changes x by `step` on average (the root of the mean square over the
             whole picture, so a unit that sees little changes that much more); from step to step
             that shrinks evenly to nothing, so that ascent comes to rest
    l2, tv:  how much the squared norm of x and its total variation count against it
    blur:    every fourth step ends with a Gaussian blur of this many pixels
    jitter:  before each step the picture is moved by up to so many pixels, at random; what leaves
             on one side comes in on the other
    decorrelated: steps are taken in a space in which the Fourier components and the colours of
             natural pictures are independent and of equal size. That is the same as filtering the
             gradient: coarse and grey structures are changed more, fine and colourful ones less.

    start:   "noise", the same for each target; "zeros", a picture of the mean colour, in which all
             neighbours tie, so that with max-pools rounding decides who gets the first gradient;
             "fourier", noise with the spectrum of natural pictures; or x, (3, H, W) or one for each
             target
    keep:    step numbers, 0 for the start: returns the pictures and their states after these steps,
             (len(keep), N, 3, H, W)

    The model is used in eval mode and left as it was. Raises ValueError for targets that it doesn't
    have, and for those that nothing near the start can change: dead units.
    """
    goals = checked_targets(targets)
    check_count("steps", steps)
    check_positive(step=step)
    check_not_negative(l2=l2, tv=tv, blur=blur, jitter=jitter)
    check_colours(mean, std)
    wanted = None if keep is None else _checked_keep(list(keep), steps)
    generator = seeded_generator(seed)
    x, low, high = _beginning(model, start, len(goals), size, mean, std, generator)
    frames = {0: x}
    network = Ready(model)
    for number in range(steps):
        gradient = _gradient(network, x, goals, layer, l2, tv, _shift(jitter, generator))
        if number == 0:
            _check_alive(network, x, goals, layer)
        if decorrelated:
            gradient = _decorrelated(gradient)
        length = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(1e-20)
        x = x + step * (1 - number / steps) * gradient / length
        if blur and number % BLUR_EVERY == BLUR_EVERY - 1:
            x = gaussian_blur(x, blur)
        x = x.clamp(low, high)
        if number + 1 in (wanted or ()):
            frames[number + 1] = x
    pictures = _as_pictures(x, mean, std)
    if wanted is None:
        return pictures
    return pictures, torch.stack([_as_pictures(frames[n], mean, std) for n in wanted])


@looks_inside
def target_scores(
    model: nn.Module, x: Tensor, targets: Sequence[Target], layer: nn.Module | None = None
) -> Tensor:
    """What ascent maximizes, for pictures x (N, 3, H, W) and a target for each  ->  (N,).

    without a layer:    the class's logit. Not its probability, which also rises when the other
                        logits fall (Simonyan et al., section 2)
    channel:            the mean of the channel's map
    (channel, row, col): one value of the layer's maps; of a layer without maps, only the channel
    None:               the mean square of all values of the layer, as in DeepDream
    """
    goals = checked_targets(targets)
    if len(goals) != len(x):
        raise ValueError(f"There are {len(x)} pictures but {len(goals)} targets.")
    return scores_seen_by(Ready(model), x, goals, layer)


def scores_seen_by(
    network: Ready, x: Tensor, targets: Sequence[Target], layer: nn.Module | None
) -> Tensor:
    """`target_scores` for a network that is made ready once for many steps."""
    targets = checked_targets(targets)
    if layer is None:
        rows, read = network(x), _read_score
    else:
        with outputs_of(layer) as outputs:
            network(x)
        rows, read = outputs[-1], _read_unit
    if len(rows) != len(targets):
        raise ValueError(
            f"{len(rows)} outputs came for {len(targets)} pictures: there must be one for each."
        )
    return torch.stack([read(row, target) for row, target in zip(in_full(rows), targets)])


# ---------------------------------------------------------------------------- one step


def _gradient(network, x, targets, layer, l2, tv, shift):
    """The gradient of score minus penalties, (N, 3, H, W), seen through a shifted picture."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        moved = x.roll(shift, (2, 3)) if any(shift) else x
        weights = first_weights(network.model)
        seen = moved if weights is None else moved.to(weights.dtype)
        value = scores_seen_by(network, seen, targets, layer).sum()
        if l2:
            value = value - l2 * x.square().sum()
        if tv:
            value = value - tv * total_variation(x).sum()
        if not value.isfinite():
            raise ValueError("The score is NaN or infinite: look at the start and the weights.")
        if not value.requires_grad:
            raise ValueError("The targets' scores don't depend on the picture.")
        return gradients_of(value, x)[0]


@checks_arguments
def total_variation(x: Tensor) -> Tensor:
    """The sum of the differences between neighbours, without sign: (N, C, H, W)  ->  (N,)."""
    if x.dim() != 4:
        raise ValueError(f"Pictures have the shape (N, C, H, W), not {tuple(x.shape)}.")
    down = x.diff(dim=2).abs().sum((1, 2, 3))
    return down + x.diff(dim=3).abs().sum((1, 2, 3))


def _shift(jitter, generator):
    """(rows, columns) to move by, each between -jitter and jitter."""
    if not jitter:
        return (0, 0)
    return tuple(torch.randint(-jitter, jitter + 1, (2,), generator=generator).tolist())


def _decorrelated(gradient):
    """A gradient multiplied by the covariance of natural pictures.

    If x = A z with independent z, the gradient for z is A^T g, and a step along it moves x by
    A A^T g: that is the covariance of x, here colours times 1/f^2 in Fourier space.
    """
    root = _colour_root(gradient)
    mixed = torch.einsum("cd,ndhw->nchw", root @ root.T, gradient)
    return _filtered(mixed, power=2)


def _filtered(x, power):
    """x with each Fourier component divided by its frequency to this power."""
    height, width = x.shape[-2:]
    rows = torch.fft.fftfreq(height, device=x.device, dtype=x.dtype)[:, None]
    columns = torch.fft.rfftfreq(width, device=x.device, dtype=x.dtype)[None]
    lowest = 1 / max(height, width)  # the constant component has no frequency: treated like this
    scale = (rows.square() + columns.square()).sqrt().clamp_min(lowest) ** -power
    return torch.fft.irfft2(torch.fft.rfft2(x) * scale, s=(height, width))


def _colour_root(like):
    root = torch.tensor(COLOURS, device=like.device, dtype=like.dtype)
    return root / root.norm(dim=0).max()


# ---------------------------------------------------------------------------- start and end


def _beginning(model, start, count, size, mean, std, generator):
    """The first x (N, 3, H, W), and its smallest and largest allowed values (3, 1, 1)."""
    weights = first_weights(model)
    like = torch.zeros(()) if weights is None else in_full(weights.new_zeros(()))
    mean, std = (_per_channel(values, like) for values in (mean, std))
    low, high = (0 - mean) / std, (1 - mean) / std
    height, width = height_and_width(size)
    shape = (count, 3, height, width)
    if isinstance(start, Tensor):
        if tuple(start.shape) not in (shape, shape[1:]):
            raise ValueError(f"The start must be x {shape}, but its shape is {tuple(start.shape)}.")
        x = start.detach().to(like).expand(shape)
    elif start in STARTS:
        x = _start(start, shape[1:], generator).to(like).expand(shape)
    else:
        raise ValueError(unknown_name("start", start, [*STARTS, "x itself"]))
    return x.clamp(low, high), low, high


def _start(name, shape, generator):
    if name == "zeros":
        return torch.zeros(shape)
    noise = gaussian(*shape, generator=generator)
    if name == "fourier":
        mixed = torch.einsum("cd,dhw->chw", _colour_root(noise), noise)
        noise = _filtered(mixed[None], power=1)[0]
    return NOISE * noise / noise.std()


def _as_pictures(x, mean, std):
    return (x * _per_channel(std, x) + _per_channel(mean, x)).clamp(0, 1)


def _per_channel(values, like):
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).reshape(-1, 1, 1)


# ---------------------------------------------------------------------------- targets


def _read_score(scores, target):
    """One class's logit of a row (C,)."""
    if scores.dim() != 1:
        raise ValueError(f"The model must return scores (N, C); a row is {tuple(scores.shape)}.")
    if not isinstance(target, int):
        raise ValueError(f"Without a layer a target is a class index; got {shown(target)}.")
    if not 0 <= target < len(scores):
        raise ValueError(f"The classes are 0 to {len(scores) - 1}; there is no class {target}.")
    return scores[target]


def _read_unit(output, target):
    """One target's value in a layer's output for one picture, (K, h, w) or (K,)."""
    if target is None:
        return output.square().mean()
    place = (target,) if isinstance(target, int) else target
    if len(place) > output.dim() or any(not 0 <= i < n for i, n in zip(place, output.shape)):
        raise ValueError(
            f"The layer's output has the shape {tuple(output.shape)} (channels, rows, columns);"
            f" it has no target {target}."
        )
    return output[place].mean()


def checked_targets(targets: Iterable[Target]) -> list[Target]:
    """The targets as a list of ints, tuples of ints and None."""
    try:
        if isinstance(targets, str):
            raise TypeError
        targets = list(targets)
    except TypeError:
        raise ValueError(f"Give a list of targets, such as [3]; got {shown(targets)}.") from None
    if not targets:
        raise ValueError("There are no targets to climb to.")
    return [_checked_target(target) for target in targets]


def _checked_target(target) -> Target:
    if target is None:
        return None
    try:
        if isinstance(target, (tuple, list)) and len(target) == 3:
            channel, row, column = (operator.index(place) for place in target)
            return channel, row, column
        if not isinstance(target, (bool, tuple, list)):
            return operator.index(target)
    except TypeError:
        pass  # neither a whole number nor three of them
    raise ValueError(
        "A target is a whole number, (channel, row, column) or None for all of a layer;"
        f" got {shown(target)}."
    )


def _check_alive(network, x, targets, layer):
    """Refuses targets whose score doesn't depend on the picture."""
    gradient = _gradient(network, x, targets, layer, l2=0, tv=0, shift=(0, 0))
    still = gradient.flatten(1).abs().amax(1) == 0
    if still.any():
        dead = [target for target, is_dead in zip(targets, still.tolist()) if is_dead]
        raise ValueError(
            f"Nothing near the start changes the score of {', '.join(map(str, dead))}: a ReLU is"
            " silent there. Take the layer before the ReLU, or another start or seed."
        )


def _checked_keep(keep, steps):
    numbers = []
    for given in keep:
        number = as_whole(given)
        if number is None or not 0 <= number <= steps:
            raise ValueError(
                f"keep={shown(given)}: steps are numbered from 0 (the start) to {steps}."
            )
        numbers.append(number)
    if not numbers:
        raise ValueError("keep has no step numbers: leave it out for the last pictures alone.")
    return numbers
