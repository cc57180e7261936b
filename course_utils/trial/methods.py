"""The methods on trial and the controls: each answers the same question with maps of one kind."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
from course_utils._forgetting import copy_of, forget
from course_utils._networks import feature_maps
from course_utils._random import seeded_generator, uniform
from course_utils.architectures import named_layers
from course_utils.classifiers import Classifier
from course_utils.errors import check_name
from course_utils.trial.settings import Settings, settings_for

SUPERPIXELS = 40
"""About as many players have KernelSHAP and LIME."""

COALITIONS = 256
"""That KernelSHAP and LIME ask for."""

RISE_MASKS = 512
"""Of RISE."""


@dataclass
class Question:
    """What a method is asked: which pixels speak for these targets?"""

    classifier: Classifier
    images: Tensor
    """(N, 3, S, S) in [0, 1]."""
    targets: Tensor
    """(N,) class indices."""
    seed: int = 0
    settings: Settings = field(default_factory=Settings)

    @property
    def model(self):
        return self.classifier.model

    @property
    def x(self) -> Tensor:
        """The pictures, preprocessed."""
        return self.classifier.preprocess(self.images)

    def covered(self, kind: str) -> Tensor:
        """The pictures under a fill of `occlusion.FILLS`, (N, 3, S, S) in [0, 1]."""
        return torch.stack([occlusion.fill(image, kind, seed=self.seed) for image in self.images])

    def baseline(self, method: str) -> Tensor:
        """What a method compares the pictures with, preprocessed."""
        return self.classifier.preprocess(self.covered(self.settings.chosen[method]))


# ---------------------------------------------------------------------------- the methods
#
# Each gives (N, S, S), never negative: where a map is signed, what speaks for the class.


def _saliency(q):
    return gradients.to_map(gradients.saliency(q.model, q.x, q.targets))


def _gradient_times_input(q):
    way = q.x - q.baseline("gradient x input")
    product = gradients.saliency(q.model, q.x, q.targets) * way
    return gradients.to_map(product, "sum").clamp(min=0)


def _smoothgrad(q):
    noise = q.settings.chosen["SmoothGrad"]
    noisy = gradients.smoothgrad(
        q.model, q.x, q.targets, samples=q.settings.samples, noise=noise, seed=q.seed
    )
    return gradients.to_map(noisy)


def _guided(q):
    return gradients.to_map(gradients.guided_backprop(q.model, q.x, q.targets))


def _deconvnet(q):
    return gradients.to_map(gradients.deconvnet(q.model, q.x, q.targets))


def _integrated(q):
    baseline = q.baseline("integrated gradients")
    found = gradients.integrated_gradients(
        q.model, q.x, q.targets, baseline, steps=q.settings.samples
    )
    return gradients.to_map(found, "sum").clamp(min=0)


def _expected(q):
    background = q.classifier.preprocess(_background(q.classifier))
    found = gradients.expected_gradients(
        q.model, q.x, q.targets, background, samples=q.settings.samples, seed=q.seed
    )
    return gradients.to_map(found, "sum").clamp(min=0)


def _background(classifier):
    """Twenty pictures of the set that the network is judged on, evenly spread, none of the test.

    Those of the networks that the course has trained are training pictures.
    """
    if "no_tank" in classifier.classes:
        others = pictures.load_set("tank_yard", "fair_training")
    elif classifier.size == 128:
        others = pictures.load_set("look_alikes", "training")
    else:
        others = pictures.load_set("portraits", "validation")
    return torch.stack([others[n * len(others) // 20][0] for n in range(20)])


def _grad_cam(q):
    name = q.settings.chosen["Grad-CAM"]
    layer = q.classifier.layers[name] if name else last_maps(q.classifier)
    return cam.upsample(cam.grad_cam(q.model, layer, q.x, q.targets), q.images.shape[-1])


def last_maps(classifier: Classifier) -> nn.Module:
    """The last layer with feature maps (N, C, h, w) of more than one cell; ValueError if none."""
    found = list(map_sizes(classifier))
    if not found:
        raise ValueError(f"{classifier.name} has no layer with feature maps, so no Grad-CAM.")
    return classifier.layers[found[-1]]


def cam_layers(classifier: Classifier, count: int = 3) -> list[str]:
    """Where Grad-CAM is tried: the last whole layer at each size of the maps, the deepest first.

    Whole layers are those that aren't inside another named one: "block11", not "block11.project".
    """
    deepest = {size: name for name, size in map_sizes(classifier).items() if "." not in name}
    return sorted(deepest.values(), key=list(classifier.layers).index, reverse=True)[:count]


def map_sizes(classifier: Classifier) -> dict[str, tuple[int, ...]]:
    """{layer: (h, w)} of all layers with feature maps of more than one cell, in running order.

    Left out are layers that don't run or return no tensor, and what transformers have instead of
    maps: channels that come last, and a list of features for each attention head.
    """
    grey = classifier.preprocess(torch.full((3, classifier.size, classifier.size), 0.5))
    sizes = {}

    def note(name):
        def hook(_module, _inputs, output):
            if isinstance(output, Tensor) and output.dim() == 4 and _like_a_square(output):
                with contextlib.suppress(ValueError):  # channels last are no feature maps
                    feature_maps(output, grey, "Grad-CAM")
                    sizes[name] = tuple(output.shape[2:])

        return hook

    handles = [m.register_forward_hook(note(name)) for name, m in classifier.layers.items()]
    try:
        with torch.no_grad():
            classifier.model(grey)
    finally:
        for handle in handles:
            handle.remove()
    return sizes


def _like_a_square(output):
    """Whether an output (N, C, h, w) has the proportions of the pictures, give or take a cell."""
    height, width = output.shape[2:]
    return min(height, width) > 1 and abs(height - width) <= 1


def _occluded_with(kind, name):
    def occlude(q):
        patch = q.settings.chosen[name] * max(128, q.images.shape[-1]) // 128
        return occlusion_maps(q, q.covered(kind), patch)

    return occlude


def occlusion_maps(q: Question, covers: Tensor, patch: int) -> Tensor:
    """Occlusion maps (N, S, S) with the pictures `covers` (N, 3, S, S) under the patch.

    patch: in pixels; the stride is half of it
    """
    maps = []
    for x, cover, target in zip(q.x, q.classifier.preprocess(covers), q.targets.tolist()):
        measure = occlusion.logit_drop(target)
        found = occlusion.occlusion_map(
            q.model, x[None], cover[None], patch, patch // 2, measure,
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
        return method(dataclasses.replace(q, classifier=blank))

    return ask


def untrained(classifier: Classifier, seed: int = 0) -> Classifier:
    """A classifier like this one before it was trained: all of its weights are drawn anew."""
    network = copy_of(classifier.model)
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
    "occlusion, grey": _occluded_with("grey", "occlusion, grey"),
    "occlusion, blurred": _occluded_with("blur", "occlusion, blurred"),
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
        greys = q.classifier.preprocess(q.covered("grey"))
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
    generator = seeded_generator(seed)
    return uniform(players, generator=generator)


def _rise(q):
    """What lies above the map's mean: a pixel at the mean is one that does not matter."""
    greys = q.classifier.preprocess(q.covered("grey"))
    cases = zip(q.x, greys, q.targets.tolist())
    maps = torch.stack(
        [
            masks.rise(q.model, x[None], target, grey[None], RISE_MASKS, seed=q.seed + number)
            for number, (x, grey, target) in enumerate(cases)
        ]
    )
    return (maps - maps.mean((1, 2), keepdim=True)).clamp(min=0)


def _learned_mask(q):
    blurred = q.classifier.preprocess(q.covered("blur"))
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
    classifier: Classifier,
    images: Tensor,
    targets: Tensor,
    names: Iterable[str] = tuple(EVERYTHING),
    seed: int = 0,
    settings: Settings | None = None,
) -> dict[str, Tensor]:
    """The maps of several methods for the same pictures: {name: (N, S, S)}, never negative.

    images: (N, 3, S, S) in [0, 1]; targets: (N,) class indices
    names:    of METHODS, CONTROLS and SAMPLED
    settings: None: those that were chosen for this network, see `settings_for`

    Raises ValueError for an unknown name.
    """
    names = tuple(names)
    check_names(names)
    question = Question(
        classifier, images, targets, seed, settings or settings_for(classifier.name)
    )
    known = EVERYTHING | SAMPLED
    return {name: known[name](question).detach() for name in names}


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError for a name that is neither a method's nor a control's."""
    for name in names:
        check_name("method", name, EVERYTHING | SAMPLED)
