"""Runs of networks that are told a picture: what they learn from, are measured on and show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from unetdiff.cli.preview_grid import PreviewGrid
from unetdiff.conditioning.augmentation import LABELS, Augmentation
from unetdiff.conditioning.concat import Inpainting, SuperResolution
from unetdiff.data import DataConfig, prepare
from unetdiff.data.keyed import Purpose, keyed
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.latent_images import LatentsConfig
from unetdiff.pictures import read_png
from unetdiff.preconditioning import EDM
from unetdiff.training.batches import sample_stream
from unetdiff.training.conditions import row_conditions
from unetdiff.training.config import PreviewConfig, ValidationConfig
from unetdiff.training.loop import Trainer
from unetdiff.training.preview_rows import preview_rows
from unetdiff.training.summary import check_fit, model_info
from unetdiff.unet import UNet

TASKS = [SuperResolution(factor=4), Inpainting()]
GRID = ValidationConfig(every=2, images=4, sigmas=2)


@pytest.fixture
def held_out_images(fashion_mnist):
    return prepare(DataConfig(split="test"))


@pytest.fixture
def told_run(small_run, model):
    """Makes configurations of networks that fit a task."""

    def make(concat, name="run", **changes):
        channels = concat.channels(1)
        network = replace(model, in_channels=1 + channels, concat_channels=channels)
        return small_run(name, **{"model": network, "concat": concat, "validation": GRID, **changes})

    return make


@pytest.mark.parametrize("concat", TASKS)
def test_a_run_goes_on_and_says_what_it_was_told(told_run, data, held_out_images, concat):
    trainer = Trainer(told_run(concat), data, held_out=held_out_images)
    assert trainer.fit()
    assert model_info(trainer.config, data, 6).concat == concat.info
    for parameter in trainer.state.unet.parameters():
        nn.init.normal_(parameter, std=0.1)  # where training begins, zeros hide the condition
    before = trainer.validation(trainer.state, 8).loss["weights"]
    assert trainer.validation(trainer.state, 8).loss["weights"] == before
    trainer.validation.grid.condition["concat"].mul_(-1)
    assert trainer.validation(trainer.state, 8).loss["weights"] != before


@pytest.mark.parametrize("concat", TASKS)
def test_the_picture_is_made_of_the_augmented_image_and_never_dropped(told_run, model, data, concat):
    network = replace(model, in_channels=1 + concat.channels(1), concat_channels=concat.channels(1))
    network = replace(network, augment_channels=LABELS)
    config = told_run(concat, model=network, augment=Augmentation(p=0.5), condition_dropout=1.0)
    check_fit(config, data)
    batch = sample_stream(config, data, row_conditions(config, data), start_step=2, rank=0, processes=1)[0]
    assert batch.condition["augment_labels"].any()
    draws = [keyed(config.seed, sample, Purpose.CONCAT) for sample in range(16, 24)]
    assert torch.equal(batch.condition["concat"], concat.degraded(batch.images, draws))
    assert (batch.condition["class_labels"] == -1).all()


def test_holes_of_validation_have_a_seed_of_their_own(told_run, data, held_out_images):
    def told(**changes):
        config = told_run(Inpainting(), **changes)
        return Trainer(config, data, held_out=held_out_images).validation.grid.condition["concat"]

    assert torch.equal(told(), told(name="other", seed=17))
    assert not torch.equal(told(name="third", validation=replace(GRID, seed=1))[:, 1], told(name="fourth")[:, 1])


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (Inpainting(), Inpainting(rectangles=2), "concat.rectangles was 1, is 2"),
        (SuperResolution(factor=4), SuperResolution(factor=2), "concat.factor was 4, is 2"),
    ],
)
def test_another_task_is_another_run(told_run, data, before, after, message):
    Trainer(told_run(before, steps=3), data).fit()
    start = told_run(before).out / "checkpoints" / "step-0000003"
    with pytest.raises(InputError, match=message):
        Trainer(told_run(after), data, starts=[start])


@pytest.mark.parametrize("concat", TASKS)
def test_a_preview_shows_what_was_given_and_held_out(told_run, data, held_out_images, concat):
    config = told_run(concat, preview=PreviewConfig(rows=3, columns=4, steps=1, neighbours=False))
    rows = preview_rows(config, data, held_out_images)
    told, images = rows.given.unbind(1)
    held_out = torch.from_numpy(held_out_images.images.astype(np.float32) / 127.5 - 1)
    shown = [int((held_out == image).flatten(1).all(dim=1).nonzero()[0]) for image in images]
    assert held_out_images.labels[shown].tolist() == [0, 1, 2]
    assert torch.equal(rows.condition["concat"][::4, :1], told)
    assert rows.condition["class_labels"].tolist() == [0] * 4 + [1] * 4 + [2] * 4

    denoiser = Denoiser(UNet(config.model).eval(), EDM())
    picture = PreviewGrid.of(config, data, held_out_images)(denoiser, 0, 5).pictures["samples"]
    pixels = read_png(picture)[:58, -6 * 58 :]
    first = np.round((images[0, 0].numpy() + 1) * 127.5).astype(np.uint8)
    assert np.array_equal(pixels[2:58:2, 58:114:2, 0], first)


def test_a_preview_takes_training_images_where_no_others_are(told_run, data):
    config = told_run(SuperResolution(factor=4), preview=PreviewConfig(rows=2, columns=1))
    _, images = preview_rows(config, data).given.unbind(1)
    training = torch.from_numpy(data.images.astype(np.float32) / 127.5 - 1)
    assert all((training == image).flatten(1).all(dim=1).any() for image in images)


@pytest.mark.parametrize(
    ("concat", "fields", "message"),
    [
        (Inpainting(), {"concat_channels": 1}, r"model.concat_channels: expected 2 for concat Inpainting\(.*got 1"),
        (Inpainting(), {"in_channels": 4}, "model.in_channels: expected the 1 of fashion-mnist and 2 of concat, got 4"),
        (SuperResolution(factor=5), {}, "concat.factor: expected a divisor of the image size 28x28, got 5"),
        (None, {"concat_channels": 1}, "model.concat_channels: expected 0 for concat None, got 1"),
        (Inpainting(), {"out_channels": 2}, "model.out_channels: expected the 1 of fashion-mnist, got 2"),
    ],
)
def test_what_does_not_fit_is_refused(told_run, data, concat, fields, message):
    config = told_run(concat or SuperResolution(factor=4))
    with pytest.raises(InputError, match=message):
        check_fit(replace(config, concat=concat, model=replace(config.model, **fields)), data)


def test_latents_have_no_picture_of_this_kind(told_run):
    with pytest.raises(ValueError, match="concat: expected null with latents, got"):
        told_run(Inpainting(), latents=LatentsConfig(codec="vae"))
