"""Every objective through the command: two steps, what is written, what a run that goes on must share."""

import json
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from unetdiff import load_model
from unetdiff.cli import train
from unetdiff.cli.main import main
from unetdiff.errors import InputError
from unetdiff.losses import (
    EDMObjective,
    EpsilonObjective,
    LogitNormal,
    MinSNR,
    RectifiedFlowObjective,
    SoftMinSNR,
    Uncertainty,
    Uniform,
    VObjective,
    X0Objective,
)
from unetdiff.noise import DiscreteSchedule
from unetdiff.training.identity import differences, identity
from unetdiff.training.loop import Trainer

RUN = {
    "steps": 2,
    "batch_size": 4,
    "num_workers": 0,
    "preview": {"every": 0},
    "model": {
        "in_channels": 1,
        "out_channels": 1,
        "num_classes": 10,
        "levels": [{"channels": 8, "depth": 1}, {"channels": 8, "depth": 1}],
        "mid": {"depth": 0},
    },
}
TABLE = {"kind": "cosine", "steps": 100}


@pytest.mark.parametrize(
    ("written", "objective"),
    [
        (
            {"class_path": "VObjective", "init_args": {"schedule": {"zero_terminal_snr": True}}},
            VObjective(schedule=DiscreteSchedule(zero_terminal_snr=True)),
        ),
        (
            {"class_path": "X0Objective", "init_args": {"schedule": TABLE, "weighting": {"class_path": "MinSNR"}}},
            X0Objective(schedule=DiscreteSchedule(kind="cosine", steps=100), weighting=MinSNR()),
        ),
        (
            {
                "class_path": "EpsilonObjective",
                "init_args": {"weighting": {"class_path": "MinSNR", "init_args": {"gamma": 3}}},
            },
            EpsilonObjective(weighting=MinSNR(gamma=3.0)),
        ),
        (
            {"class_path": "RectifiedFlowObjective", "init_args": {"times": {"class_path": "Uniform"}}},
            RectifiedFlowObjective(times=Uniform()),
        ),
        (
            {
                "class_path": "RectifiedFlowObjective",
                "init_args": {"times": {"class_path": "LogitNormal", "init_args": {"mean": 0.5}}, "t_min": 0.01},
            },
            RectifiedFlowObjective(times=LogitNormal(mean=0.5), t_min=0.01),
        ),
        (
            {"class_path": "EDMObjective", "init_args": {"weighting": {"class_path": "SoftMinSNR"}}},
            EDMObjective(weighting=SoftMinSNR()),
        ),
        (
            {"class_path": "EDMObjective", "init_args": {"P_mean": -0.4, "uncertainty": {"channels": 16}}},
            EDMObjective(P_mean=-0.4, uncertainty=Uncertainty(channels=16)),
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else f"{type(value).__name__}-{type(value.weighting).__name__}",
)
def test_two_steps_of_each_and_the_config_that_repeats_them(tmp_path, fashion_mnist, written, objective):
    run = tmp_path / "run"
    (tmp_path / "run.json").write_text(json.dumps({**RUN, "out": str(run), "objective": written}))
    assert main(["train", "--config", str(tmp_path / "run.json")]) == 0
    repeated = train.train_config(train.parser().parse_args(["--config", str(run / "config.yaml")]))
    assert repeated.objective == objective
    denoiser, info = load_model(run)
    assert denoiser.preconditioning == objective.preconditioning
    assert info.training["objective"] == repr(objective)


def test_what_is_learned_beside_the_network_is_in_the_checkpoint_alone(tmp_path, small_run, data):
    Trainer(small_run(objective=EDMObjective(uncertainty=Uncertainty(channels=8)), steps=3), data).fit()
    step = tmp_path / "run" / "checkpoints" / "step-0000003"
    assert set(load_file(step / "log_variance.safetensors")) == {"weight", "frequencies", "phases"}
    weights = load_file(step / "weights.safetensors").keys()
    model = load_file(tmp_path / "run" / "model" / "unet" / "diffusion_pytorch_model.safetensors").keys()
    assert weights == model
    assert not [name for name in weights if "log_variance" in name]
    moments = load_file(step / "optimizer.safetensors")
    assert moments["log_variance.weight:exp_avg"].shape == (8,)


SOFT = EDMObjective(weighting=SoftMinSNR(gamma=5.0))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(SOFT, weighting=MinSNR(gamma=5.0)), "objective.weighting.kind was SoftMinSNR, is MinSNR"),
        (replace(SOFT, weighting=SoftMinSNR(gamma=4.0)), "objective.weighting.gamma was 5.0, is 4.0"),
        (replace(SOFT, uncertainty=Uncertainty(channels=8)), "objective.uncertainty.channels was None, is 8"),
    ],
    ids=["kind", "field", "uncertainty"],
)
def test_going_on_with_another_weighting_is_refused(small_run, data, changed, words):
    trainer = Trainer(small_run(objective=SOFT), data)
    trainer.store.save()
    with pytest.raises(InputError, match=words):
        Trainer(small_run(objective=changed), data, starts=[trainer.folder.checkpoints / "step-0000000"])


def test_checkpoints_from_before_there_were_weightings_are_those_of_no_weighting(small_run, data):
    now = identity(small_run(objective=EDMObjective()), data)
    before = {**now, "objective": {key: now["objective"][key] for key in ("kind", "P_mean", "P_std", "sigma_data")}}
    before["objective"].update(sigma_min=0.002, sigma_max=80.0)
    assert differences(before, now) == []
    weighted = identity(small_run(objective=EDMObjective(weighting=MinSNR())), data)
    assert len(differences(before, weighted)) == 2
