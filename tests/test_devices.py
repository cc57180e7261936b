"""Where networks compute: one setting, the same results, nothing on the wrong device."""

from pathlib import Path

import pretend_device
import pytest
import torch

from course_utils import _devices, pictures, scores, trial
from course_utils.classifiers import load

# ---------------------------------------------------------------------------- the setting


def test_the_cpu_is_the_default(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    assert _devices.chosen_device() == torch.device("cpu")


def test_the_setting_chooses(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cuda:1")
    assert _devices.chosen_device() == torch.device("cuda:1")


def test_auto_takes_an_accelerator_where_there_is_one(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "auto")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert _devices.chosen_device() == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    assert _devices.chosen_device() == torch.device("mps")


def test_a_setting_that_names_no_device(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "gpu")
    with pytest.raises(ValueError, match="COURSE_DEVICE=gpu names no device: use auto, cuda"):
        load("tank_fair")


def test_a_device_that_is_not_there(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cuda:77")
    with pytest.raises(ValueError, match="'cuda:77' can't be used here"):
        load("tank_fair")


# ---------------------------------------------------------------------------- random numbers


def test_seeded_draws_what_torch_s_seed_does_and_the_draws_around_it_go_on(monkeypatch):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(1)
    around = torch.rand(4)
    torch.manual_seed(1)
    first = torch.rand(2)
    if not torch.accelerator.is_available():  # then it would note call stacks for nothing
        monkeypatch.delattr(torch, "manual_seed")
    with _devices.seeded(7):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.cat([first, torch.rand(2)]), around)


def test_random_numbers_go_on_where_they_were_kept_also_after_an_error():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with pytest.raises(KeyError), _devices.random_numbers_kept():
        torch.manual_seed(torch.randint(9, ()).item())
        raise KeyError
    assert torch.equal(torch.rand(2), expected)


def test_with_an_accelerator_its_random_numbers_are_seeded_too(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch, "manual_seed", asked.append)
    with _devices.seeded(7):
        assert asked == [7]


# ---------------------------------------------------------------------------- an accelerator


@pytest.mark.skipif(
    not pretend_device.AVAILABLE, reason="this torch has no devices written in Python"
)
@pytest.mark.parametrize("name", ["on_the_pretended_device", "on_a_device_without_doubles"])
def test_everything_works_on_an_accelerator(forks, name):
    """In a process of its own, see these files."""
    file = Path(__file__).with_name(f"{name}.py")
    done = forks.run("-m", "pytest", "-q", "-p", "no:cacheprovider", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout and "skipped" not in done.stdout


# ---------------------------------------------------------------------------- half precision


@pytest.mark.parametrize("method", ["saliency", "guided backprop", "Grad-CAM"])
def test_half_precision_keeps_the_order_of_the_pixels(method):
    """float16, of which the benchmarks' README says so for all methods."""
    full, half = load("look_alikes", "cpu"), load("look_alikes", "cpu")
    half.model.half()
    images = pictures.load_set("look_alikes", "test")[70][0][None]
    targets = full.predict(images)
    maps = [trial.heatmaps(n, images, targets, [method])[method].float() for n in (full, half)]
    assert scores.rank_correlation(maps[0][0], maps[1][0]) > 0.95
