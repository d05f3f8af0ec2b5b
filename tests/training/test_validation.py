"""The loss of held-out images: what it is, and that training does not notice."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.losses import EDMObjective, EpsilonObjective, Uncertainty
from unetdiff.training.averages import PowerEMA
from unetdiff.training.config import ValidationConfig
from unetdiff.training.held_out import held_out
from unetdiff.training.loop import Trainer

GRID = ValidationConfig(every=2, images=6, sigmas=4)


@pytest.fixture
def held_out_images(fashion_mnist):
    return prepare(DataConfig(split="test"))


@pytest.fixture
def validated(small_run, data, held_out_images):
    """Give a function that makes a trainer with validation."""
    return lambda name="run", **changes: Trainer(
        small_run(name, **{"validation": GRID, **changes}), data, held_out=held_out_images
    )


class Blank(nn.Module):
    """A network that answers zero, so that D(x) = c_skip x."""

    dtype = torch.float32

    def forward(self, sample, timestep, **condition):
        return (torch.zeros_like(sample),)


@pytest.mark.parametrize("batch_size", [1, 4, 8])
def test_the_loss_of_a_blank_network_is_known(validated, batch_size):
    """c_skip x - x0 is (c_skip - 1) x0 + c_skip sigma eps, whatever the size of the batches that compute it."""
    validation = validated(batch_size=batch_size).validation
    objective, batch = EDMObjective(), validation.grid
    losses = validation._losses(Blank(), batch_size)
    for sigma, loss in zip(validation.grid.sigmas, losses, strict=True):
        c_skip = objective.preconditioning.c_skip(sigma)
        error = (c_skip - 1) * batch.images + c_skip * sigma * batch.noise
        assert loss.item() == pytest.approx((objective.weight(sigma) * error.square().mean()).item(), rel=1e-5)


@pytest.mark.parametrize("objective", [EDMObjective(), EpsilonObjective()])
def test_levels_are_quantiles_of_the_training_levels(validated, objective):
    expected = objective.sigma(torch.tensor([1, 3, 5, 7]) / 8)
    assert torch.equal(validated(objective=objective).validation.grid.sigmas, expected)


def test_the_grid_is_frozen(validated, held_out_images):
    first, second = validated("one"), validated("two", seed=17, batch_size=6)
    assert torch.equal(first.validation.grid.noise, second.validation.grid.noise)
    assert torch.equal(first.validation.grid.images, second.validation.grid.images)
    other = validated("three", validation=replace(GRID, seed=1))
    assert not torch.equal(first.validation.grid.noise, other.validation.grid.noise)
    assert first.validation(first.state, 8) == first.validation(first.state, 8)


def test_more_images_than_there_are_is_all_of_them_once(validated, held_out_images):
    images = validated(validation=replace(GRID, images=1000)).validation.grid.images
    assert len(images.flatten(1).unique(dim=0)) == len(held_out_images) == 100


def test_every_average_is_measured_and_the_mean_is_that_of_the_levels(validated):
    trainer = validated(ema=PowerEMA(widths=(0.05, 0.1)), objective=EDMObjective(uncertainty=Uncertainty(channels=4)))
    batches = trainer._batches()
    for _ in range(3):
        trainer.optimizer_step(batches)
    trainer.state.log_variance.weight.data.fill_(3.0)  # no part of what is measured
    record = trainer.validation(trainer.state, 8)
    assert (record.kind, record.step, record.images) == ("validation", 3, 6)
    assert list(record.loss) == ["weights", "ema-0.05", "ema-0.1"]
    assert len(set(record.loss.values())) == 3
    for name, loss in record.loss.items():
        assert loss == pytest.approx(sum(record.loss_by_sigma[name].values()) / 4, rel=1e-12)
        assert [float(sigma) for sigma in record.loss_by_sigma[name]] == pytest.approx(
            trainer.validation.grid.sigmas.tolist(), rel=1e-3
        )
    plain = validated("plain", ema=PowerEMA(widths=(0.05, 0.1)))
    plain.state.unet.load_state_dict(trainer.state.unet.state_dict())
    assert plain.validation(plain.state, 8).loss["weights"] == record.loss["weights"]


def test_the_network_is_told_the_class_and_drops_nothing_out(validated):
    trainer = validated()
    for parameter in trainer.state.unet.parameters():
        nn.init.normal_(parameter, std=0.1)  # where training begins, zeros hide the condition
    before = trainer.validation(trainer.state, 8)
    assert trainer.validation(trainer.state, 8) == before  # nothing is dropped out
    labels = trainer.validation.grid.condition["class_labels"]
    trainer.validation.grid.condition["class_labels"] = (labels + 1) % 10
    assert trainer.validation(trainer.state, 8).loss["weights"] != before.loss["weights"]


def test_training_does_not_notice(small_run, data, validated):
    plain, watched = Trainer(small_run("plain"), data), validated("watched")
    for trainer in (plain, watched):
        trainer.fit()
    for file, tensors in plain.state.tensors().items():
        for key, tensor in tensors.items():
            assert torch.equal(watched.state.tensors()[file][key], tensor), f"{file} {key}"
    assert watched.state.unet.training


class TestHeldOut:
    def test_it_is_the_test_part(self, small_run, data, held_out_images):
        assert held_out(small_run(), data).fingerprint == held_out_images.fingerprint

    def test_there_is_none_where_it_is_off(self, small_run, data):
        assert held_out(small_run(validation=ValidationConfig(every=0)), data) is None

    def test_nothing_is_taken_from_a_source_without_a_test_part(self, small_run, model, folder):
        config = small_run(data=DataConfig(source=str(folder("only", "ab"))), model=replace(model, num_classes=2))
        assert held_out(config, prepare(config.data)) is None

    def test_another_source_can_be_named(self, small_run, model, folder):
        config = small_run(
            data=DataConfig(source=str(folder("training", "ab"))),
            model=replace(model, num_classes=2),
            validation=ValidationConfig(source=str(folder("validation", "ab", seed=1)), split="train"),
        )
        assert len(held_out(config, prepare(config.data))) == 2

    @pytest.mark.parametrize(
        ("classes", "side", "seed", "split", "words"),
        [
            ("ac", 8, 1, "train", "expected the classes of training, a, b, got a, c"),
            ("ab", 9, 1, "train", r"expected images of the shape \(1, 8, 8\) of training, got \(1, 9, 9\)"),
            ("ab", 8, 0, "train", "expected images that are held out, got those of training"),
            ("ab", 8, 1, "test", "split: expected train"),
        ],
    )
    def test_what_does_not_go_with_training_is_refused(
        self, small_run, model, folder, classes, side, seed, split, words
    ):
        config = small_run(
            data=DataConfig(source=str(folder("training", "ab"))),
            model=replace(model, num_classes=2),
            validation=ValidationConfig(source=str(folder("other", classes, side, seed)), split=split),
        )
        with pytest.raises(InputError, match=words):
            held_out(config, prepare(config.data))

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"split": "train"}, "validation.split: expected test"),
            ({"images": 0}, "validation.images: expected a positive"),
            ({"sigmas": 0}, "validation.sigmas: expected a positive"),
            ({"every": -1}, "validation.every: expected 0 or more"),
        ],
    )
    def test_bad_fields_are_named(self, fields, words):
        with pytest.raises(ValueError, match=words):
            ValidationConfig(**fields)
