"""The trial of all heat maps: methods, controls, the truths, and the record that ships."""

import json

import pytest
import torch

from course_utils import gradients, occlusion, pictures, scores, shapley, trial
from course_utils.classifiers import load
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
    plain = occlusion.occlusion_map(classifier.model, x[:1], grey, 16, 8, measure)
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


# ---------------------------------------------------------------------------- the record


@pytest.fixture(scope="module")
def record():
    return trial.load_record()


def test_the_record_covers_every_method_and_enough_pictures(record):
    assert len(record["look_alikes"]["pictures"]) >= 200
    assert set(record["look_alikes"]["labels"]) == set(KEY_PART)
    assert len(record["tanks"]["scenes"]) == 100
    for part in ("look_alikes", "tanks", "robustness"):
        assert list(record[part]["scores"]) == list(trial.EVERYTHING)
    lengths = {
        len(values)
        for found in record["look_alikes"]["scores"].values()
        for values in found.values()
    }
    assert lengths == {len(record["look_alikes"]["drop"])}


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


def test_the_tanks_of_the_record_are_what_the_code_gives_today(record):
    names = ["saliency", "Grad-CAM", "centre map"]
    scenes = record["tanks"]["scenes"][:2]
    again = trial.judge_tanks(scenes, names, progress=False)
    for name in names:
        for score, values in again["scores"][name].items():
            assert values == pytest.approx(record["tanks"]["scores"][name][score][:2], abs=0.02)


def test_robustness_of_the_record_is_what_the_code_gives_today(record, classifier):
    chosen = trial.chosen_entries(10)
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
    with pytest.raises(ValueError, match="no record 'slow'; there are: record, sampled"):
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
    with pytest.raises(pictures.DataError, match=r"record.json is missing; restore"):
        trial.load_record()
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "record.json").write_text("{")
    with pytest.raises(pictures.DataError, match=r"record.json is damaged; restore"):
        trial.load_record()


def test_the_command_writes_a_record(tmp_path, monkeypatch):
    monkeypatch.setattr(trial.record, "make_record", lambda: {"look_alikes": {}})
    monkeypatch.setattr("sys.argv", ["trial", "--out", str(tmp_path / "new" / "record.json")])
    trial.record.main()
    assert json.loads((tmp_path / "new" / "record.json").read_text()) == {"look_alikes": {}}


def test_scores_of_the_record_can_be_had_by_hand(case, record, classifier):
    entries, _, _, maps = case
    entry = entries[0]
    place = record["look_alikes"]["pictures"].index(entry.name)
    mass = scores.relevance_mass(maps["Grad-CAM"][0], pictures.load_mask(entry))
    assert mass == pytest.approx(
        record["look_alikes"]["scores"]["Grad-CAM"]["mass"][place], abs=0.01
    )


def test_a_method_of_its_own_joins_the_record(record):
    """The others keep their scores, and the order stays."""
    newer = {"settings": record["settings"]}
    for part in ("look_alikes", "robustness", "tanks"):
        facts = {key: value for key, value in record[part].items() if key != "scores"}
        newer[part] = facts | {"scores": {"saliency": {"any": [1.0]}}}
    joined = trial.record.joined(record, newer)
    for part in ("look_alikes", "robustness", "tanks"):
        assert list(joined[part]["scores"]) == list(trial.EVERYTHING)
        assert joined[part]["scores"]["saliency"] == {"any": [1.0]}
        assert joined[part]["scores"]["Grad-CAM"] == record[part]["scores"]["Grad-CAM"]
