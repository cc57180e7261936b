"""timm's classifiers by name, with weights made on the spot where timm's loader finds them."""

import pytest
import requests
import safetensors.torch
import torch

from course_utils import _downloads, pictures, timm_networks
from course_utils._packages import import_timm
from course_utils.errors import DataError

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def timm():
    return import_timm()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and no network connection."""

    def unreachable(*_arguments, **_options):
        raise requests.ConnectionError("no route to host")

    monkeypatch.setattr(_downloads, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(requests, "head", unreachable)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    timm_networks.weights_folder().mkdir()
    return timm_networks.weights_folder()


def made(timm, folder, name, file=None):
    """A network with random weights, after they were written where `load_timm` looks."""
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    safetensors.torch.save_file(model.state_dict(), folder / f"{file or name}.safetensors")
    return model


def test_a_network_comes_with_its_own_preprocessing_and_classes(timm, folder):
    model = made(timm, folder, NAME)
    before = torch.get_rng_state()
    classifier = timm_networks.load_timm(NAME)
    assert torch.equal(torch.get_rng_state(), before)
    assert classifier.name == f"timm:{NAME}" and classifier.size == 224
    config = timm.get_pretrained_cfg(NAME)
    assert classifier.mean == config.mean and classifier.std == config.std
    assert classifier.resize == int(224 / config.crop_pct)
    assert classifier.interpolation == config.interpolation == "bicubic"
    assert classifier.classes[340] == "zebra" and len(set(classifier.classes)) == 1000
    x = classifier.preprocess(pictures.open_picture("chelsea"))
    with torch.no_grad():
        assert torch.equal(classifier.model(x), model(x))


def test_preprocessing_is_timms_own(timm, folder):
    """Up to rounding: timm resizes bytes with Pillow, the course tensors with torch."""
    from torchvision.transforms.functional import to_pil_image

    model = made(timm, folder, NAME)
    photo = pictures.open_picture("coffee")
    settings = timm.data.resolve_model_data_config(model)
    expected = timm.data.create_transform(**settings)(to_pil_image(photo))
    x = timm_networks.load_timm(NAME).preprocess(photo)
    difference = (x[0] - expected).abs()
    one_level = 1 / 255 / min(settings["std"])
    assert (
        difference.flatten().quantile(0.99) < one_level
    )  # Pillow also cuts off between its two passes
    assert difference.mean() < one_level / 2


def test_names_of_classes_differ_where_the_words_are_the_same(timm):
    config = timm.get_pretrained_cfg("convnext_tiny.in12k")
    names = timm_networks._class_names(timm, config, "convnext_tiny.in12k")
    assert len(names) == len(set(names)) == 11821


def test_without_a_connection_it_says_what_to_download_and_where_to_put_it(folder):
    with pytest.raises(DataError) as caught:
        timm_networks.load_timm("resnet18")
    assert "no connection" in str(caught.value)
    assert "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.saf" in str(
        caught.value
    )
    assert str(folder / "resnet18.safetensors") in str(caught.value)


def test_a_damaged_file_and_another_networks_are_named(timm, folder):
    made(timm, folder, NAME, file="resnet18")
    with pytest.raises(DataError, match="damaged or holds another network's weights"):
        timm_networks.load_timm("resnet18")
    (folder / "resnet18.safetensors").write_bytes(b"no weights at all")
    with pytest.raises(DataError, match="resnet18.safetensors is damaged"):
        timm_networks.load_timm("resnet18")


@pytest.mark.parametrize(
    "name, said",
    [
        (
            "resnet81",
            "no network of timm with trained weights 'resnet81'; close to it, of .*: resnet",
        ),
        ("resnet18.a9_in1k", "close to it, of .*: .*resnet18.a1_in1k"),
        ("resnet50_clip.openai", "no classifier with known classes"),
    ],
)
def test_names_that_lead_to_no_classifier(name, said):
    with pytest.raises(ValueError, match=said):
        timm_networks.load_timm(name)
