"""Attribution by gradients: how the score of a class changes with every pixel.

    g = saliency(model, x, target)                        # (N, 3, H, W), signed
    g = smoothgrad(model, x, target, samples=25)          # the mean over noisy copies
    g = guided_backprop(model, x, target)                 # another backward rule for ReLUs
    a = integrated_gradients(model, x, target, baseline)  # along a path; sums to the score's change
    a = expected_gradients(model, x, target, background)  # over many baselines: SHAP's explainer
    heatmap = to_map(g)[0]                                # (H, W)

All of them differentiate the score, the logit before softmax, with respect to x alone: gradients
of weights are not computed. Given a `layer`, saliency, integrated and expected gradients are taken
with respect to that layer's output instead of x. The model is run in eval mode and left as it was
found, also after an error.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from tqdm.auto import tqdm

from course_utils._networks import class_indices, evaluating

RULES = ("gauss-legendre", "middle", "trapezoid", "left", "right")
"""Ways to place the steps of an integral."""


def saliency(
    model: nn.Module, x: Tensor, target: int | Tensor, layer: nn.Module | None = None
) -> Tensor:
    """The gradient of the score, of the shape of x (N, 3, H, W) or of the layer's output.

    target: one class index for all pictures, or one for each, (N,)

    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks", ICLR workshop 2014,
    section 3. They take `to_map(saliency(...))`, the largest absolute value over the colours.
    """
    with _prepared(model):
        start = _start(model, layer, x)
        return _gradient(model, layer, start, x, target)


def to_map(attributions: Tensor, how: str = "max") -> Tensor:
    """Attributions (N, C, H, W) -> maps (N, H, W) that say how much, whatever the sign.

    how: "max", the largest absolute value over the channels; "sum", their absolute values' sum;
         "l2", their Euclidean length; or "signed", their plain sum, which keeps the sign
    """
    if how == "max":
        return attributions.abs().amax(1)
    if how == "sum":
        return attributions.abs().sum(1)
    if how == "l2":
        return attributions.square().sum(1).sqrt()
    if how == "signed":
        return attributions.sum(1)
    raise ValueError(f"There is no way {how!r} to make a map; there are: max, sum, l2, signed.")


def smoothgrad(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    samples: int = 25,
    noise: float = 0.15,
    absolute: bool = False,
    seed: int = 0,
    batch: int = 16,
    progress: bool = False,
) -> Tensor:
    """The mean gradient over noisy copies of each picture, (N, 3, H, W).

    noise:    standard deviation, as a share of the picture's range (its maximum - its minimum)
    absolute: average the gradients' absolute values; by default signs may cancel
    batch:    noisy copies at a time

    Smilkov, Thorat, Kim, Viegas and Wattenberg, "SmoothGrad: removing noise by adding noise", 2017.
    """
    _at_least(1, samples=samples, batch=batch)
    if noise < 0:
        raise ValueError(f"noise={noise}: a standard deviation is not negative.")
    spread = noise * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(x)
    with _prepared(model):
        for rows in _rows(len(x), samples, batch, progress, "SmoothGrad"):
            shape = (len(rows), *x.shape[1:])
            disturbance = torch.randn(shape, generator=generator).to(x) * spread[rows]
            noisy = x[rows] + disturbance
            gradient = _gradient(model, None, noisy, noisy, _of(target, rows))
            total.index_add_(0, rows, gradient.abs() if absolute else gradient)
    return total / samples


# ---------------------------------------------------------------------------- ReLU rules


def guided_backprop(model: nn.Module, x: Tensor, target: int | Tensor) -> Tensor:
    """The gradient if a ReLU passed it only where both its input and the gradient are positive.

    Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity", ICLR workshop 2015,
    section 3.4. What it draws depends little on the target: see notebook 11 before trusting it.
    """
    return _with_rule(_Guided, model, x, target)


def deconvnet(model: nn.Module, x: Tensor, target: int | Tensor) -> Tensor:
    """The gradient if a ReLU passed it where the gradient is positive, whatever its input was.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section
    2.1, for networks of convolutions, ReLUs and max-pools.
    """
    return _with_rule(_Deconvnet, model, x, target)


def _with_rule(rule, model, x, target):
    with _prepared(model):
        swapped = _SwappedReLU(rule)
        gradient = _gradient(model, None, x, x, target, swapped)
    if not swapped.count:
        warnings.warn(
            "No ReLU ran in this network, so this is the plain gradient: the rule is about ReLUs.",
            stacklevel=3,
        )
    return gradient


class _Guided(torch.autograd.Function):
    """A ReLU whose gradient passes where its input and the gradient are positive."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (positive,) = ctx.saved_tensors
        return gradient.clamp(min=0) * positive


class _Deconvnet(torch.autograd.Function):
    """A ReLU whose gradient passes where the gradient is positive."""

    @staticmethod
    def forward(_ctx, x):
        return x.clamp(min=0)

    @staticmethod
    def backward(_ctx, gradient):
        return gradient.clamp(min=0)


class _SwappedReLU(TorchFunctionMode):
    """While it lasts, every ReLU follows another rule: modules, functions, reused or in place.

    Hooks on modules would miss functional ReLUs without a word, and fail on in-place ones.
    """

    PLAIN = (torch.relu, torch.Tensor.relu)
    IN_PLACE = (torch.relu_, torch.Tensor.relu_, functional.relu_)

    def __init__(self, rule):
        super().__init__()
        self.rule = rule
        self.count = 0

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        in_place = function in self.IN_PLACE
        if function is functional.relu:
            in_place = (arguments[1:] or (keywords.get("inplace", False),))[0]
        elif not in_place and function not in self.PLAIN:
            return function(*arguments, **keywords)
        x = arguments[0] if arguments else keywords["input"]
        self.count += 1
        return x.copy_(self.rule.apply(x)) if in_place else self.rule.apply(x)


# ---------------------------------------------------------------------------- along paths


def integrated_gradients(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    baseline: Tensor | float = 0.0,
    steps: int = 64,
    rule: str = "gauss-legendre",
    layer: nn.Module | None = None,
    batch: int = 16,
    progress: bool = False,
) -> Tensor:
    """(x - baseline) times the mean gradient on the straight line between them, (N, 3, H, W).

    baseline: of the shape of x, or one picture (1, 3, H, W), or a number. Mind that x is
              normalized: 0 is the mean colour, and black is `classifier.preprocess(zeros)`
    rule:     where the steps lie: one of `RULES`
    layer:    then the line runs from the layer's output for the baseline to its output for x, and
              the attributions have that shape

    Completeness: the attributions of a picture sum to score(x) - score(baseline), but for the error
    of the quadrature: about 1 % takes 128 steps, or fewer with Gauss-Legendre.

    Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017, section 3.
    """
    _at_least(1, steps=steps, batch=batch)
    positions, weights = (part.to(x) for part in quadrature(steps, rule))
    with _prepared(model):
        end = _start(model, layer, x)
        base = _start(model, layer, _baseline(x, baseline))
        total = torch.zeros_like(end)
        for rows, step in _rows_and_steps(len(x), steps, batch, progress, "integrated gradients"):
            place = _column(positions[step], end)
            points = base[rows] + place * (end - base)[rows]
            gradient = _gradient(model, layer, points, x[rows], _of(target, rows))
            total.index_add_(0, rows, gradient * _column(weights[step], end))
    return total * (end - base)


def quadrature(steps: int, rule: str) -> tuple[Tensor, Tensor]:
    """Where in [0, 1] to look, and how much each place counts: two tensors (steps,), double."""
    if rule == "gauss-legendre":
        places, weights = np.polynomial.legendre.leggauss(steps)
        return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)
    numbers = torch.arange(steps, dtype=torch.float64)
    weights = torch.full_like(numbers, 1 / steps)
    if rule == "left":
        return numbers / steps, weights
    if rule == "right":
        return (numbers + 1) / steps, weights
    if rule == "middle":
        return (numbers + 0.5) / steps, weights
    if rule == "trapezoid":
        if steps < 2:
            raise ValueError("The trapezoid rule needs at least 2 steps.")
        weights = torch.full_like(numbers, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return numbers / (steps - 1), weights
    raise ValueError(f"There is no rule {rule!r}; there are: {', '.join(RULES)}.")


def expected_gradients(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    background: Tensor,
    samples: int = 200,
    layer: nn.Module | None = None,
    seed: int = 0,
    batch: int = 16,
    progress: bool = False,
) -> Tensor:
    """Integrated gradients, averaged over baselines drawn from a background, (N, 3, H, W).

    background: pictures (M, 3, H, W), preprocessed as x
    samples:    for each picture; each draws one baseline and one place on the line to it

    The attributions sum, on average, to score(x) minus the mean score of the background. The error
    falls with the square root of `samples`.

    Erion et al., "Improving performance of deep learning models with axiomatic attribution priors
    and expected gradients", Nature Machine Intelligence 2021; SHAP's GradientExplainer.
    """
    _at_least(1, samples=samples, batch=batch)
    if background.dim() != 4 or background.shape[1:] != x.shape[1:] or not len(background):
        raise ValueError(
            f"The background must be pictures (M, {', '.join(map(str, x.shape[1:]))}), not"
            f" {tuple(background.shape)}."
        )
    generator = torch.Generator().manual_seed(seed)
    with _prepared(model):
        end = _start(model, layer, x)
        base = torch.cat([_start(model, layer, part) for part in background.to(x).split(batch)])
        total = torch.zeros_like(end)
        for rows in _rows(len(x), samples, batch, progress, "expected gradients"):
            drawn = torch.randint(len(base), (len(rows),), generator=generator).to(x.device)
            place = _column(torch.rand(len(rows), generator=generator).to(x), end)
            way = end[rows] - base[drawn]
            points = base[drawn] + place * way
            gradient = _gradient(model, layer, points, x[rows], _of(target, rows))
            total.index_add_(0, rows, gradient * way)
    return total / samples


def _baseline(x, baseline):
    """The baseline in the shape of x."""
    if not isinstance(baseline, Tensor):
        return torch.full_like(x, float(baseline))
    baseline = baseline.to(x)
    if baseline.dim() != 4 or len(baseline) not in (1, len(x)) or baseline.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"The baseline must have the shape of x, {tuple(x.shape)}, or be one picture or a"
            f" number; got {tuple(baseline.shape)}."
        )
    return baseline.expand_as(x)


# ---------------------------------------------------------------------------- one gradient


def _gradient(model, layer, start, x, target, mode=None):
    """The gradient of the target's score with respect to `start`, of its shape.

    start: x itself, or what the layer should return instead of its own output for x
    """
    start = start.detach().clone().requires_grad_()
    with torch.enable_grad(), _replaced(layer, start), mode or nullcontext():
        # A copy enters the network, so that its in-place operations can't touch the leaf.
        scores = model(start.clone() if layer is None else x)
        indices = class_indices(target, scores)
        chosen = scores.gather(1, indices[:, None]).sum()
    if not chosen.requires_grad:
        raise ValueError(
            "The score has no gradient: does the model use no_grad, detach, argmax or a copy as "
            "numbers on the way?"
        )
    (gradient,) = torch.autograd.grad(chosen, start, allow_unused=True)
    if gradient is None:
        raise ValueError("The score does not depend on this input or layer: no gradient arrives.")
    return gradient


@contextmanager
def _replaced(layer, output):
    """While it lasts, the layer returns `output`, whatever its input is."""
    if layer is None:
        yield
        return
    handle = layer.register_forward_hook(lambda *_: output.clone())
    try:
        yield
    finally:
        handle.remove()


def _start(model, layer, x):
    """Where gradients start from: x itself, or the layer's output for it."""
    if x.dim() != 4:
        raise ValueError(f"x must be preprocessed pictures (N, 3, H, W), not {tuple(x.shape)}.")
    if layer is None:
        return x.detach()
    kept = []
    handle = layer.register_forward_hook(lambda *call: kept.append(call[2].detach().clone()))
    try:
        with torch.no_grad():
            model(x)
    finally:
        handle.remove()
    if not kept:
        raise ValueError("The layer did not run: is it a layer of this model?")
    if len(kept) > 1:
        raise ValueError("The layer runs several times: its output can't be replaced as one.")
    return kept[0]


@contextmanager
def _prepared(model):
    """The model in eval mode; says so, if it was in training mode."""
    if model.training:
        warnings.warn(
            "The model is in training mode: it is run in eval mode, and left in training mode.",
            stacklevel=4,
        )
    with evaluating(model):
        yield


# ---------------------------------------------------------------------------- batches


def _rows_and_steps(count, repeats, batch, progress, title) -> Iterator[tuple[Tensor, Tensor]]:
    """All pairs of a picture and a repetition, `batch` at a time -> two index tensors."""
    pairs = torch.arange(count * repeats)
    with tqdm(total=len(pairs), desc=title, unit="gradient", disable=not progress) as bar:
        for part in pairs.split(batch):
            yield part // repeats, part % repeats
            bar.update(len(part))


def _rows(count, repeats, batch, progress, title) -> Iterator[Tensor]:
    """Each of `count` pictures `repeats` times, `batch` at a time -> their indices."""
    for rows, _ in _rows_and_steps(count, repeats, batch, progress, title):
        yield rows


def _of(target, rows):
    """The targets of some rows, if each picture has its own."""
    return target[rows] if isinstance(target, Tensor) and target.dim() else target


def _column(values, like):
    """Values (N,) so that they multiply tensors (N, ...)."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _at_least(least, **numbers):
    for name, number in numbers.items():
        if number < least:
            raise ValueError(f"{name}={number}: at least {least} is needed.")
