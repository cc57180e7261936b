"""`course explain`: one page about a picture: what a network says, all maps, how far to trust them.

What the page says about trust are the scores of notebook 11 (`course_utils.trial`): those of the
ImageNet network for networks with its classes, and else those of the course's; the page says so.
"""

import base64
import io
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import PIL.Image
import torch
from matplotlib import colormaps
from torch import Tensor
from tqdm.auto import tqdm

from course_utils import cam, imagenet, trial
from course_utils.classifiers import SHIPPED, Classifier, load
from course_utils.classroom import NOTEBOOKS, ROOT, find_notebooks
from course_utils.classroom.files import fill, write_whole
from course_utils.errors import first_line
from course_utils.photos import open_picture

CONTROLS = ("edges", "saliency, untrained")
"""Shown beside the methods: what a map looks like that knows nothing of the network."""

LIKELY = 0.25
"""A page warns if no class reaches this probability.

Of scikit-image's photographs the ImageNet network is wrong about coins (a golf ball, .18), the
Hubble deep field (.19) and an astronaut (.21), who all lie below; it is right about a rocket (.29).
"""

HALF = 0.35
"""How much of an overlay is the grey picture; the rest is the map's colour."""

GRADIENT_UNIT = "score by unit of a preprocessed colour"
SHARE_UNIT = "part of the score that the pixel adds, against the baseline"
DROP_UNIT = "how far the score falls when the patch covers the pixel"
RULE_UNIT = "no unit: the rule changes the gradient"

METHODS = {
    "saliency": (5, GRADIENT_UNIT),
    "gradient x input": (5, SHARE_UNIT),
    "SmoothGrad": (5, GRADIENT_UNIT),
    "guided backprop": (5, RULE_UNIT),
    "deconvnet": (10, RULE_UNIT),
    "integrated gradients": (6, SHARE_UNIT),
    "expected gradients": (6, SHARE_UNIT),
    "Grad-CAM": (7, "activation times the score's mean gradient"),
    "occlusion, grey": (4, DROP_UNIT),
    "occlusion, blurred": (4, DROP_UNIT),
    "edges": (11, "contrast between neighbouring pixels; no network is asked"),
    "saliency, untrained": (11, f"{GRADIENT_UNIT}, of a network that has learned nothing"),
}
"""The notebook that builds a method, and the unit of its map."""


def network_for(picture: str) -> str:
    """The network that knows what such a picture shows: course renders have their own."""
    renders = {"look_alikes/": "look_alikes", "tank_yard/": "tank_fair"}
    return next((net for start, net in renders.items() if picture.startswith(start)), "imagenet")


def explain(
    picture: str, out: Path, classifier: str | None = None, methods=(), progress: bool = False
) -> Path:
    """Writes the page about a picture (a file or a name, see `open_picture`) -> the page.

    classifier: a name that `load` takes; None: that of `network_for`
    methods:    some of `trial.METHODS`; all of them by default. The controls are always there.

    A method that fails is left out, with the reason. Raises ValueError for unknown names and what
    is no picture, DataError where a file is missing.
    """
    whole = open_picture(picture)
    names = [*(methods or trial.METHODS), *CONTROLS]
    trial.check_names(names)
    network = load(classifier or network_for(picture))
    seen = network.undo_preprocess(network.preprocess(whole))
    top = network.top_k(whole, min(5, len(network.classes)))
    labels = [label for label, _ in top[:2]]
    maps, reasons = _maps(network, seen, labels, names, progress)
    record = Trust.in_maps_of(network)
    page = fill(
        "explain.html",
        title=f"{Path(picture).name}, seen by {network.name}",
        whole=_as_data(_at_most(whole, 640)),
        frame=_frame(network, whole),
        crop=_about_the_crop(network, whole),
        seen=_as_data(seen[0]),
        size=network.size,
        knowledge=_about(network),
        card=_link(network.card, out) if network.card else "",
        notes=_notes(network, picture, top),
        top=[(_words(label), f"{100 * probability:.1f}") for label, probability in top],
        labels=[_words(label) for label in labels],
        methods=[_method(name, seen[0], maps[name], labels, record, out) for name in maps],
        left_out=reasons,
        trust=record.table([name for name in maps if name in trial.METHODS], out),
        colours=_colours(),
        command=_command(picture, classifier, methods),
    )
    write_whole(out, page, errors="replace")  # names of files may hold what is no text
    return out


def _command(picture, classifier, methods):
    """The command that makes the same page."""
    words = ["course", "explain", picture]
    words += ["--classifier", classifier] if classifier else []
    words += ["--methods", *methods] if methods else []
    return shlex.join(words)


def _maps(network, seen, labels, names, progress):
    """{name: maps (2, S, S), one for each label}, and the reasons why others have none."""
    images = seen.expand(len(labels), -1, -1, -1)
    targets = torch.tensor([network.classes.index(label) for label in labels])
    maps, reasons = {}, []
    for name in tqdm(names, desc="maps", unit=" methods", disable=None if progress else True):
        try:
            found = trial.heatmaps(network, images, targets, [name])[name].float()  # of halves, too
        except Exception as error:  # whatever a network of one's own may do to a method
            reasons.append(f"{_title(name)}. {first_line(error)}")
            continue
        if found.isfinite().all():
            maps[name] = found
        else:
            reasons.append(f"{_title(name)}. Its map holds NaN or infinity.")
    return maps, reasons


# ---------------------------------------------------------------------------- picture and network


def _crop_side(network, picture):
    """The side of the square that the network sees, in pixels of the picture."""
    return min(picture.shape[1:]) * network.size / (network.resize or network.size)


def _frame(network, picture):
    """Where that square lies in the picture, in per cent."""
    height, width = picture.shape[1:]
    side = _crop_side(network, picture)
    return {
        "left": f"{50 * (1 - side / width):.2f}",
        "top": f"{50 * (1 - side / height):.2f}",
        "width": f"{100 * side / width:.2f}",
        "height": f"{100 * side / height:.2f}",
    }


def _about_the_crop(network, picture):
    height, width = picture.shape[1:]
    side = round(_crop_side(network, picture))
    if side == height == width:
        return f"The whole picture, {width} x {height} pixels. The network sees all of it."
    return (
        f"The whole picture, {width} x {height} pixels. The network sees nothing but the square of"
        f" {side} x {side} pixels in its middle."
    )


def _about(network: Classifier) -> str:
    """Which network it is, what it knows and what it was trained on."""
    names = [_words(label) for label in network.classes]
    if len(names) <= 12:
        knows = f"It knows {len(names)} classes and no others: {', '.join(names)}."
    else:
        few = ", ".join(names[:: len(names) // 5][:5])
        knows = f"It knows {len(names)} classes and no others, such as {few}."
    return f"The network is called {network.name}. {knows} {_training(network)}"


def _training(network):
    if network.name in SHIPPED:
        return "It was trained on pictures that the course has rendered, not on photographs."
    if network.name == "imagenet":
        return (
            "It is an EfficientNet-Lite0 that was trained on the photographs of ImageNet, more than"
            " a million."
        )
    if network.name.startswith(("imagenet:", "timm:")):
        return "It was trained on photographs, those of ImageNet and perhaps others."
    return "What it was trained on is not known here: it is a network of your own."


def _notes(network, picture, top):
    """What a reader should know before believing the answer."""
    notes = []
    label, probability = top[0]
    if probability < LIKELY:
        notes.append(
            f"Nothing is likely: even {_words(label)} gets only {probability:.1%}. Perhaps the"
            " picture shows none of the network's classes, or several things, or one that has"
            " several names. The maps below explain a guess."
        )
    is_render = network_for(picture) != "imagenet"
    if network.name in SHIPPED and not is_render:
        notes.append(
            f"{network.name} has never seen a photograph. It must choose among its"
            f" {len(network.classes)} classes, whatever the picture shows, and what it says means"
            " little."
        )
    if network.name.startswith(("imagenet", "timm:")) and is_render:
        notes.append(f"{network.name} has seen photographs only, and this is a render.")
    return notes


# ---------------------------------------------------------------------------- maps


def _method(name, picture, maps, labels, record, out):
    """What the template shows of a method."""
    number, unit = METHODS.get(name, (11, ""))
    [notebook] = find_notebooks([str(number)])
    largest = max(maps.quantile(0.995).item(), 1e-12)
    return {
        "title": _title(name),
        "is_control": name in trial.CONTROLS,
        "maps": [
            {"label": _words(label), "image": _as_data(_overlay(picture, heatmap / largest))}
            for label, heatmap in zip(labels, maps)
        ],
        "largest": f"{largest:.2g}",
        "unit": f"Scale: {unit}." if unit else "",
        "trust": record.sentence(name),
        "link": _notebook_link(notebook.stem, out),
        "notebook": f"Notebook {number}",
    }


def _overlay(picture, shares):
    """A grey picture (3, H, W) with a map (H, W), from 0 to 1, laid over it in colour."""
    rgb = colormaps["magma"](shares.clamp(0, 1).numpy())[..., :3]
    colours = torch.from_numpy(rgb).movedim(-1, 0).float()
    return HALF * picture.mean(0) + (1 - HALF) * colours


def _colours():
    """The colours of the bar, as CSS: those of a map over a grey picture."""
    grey = torch.full((3, 1, 11), 0.5)
    bar = (255 * _overlay(grey, torch.linspace(0, 1, 11)[None])).round().int()[:, 0].T
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in bar.tolist())


def _title(name):
    """A method's name without a comma, for lists."""
    return name.replace(", ", " (") + ")" if ", " in name else name


def _words(label):
    return label.replace("_", " ")


def _as_data(picture: Tensor) -> str:
    """A picture (3, H, W) as the address of an image that lies in the page."""
    larger = cam.upsample(picture, (448, 448)) if max(picture.shape[1:]) < 300 else picture
    values = (larger.clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _at_most(picture, side):
    """A picture (3, H, W), made smaller if a side is longer."""
    height, width = picture.shape[1:]
    scale = min(1, side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    if scale == 1:
        return picture
    return torch.nn.functional.interpolate(picture[None], size, mode="bilinear", antialias=True)[0]


def _notebook_link(name, out):
    """To a notebook as a page, if one was made, and else to the notebook itself."""
    places = [ROOT / "build" / "site" / f"{name}.html", ROOT / "build" / f"{name}.html"]
    return _link(next((p for p in places if p.exists()), NOTEBOOKS / f"{name}.ipynb"), out)


def _link(target: Path, out: Path) -> str:
    """The way from the page to a file of the course."""
    try:
        return Path(os.path.relpath(target, out.resolve().parent)).as_posix()
    except ValueError:  # on another drive
        return target.as_uri()


# ---------------------------------------------------------------------------- trust


def _apart(scores):
    """Whether a map tells the networks apart, for each scene; equal masses count half."""
    pairs = zip(scores["mass_fair"], scores["mass_biased"])
    return [float(fair > biased) + 0.5 * (fair == biased) for fair, biased in pairs]


@dataclass(frozen=True)
class Measure:
    """One of the scores that a page quotes from a record of the trial."""

    title: str
    meaning: str
    """{centre} in it stands for what a map of the picture's centre gets."""
    part: str
    """Of the record."""
    values: Callable[[dict], list[float]]
    """One for each picture, from a method's scores in that part."""


OBJECT = "the share of a map on the object (a map of the picture's centre gets {centre})"

COURSE = (
    Measure("object", OBJECT, "look_alikes", itemgetter("mass")),
    Measure(
        "networks",
        "in how many pictures it tells a network that looks at tanks from one that doesn't (chance:"
        " 0.50)",
        "tanks",
        _apart,
    ),
    Measure(
        "shift",
        "how much of its order of pixels is left when the picture moves by one pixel",
        "robustness",
        itemgetter("after a shift"),
    ),
)
"""What is quoted for the course's networks, and for those of which nothing was measured."""

IMAGENET = (
    Measure("object", OBJECT, "portraits", itemgetter("mass")),
    Measure(
        "parts",
        "how well the order of its shares on an object's parts agrees with how far the score falls"
        " without them (1: the same order, 0: no likeness; a map of the centre gets {centre})",
        "portraits",
        itemgetter("agreement"),
    ),
    Measure(
        "rivals",
        "how often the map for the right one of two classes has more on the part that tells them"
        " apart (chance: 0.50)",
        "contrast",
        itemgetter("contrast"),
    ),
)
"""What is quoted for networks that know ImageNet's classes."""


@dataclass
class Trust:
    """What notebook 11 measured of the methods on one network."""

    record: dict
    measures: tuple[Measure, ...] = COURSE
    network: str = "the course's networks"

    @classmethod
    def in_maps_of(cls, network: Classifier) -> "Trust":
        """The record of the network, or of the one that is most like it.

        Some names of ImageNet's classes differ from library to library, but few do.
        """
        shared = set(network.classes).intersection(imagenet.class_names())
        if len(shared) > 0.8 * len(imagenet.class_names()):
            return cls(trial.load_record("imagenet"), IMAGENET, "the ImageNet network")
        return cls(trial.load_record())

    def sentence(self, name: str) -> str:
        """The measurements of one method in a line."""
        if name in trial.CONTROLS:
            return "It knows nothing of what the network has learned."
        values = self.values(name)
        if values is None:
            return "Trust: not measured."
        shown = zip((measure.title for measure in self.measures), values)
        return "Trust: " + ", ".join(f"{title} {value:.2f}" for title, value in shown) + "."

    def values(self, name: str) -> list[float] | None:
        """The mean of each measure for a method; None if one of them is missing."""
        found = [self.record[measure.part]["scores"].get(name) for measure in self.measures]
        if any(scores is None for scores in found):
            return None
        return [_mean(measure.values(scores)) for measure, scores in zip(self.measures, found)]

    def table(self, names, out):
        """What the template shows in its last section."""
        rows = []
        for name in names:
            values = self.values(name)
            shown = ["-"] * 3 if values is None else [f"{value:.2f}" for value in values]
            rows.append({"title": _title(name), "values": shown})
        [notebook] = find_notebooks(["11"])
        parts = [self.record[measure.part] for measure in self.measures]
        asked = {name for part in parts for name in part.get("pictures") or part["scenes"]}
        return {
            "rows": rows,
            "network": self.network,
            "measures": [(measure.title, self._meaning(measure)) for measure in self.measures],
            "count": len(asked),
            "link": _notebook_link(notebook.stem, out),
        }

    def _meaning(self, measure):
        centre = measure.values(self.record[measure.part]["scores"]["centre map"])
        return measure.meaning.format(centre=f"{_mean(centre):.2f}")


def _mean(values):
    return sum(values) / len(values)
