"""Class activation maps: where in its last feature map a network finds the evidence for a class.

    heatmaps = cam(model, layer, head, x, target)     # GAP networks: Zhou et al., CVPR 2016
    heatmaps = grad_cam(model, layer, x, target)      # any network: Selvaraju et al., ICCV 2017
    heatmap = upsample(heatmaps[0], size=128)         # (16, 16) -> (128, 128)
    box = box_from_map(heatmap, threshold=0.4)        # (top, left, bottom, right)
    iou(box, box_of_mask(mask))                       # how well two boxes agree

Three relatives of Grad-CAM use the same gradient in other ways: `hires_cam`,
`grad_cam_plus_plus` and `layer_cam`.

Maps have the size of the layer's own feature map, one value for each of its cells. `upsample`
makes them as large as the picture without moving anything.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils._arguments import check_finite, checks_arguments, height_and_width
from course_utils._networks import (
    Ready,
    chosen_scores,
    class_indices,
    feature_maps,
    gradients_of,
    in_full,
    looks_inside,
    outputs_of,
    warn_of_underflow,
)
from course_utils.boxes import box_from_map, box_of_mask, iou

__all__ = [
    "box_from_map",
    "box_of_mask",
    "cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "iou",
    "layer_cam",
    "upsample",
]

ROUNDING = 1e-2
"""Share of the largest score by which sums of a network in half precision may be off."""

# ---------------------------------------------------------------------------- maps


@looks_inside
def cam(
    model: nn.Module, layer: nn.Module, head: nn.Linear, x: Tensor, target: int | Tensor
) -> Tensor:
    """Class activation maps, M(i, j) = sum over k of w[target, k] A[k, i, j]  ->  (N, h, w).

    layer:  the one whose maps A (N, K, h, w) are averaged over all positions
    head:   the linear layer behind the average, with weights w (classes, K)
    target: one class index for all pictures, or one for each, (N,)

    The maps are signed: negative cells speak against the class. The mean of a map plus the head's
    bias is the score. Where it isn't, because something else than the average lies between the
    layer and the head, the network has no CAM there and a ValueError says so.

    Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative
    Localization", CVPR 2016, equation 2.
    """
    with torch.no_grad(), outputs_of(layer) as outputs:
        scores = Ready(model).scores(x)
    activation = feature_maps(outputs[-1], x, "CAM")
    if head.in_features != activation.shape[1]:
        raise ValueError(
            f"The head takes {head.in_features} numbers, but the layer has {activation.shape[1]}"
            " channels: CAM needs global average pooling right before the head. Use grad_cam."
        )
    indices = class_indices(target, scores)
    if head.out_features != scores.shape[1]:
        raise ValueError(
            f"The head gives {head.out_features} scores, but the model {scores.shape[1]}."
        )
    weights = in_full(head.weight.detach())[indices]
    heatmaps = torch.einsum("nk,nkhw->nhw", weights, in_full(activation.detach()))
    bias = 0 if head.bias is None else head.bias.detach()[indices]
    missing = heatmaps.mean((1, 2)) + bias - chosen_scores(scores, indices)
    if not (missing.abs() <= ROUNDING * scores.abs().max().clamp(min=1e-6)).all():
        raise ValueError(
            "The mean of the map plus the head's bias is not the score: CAM needs global average"
            " pooling, and nothing else, between the layer and the head. Use grad_cam."
        )
    return heatmaps


@looks_inside
def grad_cam(
    model: nn.Module, layer: nn.Module, x: Tensor, target: int | Tensor, relu: bool = True
) -> Tensor:
    """Grad-CAM maps of any layer with feature maps (N, K, h, w)  ->  (N, h, w).

    Each channel weighs as much as the score's gradient with respect to it, averaged over all
    positions. Negative cells are cut off, unless relu=False.

    target: one class index for all pictures, or one for each, (N,). The score is the logit, as in
            the paper; with softmax outputs other classes would move the map.

    A layer that runs several times in one forward pass counts by its last run. The model is used
    in eval mode and left as it was.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, equations 1 and 2.
    """
    activation, gradient = _activation_and_gradient(model, layer, x, target)
    weights = gradient.mean(dim=(2, 3))
    heatmaps = torch.einsum("nk,nkhw->nhw", weights, activation)
    return heatmaps.relu() if relu else heatmaps


@looks_inside
def hires_cam(model: nn.Module, layer: nn.Module, x: Tensor, target: int | Tensor) -> Tensor:
    """HiResCAM maps, M(i, j) = sum over k of A[k, i, j] times its own gradient  ->  (N, h, w).

    layer, target: as `grad_cam` takes them

    Nothing is averaged, and the maps are signed. Where only a linear layer follows, flattened or
    behind an average, the sum of a map plus that layer's bias is the score. Behind global average
    pooling the gradient is the same in all positions, and this is Grad-CAM before its ReLU.

    Draelos and Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
    neural networks", arXiv:2011.08891, 2020.
    """
    activation, gradient = _activation_and_gradient(model, layer, x, target)
    return (gradient * activation).sum(dim=1)


@looks_inside
def grad_cam_plus_plus(
    model: nn.Module, layer: nn.Module, x: Tensor, target: int | Tensor
) -> Tensor:
    """Grad-CAM++ maps, without negative values  ->  (N, h, w).

    layer, target: as `grad_cam` takes them. The layer should be one behind a ReLU, as in the paper:
                   with negative feature maps the weights below may divide by zero.

    A channel's weight is the sum over positions of alpha times the positive part of the gradient g,

        alpha(i, j) = g(i, j)^2 / (2 g(i, j)^2 + sum over a, b of A(a, b) g(i, j)^3)

    so that small regions count as much as large ones. The paper derives alpha from the second and
    third derivatives of exp(score), for networks of ReLUs. Its weights also hold the factor
    exp(score), the same for the whole map, which is left out here.

    Chattopadhay, Sarkar, Howlader and Balasubramanian, "Grad-CAM++: Generalized Gradient-based
    Visual Explanations for Deep Convolutional Networks", WACV 2018 (arXiv:1710.11063).
    """
    activation, gradient = _activation_and_gradient(model, layer, x, target)
    rising = gradient.relu()
    total = activation.sum(dim=(2, 3), keepdim=True)
    weights = (rising / (2 + total * rising)).sum(dim=(2, 3))  # alpha g, shortened by g^2
    return torch.einsum("nk,nkhw->nhw", weights, activation).relu()


@looks_inside
def layer_cam(model: nn.Module, layer: nn.Module, x: Tensor, target: int | Tensor) -> Tensor:
    """LayerCAM maps, without negative values  ->  (N, h, w).

    layer, target: as `grad_cam` takes them

    Each position of each channel has a weight of its own, the positive part of its gradient. The
    paper also brightens the maps of shallow layers by a tanh, for display; these are as they are.

    Jiang, Zhang, Hou, Cheng and Wei, "LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization", IEEE Transactions on Image Processing 30, 2021.
    """
    activation, gradient = _activation_and_gradient(model, layer, x, target)
    return (gradient.relu() * activation).sum(dim=1).relu()


def _activation_and_gradient(model, layer, x, target):
    """A layer's feature maps and the score's gradient with respect to them, both (N, K, h, w).

    Those of a network in half precision come in single precision, for sums over positions overflow.
    """
    activations = []

    def start_here(output):
        # The network goes on from a copy that starts a graph of its own: gradients stop at this
        # layer, which saves the way back to the picture.
        activations.append(output.detach().clone().requires_grad_())
        return activations[-1].clone()

    with torch.enable_grad(), outputs_of(layer, start_here) as outputs:
        scores = Ready(model).scores(x)
    feature_maps(outputs[-1], x, "Grad-CAM")
    with torch.enable_grad():
        chosen = chosen_scores(scores, target).sum()
        gradients = []
        if chosen.requires_grad:
            gradients = gradients_of(chosen, activations, allow_unused=True)
    used = [pair for pair in zip(gradients, activations) if pair[0] is not None]
    if not used:
        raise ValueError("The scores don't depend on this layer, so it has no Grad-CAM.")
    gradient, activation = used[-1]
    if gradient.isnan().any():
        raise ValueError("The gradient is NaN (not a number): look at x and at the model.")
    warn_of_underflow(gradient)
    return in_full(activation.detach()), in_full(gradient)


# ---------------------------------------------------------------------------- from map to picture


@checks_arguments
def upsample(heatmap: Tensor, size: int | tuple[int, int]) -> Tensor:
    """A map (h, w), or several (N, h, w), enlarged bilinearly to `size` = H or (H, W).

    Each cell's value lands on the centre of the square that the cell covers. `align_corners=True`
    would put the outermost cells' values on the picture's border, and move everything outwards.

    Raises ValueError for other shapes, and for maps that hold NaN or infinity.
    """
    if heatmap.dim() not in (2, 3) or heatmap.numel() == 0:
        raise ValueError(f"A heatmap is (h, w), several are (N, h, w); got {tuple(heatmap.shape)}.")
    check_finite("The heatmap contains", heatmap)
    height, width = height_and_width(size)
    heatmap = heatmap if heatmap.is_floating_point() else heatmap.float()
    stack = heatmap.reshape(-1, 1, *heatmap.shape[-2:])
    larger = functional.interpolate(stack, (height, width), mode="bilinear", align_corners=False)
    return larger.reshape(*heatmap.shape[:-2], height, width)
