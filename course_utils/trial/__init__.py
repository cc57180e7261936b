"""All heat maps of the course before one jury: the same pictures, the same scores, with controls.

    maps = heatmaps(load("look_alikes"), images, targets)      # {method: (N, S, S)}
    record = load_record()                                     # scores of 210 + 100 pictures

    sampled = load_record("sampled")                           # of notebook 14's methods, fewer

    python -m course_utils.trial                               # makes that record anew
    python -m course_utils.trial --sampled                     # and that one

The record is `data/trial/record.json`: for each method and picture the scores of
`course_utils.scores`, and what is known of the truth: how much the score falls when a part is
really gone (the counterfactual renders), and of two networks which one looks at tanks.
"""

from course_utils.trial.judging import (
    RESOLUTION,
    chosen_entries,
    density,
    judge_look_alikes,
    judge_robustness,
    judge_tanks,
    moved,
    on_the_object,
    part_agreement,
    part_of,
    part_shares,
    true_drop,
)
from course_utils.trial.methods import (
    COALITIONS,
    CONTROLS,
    EVERYTHING,
    METHODS,
    PATCH,
    RISE_MASKS,
    SAMPLED,
    SAMPLES,
    STEPS,
    STRIDE,
    SUPERPIXELS,
    Question,
    check_names,
    heatmaps,
    last_maps,
    occlusion_maps,
    untrained,
)
from course_utils.trial.record import load_record, make_record, test_scenes

__all__ = [
    "COALITIONS", "CONTROLS", "EVERYTHING", "METHODS", "PATCH", "RESOLUTION", "RISE_MASKS",
    "SAMPLED", "SAMPLES", "STEPS", "STRIDE", "SUPERPIXELS", "Question", "check_names",
    "chosen_entries", "density", "heatmaps", "judge_look_alikes", "judge_robustness",
    "judge_tanks", "last_maps", "load_record", "make_record", "moved", "occlusion_maps",
    "on_the_object", "part_agreement", "part_of", "part_shares", "test_scenes", "true_drop", "untrained",
]  # fmt: skip
