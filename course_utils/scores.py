"""Scores against what is known to be true.

paste_test(classifier, scenes)      where the evidence for "tank" is, from with/without pairs
box_accuracies(heatmaps, masks)     how often a map's box agrees with the object's (MaxBoxAcc)
"""

from collections.abc import Iterable

import torch

from course_utils import cam, pictures
from course_utils.classifiers import Classifier

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Where `box_accuracies` cuts maps, on the scale from their smallest value 0 to their largest 1."""


def pasted(scene: int, weather: str, margin: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures (3, H, W) mixed from a tank-yard scene with and without its tank.

    "Inside only": the empty scene, with the tank's own pixels pasted in.
    "Outside only": the scene with the tank, its own pixels covered by the empty scene's, so that
    only its shadow and the light it throws back remain. The tank's mask is widened by `margin`
    pixels first.
    """
    four = pictures.two_by_two(scene)
    with_tank, without = four["tank", weather], four["no_tank", weather]
    mask = pictures.grown(pictures.tank_mask(scene), margin)
    return torch.where(mask, with_tank, without), torch.where(mask, without, with_tank)


def paste_test(
    classifier: Classifier, scenes: Iterable[int], weathers=("sunny", "overcast")
) -> dict[str, float]:
    """How many of a network's "inside only" and "outside only" pictures it calls a tank, in [0, 1].

    The two pictures of a pair differ by the tank and its light alone, so this says where the
    network's evidence is: a network that looks at tanks reaches about 1 and 0.
    """
    pairs = [pasted(scene, weather) for scene in scenes for weather in weathers]
    tank = classifier.class_index("tank")
    return {
        name: float((classifier.predict(torch.stack(images)) == tank).float().mean())
        for name, images in zip(("inside only", "outside only"), zip(*pairs))
    }


# ---------------------------------------------------------------------------- boxes


def box_accuracies(
    heatmaps: Iterable[torch.Tensor],
    masks: Iterable[torch.Tensor],
    thresholds: Iterable[float] = THRESHOLDS,
    least: float = 0.5,
) -> dict[float, float]:
    """How often the box from a map agrees with the object's: {threshold: share of the pictures}.

    heatmaps: (H, W) each, as large as the masks (H, W) bool
    least:    boxes agree if their intersection over union reaches this

    One threshold serves all pictures. The best share, `max(box_accuracies(...).values())`, is
    MaxBoxAcc of Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
    CVPR 2020, section 3.3. It is chosen with the masks in view: choose the threshold on other
    pictures if you want to know how well it will do.
    """
    pairs = list(zip(heatmaps, map(cam.box_of_mask, masks), strict=True))
    if not pairs:
        raise ValueError("There are no heatmaps to score.")
    return {
        threshold: sum(
            cam.iou(cam.box_from_map(heatmap, threshold), box) >= least for heatmap, box in pairs
        )
        / len(pairs)
        for threshold in thresholds
    }
