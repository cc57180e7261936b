"""What a scene delivers: finished pictures and masks, each with its line for the manifest."""

from dataclasses import dataclass, fields

import numpy as np

COLUMNS = (
    "path", "dataset", "kind", "split", "scene", "seed",
    "label", "weather", "background", "removed", "sha256",
)  # fmt: skip
"""The manifest's columns; `sha256` is added when the file is written."""


@dataclass
class Shot:
    """One file to write below `data/`: a picture (H, W, 3) as .jpg or a part mask (H, W) as .png.

    kind: "picture", "parts" (part numbers of `course_utils.parts`), "sky" (the same, of the empty
    scene's sky), "counterfactual" (the picture rendered without the part named in `removed`) or
    "variant" (a portrait's changed blocks, grey where nothing has changed).
    `scene` counts scenes within the data set; pictures of one scene share camera, light and
    background. `weather` is "sunny", "overcast" or "indoors".
    """

    pixels: np.ndarray
    path: str
    dataset: str
    kind: str
    split: str
    scene: int
    seed: int
    label: str
    weather: str
    background: str = ""
    removed: str = ""

    def row(self):
        """The manifest's columns except `sha256`, as a dictionary."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "pixels"}
