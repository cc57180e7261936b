"""Unusual right answers of notebook 6."""

import numpy as np
import torch

# ---------------------------------------------------------------------------- path


def as_a_view(x, baseline, steps):
    places = torch.linspace(0.5, steps - 0.5, steps, dtype=x.dtype) / steps
    line = torch.tensordot(torch.stack([1 - places, places]), torch.cat([baseline, x]), ([0], [0]))
    return line.contiguous(memory_format=torch.channels_last)


def point_by_point(x, baseline, steps):
    return torch.cat([torch.lerp(baseline, x, (i + 0.5) / steps) for i in range(steps)])


def between_the_ends_of_the_pieces(x, baseline, steps):
    ends = torch.linspace(0, 1, steps + 1).view(-1, 1, 1, 1)
    points = (1 - ends) * baseline + ends * x
    return (points[:-1] + points[1:]) / 2


# ---------------------------------------------------------------------------- IG


def in_double_point_by_point(model, x, target, baseline, steps):
    total = torch.zeros(x.shape, dtype=torch.float64)
    for point in as_a_view(x, baseline, steps):
        point = point[None].detach().requires_grad_()
        total += torch.autograd.grad(model(point)[0, target], point)[0]
    return (x - baseline) * total / steps


def by_the_mean_score(model, x, target, baseline, steps):
    moving = x.clone().requires_grad_()
    places = (torch.arange(steps) + 0.5)[:, None, None, None] / steps
    points = baseline.lerp(x, places) + moving - x
    score = model(points).mean(0)[target]
    return torch.autograd.grad(score, moving)[0] * (x - baseline)


def by_differentiating_along_the_way(model, x, target, baseline, steps):
    points = point_by_point(x, baseline, steps)
    gradients = torch.func.grad(lambda p: model(p)[:, target].sum())(points).detach()
    return torch.einsum("nchw,mchw->mchw", gradients / steps, x - baseline)


# ---------------------------------------------------------------------------- completeness


def as_a_tensor_in_double(attributions, model, x, target, baseline):
    with torch.no_grad():
        scores = model(torch.cat([x, baseline])).double()[:, target]
    return (attributions.double().sum() / (scores[0] - scores[1]) - 1).abs()


def with_numpy(attributions, model, x, target, baseline):
    change = (model(x) - model(baseline))[0, target].item()
    return np.abs(np.sum(attributions.detach().numpy()) - change) / np.abs(change)


@torch.inference_mode()
def by_a_square_root(attributions, model, x, target, baseline):
    change = model(x)[:, target] - model(baseline)[:, target]
    missing = attributions.sum((1, 2, 3)) - change
    return (missing.square() / change.square()).sqrt().item()


# ---------------------------------------------------------------------------- expected gradients


def in_double_sample_by_sample(model, x, target, baselines, places):
    total = torch.zeros(x.shape, dtype=torch.float64)
    for baseline, place in zip(baselines.split(1), places):
        point = (baseline + place * (x - baseline)).detach().requires_grad_()
        total += (x - baseline) * torch.autograd.grad(model(point)[0, target], point)[0]
    return total / len(places)


def by_lerp_and_einsum(model, x, target, baselines, places):
    points = torch.lerp(baselines, x.expand_as(baselines), places.view(-1, 1, 1, 1))
    points = points.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(model(points).mean(0)[target], points)
    return torch.einsum("nchw,nchw->chw", x - baselines, gradients)[None]


def by_a_functional_gradient(model, x, target, baselines, places):
    ways = x - baselines
    points = x - (1 - places).reshape(-1, 1, 1, 1) * ways
    gradients = torch.func.vmap(torch.func.grad(lambda p: model(p[None])[0, target]))(points)
    return (ways * gradients.detach()).mean(dim=0, keepdim=True)


ODD = {
    "path": [as_a_view, point_by_point, between_the_ends_of_the_pieces],
    "integrated_gradients": [
        in_double_point_by_point,
        by_the_mean_score,
        by_differentiating_along_the_way,
    ],
    "completeness_gap": [as_a_tensor_in_double, with_numpy, by_a_square_root],
    "expected_gradients": [
        in_double_sample_by_sample,
        by_lerp_and_einsum,
        by_a_functional_gradient,
    ],
}
