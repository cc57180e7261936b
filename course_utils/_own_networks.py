"""What `classifiers.wrap` asks of a network before it lets it in.

A network that is no classifier with logits would run in every notebook, and its maps would be
wrong without a word. So it is shown a few pictures first, and its answers are looked at.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from course_utils._networks import in_double, output_in
from course_utils._random import seeded_generator, uniform
from course_utils.errors import check_count, first_line

SHOWN = 2
"""So many pictures a network is shown."""

ENDINGS = {
    "LogSoftmax": "log_softmax", "Softmax": "softmax", "LogSigmoid": "logsigmoid",
    "Sigmoid": "sigmoid", "Hardsigmoid": "hardsigmoid", "Tanh": "tanh", "Logsumexp": "log_softmax",
}  # fmt: skip
"""Last steps that turn logits into something else, as autograd names them."""

PASSING = (
    "Alias", "Clone", "Copies", "Contiguous", "Copy", "Expand", "Flatten", "Permute", "Reshape",
    "Select", "Slice", "Squeeze", "T", "ToCopy", "Transpose", "Unsqueeze", "UnsafeView", "View",
)  # fmt: skip
"""Steps that leave values as they are."""


def check_preprocess(preprocess) -> None:
    """Raises ValueError for sizes and an interpolation that no network can want."""
    for name in ("size", "resize"):
        value = getattr(preprocess, name)
        if name == "resize" and value is None:
            continue
        check_count(name, value, why=", in pixels, because pictures are square here")
    if preprocess.resize is not None and preprocess.resize < preprocess.size:
        raise ValueError(
            f"resize={preprocess.resize}: the crop of {preprocess.size} pixels can't be larger than"
            " what it is cut from."
        )
    modes = ("nearest", "nearest-exact", "bilinear", "bicubic")
    if preprocess.interpolation not in modes:
        raise ValueError(
            f"interpolation={preprocess.interpolation!r}: choose one of {', '.join(modes)}."
        )


def check_is_usable(model: nn.Module) -> None:
    """Raises ValueError for a network whose weights can't be used."""
    weights = list(model.parameters())
    if not weights:
        raise ValueError("The network has no weights: has it been trained?")
    if any(tensor.is_meta for tensor in (*weights, *model.buffers())):
        raise ValueError(
            "The network's weights are on the device meta, so they have no values: make it without"
            " that device, or with to_empty, and load its weights."
        )
    try:
        model.eval()
    except NotImplementedError:
        raise ValueError(
            f"A {type(model).__name__} can't be put into eval mode (was it exported?): pass the"
            " network that it was made from."
        ) from None


class _OneOutput(nn.Module):
    """A network that returns several things, as one that returns its scores."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return output_in(self.network(x))


def with_one_output(classifier) -> nn.Module:
    """The classifier's network, in a wrapper if it returns more than a tensor of scores."""
    with torch.no_grad():
        output = _answer(classifier, _pictures(classifier))
    if isinstance(output, Tensor):
        return classifier.model
    output_in(output)  # raises a sentence if no choice is obvious
    return _OneOutput(classifier.model)


def class_names(classes: Sequence[str] | Mapping[int, str]) -> list[str]:
    """The names in the order of the scores. Raises ValueError for what is no such list."""
    if isinstance(classes, Mapping):
        if sorted(classes, key=str) != sorted(range(len(classes)), key=str):
            raise ValueError(
                "Classes in a dict are {position: name}, with every position from 0 on once."
            )
        classes = [classes[position] for position in range(len(classes))]
    if isinstance(classes, (set, frozenset)):
        raise ValueError(
            "A set of classes has no order, but scores have one: give a list of the names, in the"
            " order of the scores."
        )
    names = [] if isinstance(classes, str) or not isinstance(classes, Iterable) else list(classes)
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError('Classes are a list of their names, such as ["cat", "dog"].')
    if len(set(names)) != len(names):
        raise ValueError("Two classes have the same name.")
    return [str(name) for name in names]  # also of NumPy's texts


def check_scores(classifier) -> None:
    """Shows a network some pictures, and refuses it with a sentence if the answer is odd."""
    x = _pictures(classifier)
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        scores = _answer(classifier, leaf.clone())
    _check_shape(scores, len(x), len(classifier.classes))
    if not scores.isfinite().all():
        raise ValueError("The network's scores hold NaN or infinity: look at its weights.")
    with torch.no_grad():
        glaring = _answer(classifier, 50 * x)
    _check_are_logits(scores, glaring)
    if not scores.requires_grad:
        raise ValueError(
            "No gradient leads from the network's scores back to the picture: leave out what cuts"
            " it, such as no_grad, detach, argmax or NumPy."
        )
    with torch.no_grad():
        again = _answer(classifier, x.clone())
        alone = torch.cat([_answer(classifier, picture[None].clone()) for picture in x])
    scale = scores.detach().abs().max().clamp(min=1e-6)
    if (again - scores.detach()).abs().max() > 1e-3 * scale:
        raise ValueError(
            "The network gives two answers for the same pictures, so its maps would be chance:"
            " leave out what is random in eval mode, such as functional dropout."
        )
    if (alone - scores.detach()).abs().max() > 1e-2 * scale:
        raise ValueError(
            "What the network says about a picture depends on the other pictures in its batch:"
            " normalize each picture by itself, and give batch norms running statistics"
            " (track_running_stats=True)."
        )


def check_without_writing(classifier, writing: list[nn.Module]) -> None:
    """Refuses a network that gives other scores when its in-place steps are switched off.

    writing: the modules that had `inplace=True`, which a classifier switches off
    """
    x = _pictures(classifier)
    with torch.no_grad():
        scores = output_in(_answer(classifier, x.clone()))
        _set_in_place(writing, True)
        written = output_in(_answer(classifier, x.clone()))
        if (written - scores).abs().max() > 1e-3 * written.abs().max().clamp(min=1e-6):
            raise ValueError(
                "A layer with inplace=True writes over a map that this network reads again, so"
                " hooks would see wrong maps, and without inplace=True the scores are others."
                " Write what it computes without it: h = relu(h), and then with the new h."
            )
    _set_in_place(writing, False)


def _set_in_place(modules, value):
    for module in modules:
        vars(module)["inplace"] = value


def _pictures(classifier):
    """Noise, coarse and fine, bright and dark, as the network takes it: (SHOWN, 3, S, S)."""
    generator = seeded_generator(0)
    coarse = uniform(SHOWN, 3, 4, 4, generator=generator)
    pictures = functional.interpolate(coarse, classifier.size, mode="bilinear")
    pictures = pictures * torch.linspace(0.4, 1, SHOWN)[:, None, None, None]
    weights = next(classifier.model.parameters())
    return classifier.preprocess(pictures).to(weights.device)


def _answer(classifier, x):
    try:
        return classifier.model(x)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise ValueError(
            f"The network can't take pictures {tuple(x.shape)}: {first_line(error)}."
            f" {_advice(classifier)}"
        ) from error


def _advice(classifier):
    """What may be wrong with what the network was shown."""
    for layer in classifier.model.modules():
        if isinstance(layer, nn.Conv2d):
            if layer.in_channels != 3:
                return (
                    f"Its first layer takes {layer.in_channels} channels, but pictures here have"
                    " three colours: put a layer before it that makes the one of the other."
                )
            break
    return "Is the size right?"


def _check_shape(scores, pictures, classes):
    if not scores.is_floating_point():
        raise ValueError(
            f"The network returns {scores.dtype}, but maps need its scores, which are floats: leave"
            " out argmax or rounding."
        )
    if scores.shape in ((pictures,), (pictures, 1)):
        raise ValueError(
            "The network returns one score for each picture, as binary classifiers do. Give it two,"
            " which mean the same: torch.cat([torch.zeros_like(score), score], 1), for the classes"
            " ['no', 'yes']."
        )
    if scores.shape != (pictures, classes):
        raise ValueError(
            f"For {pictures} pictures the network returns {tuple(scores.shape)}; with"
            f" {classes} classes it should be ({pictures}, {classes})."
        )


def _check_are_logits(scores, glaring):
    """Looks at the last step, at sums, and at bounds that even glaring pictures don't break."""
    ending = _last_step(scores)
    values = in_double(scores.detach())
    if ending is None and values.min() >= 0 and _is_one(values.sum(1)):
        ending = "softmax"
    if ending is None and values.max() <= 0 and _is_one(values.exp().sum(1)):
        ending = "log_softmax"
    if ending is None and all(v.min() > 0 and v.max() < 1 for v in (values, glaring)):
        ending = "sigmoid"
    if ending is not None:
        kind = "probabilities" if ending == "softmax" else f"the result of {ending}"
        raise ValueError(
            f"The network returns {kind}, but heat maps start from the scores before that, the"
            f" logits: leave the {ending} out."
        )


def _is_one(sums):
    return torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def _last_step(scores):
    """The last step of the network that changed values, if it is one of ENDINGS; else None."""
    step = scores.grad_fn
    while step is not None:
        name = step.name().removesuffix("0").removesuffix("Backward").lstrip("_")
        if name in ENDINGS:
            return ENDINGS[name]
        if name not in PASSING:
            return None
        step = step.next_functions[0][0] if step.next_functions else None
    return None
