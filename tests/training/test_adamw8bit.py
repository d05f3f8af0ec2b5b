"""AdamW of eight bits: what is ours of it, with bitsandbytes where it is installed, else with a stand-in."""

import importlib.util
import sys
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import nn

from unetdiff.errors import InputError
from unetdiff.training import checkpoint
from unetdiff.training.config import OptimizerConfig
from unetdiff.training.loop import Trainer
from unetdiff.training.optimizer import build_optimizer, optimizer_numbers, optimizer_tensors

KIND = OptimizerConfig(kind="adamw8bit", lr=1e-2, warmup_steps=2)


class StandIn(torch.optim.Optimizer):
    """Momentum whose state looks like that of bitsandbytes: a counter, bytes, scales, a table that all share."""

    def __init__(self, params, lr, betas, eps, weight_decay):
        self.table = torch.linspace(-1, 1, 256)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def init_state(self, group, parameter, group_index, index):
        self.state[parameter] = {
            "step": 0,
            "state1": torch.full_like(parameter, 128, dtype=torch.uint8),
            "absmax1": torch.zeros(1),
            "qmap1": self.table,
        }

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                state["step"] += 1
                momentum = state["qmap1"][state["state1"].long()] * state["absmax1"] + parameter.grad
                state["absmax1"].copy_(momentum.abs().max().reshape(1))
                state["state1"].copy_((momentum / state["absmax1"].clamp(min=1e-30) * 127.5 + 127.5).round())
                parameter -= group["lr"] / state["step"] * momentum


@pytest.fixture(autouse=True)
def _bitsandbytes(monkeypatch):
    if importlib.util.find_spec("bitsandbytes") is None:
        package, optim = ModuleType("bitsandbytes"), ModuleType("bitsandbytes.optim")
        optim.AdamW8bit = StandIn
        monkeypatch.setitem(sys.modules, "bitsandbytes", package)
        monkeypatch.setitem(sys.modules, "bitsandbytes.optim", optim)


@pytest.fixture
def eight_bit_run(small_run, model):
    wide = replace(model, levels=(replace(model.levels[0], channels=32),) * 2)  # some of more than 4096 weights
    return lambda name="run", **changes: small_run(name, model=wide, optimizer=KIND, **changes)


def test_a_killed_run_goes_on_bit_for_bit(eight_bit_run, data):
    whole = Trainer(eight_bit_run("whole"), data)
    whole.fit()
    stopped = Trainer(eight_bit_run("stopped"), data)
    batches = stopped._batches()
    for _ in range(3):
        stopped.optimizer_step(batches)
    path = checkpoint.save(stopped.folder.checkpoints, stopped.state, stopped.identity)
    resumed = Trainer(eight_bit_run("stopped"), data, starts=[path])
    assert set(optimizer_numbers(resumed.state.optimizer).values()) == {3}
    resumed.fit()
    for file, tensors in whole.state.tensors().items():
        for key, tensor in tensors.items():
            assert torch.equal(resumed.state.tensors()[file][key], tensor), f"{file} {key}"
    assert optimizer_numbers(resumed.state.optimizer) == optimizer_numbers(whole.state.optimizer)


def test_the_memory_is_there_before_the_first_step_and_is_bytes():
    optimizer = build_optimizer(KIND, nn.Linear(64, 64).named_parameters())
    tensors = optimizer_tensors(optimizer)
    assert tensors["weight:state1"].dtype == torch.uint8
    assert tensors["weight:state1"].shape == (64, 64)
    assert optimizer_numbers(optimizer) == {"weight:step": 0, "bias:step": 0}


def test_tables_that_all_parameters_share_are_not_stored():
    layers = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    optimizer = build_optimizer(KIND, layers.named_parameters())
    storages = [tensor.untyped_storage().data_ptr() for tensor in optimizer_tensors(optimizer).values()]
    assert len(set(storages)) == len(storages)


def test_torchs_own_optimisers_have_no_plain_numbers():
    assert optimizer_numbers(build_optimizer(OptimizerConfig(), nn.Linear(2, 2).named_parameters())) == {}


def test_without_bitsandbytes_it_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(InputError, match=r"kind: expected adam or adamw where bitsandbytes cannot be .* got adamw8bit"):
        build_optimizer(KIND, nn.Linear(2, 2).named_parameters())


def test_channels_last_is_refused(eight_bit_run):
    with pytest.raises(ValueError, match="channels_last: expected false with adamw8bit"):
        eight_bit_run(channels_last=True)
