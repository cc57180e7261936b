"""Gradients of a score with respect to the picture, plain, smoothed, guided and integrated.

    x = classifier.preprocess(picture)
    attributions = saliency(model, x, target)                      # (N, 3, H, W), signed
    heatmap = to_map(attributions, "max")[0]                       # (H, W)
    attributions = integrated_gradients(model, x, target, baseline)
    attributions = expected_gradients(model, x, target, background, layer=layer)

All take a batch of preprocessed pictures x (N, 3, H, W) and `target`, one class index for all
pictures or one for each, (N,). They explain the score, the logit: a model that ends in a softmax
gives maps of the probability, which mix in the other classes. They return signed attributions of
the shape of x, or of a `layer`'s output. Pictures, steps and samples run `batch` at a time, so
memory does not grow with their number.

The model works in eval mode meanwhile (a warning tells you if it was in training mode) and is left
as it was, also after an error. No gradients of its weights are computed.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.grad import conv2d_input
from torch.overrides import TorchFunctionMode
from tqdm.auto import tqdm

from course_utils._devices import computed_there
from course_utils._networks import evaluating

BATCH = 8
"""Pictures at a time: on a CPU, larger batches fall out of its cache and take longer."""

# ---------------------------------------------------------------------------- maps


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


@computed_there
@torch.inference_mode(False)
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
    targets = _checked(model, x, target, batch)
    with _ready(model) as network:
        return torch.cat(
            [
                _gradient_at(network, x[part], x[part], 1.0, targets[part], layer)[0]
                for part in torch.arange(len(x)).split(batch)
            ]
        )


@computed_there
def guided_backprop(
    model: nn.Module, x: Tensor, target: int | Tensor, batch: int = BATCH
) -> Tensor:
    """Saliency whose way back through a ReLU also drops negative gradients, (N, 3, H, W).

    The rule holds for every ReLU that runs: modules, functions, in-place and reused ones.

    Springenberg, Dosovitskiy, Brox and Riedmiller, "Striving for Simplicity: The All Convolutional
    Net", ICLR 2015 workshop, section 3.4.
    """
    return _with_relu_rule(_Guided, model, x, target, batch)


@computed_there
def deconvnet(model: nn.Module, x: Tensor, target: int | Tensor, batch: int = BATCH) -> Tensor:
    """Saliency whose way back through a ReLU drops negative gradients only, (N, 3, H, W).

    Where the ReLU was off on the way up, a positive gradient passes all the same. Max-pools send
    it back to their maxima, as the deconvnet's switches do.

    Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 2.
    """
    return _with_relu_rule(_Deconvnet, model, x, target, batch)


def _with_relu_rule(rule, model, x, target, batch):
    with _ReluRule(rule) as mode:
        attributions = saliency(model, x, target, batch=batch)
    if not mode.met:
        raise ValueError(
            "No ReLU ran in this model, so this is nothing but saliency: the rule changes how"
            " gradients pass a ReLU. (Other activations, such as GELU, have no such rule.)"
        )
    return attributions


class _Guided(torch.autograd.Function):
    """A ReLU; the gradient passes where it is positive and the ReLU was on."""

    @staticmethod
    def forward(ctx, values):
        output = values.relu()
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx, gradient):
        (output,) = ctx.saved_tensors
        return gradient.relu() * (output > 0)


class _Deconvnet(torch.autograd.Function):
    """A ReLU; the gradient passes where it is positive."""

    @staticmethod
    def forward(ctx, values):
        return values.relu()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.relu()


class _ReluRule(TorchFunctionMode):
    """While it is active, a rule takes the place of every ReLU, called in whatever way."""

    RELUS = (torch.relu, torch.nn.functional.relu, torch.Tensor.relu)
    IN_PLACE = (torch.relu_, torch.Tensor.relu_)

    def __init__(self, rule):
        super().__init__()
        self.rule = rule
        self.met = False

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function not in self.RELUS + self.IN_PLACE:
            return function(*args, **kwargs)
        self.met = True
        values = args[0] if args else kwargs["input"]
        in_place = function in self.IN_PLACE or kwargs.get("inplace") or args[1:] == (True,)
        # A copy goes through the rule, because the rule's own output must not change afterwards.
        return (
            values.copy_(self.rule.apply(values.clone())) if in_place else self.rule.apply(values)
        )


# ---------------------------------------------------------------------------- SmoothGrad

AVERAGES = {"signed": lambda g: g, "absolute": torch.abs, "squared": torch.square}
"""What `smoothgrad` averages: the gradients themselves, their absolute values or squares."""


@computed_there
@torch.inference_mode(False)
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
    targets = _checked(model, x, target, batch)
    _check_count("samples", samples)
    if average not in AVERAGES:
        raise ValueError(f"average={average!r}: choose one of {', '.join(AVERAGES)}.")
    if not noise >= 0:
        raise ValueError(f"noise={noise}: a standard deviation is not negative.")
    ranges = x.detach().amax(dim=(1, 2, 3)) - x.detach().amin(dim=(1, 2, 3))
    total = torch.zeros_like(x, requires_grad=False)
    with _ready(model) as network, _bar(progress, "SmoothGrad", len(x) * samples) as bar:
        for picture in range(len(x)):
            generator = torch.Generator().manual_seed(seed)
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
    return torch.stack([torch.randn(x.shape[1:], generator=generator) for _ in range(count)]).to(x)


# ---------------------------------------------------------------------------- along a path

RULES = ("gauss_legendre", "midpoint", "left", "right", "trapezoid")
"""Ways to replace an integral over [0, 1] by a weighted sum (see `quadrature`)."""


def quadrature(rule: str, steps: int) -> tuple[Tensor, Tensor]:
    """Where to evaluate a function on [0, 1] and how to weight it, both (steps,), in float64.

    The weighted sum approaches the function's integral; all weights add up to 1.
    """
    _check_count("steps", steps)
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


@computed_there
@torch.inference_mode(False)
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
              no neutral choice. Zeros are the training pictures' mean colour; black is
              `classifier.preprocess(torch.zeros(3, H, W))`.
    steps:    gradients for each picture; rule: one of RULES
    layer:    attribute to the output of this layer instead: the way leads straight from the
              baseline's activation to that of x

    Completeness: the attributions of a picture sum up to `score_change`, up to the error of the
    quadrature.

    Sundararajan, Taly and Yan, "Axiomatic Attribution for Deep Networks", ICML 2017.
    """
    targets = _checked(model, x, target, batch)
    baseline = _checked_baseline(baseline, x)
    alphas, weights = (values.to(x) for values in quadrature(rule, steps))
    if layer is None:
        return _integrated_at_input(model, x, targets, baseline, alphas, weights, batch, progress)
    return _along_paths(
        model, x, targets, lambda picture, part: baseline[[picture]].expand(len(part), -1, -1, -1),
        lambda picture: (alphas, weights), layer, batch, progress,
    )  # fmt: skip


@computed_there
@torch.inference_mode(False)
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
    layer:      attribute to the output of this layer instead (see `integrated_gradients`)

    In expectation the attributions of a picture sum up to its score minus the background's mean
    score.

    Erion, Janizek, Sturmfels, Lundberg and Lee, "Improving performance of deep learning models with
    axiomatic attribution priors and expected gradients", Nature Machine Intelligence 2021.
    """
    targets = _checked(model, x, target, batch)
    _check_count("samples", samples)
    _check_background(background, x)
    background = background.detach().to(x)
    weights = torch.full((samples,), 1 / samples, dtype=x.dtype, device=x.device)
    draws = [_stratified(len(background), samples, seed + number) for number in range(len(x))]
    return _along_paths(
        model, x, targets, lambda picture, part: background[draws[picture][0][part]],
        lambda picture: (draws[picture][1].to(x), weights), layer, batch, progress,
    )  # fmt: skip


def _stratified(count, samples, seed):
    """Which of `count` pictures each sample starts from, and how far it goes: two (samples,)."""
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-samples // count)
    which = torch.cat([torch.randperm(count, generator=generator) for _ in range(rounds)])
    places = (torch.arange(samples) + torch.rand(samples, generator=generator)) / samples
    return which[:samples], places[torch.randperm(samples, generator=generator)]


@computed_there
@torch.inference_mode(False)
def score_change(model: nn.Module, x: Tensor, target: int | Tensor, baseline: Tensor) -> Tensor:
    """The score of each picture minus that of its baseline, (N,).

    What the attributions of `integrated_gradients` sum up to. With a background of several
    pictures for one x, call it with x expanded and take the mean.
    """
    targets = _checked(model, x, target, BATCH)
    baseline = _checked_baseline(baseline, x)
    with _ready(model) as network, torch.no_grad():
        changes = [
            _of_targets(network(x[part]), targets[part])
            - _of_targets(network(baseline[part]), targets[part])
            for part in torch.arange(len(x)).split(BATCH)
        ]
    return torch.cat(changes)


def _integrated_at_input(model, x, targets, baseline, alphas, weights, batch, progress):
    """All steps of a picture share its start, so their gradients may be summed on the way back."""
    total = torch.zeros_like(x, requires_grad=False)
    with _ready(model) as network, _bar(progress, "gradients", len(x) * len(alphas)) as bar:
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


def _along_paths(model, x, targets, starts, alphas_and_weights, layer, batch, progress):
    """Weighted sums of gradient times way, over points on the ways from several starts to x."""
    totals = []
    samples = len(alphas_and_weights(0)[0])
    with _ready(model) as network, _bar(progress, "gradients", len(x) * samples) as bar:
        for picture in range(len(x)):
            alphas, weights = alphas_and_weights(picture)
            here = x[picture : picture + 1]
            total = 0
            for part in torch.arange(samples).split(batch):
                gradients, way = _gradient_at(
                    network, starts(picture, part), here, alphas[part],
                    targets[picture].expand(len(part)), layer,
                )  # fmt: skip
                total = total + torch.einsum("n,n...->...", weights[part], gradients * way)
                bar.update(len(part))
            totals.append(total)
    return torch.stack(totals)


# ---------------------------------------------------------------------------- the engine


@contextmanager
def _ready(model: nn.Module) -> Iterator[Callable[[Tensor], Tensor]]:
    """While it lasts, a function x -> scores: the model in eval mode, with frozen weights.

    The weights are handed over as detached tensors, so the model's own keep their `requires_grad`.
    On a CPU they are arranged channels last, which makes convolutions faster.
    """
    weights = {name: _arranged(value) for name, value in model.named_parameters()}

    def network(x):
        scores = functional_call(model, weights, (x,))
        if not isinstance(scores, Tensor) or scores.dim() != 2:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ValueError(f"The model must return scores (N, classes), not {shape}.")
        return scores

    with torch.enable_grad(), evaluating(model):
        yield network


def _arranged(values):
    """A detached copy or view; channels last where that is faster: float32 on a CPU."""
    values = values.detach()
    if values.dim() == 4 and values.device.type == "cpu" and values.dtype == torch.float32:
        return values.contiguous(memory_format=torch.channels_last)
    return values


def _gradient_at(network, start, here, alpha, targets, layer=None):
    """The scores' gradients at start + alpha (here - start), and here - start, both (N, ...).

    With a layer, the point lies between the layer's outputs for `start` and for `here`: the
    network runs on `start`, and a hook moves the layer's output to the point.
    """
    if layer is None:
        way = here.detach() - start.detach()
        point = _leaf(start.detach() + _like(alpha, way) * way)
        scores = _of_targets(network(point), targets)
    else:
        with torch.no_grad(), _output_of(layer) as outputs:
            network(here.detach())
        moved = []

        def move(output):
            moved.extend((here_output - output.detach(), output.detach()))
            moved.append(_leaf(moved[1] + _like(alpha, moved[0]) * moved[0]))
            return moved[2].clone()  # because an in-place operation may follow

        here_output = outputs[0]
        with _output_of(layer, move):
            scores = _of_targets(network(_arranged(start)), targets)
        way, point = moved[0], moved[2]
    return _gradient(scores.sum(), point), way


def _summed_gradient(network, picture, offsets, targets, weights=None):
    """The sum of the (weighted) gradients at picture + offsets: (3, H, W) for offsets (N, 3, H, W).

    A sum of gradients passes the first convolution, which is linear, in one go.
    """
    leaf = picture.detach()[None].clone().requires_grad_()
    points = leaf + _arranged(offsets)
    with _SharedConvolution(leaf, points):
        scores = _of_targets(network(points), targets)
    return _gradient((scores if weights is None else scores * weights).sum(), leaf)[0]


class _SharedConvolution(TorchFunctionMode):
    """While it is active, a convolution of `points` sends back the gradient's sum, to `leaf`."""

    def __init__(self, leaf, points):
        super().__init__()
        self.leaf, self.points = leaf, points

    def __torch_function__(self, function, _types, args=(), kwargs=None):
        if function is torch.conv2d and args[0] is self.points and self._simple(args, kwargs):
            return _SummedConvolution.apply(self.leaf, self.points, *args[1:])
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _simple(args, kwargs):
        return len(args) == 7 and not kwargs and not isinstance(args[4], str)


class _SummedConvolution(torch.autograd.Function):
    """conv2d(points), where points = leaf + constants; its gradient goes to the leaf, summed."""

    @staticmethod
    def forward(ctx, leaf, points, weight, bias, *settings):
        ctx.save_for_backward(weight)
        ctx.shape, ctx.settings = leaf.shape, settings
        return torch.conv2d(points, weight, bias, *settings)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        summed = gradient[0].clone()
        for following in gradient.unbind()[1:]:  # many times faster than gradient.sum(dim=0)
            summed += following
        return conv2d_input(ctx.shape, weight, summed[None], *ctx.settings), *[None] * 7


@contextmanager
def _output_of(layer, change=None):
    """While it lasts, the layer's output is kept in a list, and changed by a function."""
    outputs = []

    def hook(_module, _inputs, output):
        if not isinstance(output, Tensor):
            raise ValueError(f"The layer returns a {type(output).__name__}, not a tensor.")
        if outputs:
            raise ValueError("The layer runs more than once: choose the block that it is part of.")
        outputs.append(output.detach().clone())
        return None if change is None else change(output)

    handle = layer.register_forward_hook(hook)
    try:
        yield outputs
    finally:
        handle.remove()
    if not outputs:
        raise ValueError("The layer did not run: is it a layer of this model?")


def _leaf(values):
    return _arranged(values).clone().requires_grad_()


def _like(alpha, values):
    """Factors (N,), or one number, in a shape that multiplies values (N, ...)."""
    return alpha if isinstance(alpha, float) else alpha.reshape(-1, *[1] * (values.dim() - 1))


def _of_targets(scores, targets):
    classes = scores.shape[1]
    if targets.numel() and not (0 <= targets.min() and targets.max() < classes):
        raise ValueError(
            f"The targets are 0 to {classes - 1}, one for each class; got {targets.tolist()}."
        )
    chosen = scores.gather(1, targets[:, None])[:, 0]
    if chosen.isnan().any():
        raise ValueError("The score is NaN (not a number): look at x and at the model's weights.")
    return chosen


def _gradient(total, point):
    gradient = None
    if total.requires_grad:
        (gradient,) = torch.autograd.grad(total, point, allow_unused=True)
    if gradient is None:
        raise ValueError(
            "No gradient reaches the input: the score does not depend on it, or something on the"
            " way (such as no_grad, detach, argmax or rounding) cuts the path."
        )
    return gradient.contiguous()


# ---------------------------------------------------------------------------- what is asked for


def _checked(model, x, target, batch):
    """The class index of each picture, (N,), after checking what can be checked beforehand."""
    if not isinstance(x, Tensor) or x.dim() != 4 or not len(x) or not x.is_floating_point():
        what = f"{tuple(x.shape)}, {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x must be preprocessed pictures (N, 3, H, W), floats; got {what}.")
    if not isinstance(model, nn.Module):
        raise ValueError(f"The model must be an nn.Module, not a {type(model).__name__}.")
    if model.training:
        warnings.warn(
            "The model is in training mode. Its gradients are computed in eval mode; afterwards it"
            " is in training mode again.",
            stacklevel=3,
        )
    _check_count("batch", batch)
    targets = torch.as_tensor(target, device=x.device)
    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise ValueError(f"A target is a class index, a whole number; got {target}.")
    if targets.dim() > 1 or (targets.dim() == 1 and len(targets) != len(x)):
        raise ValueError(
            f"Give one target, or one for each of the {len(x)} pictures; got the shape"
            f" {tuple(targets.shape)}."
        )
    return targets.long().clone().expand(len(x))


def _check_count(name, value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}={value!r}: a whole number from 1 on is needed.")


def _checked_baseline(baseline, x):
    """One baseline for each picture, (N, 3, H, W)."""
    if not isinstance(baseline, Tensor) or tuple(baseline.shape) not in {
        tuple(x.shape),
        (1, *x.shape[1:]),
    }:
        what = tuple(baseline.shape) if isinstance(baseline, Tensor) else type(baseline).__name__
        raise ValueError(
            f"The baseline must have the shape {(1, *x.shape[1:])}, or that of x,"
            f" {tuple(x.shape)}; got {what}. Preprocess it as x was."
        )
    return baseline.detach().to(x).expand_as(x)


def _check_background(background, x):
    if (
        not isinstance(background, Tensor)
        or background.dim() != 4
        or not len(background)
        or background.shape[1:] != x.shape[1:]
    ):
        what = background.shape if isinstance(background, Tensor) else type(background).__name__
        raise ValueError(
            f"The background must be pictures (M, {', '.join(map(str, x.shape[1:]))}),"
            f" preprocessed as x was; got {tuple(what) if isinstance(what, torch.Size) else what}."
        )


def _parts(count, batch):
    """How many run at a time: 8, 8, ..., and what is left."""
    return [min(batch, count - done) for done in range(0, count, batch)]


def _bar(progress, name, total):
    return tqdm(total=total, disable=not progress, desc=name, unit="gradient")
