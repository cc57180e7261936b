"""Gradients of a score with respect to the picture, plain, smoothed, guided and integrated.

    x = classifier.preprocess(picture)
    attributions = saliency(model, x, target)                      # (N, 3, H, W), signed
    heatmap = to_map(attributions, "max")[0]                       # (H, W)
    attributions = integrated_gradients(model, x, target, baseline)
    attributions = expected_gradients(model, x, target, background, layer=layer)

All take a network or a `Classifier`, a batch of preprocessed pictures x (N, 3, H, W) and `target`,
one class index for all pictures or one for each, (N,). With a `Classifier`, the target may be the
name of a class and a layer the name of a layer. They explain the score, the logit: a model that
ends in a softmax gives maps of the probability, which mix in the other classes. They return signed
attributions of the shape of x, or of a `layer`'s output. Pictures, steps and samples run `batch` at
a time, so memory does not grow with their number.

The model works in eval mode meanwhile (a warning tells you if it was in training mode) and is left
as it was, also after an error. No gradients of its weights are computed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode
from tqdm.auto import tqdm

from course_utils import _relu_rules
from course_utils._arguments import checks_arguments
from course_utils._networks import (
    Ready,
    Refused,
    chosen_scores,
    gradients_of,
    looks_inside,
    outputs_of,
    warn_of_underflow,
    whole_targets,
)
from course_utils._random import gaussian, seeded_generator, uniform
from course_utils._warnings import warn
from course_utils.errors import check_count, check_not_negative

BATCH = 8
"""Pictures at a time: on a CPU, larger batches fall out of its cache and take longer."""

# ---------------------------------------------------------------------------- maps


@checks_arguments
def to_map(attributions: Tensor, how: str = "max") -> Tensor:
    """Attributions (N, C, H, W) -> maps (N, H, W), one value for each pixel.

    how: "max", the largest absolute value of the channels (Simonyan et al.); "sum", signed: the
         pixel's total; or "l2", the root of the sum of squares
    """
    if attributions.dim() != 4:
        raise ValueError(f"Attributions have the shape (N, C, H, W), not {attributions.shape}.")
    if how == "max":
        return attributions.abs().amax(dim=1)
    if how == "sum":
        return attributions.sum(dim=1)
    if how == "l2":
        return attributions.square().sum(dim=1).sqrt()
    raise ValueError(f"There is no way {how!r} to join channels; there are: max, sum, l2.")


# ---------------------------------------------------------------------------- one gradient


@looks_inside
def saliency(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    layer: nn.Module | None = None,
    batch: int = BATCH,
) -> Tensor:
    """The gradient of the score with respect to x, (N, 3, H, W), or to a layer's output.

    Simonyan, Vedaldi and Zisserman, "Deep Inside Convolutional Networks: Visualising Image
    Classification Models and Saliency Maps", 2013, section 3.
    """
    targets = _checked(x, target, batch)
    network = Ready(model)
    gradients = []
    for part in torch.arange(len(x)).split(batch):
        gradient, _ = _gradient_at(network, x[part], x[part], 1.0, targets[part], layer)
        gradients.append(gradient)
    return _told_if_flat(torch.cat(gradients))


@looks_inside
def guided_backprop(
    model: nn.Module, x: Tensor, target: int | Tensor, batch: int = BATCH
) -> Tensor:
    """Saliency whose way back through a ReLU also drops negative gradients, (N, 3, H, W).

    The rule holds for every ReLU and ReLU6 that runs: modules, functions, in-place and reused ones.
    Other rectifiers keep their own way back, which a warning names. Raises ValueError if no ReLU
    runs.

    Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity: The All Convolutional
    Net", ICLR 2015 workshop, section 3.4.
    """
    with _relu_rules.replaced(_relu_rules.Guided, model):
        return saliency(model, x, target, batch=batch)


@looks_inside
def deconvnet(model: nn.Module, x: Tensor, target: int | Tensor, batch: int = BATCH) -> Tensor:
    """Saliency whose way back through a ReLU drops negative gradients only, (N, 3, H, W).

    Where the ReLU was off on the way up, a positive gradient passes all the same. Max-pools send
    it back to their maxima, as the deconvnet's switches do.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 2.
    """
    with _relu_rules.replaced(_relu_rules.Deconvnet, model):
        return saliency(model, x, target, batch=batch)


# ---------------------------------------------------------------------------- SmoothGrad

AVERAGES = {"signed": lambda g: g, "absolute": torch.abs, "squared": torch.square}
"""What `smoothgrad` averages: the gradients themselves, their absolute values or squares."""


@looks_inside
def smoothgrad(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    samples: int = 50,
    noise: float = 0.15,
    average: str = "signed",
    seed: int = 0,
    batch: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """The mean gradient over noisy copies of each picture, (N, 3, H, W).

    noise:   standard deviation, as a share of the picture's range (its maximum minus its minimum)
    average: "signed", as in the paper's equation; "absolute", what many programs call SmoothGrad;
             or "squared" (SmoothGrad-Squared of Hooker et al., NeurIPS 2019)
    seed:    of the noise, which does not depend on `batch`; each picture gets the same noise

    Smilkov, Thorat, Kim, Viégas and Wattenberg, "SmoothGrad: removing noise by adding noise", 2017.
    """
    targets = _checked(x, target, batch)
    check_count("samples", samples)
    if average not in AVERAGES:
        raise ValueError(f"average={average!r}: choose one of {', '.join(AVERAGES)}.")
    check_not_negative(noise=noise)
    ranges = x.detach().amax(dim=(1, 2, 3)) - x.detach().amin(dim=(1, 2, 3))
    total = torch.zeros_like(x, requires_grad=False)
    network = Ready(model)
    with _bar(progress, "SmoothGrad", len(x) * samples) as bar:
        for picture in range(len(x)):
            generator = seeded_generator(seed)
            for count in _parts(samples, batch):
                noises = _noises(count, x, generator).mul_(noise * ranges[picture])
                chosen = targets[picture].expand(count)
                if average == "signed":
                    total[picture] += _summed_gradient(network, x[picture], noises, chosen)
                else:
                    noisy = x[picture] + noises
                    gradients, _ = _gradient_at(network, noisy, noisy, 1.0, chosen)
                    total[picture] += AVERAGES[average](gradients).sum(dim=0)
                bar.update(count)
    return total / samples


def _noises(count, x, generator):
    """Gaussian noise (count, 3, H, W), sample after sample, so that `batch` doesn't matter."""
    return torch.stack([gaussian(*x.shape[1:], generator=generator) for _ in range(count)]).to(x)


# ---------------------------------------------------------------------------- along a path

MANY_STEPS = 32
"""With fewer along a path, nobody expects the sum to be exact."""

RULES = ("gauss_legendre", "midpoint", "left", "right", "trapezoid")
"""Ways to replace an integral over [0, 1] by a weighted sum (see `quadrature`)."""


@checks_arguments
def quadrature(rule: str, steps: int) -> tuple[Tensor, Tensor]:
    """Where to evaluate a function on [0, 1] and how to weight it, both (steps,), in float64.

    The weighted sum approaches the function's integral; all weights add up to 1.
    """
    check_count("steps", steps)
    if rule == "gauss_legendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return torch.tensor((points + 1) / 2), torch.tensor(weights / 2)
    shifts = {"left": 0.0, "midpoint": 0.5, "right": 1.0}
    weights = torch.full((steps,), 1 / steps, dtype=torch.float64)
    if rule in shifts:
        return (torch.arange(steps, dtype=torch.float64) + shifts[rule]) / steps, weights
    if rule == "trapezoid":
        if steps < 2:
            raise ValueError("The trapezoid rule needs at least 2 steps: both ends of the path.")
        weights = torch.full((steps,), 1 / (steps - 1), dtype=torch.float64)
        weights[[0, -1]] /= 2
        return torch.linspace(0, 1, steps, dtype=torch.float64), weights
    raise ValueError(f"There is no rule {rule!r}; there are: {', '.join(RULES)}.")


@looks_inside
def integrated_gradients(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    baseline: Tensor,
    steps: int = 64,
    rule: str = "gauss_legendre",
    layer: nn.Module | None = None,
    batch: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """The gradient along the straight way from `baseline` to x, times x - baseline.

    baseline: (1, 3, H, W) or one for each picture (N, 3, H, W), preprocessed as x was. There is
              no neutral choice. Zeros are the colour that `preprocess` subtracts, a middle grey in
              the course's networks; black is `classifier.preprocess(torch.zeros(3, H, W))`.
    steps:    gradients for each picture; rule: one of RULES
    layer:    attribute to the output of this layer instead: the way leads straight from the
              baseline's activation to that of x. What leads around the layer, such as a residual
              connection, carries x all the way, so that the sum is what the layer alone changes

    Completeness: the attributions of a picture sum up to `score_change`, up to the error of the
    quadrature. A warning tells if it misses by a fifth, with many steps and no layer.

    Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
    """
    targets = _checked(x, target, batch)
    baseline = _checked_baseline(baseline, x)
    alphas, weights = (values.to(x) for values in quadrature(rule, steps))
    if layer is None:
        found = _integrated_at_input(model, x, targets, baseline, alphas, weights, batch, progress)
        if steps >= MANY_STEPS:
            here, there, spread = _scores_of_both(model, x, targets, baseline, batch)
            _warn_if_incomplete(found, here - there, spread)
    else:
        paths = [_Path(start[None], alphas, weights) for start in baseline]
        found = _along_paths(model, x, targets, paths, layer, batch, progress)
    return _told_if_flat(found, x != baseline)


@looks_inside
def expected_gradients(
    model: nn.Module,
    x: Tensor,
    target: int | Tensor,
    background: Tensor,
    samples: int = 200,
    seed: int = 0,
    layer: nn.Module | None = None,
    batch: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """Integrated gradients averaged over many baselines: SHAP's gradient explainer.

    background: (M, 3, H, W), preprocessed pictures, the baselines
    samples:    gradients for each picture. Each takes a background picture and a random place on
                the way from there to x. Both are stratified, which leaves the expectation as it
                is and lowers the variance: every background picture is used equally often
                (give or take one), and every stretch of the way, 1 / samples long, once.
    seed:       of these draws; each picture gets the same, so that its map doesn't depend on the
                others in x
    layer:      attribute to the output of this layer instead (see `integrated_gradients`)

    In expectation the attributions of a picture sum up to its score minus the background's mean
    score.

    Erion, Janizek, Sturmfels, Lundberg and Lee, "Improving performance of deep learning models with
    axiomatic attribution priors and expected gradients", Nature Machine Intelligence 2021.
    """
    targets = _checked(x, target, batch)
    check_count("samples", samples)
    _check_background(background, x)
    background = background.detach().to(x)
    which, alphas = _stratified(len(background), samples, seed)
    weights = torch.full((samples,), 1 / samples, dtype=x.dtype, device=x.device)
    path = _Path(background[which.to(x.device)], alphas.to(x), weights)
    found = _along_paths(model, x, targets, [path] * len(x), layer, batch, progress)
    return _told_if_flat(found, (x != background.amin(0)) | (x != background.amax(0)))


def _stratified(count, samples, seed):
    """Which of `count` pictures each sample starts from, and how far it goes: two (samples,)."""
    generator = seeded_generator(seed)
    rounds = -(-samples // count)
    which = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
    places = (torch.arange(samples) + uniform(samples, generator=generator)) / samples
    return which[:samples], places[torch.randperm(samples, generator=generator)]


@looks_inside
def score_change(model: nn.Module, x: Tensor, target: int | Tensor, baseline: Tensor) -> Tensor:
    """The score of each picture minus that of its baseline, (N,).

    What the attributions of `integrated_gradients` sum up to. With a background of several
    pictures for one x, call it with x expanded and take the mean.
    """
    targets = _checked(x, target, BATCH)
    baseline = _checked_baseline(baseline, x)
    here, there, _ = _scores_of_both(model, x, targets, baseline, BATCH)
    return here - there


def _scores_of_both(model, x, targets, baseline, batch):
    """The scores of the pictures, (N,), of their baselines, and how far a picture's classes differ.

    The last is the difference between its highest and its lowest score.
    """
    network = Ready(model)
    found = []
    with torch.enable_grad():  # which some networks need on their way
        for part in torch.arange(len(x)).split(batch):
            scores = network.scores(x[part].detach())
            here = chosen_scores(scores, targets[part])
            there = chosen_scores(network.scores(baseline[part].detach()), targets[part])
            finite = scores.where(scores.isfinite(), here[:, None])  # classes may be masked
            spread = finite.amax(1) - finite.amin(1)
            found.append(torch.stack([here, there, spread]).detach())
    return torch.cat(found, dim=1)


def _warn_if_incomplete(attributions, change, spread):
    """Warns if those of a picture, (N, 3, H, W), add up to something else than its score's change.

    change: (N,), by how much the score differs from that of the baseline
    spread: (N,), how far the scores of a picture differ: where the score hardly changes, small
            errors on the way are more than its change
    """
    sums = attributions.flatten(1).sum(1)
    allowed = torch.maximum(torch.maximum(change.abs(), sums.abs()) / 5, spread / 20)
    is_wrong = ((sums - change).abs() > allowed) & attributions.flatten(1).any(1)
    wrong = is_wrong.nonzero()[:, 0].tolist()
    if wrong:
        first = wrong[0]
        warn(
            f"The attributions of picture {first} add up to {sums[first]:.3g}, but its score and"
            f" the baseline's differ by {change[first]:.3g}: between these steps the gradient"
            " changes a lot. Take more, or another baseline if that doesn't help, as where a"
            " network standardizes its pictures and the baseline is of one colour."
        )


def _integrated_at_input(model, x, targets, baseline, alphas, weights, batch, progress):
    """All steps of a picture share its start, so their gradients may be summed on the way back."""
    total = torch.zeros_like(x, requires_grad=False)
    network = Ready(model)
    with _bar(progress, "gradients", len(x) * len(alphas)) as bar:
        for picture in range(len(x)):
            way = x.detach()[picture] - baseline[picture]
            for part in torch.arange(len(alphas)).split(batch):
                offsets = (alphas[part] - 1)[:, None, None, None] * way
                chosen = targets[picture].expand(len(part))
                total[picture] += _summed_gradient(
                    network, x[picture], offsets, chosen, weights[part]
                )
                bar.update(len(part))
    return total * (x.detach() - baseline)


@dataclass
class _Path:
    """Where gradients are taken on the way to one picture, and how much each counts."""

    starts: Tensor
    """(1, 3, H, W), or one for each point (M, 3, H, W)."""
    alphas: Tensor
    """(M,): how far along the way from the start."""
    weights: Tensor
    """(M,)"""


def _along_paths(model, x, targets, paths, layer, batch, progress):
    """Weighted sums of gradient times way, over the points of each picture's path."""
    totals = []
    network = Ready(model)
    with _bar(progress, "gradients", sum(len(path.alphas) for path in paths)) as bar:
        for picture, path in enumerate(paths):
            total = 0
            for part in torch.arange(len(path.alphas)).split(batch):
                starts = path.starts if len(path.starts) == 1 else path.starts[part]
                gradients, way = _gradient_at(
                    network, starts, x[[picture]],
                    path.alphas[part], targets[picture].expand(len(part)), layer,
                )  # fmt: skip
                total = total + torch.einsum("n,n...->...", path.weights[part], gradients * way)
                bar.update(len(part))
            totals.append(total)
    return torch.stack(totals)


# ---------------------------------------------------------------------------- the engine


def _gradient_at(network, start, here, alpha, targets, layer=None):
    """The scores' gradients at start + alpha (here - start), (N, ...), and here - start.

    start, here: one picture each, or N; alpha: (N,), or one number
    With a layer, the point lies between the layer's outputs for `start` and for `here`.
    """
    if layer is not None:
        return _gradient_at_layer(network, start, here, alpha, targets, layer)
    with torch.enable_grad():
        way = here.detach() - start.detach()
        point = (start.detach() + _like(alpha, way) * way).clone().requires_grad_()
        scores = chosen_scores(network.scores(point), targets)
        return _gradient(scores.sum(), point), way


def _gradient_at_layer(network, start, here, alpha, targets, layer):
    """The network runs on `here`, and its layer's output is moved to the point on the way."""
    with torch.no_grad(), outputs_of(layer) as outputs:
        network.scores(start.detach())
    begin = _only(outputs)
    if len(begin) != len(start):
        raise ValueError(
            f"The layer returns {len(begin)} outputs for {len(start)} pictures: its first axis must"
            " be that of the pictures."
        )
    here = here.detach().expand(len(targets), -1, -1, -1)
    point = None

    def move(output):
        nonlocal point
        way = output.detach() - begin
        point = (begin + _like(alpha, way) * way).clone().requires_grad_()
        return point.clone()  # because an in-place operation may follow

    with torch.enable_grad(), outputs_of(layer, move) as outputs:
        scores = chosen_scores(network.scores(here), targets)
    return _gradient(scores.sum(), point), _only(outputs).detach() - begin


def _only(outputs):
    if len(outputs) > 1:
        raise ValueError("The layer runs more than once: choose the block that it is part of.")
    return outputs[0]


def _summed_gradient(network, picture, offsets, targets, weights=None):
    """The sum of the (weighted) gradients at picture + offsets: (3, H, W) for offsets (N, 3, H, W).

    A sum of gradients passes the first convolution, which is linear, in one go; but not where the
    network takes gradients itself.
    """
    try:
        return _summed_in_one_go(network, picture, offsets, targets, weights)
    except _TakesGradients:
        points = picture + offsets
        gradients, _ = _gradient_at(network, points, points, 1.0, targets)
        return (
            gradients.sum(0) if weights is None else torch.einsum("n,n...->...", weights, gradients)
        )


def _summed_in_one_go(network, picture, offsets, targets, weights):
    with torch.enable_grad():
        leaf = picture.detach()[None].clone().requires_grad_()
        with _SharedConvolution(leaf) as shared:
            scores = chosen_scores(network.scores(leaf + offsets, entering=shared.watch), targets)
        total = (scores if weights is None else scores * weights).sum()
        return _gradient(total, leaf)[0]


class _TakesGradients(Refused):
    """The network takes gradients on its way, which can't pass a convolution that is shared."""


class _SharedConvolution(TorchFunctionMode):
    """While it is active, a convolution of what entered the network answers to `leaf`, summed."""

    def __init__(self, leaf):
        super().__init__()
        self.leaf = leaf
        self.points: Tensor | None = None
        self.version = 0

    def watch(self, points):
        """Takes note of what enters the network: leaf + constants."""
        self.points = points
        self.version = points._version

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        if function is torch.conv2d and args and self._is_entrance(args, kwargs):
            return _SummedConvolution.apply(self.leaf, self.points, *args[1:])
        if self.points is not None and function in (torch.autograd.grad, Tensor.backward):
            raise _TakesGradients
        return function(*args, **(kwargs or {}))

    def _is_entrance(self, args, kwargs):
        """Whether this is a plain convolution of what entered, not yet written into.

        Its weights must not depend on x, as those of dynamic convolutions do.
        """
        if self.points is None or args[0] is not self.points:
            return False
        plain = len(args) == 7 and not kwargs and not isinstance(args[4], str)
        fixed = not any(isinstance(arg, Tensor) and arg.requires_grad for arg in args[1:])
        return plain and fixed and self.points._version == self.version


class _SummedConvolution(torch.autograd.Function):
    """conv2d(points), where points = leaf + constants; its gradient goes to the leaf, summed."""

    @staticmethod
    def forward(ctx, leaf, points, weight, bias, *settings):
        ctx.save_for_backward(weight)
        ctx.shape = leaf.shape
        ctx.settings = settings
        return torch.conv2d(points, weight, bias, *settings)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        summed = gradient[0].clone()
        for following in gradient.unbind()[1:]:  # many times faster than gradient.sum(dim=0)
            summed += following
        return conv2d_input(ctx.shape, weight, summed[None], *ctx.settings), *[None] * 7


def _like(alpha, values):
    """Factors (N,), or one number, in a shape that multiplies values (N, ...)."""
    return alpha if isinstance(alpha, float) else alpha.reshape(-1, *[1] * (values.dim() - 1))


def _told_if_flat(attributions, moved=None):
    """The attributions (N, ...), after a warning if those of a picture are zero everywhere.

    moved: (N, ...), where a picture differs from its baseline; where nowhere, zero is right
    """
    is_flat = ~attributions.flatten(1).any(1)
    if moved is not None:
        is_flat &= moved.flatten(1).any(1)
    flat = is_flat.nonzero()[:, 0].tolist()
    if flat:
        warn(
            f"The gradient is zero everywhere for picture {flat[0]}: no small change of it changes"
            " the score, as behind a step such as rounding, or where every ReLU is off.",
        )
    return attributions


def _gradient(total, point):
    gradient = None
    if total.requires_grad:
        (gradient,) = gradients_of(total, point, allow_unused=True)
    if gradient is None:
        raise ValueError(
            "No gradient reaches the input: the score does not depend on it, or something on the"
            " way (such as no_grad, detach, argmax or rounding) cuts the path."
        )
    if gradient.isnan().any():
        raise ValueError(
            "The gradient is NaN (not a number): look for a square root or a logarithm of zero in"
            " the model."
        )
    warn_of_underflow(gradient)
    return gradient.contiguous()


# ---------------------------------------------------------------------------- what is asked for


def _checked(x, target, batch):
    """The class index of each picture, (N,), after checking what can be checked beforehand."""
    if x.dim() != 4 or not len(x):
        raise ValueError(f"x must be preprocessed pictures (N, 3, H, W), not {tuple(x.shape)}.")
    check_count("batch", batch)
    return whole_targets(target, len(x)).to(x.device)


def _checked_baseline(baseline, x):
    """One baseline for each picture, (N, 3, H, W)."""
    if tuple(baseline.shape) not in {tuple(x.shape), (1, *x.shape[1:])}:
        raise ValueError(
            f"The baseline must have the shape {(1, *x.shape[1:])}, or that of x,"
            f" {tuple(x.shape)}; got {tuple(baseline.shape)}. Preprocess it as x was."
        )
    return baseline.detach().to(x).expand_as(x)


def _check_background(background, x):
    if background.dim() != 4 or not len(background) or background.shape[1:] != x.shape[1:]:
        raise ValueError(
            f"The background must be pictures (M, {', '.join(map(str, x.shape[1:]))}),"
            f" preprocessed as x was; got {tuple(background.shape)}."
        )


def _parts(count, batch):
    """How many run at a time: 8, 8, ..., and what is left."""
    return [min(batch, count - done) for done in range(0, count, batch)]


def _bar(progress, name, total):
    return tqdm(total=total, disable=not progress, desc=name, unit="gradient")
