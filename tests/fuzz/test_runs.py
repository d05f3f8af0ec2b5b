"""Damaged run folders: an older checkpoint serves, log lines go, and the rest is refused in one sentence."""

import io
import json
from contextlib import redirect_stderr

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.strategies import Damage, damaged, damages, slips
from unetdiff.cli.main import main
from unetdiff.cli.train import parser, train_config, write_config
from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.data import DataConfig
from unetdiff.errors import InputError
from unetdiff.training import checkpoint
from unetdiff.training.config import TrainConfig
from unetdiff.training.initial_state import initial_state
from unetdiff.training.metrics import MetricsLog
from unetdiff.training.network import build_network
from unetdiff.training.resume import restore_newest, starting_points

IDENTITY = {"seed": 0, "model": {"levels": [4, 4]}}
LEVEL = LevelConfig(channels=4, depth=1)


class Run:
    """Checkpoints of steps 2 and 4, whose every tensor is full of the step."""

    def __init__(self, folder):
        model = UNetConfig(in_channels=1, out_channels=1, levels=(LEVEL, LEVEL), resnet=ResnetConfig(norm_groups=2))
        config = TrainConfig(out=folder, data=DataConfig(source="x"), model=model)
        scaler = torch.amp.GradScaler("cpu")
        network = build_network(config, going_on=False)
        self.folder, self.state = folder, initial_state(config, network, torch.device("cpu"), scaler)
        for step in (2, 4):
            self.fill(step)
            self.newest = checkpoint.save(folder, self.state, IDENTITY)

    def fill(self, step):
        self.state.step = step
        for tensor in self.tensors():
            tensor.fill_(step)

    def tensors(self):
        return [tensor for tensors in self.state.tensors().values() for tensor in tensors.values()]

    def restore(self):
        """Where it goes on from, after all that it had is forgotten; or what is said instead."""
        self.fill(0)
        try:
            return restore_newest(
                starting_points(self.folder, "auto"), lambda path: checkpoint.restore(path, self.state, IDENTITY)
            )
        except InputError as error:
            return str(error)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with torch.no_grad():
        yield Run(tmp_path_factory.mktemp("checkpoints"))


@settings(max_examples=60)
@given(
    name=st.sampled_from(["state.json", "weights.safetensors", "ema.safetensors", "optimizer.safetensors"]),
    damage=damages | slips,
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(run, name, damage):
    with torch.no_grad(), damaged(run.newest / name, damage):
        found = run.restore()
        if isinstance(found, str):
            assert name == "state.json"
            assert f"{run.newest} belongs to another run" in found
            assert run.state.step == 0
        else:
            assert [name in reason for reason in found.damaged.values()] == [True] * (found.checkpoint != run.newest)
            assert run.state.step == checkpoint.step_of(found.checkpoint)
        assert all((tensor == run.state.step).all() for tensor in run.tensors())


RECORDS = [json.dumps({"kind": "train", "step": step, "loss": 0.25, "lr": 1e-3}) + "\n" for step in range(10, 70, 10)]


@settings(max_examples=40)
@given(damage=damages | slips)
def test_a_damaged_log_loses_the_lines_that_are_hit(tmp_path_factory, damage):
    path = tmp_path_factory.getbasetemp() / "metrics.jsonl"
    path.write_text("".join(RECORDS))
    with damaged(path, damage), redirect_stderr(io.StringIO()) as told:
        lines = path.read_text(encoding="latin-1").split("\n")[:-1]  # what is behind the last one is unfinished
        MetricsLog(path, step=10**12)
        kept = path.read_text().splitlines(keepends=True)
    assert set(kept) >= {record for record in RECORDS if record[:-1] in lines}
    assert all(type(json.loads(line)["step"]) is int for line in kept)
    assert len(kept) == len(lines) or f"{path}: expected a record in every line" in told.getvalue()


@pytest.fixture(scope="module")
def run_config(tmp_path_factory):
    """The `config.yaml` of a run."""
    path = tmp_path_factory.mktemp("run") / "config.yaml"
    model = "{in_channels: 1, out_channels: 1, levels: [{channels: 4, depth: 1}], resnet: {norm_groups: 2}}"
    write_config(path, parser().parse_args(["--data.source", "x", "--model", model, "--out", str(path.parent)]))
    return path


@settings(max_examples=12, deadline=None)
@given(damage=damages | slips)
@example(damage=Damage(kind="flipped", place=0.5, value=0x80))
def test_a_damaged_configuration_is_read_or_refused_by_name(run_config, damage):
    options = parser()
    options.exit_on_error = False
    said = str(run_config)
    with damaged(run_config, damage):
        try:
            train_config(options.parse_args(["--config", str(run_config)]))
        except InputError as error:
            said = str(error)
    assert str(run_config) in said


@pytest.mark.parametrize(
    "change",
    [
        (b"- channels: 4", b"- channels:"),
        (b"attention: null", b"attention"),
        (b"data:", b"data: null\nrest:"),
        (b"decay: 0.999", b"decay: null"),
        (b"steps: ", b"steps: \xff"),
    ],
    ids=["in a list", "no mapping", "a group", "of a class", "no text"],
)
def test_null_and_bytes_that_are_no_text_are_refused(run_config, tmp_path, change, capsys):
    path = tmp_path / "damaged.yaml"
    assert change[0] in run_config.read_bytes()
    path.write_bytes(run_config.read_bytes().replace(*change, 1))
    with pytest.raises(SystemExit) as stop:
        main(["train", "--config", str(path), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert not (tmp_path / "out").exists()
