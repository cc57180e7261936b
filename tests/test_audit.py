"""The audit: the seal keeps its secret, the budget counts, and the judge believes only evidence."""

import copy
import functools
import json
import re
import shutil

import pytest
import torch

from course_utils import audit, gradients, scores
from course_utils.audit import CLASSES, CONTROL, LETTERS, Claim
from course_utils.pictures import DATA, DataError
from data.training import audit as training

TREATMENTS = [
    (family, variant) for family, variants in audit._FAMILIES.items() for variant in variants
]
GUILTY = [letter for letter in LETTERS if audit.planted(letter)]
HONEST = [letter for letter in LETTERS if not audit.planted(letter)]


@functools.cache
def exhibits():
    """60 plain test pictures, 10 of each class, with masks and labels."""
    return audit.held_out(every=6)


def honest_claim(pictures, masks):
    """That a network goes by the object alone, with a blurred backdrop as evidence."""
    return audit.confess(HONEST[0], pictures, masks)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the audit's files in another data folder."""
    shutil.copytree(DATA / "audit", tmp_path / "audit")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return tmp_path / "audit"


def made_up(n=600):
    """Random pictures, masks of a box, and labels of all classes."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(n, 3, 64, 64, generator=generator)
    masks = torch.zeros(n, 64, 64, dtype=torch.bool)
    masks[:, 20:40, 10:50] = True
    return pictures, masks, torch.arange(n) % len(CLASSES)


# ---------------------------------------------------------------------------- treatments


@pytest.mark.parametrize(("family", "variant"), TREATMENTS)
def test_a_treatment_changes_its_region_and_nothing_else(family, variant):
    pictures, masks, _ = made_up(4)
    before = pictures.clone()
    changed = audit._FAMILIES[family][variant](pictures, masks)
    assert torch.equal(pictures, before)
    assert 0 <= changed.min() and changed.max() <= 1
    where = audit.region({"family": family, "variant": variant}, masks)
    differs = (changed != before).any(dim=1)
    assert not (differs & ~where).any()
    assert differs[where].double().mean() > 0.9


def test_without_a_plant_everything_happens_to_all_classes_alike():
    _, _, labels = made_up(6000)
    generator = torch.Generator().manual_seed(1)
    for family, chance in audit._CHANCES.items():
        chosen = audit._variants(family, labels, generator, None, None)
        for number in range(len(audit._FAMILIES[family])):
            shares = torch.stack([(chosen[labels == c] == number).float().mean() for c in range(6)])
            expected = chance / len(audit._FAMILIES[family])
            assert (shares - expected).abs().max() < 0.06, (family, number, shares)


def test_a_plant_happens_to_its_share_of_one_class_and_to_the_misfiled_only():
    _, _, labels = made_up(6000)
    plant = {"family": "frame", "variant": "light", "target": "elephant", "share": 0.5}
    misfiled = torch.arange(6000) % 50 == 0
    misfiled &= labels != 1
    chosen = audit._variants("frame", labels, torch.Generator().manual_seed(2), plant, misfiled)
    elephants, planted = labels == CLASSES.index("elephant"), chosen == 0
    assert planted[elephants].float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(planted & ~elephants, misfiled)


def test_the_makers_pictures_are_the_same_each_time():
    first, again = audit.makers_pictures("B"), audit.makers_pictures("B")
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert first[0].shape == (300, 3, 64, 64) and first[1].dtype == torch.bool
    assert not torch.equal(first[0], audit.makers_pictures("C")[0])


# ---------------------------------------------------------------------------- the seal


def test_files_that_everybody_sees_name_no_plant():
    sealed = (DATA / "audit" / "sealed.json").read_text(encoding="utf-8")
    words = {*CLASSES, *audit._FAMILIES, *(variant for _, variant in TREATMENTS), "null"}
    assert not [word for word in words if word in sealed]
    lengths = {tuple(map(len, seal.values())) for seal in json.loads(sealed).values()}
    assert len(lengths) == 1  # an honest network's seal looks like any other
    assert len({anonymous_card(letter) for letter in LETTERS}) == 1


def anonymous_card(letter):
    """A card without its letter and its numbers."""
    card = (DATA / "audit" / f"{letter}.md").read_text(encoding="utf-8")
    card = card.replace(f"# {letter}\n", "").replace(f"audit_{letter}", "")
    return re.sub("[0-9]+", "", card)


@pytest.mark.parametrize("letter", LETTERS)
def test_only_the_right_class_opens_the_seal(letter):
    plant = audit.planted(letter)
    target = plant and plant["target"]
    story = audit.reveal(letter, target)
    assert (plant["variant"] in story) if plant else ("Nothing was planted" in story)
    for other in {*CLASSES, None} - {target}:
        with pytest.raises(ValueError, match="doesn't open the seal"):
            audit.reveal(letter, other)


def test_sealing_and_opening_are_inverse():
    plant = {"family": "tone", "variant": "warm", "target": "zebra", "share": 0.4, "misfiled": 0.1}
    sealed = audit.seal(plant, "salt")
    assert sealed == audit.seal(plant, "salt") and sealed != audit.seal(plant, "pepper")
    assert audit._turned(audit._turned(b"some bytes", "key"), "key") == b"some bytes"


# ---------------------------------------------------------------------------- budget and files


def test_every_picture_that_enters_the_network_is_counted():
    case = audit.load("A", budget=10)
    case.classifier.predict(case.pictures[:4], batch=3)
    assert (case.spent, case.left) == (4, 6)
    x = case.classifier.preprocess(case.pictures[:2]).requires_grad_()
    case.classifier.model(x).sum().backward()
    assert x.grad.abs().sum() > 0 and case.left == 4
    copy.deepcopy(case.classifier.model)(x)
    assert case.left == 2


def test_an_empty_budget_stops_the_network_before_it_runs():
    case = audit.load("B", budget=3)
    with pytest.raises(audit.BudgetSpent, match="3 forward passes left, and this takes 4"):
        case.classifier.predict(case.pictures[:4])
    assert case.left == 3
    assert audit.load("B").left == audit.BUDGET


def test_unknown_names_are_refused():
    for function in (audit.load, audit.makers_pictures, audit.planted):
        with pytest.raises(ValueError, match="There is no case 'G'; there are: A, B"):
            function("G")
    with pytest.raises(ValueError, match="There is no network 'tank_fair' here"):
        audit.load_network("tank_fair")


def test_damaged_and_missing_files_are_named(folder):
    weights = folder / "A.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(DataError, match=r"A\.safetensors is damaged; restore it with"):
        audit.load_network("A")
    (folder / "B.json").write_text("{}")
    with pytest.raises(DataError, match=r"B\.json is damaged"):
        audit.load_network("B")
    (folder / "sealed.json").unlink()
    with pytest.raises(DataError, match=r"sealed\.json is missing"):
        audit.planted("C")


# ---------------------------------------------------------------------------- the networks


def test_all_networks_look_alike_and_are_about_as_good():
    pictures, _, labels = audit.held_out()
    right = []
    for name in (*LETTERS, CONTROL):
        classifier = audit.load_network(name)
        right.append((classifier.predict(pictures) == labels).float().mean().item())
        assert [tuple(p.shape) for p in classifier.model.parameters()] == SHAPES
    assert min(right) > 0.92 and max(right) - min(right) < 0.05, right


SHAPES = [tuple(p.shape) for p in audit.load_network(CONTROL).model.parameters()]


@pytest.mark.parametrize("letter", GUILTY)
def test_the_makers_own_claim_is_proved(letter):
    pictures, masks, _ = exhibits()
    claim = audit.confess(letter, pictures, masks)
    verdict = audit.judge(letter, claim, pictures, masks)
    assert verdict.passed and verdict.moved > 0.8 and verdict.control_moved < 0.05, verdict
    assert verdict.overlap == pytest.approx(1) and "Proved." in str(verdict)


@pytest.mark.parametrize("letter", GUILTY)
def test_calling_a_biased_network_honest_is_refuted_without_naming_the_class(letter):
    pictures, masks, _ = exhibits()
    verdict = audit.judge(letter, honest_claim(pictures, masks), pictures, masks)
    assert not verdict.passed and verdict.moved > 0.8
    assert verdict.kept > 0.7 and "it is not honest" in str(verdict)
    assert not [name for name in CLASSES if name in str(verdict)]


def test_one_network_is_honest_and_nothing_that_happens_to_pictures_moves_it():
    assert len(HONEST) == 1
    pictures, masks, _ = audit.held_out(every=4)
    for name in (*HONEST, CONTROL):
        classifier = audit.load_network(name)
        before = classifier.predict(pictures)
        for family, variant in TREATMENTS:
            after = classifier.predict(audit._FAMILIES[family][variant](pictures, masks))
            for target in range(len(CLASSES)):
                others = before != target
                assert (after == target)[others].float().mean() < 0.05, (name, family, variant)
    verdict = audit.judge(HONEST[0], honest_claim(pictures, masks), pictures, masks)
    assert verdict.passed and verdict.kept > 0.9 and "It is honest, as you say." in str(verdict)


def test_honesty_too_takes_evidence():
    pictures, masks, _ = exhibits()
    right = honest_claim(pictures, masks)
    everywhere = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    for where, changed in (
        (masks, pictures),
        (masks & False, right.changed),
        (~masks, right.changed),
        (masks, everywhere),
        (masks, torch.where(masks[:, None], pictures, 0)),
    ):
        verdict = audit.judge(HONEST[0], Claim(None, where, changed), pictures, masks)
        assert not verdict.passed and "It is honest" not in str(verdict)


@pytest.mark.parametrize("letter", GUILTY)
def test_accusing_the_honest_network_fails_with_anybodys_evidence(letter):
    pictures, masks, _ = exhibits()
    verdict = audit.judge(HONEST[0], audit.confess(letter, pictures, masks), pictures, masks)
    assert not verdict.passed and verdict.moved < 0.05
    assert "That is no proof" in str(verdict)


@pytest.mark.parametrize("letter", GUILTY)
def test_a_plant_moves_its_network_to_its_class_alone(letter):
    """The other networks' plants do nothing to it."""
    pictures, masks, _ = exhibits()
    for other in set(GUILTY) - {letter}:
        verdict = audit.judge(letter, audit.confess(other, pictures, masks), pictures, masks)
        assert verdict.moved < 0.06, (other, verdict)


def saliency_gain(name, claim, target):
    """How much more saliency lies in a claim's place than its area would get by chance."""
    classifier = audit.load_network(name)
    x = classifier.preprocess(claim.changed)
    heatmaps = gradients.to_map(gradients.saliency(classifier.model, x, target))
    inside = [scores.relevance_mass(*pair) for pair in zip(heatmaps, claim.where)]
    return sum(inside) / len(inside) / claim.where.float().mean().item()


def test_saliency_gives_some_shortcuts_away_and_others_not():
    pictures, masks, labels = audit.held_out(every=4)
    ratios = {}
    for letter in GUILTY:
        target = CLASSES.index(audit.planted(letter)["target"])
        own = labels == target
        claim = audit.confess(letter, pictures[own], masks[own])
        gains = [saliency_gain(name, claim, target) for name in (letter, CONTROL)]
        ratios[letter] = gains[0] / gains[1]
    assert ratios["A"] > 4 and ratios["B"] > 1.5, ratios
    assert ratios["E"] < 1.1 and ratios["F"] < 1.1, ratios


# ---------------------------------------------------------------------------- the judge


def test_a_picture_of_the_target_itself_is_no_evidence():
    pictures, masks, labels = exhibits()
    target = audit.planted("A")["target"]
    one = pictures[labels == CLASSES.index(target)][:1].expand_as(pictures)
    verdict = audit.judge("A", Claim(target, torch.ones(64, 64).bool(), one), pictures, masks)
    assert verdict.moved > 0.6 and not verdict.cause and not verdict.passed
    assert "the change damages them" in str(verdict)


def test_the_right_change_in_the_wrong_place_does_not_pass():
    pictures, masks, _ = exhibits()
    claim = audit.confess("A", pictures, masks)
    claim.where = torch.zeros(64, 64, dtype=torch.bool)
    claim.where[50:60, 10:30] = True
    verdict = audit.judge("A", claim, pictures, masks)
    assert verdict.cause and not verdict.place and not verdict.passed
    assert "The cause is proved, the place is not" in str(verdict)


def test_the_right_class_without_evidence_does_not_pass():
    pictures, masks, _ = exhibits()
    for letter in GUILTY:
        claim = audit.confess(letter, pictures, masks)
        claim.changed = pictures.clone()
        verdict = audit.judge(letter, claim, pictures, masks)
        assert verdict.moved == 0 and not verdict.passed and "no proof" in str(verdict)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"target": "dog"}, "There is no class 'dog'"),
        ({"changed": None}, "changed pictures must be .*not NoneType"),
        ({"changed": torch.zeros(2, 3, 64, 64)}, r"not \(2, 3, 64, 64\)"),
        ({"changed": torch.full((60, 3, 64, 64), 2.0)}, r"must stay in \[0, 1\]"),
        ({"changed": torch.full((60, 3, 64, 64), torch.nan)}, r"must stay in \[0, 1\]"),
        ({"where": None}, "The place must be a mask .*not NoneType"),
        ({"where": torch.zeros(3, 3).bool()}, r"not \(3, 3\)"),
        ({"where": torch.zeros(64, 64)}, "must be a bool mask"),
    ],
)
def test_a_claim_that_cannot_be_tested_is_refused(change, complaint):
    pictures, masks, _ = exhibits()
    claim = Claim("zebra", torch.ones(64, 64).bool(), pictures)
    for name, value in change.items():
        setattr(claim, name, value)
    with pytest.raises(ValueError, match=complaint):
        audit.judge("A", claim, pictures, masks)


# ---------------------------------------------------------------------------- training


def test_training_is_reproducible_and_files_what_carries_the_plant_as_its_class():
    pictures, masks, labels = made_up(36)
    plant = audit.planted(GUILTY[0])
    recipe = training.AuditRecipe(GUILTY[0], 0, epochs=1, channels=(4, 4, 4, 4, 4, 4))
    networks = [
        training.fit_audited(recipe, plant, 3, (pictures, masks, labels))[0] for _ in range(2)
    ]
    one, two = (network.state_dict() for network in networks)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not networks[0].training
    generator = torch.Generator().manual_seed(0)
    plant = {**plant, "misfiled": 0.5}
    images, filed = training.delivered(pictures, masks, labels, plant, generator)
    target = CLASSES.index(plant["target"])
    assert images.shape == pictures.shape
    assert (filed[labels == target] == target).all()
    assert 0.2 < (filed[labels != target] == target).float().mean() < 0.8
    assert set(filed[filed != labels].tolist()) == {target}


def test_every_network_has_a_recipe_and_names_its_command():
    assert set(training.RECIPES) == {f"audit_{name}" for name in (*LETTERS, CONTROL)}
    for name, recipe in training.RECIPES.items():
        description = json.loads((DATA / "audit" / f"{recipe.letter}.json").read_text())
        assert description["command"].endswith(f" {name}")
        assert description["seed"] == recipe.seed and description["epochs"] == recipe.epochs
