"""Whatever is passed for an argument, a public function returns, or says in one sentence why not.

CASES has a call of each function with arguments that are right. Every argument is replaced in turn
by each of the ODD values: by machine, so that no function and no argument is forgotten.
"""

import inspect
import math
import types
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils._pytree import tree_leaves

from course_utils import (
    activations,
    ascent,
    boxes,
    cam,
    deconvolution,
    feature_visualization,
    gradients,
    incremental,
    masks,
    occlusion,
    scores,
    search,
    shapley,
)

MODULES = (
    activations, ascent, boxes, cam, deconvolution, feature_visualization, gradients, incremental,
    masks, occlusion, scores, search, shapley,
)  # fmt: skip

SKIPPED = {
    "scores.pasted": "asks for files of the course",
    "scores.paste_test": "asks for files of the course",
    "ascent.checked_targets": "for modules of the course: the check of an argument itself",
    "ascent.scores_seen_by": "for modules of the course: takes a network made ready",
    "occlusion.check_places": "for modules of the course: a check itself",
    "incremental.reach": "for its module only",
    "incremental.trace": "takes nothing but a model",
}


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).eval()


def seeded(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


MODEL = network()
X = seeded(1, 3, 12, 12)
ZEROS = torch.zeros_like(X)
PICTURE = X[0]
MAP = seeded(12, 12)
MASK = MAP > 0.5
MAPS = seeded(1, 4, 6, 6)
PLACES = occlusion.windows(12, 12, 4, 4)
SEGMENTS = torch.arange(144).view(12, 12) // 36
COALITIONS = shapley.all_coalitions(4)
FILTER = torch.tensor([1.0, 2.0, 1.0])
HALVES = (0.5, 0.5, 0.5)
STEPS = deconvolution.ascend(MODEL, MODEL[2], X)[1]
AT_ALL = {"model": MODEL, "x": X, "target": 1}


def game(coalitions):
    return coalitions.double().sum(1)


PLAYED = {"game": game, "players": 4}

CASES = {
    activations.record: {"model": MODEL, "layers": {"conv": MODEL[0]}, "x": X},
    activations.receptive_fields: {"layers": {"conv": MODEL[0]}},
    activations.box_by_gradient: {
        "model": MODEL, "layer": MODEL[0], "row": 2, "column": 2, "x": X,
    },
    ascent.ascend: {
        "model": MODEL, "targets": [1], "size": 8, "mean": HALVES, "std": HALVES, "steps": 1,
        "step": 0.1, "l2": 0.0, "tv": 0.0, "blur": 0.0, "jitter": 0, "seed": 0, "keep": [0, 1],
        "layer": MODEL[2], "start": "noise",
    },
    ascent.target_scores: {"model": MODEL, "x": X, "targets": [1], "layer": MODEL[2]},
    ascent.total_variation: {"x": X},
    boxes.box_from_map: {"heatmap": MAP, "threshold": 0.5},
    boxes.boxes_from_map: {"heatmap": MAP, "thresholds": [0.5]},
    boxes.box_of_mask: {"mask": MASK},
    boxes.iou: {"box": (0, 0, 4, 4), "other": (0, 0, 2, 2)},
    cam.cam: {**AT_ALL, "layer": MODEL[3], "head": MODEL[6]},
    cam.grad_cam: {**AT_ALL, "layer": MODEL[3]},
    cam.hires_cam: {**AT_ALL, "layer": MODEL[3]},
    cam.grad_cam_plus_plus: {**AT_ALL, "layer": MODEL[3]},
    cam.layer_cam: {**AT_ALL, "layer": MODEL[3]},
    cam.upsample: {"heatmap": MAP, "size": 24},
    deconvolution.convolution_matrix: {"filter": FILTER, "size": 5, "stride": 1},
    deconvolution.insert_zeros: {"y": FILTER, "stride": 2},
    deconvolution.transpose_by_zeros: {"y": FILTER, "filter": FILTER, "stride": 2},
    deconvolution.transpose_by_shuffle: {"y": FILTER, "filter": FILTER, "stride": 2},
    deconvolution.overlap_counts: {"count": 4, "kernel": 3, "stride": 2},
    deconvolution.unpool: {
        "values": MAPS, "switches": torch.arange(144).view(1, 4, 6, 6), "size": (12, 12),
    },
    deconvolution.keep_strongest: {"maps": MAPS, "channel": 1},
    deconvolution.deconvnet: {
        "network": MODEL, "layer": MODEL[2], "x": X, "channel": 1, "rule": "deconvnet",
    },
    deconvolution.deconvnet_steps: {
        "network": MODEL, "layer": MODEL[2], "x": X, "channel": 1, "rule": "deconvnet",
    },
    deconvolution.ascend: {"network": MODEL, "layer": MODEL[2], "x": X},
    deconvolution.descend: {"steps": STEPS, "signal": seeded(1, 5, 8, 8), "rule": "gradient"},
    deconvolution.transposed: {"conv": MODEL[0], "signal": MAPS, "size": (8, 8)},
    feature_visualization.ascend_phases: {
        "model": MODEL, "targets": [1], "size": 8, "mean": HALVES, "std": HALVES, "steps": 1,
        "layer": MODEL[2], "step": 1.0, "crops": 1, "smallest": 0.5, "turn": 1.0, "noise": 0.1,
        "falloff": 1.0, "contrast": 1.0, "seed": 1,
    },
    gradients.to_map: {"attributions": X, "how": "max"},
    gradients.saliency: {**AT_ALL, "layer": MODEL[0], "batch": 2},
    gradients.guided_backprop: {**AT_ALL, "batch": 2},
    gradients.deconvnet: {**AT_ALL, "batch": 2},
    gradients.smoothgrad: {
        **AT_ALL, "samples": 2, "noise": 0.1, "average": "signed", "seed": 0, "batch": 2,
    },
    gradients.quadrature: {"rule": "left", "steps": 3},
    gradients.integrated_gradients: {
        **AT_ALL, "baseline": ZEROS, "steps": 2, "rule": "left", "layer": MODEL[0], "batch": 2,
    },
    gradients.expected_gradients: {
        **AT_ALL, "background": ZEROS, "samples": 2, "seed": 0, "layer": MODEL[0], "batch": 2,
    },
    gradients.score_change: {**AT_ALL, "baseline": ZEROS},
    masks.random_masks: {
        "height": 12, "width": 12, "count": 2, "cells": 3, "share": 0.5,
        "generator": torch.Generator(),
    },
    masks.rise: {
        **AT_ALL, "baseline": ZEROS, "count": 2, "cells": 3, "share": 0.5, "seed": 0, "batch": 2,
    },
    masks.learned_mask: {
        **AT_ALL, "baseline": ZEROS, "cells": 3, "steps": 1, "area": 0.5, "smoothness": 0.5,
        "rate": 0.1,
    },
    masks.blend: {"x": X, "baseline": ZEROS, "masks": MAP[None]},
    occlusion.fill: {
        "picture": PICTURE, "kind": "grey", "grey": HALVES, "seed": 0, "sigma": 1.0,
    },
    partial(occlusion.fill, kind="noise"): {"picture": PICTURE, "seed": 0},
    partial(occlusion.fill, kind="blur"): {"picture": PICTURE, "sigma": 1.0},
    occlusion.windows: {"height": 12, "width": 12, "patch": 4, "stride": 2},
    occlusion.occluded: {"x": X, "replacement": ZEROS, "places": PLACES},
    occlusion.occluded_outputs: {
        "model": MODEL, "x": X, "replacement": ZEROS, "places": PLACES, "batch": 2,
    },
    incremental.occluded_outputs: {
        "model": MODEL, "x": X, "replacement": ZEROS, "places": PLACES, "batch": 2,
    },
    incremental.growth: {"model": MODEL, "x": X, "place": PLACES[4]},
    occlusion.logit_drop: {"target": 1},
    occlusion.probability_drop: {"target": 1},
    occlusion.margin_drop: {"target": 1, "rival": 0},
    occlusion.feature_dip: {"before": MAPS, "after": MAPS},
    occlusion.drops: {
        "model": MODEL, "x": X, "replacement": ZEROS, "places": PLACES,
        "measure": occlusion.logit_drop(1), "batch": 2, "outputs": occlusion.occluded_outputs,
    },
    occlusion.occlusion_map: {
        "model": MODEL, "x": X, "replacement": ZEROS, "patch": 4, "stride": 4,
        "measure": occlusion.logit_drop(1), "batch": 2, "outputs": occlusion.occluded_outputs,
    },
    occlusion.mean_of_windows: {
        "values": seeded(9), "places": PLACES, "height": 12, "width": 12,
    },
    scores.box_accuracies: {
        "heatmaps": [MAP], "masks": [MASK], "thresholds": [0.5], "least": 0.5,
    },
    scores.pointing_game: {"heatmap": MAP, "mask": MASK, "tolerance": 1},
    scores.relevance_mass: {"heatmap": MAP, "mask": MASK},
    scores.relevance_rank: {"heatmap": MAP, "mask": MASK},
    scores.deletion: {**AT_ALL, "heatmap": MAP, "replacement": ZEROS, "steps": 2},
    scores.insertion: {**AT_ALL, "heatmap": MAP, "replacement": ZEROS, "steps": 2},
    scores.mean_with_interval: {"values": [0.0, 1.0], "level": 0.9, "draws": 3, "seed": 0},
    scores.rank_correlation: {"one": MAP, "other": MAP, "resolution": 0.0},
    scores.structural_similarity: {"one": MAP, "other": MAP},
    scores.random_map: {"height": 3, "width": 3, "seed": 0},
    scores.centre_map: {"height": 3, "width": 3},
    scores.edge_map: {"picture": PICTURE},
    scores.randomized: {"model": MODEL, "names": ["6"], "seed": 0},
    search.search: {
        "model": MODEL, "layer": MODEL[0], "gallery": X, "preprocess": lambda x: x, "k": 1,
        "batch": 2,
    },
    search.channel_peaks: {"maps": MAPS},
    search.receptive_crop: {
        "picture": PICTURE, "row": 1, "column": 1, "size": 3, "stride": 1, "start": 0, "fill": 1.0,
    },
    shapley.superpixels: {"picture": PICTURE, "count": 4, "compactness": 20.0},
    shapley.coalition_scores: {
        **AT_ALL, "baseline": ZEROS, "segments": SEGMENTS, "coalitions": COALITIONS, "batch": 8,
    },
    shapley.spread: {"values": seeded(4), "segments": SEGMENTS},
    shapley.all_coalitions: {"players": 3},
    shapley.exact: PLAYED,
    shapley.permutation_sampling: {**PLAYED, "permutations": 2, "seed": 0},
    shapley.kernel_weights: {"players": 3},
    shapley.kernel_shap: {**PLAYED, "samples": 14, "seed": 0},
    shapley.lime_weights: {"coalitions": COALITIONS, "width": 0.25},
    shapley.lime: {**PLAYED, "samples": 9, "width": 0.25, "ridge": 1.0, "seed": 0},
    shapley.worth: {"game": game, "coalitions": COALITIONS},
}  # fmt: skip
"""Functions, and arguments that are right."""

ODD = {
    "None": None,
    "True": True,
    "zero": 0,
    "minus one": -1,
    "huge": 2**70,
    "a half": 2.5,
    "whole float": 8.0,
    "NaN": math.nan,
    "infinity": math.inf,
    "complex": 1j,
    "text": "conv9",
    "empty list": [],
    "list": [1.0, 2.0],
    "texts": ["a", "b"],
    "dict": {},
    "object": object(),
    "class": nn.ReLU,
    "function": len,
    "layer": nn.Linear(2, 2),
    "layers": [MODEL[0]],
    "array": np.ones((1, 3, 12, 12), np.float32),
    "map as array": np.ones((12, 12)),
    "NumPy's float": np.float32(0.5),
    "NumPy's True": np.True_,
    "picture of PIL": Image.new("RGB", (12, 12)),
    "single float": torch.tensor(0.5),
    "single True": torch.tensor(True),
    "empty": torch.empty(0),
    "vector": torch.ones(3),
    "negative map": -torch.ones(12, 12),
    "map of NaN": torch.full((12, 12), math.nan),
    "whole map": torch.ones(12, 12, dtype=torch.int64),
    "small map": torch.ones(2, 3),
    "one picture": torch.ones(3, 12, 12),
    "no pictures": torch.ones(0, 3, 12, 12),
    "five dimensions": torch.ones(1, 1, 3, 12, 12),
    "double": torch.ones(1, 3, 12, 12, dtype=torch.float64),
    "complex tensor": torch.ones(1, 3, 12, 12, dtype=torch.complex64),
    "sparse": torch.eye(12).to_sparse(),
    "meta": torch.ones(1, 3, 12, 12, device="meta"),
}  # fmt: skip

LARGE = {"huge"}
"""Right where only time and memory set a limit."""

CALLED = {"measure", "outputs", "preprocess", "game"}
"""Functions of the user's own, which raise errors of their own."""


def name_of(function):
    function = getattr(function, "func", function)
    return f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}"


def public(module):
    for name, function in vars(module).items():
        is_own = getattr(function, "__module__", None) == module.__name__
        if isinstance(function, types.FunctionType) and is_own and not name.startswith("_"):
            yield function


def test_every_public_function_has_a_case():
    named = {name_of(function) for function in CASES}
    for module in MODULES:
        for function in public(module):
            name = name_of(function)
            assert name in named or name in SKIPPED, f"put {name} among the CASES"
            missing = set(inspect.signature(function).parameters) - {"progress", "cache", "relu"}
            given = set().union(*(CASES[f] for f in CASES if name_of(f) == name))
            assert name in SKIPPED or missing - {"decorated", "decorrelated"} <= given, name


def called(function, arguments):
    """What the function returns, a generator's items too."""
    result = function(**arguments)
    return list(result) if isinstance(result, types.GeneratorType) else result


@pytest.mark.parametrize("function", CASES, ids=name_of)
def test_right_arguments_are_taken(function):
    called(function, CASES[function])


@pytest.mark.parametrize("function", CASES, ids=name_of)
def test_an_odd_argument_is_taken_or_gets_one_sentence(function):
    wrong = []
    for parameter in CASES[function]:
        for kind, value in ODD.items():
            if kind in LARGE and parameter not in ("seed", "target", "x"):
                continue
            if callable(value) and parameter in CALLED:
                continue
            sentence = None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    called(function, {**CASES[function], parameter: value})
                except ValueError as error:
                    sentence = str(error)
                except Exception as error:
                    wrong.append(f"{parameter}, {kind}: {type(error).__name__}: {error}"[:300])
            if sentence is not None and ("\n" in sentence or not sentence.endswith((".", "?"))):
                wrong.append(f"{parameter}, {kind}: {sentence!r}"[:300])
    assert not wrong, "\n".join(wrong)


WHOLE = {"numpy": np.int64, "torch": torch.tensor}


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("function", CASES, ids=name_of)
def test_whole_numbers_of_other_libraries_are_numbers(function, kind):
    arguments = CASES[function]
    whole = {k: WHOLE[kind](v) for k, v in arguments.items() if type(v) is int and k != "target"}
    if not whole or "generator" in arguments:
        return
    ours, truth = (called(function, {**arguments, **changed}) for changed in (whole, {}))
    for one, same in zip(tree_leaves(ours), tree_leaves(truth)):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, same)


EIGHT_BITS = (torch.float8_e4m3fn, torch.float8_e5m2)


def rounded(argument, kind, back):
    """An argument whose floats are kept in 8 bits, `back` in single precision or not."""
    if not isinstance(argument, torch.Tensor) or not argument.is_floating_point():
        return argument
    few = argument.to(kind)
    return few.float() if back else few


UNSEEDED = [function for function in CASES if "generator" not in CASES[function]]


@pytest.mark.parametrize("kind", EIGHT_BITS, ids=str)
@pytest.mark.parametrize("function", UNSEEDED, ids=name_of)
def test_floats_of_eight_bits_mean_what_they_do_in_single_precision(function, kind):
    ours, truth = (
        outcome(function, {k: rounded(v, kind, back) for k, v in CASES[function].items()})
        for back in (False, True)
    )
    if isinstance(truth, str):
        assert ours == truth
    else:
        assert torch.allclose(ours, truth)


def outcome(function, arguments):
    """All tensors and numbers of a result, in one; or the first words of the sentence instead."""
    try:
        leaves = tree_leaves(called(function, arguments))
    except ValueError as error:
        return str(error)[:20]
    numbers = [torch.as_tensor(leaf) for leaf in leaves if isinstance(leaf, (torch.Tensor, float))]
    return torch.cat([n.double().nan_to_num().flatten() for n in numbers] or [torch.empty(0)])


@pytest.mark.parametrize("kind", [torch.uint16, torch.uint64, torch.int8, torch.bool], ids=str)
def test_maps_of_whole_numbers_are_scored_as_floats_are(kind):
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randint(2, (2, 9, 9), generator=generator)).to(kind)
    mask = torch.rand(9, 9, generator=generator) < 0.5
    for score in (scores.rank_correlation, scores.structural_similarity):
        assert score(one, other) == score(one.float(), other.float())
    for score in (scores.pointing_game, scores.relevance_mass, scores.relevance_rank):
        assert score(one, mask) == score(one.float(), mask)
    assert torch.equal(cam.upsample(one, 18), cam.upsample(one.float(), 18))
    assert boxes.box_from_map(one, 0.5) == boxes.box_from_map(one.float(), 0.5)
