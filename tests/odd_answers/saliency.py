"""Unusual right answers of notebook 5."""

import numpy as np
import torch
import torch.nn.functional as F

# ---------------------------------------------------------------------------- the gradient


def in_double_precision(model, x, target):
    x = x.detach().clone().requires_grad_()
    scores = model(x)
    chosen = F.one_hot(torch.tensor([target]), scores.shape[1]).to(scores)
    (gradient,) = torch.autograd.grad(scores, x, chosen)
    return gradient.double()


def by_a_functional_gradient(model, x, target):
    return torch.func.grad(lambda picture: model(picture)[:, target].sum())(x).detach()


def by_a_jacobian(model, x, target):
    jacobian = torch.autograd.functional.jacobian(model, x)
    return jacobian[0, target]


def by_backward_into_the_picture_alone(model, x, target):
    x = torch.tensor(x.numpy(), requires_grad=True)
    model(x)[0, target].backward(inputs=[x])
    return x.grad


# ---------------------------------------------------------------------------- the probability


def in_double_by_a_matrix_product(gradients, scores, target):
    p = scores.double().softmax(0)
    slopes = p[target] * (F.one_hot(torch.tensor(target), len(p)) - p)
    return (slopes @ gradients.double().flatten(1)).view(gradients.shape[1:])


def by_autograd(gradients, scores, target):
    scores = scores.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(scores.softmax(0)[target], scores)
    return torch.einsum("k,kchw->chw", slopes, gradients)


def pair_by_pair(gradients, scores, target):
    p = torch.exp(torch.log_softmax(scores, -1))
    total = torch.zeros_like(gradients[0])
    for rival in range(len(p)):
        total += p[target] * p[rival] * (gradients[target] - gradients[rival])
    return total


# ---------------------------------------------------------------------------- SmoothGrad


def in_double_one_after_the_other(model, x, target, noises):
    total = torch.zeros(x.shape, dtype=torch.float64)
    for noise in noises:
        total += by_backward_into_the_picture_alone(model, (x + noise).detach(), target)
    return total / len(noises)


def by_the_mean_score(model, x, target, noises):
    noisy = (x.expand_as(noises) + noises).requires_grad_()
    (gradient,) = torch.autograd.grad(model(noisy)[:, target].mean(), noisy)
    return gradient.sum(0)[None]


def through_the_shared_picture(model, x, target, noises):
    shared = x.detach().clone().requires_grad_()
    score = model(shared + noises).mean(0)[target]
    return torch.autograd.grad(score, shared)[0]


# ---------------------------------------------------------------------------- a rule for ReLUs


def by_a_product_in_double(values, gradient):
    return gradient.double() * (values > 0) * (gradient > 0)


def by_where(values, gradient):
    return torch.where(torch.minimum(values, gradient) > 0, gradient, 0.0)


def by_filling_a_copy(values, gradient):
    passed = gradient.clone().masked_fill_(values <= 0, 0)
    return passed.clamp_(min=0)


def by_the_sign_of_the_relu(values, gradient):
    return values.relu().sign() * torch.maximum(gradient, torch.zeros(()))


# ---------------------------------------------------------------------------- seeds


def by_exact_counts_in_one_byte(heatmap, high, low):
    count, order = heatmap.numel(), heatmap.flatten().argsort()
    labels = torch.zeros(count, dtype=torch.uint8)
    labels[order[: round(low * count)]] = 2
    labels[order[count - round(high * count) :]] = 1
    return labels.view(heatmap.shape)


def by_numpys_quantiles(heatmap, high, low):
    values = heatmap.numpy()
    below, above = np.quantile(values, [low, 1 - high])
    return torch.from_numpy(np.select([values > above, values < below], [1, 2], 0))


def by_ranks(heatmap, high, low):
    ranks = heatmap.flatten().argsort().argsort().view(heatmap.shape)
    labels = 2 * (ranks < round(low * ranks.numel())).int()
    return labels + (ranks >= round((1 - high) * ranks.numel())).int()


def by_the_kth_value(heatmap, high, low):
    count = heatmap.numel()
    smallest_object = heatmap.flatten().topk(round(high * count)).values[-1]
    largest_background = heatmap.flatten().kthvalue(round(low * count)).values
    return (heatmap >= smallest_object).long() + 2 * (heatmap <= largest_background).long()


ODD = {
    "score_gradient": [
        in_double_precision,
        by_a_functional_gradient,
        by_a_jacobian,
        by_backward_into_the_picture_alone,
    ],
    "probability_gradient": [in_double_by_a_matrix_product, by_autograd, pair_by_pair],
    "smooth_gradient": [
        in_double_one_after_the_other,
        by_the_mean_score,
        through_the_shared_picture,
    ],
    "guided_rule": [
        by_a_product_in_double,
        by_where,
        by_filling_a_copy,
        by_the_sign_of_the_relu,
    ],
    "seeds": [by_exact_counts_in_one_byte, by_numpys_quantiles, by_ranks, by_the_kth_value],
}
