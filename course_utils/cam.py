"""Class activation maps: where in its last feature map a network finds the evidence for a class.

    heatmaps = cam(model, layer, head, x, target)     # GAP networks: Zhou et al., CVPR 2016
    heatmaps = grad_cam(model, layer, x, target)      # any network: Selvaraju et al., ICCV 2017
    heatmap = upsample(heatmaps[0], size=128)         # (16, 16) -> (128, 128)
    box = box_from_map(heatmap, threshold=0.4)        # (top, left, bottom, right)
    iou(box, box_of_mask(mask))                       # how well two boxes agree

Maps have the size of the layer's own feature map, one value for each of its cells. `upsample`
makes them as large as the picture without moving anything.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils._networks import Ready, class_indices, feature_maps, looks_inside, outputs_of
from course_utils.boxes import box_from_map, box_of_mask, iou

__all__ = ["box_from_map", "box_of_mask", "cam", "grad_cam", "iou", "upsample"]

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
    bias is the score. If the head doesn't take one number per channel, the network has no CAM and
    a ValueError says so.

    Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning Deep Features for Discriminative
    Localization", CVPR 2016, equation 2.
    """
    with torch.no_grad(), outputs_of(layer) as outputs:
        scores = Ready(model).scores(x)
    activation = feature_maps(outputs[-1], x, "CAM")
    if not isinstance(head, nn.Linear):
        raise ValueError(f"The head must be an nn.Linear layer, got {type(head).__name__}.")
    if head.in_features != activation.shape[1]:
        raise ValueError(
            f"The head takes {head.in_features} numbers, but the layer has {activation.shape[1]}"
            " channels: CAM needs global average pooling right before the head. Use grad_cam."
        )
    chosen = head.weight.detach()[class_indices(target, scores)]
    return torch.einsum("nk,nkhw->nhw", chosen, activation.detach())


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
        chosen = scores.gather(1, class_indices(target, scores)[:, None]).sum()
        gradients = []
        if chosen.requires_grad:
            gradients = torch.autograd.grad(chosen, activations, allow_unused=True)
    used = [pair for pair in zip(gradients, activations) if pair[0] is not None]
    if not used:
        raise ValueError("The scores don't depend on this layer, so it has no Grad-CAM.")
    gradient, activation = used[-1]
    weights = gradient.mean(dim=(2, 3))
    heatmaps = torch.einsum("nk,nkhw->nhw", weights, activation.detach())
    return heatmaps.relu() if relu else heatmaps


# ---------------------------------------------------------------------------- from map to picture


def upsample(heatmap: Tensor, size: int | tuple[int, int]) -> Tensor:
    """A map (h, w), or several (N, h, w), enlarged bilinearly to `size` = H or (H, W).

    Each cell's value lands on the centre of the square that the cell covers. `align_corners=True`
    would put the outermost cells' values on the picture's border, and move everything outwards.
    """
    if heatmap.dim() not in (2, 3) or heatmap.numel() == 0:
        raise ValueError(f"A heatmap is (h, w), several are (N, h, w); got {tuple(heatmap.shape)}.")
    height, width = (size, size) if isinstance(size, int) else size
    stack = heatmap.reshape(-1, 1, *heatmap.shape[-2:])
    larger = functional.interpolate(stack, (height, width), mode="bilinear", align_corners=False)
    return larger.reshape(*heatmap.shape[:-2], height, width)
