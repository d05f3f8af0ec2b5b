from dataclasses import replace

import numpy as np
import pytest
import torch

from unetdiff.prune.calibration import Calibration


def spread(count=4, rows=None, **options):
    rows = np.arange(count) if rows is None else np.asarray(rows)
    images = torch.arange(count).float().reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    condition = {"class_labels": torch.arange(count), "added_cond_kwargs": {"text_embeds": torch.ones(count, 2)}}
    return Calibration.spread(images, rows, condition, lambda u: 10 * u, **options)


def test_noise_levels_are_the_middles_of_equal_shares():
    torch.testing.assert_close(spread().sigma, torch.tensor([1.25, 3.75, 6.25, 8.75]))


def test_weights_sum_to_one_and_follow_the_power():
    assert torch.equal(spread().weight, torch.full((4,), 0.25))
    weight = spread(noise_power=2.0).weight
    torch.testing.assert_close(weight, torch.tensor([1.0, 9.0, 25.0, 49.0]) / 84)


def test_noise_belongs_to_the_image():
    few, many = spread(2, rows=[7, 3]), spread(3, rows=[3, 5, 7])
    assert torch.equal(few.noise[0], many.noise[2])
    assert torch.equal(few.noise[1], many.noise[0])
    assert not torch.equal(few.noise[0], spread(2, rows=[7, 3], seed=1).noise[0])
    assert torch.equal(few.x, few.images + few.sigma[:, None, None, None] * few.noise)


def test_batches_are_its_rows():
    whole = spread(5, batch_size=2)
    batches = list(whole.batches)
    assert [len(batch) for batch in batches] == [2, 2, 1]
    for name in ("images", "noise", "sigma", "weight", "x"):
        assert torch.equal(torch.cat([getattr(batch, name) for batch in batches]), getattr(whole, name))
    assert torch.equal(torch.cat([batch.condition["class_labels"] for batch in batches]), torch.arange(5))
    assert batches[2].condition["added_cond_kwargs"]["text_embeds"].shape == (1, 2)


def test_the_hash_is_of_all_that_is_in_it():
    plain = spread()
    assert plain.sha256 == spread(batch_size=3).sha256
    others = [
        spread(seed=1),
        spread(noise_power=1.0),
        replace(plain, images=plain.images + 1),
        replace(plain, sigma=plain.sigma * 2),
        replace(plain, condition={}),
        replace(plain, condition={**plain.condition, "added_cond_kwargs": {"text_embeds": torch.zeros(4, 2)}}),
    ]
    assert len({plain.sha256, *(other.sha256 for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"noise": torch.zeros(4, 3, 4, 4)}, r"noise: expected shape \(4, 1, 4, 4\), got \(4, 3, 4, 4\)"),
        ({"sigma": torch.ones(3)}, r"sigma: expected shape \(4,\), got \(3,\)"),
        ({"weight": torch.ones(4, 1)}, r"weight: expected shape \(4,\), got \(4, 1\)"),
        ({"batch_size": 0}, "batch_size: expected at least 1, got 0"),
    ],
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=message):
        replace(spread(), **change)
