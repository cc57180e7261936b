"""Draws docs/maps.jpg, the first picture of the README: `python docs/maps.py`."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch

from course_utils import pictures, trial
from course_utils.classifiers import load
from course_utils.figures import as_image

LABEL, NUMBER = "volleyball", 3
"""Which test picture: its class, and its place among those of the class."""


def main():
    """A picture with and without its seams, three maps, and a map of an untrained network."""
    classifier = load("look_alikes")
    entry = pictures.load_set("look_alikes", "test").filter(label=LABEL).entries[NUMBER]
    whole, bare = pictures.load_picture(entry), pictures.load_counterfactual(entry)
    target = torch.tensor([classifier.class_index(LABEL)])
    names = ("occlusion, grey", "Grad-CAM", "guided backprop")
    maps = trial.heatmaps(classifier, whole[None], target, names)
    blank = trial.heatmaps(trial.untrained(classifier), whole[None], target, names[-1:])
    figure, grid = plt.subplots(2, 3, figsize=(6.6, 5), layout="constrained")
    axes = grid.flat
    axes[0].imshow(as_image(whole))
    axes[0].set_title(f'"{classifier.top_k(whole, 1)[0][0]}"')
    axes[1].imshow(as_image(bare))
    axes[1].set_title(f'without its seams:\n"{classifier.top_k(bare, 1)[0][0]}"')
    _draw(axes[2], maps[names[0]][0], "occlusion")
    _draw(axes[3], maps[names[1]][0], "Grad-CAM")
    _draw(axes[4], maps[names[2]][0], "guided backprop")
    _draw(axes[5], blank[names[2]][0], "guided backprop,\nuntrained network")
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(Path(__file__).parent / "maps.jpg", dpi=110, pil_kwargs={"quality": 86})


def _draw(axis, heatmap, title):
    axis.imshow(heatmap, cmap="magma", vmin=0, vmax=torch.quantile(heatmap, 0.995))
    axis.set_title(title)


if __name__ == "__main__":
    main()
