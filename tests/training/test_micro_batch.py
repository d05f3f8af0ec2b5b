"""A run that has too little memory for its batches makes the steps of one that takes them in more parts."""

import logging
from dataclasses import replace

import pytest
import torch

from unetdiff.cli.preview_grid import PreviewGrid
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.training.config import PreviewConfig, ValidationConfig
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import starting_points

OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def trainer_with_room_for(images, config, data, error=OUT_OF_MEMORY, **others):
    trainer = Trainer(config, data, **others)

    def allocate(module, inputs):
        if len(inputs[0]) > images:
            raise type(error)(*error.args)  # a new one: it holds the tensors of its frames

    for network in (trainer.state.unet, *trainer.state.ema.models.values()):
        network.conv_out.register_forward_pre_hook(allocate)  # late, when much is computed already
    return trainer


def assert_same_weights(trainer, reference):
    for name, tensor in reference.state.unet.state_dict().items():
        assert torch.equal(trainer.state.unet.state_dict()[name], tensor), name


@pytest.mark.parametrize(("images", "configured", "found"), [(7, 1, 2), (3, 1, 4), (2, 4, 4)])
def test_it_trains_like_a_run_in_so_many_parts(small_run, data, images, configured, found):
    reference = Trainer(small_run("reference", steps=3, accumulation=found), data)
    reference.fit()
    trainer = trainer_with_room_for(images, small_run("short", steps=3, accumulation=configured), data)
    trainer.fit_memory()
    assert trainer.config == replace(reference.config, out=trainer.config.out)
    assert trainer.fit()
    assert_same_weights(trainer, reference)


def test_what_is_shown_on_the_way_takes_no_more_room(small_run, data):
    shown = {"preview": PreviewConfig(every=2, rows=2, columns=3, steps=1), "validation": ValidationConfig(every=2)}
    config, held_out = small_run(steps=4, **shown), prepare(DataConfig(split="test"))
    preview = PreviewGrid.of(config, data, held_out)
    trainer = trainer_with_room_for(4, config, data, preview=preview, held_out=held_out)
    trainer.fit_memory()
    assert trainer.fit()
    assert (trainer.folder.samples / "step-0000004.png").exists()


def test_every_divisor_of_an_odd_share_is_tried(small_run, data):
    trainer = trainer_with_room_for(2, small_run(batch_size=9), data)
    trainer.fit_memory()
    assert trainer.config.accumulation == 9


def test_looking_for_room_changes_nothing(small_run, data):
    reference = Trainer(small_run("reference"), data)
    trainer = Trainer(small_run("looked"), data)
    trainer.fit_memory()
    assert all(parameter.grad is None for parameter in trainer.state.unet.parameters())
    for each in (reference, trainer):
        each.fit()
    assert_same_weights(trainer, reference)


def test_it_says_so_once_for_each_attempt(small_run, data, caplog):
    with caplog.at_level(logging.WARNING):
        trainer_with_room_for(2, small_run(), data).fit_memory()
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 8 images at a time: going on with 4, in 2 parts (batch_size stays 8)",
        "out of memory with 4 images at a time: going on with 2, in 4 parts (batch_size stays 8)",
    ]


def test_a_machine_too_small_for_one_image_is_refused(small_run, data):
    trainer = trainer_with_room_for(0, small_run(), data)
    with pytest.raises(InputError, match="memory: expected room to train on one image at a time on cpu, got out of"):
        trainer.fit_memory()


def test_a_cpu_runs_out_of_memory_too(small_run, data):
    error = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried")
    trainer = trainer_with_room_for(4, small_run(), data, error)
    trainer.fit_memory()
    assert trainer.config.accumulation == 2


def test_other_errors_are_not_taken_for_it(small_run, data):
    with pytest.raises(RuntimeError, match="shape mismatch"):
        trainer_with_room_for(0, small_run(), data, RuntimeError("shape mismatch")).fit_memory()


def test_a_run_that_goes_on_finds_its_parts_anew(small_run, data):
    trainer = trainer_with_room_for(4, small_run(steps=3), data)
    trainer.fit_memory()
    trainer.fit()
    longer = Trainer(small_run(steps=4), data, starts=starting_points(trainer.folder.checkpoints, "auto"))
    longer.fit_memory()
    assert longer.config.accumulation == 1
    assert longer.fit()


def test_a_finished_run_needs_no_room(small_run, data):
    trainer = trainer_with_room_for(0, small_run(steps=3), data)
    trainer.state.step = 3
    trainer.fit_memory()
    assert trainer.config.accumulation == 1
