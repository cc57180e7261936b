"""Scores against what is known to be true.

paste_test(classifier, scenes)      where the evidence for "tank" is, from with/without pairs
"""

from collections.abc import Iterable

import torch

from course_utils import pictures
from course_utils.classifiers import Classifier


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
