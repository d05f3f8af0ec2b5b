"""Class consistency with a classifier whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import ClassifierConfig
from unetdiff.evaluation.consistency import class_consistency, dataset_consistency


class Brightness(nn.Module):
    """Class 0 for dark images, 1 for bright ones, never 2."""

    config = ClassifierConfig(in_channels=1, classes=("0", "1", "2"))

    def forward(self, images):
        level = images.mean(dim=(1, 2, 3))
        return torch.stack([-level, level, torch.full_like(level, -9)], dim=1)


def images(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 1, 2, 2)


def test_shares_are_counted_per_class():
    result = class_consistency(images(-0.5, -0.5, 0.5, 0.5, 0.5), torch.tensor([0, 1, 1, 1, 2]), Brightness())
    assert result.share == 3 / 5
    assert result.per_class == pytest.approx((1, 2 / 3, 0))


def test_parts_add_up():
    levels, labels = images(-0.5, -0.5, 0.5, 0.5), torch.tensor([0, 1, 1, 0])
    parts = [class_consistency(levels[i : i + 1], labels[i : i + 1], Brightness()) for i in range(4)]
    added, whole = parts[0] + parts[1] + parts[2] + parts[3], class_consistency(levels, labels, Brightness())
    assert torch.equal(added.hits, whole.hits)
    assert torch.equal(added.counts, whole.counts)


def test_a_dataset_is_judged_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("unetdiff.evaluation.consistency.BATCH", 2)
    pixels = np.array([0, 255, 255, 0, 200], np.uint8)[:, None, None].repeat(3, 1).repeat(3, 2)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.array([0, 1, 1, 1, 2]))
    result = dataset_consistency(prepare(DataConfig(source=str(tmp_path / "a.npz"))), Brightness())
    assert result.hits.tolist() == [1, 2, 0]
    assert result.counts.tolist() == [1, 3, 1]


def test_other_classes_are_refused(fashion_mnist):
    with pytest.raises(InputError, match="expected images of the classes 0, 1, 2, got T-shirt/top, Trouser"):
        dataset_consistency(prepare(DataConfig()), Brightness())
