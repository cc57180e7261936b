"""The training code: augmentation, folded batch norm, and the loop itself on a toy task."""

import pytest
import torch
from torch import nn

from course_utils.classifiers import SHIPPED, Classifier, PlainNet
from data.training import augment, fit, head, measure
from data.training.recipes import HEAD_RECIPES, RECIPES


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch():
    return torch.rand(6, 3, 40, 40, generator=generator(1))


@pytest.mark.parametrize("change", [augment.shift_and_flip, augment.recolour, augment.soften])
def test_a_change_keeps_shape_and_range_and_repeats_with_its_seed(batch, change):
    before = batch.clone()
    first, again, other = (change(batch, generator(seed)) for seed in (0, 0, 1))
    assert first.shape == batch.shape
    assert first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(batch, before)


def test_shift_and_flip_only_moves_pixels(batch):
    constant = torch.full_like(batch, 0.3)
    assert torch.equal(augment.shift_and_flip(constant, generator()), constant)


def test_erase_covers_rectangles_and_leaves_the_rest(batch):
    erased = augment.erase(batch, generator(), most=3, smallest=8, largest=12)
    changed = (erased != batch).any(1).float().mean((1, 2))
    assert (changed > 0).any()
    assert (changed < 3 * 12 * 12 / 1600 + 1e-6).all()


def test_folding_batch_norm_changes_nothing():
    features = fit.with_batch_norm(PlainNet(2, size=32).features)
    x = torch.randn(8, 3, 32, 32, generator=generator())
    for _ in range(5):
        features(x)  # moves the running means away from their start
    features.eval()
    with torch.no_grad():
        folded = fit.fold_batch_norm(features)
        assert torch.allclose(folded(x), features(x), atol=1e-4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert list(dict(folded.named_children())) == list(
        dict(PlainNet(2, size=32).features.named_children())
    )


def bright_and_dark(count):
    labels = torch.arange(count) % 2
    noise = torch.rand(count, 3, 32, 32, generator=generator(3)) * 100
    return (noise + 120 * labels[:, None, None, None]).byte(), labels


def test_fit_learns_a_toy_task_and_repeats_with_its_seed():
    pictures, labels = bright_and_dark(64)
    schedule = fit.Schedule(epochs=10, erasing=True, batch=16, dropout=0.0)
    model = PlainNet(2, channels=(4, 4, 8, 8, 8, 8), size=32)
    before = model.head.weight.clone()

    def trained():
        return fit.fit(model, pictures, labels, lambda p: (p - 0.45) / 0.25, schedule, seed=5)

    (first, accuracy), (again, _) = trained(), trained()
    assert accuracy > 0.75
    with torch.no_grad():
        scores = first((pictures.float() / 255 - 0.45) / 0.25)
    assert (scores.argmax(1) == labels).float().mean() > 0.9
    assert torch.equal(first.head.weight, again.head.weight)
    assert torch.equal(model.head.weight, before)
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())


def test_corruptions_keep_shape_and_range(batch):
    for name, change in measure.CORRUPTIONS.items():
        changed = change(batch)
        assert changed.shape == batch.shape, name
        assert changed.min() >= 0 and changed.max() <= 1, name
        assert name == "none" or not torch.equal(changed, batch), name


def test_blur_keeps_a_constant_picture():
    flat = torch.full((1, 3, 20, 20), 0.25)
    assert torch.allclose(measure.blurred(flat), flat, atol=1e-6)


def test_the_shipped_networks_have_a_recipe():
    assert set(SHIPPED) <= {*RECIPES, *HEAD_RECIPES}
    assert all(recipe.source in RECIPES for recipe in HEAD_RECIPES.values())
    assert RECIPES["tank_fair"].schedule.erasing
    assert not RECIPES["tank_fair_plain"].schedule.erasing


def test_the_box_of_the_background_check_hides_both_objects_of_a_pair(small_data):
    from course_utils import pictures
    from data.training import background

    chosen = pictures.load_set("look_alikes", "test").filter(label=["zebra", "elephant"])
    hidden = background.without_objects(chosen)
    for image, entry in zip(hidden, chosen.entries):
        assert torch.all(image[:, pictures.load_mask(entry)] == 0.45)
    scenes = [entry.scene for entry in chosen.entries]
    grey = (hidden == 0.45).all(1)
    for scene in set(scenes):
        boxes = [grey[i] for i, other in enumerate(scenes) if other == scene]
        assert len(boxes) == 2 and torch.equal(*boxes)


def test_a_linear_layer_ends_where_the_loss_is_least():
    means = torch.randn(200, 4, generator=generator()) * torch.tensor([0.01, 1.0, 30.0, 0.2]) + 2
    labels = (means[:, 0] - 2 > 0.003 * torch.randn(200, generator=generator(1))).long()
    first, again = (head.fit_linear(means, labels, 2, ridge=1e-3, seed=seed) for seed in (0, 1))
    assert torch.allclose(first(means), again(means), atol=0.02)
    assert (first(means).argmax(1) == labels).float().mean() > 0.85
    standardized = (means - means.mean(0)) / means.std(0)
    weight = (first.weight * means.std(0)).detach().requires_grad_()
    bias = (first.bias + first.weight @ means.mean(0)).detach().requires_grad_()
    error = nn.functional.cross_entropy(standardized @ weight.T + bias, labels)
    (error + 1e-3 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 1e-3 and bias.grad.abs().max() < 1e-3


def test_a_gap_head_learns_a_toy_task_and_leaves_the_convolutions_alone():
    pictures, labels = bright_and_dark(64)
    torch.manual_seed(2)
    model = PlainNet(2, channels=(4, 4, 8, 8, 8, 8), size=32)
    source = Classifier("toy", model, ["dark", "bright"], (0.45,) * 3, (0.25,) * 3, 32, {})
    recipe = HEAD_RECIPES["look_alikes_gap"]
    (gap, accuracy), (again, _) = (
        head.fit_gap_head(source, pictures, labels, recipe, seed=0) for _ in range(2)
    )
    assert gap.settings["head"] == "gap" and gap.head.in_features == 8
    assert accuracy > 0.8
    assert torch.equal(gap.head.weight, again.head.weight)
    for before, after in zip(model.features.parameters(), gap.features.parameters()):
        assert torch.equal(before, after)
    x = source.preprocess(pictures.float() / 255)
    assert torch.allclose(gap(x), gap.head(gap.features(x).mean((2, 3))), atol=1e-5)
    assert (gap(x).argmax(1) == labels).float().mean() > 0.9
