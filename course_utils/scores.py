"""Scores of heat maps, against what is known to be true, and against chance.

paste_test(classifier, scenes)      where the evidence for "tank" is, from with/without pairs
box_accuracies(heatmaps, masks)     how often a map's box agrees with the object's (MaxBoxAcc)

pointing_game(heatmap, mask)        does the highest pixel lie on the object?
relevance_mass(heatmap, mask)       how much of the positive relevance lies on it
relevance_rank(heatmap, mask)       how many of its pixels are among the highest
deletion, insertion                 how fast the class is lost, or found, in the map's order
rank_correlation, structural_similarity    how much alike two maps are
mean_with_interval(values)          a mean over pictures, and how far chance may have moved it

random_map, centre_map, edge_map    maps that have not looked at any network: controls
randomized(model, names)            networks that have forgotten what they learned, layer by layer

A heatmap is (H, W), higher where there is more evidence for the class; a mask is (H, W) bool. NaN
is refused. A constant map says nothing, and scores what a uniform one does: the mask's share of
the area.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from scipy import ndimage
from skimage.metrics import structural_similarity as skimage_similarity
from torch import Tensor, nn

from course_utils import boxes, pictures
from course_utils._arguments import (
    check_finite,
    check_number,
    check_picture,
    check_tensor,
    checks_arguments,
)
from course_utils._forgetting import copy_of, forget
from course_utils._networks import Ready, check_pair, class_indices, looks_inside, network_of
from course_utils._random import seeded_generator, uniform
from course_utils.classifiers import Classifier
from course_utils.errors import check_count, check_name, check_seed, shown, unknown_name
from course_utils.parts import WEATHERS

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Where `box_accuracies` cuts maps, on the scale from their smallest value 0 to their largest 1."""


@checks_arguments
def pasted(scene: int, weather: str, margin: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two pictures (3, H, W) mixed from a tank-yard scene with and without its tank.

    "Inside only": the empty scene, with the tank's own pixels pasted in.
    "Outside only": the scene with the tank, its own pixels covered by the empty scene's, so that
    only its shadow and the light it throws back remain. The tank's mask is widened by `margin`
    pixels first. Raises ValueError for scenes and weathers that the tank yard doesn't have.
    """
    check_name("weather", weather, WEATHERS)
    four = pictures.two_by_two(scene)
    with_tank, without = four["tank", weather], four["no_tank", weather]
    mask = pictures.grown(pictures.tank_mask(scene), margin)
    return torch.where(mask, with_tank, without), torch.where(mask, without, with_tank)


@checks_arguments
def paste_test(
    classifier: Classifier, scenes: Iterable[int], weathers: Sequence[str] = WEATHERS
) -> dict[str, float]:
    """How many of a network's "inside only" and "outside only" pictures it calls a tank, in [0, 1].

    The two pictures of a pair differ by the tank and its light alone, so this says where the
    network's evidence is: a network that looks at tanks reaches about 1 and 0. Raises ValueError
    for no scenes, no weathers, and those that the tank yard doesn't have.
    """
    pairs = [pasted(scene, weather) for scene in scenes for weather in weathers]
    if not pairs:
        raise ValueError("There is nothing to test: give one scene and one weather at least.")
    tank = classifier.class_index("tank")
    return {
        name: float((classifier.predict(torch.stack(images)) == tank).float().mean())
        for name, images in zip(("inside only", "outside only"), zip(*pairs))
    }


# ---------------------------------------------------------------------------- boxes


@checks_arguments
def box_accuracies(
    heatmaps: Iterable[torch.Tensor],
    masks: Iterable[torch.Tensor],
    thresholds: Iterable[float] = THRESHOLDS,
    least: float = 0.5,
) -> dict[float, float]:
    """How often the box from a map agrees with the object's: {threshold: share of the pictures}.

    heatmaps:   (H, W) each, as large as the masks (H, W) bool, none of them empty
    thresholds: in [0, 1]; one that is given twice counts once
    least:      boxes agree if their intersection over union reaches this, in (0, 1]

    One threshold serves all pictures. The best share, `max(box_accuracies(...).values())`, is
    MaxBoxAcc of Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right",
    CVPR 2020, section 3.3. It is chosen with the masks in view: choose the threshold on other
    pictures if you want to know how well it will do.
    """
    heatmaps, masks = list(heatmaps), list(masks)
    if not heatmaps or len(heatmaps) != len(masks):
        raise ValueError(
            f"There must be a mask for each heatmap; there are {len(heatmaps)} heatmaps and"
            f" {len(masks)} masks."
        )
    pairs = list(zip(heatmaps, masks))
    agreeing = {check_number("threshold", threshold): 0 for threshold in thresholds}
    if not agreeing:
        raise ValueError("There are no thresholds: leave them out, or give one at least.")
    if not 0 < least <= 1:
        raise ValueError(f"least={least}: the share that boxes have in common lies in (0, 1].")
    for heatmap, mask in pairs:
        heatmap, mask = _checked(heatmap, mask)
        box = boxes.box_of_mask(mask)
        for threshold, found in zip(agreeing, boxes.boxes_from_map(heatmap, agreeing)):
            agreeing[threshold] += boxes.iou(found, box) >= least
    return {threshold: count / len(pairs) for threshold, count in agreeing.items()}


# ---------------------------------------------------------------------------- on the object


@checks_arguments
def pointing_game(heatmap: Tensor, mask: Tensor, tolerance: int = 0) -> float:
    """1.0 if the highest pixel lies on the object, else 0.0; of several highest, the share.

    tolerance: how many pixels beside the object still count; the paper uses 15 of about 224

    Zhang, Lin, Brandt, Shen and Sclaroff, "Top-down Neural Attention by Excitation Backprop",
    ECCV 2016, section 4.2.
    """
    heatmap, mask = _checked(heatmap, mask)
    check_count("tolerance", tolerance, least=0)
    if tolerance:
        mask = pictures.grown(mask, tolerance)
    return mask[heatmap == heatmap.max()].double().mean().item()


@checks_arguments
def relevance_mass(heatmap: Tensor, mask: Tensor) -> float:
    """The share of the positive relevance that lies on the object, in [0, 1].

    Arras, Osman and Samek, "CLEVR-XAI: A benchmark dataset for the ground truth evaluation of
    neural network explanations", Information Fusion 2022, equation 1.
    """
    heatmap, mask = _checked(heatmap, mask)
    positive = heatmap.clamp(min=0)
    if positive.sum() == 0:
        return mask.double().mean().item()
    return (positive[mask].sum() / positive.sum()).item()


@checks_arguments
def relevance_rank(heatmap: Tensor, mask: Tensor) -> float:
    """Of the K highest pixels, the share that lies on the object of K pixels, in [0, 1].

    Pixels that tie for the last places count by chance: as many as there are places, on average.

    Arras, Osman and Samek (see `relevance_mass`), equation 2.
    """
    heatmap, mask = _checked(heatmap, mask)
    size = int(mask.sum())
    last = heatmap.flatten().topk(size).values[-1]
    above, tied = heatmap > last, heatmap == last
    places = size - above.sum()
    return ((mask & above).sum() + places * mask[tied].double().mean()).item() / size


def _checked(heatmap, mask):
    """The heatmap in double precision and the mask, if they can be scored."""
    heatmap, mask = check_tensor("heatmap", heatmap), check_tensor("mask", mask)  # each of a list
    _check_size(heatmap, mask)
    if mask.dtype != torch.bool:
        raise ValueError(f"The mask must be bool, not {mask.dtype}: compare it with > 0.")
    if not mask.any():
        raise ValueError("The mask is empty: there is no object to find.")
    check_finite("The heatmap contains", heatmap)
    return heatmap.detach().cpu().double(), mask.cpu()


def _check_size(heatmap, mask):
    if heatmap.dim() != 2 or heatmap.shape != mask.shape:
        raise ValueError(
            f"The heatmap and the mask must have one shape (H, W), not {tuple(heatmap.shape)} and"
            f" {tuple(mask.shape)}."
        )


# ---------------------------------------------------------------------------- taking away


@looks_inside
def deletion(
    model: nn.Module, x: Tensor, target: int, heatmap: Tensor, replacement: Tensor, steps: int = 32
) -> float:
    """The mean probability of the class while its pixels are replaced, highest first, in [0, 1].

    The lower the better: a map that is right makes the class disappear early.

    x, replacement: one preprocessed picture each, (1, 3, H, W)
    steps: into how many equal parts the pixels are cut; the area under the curve is a trapezoid sum

    Petsiuk, Das and Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models",
    BMVC 2018, section 4.2. Equal values are taken row by row.
    """
    check_pair(x, replacement, "replacement")
    return _area(model, x, replacement, target, heatmap, steps)


@looks_inside
def insertion(
    model: nn.Module, x: Tensor, target: int, heatmap: Tensor, replacement: Tensor, steps: int = 32
) -> float:
    """The mean probability of the class while its pixels are brought back, highest first.

    The higher the better. See `deletion`.
    """
    check_pair(x, replacement, "replacement")
    return _area(model, replacement, x, target, heatmap, steps)


def _area(model, before, after, target, heatmap, steps):
    """The area under the probability while `after` takes the place of `before`, pixel by pixel."""
    if heatmap.shape != before.shape[2:]:
        raise ValueError(
            f"The heatmap must be as large as the picture, {tuple(before.shape[2:])}, not"
            f" {tuple(heatmap.shape)}."
        )
    check_finite("The heatmap contains", heatmap)
    check_count("steps", steps)
    order = heatmap.flatten().argsort(descending=True, stable=True).to(before.device)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    counts = torch.linspace(0, len(order), steps + 1).round().long().tolist()
    rank = rank.reshape(heatmap.shape)
    network = Ready(model)
    probabilities = []
    with torch.no_grad():
        for count in counts:
            scores = network.scores(torch.where(rank < count, after, before))
            index = class_indices(target, scores)
            probabilities.append(scores.softmax(1)[0, index[0]].item())
    if not all(map(math.isfinite, probabilities)):
        raise ValueError("The network's probabilities are NaN (not a number): look at x.")
    places = torch.tensor(counts, dtype=torch.float64) / len(order)
    return torch.trapezoid(torch.tensor(probabilities, dtype=torch.float64), places).item()


# ---------------------------------------------------------------------------- many pictures


@checks_arguments
def mean_with_interval(
    values: Sequence[float] | np.ndarray | Tensor,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The mean of values (N,), one for each picture or scene, and its interval -> mean, low, high.

    As many of the values are drawn at random, with replacement, `draws` times; between low and high
    lie the means of a share `level` of these draws (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993, chapter 13). With NaN or infinity among the values all three are NaN.

    Raises ValueError for no values, for others than (N,), and for a level outside of (0, 1).
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    try:
        values = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError("Values have the shape (N,) and are numbers: some here are not.") from None
    check_count("draws", draws)
    check_count("seed", seed, least=0)  # NumPy takes no others
    if values.ndim != 1 or not len(values):
        raise ValueError(f"Values have the shape (N,), N at least 1, not {values.shape}.")
    if not 0 < level < 1:
        raise ValueError(f"The level lies between 0 and 1, such as 0.95, not {level}.")
    if not np.isfinite(values).all():
        return math.nan, math.nan, math.nan
    random, means = np.random.default_rng(seed), []
    most = max(10**7 // len(values), 1)  # draws at once, so that memory holds them
    for start in range(0, draws, most):
        drawn = random.choice(values, (min(most, draws - start), len(values)))
        means.append(drawn.mean(axis=1))
    means = np.concatenate(means)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


# ---------------------------------------------------------------------------- two maps


@checks_arguments
def rank_correlation(one: Tensor, other: Tensor, resolution: float = 0.0) -> float:
    """Spearman's rank correlation of two maps, in [-1, 1]; 0 if one of them is constant.

    resolution: a share of a map's largest absolute value, such as 1e-4. Each map is first rounded
                to multiples of that, so that values which differ by less are ties.

    A map in single precision is right to about 1e-6 of its largest value. Where it should be zero
    it holds rounding noise, and without a resolution that noise is ranked like anything else: over
    most of a picture the ranks are then the processor's.

    Raises ValueError for NaN, for maps of two shapes, and for a resolution below 0 or from 1 on.
    """
    _check_pair(one, other)
    if not 0 <= resolution < 1:
        raise ValueError(f"The resolution must be at least 0 and less than 1, not {resolution}.")
    one = _rounded(one, resolution)
    other = _rounded(other, resolution)
    if one.max() == one.min() or other.max() == other.min():
        return 0.0
    from scipy import stats  # takes a second to import, and most who score maps don't need it

    return float(np.asarray(stats.spearmanr(one.flatten(), other.flatten()))[0])


def _check_pair(one, other):
    if one.shape != other.shape or not one.numel():
        raise ValueError(
            f"The maps must have one shape, not {tuple(one.shape)} and {tuple(other.shape)}."
        )
    check_finite("The heatmap contains", one, other)


def _rounded(heatmap, resolution):
    """The map in multiples of `resolution` times its largest absolute value; as it is for 0."""
    heatmap = heatmap.detach().cpu().double()
    unit = resolution * heatmap.abs().max()
    return (heatmap / unit).round() if unit > 0 else heatmap


@checks_arguments
def structural_similarity(one: Tensor, other: Tensor) -> float:
    """SSIM of two maps, each scaled to [0, 1] first; 1 for equal ones, 0 if one is constant.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, compare maps so; SSIM itself is
    from Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 2004.
    """
    _check_pair(one, other)
    if one.dim() != 2 or min(one.shape) < 7:
        raise ValueError(f"SSIM compares maps (H, W) of 7 x 7 at least, not {tuple(one.shape)}.")
    one, other = (heatmap.detach().cpu().double() for heatmap in (one, other))
    if one.max() == one.min() or other.max() == other.min():
        return 0.0
    similarity = skimage_similarity(_scaled(one), _scaled(other), data_range=1.0, full=False)
    return float(np.asarray(similarity))


def _scaled(heatmap):
    """The map with its smallest value at 0 and its largest at 1, as an array."""
    return ((heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())).numpy()


# ---------------------------------------------------------------------------- controls


@checks_arguments
def random_map(height: int, width: int, seed: int = 0) -> Tensor:
    """Independent uniform noise (H, W)."""
    check_count("height", height)
    check_count("width", width)
    generator = seeded_generator(seed)
    return uniform(height, width, generator=generator)


@checks_arguments
def centre_map(height: int, width: int) -> Tensor:
    """A round hill in the middle, (H, W): photographers put objects there."""
    check_count("height", height)
    check_count("width", width)
    rows = torch.linspace(-1, 1, height)[:, None]
    columns = torch.linspace(-1, 1, width)[None]
    return torch.exp(-(rows**2 + columns**2))


@checks_arguments
def edge_map(picture: Tensor) -> Tensor:
    """How steep the brightness of a picture (3, H, W) is at each pixel (Sobel), (H, W)."""
    check_picture(picture)
    grey = picture.detach().cpu().mean(0).double().numpy()
    steepness = np.hypot(ndimage.sobel(grey, 0), ndimage.sobel(grey, 1))
    return torch.from_numpy(steepness).float()


@checks_arguments
def randomized(model: nn.Module, names: Sequence[str], seed: int = 0) -> Iterator[nn.Module]:
    """Copies of a network that forget more and more: one for each name, in the given order.

    names: modules with weights, the last layer first; in each copy its weights and those of all
           names before it are drawn anew, as at the start of training
    The network itself is not changed.

    Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, section 3.1 (cascading).
    """
    names, forgetful = list(names), copy_of(network_of(model))
    seeds = [check_seed(seed + number) for number in range(len(names))]
    for name, own_seed in zip(names, seeds):
        try:
            forget(forgetful.get_submodule(name), own_seed)
        except (AttributeError, TypeError):  # the second for what is no name
            known = [known for known, _ in forgetful.named_modules() if known]
            raise ValueError(unknown_name("module", name, known)) from None
        except ValueError:
            raise ValueError(
                f"The module {shown(name)} has no weights of its own to draw anew."
            ) from None
        yield copy_of(forgetful)
