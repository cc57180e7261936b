"""The methods on trial and the controls: each answers the same question with maps of one kind."""

import contextlib
import copy
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from course_utils import (
    cam,
    gradients,
    incremental,
    masks,
    occlusion,
    pictures,
    scores,
    shapley,
)
from course_utils._forgetting import forget
from course_utils._networks import feature_maps
from course_utils.architectures import named_layers
from course_utils.classifiers import Classifier
from course_utils.errors import check_name

SAMPLES = 24
"""Of SmoothGrad and of expected gradients."""

STEPS = 24
"""Of integrated gradients."""

PATCH = 16
"""Of occlusion, in pixels."""

STRIDE = 8
"""Of occlusion, in pixels."""

SUPERPIXELS = 40
"""About as many players have KernelSHAP and LIME."""

COALITIONS = 256
"""That KernelSHAP and LIME ask for."""

RISE_MASKS = 512
"""Of RISE."""

RESOLUTION = 1e-4
"""Of a map's largest value: pixels that differ by less tie in the rank correlation of two maps.

Processors round differently, by some 1e-6 of the largest value; a hundred times as much is still a
hundredth of what a picture shows.
"""


@dataclass
class Question:
    """What a method is asked: which pixels speak for these targets?"""

    classifier: Classifier
    images: Tensor
    """(N, 3, S, S) in [0, 1]."""
    targets: Tensor
    """(N,) class indices."""
    seed: int = 0

    @property
    def model(self):
        return self.classifier.model

    @property
    def x(self) -> Tensor:
        """The pictures, preprocessed."""
        return self.classifier.preprocess(self.images)


# ---------------------------------------------------------------------------- the methods
#
# Each gives (N, S, S), never negative: where a map is signed, what speaks for the class.


def _saliency(q):
    return gradients.to_map(gradients.saliency(q.model, q.x, q.targets))


def _gradient_times_input(q):
    grey = q.classifier.preprocess(torch.full_like(q.images, occlusion.GREY[0]))
    product = gradients.saliency(q.model, q.x, q.targets) * (q.x - grey)
    return gradients.to_map(product, "sum").clamp(min=0)


def _smoothgrad(q):
    noisy = gradients.smoothgrad(q.model, q.x, q.targets, samples=SAMPLES, seed=q.seed)
    return gradients.to_map(noisy)


def _guided(q):
    return gradients.to_map(gradients.guided_backprop(q.model, q.x, q.targets))


def _deconvnet(q):
    return gradients.to_map(gradients.deconvnet(q.model, q.x, q.targets))


def _integrated(q):
    grey = q.classifier.preprocess(torch.full_like(q.images, occlusion.GREY[0]))
    found = gradients.integrated_gradients(q.model, q.x, q.targets, grey, steps=STEPS)
    return gradients.to_map(found, "sum").clamp(min=0)


def _expected(q):
    background = q.classifier.preprocess(_background(q.classifier))
    found = gradients.expected_gradients(
        q.model, q.x, q.targets, background, samples=SAMPLES, seed=q.seed
    )
    return gradients.to_map(found, "sum").clamp(min=0)


def _background(classifier):
    """Twenty training pictures of the set that the network knows, evenly spread."""
    name = "tank_yard" if "no_tank" in classifier.classes else "look_alikes"
    split = "fair_training" if name == "tank_yard" else "training"
    training = pictures.load_set(name, split)
    return torch.stack([training[n * len(training) // 20][0] for n in range(20)])


def _grad_cam(q):
    layer = last_maps(q.classifier)
    return cam.upsample(cam.grad_cam(q.model, layer, q.x, q.targets), q.images.shape[-1])


def last_maps(classifier: Classifier) -> nn.Module:
    """The last layer with feature maps (N, C, h, w) of more than one cell; ValueError if none."""
    grey = classifier.preprocess(torch.full((3, classifier.size, classifier.size), 0.5))
    seen = []

    def note(module, _inputs, output):
        if isinstance(output, Tensor) and output.dim() == 4 and min(output.shape[2:]) > 1:
            with contextlib.suppress(ValueError):  # channels last are no feature maps
                feature_maps(output, grey, "Grad-CAM")
                seen.append(module)

    handles = [module.register_forward_hook(note) for module in classifier.layers.values()]
    try:
        with torch.no_grad():
            classifier.model(grey)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise ValueError(f"{classifier.name} has no layer with feature maps, so no Grad-CAM.")
    return seen[-1]


def _occluded_with(kind):
    def occlude(q):
        covers = torch.stack([occlusion.fill(image, kind, seed=q.seed) for image in q.images])
        return occlusion_maps(q, covers)

    return occlude


def occlusion_maps(q: Question, covers: Tensor) -> Tensor:
    """Occlusion maps (N, S, S) with the pictures `covers` (N, 3, S, S) under the patch."""
    maps = []
    scale = max(128, q.images.shape[-1])
    for x, cover, target in zip(q.x, q.classifier.preprocess(covers), q.targets.tolist()):
        measure = occlusion.logit_drop(target)
        found = occlusion.occlusion_map(
            q.model, x[None], cover[None], PATCH * scale // 128, STRIDE * scale // 128, measure,
            outputs=incremental.occluded_outputs,
        )  # fmt: skip
        maps.append(found.clamp(min=0))
    return torch.stack(maps)


def _random(q):
    side = q.images.shape[-1]
    return torch.stack([scores.random_map(side, side, q.seed + n) for n in range(len(q.images))])


def _centre(q):
    side = q.images.shape[-1]
    return scores.centre_map(side, side).expand(len(q.images), -1, -1).clone()


def _edges(q):
    return torch.stack([scores.edge_map(image) for image in q.images])


def _of_an_untrained_network(method):
    def ask(q):
        blank = untrained(q.classifier, q.seed)
        return method(Question(blank, q.images, q.targets, q.seed))

    return ask


def untrained(classifier: Classifier, seed: int = 0) -> Classifier:
    """A classifier like this one before it was trained: all of its weights are drawn anew."""
    network = copy.deepcopy(classifier.model)
    forget(network, seed)
    layers = named_layers(network)
    return dataclasses.replace(classifier, name="untrained", model=network, layers=layers)


METHODS: dict[str, Callable[[Question], Tensor]] = {
    "saliency": _saliency,
    "gradient x input": _gradient_times_input,
    "SmoothGrad": _smoothgrad,
    "guided backprop": _guided,
    "deconvnet": _deconvnet,
    "integrated gradients": _integrated,
    "expected gradients": _expected,
    "Grad-CAM": _grad_cam,
    "occlusion, grey": _occluded_with("grey"),
    "occlusion, blurred": _occluded_with("blur"),
}
"""The methods on trial."""

CONTROLS: dict[str, Callable[[Question], Tensor]] = {
    "random map": _random,
    "centre map": _centre,
    "edges": _edges,
    "saliency, untrained": _of_an_untrained_network(_saliency),
    "Grad-CAM, untrained": _of_an_untrained_network(_grad_cam),
}
"""What knows nothing of the network: a method must do better than these."""

EVERYTHING = METHODS | CONTROLS
"""What notebook 11 judges."""

# ---------------------------------------------------------------------------- of notebook 14


def _over_superpixels(values_of):
    """A method that gives each superpixel a value: values_of(game, players, seed) -> (players,)."""

    def ask(q):
        greys = q.classifier.preprocess(torch.full_like(q.images, occlusion.GREY[0]))
        maps = []
        for image, x, grey, target in zip(q.images, q.x, greys, q.targets.tolist()):
            segments = shapley.superpixels(image, SUPERPIXELS)
            case = (q.model, x[None], target, grey[None], segments)
            game = partial(shapley.coalition_scores, *case)
            values = values_of(game, int(segments.max()) + 1, q.seed + len(maps))
            maps.append(shapley.spread(values, segments).clamp(min=0).float())
        return torch.stack(maps)

    return ask


def _kernel_values(game, players, seed):
    return shapley.kernel_shap(game, players, COALITIONS, seed)


def _lime_values(game, players, seed):
    return shapley.lime(game, players, COALITIONS, seed=seed)


def _random_values(_game, players, seed):
    return torch.rand(players, generator=torch.Generator().manual_seed(seed))


def _rise(q):
    """What lies above the map's mean: a pixel at the mean is one that does not matter."""
    greys = q.classifier.preprocess(torch.full_like(q.images, occlusion.GREY[0]))
    cases = zip(q.x, greys, q.targets.tolist())
    maps = torch.stack(
        [
            masks.rise(q.model, x[None], target, grey[None], RISE_MASKS, seed=q.seed + number)
            for number, (x, grey, target) in enumerate(cases)
        ]
    )
    return (maps - maps.mean((1, 2), keepdim=True)).clamp(min=0)


def _learned_mask(q):
    blurred = q.classifier.preprocess(torch.stack([occlusion.fill(i, "blur") for i in q.images]))
    cases = zip(q.x, blurred, q.targets.tolist())
    found = [masks.learned_mask(q.model, x[None], t, blur[None]) for x, blur, t in cases]
    return torch.stack(found)


SAMPLED: dict[str, Callable[[Question], Tensor]] = {
    "KernelSHAP": _over_superpixels(_kernel_values),
    "LIME": _over_superpixels(_lime_values),
    "RISE": _rise,
    "learned mask": _learned_mask,
    "random superpixels": _over_superpixels(_random_values),
    "KernelSHAP, untrained": _of_an_untrained_network(_over_superpixels(_kernel_values)),
}
"""What notebook 14 judges besides: each map takes hundreds of runs of the network. The last two are
controls: superpixels follow edges whatever the network does.
"""


def heatmaps(
    classifier: Classifier, images: Tensor, targets: Tensor, names=tuple(EVERYTHING), seed: int = 0
) -> dict[str, Tensor]:
    """The maps of several methods for the same pictures: {name: (N, S, S)}, never negative.

    images: (N, 3, S, S) in [0, 1]; targets: (N,) class indices
    names:  of METHODS, CONTROLS and SAMPLED

    Raises ValueError for an unknown name.
    """
    check_names(names)
    question = Question(classifier, images, targets, seed)
    known = EVERYTHING | SAMPLED
    return {name: known[name](question).detach() for name in names}


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that is neither a method's nor a control's."""
    for name in names:
        check_name("method", name, EVERYTHING | SAMPLED)
