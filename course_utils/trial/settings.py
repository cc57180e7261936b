"""At which setting each method is judged: a stated rule chooses it, on validation pictures.

The rule: of a method's candidates, the one whose maps have the largest mean share of their positive
relevance on the object (`scores.relevance_mass`), over validation pictures of the set that the
network is judged on. Of equal ones, the first. No test picture has a say.

    python -m course_utils.trial --settings       # tries all candidates, writes settings.json
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from course_utils import _network_files
from course_utils.manifest import data_folder

Value = Any
"""A number, a fill, the name of a layer, or None."""

CANDIDATES: Mapping[str, tuple[Value, ...]] = MappingProxyType(
    {
        "gradient x input": ("grey", "black", "blur"),
        "SmoothGrad": (0.02, 0.05, 0.1, 0.15, 0.2),
        "integrated gradients": ("grey", "black", "blur"),
        "occlusion, grey": (16, 24, 32),
        "occlusion, blurred": (16, 24, 32),
    }
)
"""What is tried: the baseline, a fill of `occlusion.fill`; SmoothGrad's noise, as a share of the
picture's range; the patch, in 128ths of the picture's side, with a stride of half a patch. Grad-CAM
tries the layers of `cam_layers`. The other methods have no setting that matters as much."""

DEFAULTS: Mapping[str, Value] = MappingProxyType(
    {
        "gradient x input": "grey",
        "SmoothGrad": 0.1,
        "integrated gradients": "grey",
        "Grad-CAM": None,
        "occlusion, grey": 16,
        "occlusion, blurred": 16,
    }
)
"""For networks without a choice of their own. Grad-CAM's None is the last layer with maps."""

SAME_AS = {"tank_biased": "tank_fair"}
"""Two networks that are compared need the same settings."""

SAMPLES = 24
"""How many gradients SmoothGrad, integrated and expected gradients average."""

SAMPLES_OF = {"imagenet": 12}
"""Where each gradient takes longer."""


@dataclass(frozen=True)
class Settings:
    """How the methods of the trial are set."""

    chosen: Mapping[str, Value] = field(default_factory=lambda: dict(DEFAULTS))
    """For each method that has one, the setting: one of its candidates."""
    samples: int = SAMPLES

    def but(self, method: str, value: Value) -> "Settings":
        """The same with another setting of one method."""
        return Settings({**self.chosen, method: value}, self.samples)


def settings_for(name: str) -> Settings:
    """The chosen settings of a network of the trial, by name; DEFAULTS for any other network.

    Raises DataError if the file with the choices is missing or damaged.
    """
    choices = load_choices().get(SAME_AS.get(name, name), {"chosen": {}})
    return Settings({**DEFAULTS, **choices["chosen"]}, SAMPLES_OF.get(name, SAMPLES))


def load_choices() -> dict:
    """What was tried, {network: {"chosen": ..., "pictures": ..., "tried": ...}}.

    tried[method] lists pairs: a candidate and its mean relevance mass over the pictures.
    """
    return _network_files.read_json(data_folder() / "trial" / "settings.json")


def best(tried: Mapping[str, list]) -> dict[str, Value]:
    """The rule: for each method the candidate with the largest score; of equal ones the first."""
    return {method: max(pairs, key=lambda pair: pair[1])[0] for method, pairs in tried.items()}
