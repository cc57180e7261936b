"""The networks under study: loading, preprocessing, scores, and clear refusals."""

import hashlib
import json
import os
import subprocess
import sys
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, weight_norm
from waiting import HANG

from course_utils import classifiers, decoders, imagenet
from course_utils.classifiers import (
    Classifier,
    PlainNet,
    Preprocess,
    load,
    load_from,
    save,
    wrap,
)
from course_utils.pictures import DataError, PictureError

REPOSITORY = Path(__file__).resolve().parent.parent
CLASSES = ["custard_apple", "pineapple", "Zebra"]
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def small_network(seed=0, head="flatten"):
    torch.manual_seed(seed)
    return PlainNet(len(CLASSES), channels=(4, 4, 6, 6, 8, 8), size=32, head=head)


FACTS = {"classes": CLASSES, "mean": MEAN, "std": STD, "command": "make train", "seed": 0}


def save_small_network(folder, name="small", **changes):
    model = small_network()
    save(model, folder, name, **{**FACTS, **changes})
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder of its own, with one small network in it; gives its classifiers folder."""
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    save_small_network(tmp_path / "classifiers")
    return tmp_path / "classifiers"


@pytest.fixture
def small(folder):
    return load("small")


def a_picture(*shape, seed=1):
    return torch.rand(shape or (3, 32, 32), generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------- the architecture


def test_plain_net_has_the_promised_layers_and_shapes():
    model = PlainNet(10)
    names = (
        "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 pool3 "
        "conv5 relu5 conv6 relu6 head"
    )
    assert list(model.named_layers()) == names.split()
    x = torch.zeros(2, 3, 128, 128)
    assert model.features(x).shape == (2, 96, 16, 16)
    assert model(x).shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    assert len(relus) == 6
    assert not any(relu.inplace for relu in relus)


def test_gap_head_sees_only_the_mean_of_each_channel():
    model = small_network(head="gap")
    x = a_picture(2, 3, 32, 32)
    expected = model.head(model.features(x).mean(dim=(2, 3)))
    assert torch.allclose(model(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "mean"}, "'flatten' and 'gap'"),
        ({"channels": (4, 4)}, "give six"),
        ({"size": 100}, "multiple of 8"),
    ],
)
def test_plain_net_refuses_what_it_cannot_build(arguments, message):
    with pytest.raises(ValueError, match=message):
        PlainNet(2, **arguments)


# ---------------------------------------------------------------------------- saving and loading


def test_a_saved_network_comes_back(folder, small):
    x = small.preprocess(a_picture())
    assert torch.equal(small.model(x), small_network()(x))
    assert small.classes == CLASSES
    assert (small.mean, small.std, small.size) == (MEAN, STD, 32)
    assert small.card is None
    (folder / "small.md").write_text("# A small network\n")
    assert load("small").card == folder / "small.md"


def test_a_loaded_network_is_frozen_and_in_eval_mode(small):
    assert not small.model.training
    assert not any(parameter.requires_grad for parameter in small.model.parameters())
    x = small.preprocess(a_picture()).requires_grad_()
    small.model(x)[0, 1].backward()
    assert x.grad.abs().sum() > 0


def test_loading_twice_gives_two_networks(small):
    assert load("small").model is not small.model


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for name in ("first", "second"):
        save_small_network(tmp_path / name)
    for file in ("small.safetensors", "small.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_scores_are_those_of_eval_mode_whatever_the_mode(small):
    pictures = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    small.model.add_module("off", nn.Dropout(0.9))
    small.layers["relu1"].register_forward_hook(lambda _m, _x, output: small.model.off(output))
    expected = small.scores(pictures)
    small.model.train()
    assert torch.equal(small.scores(pictures), expected)
    assert small.model.training and small.model.off.training


def test_the_description_holds_what_training_says(folder):
    save_small_network(folder, "other", seed=7, accuracy={"test": 0.5})
    description = json.loads((folder / "other.json").read_text())
    content = (folder / "other.safetensors").read_bytes()
    assert description["sha256"] == hashlib.sha256(content).hexdigest()
    assert (description["seed"], description["accuracy"]) == (7, {"test": 0.5})
    assert classifiers.available() == ["other", "small"]


def test_the_gap_head_is_saved_too(folder):
    model = small_network(head="gap")
    save(model, folder, "gap", classes=CLASSES, mean=MEAN, std=STD, command="make train", seed=0)
    x = a_picture(1, 3, 32, 32)
    assert torch.equal(load("gap").model(x), model(x))


def own_file(folder):
    path = folder / "own.py"
    path.write_text(
        "import torch\nfrom torch import nn\nfrom course_utils.classifiers import *\n"
        "torch.rand(3)\n"
        "net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
        "classifier = wrap(net, ['a', 'b'], Preprocess(32))\n"
    )
    return str(path)


LOADING = {
    "course": lambda _: load("tank_fair"),
    "imagenet": lambda _: load("imagenet"),
    "imagenet_itself": lambda _: imagenet.load_imagenet(),
    "own": lambda folder: load(own_file(folder)),
    "segmenter": lambda _: decoders.load("segmenter_switches"),
    "generator": lambda _: decoders.load("generator_upsample"),
    "folder": lambda _: load_from(classifiers._folder(), "tank_fair"),
    "save": lambda folder: save(load("tank_fair").model, folder, "a", **FACTS | TWO_CLASSES),
}
TWO_CLASSES = {"classes": ["no_tank", "tank"]}


@pytest.mark.parametrize("act", LOADING.values(), ids=LOADING)
def test_random_numbers_go_on_as_if_nothing_had_been_loaded(tmp_path, act):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    act(tmp_path)
    assert torch.equal(torch.rand(2), expected)


def test_saving_refuses_a_wrong_number_of_classes(tmp_path):
    with pytest.raises(ValueError, match="3 scores, but 2 names"):
        save_small_network(tmp_path, classes=CLASSES[:2])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"std": (0, 1, 1)}, "std=.* is positive"),
        ({"std": (float("nan"), 1, 1)}, "std=.* finite"),
        ({"mean": (0.5, 0.5)}, "mean=.* three numbers"),
        ({"mean": (128, 128, 128)}, "divide mean and std by 255"),
        ({"mean": None}, "mean=None"),
        ({"classes": ["a", "b", "a"]}, "same name"),
        ({"classes": [1, 2, 3]}, "a list of their names"),
        ({"classes": {"a", "b", "c"}}, "no order"),
    ],
)
def test_saving_refuses_what_wrap_would_refuse(tmp_path, changes, told):
    with pytest.raises(ValueError, match=told):
        save_small_network(tmp_path, **changes)
    assert not list(tmp_path.iterdir())


def test_saving_refuses_other_architectures(tmp_path):
    with pytest.raises(ValueError, match="Linear is not among the course's architectures"):
        save(nn.Linear(2, 3), tmp_path, "small", **FACTS)


def exchanged(kind, instead):
    """What puts another layer in the place of each of a kind."""

    def change(model):
        for name, layer in list(model.named_modules()):
            if isinstance(layer, kind):
                model.set_submodule(name, instead())

    return change


def set_circular(model):
    for name in ("conv1", "conv4"):
        conv = model.features.get_submodule(name)
        conv.padding_mode, conv._reversed_padding_repeated_twice = "circular", [1, 1, 1, 1]


def override_forward(model):
    usual = model.forward
    model.forward = lambda x: usual(x).flip(1)


def fail(*_args):
    raise KeyError("somebody's own")


COMPUTE_SOMETHING_ELSE = {
    "leaky": exchanged(nn.ReLU, lambda: nn.LeakyReLU(0.3)),
    "bounded": exchanged(nn.ReLU, lambda: nn.ReLU6()),
    "means": exchanged(nn.MaxPool2d, lambda: nn.AvgPool2d(2)),
    "circular": set_circular,
    "hook": lambda model: model.register_forward_hook(lambda _m, _x, scores: scores / 2),
    "hook_inside": lambda model: model.features.relu3.register_forward_hook(
        lambda _m, _x, maps: maps.clamp(max=0.1)
    ),
    "hook_before": lambda model: model.register_forward_pre_hook(lambda _m, x: (x[0].flip(3),)),
    "forward": override_forward,
    "no_scores": lambda model: model.register_forward_hook(lambda _m, _x, scores: (scores,)),
    "fails": lambda model: model.register_forward_hook(fail),
}


@pytest.mark.parametrize("change", COMPUTE_SOMETHING_ELSE.values(), ids=COMPUTE_SOMETHING_ELSE)
def test_saving_refuses_what_would_be_another_network_when_loaded(tmp_path, change):
    save_small_network(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    model = small_network(1)
    change(model)
    with pytest.raises(ValueError, match="remove hooks and put exchanged layers back") as error:
        save(model, tmp_path, "small", **FACTS)
    assert "\n" not in str(error.value)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


OTHER_WEIGHTS = {
    "pruned": lambda model: prune.l1_unstructured(model.features.conv1, "weight", 0.5),
    "weight_norm": lambda model: parametrizations.weight_norm(model.features.conv2),
    "spectral_norm": lambda model: parametrizations.spectral_norm(model.head),
    "old_weight_norm": lambda model: weight_norm(model.features.conv2),
    "another_layer": lambda model: model.features.append(nn.BatchNorm2d(8)),
    "no_bias": lambda model: model.set_submodule("head", nn.Linear(128, 3, bias=False)),
    "another_size": lambda model: model.set_submodule("features.conv6", nn.Conv2d(8, 8, 1)),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
@pytest.mark.parametrize("change", OTHER_WEIGHTS.values(), ids=OTHER_WEIGHTS)
def test_saving_refuses_weights_that_could_not_be_read_again(tmp_path, change):
    save_small_network(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    model = small_network(1)
    change(model)
    told = "^The network's weights are not those of its architecture: '.*' is .*prune.remove"
    with pytest.raises(ValueError, match=told):
        save(model, tmp_path, "small", **FACTS)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_was_pruned_or_parametrized_is_saved_once_that_is_undone(tmp_path):
    model = small_network(1)
    prune.l1_unstructured(model.features.conv1, "weight", 0.5)
    prune.remove(model.features.conv1, "weight")
    parametrizations.weight_norm(model.features.conv2)
    parametrize.remove_parametrizations(model.features.conv2, "weight")
    save(model, tmp_path, "small", **FACTS)
    x = a_picture(1, 3, 32, 32)
    assert torch.equal(load_from(tmp_path, "small").model(x), model(x))


def test_saving_refuses_a_network_without_values(tmp_path):
    with pytest.raises(ValueError, match="on the device meta, so they have no values"):
        save(small_network().to("meta"), tmp_path, "small", **FACTS)


def test_saving_refuses_settings_of_which_no_network_can_be_made(tmp_path):
    model = small_network()
    del model.settings["head"]
    with pytest.raises(
        ValueError, match=r"^No network can be made from this description \(KeyError"
    ):
        save(model, tmp_path, "small", **FACTS)


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float16, torch.bfloat16])
def test_pictures_of_few_bits_are_seen_as_in_single_precision(small, kind):
    picture = a_picture(3, 40, 48).to(kind)
    x = small.preprocess(picture)
    assert x.dtype == torch.float32 and torch.equal(x, small.preprocess(picture.float()))


@pytest.mark.parametrize("whole", [True, False])
def test_wrapping_refuses_weights_without_values(whole):
    model = small_network()
    (model if whole else model.features.conv3).to("meta")
    with pytest.raises(ValueError, match="on the device meta, so they have no values: make it"):
        wrap(model, CLASSES, Preprocess(32))


def share_weights(model):
    model.features.conv3.bias = model.features.conv4.bias


HARMLESS = {
    "tied": share_weights,
    "watched": lambda model: model.register_forward_hook(lambda *_: None),
    "training": lambda model: model.train(),
    "half": lambda model: model.half(),
    "double": lambda model: model.double(),
    "channels_last": lambda model: model.to(memory_format=torch.channels_last),
    "not_a_number": lambda model: model.head.weight.data.fill_(torch.nan),
    "in_place": exchanged(nn.ReLU, lambda: nn.ReLU(inplace=True)),
}


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_what_computes_the_same_is_saved_and_left_as_it_was(tmp_path, change):
    model = small_network(1)
    change(model)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    mode = model.training
    save(model, tmp_path, "small", **FACTS)
    assert model.training == mode
    loaded = load_from(tmp_path, "small").model.state_dict()
    for key, value in model.state_dict().items():
        assert value.dtype == kept[key].dtype
        assert torch.allclose(value, kept[key], rtol=0, atol=0, equal_nan=True)
        assert torch.allclose(loaded[key], value.float(), rtol=0, atol=0, equal_nan=True)


NO_FACTS = {
    "object": object(), "set": {1}, "bytes": b"0.9", "complex": torch.tensor(1j),
    "meta": torch.ones(2, device="meta"), "nested": {"of": [object()]}, "keys": {(1, 2): 3},
}  # fmt: skip


@pytest.mark.parametrize("fact", NO_FACTS.values(), ids=NO_FACTS)
def test_a_failed_save_keeps_the_network_saved_before(tmp_path, fact):
    save_small_network(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    for name in ("small", "another"):
        with pytest.raises(ValueError, match="^accuracy=.* can't be kept in a JSON file"):
            save(small_network(1), tmp_path, name, **FACTS, accuracy=fact)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_full_disk_keeps_the_network_saved_before(tmp_path, monkeypatch):
    save_small_network(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    write = Path.write_bytes

    def write_weights_alone(path, content):
        if content.startswith(b"{"):  # the description, the second of the two
            write(path, content[:50])
            raise OSError("No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_weights_alone)
    with pytest.raises(OSError, match="No space"):
        save(small_network(1), tmp_path, "small", **FACTS)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_numbers_of_numpy_and_torch_are_kept_as_pythons(tmp_path):
    facts = {"accuracy": torch.tensor(0.5), "epochs": np.int64(3), "curve": np.float32([1, 0.25])}
    save_small_network(tmp_path, **facts, seed=np.int64(7), nested={"loss": [np.float32(2)]})
    kept = json.loads((tmp_path / "small.json").read_text())
    assert kept["accuracy"] == 0.5 and kept["epochs"] == 3 and kept["curve"] == [1.0, 0.25]
    assert kept["seed"] == 7 and kept["nested"] == {"loss": [2.0]}


ODD_NAMES = ["", None, 3, "a/b", "../a", "a\0b", "a\nb", "long" * 60, "\udcff", "a\\b", "C:a"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_network_is_saved_by_a_name_that_files_can_have(tmp_path, name):
    with pytest.raises(ValueError, match="^name=.*two files get it") as error:
        save_small_network(tmp_path / "inside", name)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def entry(name, value):
    def change(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))

    return change


@pytest.mark.parametrize(
    ("file", "damage", "what"),
    [
        ("small.json", entry("mean", None), "damaged"),
        ("small.json", entry("mean", "0.5"), "damaged"),
        ("small.json", entry("std", [1, 1, 0]), "damaged"),
        ("small.json", entry("size", "32"), "damaged"),
        ("small.json", entry("classes", None), "damaged"),
        ("small.json", entry("classes", [1, 2, 3]), "damaged"),
        ("small.json", entry("classes", "abc"), "damaged"),
        ("small.safetensors", flip_a_byte, "damaged"),
        ("small.safetensors", truncate, "damaged"),
        ("small.json", truncate, "damaged"),
        ("small.json", entry("classes", ["only one"]), "damaged"),
        ("small.json", lambda path: path.write_text("{}"), "damaged"),
        ("small.json", lambda path: path.write_bytes(b"\xff\xfe\x00"), "damaged"),
        ("small.json", Path.unlink, "missing"),
    ],
)
def test_bad_files_are_named_with_the_command_that_restores_them(folder, file, damage, what):
    damage(folder / file)
    with pytest.raises(DataError) as error:
        load("small")
    message = str(error.value)
    assert f"{folder / file} is {what}" in message
    assert message.endswith(f"git -C {folder.parent} restore classifiers/{file}")


def test_a_shipped_network_without_files_is_missing_not_unknown(folder):
    with pytest.raises(DataError, match=r"tank_fair\.json is missing"):
        load("tank_fair")
    save_small_network(folder, "tank_fair")
    (folder / "tank_fair.safetensors").unlink()
    with pytest.raises(DataError, match=r"tank_fair\.safetensors is missing"):
        load("tank_fair")


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_counts_are_whole_numbers(count):
    classifier, picture = load("tank_fair"), torch.zeros(3, 128, 128)
    with pytest.raises(ValueError, match="k=.* a whole number from 1 on"):
        classifier.top_k(picture, count)
    with pytest.raises(ValueError, match="batch=.* a whole number from 1 on"):
        classifier.scores(picture, batch=count)


def test_a_network_file_that_ends_python_is_told(tmp_path):
    (tmp_path / "own.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(ValueError, match="line 2: it ends Python.*leave out sys.exit"):
        load(str(tmp_path / "own.py"))


@pytest.mark.parametrize(
    "code, told",
    [
        ("raise RuntimeError('sizes differ:\\n\\tone')", "line 1: RuntimeError: sizes differ:$"),
        ("raise AssertionError", "line 1: AssertionError.$"),
        ("x = (", "as a whole: SyntaxError: .*closed"),
    ],
)
def test_what_went_wrong_in_a_network_file_is_told_in_one_line(tmp_path, code, told):
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(ValueError, match=told) as error:
        load(str(tmp_path / "own.py"))
    assert "\n" not in str(error.value)


def test_weights_alone_are_no_network(tmp_path):
    torch.save(own_network().state_dict(), tmp_path / "mine.pt")
    with pytest.raises(ValueError, match="mine.pt is a file, but no Python file: write one"):
        load(str(tmp_path / "mine.pt"))


@pytest.mark.parametrize("name", [None, 3, 0.5, ["zebra"], Path("small")])
def test_names_are_texts(small, name):
    for ask in (load, small.class_index, small.layer):
        with pytest.raises(ValueError, match="^name=.* a name is needed, a text"):
            ask(name)


def test_a_network_file_that_changes_the_folder_changes_it_for_nobody_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    start = "import os\nos.chdir('elsewhere')\nassert os.path.isfile(__file__)\n"
    (tmp_path / "own.py").write_text(start + FILE)
    assert load("own.py").classes == ["left", "right"]
    assert Path.cwd() == tmp_path
    (tmp_path / "own.py").write_text(start + "1 / 0\n")
    with pytest.raises(ValueError, match="own.py, line 4: ZeroDivisionError"):
        load("own.py")
    assert Path.cwd() == tmp_path


def test_in_the_repository_the_command_is_short(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr("course_utils.manifest.DATA", tmp_path / "data")
    (tmp_path / ".git").mkdir()
    with pytest.raises(DataError, match=r"git restore data/classifiers/tank_fair\.json"):
        load("tank_fair")


@pytest.mark.parametrize("name", ["smal", "", "../classifiers/small", "Small", "resnet18"])
def test_unknown_names_list_the_known_ones(folder, name):
    with pytest.raises(ValueError, match="there are: look_alikes, .*small, tank_biased") as error:
        load(name)
    assert "imagenet:resnet18" in str(error.value)


@pytest.mark.parametrize("device", ["gpu", "cuda:77"])
def test_a_device_that_is_not_there_is_named(small, device):
    with pytest.raises(ValueError, match=f"'{device}' can't be used here"):
        load("small", device=device)


def test_a_device_that_is_there_is_used(small):
    assert load("small", device="cpu").to("cpu").predict(a_picture()).device.type == "cpu"


def test_course_networks_do_not_import_torchvision(folder):
    code = """
import sys
from course_utils.classifiers import load
import torch
load("small").top_k(torch.rand(3, 40, 50))
assert not [name for name in sys.modules if name.startswith("torchvision")]
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=HANG)


# ---------------------------------------------------------------------------- pictures and scores


def test_preprocess_only_normalizes_a_picture_of_the_right_size(small):
    picture = a_picture()
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    assert torch.allclose(small.preprocess(picture), ((picture - mean) / std)[None])


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 50, 40), (3, 17, 90), (2, 3, 64, 64)])
def test_preprocess_makes_squares_of_the_networks_size(small, shape):
    count = shape[0] if len(shape) == 4 else 1
    assert small.preprocess(a_picture(*shape)).shape == (count, 3, 32, 32)


def test_preprocess_crops_around_the_centre(small):
    wide = torch.zeros(3, 32, 96)
    wide[:, :, 32:64] = a_picture()
    assert torch.allclose(small.preprocess(wide), small.preprocess(a_picture()))


def test_preprocess_shrinks_without_aliasing(small):
    fine_stripes = (torch.arange(320) % 2).float().expand(3, 320, 320)
    seen = small.undo_preprocess(small.preprocess(fine_stripes))
    assert (seen - 0.5).abs().max() < 0.05


def test_preprocess_lets_gradients_through(small):
    picture = a_picture(3, 40, 40).requires_grad_()
    small.model(small.preprocess(picture)).sum().backward()
    assert picture.grad.abs().sum() > 0


def test_undo_preprocess_gives_back_the_picture(small):
    pictures = a_picture(2, 3, 32, 32)
    x = small.preprocess(pictures)
    assert torch.allclose(small.undo_preprocess(x), pictures, atol=1e-6)
    far = small.undo_preprocess(10 * x)
    assert far.shape == x.shape
    assert far.min() == 0
    assert far.max() == 1


def test_scores_do_not_depend_on_the_batch(small):
    pictures = a_picture(5, 3, 32, 32)
    expected = small.model(small.preprocess(pictures))
    for batch in (1, 2, 5, 100):
        assert torch.allclose(small.scores(pictures, batch), expected, atol=1e-6)
    assert torch.equal(small.predict(pictures), expected.argmax(dim=1))
    assert small.scores(pictures[0]).shape == (1, 3)
    assert not small.scores(pictures.requires_grad_()).requires_grad


def test_many_pictures_keep_out_of_the_way_of_what_looks_on(small):
    pictures = torch.rand(classifiers.MANY, 3, 128, 128)
    seen = []
    handle = small.layer("relu1").register_forward_hook(lambda *call: seen.append(call[2]))
    small.scores(pictures)
    handle.remove()
    (maps,) = seen
    assert len(maps.view(classifiers.MANY, -1)) == classifiers.MANY  # in the usual order of memory


class Viewed(nn.Sequential):
    """A network as torch's tutorial writes it, which insists on the usual order of memory."""

    def forward(self, input):
        return self[1](self[0](input).view(len(input), -1))


def test_many_pictures_get_the_scores_of_single_ones_from_a_network_that_calls_view():
    own = Viewed(nn.Conv2d(3, 2, 3), nn.Linear(2 * 14 * 14, 3))
    classifier = wrap(own, ["a", "b", "c"], Preprocess(16))
    pictures = torch.rand(classifiers.MANY, 3, 16, 16)
    one_by_one = torch.cat([classifier.scores(picture) for picture in pictures])
    assert torch.allclose(classifier.scores(pictures), one_by_one, atol=1e-5)


def test_top_k_names_the_likeliest_classes(small):
    picture = a_picture()
    probabilities = small.scores(picture).softmax(dim=1)[0]
    best = small.top_k(picture, 2)
    assert [name for name, _ in best] == [CLASSES[i] for i in probabilities.topk(2).indices]
    assert best[0][1] == pytest.approx(probabilities.max().item())
    assert sum(value for _, value in small.top_k(picture)) == pytest.approx(1)
    with pytest.raises(PictureError, match="one picture, got 2"):
        small.top_k(a_picture(2, 3, 32, 32))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(3, 32, 32, dtype=torch.uint8), r"uint8.*/ 255"),
        (torch.full((3, 32, 32), 200.0), "divide by 255"),
        (torch.full((3, 32, 32), -1.0), "preprocessed already"),
        (torch.full((3, 32, 32), float("nan")), "NaN"),
        (torch.full((3, 32, 32), float("inf")), "inf"),
        (torch.zeros(1, 32, 32), r"got \(1, 32, 32\)"),
        (torch.zeros(32, 32, 3), r"permute\(2, 0, 1\)"),
        (torch.zeros(32, 32), r"got \(32, 32\)"),
        (torch.zeros(()), r"got \(\)"),
        (torch.zeros(1, 1, 3, 32, 32), "batch"),
        (torch.zeros(3, 0, 32), "no pixels"),
        (torch.zeros(0, 3, 32, 32), "no pixels"),
        ([[0.0]], "torch tensor .* got list"),
        (None, "got NoneType"),
        ("cat.jpg", "got str"),
    ],
)
@pytest.mark.parametrize("method", ["preprocess", "scores", "predict", "top_k"])
def test_bad_pictures_are_refused_in_one_sentence(small, method, picture, message):
    with pytest.raises(PictureError, match=message) as error:
        getattr(small, method)(picture)
    assert "\n" not in str(error.value)


def test_rounding_beyond_the_range_is_forgiven(small):
    small.preprocess(torch.full((3, 32, 32), 1.0005, dtype=torch.float64))


# ---------------------------------------------------------------------------- names


def test_layers_are_found_by_name(small):
    assert small.layer("conv1") is small.model.features[0]
    assert small.layer("head") is small.model.head
    assert list(small.layers)[:3] == ["conv1", "relu1", "pool1"]


def test_an_unknown_layer_lists_the_known_ones(small):
    with pytest.raises(ValueError, match=r"no layer 'conv9'.*: conv1, relu1,"):
        small.layer("conv9")


def test_classes_are_found_by_name(small):
    assert [small.class_index(name) for name in CLASSES] == [0, 1, 2]
    assert small.class_index("Custard Apple") == 0
    with pytest.raises(ValueError, match=r"no class 'horse'.*: custard_apple, pineapple"):
        small.class_index("horse")


def test_class_names_that_differ_only_in_case_stay_apart():
    network = small_network()
    classes = ["Cardigan", "cardigan", "dog"]
    classifier = Classifier("x", network, classes, MEAN, STD, 32, network.named_layers())
    assert classifier.class_index("cardigan") == 1
    assert classifier.class_index("DOG") == 2
    with pytest.raises(ValueError, match="no class 'CARDIGAN'"):
        classifier.class_index("CARDIGAN")


# ---------------------------------------------------------------------------- ImageNet


@pytest.fixture(scope="module")
def models():
    from course_utils._torchvision import import_torchvision

    return import_torchvision().models


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """The folder where torchvision looks for weights, empty, on a computer without a network."""

    def no_network(*arguments, **options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def random_weights(models, checkpoints, monkeypatch):
    """Seeded random weights under the name that torchvision expects; gives network and file."""

    def write(name):
        torch.manual_seed(0)
        network = models.get_model(name, weights=None).eval()
        temporary = checkpoints / "temporary"
        torch.save(network.state_dict(), temporary)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        path = temporary.rename(checkpoints / f"{name}-{digest[:8]}.pth")
        weights = models.get_model_weights(name).DEFAULT
        monkeypatch.setattr(
            weights.value, "url", f"https://download.pytorch.org/models/{path.name}"
        )
        return network, path

    return write


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18"])
def test_an_imagenet_network_behaves_like_a_course_network(random_weights, models, name):
    network, _ = random_weights(name)
    before = torch.get_rng_state()
    classifier = load(f"imagenet:{name}", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)
    weights = models.get_model_weights(name).DEFAULT
    picture = a_picture(3, 300, 401)

    expected = weights.transforms()(picture)[None]
    x = classifier.preprocess(picture)
    assert x.shape == (1, 3, 224, 224)
    assert torch.allclose(x, expected, atol=1e-5)
    assert torch.allclose(classifier.scores(picture), network(expected), atol=1e-4)

    assert len(classifier.classes) == 1000
    assert classifier.classes[classifier.class_index("zebra")] == "zebra"
    assert len(classifier.top_k(picture)) == 5
    assert isinstance(next(iter(classifier.layers.values())), nn.Module)
    assert not any(getattr(module, "inplace", False) for module in classifier.model.modules())
    assert not classifier.model.training


def test_unknown_names_in_an_imagenet_network_suggest_close_ones(random_weights):
    random_weights("squeezenet1_1")
    classifier = load("imagenet:squeezenet1_1")
    assert isinstance(classifier.layer("features.0"), nn.Conv2d)
    with pytest.raises(ValueError, match=r"close to it, of \d+: features.0"):
        classifier.layer("feature.0")
    with pytest.raises(ValueError, match=r"close to it, of 1000: .*basketball"):
        classifier.class_index("basket ball")


@pytest.mark.parametrize("name", ["ResNet18", "resnet_18", "resnet19"])
def test_unknown_imagenet_networks_suggest_close_ones(name):
    with pytest.raises(ValueError, match=f"no classifier of torchvision '{name}'.*resnet18"):
        load(f"imagenet:{name}")


def test_only_classifiers_of_pictures_are_offered(models):
    with pytest.raises(ValueError, match="no classifier"):
        load("imagenet:fasterrcnn_resnet50_fpn")


def test_offline_the_missing_file_its_address_and_its_place_are_named(checkpoints):
    with pytest.raises(DataError) as error:
        load("imagenet:resnet18")
    message = str(error.value)
    assert "resnet18-f37072fd.pth is missing" in message
    assert "https://download.pytorch.org/models/resnet18-f37072fd.pth" in message
    assert f"put it into {checkpoints}" in message
    assert "Name or service not known" in message


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, lambda path: path.write_bytes(b"")])
def test_damaged_weights_are_named(random_weights, damage):
    _, path = random_weights("squeezenet1_1")
    damage(path)
    with pytest.raises(DataError, match="truncated or not the right file") as error:
        load("imagenet:squeezenet1_1")
    assert str(path) in str(error.value)


def test_a_damaged_download_is_named_and_not_kept(checkpoints, monkeypatch):
    class Response:
        headers = {"Content-Length": "4"}  # noqa: RUF012 - as short as the file

        def __init__(self):
            self.chunks = [b"oops"]

        def read(self, size):
            return self.chunks.pop() if self.chunks else b""

        def info(self):
            return self

        def get_all(self, name):
            return None

        def close(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *details):
            pass

    monkeypatch.setattr(torch.hub, "urlopen", lambda *arguments, **options: Response())
    with pytest.raises(DataError, match=r"resnet18-f37072fd\.pth was damaged"):
        load("imagenet:resnet18")
    assert not list(checkpoints.iterdir())


def test_what_preprocess_relies_on_holds_for_every_classifier(models):
    for name in models.list_models(module=models):
        weights = models.get_model_weights(name).DEFAULT
        transforms = weights.transforms()
        assert transforms.resize_size[0] >= transforms.crop_size[0], name
        assert transforms.antialias, name
        assert transforms.interpolation.value in ("bilinear", "bicubic"), name
        digits = Path(weights.url).stem.rpartition("-")[2]
        assert len(digits) >= 8, name
        assert set(digits) <= set("0123456789abcdef"), name


@pytest.mark.parametrize("name", ["vit_b_16", "efficientnet_b1", "swin_t"])
@pytest.mark.parametrize("shape", [(3, 401, 300), (2, 3, 90, 128), (3, 128, 128)])
def test_preprocess_equals_torchvisions_transforms(models, name, shape):
    transforms = models.get_model_weights(name).DEFAULT.transforms()
    classifier = Classifier(
        name=name,
        model=nn.Conv2d(3, 1, 1),
        classes=["any"],
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        size=transforms.crop_size[0],
        layers={},
        resize=transforms.resize_size[0],
        interpolation=transforms.interpolation.value,
    )
    pictures = a_picture(*shape)
    expected = transforms(pictures).reshape(-1, 3, classifier.size, classifier.size)
    # Bicubic resizing overshoots; as on files of bytes, what leaves [0, 1] is cut off.
    low, high = (classifier.preprocess(torch.full((3, 8, 8), value)) for value in (0.0, 1.0))
    expected = torch.maximum(torch.minimum(expected, high), low)
    assert torch.allclose(classifier.preprocess(pictures), expected, atol=1e-5)


# ---------------------------------------------------------------------------- own networks


def own_network(classes=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(), nn.Linear(4, classes),
    )  # fmt: skip


def test_an_own_network_is_used_like_the_courses():
    classifier = wrap(own_network(), ["a", "b", "c"], Preprocess(48, resize=56))
    picture = a_picture(3, 90, 70)
    assert classifier.preprocess(picture).shape == (1, 3, 48, 48)
    assert [name for name, _ in classifier.top_k(picture, 3)] != []
    assert not classifier.model.training and isinstance(classifier.layer("0"), nn.Conv2d)
    assert not any(parameter.requires_grad for parameter in classifier.model.parameters())
    x = classifier.preprocess(torch.full((3, 56, 56), 0.3))
    assert torch.allclose(classifier.undo_preprocess(x), torch.full((1, 3, 48, 48), 0.3), atol=1e-5)


@pytest.mark.parametrize(
    "model, classes, message",
    [
        (lambda x: x, ["a"], "must be a Classifier or an nn.Module"),
        (nn.Flatten(), ["a"], "no weights"),
        (own_network(3), ["a", "b"], r"returns \(2, 3\); with 2 classes it should be \(2, 2\)"),
        (own_network(2), ["a", "a"], "same name"),
        (own_network(2), {"a", "b"}, "set of classes has no order"),
        (own_network(2), frozenset("ab"), "set of classes has no order"),
        (own_network(2), "ab", "a list of their names"),
        (own_network(2), None, "a list of their names"),
        (own_network(2), [], "a list of their names"),
        (own_network(2), torch.zeros(2), "a list of their names"),
        (nn.Conv2d(3, 2, 3), ["a", "b"], r"returns \(2, 2, 46, 46\)"),
        (nn.Conv2d(1, 2, 3), ["a", "b"], "can't take pictures"),
        (nn.Sequential(own_network(2), nn.Softmax(1)), ["a", "b"], "leave the softmax out"),
        (nn.LSTM(48, 2), ["a", "b"], "can't take pictures|returns a tuple"),
    ],
)
def test_what_is_no_classifier_is_refused_with_a_sentence(model, classes, message):
    with pytest.raises(ValueError, match=message):
        wrap(model, classes, Preprocess(48))


@pytest.mark.parametrize(
    "classes",
    [("a", "b"), {1: "b", 0: "a"}, {"a": 1, "b": 2}.keys(), iter("ab"), np.array(["a", "b"])],
)
def test_classes_come_in_whatever_has_an_order(classes):
    found = wrap(own_network(2), classes, Preprocess(48)).classes
    assert found == ["a", "b"] and all(type(name) is str for name in found)


def test_a_network_that_went_wrong_is_refused():
    model = own_network()
    model[0].weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        wrap(model, ["a", "b", "c"], Preprocess(48))


FILE = """
import torch
from torch import nn
from course_utils.classifiers import Preprocess, wrap

model = nn.Sequential(nn.Conv2d(3, 2, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
classifier = wrap(model, ["left", "right"], Preprocess(32))
"""


def test_an_own_network_comes_from_a_python_file(tmp_path):
    file = tmp_path / "my_network.py"
    file.write_text(FILE)
    classifier = load(str(file))
    assert classifier.name == "my_network" and classifier.classes == ["left", "right"]
    with pytest.raises(ValueError, match="There is no file"):
        load(str(tmp_path / "other.py"))
    file.write_text("classifier = 7")
    with pytest.raises(ValueError, match="must make a `classifier`.*it has a int"):
        load(str(file))
    file.write_text("")
    with pytest.raises(ValueError, match="it has none"):
        load(str(file))


# ---------------------------------------------------------------------------- files of one's own


def test_a_network_file_may_hold_dataclasses_and_annotations(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from torch import nn\n"
        "from course_utils.classifiers import Preprocess, wrap\n"
        "@dataclass\n"
        "class Settings:\n"
        "    channels: int = 4\n"
        "model = nn.Sequential(nn.Conv2d(3, Settings().channels, 3), nn.ReLU(),\n"
        "    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
        "classifier = wrap(model, ['a', 'b'], Preprocess(32))\n",
        encoding="utf-8",
    )
    assert load(str(path)).classes == ["a", "b"]


def test_files_missing_from_another_folder_are_a_data_error(tmp_path):
    with pytest.raises(DataError, match=r"mine\.json is missing"):
        load_from(tmp_path, "mine")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_relative_folder_is_the_one_that_was_saved_to(folder, tmp_path, monkeypatch, kind):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(DataError, match=r"elsewhere/classifiers/small\.json is missing"):
        load_from(kind("classifiers"), "small")  # not the one in the data folder
    model = small_network(5)
    save(model, kind("classifiers"), "small", **FACTS)
    loaded = load_from(kind("classifiers"), "small")
    assert torch.equal(loaded.model.head.weight, model.head.weight)


def test_a_network_names_its_architecture(tmp_path):
    save_small_network(tmp_path, "small")
    assert json.loads((tmp_path / "small.json").read_text())["architecture"] == "plain"
    text = (tmp_path / "small.json").read_text().replace('"plain"', '"grand"')
    (tmp_path / "small.json").write_text(text)
    with pytest.raises(DataError, match=r"small\.json is damaged"):
        load_from(tmp_path, "small")
