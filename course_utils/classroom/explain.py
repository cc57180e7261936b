"""`course explain`: one page about a picture: what a network says, all maps, how far to trust them.

The paragraph on trust is made of the scores of notebook 11 (`course_utils.trial`), which were
measured on the course's pictures and networks; the page says so.
"""

import base64
import html
import io
from pathlib import Path

import PIL.Image
import torch
from matplotlib import colormaps

from course_utils import cam, pictures, trial
from course_utils.classifiers import load
from course_utils.classroom.files import fill


def explain(picture: str, out: Path, classifier: str = "look_alikes", methods=()) -> Path:
    """Writes the page about a picture (a file or a name, see `open_picture`) -> the page.

    methods: some of `trial.METHODS`; all of them by default. The controls are always there.
    """
    chosen = [*(methods or trial.METHODS), *CONTROLS]
    trial.check_names(chosen)
    network = load(classifier)
    seen = network.undo_preprocess(network.preprocess(pictures.open_picture(picture)))
    top = network.top_k(seen[0], min(5, len(network.classes)))
    sections = []
    for label, _ in top[:2]:
        maps, reasons = _maps(network, seen, label, chosen)
        figures = "".join(_figure(seen[0], name, maps[name], label) for name in maps)
        title = f"<h2>What speaks for {html.escape(_words(label))}</h2>"
        sections.append(f'{title}<div class="maps">{figures}</div>')
    rows = (f"<tr><td>{html.escape(_words(c))}</td><td>{p:.1%}</td></tr>" for c, p in top)
    page = fill(
        "explain.html",
        title=html.escape(f"{Path(picture).name}, seen by {network.name}"),
        picture=_as_data(seen[0]),
        top="".join(rows),
        sections="".join(sections),
        missing="".join(f"<p>Left out: {html.escape(reason)}</p>" for reason in reasons),
        **_trust([name for name in maps if name in trial.METHODS]),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


CONTROLS = ("edges", "saliency, untrained")
"""Shown beside the methods: what a map looks like that knows nothing of the network."""


def _maps(network, seen, label, names):
    """{name: the map (S, S) for a class}, and the reasons why other methods have none."""
    target = torch.tensor([network.classes.index(label)])
    maps, reasons = {}, []
    for name in names:
        try:
            maps[name] = trial.heatmaps(network, seen, target, [name])[name][0]
        except ValueError as error:  # such as guided backprop without a ReLU
            reasons.append(f"{name}. {error}")
    return maps, reasons


def _words(label):
    return label.replace("_", " ")


def _figure(picture, name, heatmap, label):
    kind = "control" if name in trial.CONTROLS else "method"
    alt = f"The picture under the map of {name} for {_words(label)}."
    caption = f"{name} (control)" if kind == "control" else name
    return (
        f'<figure class="{kind}"><img src="{_as_data(_overlay(picture, heatmap))}"'
        f' alt="{html.escape(alt)}"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def _overlay(picture, heatmap):
    """A grey picture (3, H, W) with a map (H, W) laid over it in colour."""
    scaled = (heatmap / heatmap.quantile(0.995).clamp(min=1e-12)).clamp(0, 1)
    colours = torch.from_numpy(colormaps["magma"](scaled.numpy())[..., :3]).movedim(-1, 0).float()
    return 0.35 * picture.mean(0) + 0.65 * colours


def _as_data(picture):
    """A picture (3, H, W) as the address of an image that lies in the page."""
    side = max(picture.shape[1:])
    larger = cam.upsample(picture, (448, 448)) if side < 300 else picture
    values = (larger.clamp(0, 1) * 255).round().byte().movedim(0, -1).numpy()
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _trust(methods):
    """What the page says of each method, from the shipped record."""
    record = trial.load_record()
    objects, tanks = record["look_alikes"]["scores"], record["tanks"]["scores"]
    rows = []
    for name in methods:
        fair, biased = (tanks[name][f"mass_{kind}"] for kind in ("fair", "biased"))
        apart = _mean([float(a > b) + 0.5 * (a == b) for a, b in zip(fair, biased)])
        shift = _mean(record["robustness"]["scores"][name]["after a shift"])
        cells = (f"{value:.2f}" for value in (_mean(objects[name]["mass"]), apart, shift))
        rows.append(f"<tr><td>{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    centre = _mean(objects["centre map"]["mass"])
    count = len(record["look_alikes"]["pictures"]) + len(record["tanks"]["scenes"])
    return {"trust": "".join(rows), "centre": f"{centre:.2f}", "count": str(count)}


def _mean(values):
    return sum(values) / len(values)
