"""The decoders: what they return, how they are stored, and that their training learns."""

import functools
import json

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_utils import classifiers, decoders, pictures
from course_utils.classifiers import PlainNet
from course_utils.decoders import SHIPPED, Generator, Segmenter
from data.training import generator as generator_training
from data.training import segmenter as segmenter_training
from data.training.recipes import DECODER_RECIPES

GENERATORS = [name for name in SHIPPED if name.startswith("generator")]
SEGMENTERS = [name for name in SHIPPED if name.startswith("segmenter")]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty data folder, and the decoders' place in it."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    return tmp_path / "decoders"


def features():
    return PlainNet(3, channels=(4, 6, 8, 8, 10, 12), size=32).features


# ---------------------------------------------------------------------------- what they return


@pytest.mark.parametrize("name", GENERATORS)
def test_a_shipped_generators_mean_picture_is_that_of_its_class(name):
    generator = decoders.load(name)
    with torch.no_grad():
        made = generator(generator.sample(200))
    assert made.shape == (200, 3, 64, 64) and 0 <= made.min() and made.max() <= 1
    distance = {
        label: (made.mean(dim=0) - mean_close_up(label)).abs().mean().item()
        for label in ("pineapple", "custard_apple", "basketball", "elephant")
    }
    others = [value for label, value in distance.items() if label != "pineapple"]
    assert distance["pineapple"] < 0.7 * min(others), distance


@functools.cache
def mean_close_up(label):
    return generator_training.close_ups("look_alikes", "test", label).mean(dim=0)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_a_shipped_segmenter_finds_the_object(name):
    segmenter, classifier = decoders.load(name), classifiers.load("look_alikes")
    test = pictures.load_set("look_alikes", "test")
    chosen = range(0, len(test), 20)
    x = classifier.preprocess(torch.stack([test[i][0] for i in chosen]))
    truth = torch.stack([pictures.load_mask(test.entries[i]) for i in chosen])[:, None]
    with torch.no_grad():
        logits = segmenter(x)
    assert logits.shape == truth.shape
    assert segmenter_training.ious(logits > 0, truth).mean() > 0.5
    unchanged = classifier.model.features
    assert all(
        torch.equal(a, b)
        for a, b in zip(segmenter.encoder.parameters(), unchanged.parameters(), strict=True)
    )


def test_every_shipped_decoder_is_frozen_and_has_a_recipe():
    for name in SHIPPED:
        network, recipe = decoders.load(name), DECODER_RECIPES[name]
        assert not network.training and not any(p.requires_grad for p in network.parameters())
        assert network.settings["up"] == recipe.up
    assert set(SHIPPED) == set(DECODER_RECIPES)


def test_samples_repeat_with_their_seed_and_shrink_to_the_mean():
    generator = decoders.load(GENERATORS[0])
    assert torch.equal(generator.sample(3, seed=1), generator.sample(3, seed=1))
    assert not torch.equal(generator.sample(3, seed=1), generator.sample(3, seed=2))
    assert torch.allclose(generator.sample(2, size=0), generator.centre.expand(2, -1))
    many = generator.sample(20_000)
    assert torch.allclose(torch.cov(many.T), generator.spread @ generator.spread.T, atol=0.02)


def test_the_ways_up_of_a_segmenter_differ_in_the_doubling_alone():
    switches, upsample = Segmenter(features(), "switches"), Segmenter(features(), "upsample")
    assert switches.state_dict().keys() == upsample.state_dict().keys()
    maps = torch.arange(1.0, 5.0).view(1, 1, 2, 2)
    places = torch.tensor([[[[0, 3], [13, 15]]]])
    by_switches = switches._doubled(maps, places)
    assert by_switches[0, 0].tolist() == [[1, 0, 0, 2], [0] * 4, [0] * 4, [0, 3, 0, 4]]
    repeated = upsample._doubled(maps, places)[0, 0].tolist()
    assert repeated == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]


def test_unknown_ways_up_and_names_are_refused():
    with pytest.raises(ValueError, match="'switches' and 'upsample'"):
        Segmenter(features(), "bilinear")
    with pytest.raises(ValueError, match="'transposed_3', 'transposed_4' and 'upsample'"):
        Generator("nearest")
    with pytest.raises(ValueError, match="there are: generator_transposed_3"):
        decoders.load("generator")


# ---------------------------------------------------------------------------- files


def test_what_was_saved_is_loaded(folder):
    generator = Generator("transposed_3", dimensions=5)
    decoders.save(generator, folder, "generator_transposed_3", seed=7)
    loaded = decoders.load("generator_transposed_3")
    vectors = torch.randn(2, 5)
    assert torch.equal(loaded(vectors), generator(vectors))
    facts = json.loads((folder / "generator_transposed_3.json").read_text())
    assert facts["seed"] == 7 and facts["kind"] == "generator"


def test_a_decoder_that_can_not_be_saved_leaves_nothing(folder):
    with pytest.raises(ValueError, match="loss=.* can't be kept in a JSON file"):
        decoders.save(Generator("upsample", dimensions=4), folder, "mine", loss=object())
    assert not list(folder.glob("mine*"))
    decoders.save(Generator("upsample", dimensions=4), folder, "mine", loss=torch.tensor(0.5))
    assert json.loads((folder / "mine.json").read_text())["loss"] == 0.5


@pytest.fixture
def encoded(folder):
    """A segmenter on a classifier that stands in the data folder, and the facts to save it with."""
    model = PlainNet(3, channels=(4, 6, 8, 8, 10, 12), size=32)
    facts = {"classes": list("abc"), "mean": [0.5] * 3, "std": [0.2] * 3, "command": "", "seed": 0}
    classifiers.save(model, folder.parent / "classifiers", "small", **facts)
    return Segmenter(classifiers.load("small").model.features), {"encoder": "small"}


def test_a_segmenter_is_read_with_its_encoder(folder, encoded):
    segmenter, facts = encoded
    decoders.save(segmenter, folder, "segmenter_switches", **facts)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(decoders.load("segmenter_switches")(x), segmenter(x))


def half_of_it(_module, _inputs, output):
    return output / 2


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.register_forward_hook(half_of_it),
        lambda network: network.head.register_forward_hook(half_of_it),
        lambda network: network.decoder[1].register_forward_hook(half_of_it),
        lambda network: network.encoder.conv1.register_forward_hook(half_of_it),
        lambda network: network.encoder.set_submodule("relu3", nn.Tanh()),
        lambda network: prune.l1_unstructured(network.head, "weight", 0.5),
    ],
)
def test_a_segmenter_that_would_be_another_when_loaded_is_not_saved(folder, encoded, change):
    segmenter, facts = encoded
    change(segmenter)
    with pytest.raises(ValueError, match=r"or keep the whole network with torch\.save"):
        decoders.save(segmenter, folder, "segmenter_switches", **facts)
    assert not folder.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.register_forward_hook(half_of_it),
        lambda network: network.layers[2].register_forward_hook(half_of_it),
        lambda network: network.layers[0].set_submodule("0", nn.Upsample(None, 2, "bilinear")),
        lambda network: prune.l1_unstructured(network.first, "weight", 0.5),
    ],
)
def test_a_generator_that_would_be_another_when_loaded_is_not_saved(folder, change):
    generator = Generator("upsample", dimensions=4)
    change(generator)
    with pytest.raises(ValueError, match=r"or keep the whole network with torch\.save"):
        decoders.save(generator, folder, "generator_upsample")
    assert not folder.exists()


class MyGenerator(Generator):
    """Of a class that `load` doesn't know."""


def test_what_can_not_be_loaded_again_is_not_saved(folder, encoded):
    segmenter, _ = encoded
    for network, facts, told in [
        (segmenter, {}, "name the course's classifier that it is"),
        (segmenter, {"encoder": "large"}, "There is no network 'large'"),
        (segmenter, {"encoder": "imagenet"}, "'imagenet' is no encoder of a segmenter"),
        (Segmenter(features()), {"encoder": "small"}, "encoder has other weights than 'small'"),
        (MyGenerator("upsample"), {}, "a Segmenter or a Generator, not a MyGenerator"),
        (PlainNet(3), {}, "a Segmenter or a Generator, not a PlainNet"),
    ]:
        with pytest.raises(ValueError, match=told):
            decoders.save(network, folder, "mine", **facts)
    assert not folder.exists()


@pytest.mark.parametrize("ending", ["json", "safetensors"])
def test_missing_and_damaged_files_are_named_with_their_cure(folder, ending):
    decoders.save(Generator("upsample", dimensions=4), folder, "generator_upsample")
    path = folder / f"generator_upsample.{ending}"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(pictures.DataError, match=rf"{path.name} is damaged; restore"):
        decoders.load("generator_upsample")
    path.unlink()
    with pytest.raises(pictures.DataError, match=rf"{path.name} is missing; restore"):
        decoders.load("generator_upsample")


def test_weights_of_another_kind_are_refused(folder):
    decoders.save(Generator("upsample", dimensions=4), folder, "generator_upsample")
    path = folder / "generator_upsample.json"
    path.write_text(path.read_text().replace('"upsample"', '"transposed_4"'))
    with pytest.raises(pictures.DataError, match="damaged"):
        decoders.load("generator_upsample")


# ---------------------------------------------------------------------------- their training


def test_scores_of_masks_by_hand():
    truth, predicted = torch.zeros(2, 1, 4, 4).bool(), torch.zeros(2, 1, 4, 4).bool()
    truth[0, 0, :2] = True
    predicted[0, 0, 1:3] = True
    assert segmenter_training.ious(predicted, truth).tolist() == pytest.approx([1 / 3, 0])
    edge = segmenter_training.near_the_edge(truth, pixels=1)
    assert edge[0, 0, :, 0].tolist() == [False, True, True, False] and not edge[1].any()


def test_the_checkerboards_strength_by_hand():
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    board = ((rows + columns) % 2).float().expand(1, 3, 16, 16)
    ramp = (columns / 16).expand(1, 3, 16, 16)
    strength = generator_training.checkerboard
    assert strength(board).item() == pytest.approx(0.5 * 2**0.5)  # both ways, amplitude 0.5
    assert strength(ramp).item() == pytest.approx(0, abs=1e-6)


def test_close_ups_are_squares_around_the_object(small_data):
    crops = generator_training.close_ups("look_alikes", "test", "zebra", size=32)
    assert crops.shape[1:] == (3, 32, 32) and len(crops) > 0
    assert 0 <= crops.min() and crops.max() <= 1


def test_a_pyramid_sees_a_shift_of_colour_more_than_noise():
    wanted = torch.full((1, 3, 32, 32), 0.5)
    noise = 0.1 * (torch.randint(0, 2, wanted.shape) * 2 - 1)
    loss = generator_training.pyramid_loss
    assert loss(wanted, wanted) == 0
    assert loss(wanted + 0.1, wanted) > 1.5 * loss(wanted + noise, wanted)
