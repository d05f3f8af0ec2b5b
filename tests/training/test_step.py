"""Properties of one optimiser step."""

from dataclasses import replace

import pytest
import torch

from unetdiff.conditioning.augmentation import Augmentation
from unetdiff.errors import InputError
from unetdiff.losses import EDMObjective, EpsilonObjective
from unetdiff.training.loop import Trainer
from unetdiff.training.step import NonFiniteError, OptimizerStep, Update


def first_gradient(config, data):
    """Gradient of the first step by parameter name, away from the initialisation, where most of it is zero."""
    trainer = Trainer(config, data)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.state.unet.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    trainer.optimizer_step._accumulate(trainer._batches())
    return {name: parameter.grad for name, parameter in trainer.state.unet.named_parameters()}


@pytest.fixture
def no_dropout(model):
    return replace(model, resnet=replace(model.resnet, dropout=0.0))


@pytest.mark.parametrize("objective", [EDMObjective(), EpsilonObjective()], ids=lambda o: type(o).__name__)
@pytest.mark.parametrize("parts", [2, 8])
def test_the_gradient_does_not_depend_on_accumulation(small_run, data, no_dropout, objective, parts):
    config = small_run(model=no_dropout, objective=objective)
    whole, accumulated = (first_gradient(replace(config, accumulation=n), data) for n in (1, parts))
    scale = max(gradient.abs().max() for gradient in whole.values())
    assert scale > 0
    for name, gradient in whole.items():
        torch.testing.assert_close(accumulated[name], gradient, rtol=0, atol=float(scale) * 4e-6)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_learning_rate_counts_optimiser_steps(small_run, data, parts):
    trainer = Trainer(small_run(steps=4, accumulation=parts), data)
    batches = trainer._batches()
    rates = [trainer.optimizer_step(batches).lr for _ in range(4)]
    assert rates == pytest.approx([0.5e-3, 1e-3, 1e-3, 0.5e-3], rel=1e-12)  # warm-up over 2, then a line to 0 at 4
    assert next(batches, None) is None


def test_dropped_classes_leave_the_class_embedding_alone(small_run, data):
    dropped = first_gradient(small_run(condition_dropout=1.0), data)["class_embedding.weight"]
    kept = first_gradient(small_run(condition_dropout=0.0), data)["class_embedding.weight"]
    assert dropped.abs().max() == 0
    assert (kept.abs().sum(dim=1) > 0).any()


def test_gradient_checkpointing_does_not_change_the_gradient(small_run, data):
    plain, checkpointed = (first_gradient(small_run(gradient_checkpointing=on), data) for on in (False, True))
    for name, gradient in plain.items():
        assert torch.equal(checkpointed[name], gradient), name


def test_channels_last_changes_rounding_alone(small_run, data, no_dropout):
    plain, other = (first_gradient(small_run(model=no_dropout, channels_last=on), data) for on in (False, True))
    scale = max(gradient.abs().max() for gradient in plain.values())
    for name, gradient in plain.items():
        torch.testing.assert_close(other[name], gradient, rtol=0, atol=float(scale) * 4e-6)


def test_mixed_precision_keeps_float32_weights_and_averages(small_run, data):
    trainer = Trainer(small_run(mixed_precision="bf16"), data)
    first = trainer.optimizer_step(trainer._batches())
    assert first.loss > 0
    for tensors in trainer.state.tensors().values():
        assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_made(small_run, data, poison):
    trainer = Trainer(small_run(), data)
    state = trainer.state
    with torch.no_grad():
        state.unet.conv_out.bias.fill_(poison)
    before = {file: {k: t.clone() for k, t in tensors.items()} for file, tensors in state.tensors().items()}
    with pytest.raises(NonFiniteError, match=r"step 0: expected a finite loss and gradient, got loss (nan|inf)"):
        trainer.optimizer_step(trainer._batches())
    assert state.step == 0
    for file, tensors in state.tensors().items():
        for key, tensor in tensors.items():
            torch.testing.assert_close(tensor, before[file][key], rtol=0, atol=0, equal_nan=True)


def test_overflow_is_fp16s_own_affair_until_its_scale_collapses(small_run, data):
    step = Trainer(small_run(), data).optimizer_step
    overflow = Update(loss=1.0, grad_norm=float("inf"), lr=1e-3)
    step.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    step._require_finite(overflow)
    with pytest.raises(NonFiniteError, match="got loss nan"):
        step._require_finite(replace(overflow, loss=float("nan")))
    step.state.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**-11)
    with pytest.raises(NonFiniteError, match="gradient norm inf"):
        step._require_finite(overflow)


def test_clipping_bounds_the_update_but_not_the_report(small_run, data):
    def gradient_after(clip_norm):
        config = small_run(optimizer=replace(small_run().optimizer, clip_norm=clip_norm))
        trainer = Trainer(config, data)
        kept = {}
        trainer.state.optimizer.register_step_pre_hook(
            lambda optimizer, *_: kept.update(
                norm=torch.stack([p.grad.norm() for g in optimizer.param_groups for p in g["params"]]).norm()
            )
        )
        return trainer.optimizer_step(trainer._batches()).grad_norm, float(kept["norm"])

    reported, norm = gradient_after(None)
    assert norm == pytest.approx(reported, rel=1e-5)
    reported_clipped, clipped = gradient_after(reported / 2)
    assert reported_clipped == reported
    assert clipped == pytest.approx(reported / 2, rel=1e-4)


def test_every_step_seeds_its_own_dropout(small_run, data, monkeypatch):
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    trainer = Trainer(small_run(steps=3, accumulation=2), data)
    first, batches = len(seeds), trainer._batches()
    for _ in range(3):
        OptimizerStep.__call__(trainer.optimizer_step, batches)
    assert len(set(seeds[first:])) == 6


def test_augmentation_changes_the_images_and_is_told(small_run, data, model):
    plain, augmented = small_run(), small_run(model=replace(model, augment_channels=9), augment=Augmentation(p=0.5))
    first, second = (next(Trainer(config, data)._batches()) for config in (plain, augmented))
    assert not torch.equal(first.images, second.images)
    assert torch.equal(first.noise, second.noise)
    told = second.condition["augment_labels"].any(1)
    assert torch.equal((first.images != second.images).flatten(1).any(1), told)
    gradient = first_gradient(augmented, data)["augment_embedding.weight"]
    assert gradient.abs().max() > 0


def test_augmentation_that_the_network_is_not_told_is_refused(small_run, data):
    with pytest.raises(InputError, match=r"^model.augment_channels: expected 9 for augment .*, got None$"):
        Trainer(small_run(augment=Augmentation()), data)
