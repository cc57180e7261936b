"""The trial of all heat maps: methods, controls, the truths, and the record that ships."""

import json

import pytest
import torch
from torch import nn

from course_utils import gradients, occlusion, pictures, scores, shapley, trial
from course_utils.classifiers import Preprocess, load, wrap
from course_utils.parts import KEY_PART


@pytest.fixture(scope="module")
def classifier():
    return load("look_alikes")


@pytest.fixture(scope="module")
def case(classifier):
    """Two pictures, their classes and all maps."""
    entries = [
        trial.chosen_entries().filter(label=label).entries[0] for label in ("zebra", "submarine")
    ]
    images = torch.stack([pictures.load_picture(entry) for entry in entries])
    targets = torch.tensor([classifier.class_index(entry.label) for entry in entries])
    return entries, images, targets, trial.heatmaps(classifier, images, targets)


@pytest.mark.parametrize("name", trial.EVERYTHING)
def test_every_map_is_as_large_as_the_picture_and_never_negative(case, name):
    heatmaps = case[3][name]
    assert heatmaps.shape == (2, 128, 128) and not heatmaps.requires_grad
    assert heatmaps.min() >= 0 and heatmaps.isfinite().all() and heatmaps.std() > 0


def test_maps_are_those_of_the_modules(case, classifier):
    _, images, targets, maps = case
    x = classifier.preprocess(images)
    expected = gradients.saliency(classifier.model, x, targets).abs().amax(1)
    assert torch.allclose(maps["saliency"], expected)
    grey = torch.full_like(x[:1], 0.0) + classifier.preprocess(torch.full((3, 128, 128), 0.45))
    measure = occlusion.logit_drop(int(targets[0]))
    patch = trial.settings_for("look_alikes").chosen["occlusion, grey"]
    plain = occlusion.occlusion_map(classifier.model, x[:1], grey, patch, patch // 2, measure)
    assert torch.allclose(maps["occlusion, grey"][0], plain.clamp(min=0), atol=1e-4)


def test_the_same_seed_gives_the_same_maps_and_controls_ignore_the_target(case, classifier):
    _, images, targets, maps = case
    names = ["SmoothGrad", "expected gradients", *trial.CONTROLS]
    again = trial.heatmaps(classifier, images, targets, names)
    assert all(torch.allclose(again[name], maps[name]) for name in names)
    others = trial.heatmaps(classifier, images, targets.flip(0), names)
    for name in ("random map", "centre map", "edges"):
        assert torch.equal(others[name], maps[name])
    assert not torch.allclose(others["SmoothGrad"], maps["SmoothGrad"])


def test_an_unknown_method_is_named(classifier):
    with pytest.raises(ValueError, match="no method 'attention'; there are: saliency"):
        trial.heatmaps(classifier, torch.rand(1, 3, 128, 128), torch.tensor([0]), ["attention"])


def test_the_density_of_a_uniform_map_is_one_and_of_a_perfect_one_the_inverse_area():
    part = torch.zeros(8, 10, dtype=torch.bool)
    part[2:4, 1:6] = True
    assert trial.density(torch.ones(8, 10), part) == pytest.approx(1)
    assert trial.density(part.float(), part) == pytest.approx(8)
    assert trial.density((~part).float(), part) == 0


def three_parts():
    """Parts of 4, 8 and 4 pixels on a map of 80, the nose inside the head; a tail out of view."""
    masks = {name: torch.zeros(8, 10, dtype=torch.bool) for name in ("ear", "head", "nose", "tail")}
    masks["ear"][0, :4] = True
    masks["head"][2:4, :4] = True
    masks["nose"][2, :4] = True
    return masks


def test_shares_are_of_the_positive_relevance_and_hidden_parts_have_none():
    heatmap = torch.zeros(8, 10)
    heatmap[0, 0], heatmap[2, 0], heatmap[7, 9], heatmap[5, 5] = 1, 2, 1, -3
    shares = trial.part_shares(heatmap, three_parts())
    assert shares == {"ear": 0.25, "head": 0.5, "nose": 0.5}
    flat = trial.part_shares(torch.ones(8, 10), three_parts())
    assert flat == pytest.approx({"ear": 0.05, "head": 0.1, "nose": 0.05})


def test_agreement_is_a_rank_correlation_within_one_picture():
    effects = {"ear": 0.1, "head": 7.0, "nose": 2.0, "tail": 9.0}
    assert trial.part_agreement({"ear": 0.1, "head": 0.5, "nose": 0.2}, effects) == 1
    assert trial.part_agreement({"ear": 0.5, "head": 0.1, "nose": 0.2}, effects) == -1
    tied = trial.part_agreement({"ear": 0.1, "head": 0.5, "nose": 0.5}, effects)
    assert tied == pytest.approx(0.75**0.5)
    assert trial.part_agreement({"ear": 0.2, "head": 0.2}, effects) == 0


def test_what_ranks_nothing_is_named():
    with pytest.raises(ValueError, match="two parts or more in view, not 1"):
        trial.part_agreement({"ear": 0.2}, {"ear": 1.0})
    with pytest.raises(ValueError, match="No effect was given for head"):
        trial.part_agreement({"ear": 0.2, "head": 0.1}, {"ear": 1.0})


def test_a_perfect_map_gets_every_score():
    mask = torch.zeros(8, 10, dtype=torch.bool)
    mask[2:4, 1:6] = True
    assert set(trial.on_the_object(mask.float(), mask).values()) == {1.0}


def test_moving_pictures_and_back():
    images = torch.rand(2, 3, 6, 7)
    assert torch.equal(trial.moved(images)[:, :, 1:, 1:], images[:, :, :-1, :-1])
    back = trial.moved(images).roll((-1, -1), (2, 3))
    assert torch.equal(back[:, :, :-1, :-1], images[:, :, :-1, :-1])


def test_the_true_drop_is_the_difference_of_two_scores(case, classifier):
    entry = case[0][0]
    pair = [pictures.load_picture(entry), pictures.load_counterfactual(entry)]
    values = [classifier.scores(p)[0, classifier.class_index("zebra")].item() for p in pair]
    assert trial.true_drop(classifier, entry) == pytest.approx(values[0] - values[1], abs=1e-4)


# ---------------------------------------------------------------------------- settings


def test_the_rule_takes_the_largest_mass_and_of_equal_ones_the_first():
    tried = {"SmoothGrad": [[0.1, 0.3], [0.2, 0.4], [0.3, 0.4]], "Grad-CAM": [["relu6", 0.5]]}
    assert trial.best(tried) == {"SmoothGrad": 0.2, "Grad-CAM": "relu6"}


@pytest.mark.parametrize("network", [*trial.NETWORKS, "tank_fair"])
def test_settings_are_chosen_by_the_rule_and_never_on_test_pictures(network):
    choice = trial.load_choices()[network]
    assert choice["chosen"] == trial.best(choice["tried"])
    assert set(choice["tried"]) == {*trial.CANDIDATES, "Grad-CAM"}
    for method, candidates in trial.CANDIDATES.items():
        assert [value for value, _ in choice["tried"][method]] == list(candidates)
    assert len(choice["pictures"]) >= 16
    assert all(name.split("/")[1] == "validation" for name in choice["pictures"])
    assert trial.settings_for(network).chosen == choice["chosen"]


def test_networks_that_are_compared_have_the_same_settings():
    assert trial.settings_for("tank_biased") == trial.settings_for("tank_fair")


def test_other_networks_have_the_defaults():
    settings = trial.settings_for("a network of one's own")
    assert settings.chosen == trial.DEFAULTS and settings.samples == trial.SAMPLES
    other = settings.but("SmoothGrad", 0.3)
    assert other.chosen["SmoothGrad"] == 0.3
    assert settings.chosen["SmoothGrad"] == trial.DEFAULTS["SmoothGrad"]


def test_a_method_obeys_its_setting(case, classifier):
    _, images, targets, _ = case
    plain = trial.settings_for(classifier.name)
    for method, value in (("SmoothGrad", 0.0), ("Grad-CAM", "relu2"), ("occlusion, grey", 64)):
        both = [
            trial.heatmaps(classifier, images, targets, [method], settings=settings)[method]
            for settings in (plain, plain.but(method, value))
        ]
        assert not torch.allclose(*both)
    silent = plain.but("SmoothGrad", 0.0)
    found = trial.heatmaps(classifier, images, targets, ["SmoothGrad", "saliency"], 0, silent)
    assert torch.allclose(found["SmoothGrad"], found["saliency"], atol=1e-5)


def test_grad_cam_is_tried_at_whole_layers_the_deepest_first(classifier):
    assert trial.cam_layers(classifier) == ["relu6", "relu4", "relu2"]
    assert trial.last_maps(classifier) is classifier.layers["relu6"]


class Heads(nn.Module):
    """Maps (N, 8, h, w) as two heads of attention, each with a list (tokens, 4) of features."""

    def forward(self, maps):
        return maps.flatten(2).unflatten(1, (2, 4)).transpose(2, 3)


class ChannelsLast(nn.Module):
    def forward(self, maps):
        return maps.permute(0, 2, 3, 1)


@pytest.mark.parametrize("transformer", [Heads, ChannelsLast])
def test_what_transformers_have_instead_of_maps_is_none(transformer):
    layers = [nn.Conv2d(3, 8, 4, stride=4), transformer(), nn.Flatten(), nn.Linear(128, 2)]
    own = wrap(nn.Sequential(*layers), ["a", "b"], Preprocess(16))
    assert trial.map_sizes(own) == {"0": (4, 4)}
    assert trial.last_maps(own) is layers[0]


def test_candidates_are_tried_on_any_pictures(classifier, monkeypatch):
    few = {"SmoothGrad": (0.0, 0.5)}
    monkeypatch.setattr(trial.judging, "CANDIDATES", few)
    chosen, label = trial.validation_pictures("look_alikes")
    assert label == "" and len(chosen) == 20
    two = pictures.PictureSet(chosen.name, chosen.classes, chosen.entries[:2])
    tried = trial.try_candidates(classifier, two, progress=False)
    assert [value for value, _ in tried["SmoothGrad"]] == [0.0, 0.5]
    assert [value for value, _ in tried["Grad-CAM"]] == ["relu6", "relu4", "relu2"]
    assert trial.best(tried)["SmoothGrad"] == 0.0


# ---------------------------------------------------------------------------- parts and rivals


def test_contrast_asks_which_class_needs_a_part_more():
    effects = {"crown": 6.0, "tips": -1.0, "pattern": 0.1}
    rival = {"crown": -2.0, "tips": 0.0, "pattern": 0.2}
    shares, rival_shares = {"crown": 0.3, "tips": 0.1}, {"crown": 0.2, "tips": 0.05}
    more = {"pattern": 0.5}  # hardly any difference in effect: left out
    assert trial.contrast(shares | more, rival_shares | more, effects, rival) == 0.5
    assert trial.contrast(rival_shares, shares, effects, rival) == 0.5
    assert trial.contrast({"crown": 0.3}, {"crown": 0.2}, effects, rival) == 1
    assert trial.contrast({"crown": 0.2}, {"crown": 0.2}, effects, rival) == 0.5
    assert trial.contrast(more, more, effects, rival) is None


@pytest.fixture(scope="module")
def portrait():
    return trial.chosen_portraits(1).filter(label="pineapple").entries[0]


def test_a_portraits_parts_and_what_they_are_worth(portrait):
    real = load("imagenet")
    masks = trial.part_masks(portrait)
    assert list(masks) == ["crown", "pattern", "tips"]
    target = trial.class_of(real, "pineapple", pictures.load_picture(portrait))
    assert real.classes[target] == "pineapple"
    effects = trial.part_effects(real, portrait, target)
    pair = [pictures.load_picture(portrait), pictures.load_variants(portrait)["without_crown"]]
    whole, bare = real.scores(torch.stack(pair))[:, target].tolist()
    assert effects["crown"] == pytest.approx(whole - bare, abs=1e-4)


def test_a_map_painted_from_the_truth_has_the_shares_of_the_effects():
    masks = {name: mask for name, mask in three_parts().items() if name in ("ear", "head")}
    painted = trial.painted_map({"ear": 3.0, "head": 1.0}, masks)
    assert trial.part_shares(painted, masks) == pytest.approx({"ear": 0.75, "head": 0.25})
    harmful = trial.painted_map({"ear": -3.0, "head": 1.0}, masks)
    assert trial.part_shares(harmful, masks) == {"ear": 0, "head": 1}


def test_the_likeliest_of_several_classes_is_asked():
    real = load("imagenet")
    entry = trial.chosen_portraits(1).filter(label="elephant").entries[0]
    image = pictures.load_picture(entry)
    index = trial.class_of(real, "elephant", image)
    among = [real.classes.index(n) for n in ("tusker", "Indian elephant", "African elephant")]
    assert index in among and real.scores(image)[0, among].max() == real.scores(image)[0, index]


def test_things_beside_lie_beside_the_object():
    entries = trial.chosen_portraits(8).entries
    found = {entry.name: trial.things_beside(entry) for entry in entries[:16]}
    assert any(beside is None for beside in found.values())
    kept = [(name, beside[1]) for name, beside in found.items() if beside]
    assert kept
    for name, mask in kept:
        entry = next(e for e in entries if e.name == name)
        assert mask.any() and not (mask & pictures.load_mask(entry)).any()


def test_portraits_are_spread_over_the_classes():
    chosen = trial.chosen_portraits(3)
    assert [e.label for e in chosen.entries] == [n for n in chosen.classes for _ in range(3)]
    assert len(trial.chosen_portraits(1000)) == 20 * len(chosen.classes)


def test_the_portraits_of_record_and_settings_would_be_chosen_again():
    record, settings = trial.load_record("imagenet"), trial.load_choices()["imagenet"]
    judged = [entry.name for entry in trial.chosen_portraits(4).entries]
    assert record["portraits"]["pictures"] == judged
    asked = [entry.name for entry in trial.chosen_portraits(2).entries]
    assert set(record["contrast"]["pictures"]) <= set(asked)
    validation = [entry.name for entry in trial.chosen_portraits(2, "validation").entries]
    assert settings["pictures"] == validation


# ---------------------------------------------------------------------------- the record


@pytest.fixture(scope="module")
def record():
    return trial.load_record()


def test_the_record_covers_every_method_and_enough_pictures(record):
    assert len(record["look_alikes"]["pictures"]) >= 200
    assert set(record["look_alikes"]["labels"]) == set(KEY_PART)
    assert len(record["tanks"]["scenes"]) == 20
    for part in ("look_alikes", "contrast", "tanks", "robustness"):
        assert list(record[part]["scores"]) == list(trial.EVERYTHING)
    lengths = {
        len(values)
        for found in record["look_alikes"]["scores"].values()
        for values in found.values()
    }
    assert lengths == {len(record["look_alikes"]["drop"])}


@pytest.mark.parametrize("network", trial.NETWORKS)
def test_each_network_has_a_record_that_says_its_settings(network):
    found = trial.load_record(network)
    settings = trial.settings_for(network)
    assert found["settings"]["chosen"] == settings.chosen
    assert found["settings"]["samples"] == settings.samples
    judged = found["portraits" if network == "imagenet" else "look_alikes"]
    for part in (judged, found["contrast"]):
        assert list(part["scores"]) == list(trial.EVERYTHING)
        for results in part["scores"].values():
            assert {len(values) for values in results.values()} == {len(part["pictures"])}
    assert set(found["contrast"]["pictures"]) <= set(judged["pictures"])


def test_blind_maps_get_a_half_in_contrast():
    for network in trial.NETWORKS:
        found = trial.load_record(network)["contrast"]["scores"]
        for name in ("centre map", "edges"):
            assert set(found[name]["contrast"]) == {0.5}, network


def test_the_record_is_what_the_code_gives_today(record, classifier):
    chosen = trial.chosen_entries()
    few = pictures.PictureSet(chosen.name, chosen.classes, chosen.entries[10:12])
    names = ["saliency", "integrated gradients", "Grad-CAM", "occlusion, blurred", "edges"]
    again = trial.judge_look_alikes(classifier, few, names, progress=False)
    places = [record["look_alikes"]["pictures"].index(name) for name in again["pictures"]]
    for name in names:
        for score in ("mass", "rank", "density"):
            kept = [record["look_alikes"]["scores"][name][score][place] for place in places]
            assert again["scores"][name][score] == pytest.approx(kept, abs=0.02, rel=0.02)


def test_the_real_networks_record_is_what_the_code_gives_today(portrait):
    kept, real = trial.load_record("imagenet"), load("imagenet")
    one = pictures.PictureSet("portraits/test", (portrait.label,), (portrait,))
    names = ["saliency", "Grad-CAM", "centre map"]
    judged = trial.judge_portraits(real, one, names, progress=False)
    rivals = trial.judge_contrast(real, one, judged, names, progress=False)
    for part, again in (("portraits", judged), ("contrast", rivals)):
        place = kept[part]["pictures"].index(portrait.name)
        for name in names:
            for score, values in again["scores"][name].items():
                old = kept[part]["scores"][name][score][place]
                assert values[0] == (old if old is None else pytest.approx(old, abs=0.02)), score
        for fact in again.keys() & {"parts", "areas", "effects", "recognized"}:
            expected = kept[part][fact][place]
            fits = expected if fact == "parts" else pytest.approx(expected, abs=0.02)
            assert again[fact][0] == fits


def test_the_tanks_of_the_record_are_what_the_code_gives_today(record):
    names = ["saliency", "Grad-CAM", "centre map"]
    scenes = record["tanks"]["scenes"][:2]
    again = trial.judge_tanks(scenes, names, progress=False)
    for name in names:
        for score, values in again["scores"][name].items():
            assert values == pytest.approx(record["tanks"]["scores"][name][score][:2], abs=0.02)
    for kind in ("fair", "biased"):
        falls = record["tanks"][f"drop_{kind}"][:2]
        assert again[f"drop_{kind}"] == pytest.approx(falls, abs=0.02)


def test_robustness_of_the_record_is_what_the_code_gives_today(record, classifier):
    chosen = trial.chosen_entries(20)
    few = pictures.PictureSet(chosen.name, chosen.classes, chosen.entries[:2])
    again = trial.judge_robustness(classifier, few, ["Grad-CAM"], progress=False)
    for score, values in again["scores"]["Grad-CAM"].items():
        kept = record["robustness"]["scores"]["Grad-CAM"][score][:2]
        assert values == pytest.approx(kept, abs=0.05), score  # the noise differs with the group


# ---------------------------------------------------------------------------- the slow methods


@pytest.fixture(scope="module")
def sampled():
    return trial.load_record("sampled")


def test_the_slow_methods_are_judged_on_pictures_of_the_record(record, sampled):
    for part, key in (("look_alikes", "pictures"), ("tanks", "scenes")):
        assert list(sampled[part]["scores"]) == list(trial.SAMPLED)
        assert set(sampled[part][key]) <= set(record[part][key])
    assert set(sampled["look_alikes"]["labels"]) == set(KEY_PART)
    assert len(sampled["look_alikes"]["drop"]) >= 40
    places = [
        record["look_alikes"]["pictures"].index(n) for n in sampled["look_alikes"]["pictures"]
    ]
    kept = [record["look_alikes"]["drop"][place] for place in places]
    assert sampled["look_alikes"]["drop"] == pytest.approx(kept, abs=0.02)


def test_the_slow_record_is_what_the_code_gives_today(sampled, classifier):
    chosen = trial.chosen_entries(10)
    few = pictures.PictureSet(chosen.name, chosen.classes, chosen.entries[:1])
    names = ["KernelSHAP", "learned mask", "random superpixels"]
    again = trial.judge_look_alikes(classifier, few, names, progress=False)
    for name in names:
        for score in ("mass", "density"):
            kept = sampled["look_alikes"]["scores"][name][score][:1]
            assert again["scores"][name][score] == pytest.approx(kept, abs=0.05, rel=0.05)


def test_slow_maps_are_as_large_as_the_picture_and_never_negative(case, classifier, monkeypatch):
    monkeypatch.setattr(trial.methods, "COALITIONS", 64)
    monkeypatch.setattr(trial.methods, "RISE_MASKS", 16)
    _, images, targets, _ = case
    names = [name for name in trial.SAMPLED if name != "learned mask"]
    for name, found in trial.heatmaps(classifier, images[:1], targets[:1], names).items():
        assert found.shape == (1, 128, 128) and not found.requires_grad, name
        assert found.min() >= 0 and found.isfinite().all() and found.std() > 0, name


def test_random_superpixels_are_flat_on_the_superpixels_of_kernel_shap(case, classifier):
    """So that this control differs from KernelSHAP by the values alone."""
    _, images, targets, _ = case
    random = trial.heatmaps(classifier, images[:1], targets[:1], ["random superpixels"])
    segments = shapley.superpixels(images[0], trial.SUPERPIXELS)
    (found,) = random.values()
    for number in range(int(segments.max()) + 1):
        assert found[0][segments == number].unique().numel() == 1


def test_unknown_records_are_named():
    with pytest.raises(ValueError, match="no record 'slow'; there are: look_alikes, "):
        trial.load_record("slow")


def test_the_command_writes_the_slow_record(tmp_path, monkeypatch):
    monkeypatch.setattr(trial.record, "make_sampled_record", lambda: {"tanks": {}})
    monkeypatch.setattr("sys.argv", ["trial", "--sampled", "--out", str(tmp_path / "new.json")])
    trial.record.main()
    assert json.loads((tmp_path / "new.json").read_text()) == {"tanks": {}}
    monkeypatch.setattr("sys.argv", ["trial", "--sampled", "RISE"])
    with pytest.raises(SystemExit):
        trial.record.main()


def test_controls_know_nothing(record):
    """A random map's mass is the object's area, and untrained networks can't tell two apart."""
    found = record["look_alikes"]["scores"]["random map"]["density"]
    assert sum(found) / len(found) == pytest.approx(1, abs=0.05)
    for name in ("random map", "centre map", "edges"):
        results = record["tanks"]["scores"][name]
        assert results["mass_fair"] == results["mass_biased"]


def test_a_missing_or_damaged_record_is_named_with_its_cure(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(pictures.DataError, match=r"look_alikes.json is missing; restore"):
        trial.load_record()
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "look_alikes.json").write_text("{")
    with pytest.raises(pictures.DataError, match=r"look_alikes.json is damaged; restore"):
        trial.load_record()
    with pytest.raises(pictures.DataError, match=r"settings.json is missing; restore"):
        trial.settings_for("look_alikes")


@pytest.mark.parametrize("network", ["look_alikes", "imagenet"])
def test_the_command_writes_a_record(tmp_path, monkeypatch, network):
    monkeypatch.setattr(trial.record, "make_record", lambda name: {"of": name})
    out = tmp_path / "new" / "record.json"
    monkeypatch.setattr("sys.argv", ["trial", "--network", network, "--out", str(out)])
    trial.record.main()
    assert json.loads(out.read_text()) == {"of": network}


def test_the_command_writes_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(trial.record, "make_choices", lambda: {"look_alikes": {}})
    out = tmp_path / "new.json"
    monkeypatch.setattr("sys.argv", ["trial", "--settings", "--out", str(out)])
    trial.record.main()
    assert json.loads(out.read_text()) == {"look_alikes": {}}


def test_scores_of_the_record_can_be_had_by_hand(case, record, classifier):
    entries, _, _, maps = case
    entry = entries[0]
    place = record["look_alikes"]["pictures"].index(entry.name)
    mass = scores.relevance_mass(maps["Grad-CAM"][0], pictures.load_mask(entry))
    assert mass == pytest.approx(
        record["look_alikes"]["scores"]["Grad-CAM"]["mass"][place], abs=0.01
    )


@pytest.mark.parametrize("network", ["look_alikes", "imagenet"])
def test_a_method_of_its_own_joins_the_record(network):
    """The others keep their scores, and the order stays."""
    old = trial.load_record(network)
    newer = {"settings": old["settings"]}
    for part in old.keys() - {"settings"}:
        newer[part] = old[part] | {"scores": {"saliency": {"any": [1.0]}}}
    joined = trial.record.joined(old, newer)
    assert joined.keys() == old.keys()
    for part in old.keys() - {"settings"}:
        assert list(joined[part]["scores"]) == list(trial.EVERYTHING)
        assert joined[part]["scores"]["saliency"] == {"any": [1.0]}
        assert joined[part]["scores"]["Grad-CAM"] == old[part]["scores"]["Grad-CAM"]
