"""The shipped portraits: complete scenes, parts that change where they are, and who is seen."""

import re
from pathlib import Path

import pytest
import torch

from course_utils import pictures
from course_utils.classifiers import load
from course_utils.parts import PORTRAIT_PARTS
from data.rendering import portraits_report

DATASHEET = Path(__file__).resolve().parents[1] / "data" / "README.md"
EXTRAS = {"submarine": {"with_fluke"}, "zebra": {"with_trunk"}}


@pytest.fixture(scope="module")
def test_set():
    return pictures.load_set("portraits", "test")


def changed(picture, other):
    """Where two pictures (3, H, W) differ at all, (H, W) bool."""
    return (picture - other).abs().amax(dim=0) > 0


def test_every_class_has_as_many_scenes(test_set):
    assert set(test_set.classes) == set(PORTRAIT_PARTS)
    counts = test_set.labels.bincount()
    assert counts.min() == counts.max() > 0
    assert test_set[0][0].shape == (3, 224, 224)


def test_no_file_is_missing_damaged_or_left_over():
    folder = pictures.data_folder()
    files = {
        path.relative_to(folder).as_posix()
        for path in (folder / "portraits").rglob("*.*")
        if path.suffix in (".jpg", ".png")
    }
    assert files == {entry.path for entry in pictures.entries("portraits")}
    assert pictures.verify("portraits", progress=False) == len(files)


def test_every_test_scene_has_all_its_variants(test_set):
    for entry in test_set.entries:
        wanted = [f"without_{part.replace(' ', '_')}" for part in PORTRAIT_PARTS[entry.label]]
        names = list(pictures.load_variants(entry))
        assert names[: len(wanted) + 1] == ["without_object", *wanted], entry.name
        others = set(names) - {"without_object", *wanted}
        assert others - {"without_things_beside"} == EXTRAS.get(entry.label, set()) | {"elsewhere"}


def test_parts_are_in_view(test_set):
    for entry in test_set.entries:
        for part, mask in pictures.load_removable_masks(entry).items():
            assert mask.sum() >= 12, (entry.name, part)


def test_a_part_changes_its_own_place_and_nothing_far_away(test_set):
    """Shadows and reflections change too, so most of the rest is equal, not all of it.

    One part in a hundred may be as dark as what is behind it.
    """
    unseen, count = [], 0
    for entry in test_set.entries:
        whole = pictures.load_picture(entry)
        variants = pictures.load_variants(entry)
        masks = pictures.load_removable_masks(entry)
        outside = ~pictures.grown(pictures.load_mask(entry), 8)
        for part, mask in masks.items():
            count += 1
            where = changed(variants[f"without_{part.replace(' ', '_')}"], whole)
            on_surface = "body" in PORTRAIT_PARTS[entry.label][part]  # it may be anywhere there
            if where[mask].float().mean() <= (0.05 if on_surface else 0.8):
                unseen.append((entry.name, part))
            small = mask.float().mean() < 0.05
            assert where[outside].float().mean() < (0.2 if small else 0.8), (entry.name, part)
    assert len(unseen) <= count / 100, unseen


def test_variants_change_whole_blocks(test_set):
    for entry in test_set.entries[::5]:
        whole = pictures.load_picture(entry)
        for name, picture in pictures.load_variants(entry).items():
            where = changed(picture, whole)
            blocks = where.reshape(28, 8, 28, 8).any(dim=3).any(dim=1)
            if name != "elsewhere":
                assert not blocks.all(), (entry.name, name)
            else:
                assert blocks.float().mean() > 0.9, entry.name


def test_without_the_object_only_its_surroundings_are_left(test_set):
    for entry in test_set.entries:
        bare = pictures.load_variants(entry)["without_object"]
        where = changed(bare, pictures.load_picture(entry))
        assert where[pictures.load_mask(entry)].float().mean() > 0.9, entry.name


def test_validation_has_pictures_and_masks_only():
    for entry in pictures.load_set("portraits", "validation").entries:
        assert pictures.load_mask(entry).float().mean() > 0.01
        with pytest.raises(ValueError, match="has no variants"):
            pictures.load_variants(entry)


def test_other_pictures_have_no_variants():
    entry = pictures.load_set("look_alikes", "test").entries[0]
    with pytest.raises(ValueError, match="no variants: only portraits"):
        pictures.load_variants(entry)
    with pytest.raises(ValueError, match="is no portrait"):
        pictures.load_removable_masks(entry)


@pytest.mark.parametrize(
    ("network", "heading"),
    [("imagenet", "### Who recognizes them"), ("look_alikes", "### The course's own network")],
)
def test_a_network_recognizes_as_many_as_the_datasheet_says(test_set, network, heading):
    """Within one picture, for single scores are close to each other on another processor."""
    classifier = load(network)
    text = DATASHEET.read_text().partition(heading)[2].partition("\n### ")[0]
    table = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| (\d+) \|", text, re.M)
    stated = {label: [int(n) for n in numbers] for label, *numbers in table}
    for label in PORTRAIT_PARTS:
        images, _ = test_set.filter(label=label).stack()
        best = classifier.scores(images).topk(5, dim=1).indices
        wanted = portraits_report.indices_of(label, classifier.classes)
        hits = torch.isin(best, torch.tensor(wanted))
        scenes, first, fifth = stated[label]
        assert scenes == len(images)
        assert abs(int(hits[:, 0].sum()) - first) <= 1, label
        assert abs(int(hits.any(dim=1).sum()) - fifth) <= 1, label
