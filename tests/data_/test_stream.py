"""Batches: what they hold, and that they depend on (seed, global sample index) alone."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from unetdiff.conditioning.labels import ClassLabels
from unetdiff.data import Batch, DataConfig, SampleStream, prepare
from unetdiff.data.keyed import Purpose

NAMES = [field.name for field in dataclasses.fields(Batch) if field.name != "condition"]


class Asked:
    """A condition that shows what it is asked for."""

    def take(self, rows, dropped):
        return {"row": torch.from_numpy(rows), "dropped": torch.from_numpy(dropped)}


class Drawn:
    """A condition that shows its draws."""

    purpose = Purpose.CONCAT

    def make(self, images, draws):
        return images, {"drawn": torch.tensor([draw.random() for draw in draws])}


@pytest.fixture
def data(fashion_mnist):
    return prepare(DataConfig())


@pytest.fixture
def unlabelled(tmp_path):
    """Ten images of one pixel that shows their number."""
    np.save(tmp_path / "a.npy", np.arange(10, dtype=np.uint8).reshape(10, 1, 1))
    return prepare(DataConfig(source=str(tmp_path / "a.npy")))


def stream(data, *, steps=2, **settings):
    conditions = {"rows": [Asked()], "pictures": [Drawn()], "dropout": 0.3}
    return SampleStream(data, **{"seed": 3, "global_batch": 24, "steps": steps, **conditions, **settings})


def assert_equal(a, b):
    for name in NAMES:
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)
    torch.testing.assert_close(a.condition, b.condition, rtol=0, atol=0)


def joined(batches):
    condition = {name: torch.cat([batch.condition[name] for batch in batches]) for name in batches[0].condition}
    return Batch(
        **{name: torch.cat([getattr(batch, name) for batch in batches]) for name in NAMES}, condition=condition
    )


def shown(batch):
    """The numbers of the images of `unlabelled` in a batch."""
    return ((batch.images.flatten() + 1) * 127.5).round().int().tolist()


@pytest.mark.parametrize("micro_batches", [1, 2, 3])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_ranks_and_micro_batches_join_to_the_single_process_batch(data, micro_batches, world_size):
    whole = stream(data, flip=True)
    ranks = [
        stream(data, flip=True, micro_batches=micro_batches, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for step in range(2):
        items = range(step * micro_batches, (step + 1) * micro_batches)
        assert_equal(joined([rank[item] for item in items for rank in ranks]), whole[step])


def test_start_step_goes_on_where_the_first_part_ended(data):
    whole = stream(data, steps=20)
    rest = stream(data, steps=3, start_step=17)
    for step in range(3):
        assert_equal(rest[step], whole[17 + step])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns wherever a thread was started
@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a machine with one core
def test_workers_give_the_same_batches_in_order(data):
    source = stream(data, steps=3, micro_batches=2)
    loaded = list(DataLoader(source, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    assert len(loaded) == len(source) == 6
    for item, batch in enumerate(loaded):
        assert_equal(batch, source[item])


def test_other_seeds_and_other_steps_give_other_numbers(data):
    first = stream(data)[0]
    for other in (stream(data)[1], stream(data, seed=4)[0]):
        for name in ("noise", "images"):
            assert not torch.equal(getattr(first, name), getattr(other, name))
        assert (first.condition["drawn"] != other.condition["drawn"]).all()


def test_images_are_the_data_scaled_and_labels_are_theirs(data):
    batch = stream(data, global_batch=400, rows=[ClassLabels(data.labels)], dropout=0.0)[0]
    labels = batch.condition["class_labels"]
    assert batch.images.dtype == torch.float32
    assert labels.dtype == torch.int64
    pixels = ((batch.images + 1) * 127.5).round().to(torch.uint8).numpy()
    expected = {(image.tobytes(), int(label)) for image, label in zip(data.images, data.labels, strict=True)}
    assert {(image.tobytes(), int(label)) for image, label in zip(pixels, labels, strict=True)} == expected


def test_range_of_sixteen_bits_is_minus_one_to_one(unlabelled):
    images = np.array([0, 13107, 65535], np.uint16).reshape(3, 1, 1, 1)
    batch = stream(dataclasses.replace(unlabelled, images=images), global_batch=3)[0]
    assert sorted(batch.images.flatten().tolist()) == pytest.approx([-1, -0.6, 1], abs=1e-7)


def test_range_is_minus_one_to_one(unlabelled, tmp_path):
    np.save(tmp_path / "b.npy", np.array([0, 255], np.uint8).reshape(2, 1, 1))
    extremes = prepare(DataConfig(source=str(tmp_path / "b.npy")))
    assert sorted(stream(extremes, global_batch=2)[0].images.flatten().tolist()) == [-1, 1]


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own(unlabelled):
    batches = stream(unlabelled, global_batch=4, steps=10)
    numbers = [number for item in range(10) for number in shown(batches[item])]
    epochs = [tuple(numbers[start : start + 10]) for start in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(epochs)) == 4


def test_a_batch_may_be_larger_than_the_data(unlabelled):
    numbers = shown(stream(unlabelled, global_batch=25)[0])
    assert sorted(numbers[:10]) == sorted(numbers[10:20]) == list(range(10))
    assert len(set(numbers[20:])) == 5


def test_noise_levels_are_stratified_over_the_global_batch(data):
    parts = [stream(data, rank=rank, world_size=3) for rank in range(3)]
    uniform = torch.cat([part[1].uniform for part in parts]).double()
    assert ((uniform * 24).floor() == torch.arange(24)).all()
    assert uniform.unique().numel() == 24


def test_uniform_stays_inside_the_open_interval(data, monkeypatch):
    for number, expected in ((0.0, 2**-24), (math.nextafter(1, 0), 1 - 2**-24)):
        monkeypatch.setattr(
            SampleStream, "_draw", lambda *_, number=number: (np.full(3, number), np.zeros((1, 28, 28), np.float32))
        )
        assert stream(data, global_batch=1)[0].uniform.item() == expected


def test_noise_has_its_distribution(data):
    batch = stream(data, global_batch=2000)[0]
    deviation = 1 / math.sqrt(batch.noise.numel())
    assert abs(batch.noise.mean()) < 4 * deviation
    assert abs(batch.noise.var() - 1) < 4 * math.sqrt(2) * deviation


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_asked_share_of_conditions_is_dropped(data, share):
    dropped = stream(data, global_batch=2000, dropout=share)[0].condition["dropped"]
    assert abs(dropped.double().mean() - share) <= 4 * math.sqrt(share * (1 - share) / 2000)


def test_a_larger_share_drops_more_of_the_same(data):
    few, many = (stream(data, global_batch=400, dropout=share)[0].condition["dropped"] for share in (0.2, 0.6))
    assert (many | ~few).all()


def test_a_sample_draws_from_its_key(data):
    """Runs of earlier versions go on with the same numbers: level, dropout and flip, then the noise."""
    batch, share = stream(data, flip=True)[1], 1 / 24
    for row in range(24):
        generator = np.random.Generator(np.random.Philox(key=np.array([3, 24 + row], dtype=np.uint64)))
        level, dropout, _ = generator.random(3, dtype=np.float32)
        assert batch.uniform[row] == pytest.approx((row + level) * share, abs=2**-24)
        assert batch.condition["dropped"][row] == (dropout < 0.3)
        assert (batch.noise[row].numpy() == generator.standard_normal((1, 28, 28), dtype=np.float32)).all()


def test_flip_mirrors_about_half_and_changes_nothing_else(data):
    plain, flipped = stream(data, global_batch=400)[0], stream(data, global_batch=400, flip=True)[0]
    same = (plain.images == flipped.images).flatten(1).all(1)
    mirrored = (plain.images.flip(-1) == flipped.images).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 160 < mirrored.sum() < 240
    assert_equal(dataclasses.replace(plain, images=flipped.images), flipped)


def test_without_conditions(unlabelled):
    assert stream(unlabelled, rows=(), pictures=())[0].condition == {}


def test_moving_a_batch_moves_all_of_it(data):
    moved = stream(data)[0].to("meta")
    assert all(tensor.is_meta for tensor in [*(getattr(moved, name) for name in NAMES), *moved.condition.values()])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"world_size": 5}, "global_batch: expected a multiple of 1 micro-batches x 5 processes, got 24"),
        ({"global_batch": 0}, "got 0"),
    ],
)
def test_settings_that_are_refused(data, settings, message):
    with pytest.raises(ValueError, match=message):
        stream(data, **settings)


def test_items_end(data):
    with pytest.raises(IndexError):
        stream(data)[2]
