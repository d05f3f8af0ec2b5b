"""`unetdiff train --init`: what the network says is the default, what the command says goes before it."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from unetdiff import load_model
from unetdiff.cli import train
from unetdiff.cli.main import main
from unetdiff.lora import LORA_FILE
from unetdiff.losses import EDMObjective, EDMWeighting, LogNormalObjective
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import EDM, VE, Consistency, Epsilon
from unetdiff.training.checkpoint import checkpoints
from unetdiff.unet import UNet

YAML = """
steps: 2
batch_size: 8
num_workers: 0
log_every: 1
checkpoint_every: 1
data: {source: fashion-mnist}
preview: {every: 0}
"""


@pytest.fixture
def make_base(tmp_path, model):
    def make(preconditioning):
        unet = UNet(model)
        torch.nn.init.normal_(unet.conv_out.weight, std=0.1)
        data = DataInfo(channels=1, height=28, width=28)
        save_model(tmp_path / "base", unet, ModelInfo(preconditioning=preconditioning, data=data))
        return tmp_path / "base"

    return make


@pytest.fixture
def base(make_base):
    return make_base(EDM(sigma_data=0.6))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def options(tmp_path, fashion_mnist, base, out):
    (tmp_path / "tune.yaml").write_text(YAML + f"init: {base}\n")
    return ["train", "--config", str(tmp_path / "tune.yaml"), "--out", str(out)]


def parsed(*arguments):
    return train.train_config(train.parser().parse_args(arguments))


def weights(out):
    return load_file(checkpoints(out / "checkpoints")[-1] / "weights.safetensors")


def test_the_network_and_its_preconditioning_are_the_defaults(options, model):
    config = parsed(*options[1:])
    assert (config.model, config.objective) == (model, EDMObjective(sigma_data=0.6))
    config = parsed(*options[1:], "--model.num_classes", "12", "--objective.P_mean", "-0.5")
    assert (config.model.levels, config.model.num_classes) == (model.levels, 12)
    assert config.objective == EDMObjective(sigma_data=0.6, P_mean=-0.5)


@pytest.mark.parametrize(
    "preconditioning",
    [VE(), Epsilon(schedule=DiscreteSchedule(steps=100), time_scale=2.0), Consistency(sigma_data=0.6)],
    ids=repr,
)
def test_a_preconditioning_without_an_objective_of_its_own_is_kept(make_base, options, out, preconditioning):
    make_base(preconditioning)
    assert main([*options, "--steps", "1"]) == 0
    for arguments in (options[1:], ["--config", str(out / "config.yaml")]):
        weighting = EDMWeighting(sigma_data=0.6) if preconditioning == Consistency(sigma_data=0.6) else None
        assert parsed(*arguments).objective == LogNormalObjective(prediction=preconditioning, weighting=weighting)
    assert load_model(out)[1].preconditioning == preconditioning


def test_another_preconditioning_is_refused_and_nothing_is_written(options, out, refused):
    assert "objective: expected the preconditioning of" in refused([*options, "--objective", "EpsilonObjective"])
    assert "EDM(sigma_data=0.6" in refused([*options, "--objective.sigma_data", "0.5"])
    assert not out.exists()


def test_the_written_config_repeats_the_run(options, out, tmp_path):
    assert main([*options, "--freeze", '["down_blocks.*"]', "--model.num_classes", "11"]) == 0
    assert main(["train", "--config", str(out / "config.yaml"), "--out", str(tmp_path / "again")]) == 0
    first, second = weights(out), weights(tmp_path / "again")
    assert first["class_embedding.weight"].shape[0] == 11
    assert all(torch.equal(second[name], tensor) for name, tensor in first.items())


@pytest.mark.parametrize("again", ["command", "config"])
def test_a_run_goes_on_without_the_network_that_it_started_from(options, base, out, tmp_path, again):
    main([*options, "--steps", "4"])
    whole = weights(out)
    for name in ("step-0000003", "step-0000004"):
        shutil.rmtree(out / "checkpoints" / name, ignore_errors=True)
    main([*options, "--steps", "2", "--out", str(tmp_path / "half")])
    shutil.rmtree(base)
    command = {"command": options, "config": ["train", "--config", str(tmp_path / "half" / "config.yaml")]}[again]
    assert main([*command, "--steps", "4", "--out", str(tmp_path / "half")]) == 0
    assert all(torch.equal(weights(tmp_path / "half")[name], tensor) for name, tensor in whole.items())


def test_lora_fields_on_the_command_line(options, out, capsys):
    assert main([*options, "--lora", "rank=2", "targets=conv1,mid_block", "--seed", "5"]) == 0
    assert "0 tensors" not in (said := capsys.readouterr().err)
    assert "parameters are trained; weights of" in said
    assert (out / "model" / LORA_FILE).is_file()
    config = parsed("--config", str(out / "config.yaml"))
    assert (config.lora.rank, config.lora.targets, config.seed) == (2, ("conv1", "mid_block"), 5)


def test_the_model_tells_what_it_started_from(options, out):
    main([*options, "--freeze", '["down_blocks.*", "conv_in"]'])
    facts = json.loads((out / "model" / "denoiser.json").read_text())["training"]
    assert (facts["started from"], facts["frozen"]) == ("base", "down_blocks.*, conv_in")


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--lora", "rank=0"], "lora.rank: expected a positive number, got 0"),
        (["--lora", "depth=2"], "depth"),
        (["--lora", "--freeze", '["conv_in"]'], "freeze: expected nothing with lora"),
        (["--init", "no/such/folder"], "no/such/folder: a folder or the name of a hub repository expected"),
        (["--model.levels", "[{channels: 16}]"], "model: expected the network of init but for"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_settings_are_named_and_nothing_is_written(options, out, extra, words, refused):
    assert words in refused([*options, *extra])
    assert not out.exists()
