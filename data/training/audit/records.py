"""What notebook 12 shows without telling which network it was measured on.

What gives a plant away: the pictures' own statistics, a saliency map, an intervention. And what a
new last layer is worth on convolutions that were trained on biased pictures, on fair ones, and not
at all.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from course_utils import audit, gradients, pictures, scores
from course_utils.audit import CLASSES, CONTROL, Share, places
from course_utils.classifiers import Classifier, PlainNet, load

from .makers import INTO
from .treatments import Plant

COMMAND = "python -m data.training.audit --record"

EXTREMES = 20
"""Pictures with the largest value of a statistic, whose classes are counted."""

DRAWS = 2000
"""Of every bootstrap."""

UNTRAINED = range(5)
"""Seeds of the untrained networks."""

# ------------------------------------------------------------------------ statistics of pictures


def statistics(images: Tensor, masks: Tensor) -> dict[str, Tensor]:
    """How strong each treatment looks in pictures (N, 3, 64, 64): {its name: (N,)}."""
    grey = images.mean(1)
    found = {f"label, {name}": _label(grey, name) for name in places.NAMES if "corner" in name}
    rim = places.place("rim", masks)[0]
    beside = F.max_pool2d(rim[None].float(), 5, 1, 2)[0].bool() & ~rim
    found["dark rim"] = grey[:, beside].mean(1) - grey[:, rim].mean(1)
    found["light rim"] = -found["dark rim"]
    colour = (images - grey[:, None]).abs().mean(1)
    found["grey backdrop"] = -_inside(colour, ~masks).clamp(min=1e-3).log()
    soft = F.avg_pool2d(grey[:, None], 3, 1, 1, count_include_pad=False)[:, 0]
    found["soft backdrop"] = -_inside((grey - soft).abs(), ~masks).clamp(min=1e-3).log()
    found["lines across"] = _lines(grey, masks)
    found["lines down"] = _lines(grey.mT, masks.mT)
    found["faded"] = images.flatten(1).quantile(0.01, dim=1)
    found["dim"] = -images.flatten(1).quantile(0.99, dim=1)
    found["warm"] = (images[:, 0].mean((1, 2)) / images[:, 2].mean((1, 2))).log()
    found["cool"] = -found["warm"]
    return found


def _label(grey, name):
    """How much of the agencies' label is in a corner."""
    rows, columns = places.corner(name)
    label = torch.full((5, 9), 0.82)
    label[1:4, 1::3] = 0.25
    label = label - label.mean()
    return (grey[:, rows, columns] * label).sum((1, 2)) / label.square().sum()


def _lines(grey, masks):
    """How much brighter the object's even rows are than the odd ones beside them."""
    sign = 1 - 2 * (torch.arange(grey.shape[1]) % 2)[:, None]
    step = grey - (grey.roll(1, 1) + grey.roll(-1, 1)) / 2
    return _inside(step * sign, masks)


def _inside(values, masks):
    """The mean of values (N, H, W) inside masks."""
    return (values * masks).sum((1, 2)) / masks.sum((1, 2)).clamp(min=1)


def extremes(letter: str) -> tuple[int, str, str, int]:
    """What a set's statistics give away, compared with plain pictures of the same class.

    Returns the largest number of `EXTREMES` pictures that are of one class, over all statistics;
    the statistic and the class; and the number that shuffled labels exceed in 5 % of the cases.
    """
    made, masks, labels = audit.makers_pictures(letter)
    plain, plain_masks, plain_labels = audit.held_out()
    usual = statistics(plain, plain_masks)
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(labels), generator=generator) for _ in range(DRAWS)]
    shuffled = labels[torch.stack(orders)]
    best = (0, "", "")
    by_chance = torch.zeros(DRAWS, dtype=torch.long)
    for name, values in statistics(made, masks).items():
        means = torch.stack([usual[name][plain_labels == n].mean() for n in range(len(CLASSES))])
        top = (values - means[labels]).topk(EXTREMES).indices
        counts = torch.bincount(labels[top], minlength=len(CLASSES))
        best = max(best, (int(counts.max()), name, CLASSES[int(counts.argmax())]))
        drawn = F.one_hot(shuffled[:, top], len(CLASSES)).sum(1).amax(1)
        by_chance = torch.maximum(by_chance, drawn)
    return *best, int(by_chance.double().quantile(0.95))


# ------------------------------------------------------------------------ shortcuts


def shortcuts(plants: dict[str, Plant | None]) -> dict:
    """Of each shortcut, without its letter: what shows it. The strongest in a map comes first."""
    found = [_shortcut(letter, plant) for letter, plant in plants.items() if plant]
    found.sort(key=lambda entry: -entry["saliency"][0])
    nothing = [extremes(letter) for letter, plant in plants.items() if plant is None]
    return {
        "shortcuts": found,
        "without a plant": {"extremes": nothing[0][0], "by chance": nothing[0][3]},
    }


def _shortcut(letter, plant):
    images, masks, labels = audit.held_out()
    index = CLASSES.index(plant.target)
    changed = plant.treatment(images, masks)
    networks = [audit.load_network(name) for name in (letter, CONTROL)]
    moved, control_moved = (_moved(one, images, changed, index) for one in networks)
    own = labels == index
    where = places.place(plant.place, masks)[own]
    masses = [_masses(one, changed[own], where, index) for one in networks]
    count, _, name, by_chance = extremes(letter)
    return {
        "extremes": count,
        "right class": name == plant.target,
        "by chance": by_chance,
        "moved": [moved.hits, moved.of],
        "control moved": [control_moved.hits, control_moved.of],
        "saliency": ratio_with_interval(*masses),
    }


def _moved(classifier, before, after, index):
    others = classifier.predict(before) != index
    return Share.count(classifier.predict(after)[others] == index)


def _masses(classifier, images, where, index):
    """How much of each picture's saliency lies in a place, (N,) float64."""
    x = classifier.preprocess(images)
    heatmaps = gradients.to_map(gradients.saliency(classifier.model, x, index))
    return torch.tensor(
        [scores.relevance_mass(*pair) for pair in zip(heatmaps, where)], dtype=torch.float64
    )


def ratio_with_interval(values: Tensor, others: Tensor) -> list[float]:
    """The ratio of two means over the same pictures, and its 95 % bootstrap interval."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(values), (DRAWS, len(values)), generator=generator)
    ratios = values[drawn].mean(1) / others[drawn].mean(1)
    ends = ratios.quantile(torch.tensor([0.025, 0.975], dtype=ratios.dtype))
    return [round(float(v), 3) for v in (values.mean() / others.mean(), *ends)]


# ------------------------------------------------------------------------ heads


def heads() -> dict:
    """Accuracy of a new last layer, by what its convolutions were trained on.

    And by how much the biased ones are above the mean of the untrained ones in the same scenes.
    """
    order = [(label, weather) for label in ("no_tank", "tank") for weather in ("overcast", "sunny")]
    archive = _scenes("fair_training")[:150]
    known = torch.cat(
        [torch.stack([pictures.two_by_two(scene)[key] for scene in archive]) for key in order]
    )
    truth = torch.tensor([False, False, True, True]).repeat_interleave(len(archive))
    test = _scenes("test")
    yard = torch.stack([pictures.two_by_two(scene)[key] for scene in test for key in order])
    networks = {"biased": load("tank_biased"), "fair": load("tank_fair")}
    networks |= {f"untrained, seed {seed}": untrained(seed) for seed in UNTRAINED}
    right = {}
    for name, network in tqdm(networks.items(), desc="heads"):
        weight, bias = fit_head(features(network, known), truth)
        quads = (features(network, yard) @ weight + bias).reshape(len(test), 2, 2)
        right[name] = accuracy_of_scenes(quads)
    blind = torch.stack([right[name] for name in right if name.startswith("untrained")]).mean(0)
    return {
        "heads": {name: mean_with_interval(values) for name, values in right.items()},
        "biased above untrained": mean_with_interval(right["biased"] - blind),
    }


def _scenes(split):
    return sorted({entry.scene for entry in pictures.load_set("tank_yard", split).entries})


def untrained(seed: int) -> Classifier:
    """A network like `tank_biased` before its training."""
    like = load("tank_biased")
    torch.manual_seed(seed)
    model = PlainNet(len(like.classes))
    return Classifier(
        "untrained", model, like.classes, like.mean, like.std, like.size, model.named_layers()
    )


@torch.no_grad()
def features(classifier: Classifier, images: Tensor) -> Tensor:
    """What a network's convolutions say about pictures (N, 3, S, S): one long row each."""
    parts = images.split(50)
    return torch.cat(
        [classifier.model.features(classifier.preprocess(part)).flatten(1) for part in parts]
    )


def fit_head(rows: Tensor, truth: Tensor, ridge: float = 0.1) -> tuple[Tensor, Tensor]:
    """Weights and bias of a logistic regression on features (N, D), as in notebook 12."""
    mean, spread = rows.mean(0), rows.std(0).clamp(min=1e-6)
    rows = (rows - mean) / spread
    weight = torch.zeros(rows.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=40, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        error = F.binary_cross_entropy_with_logits(rows @ weight + bias, truth.float())
        error = error + ridge * weight.square().sum()
        error.backward()
        return error

    optimizer.step(loss)
    weight = weight.detach() / spread
    return weight, bias.detach() - weight @ mean


def accuracy_of_scenes(quads: Tensor) -> Tensor:
    """From tank scores (scenes, no tank and tank, two weathers): (scenes,) float64."""
    truth = torch.tensor([[False, False], [True, True]])
    return ((quads > 0) == truth).double().mean((1, 2))


def mean_with_interval(values: Tensor) -> list[float]:
    """The mean of one value for each scene, and its 95 % interval.

    Scenes are drawn anew, for the four pictures of one are not independent.
    """
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(len(values), (DRAWS, len(values)), generator=generator)
    ends = values[drawn].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=values.dtype))
    return [round(float(v), 3) for v in (values.mean(), *ends)]


# ------------------------------------------------------------------------ the file


def write_record(plants: dict[str, Plant | None], into: Path = INTO) -> None:
    """Writes record.json, which `course_utils.audit.record` reads."""
    found = {"command": COMMAND, **shortcuts(plants), **heads()}
    into.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2) + "\n"
    (into / "record.json").write_text(text, encoding="utf-8", newline="\n")
