"""All heat maps of the course before one jury: the same pictures, the same scores, with controls.

    maps = heatmaps(load("look_alikes"), images, targets)      # {method: (N, S, S)}
    record = load_record()                                     # of the network look_alikes
    real = load_record("imagenet")                             # of a network nobody here trained
    sampled = load_record("sampled")                           # of notebook 14's methods

    python -m course_utils.trial --settings                    # chooses the methods' settings
    python -m course_utils.trial --network imagenet            # makes that record anew
    python -m course_utils.trial Grad-CAM                      # that method's part of a record
    python -m course_utils.trial --network imagenet --part distractors    # that part, by all
    python -m course_utils.trial --sampled                     # the record of notebook 14
    python -m course_utils.trial --background                  # networks, judged without a map

A record is `data/trial/NETWORK.json`: for each method and picture the scores of
`course_utils.scores`, and what is known of the truth: how much the score falls when a part is
really gone (the counterfactual renders), in this network and in one that has learned nothing.
`data/trial/settings.json` says at which settings the methods were judged, and why.
"""

from course_utils.trial.judging import (
    DECISIVE,
    RELEVANT,
    RIVAL,
    THRESHOLDS,
    background_independence,
    chosen_entries,
    chosen_portraits,
    class_of,
    contrast,
    density,
    distractibility,
    judge_background,
    judge_contrast,
    judge_distractors,
    judge_look_alikes,
    judge_portraits,
    judge_robustness,
    judge_tanks,
    matters,
    moved,
    on_the_object,
    painted_map,
    part_agreement,
    part_effects,
    part_masks,
    part_of,
    part_shares,
    portraits_with_things,
    recall,
    things_beside,
    true_drop,
    try_candidates,
)
from course_utils.trial.methods import (
    COALITIONS,
    CONTROLS,
    EVERYTHING,
    METHODS,
    RISE_MASKS,
    SAMPLED,
    SUPERPIXELS,
    Question,
    cam_layers,
    check_names,
    heatmaps,
    last_maps,
    map_sizes,
    occlusion_maps,
    untrained,
)
from course_utils.trial.record import (
    NETWORKS,
    load_record,
    make_record,
    test_scenes,
    validation_pictures,
)
from course_utils.trial.settings import (
    CANDIDATES,
    DEFAULTS,
    SAMPLES,
    Settings,
    best,
    load_choices,
    settings_for,
)

__all__ = [
    "CANDIDATES", "COALITIONS", "CONTROLS", "DECISIVE", "DEFAULTS", "EVERYTHING", "METHODS",
    "NETWORKS", "RELEVANT", "RISE_MASKS", "RIVAL", "SAMPLED", "SAMPLES", "SUPERPIXELS",
    "THRESHOLDS", "Question", "Settings", "background_independence", "best", "cam_layers",
    "check_names", "chosen_entries", "chosen_portraits", "class_of", "contrast", "density",
    "distractibility", "heatmaps", "judge_background", "judge_contrast", "judge_distractors",
    "judge_look_alikes", "judge_portraits", "judge_robustness", "judge_tanks", "last_maps",
    "load_choices", "load_record", "make_record", "map_sizes", "matters", "moved", "occlusion_maps",
    "on_the_object", "painted_map", "part_agreement", "part_effects", "part_masks", "part_of",
    "part_shares", "portraits_with_things", "recall", "settings_for", "test_scenes",
    "things_beside", "true_drop", "try_candidates", "untrained", "validation_pictures",
]  # fmt: skip
