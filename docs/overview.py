"""Draws docs/overview.jpg, the picture in the README: `python docs/overview.py`."""

from pathlib import Path

import matplotlib.pyplot as plt

from course_utils import pictures
from course_utils.classifiers import load
from course_utils.figures import as_image

TANK_SCENE = 20003
SUBJECTS = (("pineapple", 20004), ("zebra", 20004), ("volleyball", 20003), ("submarine", 20003))


def _show(axis, picture, title):
    axis.imshow(as_image(picture))
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()


def _verdict(classifier, picture):
    name, probability = classifier.top_k(picture, 1)[0]
    return f"{name.replace('_', ' ')} {probability:.0%}"


def _tank_yard(axes):
    """The four pictures of one scene, with what two networks make of them."""
    biased, fair = load("tank_biased"), load("tank_fair")
    four = pictures.two_by_two(TANK_SCENE)
    for axis, (label, weather) in zip(axes, sorted(four, reverse=True)):
        picture = four[label, weather]
        title = f"biased: {_verdict(biased, picture)}\nfair: {_verdict(fair, picture)}"
        _show(axis, picture, title)


def _look_alikes(axes):
    """Pictures with and without the key part, with what the network makes of them."""
    classifier = load("look_alikes")
    test = pictures.load_set("look_alikes", "test")
    for pair, (label, scene) in zip(axes.reshape(-1, 2), SUBJECTS):
        entry = test.filter(label=label, scene=scene).entries[0]
        whole, bare = pictures.load_picture(entry), pictures.load_counterfactual(entry)
        _show(pair[0], whole, _verdict(classifier, whole))
        title = f"without {pictures.KEY_PART[label]}:\n{_verdict(classifier, bare)}"
        _show(pair[1], bare, title)


def main():
    figure, axes = plt.subplots(3, 4, figsize=(8.4, 7.4), layout="constrained")
    _tank_yard(axes[0])
    _look_alikes(axes[1:])
    path = Path(__file__).parent / "overview.jpg"
    figure.savefig(path, dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()
