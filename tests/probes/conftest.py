import numpy as np
import pytest

from tests.manifests import manifest
from unetdiff.features.store_writer import StoreWriter


@pytest.fixture
def blobs():
    """Features (N, 6) of three classes that planes separate, and their labels."""

    def make(count=90, seed=0, spread=0.3):
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.arange(count) % 3)
        centres = 4 * np.eye(3, 6) + 10
        return (centres[labels] + spread * generator.standard_normal((count, 6))).astype(np.float32), labels

    return make


@pytest.fixture
def stores(tmp_path, blobs):
    """Give a function that writes features of training and test images: informative ones at `good`, and noise."""

    def write(folder=tmp_path / "features", test_settings=None, weights="abc", labelled=True):
        for split, count in (("train", 90), ("test", 60)):
            rows, labels = blobs(count, seed=count, spread=1.5)
            noise = np.random.default_rng(count).standard_normal((count, 4)).astype(np.float32)
            facts = {"images": count, "classes": ("a", "b", "c") if labelled else (), "shard_images": 40}
            settings = {"taps": ("good", "noise"), "sigmas": (0.1, 2.0)}
            if split == "test":
                settings, facts = settings | (test_settings or {}), facts | {"weights": weights}
            described = manifest(settings, shapes=((6,), (4,)), split=split, **facts)
            writer = StoreWriter(folder / split, described)
            writer.begin(labels if labelled else None)
            for name, of_shard in described.shards.items():
                part = slice(of_shard.start, of_shard.stop)
                features = {"good": (rows, rows + 9 * rows[::-1]), "noise": (noise, noise)}
                writer.write(name, {cell: features[cell.tap][cell.sigma > 1][part] for cell in described.cells})
        return folder

    return write
