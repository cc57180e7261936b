"""Class activation maps: where in its last feature map a network finds the evidence for a class.

    heatmaps = cam(model, layer, head, x, target)     # GAP networks: Zhou et al., CVPR 2016
    heatmaps = grad_cam(model, layer, x, target)      # any network: Selvaraju et al., ICCV 2017
    heatmap = upsample(heatmaps[0], size=128)         # (16, 16) -> (128, 128)
    box = box_from_map(heatmap, threshold=0.4)        # (top, left, bottom, right)
    iou(box, box_of_mask(mask))                       # how well two boxes agree

Maps have the size of the layer's own feature map, one value for each of its cells. `upsample`
makes them as large as the picture without moving anything.
"""

from contextlib import contextmanager

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

from course_utils._devices import computed_there
from course_utils._networks import class_indices, evaluating

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels; bottom and right are the first row and column outside."""

EMPTY_BOX = (0, 0, 0, 0)

# ---------------------------------------------------------------------------- maps


@computed_there
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
    with torch.no_grad(), _activation(model, layer) as kept:
        scores = model(x)
    activation = _maps(kept, "CAM")
    if not isinstance(head, nn.Linear):
        raise ValueError(f"The head must be an nn.Linear layer, got {type(head).__name__}.")
    if head.in_features != activation.shape[1]:
        raise ValueError(
            f"The head takes {head.in_features} numbers, but the layer has {activation.shape[1]}"
            " channels: CAM needs global average pooling right before the head. Use grad_cam."
        )
    chosen = head.weight.detach()[class_indices(target, scores)]
    return torch.einsum("nk,nkhw->nhw", chosen, activation.detach())


@computed_there
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
    with torch.enable_grad(), _activation(model, layer) as kept:
        scores = model(x)
        activation = _maps(kept, "Grad-CAM")
        chosen = scores.gather(1, class_indices(target, scores)[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, activation, allow_unused=True)
    if gradient is None:
        raise ValueError("The scores don't depend on this layer, so it has no Grad-CAM.")
    weights = gradient.mean(dim=(2, 3))
    heatmaps = torch.einsum("nk,nkhw->nhw", weights, activation.detach())
    return heatmaps.relu() if relu else heatmaps


@contextmanager
def _activation(model, layer):
    """While it lasts, the model is in eval mode and a list receives the layer's outputs.

    The network goes on from a copy that starts a graph of its own. So gradients stop at this layer,
    which saves the way back to the picture, and a later in-place ReLU can't spoil what was kept.
    """
    kept = []

    def keep(_module, _inputs, output):
        if not isinstance(output, Tensor):
            raise ValueError(f"The layer returns a {type(output).__name__}, not a feature map.")
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()

    handle = layer.register_forward_hook(keep)
    try:
        with evaluating(model):
            yield kept
    finally:
        handle.remove()


def _maps(kept, name):
    """The last of the outputs that were kept, if it is a stack of feature maps."""
    if not kept:
        raise ValueError("The layer did not run: is it a layer of this model?")
    if kept[-1].dim() != 4:
        raise ValueError(
            f"The layer's output has the shape {tuple(kept[-1].shape)}. {name} needs feature maps"
            " (N, K, h, w): choose a layer before the flattening."
        )
    return kept[-1]


# ---------------------------------------------------------------------------- from map to picture


def upsample(heatmap: Tensor, size: int | tuple[int, int]) -> Tensor:
    """A map (h, w), or several (N, h, w), enlarged bilinearly to `size` = H or (H, W).

    Each cell's value lands on the centre of the square that the cell covers. `align_corners=True`
    would put the outermost cells' values on the picture's border, and move everything outwards.
    """
    if heatmap.dim() not in (2, 3) or heatmap.numel() == 0:
        raise ValueError(f"A heatmap is (h, w), several are (N, h, w); got {tuple(heatmap.shape)}.")
    size = (size, size) if isinstance(size, int) else tuple(size)
    stack = heatmap.reshape(-1, 1, *heatmap.shape[-2:])
    larger = functional.interpolate(stack, size, mode="bilinear", align_corners=False)
    return larger.reshape(*heatmap.shape[:-2], *size)


# ---------------------------------------------------------------------------- boxes


def box_from_map(heatmap: Tensor, threshold: float) -> Box:
    """The box around the largest hot region of a map (H, W).

    threshold: in [0, 1], on the scale on which the map's smallest value is 0 and its largest is 1.
               What reaches it is hot; the largest connected region of that counts (cells that
               touch at a corner are connected; of equals, the uppermost).

    A map that is the same everywhere points nowhere: its box is (0, 0, 0, 0), which overlaps none.

    Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
    section 3.2 and their code, of which this is the definition without OpenCV.
    """
    values = heatmap.detach().cpu().double().numpy()
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"A heatmap has the shape (H, W), not {tuple(heatmap.shape)}.")
    if not 0 <= threshold <= 1:
        raise ValueError(f"The threshold lies between 0 and 1; got {threshold}.")
    low, high = values.min(), values.max()
    if not np.isfinite(high - low):
        raise ValueError("The heatmap holds NaN or infinity, so it has no hottest region.")
    if low == high:
        return EMPTY_BOX
    regions, _ = ndimage.label(values - low >= threshold * (high - low), np.ones((3, 3)))
    largest = np.bincount(regions.ravel())[1:].argmax()
    return _corners(ndimage.find_objects(regions)[largest])


def box_of_mask(mask: Tensor) -> Box:
    """The smallest box that holds everything that is True in a mask (H, W)."""
    if mask.dim() != 2:
        raise ValueError(f"A mask has the shape (H, W), not {tuple(mask.shape)}.")
    found = ndimage.find_objects(mask.cpu().numpy().astype(np.uint8))
    return _corners(found[0]) if found else EMPTY_BOX


def _corners(slices):
    rows, columns = slices
    return rows.start, columns.start, rows.stop, columns.stop


def iou(box: Box, other: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]: shared area by the area of both."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(height, 0) * max(width, 0)
    union = _area(box) + _area(other) - shared
    return shared / union if union else 0.0


def _area(box):
    top, left, bottom, right = box
    return (bottom - top) * (right - left)
