"""Damaged files: refused in one sentence that names the file, or what is read is what was written."""

import json

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.manifests import MANIFEST
from tests.strategies import Damage, damaged, damages
from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.data import PackedDataset
from unetdiff.errors import InputError
from unetdiff.features.store import FeatureStore
from unetdiff.features.store_writer import StoreWriter
from unetdiff.model_folder import DataInfo, ModelInfo, load_model, save_model
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet

SHARD = "features-00000-of-00003.safetensors"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def read_damaged(path, damage, read):
    """What is read from the damaged file, None where it is refused."""
    with damaged(path, damage):
        try:
            return read()
        except InputError as error:
            if path.name not in str(error) and str(path.parent) not in str(error):
                raise
            return None


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    writer = StoreWriter(folder, MANIFEST)
    writer.begin(np.arange(MANIFEST.images) % 2)
    for name, rows in writer.missing.items():
        cells = MANIFEST.row_shapes.items()
        writer.write(name, {cell: np.ones((len(rows), *shape), MANIFEST.settings.dtype) for cell, shape in cells})
    return folder


@settings(max_examples=30)
@given(name=st.sampled_from(["manifest.json", "labels.safetensors", SHARD]), damage=damages)
def test_features(store, name, damage):
    def read():
        opened = FeatureStore.open(store)
        return {cell: np.asarray(opened[cell]) for cell in opened.cells}

    found = read_damaged(store / name, damage, read)
    assert found is None or all((value == 1).all() and len(value) == MANIFEST.images for value in found.values())


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    facts = {"classes": ["a", "b"], "fingerprint": "abc", "unreadable": 0, "size": None, "channels": None}
    (folder / "dataset.json").write_text(json.dumps(facts))
    (folder / "captions.json").write_text(json.dumps(["one", "two", "three"]))
    np.save(folder / "images.npy", np.arange(48, dtype=np.uint8).reshape(3, 1, 4, 4))
    np.save(folder / "labels.npy", np.array([0, 1, 1]))
    np.save(folder / "vectors.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    return folder


@settings(max_examples=40)
@given(
    name=st.sampled_from(["dataset.json", "captions.json", "images.npy", "labels.npy", "vectors.npy"]), damage=damages
)
@example(name="labels.npy", damage=Damage(kind="flipped", place=22.5 / 128, value=89))  # numpy parses the header
def test_packed_data(packed, name, damage):
    found = read_damaged(packed / name, damage, lambda: PackedDataset.open(packed))
    if found is not None:
        whole = PackedDataset.open(packed)
        assert len(found.captions) == len(whole)
        for part in ("images", "vectors") if name == "dataset.json" else ("images", "vectors", "labels"):
            assert np.array_equal(getattr(found, part), getattr(whole, part)), part


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    level = LevelConfig(channels=4, depth=1)
    config = UNetConfig(in_channels=1, out_channels=1, levels=(level, level), resnet=ResnetConfig(norm_groups=2))
    unet, folder = UNet(config), tmp_path_factory.mktemp("model")
    save_model(folder, unet, ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=8, width=8)))
    return folder, unet.state_dict()


@settings(max_examples=20)
@given(name=st.sampled_from([WEIGHTS, "unet/config.json", "denoiser.json"]), damage=damages)
def test_model_folders(model, name, damage):
    folder, weights = model
    found = read_damaged(folder / name, damage, lambda: load_model(folder))
    if found is not None:
        loaded = found[0].unet.state_dict()
        assert loaded.keys() == weights.keys()
        assert all(torch.equal(loaded[key], tensor) for key, tensor in weights.items())
