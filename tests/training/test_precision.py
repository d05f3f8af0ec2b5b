"""What is computed in which precision: TF32 where it is allowed, half precision inside the network alone."""

import math

import pytest
import torch
from accelerate import Accelerator

from unetdiff.losses import EDMObjective, Uncertainty
from unetdiff.training.loop import Trainer
from unetdiff.training.precision import allow_tf32


@pytest.fixture
def settings():
    """Reads torch's switches; afterwards they are what they were."""

    def read():
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32

    before = read()
    yield read
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_tf32_is_for_matrices_and_convolutions_alike(settings):
    allow_tf32(torch.device("cuda"), True)
    assert settings() == ("high", True)
    allow_tf32(torch.device("cuda"), False)
    assert settings() == ("highest", False)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_cpu_computes_in_float32(small_run, data, settings, allowed):
    before = settings()
    Trainer(small_run(tf32=allowed), data)
    assert settings() == before


def test_the_network_computes_in_half_precision_what_surrounds_it_in_float32(small_run, data):
    objective = EDMObjective(uncertainty=Uncertainty(channels=8))
    trainer = Trainer(small_run(mixed_precision="bf16", objective=objective), data)
    layers = ("conv_in", "down_blocks.0.resnets.0.conv1", "conv_out", "time_embedding.linear_1")
    expected = {f"denoiser.unet.{layer}": torch.bfloat16 for layer in layers}
    expected |= {"denoiser": torch.float32, "log_variance": torch.float32, "": torch.float32}
    given = {}
    for name in expected:
        module = trainer.optimizer_step._own_loss.get_submodule(name)
        module.register_forward_hook(lambda module, inputs, output, name=name: given.update({name: output.dtype}))
    trainer.optimizer_step(trainer._batches())
    assert given == expected  # the last three: the denoised image, u(sigma), the loss of each image


def test_an_overflow_of_fp16_lowers_the_scale_and_leaves_weights_and_moments(small_run, data, monkeypatch):
    """A scaler for the CPU stands in for the GPU's; the gradient overflows as in half precision."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1)
    prepare = Accelerator.prepare

    def with_scaler(accelerator, *objects):
        accelerator.scaler = scaler
        return prepare(accelerator, *objects)

    monkeypatch.setattr(Accelerator, "prepare", with_scaler)
    trainer = Trainer(small_run(), data)
    trainer.state.scaler = scaler
    batches = trainer._batches()
    weight = trainer.state.unet.conv_out.weight
    before = weight.detach().clone()
    poison = weight.register_hook(lambda gradient: gradient * float("inf"))
    update = trainer.optimizer_step(batches)
    assert scaler.get_scale() == 512.0
    assert not math.isfinite(update.grad_norm)
    assert torch.equal(weight, before)
    assert trainer.state.optimizer.state[weight]["step"] == 0
    poison.remove()
    trainer.optimizer_step(batches)
    assert scaler.get_scale() == 1024.0  # a step without overflow
    assert not torch.equal(weight, before)
