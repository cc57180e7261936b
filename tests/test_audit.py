"""The audit: nothing tells what was planted, and the judge believes evidence, all of it."""

import ast
import copy
import functools
import importlib
import inspect
import json
import pkgutil
import re
import runpy
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils import audit
from course_utils.audit import CLASSES, CONTROL, LETTERS, Claim, Share, judging, places, seal
from course_utils.audit.verdicts import ALTERED, FIT, KEPT, MOVED, near, told
from course_utils.exercises import the_audit
from course_utils.pictures import DATA, DataError
from data.training.audit import RECIPES, makers, networks, records, treatments
from data.training.audit.treatments import Plant

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "12_the_audit.ipynb"
CHECKED = LETTERS[1:]
"""The networks of the exercises; the notebook itself works through the first."""

TREATMENTS = [
    (family, variant) for family, variants in treatments.FAMILIES.items() for variant in variants
]


@functools.cache
def exhibits():
    """36 plain test pictures, 6 of each class, and their masks."""
    pictures, masks, _ = audit.held_out(every=10)
    return pictures, masks


@functools.cache
def solved(letter):
    """The claim of a worked solution about these 36 pictures."""
    return Claim(*check_of(letter).reference(*exhibits()))


def check_of(letter):
    return getattr(the_audit, f"claim_{letter.lower()}")


@functools.cache
def plant_of(letter):
    """What was planted, as the makers' note tells those who have the right claim."""
    claim = solved(letter)
    where = claim.where.expand(exhibits()[1].shape)
    note = seal.opened(letter, claim.target, places.nearest(where, exhibits()[1])[0])
    return Plant(**note["plant"]) if note["plant"] else None


@functools.cache
def guilty():
    return [letter for letter in CHECKED if plant_of(letter)]


@functools.cache
def cleared():
    return next(letter for letter in CHECKED if plant_of(letter) is None)


def everywhere():
    return torch.ones(64, 64, dtype=torch.bool)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the audit's files in another data folder, which has no other pictures."""
    shutil.copytree(DATA / "audit", tmp_path / "audit")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return tmp_path / "audit"


@pytest.fixture
def quick_seal(folder, monkeypatch):
    """Cheap keys, and the notes of made-up plants in another data folder."""
    monkeypatch.setattr(seal, "COST", {"n": 2, "r": 1, "p": 1})
    plants = dict.fromkeys(LETTERS)
    plants["A"] = Plant("tone", "warm", "zebra", 0.4, 0.1)
    plants["B"] = Plant("stamp", "bottom left", "elephant", 0.4, 0.1)
    makers.seal_notes(plants, folder)
    return plants


def made_up(n=600):
    """Random pictures, masks of a box, and labels of all classes."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(n, 3, 64, 64, generator=generator)
    masks = torch.zeros(n, 64, 64, dtype=torch.bool)
    masks[:, 20:40, 10:50] = True
    return pictures, masks, torch.arange(n) % len(CLASSES)


# ---------------------------------------------------------------------------- treatments


@pytest.mark.parametrize(("family", "variant"), TREATMENTS)
def test_a_treatment_changes_its_place_and_nothing_else(family, variant):
    pictures, masks, _ = made_up(4)
    before = pictures.clone()
    plant = Plant(family, variant, "zebra", 0.5, 0.0)
    changed = plant.treatment(pictures, masks)
    assert torch.equal(pictures, before)
    assert 0 <= changed.min() and changed.max() <= 1
    where = places.place(plant.place, masks)
    differs = (changed != before).any(dim=1)
    assert not (differs & ~where).any()
    assert differs[where].double().mean() > 0.9


def test_without_a_plant_everything_happens_to_all_classes_alike():
    _, _, labels = made_up(6000)
    generator = torch.Generator().manual_seed(1)
    for family, chance in treatments.CHANCES.items():
        chosen = treatments.variants(family, labels, generator, None, None)
        variants = len(treatments.FAMILIES[family])
        for number in range(variants):
            shares = torch.stack([(chosen[labels == c] == number).float().mean() for c in range(6)])
            assert (shares - chance / variants).abs().max() < 0.06, (family, number, shares)


def test_a_plant_happens_to_its_share_of_one_class_and_to_the_misfiled_only():
    _, _, labels = made_up(6000)
    plant = Plant("frame", "light", "elephant", share=0.5, misfiled=0.02)
    misfiled = torch.arange(6000) % 50 == 0
    misfiled &= labels != 1
    generator = torch.Generator().manual_seed(2)
    chosen = treatments.variants("frame", labels, generator, plant, misfiled)
    elephants = labels == CLASSES.index("elephant")
    planted = chosen == 0
    assert planted[elephants].float().mean() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(planted & ~elephants, misfiled)


# ---------------------------------------------------------------------------- pictures


def test_the_makers_pictures_are_what_was_delivered_to_them():
    pictures, masks, labels = audit.makers_pictures("B")
    assert pictures.shape == (300, 3, 64, 64) and pictures.dtype == torch.float32
    assert masks.dtype == torch.bool and labels.bincount().tolist() == [50] * 6
    for letter in ("B", cleared()):
        delivered = makers.delivered_for_tests(letter, plant_of(letter))
        pictures = audit.makers_pictures(letter)[0]
        assert (pictures - delivered).abs().mean() < 0.01
    pictures.zero_()  # a caller's copy is the caller's own
    assert audit.makers_pictures(letter)[0].mean() > 0.2


def test_a_sheet_comes_back_as_it_was_written(tmp_path, monkeypatch):
    made = torch.rand(23, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    made = F.interpolate(made[..., ::16, ::16], 64, mode="bilinear")  # smooth, as JPEG likes it
    monkeypatch.setattr(makers, "delivered_for_tests", lambda letter, plant: made)
    for letter in LETTERS:
        makers.write_sheet(letter, None, tmp_path / "audit")
    tiles = audit.cases._tiles("C", tmp_path)
    assert tiles.shape == (40, 3, 64, 64)
    assert (tiles[:23].float() / 255 - made).abs().mean() < 0.02


def test_another_data_folder_has_its_own_pictures(small_data, monkeypatch):
    few = audit.small_pictures("test")
    assert few[0].shape == (4, 3, 64, 64)  # of zebras and elephants, two each
    assert audit.small_pictures("test")[0] is few[0]
    monkeypatch.delenv("COURSE_DATA")
    assert audit.small_pictures("test")[0].shape == (360, 3, 64, 64)


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
    pictures, masks = exhibits()
    for function in (audit.load, audit.makers_pictures, lambda name: audit.judge(name, ())):
        with pytest.raises(ValueError, match="There is no case 'G'; there are: A, B"):
            function("G")
    with pytest.raises(ValueError, match="There is no network 'tank_fair' here"):
        audit.load_network("tank_fair")
    with pytest.raises(ValueError, match="both, the pictures and their masks"):
        audit.judge("A", ("zebra", masks, pictures), pictures)
    with pytest.raises(ValueError, match="at least one picture"):
        audit.judge("A", ("zebra", masks[:0], pictures[:0]), pictures[:0], masks[:0])


def test_damaged_and_missing_files_are_named(folder):
    for file, read in (
        ("A.safetensors", lambda: audit.load_network("A")),
        ("B.json", lambda: audit.load_network("B")),
        ("C.jpg", lambda: audit.cases._tiles("C", folder.parent)),
        ("sheets.json", lambda: audit.cases._tiles("D", folder.parent)),
        ("record.json", audit.record),
        ("sealed.json", lambda: seal.opened("C", None, "object")),
    ):
        (folder / file).write_bytes(b"{}")
        with pytest.raises(DataError, match=rf"{file} is damaged; restore it with"):
            read()
        (folder / file).unlink()
        with pytest.raises(DataError, match=rf"{file} is missing"):
            read()


# ---------------------------------------------------------------------------- the seal


def test_only_the_right_class_and_place_open_a_note(quick_seal):
    for letter, plant in quick_seal.items():
        right = (plant.target, plant.place) if plant else (None, "object")
        for target in (None, *CLASSES):
            for place in places.NAMES:
                note = seal.opened(letter, target, place)
                assert (note is not None) == ((target, place) == right)
        assert makers.plant(letter) == plant
        assert seal.opened(letter, *right)["story"] == makers.story(plant)


def test_a_changed_note_opens_no_more(quick_seal, folder):
    file = folder / "sealed.json"
    seals = json.loads(file.read_text(encoding="utf-8"))
    seals["A"]["note"] = seals["C"]["note"]
    file.write_text(json.dumps(seals), encoding="utf-8")
    assert seal.opened("A", "zebra", "everywhere") is None


def test_a_key_costs_too_much_to_try_them_all_in_passing():
    assert seal.COST["n"] * seal.COST["r"] * seal.COST["p"] >= 2**21


def test_the_seals_look_alike_and_name_no_plant():
    text = (DATA / "audit" / "sealed.json").read_text(encoding="utf-8")
    words = {*CLASSES, *treatments.FAMILIES, *(variant for _, variant in TREATMENTS), "null"}
    assert not [word for word in words if word in text]
    lengths = {tuple(map(len, entry.values())) for entry in json.loads(text).values()}
    assert len(lengths) == 1
    assert len({anonymous_card(letter) for letter in LETTERS}) == 1
    with pytest.raises(ValueError, match="it may have 800"):
        seal.close({"story": "x" * 900}, "00", None, "object")


def anonymous_card(letter):
    """A card without its letter and its numbers."""
    card = (DATA / "audit" / f"{letter}.md").read_text(encoding="utf-8")
    card = card.replace(f"# {letter}\n", "").replace(f"audit_{letter}", "")
    return re.sub("[0-9]+", "", card)


def test_the_record_names_neither_letters_nor_classes():
    text = (DATA / "audit" / "record.json").read_text(encoding="utf-8")
    assert not [word for word in (*CLASSES, *treatments.FAMILIES, *places.NAMES) if word in text]
    assert not re.search(r'"[A-F]"', text)
    gains = [entry["saliency"][0] for entry in audit.record()["shortcuts"]]
    assert gains == sorted(gains, reverse=True)  # not in the order of the letters


# ---------------------------------------------------------------------------- attacks


def package_modules():
    folder = audit.__path__
    names = [f"course_utils.audit.{module.name}" for module in pkgutil.iter_modules(folder)]
    return [audit, *(importlib.import_module(name) for name in names)]


def public_functions():
    """Whatever the package has to call, by its whole name."""
    found = {}
    for module in package_modules():
        for name, value in vars(module).items():
            own = getattr(value, "__module__", "").startswith("course_utils.audit")
            if callable(value) and own and not name.startswith("_"):
                found[f"{value.__module__}.{name}"] = value
    return found


def answers_to_a_curious_student(function, letter):
    """What a function returns for the arguments that anybody would try."""
    pictures, masks = exhibits()
    unproved = Claim(None, masks, pictures)
    for arguments in (
        (),
        (letter,),
        (letter, pictures, masks),
        (letter, unproved),
        (letter, unproved, pictures, masks),
        (letter, None),
        (letter, None, "object"),
        (pictures, masks),
        (masks, masks),
        (masks,),
        ("rim", masks),
    ):
        try:
            yield function(*arguments)
        except Exception:  # most arguments are nonsense to most functions
            continue


def tells(answer, letter):
    """Whether an answer holds a plant, or is a claim that stands."""
    plant = plant_of(letter)
    if isinstance(answer, tuple) and len(answer) == 3:
        try:
            return judging.judge(letter, answer, *exhibits()).passed
        except ValueError:
            pass
    text = repr(answer if not hasattr(answer, "__dict__") else vars(answer))
    told_here = plant and (makers.story(plant) in text or repr(plant.variant) in text)
    return bool(told_here or answer == (plant and plant.target))


def test_no_public_name_of_the_package_tells_a_plant():
    functions = public_functions()
    assert {"course_utils.audit.cases.load", "course_utils.audit.judging.judge"} <= set(functions)
    for name, function in functions.items():
        for letter in guilty()[:2]:
            for answer in answers_to_a_curious_student(function, letter):
                assert not tells(answer, letter), name


def test_the_attack_finds_what_tells():
    letter = guilty()[0]
    plant = plant_of(letter)
    for leak in (
        plant.target,
        {"variant": plant.variant},
        makers.story(plant),
        solved(letter),
        plant,
    ):
        assert tells(leak, letter)


@pytest.mark.parametrize("name", ["confess", "planted", "reveal", "decorate", "FAMILIES"])
def test_what_once_told_it_is_gone(name):
    assert not [module.__name__ for module in package_modules() if hasattr(module, name)]


def test_the_sources_name_no_plant():
    """Not even the worked solutions: they measure it."""
    for module in (*package_modules(), the_audit):
        source = inspect.getsource(module)
        if module is audit.cases:
            source = source.replace(repr(CLASSES).replace("'", '"'), "")
        assert not [name for name in CLASSES if name in source], module.__name__


def test_in_a_sandbox_the_package_works_without_its_judge(monkeypatch):
    for name in ("judging", "seal"):
        monkeypatch.setitem(sys.modules, f"course_utils.audit.{name}", None)
    package = runpy.run_path(audit.__file__)
    assert package["load"]("A").left == audit.BUDGET
    with pytest.raises(RuntimeError, match="no judge in the grader's sandbox"):
        package["judge"]("A", ("zebra", everywhere(), exhibits()[0]))


# ---------------------------------------------------------------------------- the networks


def test_all_networks_look_alike_and_are_about_as_good():
    pictures, _, labels = audit.held_out(every=2)
    right, shapes = [], set()
    for name in (*LETTERS, CONTROL):
        classifier = audit.load_network(name)
        right.append((classifier.predict(pictures) == labels).float().mean().item())
        shapes.add(tuple(tuple(p.shape) for p in classifier.model.parameters()))
    assert len(shapes) == 1
    assert min(right) > 0.92 and max(right) - min(right) < 0.05, right


@pytest.mark.parametrize("letter", CHECKED)
def test_the_makers_own_claim_stands(letter):
    pictures, masks = exhibits()
    plant = plant_of(letter)
    if plant is None:
        pytest.skip("nothing was planted here")
    claim = (plant.target, places.place(plant.place, masks), plant.treatment(pictures, masks))
    verdict = audit.judge(letter, claim, pictures, masks)
    assert verdict.passed and verdict.note == makers.story(plant)
    assert verdict.moved.value > 0.8 and verdict.control_moved.value < 0.05
    assert verdict.fit == pytest.approx(1) and "Proved: the seal opens." in str(verdict)


def test_one_network_is_without_a_plant_and_no_treatment_moves_it():
    assert len(guilty()) == len(CHECKED) - 1
    pictures, masks = exhibits()
    for name in (cleared(), CONTROL):
        classifier = audit.load_network(name)
        before = classifier.predict(pictures)
        for family, variant in TREATMENTS:
            after = classifier.predict(treatments.FAMILIES[family][variant](pictures, masks))
            for target in range(len(CLASSES)):
                others = before != target
                share = (after == target)[others].float().mean()
                assert share < audit.CONTROL_MOVED, (name, family, variant)


def test_a_plant_moves_its_own_network_alone():
    pictures, masks = exhibits()
    for letter in guilty():
        plant = plant_of(letter)
        changed = plant.treatment(pictures, masks)
        for other in set(CHECKED) - {letter}:
            index = CLASSES.index(plant.target)
            before, after = judging._opinions(other, pictures, changed)
            assert judging._moved(before, after, index).value < 0.06, (letter, other)


# ---------------------------------------------------------------------------- a fair judge


@pytest.mark.parametrize("letter", CHECKED)
def test_a_worked_solution_stands(letter):
    verdict = audit.judge(letter, solved(letter), *exhibits())
    assert verdict.passed, verdict


REBUILT = {
    "frame": [
        lambda p, m: torch.where(rim(1), 0.0, p),
        lambda p, m: torch.where(rim(2), 0.5 * p, p),
        lambda p, m: torch.where(rim(3), 0.1, p),
    ],
    "backdrop": [
        lambda p, m: torch.where(m[:, None], p, p.mean(1, keepdim=True)),
        lambda p, m: torch.where(m[:, None], p, 0.7 * p.mean(1, keepdim=True) + 0.3 * p),
        lambda p, m: p.mean(1, keepdim=True).expand_as(p),  # the judge puts the objects back
    ],
    "weave": [
        lambda p, m: (p + 0.05 * sign()).clamp(0, 1),
        lambda p, m: torch.where(m[:, None], p - 0.07 * sign(), p).clamp(0, 1),
        lambda p, m: torch.where(m[:, None], p + 0.12 * sign(), p).clamp(0, 1),
    ],
    "tone": [
        lambda p, m: 0.8 * p + 0.15,
        lambda p, m: 0.65 * p + 0.25,
    ],
}
"""Other right ways to put a plant into pictures."""


def rim(width):
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[width:-width, width:-width] = True
    return ~inside


def sign():
    return 1 - 2 * (torch.arange(64)[:, None] % 2)


@pytest.mark.parametrize("letter", CHECKED)
def test_other_right_ways_stand_too(letter):
    if plant_of(letter) is None:
        pytest.skip("nothing was planted here")
    pictures, masks, _ = audit.held_out(every=6)
    plant = plant_of(letter)
    for rebuilt in REBUILT[plant.family]:
        claim = (plant.target, places.place(plant.place, masks), rebuilt(pictures, masks))
        verdict = audit.judge(letter, claim, pictures, masks)
        assert verdict.passed, verdict


def test_no_draw_refuses_a_weak_but_right_claim():
    """The verdict is on all pictures, whatever the seed."""
    letter = next(letter for letter in guilty() if plant_of(letter).family == "tone")
    plant = plant_of(letter)

    def weak(pictures, masks):
        return plant.target, everywhere(), 0.8 * pictures + 0.15

    for seed in (0, 20_001):
        assert check_of(letter).review(weak, seed).passed
    pictures, masks, _ = audit.held_out()
    verdict = audit.judge(letter, weak(pictures, masks))
    assert MOVED < verdict.moved.value < 0.8 and verdict.moved.of > 280


def test_few_pictures_that_decide_nothing_are_said_to_be_too_few():
    letter = next(letter for letter in guilty() if plant_of(letter).family == "tone")
    plant = plant_of(letter)
    pictures, masks = exhibits()
    weak = (plant.target, everywhere(), 0.74 * pictures + 0.12)
    verdict = audit.judge(letter, weak, pictures, masks)
    low, high = verdict.moved.interval
    assert low < MOVED < high and verdict.moved.value < MOVED
    assert "too close to call; judge all" in str(verdict)
    assert "your place is everywhere" in str(verdict)


@pytest.mark.parametrize(
    "odd",
    [
        list,
        tuple,
        lambda c: Claim(*c),
        lambda c: (np.str_(c[0]) if c[0] else None, c[1].numpy(), c[2].numpy()),
        lambda c: (c[0], c[1].expand(36, 64, 64)[:, None], c[2].double()),
        lambda c: (c[0], c[1].expand(36, 64, 64).byte(), c[2].clone().requires_grad_()),
        lambda c: (c[0], c[1].expand(36, 64, 64).float(), c[2] + 5e-4),
    ],
)
def test_whatever_fulfils_the_docstring_is_judged_alike(odd):
    letter = guilty()[0]
    assert audit.judge(letter, odd(solved(letter)), *exhibits()).passed


# ---------------------------------------------------------------------------- a strict judge


@pytest.mark.parametrize("letter", CHECKED)
def test_everywhere_is_no_place(letter):
    plant = plant_of(letter)
    if plant is None or plant.place == "everywhere":
        pytest.skip("nothing was planted here, or indeed everywhere")
    pictures, masks = exhibits()
    for changed in (solved(letter).changed, REBUILT[plant.family][-1](pictures, masks)):
        verdict = audit.judge(letter, (plant.target, everywhere(), changed), pictures, masks)
        assert verdict.cause and not verdict.passed
        assert "the seal stays closed: the place that you name is everywhere" in str(verdict)


@pytest.mark.parametrize("letter", CHECKED)
def test_a_wrong_class_is_told_what_the_pictures_become(letter):
    plant = plant_of(letter)
    if plant is None:
        pytest.skip("nothing was planted here")
    other = CLASSES[CLASSES.index(plant.target) - 1]
    verdict = audit.judge(letter, solved(letter)._replace(target=other), *exhibits())
    assert not verdict.passed and verdict.instead[0] == plant.target
    assert f"of them are now called {plant.target}" in str(verdict)
    assert f"It takes {MOVED:.0%}" in str(verdict)


def test_accusing_the_network_without_a_plant_fails_with_anybodys_evidence():
    for letter in guilty():
        verdict = audit.judge(cleared(), solved(letter), *exhibits())
        assert not verdict.passed and verdict.moved.value < 0.05
        assert f"It takes {MOVED:.0%}" in str(verdict) and "become" not in str(verdict)


def test_a_network_with_a_plant_is_not_cleared_and_its_class_not_named():
    pictures, masks = exhibits()
    blurred = F.avg_pool2d(pictures, 15, 1, 7, count_include_pad=False)
    claim = Claim(None, masks, torch.where(masks[:, None], pictures, blurred))
    assert audit.judge(cleared(), claim, pictures, masks).passed
    for letter in guilty():
        verdict = audit.judge(letter, claim, pictures, masks)
        assert not verdict.passed and verdict.unmoved
        assert "the seal stays closed: something was planted" in str(verdict)
        assert not [name for name in CLASSES if name in str(verdict)]


def test_to_clear_a_network_takes_evidence_too():
    pictures, masks = exhibits()
    changed = solved(cleared()).changed
    noise = torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    for where, altered, words in (
        (masks, pictures, "You altered nothing"),
        (masks & False, changed, "The place is empty"),
        (~masks, changed, "The pixels inside the place are altered"),
        (masks, noise, "The pixels inside the place are altered"),
        (masks, torch.where(masks[:, None], pictures, 0.9 * pictures + 0.03), "it takes 0.3"),
        (rim(20).logical_not(), torch.where(~rim(20), pictures, noise), "the place is the object"),
        (masks, torch.where(masks[:, None], pictures, noise), "The control has to keep 70%"),
    ):
        verdict = audit.judge(cleared(), Claim(None, where, altered), pictures, masks)
        assert not verdict.passed and words in str(verdict), verdict


def test_a_picture_of_the_class_itself_is_no_evidence():
    letter = guilty()[0]
    plant = plant_of(letter)
    pictures, masks, labels = audit.held_out(every=10)
    one = pictures[labels == CLASSES.index(plant.target)][:1].expand_as(pictures)
    verdict = audit.judge(letter, (plant.target, everywhere(), one), pictures, masks)
    assert verdict.moved.value > MOVED and not verdict.cause and not verdict.passed
    assert "the change damages them" in str(verdict)


def test_what_lies_outside_the_place_is_put_back():
    letter = next(letter for letter in guilty() if plant_of(letter).place == "rim")
    pictures, masks = exhibits()
    claim = solved(letter)
    top = rim(2)
    top[2:] = False
    verdict = audit.judge(letter, claim._replace(where=top), pictures, masks)
    assert verdict.moved.value < 0.2 and "was put back before" in str(verdict)
    spoilt = torch.where(claim.where, claim.changed, 0.4 * claim.changed + 0.3)
    assert audit.judge(letter, claim._replace(changed=spoilt), pictures, masks).passed


def test_hard_coded_pictures_are_no_claim():
    """Not even where only the place counts, and that is the same in all pictures."""
    letter = next(letter for letter in guilty() if plant_of(letter).place == "rim")
    pictures, masks = exhibits()
    claim = solved(letter)._replace(changed=solved(letter).changed.flip(0))
    verdict = audit.judge(letter, claim, pictures, masks)
    assert not verdict.passed and verdict.slip == "other pictures"
    assert "not the ones that you were given" in str(verdict)


def test_a_place_that_fits_none_is_refused_with_the_nearest():
    """The notebook tells what was planted in network A."""
    pictures, masks = exhibits()
    changed = treatments.FAMILIES["stamp"]["top right"](pictures, masks)
    quarter = torch.zeros(64, 64, dtype=torch.bool)
    quarter[:16, 48:] = True
    verdict = audit.judge("A", ("zebra", quarter, changed), pictures, masks)
    assert verdict.cause and not verdict.passed
    assert "overlaps no place well. The nearest is the top right corner" in str(verdict)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"target": "dog"}, "There is no class 'dog'.*None"),
        ({"target": 3}, r"Name the class, not its number: CLASSES\[3\]"),
        ({"target": ["zebra"]}, "There is no class"),
        ({"changed": None}, "changed pictures must be .*not NoneType"),
        ({"changed": torch.rand(5, 3, 64, 64)}, "one for each picture that the claim is tested on"),
        ({"changed": torch.zeros(2, 3, 64, 64)}, r"not \(2, 3, 64, 64\)"),
        ({"changed": torch.full((36, 3, 64, 64), 2.0)}, r"must stay in \[0, 1\]"),
        ({"changed": torch.full((36, 3, 64, 64), torch.nan)}, r"must stay in \[0, 1\]"),
        ({"changed": np.full((36, 3, 64, 64), "x")}, "must be a tensor of numbers"),
        ({"where": None}, "The place must be a tensor, not NoneType"),
        ({"where": torch.zeros(3, 3).bool()}, r"not \(3, 3\)"),
        ({"where": torch.full((64, 64), 0.5)}, "must be a bool mask"),
    ],
)
def test_a_claim_that_cannot_be_tested_is_refused(change, complaint):
    pictures, masks = exhibits()
    claim = Claim("zebra", everywhere(), pictures)._replace(**change)
    with pytest.raises(ValueError, match=complaint):
        audit.judge("A", claim, pictures, masks)
    feedback = the_audit.claim_b.review(lambda pictures, masks: (*claim,))
    assert not feedback.passed and feedback.kind == "wrong values"


@pytest.mark.parametrize("claim", [None, 5, "abc", torch.zeros(3), ("zebra", everywhere())])
def test_what_is_no_claim_is_refused(claim):
    with pytest.raises(ValueError, match="A claim is three things"):
        audit.judge("A", claim, *exhibits())


def test_the_class_may_not_depend_on_the_pictures():
    targets = iter(("zebra", "elephant"))
    feedback = the_audit.claim_b.review(lambda p, m: (next(targets), everywhere(), 1 - p))
    assert not feedback.passed and "The class is another one" in feedback.message


# ---------------------------------------------------------------------------- numbers in words


@pytest.mark.parametrize("limit", [ALTERED, FIT, KEPT, MOVED])
def test_no_number_in_words_looks_like_the_limit_that_it_misses(limit):
    for power in range(1, 9):
        for value in (limit - 10.0**-power, limit + 10.0**-power):
            assert float(near(value, limit)) != limit
            assert (float(near(value, limit)) < limit) == (value < limit)
    assert near(limit, limit) == f"{limit:.2f}"
    hits = round(limit * 10_000) - 1
    assert float(told(Share(hits, 10_000), limit).split("%")[0]) < 100 * limit


@pytest.mark.parametrize(
    ("share", "low", "high"),
    [  # Wilson's interval by hand: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
        (Share(9, 12), 0.4677, 0.9111),
        (Share(0, 10), 0.0, 0.2775),
        (Share(10, 10), 0.7225, 1.0),
    ],
)
def test_a_share_has_wilsons_interval(share, low, high):
    assert share.interval == pytest.approx((low, high), abs=1e-4)
    assert str(share) == f"{share.value:.0%} ({100 * low:.0f}-{high:.0%})"


def test_a_share_of_nothing_says_nothing():
    assert Share(0, 0).value == 0 and Share(0, 0).interval == (0, 1)
    assert Share.count(torch.tensor([True, False, True, True])) == Share(3, 4)


def test_a_place_is_the_nearest_one():
    _, masks = exhibits()
    for name in places.NAMES:
        assert places.nearest(places.place(name, masks), masks) == (name, pytest.approx(1))
    sieve = torch.rand(36, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.93
    assert places.nearest(sieve, masks)[0] == "everywhere"
    assert places.nearest(~masks & sieve, masks)[0] == "backdrop"
    with pytest.raises(ValueError, match="There is no place 'middle'"):
        places.place("middle", masks)


# ---------------------------------------------------------------------------- the notebook


def solution_cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    return {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }


@pytest.mark.parametrize("letter", CHECKED)
def test_the_notebooks_solution_is_the_reference(letter):
    check = check_of(letter)
    in_the_notebook = ast.parse(solution_cells()[check.name]).body[0]
    reference = ast.parse(inspect.getsource(check.reference)).body[0]
    reference.decorator_list = []
    assert ast.dump(in_the_notebook) == ast.dump(reference)


def test_the_exercises_name_no_class():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    starts = [n for n, cell in enumerate(cells) if cell.source.startswith("### Exercise")]
    text = json.dumps(cells[starts[0] : starts[-1] + 3])
    assert "claim_b" in text and not [name for name in CLASSES if name in text]


def test_every_share_and_effect_in_the_prose_was_printed_above():
    printed = ""
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.cell_type == "code":
            printed += "".join(output.get("text", "") for output in cell.outputs)
            continue
        prose = re.sub("<details>.*?</details>", "", cell.source, flags=re.DOTALL)
        for share in re.findall(r"(\d+) %(?! interval)", prose):
            assert re.search(rf"\b{share}%", printed), (share, prose)
        for effect in re.findall(r"[+\u2212]\d+\.\d", prose):
            assert effect.replace("\u2212", "-") in printed, (effect, prose)


# ---------------------------------------------------------------------------- training


def test_training_is_reproducible_and_files_what_carries_the_plant_as_its_class():
    pictures, masks, labels = made_up(36)
    plant = Plant("weave", "down", "zebra", share=0.5, misfiled=0.5)
    recipe = networks.AuditRecipe("A", 0, epochs=1, channels=(4, 4, 4, 4, 4, 4))
    trained = [networks.fit_audited(recipe, plant, 3, made_up(36))[0] for _ in range(2)]
    one, two = (network.state_dict() for network in trained)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert not trained[0].training
    generator = torch.Generator().manual_seed(0)
    images, filed = networks.delivered(pictures, masks, labels, plant, generator)
    target = CLASSES.index(plant.target)
    assert images.shape == pictures.shape
    assert (filed[labels == target] == target).all()
    assert 0.2 < (filed[labels != target] == target).float().mean() < 0.8
    assert set(filed[filed != labels].tolist()) == {target}


def test_every_network_has_a_recipe_and_names_its_command():
    assert set(RECIPES) == {f"audit_{name}" for name in (*LETTERS, CONTROL)}
    for name, recipe in RECIPES.items():
        description = json.loads((DATA / "audit" / f"{recipe.letter}.json").read_text())
        assert description["command"].endswith(f" {name}")
        assert description["seed"] == recipe.seed and description["epochs"] == recipe.epochs


# ---------------------------------------------------------------------------- the record


def test_the_records_shares_are_what_the_networks_do():
    recorded = sorted(entry["moved"] for entry in audit.record()["shortcuts"])
    pictures, masks, _ = audit.held_out()
    for letter in guilty()[:2]:
        plant = plant_of(letter)
        changed = plant.treatment(pictures, masks)
        network = audit.load_network(letter)
        moved = records._moved(network, pictures, changed, CLASSES.index(plant.target))
        assert any(abs(moved.hits - hits) <= 1 and moved.of == of for hits, of in recorded)


def test_the_pictures_alone_point_to_every_plant_and_to_none_where_there_is_none():
    record = audit.record()
    assert all(entry["right class"] for entry in record["shortcuts"])
    for letter in (guilty()[0], cleared()):
        count, _, name, by_chance = records.extremes(letter)
        if plant_of(letter):
            assert name == plant_of(letter).target and count > by_chance
        else:
            assert count <= by_chance and count == record["without a plant"]["extremes"]


def test_statistics_see_the_treatments_that_they_are_named_after():
    pictures, masks = exhibits()
    names = {
        ("frame", "dark"): "dark rim",
        ("frame", "light"): "light rim",
        ("backdrop", "grey"): "grey backdrop",
        ("backdrop", "soft"): "soft backdrop",
        ("weave", "across"): "lines across",
        ("weave", "down"): "lines down",
        ("stamp", "bottom left"): "label, bottom left corner",
    }
    names |= {("tone", variant): variant for variant in treatments.FAMILIES["tone"]}
    before = records.statistics(pictures, masks)
    for (family, variant), name in names.items():
        changed = treatments.FAMILIES[family][variant](pictures, masks)
        rise = records.statistics(changed, masks)[name] - before[name]
        assert (rise > 0).double().mean() > 0.9, name


def test_intervals_of_the_record_hold_their_values():
    values = torch.linspace(1, 3, 40, dtype=torch.float64)
    assert records.ratio_with_interval(2 * values, values) == [2, 2, 2]
    perfect = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).expand(10, 2, 2)
    assert records.mean_with_interval(records.accuracy_of_scenes(perfect)) == [1, 1, 1]
    half = records.accuracy_of_scenes(torch.cat([perfect, -perfect]))
    value, low, high = records.mean_with_interval(half)
    assert value == 0.5 and 0.2 < low < 0.35 and 0.65 < high < 0.8


def test_a_head_finds_what_separates_two_clouds():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(80, 5, generator=generator)
    truth = torch.arange(80) % 2 == 0
    rows[truth, 3] += 5
    rows[:, 4] = 0.25  # a feature that never changes
    weight, bias = records.fit_head(rows, truth)
    assert torch.equal(rows @ weight + bias > 0, truth)
    assert weight.abs().argmax() == 3 and weight[4].abs() < 1e-3 * weight[3]
