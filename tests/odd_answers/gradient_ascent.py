"""Unusual right answers of notebook 8."""

import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------- the objective


def in_double_precision(score, x, l2):
    return score.double() - l2 * x.double().flatten(1).norm(dim=1) ** 2


def by_einsum(score, x, l2):
    return score - l2 * torch.einsum("nchw,nchw->n", x, x)


def picture_by_picture(score, x, l2):
    return torch.stack([s - l2 * (picture**2).sum() for s, picture in zip(score, x)])


def by_scalar_products(score, x, l2):
    flat = x.reshape(len(x), -1)
    return torch.baddbmm(score[:, None, None], flat[:, None], flat[:, :, None], alpha=-l2)[:, 0, 0]


# ---------------------------------------------------------------------------- one step


def still_in_a_graph(model, x, target, l2, step):
    x = x.detach().clone().requires_grad_()
    value = (model(x)[:, target] - l2 * (x**2).sum((1, 2, 3))).mean()
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    return x + step * gradient / gradient.pow(2).mean((1, 2, 3), keepdim=True).sqrt()


def with_a_calculated_penalty(model, x, target, l2, step):
    given = x.detach()
    x = given.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(x)[:, target].sum(), x)
    gradient = slope - 2 * l2 * given
    size = x[0].numel() ** 0.5
    return given + size * step * F.normalize(gradient.flatten(1)).view_as(given)


def picture_by_picture_with_func(model, x, target, l2, step):
    def objective(picture):
        return model(picture[None])[0, target] - l2 * (picture * picture).sum()

    new = []
    for picture in x.detach():
        gradient = torch.func.grad(objective)(picture)
        new.append(picture + gradient * (step / gradient.square().mean().sqrt()))
    return torch.stack(new)


# ---------------------------------------------------------------------------- total variation


def in_double_by_convolution(x):
    kernels = torch.tensor([[[0, 0], [-1, 1]], [[0, -1], [0, 1]]]).double()[:, None]
    count = len(x)
    flat = x.double().flatten(0, 1)[:, None]
    padded = F.pad(flat, (1, 0, 1, 0), mode="replicate")
    return F.conv2d(padded, kernels).abs().view(count, -1).sum(1)


def with_diff(x):
    return sum(x.diff(dim=axis).abs().sum((1, 2, 3)) for axis in (2, 3))


def with_another_slope_at_zero(x):
    differences = (x.diff(dim=2), x.diff(dim=3))
    return sum(torch.where(d > 0, d, -d).sum((1, 2, 3)) for d in differences)


def rounded_off_at_zero(x):
    return sum((x.diff(dim=k).square() + 1e-12).sqrt().sum((1, 2, 3)) for k in (2, 3))


def line_by_line(x):
    total = x.new_zeros(len(x))
    for row in range(x.shape[2] - 1):
        total = total + (x[:, :, row] - x[:, :, row + 1]).abs().sum((1, 2))
    for column in range(x.shape[3] - 1):
        total = total + (x[..., column + 1] - x[..., column]).abs().sum((1, 2))
    return total


# ---------------------------------------------------------------------------- a single unit


def in_double_from_a_clone(model, name, x, channel, row, column):
    kept = {}

    def keep(module, inputs, output):
        kept["value"] = output[:, channel, row, column].clone()

    with model.get_submodule(name).register_forward_hook(keep):
        model(x)
    return kept["value"].double()


def stopped_on_the_way(model, name, x, channel, row, column):
    class Reached(Exception):
        pass

    def stop(module, inputs, output):
        raise Reached(output)

    handle = model.get_submodule(name).register_forward_hook(stop)
    try:
        model(x)
    except Reached as reached:
        return reached.args[0].select(1, channel)[..., row, column]
    finally:
        handle.remove()


def from_the_input_of_the_layer(model, name, x, channel, row, column):
    layer, inputs = dict(model.named_modules())[name], []
    handle = layer.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    try:
        model(x)
    finally:
        handle.remove()
    return layer(inputs[0])[..., channel, row, column]


ODD = {
    "objective": [in_double_precision, by_einsum, picture_by_picture, by_scalar_products],
    "ascent_step": [still_in_a_graph, with_a_calculated_penalty, picture_by_picture_with_func],
    "total_variation": [
        in_double_by_convolution,
        with_diff,
        with_another_slope_at_zero,
        rounded_off_at_zero,
        line_by_line,
    ],
    "unit_score": [in_double_from_a_clone, stopped_on_the_way, from_the_input_of_the_layer],
}
