"""Distillation in the training loop: what it inherits from there holds for it too."""

import json
from dataclasses import replace

import pytest
import torch

from unetdiff.distillation import ConsistencyDistillation, KnowledgeDistillation, ProgressiveDistillation
from unetdiff.errors import InputError
from unetdiff.losses import EDMObjective, Uncertainty, VObjective
from unetdiff.model_folder import DataInfo, ModelInfo, load_model, save_model
from unetdiff.preconditioning import EDM
from unetdiff.prune import prune
from unetdiff.training.config import ValidationConfig
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import starting_points
from unetdiff.unet import UNet

KINDS = (KnowledgeDistillation, ProgressiveDistillation, ConsistencyDistillation)
REMOVED = {"up_blocks.1.resnets.1": "shortcut", "down_blocks.0.resnets.0": "identity"}


def save(folder, unet, preconditioning=EDM()):  # noqa: B008
    info = ModelInfo(preconditioning=preconditioning, data=DataInfo(channels=1, height=28, width=28))
    save_model(folder, unet, info)
    return folder


def random_network(config, seed=0):
    torch.manual_seed(seed)
    unet = UNet(config)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return unet


@pytest.fixture
def teacher(tmp_path, model):
    return save(tmp_path / "teacher", random_network(model))


@pytest.fixture
def student(tmp_path, teacher):
    return save(tmp_path / "student", prune(load_model(teacher)[0].unet, REMOVED))


@pytest.fixture
def distilled(small_run, teacher, student, model):
    """Makes configurations: a pruned student for knowledge, the whole network for fewer steps."""

    def make(kind=KnowledgeDistillation, name="run", **changes):
        if kind is KnowledgeDistillation:
            distill, init, network = kind(teacher=str(teacher)), student, replace(model, removed=REMOVED)
        else:
            distill, init, network = kind(teacher=str(teacher), steps=4), teacher, model
        return small_run(name, **{"distill": distill, "init": str(init), "model": network, **changes})

    return make


def without_dropout(config):
    return replace(config, model=replace(config.model, resnet=replace(config.model.resnet, dropout=0.0)))


def go_on(config, data, until=None):
    """Make the steps up to `until` and leave the run there, as a kill does; or fit to the end."""
    trainer = Trainer(config, data, starts=starting_points(config.out / "checkpoints", "auto"))
    if until is None:
        trainer.fit()
    else:
        batches = trainer._batches()
        while trainer.state.step < until:
            trainer.optimizer_step(batches)
            if trainer.state.step % config.checkpoint_every == 0:
                trainer.store.save()
    return trainer


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_equals_uninterrupted(distilled, data, kind):
    settings = {"steps": 4, "accumulation": 2}
    whole = go_on(distilled(kind, "whole", **settings), data)
    go_on(distilled(kind, "killed", **settings), data, until=3)
    again = go_on(distilled(kind, "killed", **settings), data)
    for file, tensors in whole.state.tensors().items():
        for key, tensor in tensors.items():
            assert torch.equal(again.state.tensors()[file][key], tensor), f"{file} {key}"
    logged = [(line["step"], line["loss"], line["terms"]) for line in records(whole.config.out)]
    assert [(line["step"], line["loss"], line["terms"]) for line in records(again.config.out)] == logged[2:]


def test_the_terms_are_recorded_and_sum_up_to_the_loss(distilled, data):
    config = distilled(steps=2, accumulation=2, optimizer=replace(distilled().optimizer, warmup_steps=0))
    go_on(config, data)
    for line in records(config.out):
        assert {"task", "output", "features.mid_block.resnets.0"} <= line["terms"].keys()
        assert sum(line["terms"].values()) == pytest.approx(line["loss"], rel=1e-5)


def test_a_run_without_a_teacher_has_no_terms(small_run, data):
    config = small_run(steps=3)
    go_on(config, data)
    assert [line["terms"] for line in records(config.out)] == [{}] * 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parts", [2, 8])
def test_loss_and_gradient_do_not_depend_on_accumulation(distilled, data, model, kind, parts):
    """Dropout's masks would; the rest does not."""

    def first(accumulation):
        trainer = Trainer(without_dropout(distilled(kind, accumulation=accumulation)), data)
        for parameter in trainer.state.unet.parameters():
            parameter.data.add_(0.05)
        losses = trainer.optimizer_step._accumulate(trainer._batches())
        return losses, {name: p.grad for name, p in trainer.state.unet.named_parameters()}

    (losses, whole), (same_losses, accumulated) = first(1), first(parts)
    torch.testing.assert_close(same_losses, losses, rtol=1e-5, atol=1e-6)
    scale = max(gradient.abs().max() for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(accumulated[name], gradient, rtol=0, atol=float(scale) * 1e-5)


def test_the_teacher_stays_as_it_is_and_out_of_everything(distilled, data, teacher):
    trainer = go_on(distilled(), data)
    expected = load_model(teacher)[0].unet.state_dict()
    found = trainer.teacher.denoiser.unet
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in expected.items())
    owned = {id(parameter) for parameter in trainer.optimizer_step.training_loss.parameters()}
    assert owned.isdisjoint(map(id, found.parameters()))
    saved = trainer.state.tensors()["weights.safetensors"].keys()
    assert saved == trainer.state.unet.state_dict().keys() != expected.keys()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("settings", [{"gradient_checkpointing": True}, {"channels_last": True}])
def test_ways_to_compute_change_rounding_alone(distilled, data, kind, settings):
    plain, other = (Trainer(without_dropout(distilled(kind, **changes)), data) for changes in ({}, settings))
    updates = [trainer.optimizer_step(trainer._batches()) for trainer in (plain, other)]
    assert updates[1].loss == pytest.approx(updates[0].loss, rel=1e-4)
    assert updates[1].grad_norm == pytest.approx(updates[0].grad_norm, rel=1e-4)


def test_half_precision_keeps_the_terms_finite(distilled, data):
    trainer = Trainer(distilled(mixed_precision="bf16"), data)
    update = trainer.optimizer_step(trainer._batches())
    assert sum(update.terms.values()) == pytest.approx(update.loss, rel=1e-5)


def test_the_consistency_target_is_the_runs_average(distilled, data):
    trainer = Trainer(distilled(ConsistencyDistillation), data)
    average = trainer.optimizer_step.training_loss.average.denoiser.unet
    assert average is trainer.state.ema.model
    assert average is not trainer.state.unet


def test_validation_is_that_of_every_run(distilled, data):
    config = distilled(steps=3, validation=ValidationConfig(every=3, images=4, sigmas=2))
    trainer = Trainer(config, data, held_out=data)
    trainer.fit()
    assert [line["kind"] for line in records(config.out)].count("validation") == 1


def test_another_teacher_is_refused_and_another_place_is_not(distilled, data, teacher, model, tmp_path):
    config = distilled(steps=4)
    go_on(config, data, until=2)
    moved = replace(config, distill=replace(config.distill, teacher=str(teacher.rename(tmp_path / "moved"))))
    go_on(moved, data)
    save(tmp_path / "moved", random_network(model, seed=1))
    with pytest.raises(InputError, match=r"belongs to another run: teacher was \w{64}, is \w{64}"):
        go_on(moved, data)
    with pytest.raises(InputError, match=r"distill.output was 1.0, is 0.5"):
        save(tmp_path / "moved", random_network(model))
        go_on(replace(moved, distill=replace(moved.distill, output=0.5)), data)


def test_a_run_that_learned_alone_does_not_go_on_with_a_teacher(distilled, data):
    config = distilled()
    go_on(replace(config, distill=None), data, until=2)
    with pytest.raises(InputError, match="distill.kind was None, is KnowledgeDistillation"):
        go_on(config, data)


def test_networks_that_do_not_go_together_are_refused(distilled, data, model, tmp_path):
    other = save(tmp_path / "other", random_network(replace(model, num_classes=None)))
    config = distilled()
    with pytest.raises(InputError, match="input and conditions, got num_classes 10 and None"):
        Trainer(replace(config, distill=KnowledgeDistillation(teacher=str(other))), data)
    deeper = replace(model, levels=(replace(model.levels[0], depth=2), model.levels[1]))
    other = save(tmp_path / "other", random_network(deeper))
    with pytest.raises(InputError, match=r"only in the teacher: down_blocks.0.resnets.1, up_blocks.1.resnets.2"):
        Trainer(replace(config, distill=KnowledgeDistillation(teacher=str(other))), data)


def test_a_teacher_of_another_preconditioning_is_refused(distilled, data):
    with pytest.raises(InputError, match="objective: expected the preconditioning of .*teacher, EDM"):
        Trainer(replace(distilled(), init=None, objective=VObjective()), data)


def test_a_learned_uncertainty_is_refused(distilled):
    with pytest.raises(ValueError, match=r"objective.uncertainty: expected null with distill"):
        distilled(objective=EDMObjective(uncertainty=Uncertainty()))


def test_sharded_averages_cannot_be_asked(distilled, data, monkeypatch):
    monkeypatch.setattr("accelerate.Accelerator.is_fsdp2", True)
    with pytest.raises(InputError, match="expected one that asks no average under FSDP, got ConsistencyDistillation"):
        Trainer(distilled(ConsistencyDistillation), data)


def test_the_model_tells_of_its_teacher(distilled, data):
    config = distilled(steps=3)
    go_on(config, data)
    facts = json.loads((config.out / "model" / "denoiser.json").read_text())["training"]
    assert (facts["teacher"], facts["started from"]) == ("teacher, KnowledgeDistillation", "student")
    assert load_model(config.out)[0].unet.config.removed == REMOVED
