"""`unetdiff replay`: the folder that a broken step leaves makes it happen again."""

import json

import pytest
import torch
from safetensors.torch import load_file

from unetdiff.cli.main import main
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet


@pytest.fixture
def settings(tmp_path, fashion_mnist, model):
    """A run whose learning rate is far too high."""
    return {
        "out": str(tmp_path / "run"),
        "model": model.to_dict(),
        "data": {"source": "fashion-mnist"},
        "optimizer": {"lr": 1e20},
        "preview": {"every": 0},
        "validation": {"every": 0},
        "steps": 4,
        "batch_size": 8,
        "accumulation": 2,
        "num_workers": 0,
    }


@pytest.fixture
def broken(tmp_path, settings, refused):
    """Make a run break; gives its folder of the step, and what was found."""

    def run(**changes):
        (tmp_path / "run.yaml").write_text(json.dumps({**settings, **changes}))
        message = refused(["train", "--config", str(tmp_path / "run.yaml")])
        (folder,) = (tmp_path / "run" / "nonfinite").iterdir()
        return folder, message.split("first not finite is ")[1].split(", in ")[0]

    return run


def assert_replayed(folder, found, capsys):
    assert main(["replay", str(folder)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].endswith(f"float32: first not finite is {found}")
    assert len(printed) == 2 + 4


@pytest.mark.parametrize("uncertainty", [None, {"channels": 4}], ids=["plain", "uncertainty"])
def test_the_command_of_the_folder_shows_it_again(broken, uncertainty, capsys):
    folder, found = broken(objective={"class_path": "EDMObjective", "init_args": {"uncertainty": uncertainty}})
    assert f"unetdiff replay {folder}\n" in (folder / "README.md").read_text()
    assert_replayed(folder, found, capsys)


def test_every_condition_is_kept(broken, settings, capsys):
    folder, found = broken(model={**settings["model"], "augment_channels": 9}, augment={"p": 0.5})
    conditions = {name for name in load_file(folder / "batch.safetensors") if name.startswith("condition.")}
    assert conditions == {"condition.class_labels", "condition.augment_labels"}
    assert_replayed(folder, found, capsys)


def test_adapters_are_replayed_with_what_they_adapt(broken, tmp_path, model, capsys):
    info = ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=28, width=28))
    unet = UNet(model)
    torch.nn.init.normal_(unet.conv_out.weight)
    save_model(tmp_path / "base", unet, info)
    folder, found = broken(init=str(tmp_path / "base"), lora={"rank": 2, "targets": ["conv1"]}, optimizer={"lr": 1e38})
    assert_replayed(folder, found, capsys)


def test_a_folder_that_reproduces_nothing_is_refused(tmp_path, refused):
    assert f"{tmp_path}: expected a folder that reproduces a step" in refused(["replay", str(tmp_path)])
