"""`unetdiff features`: what is in the stores, going on, and what is refused before anything is written."""

import json
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch

from unetdiff import load_model
from unetdiff.cli import features as command
from unetdiff.cli.main import main
from unetdiff.data import DataConfig, prepare
from unetdiff.features import sweep
from unetdiff.features.cell import Cell
from unetdiff.features.store import FeatureStore

TAP = "mid_block.resnets.0"


@pytest.fixture
def data(tmp_path):
    """Images of the model's 8 x 6 pixels in three classes."""
    images = np.random.default_rng(0).integers(0, 256, (23, 8, 6), dtype=np.uint8)
    np.savez(tmp_path / "train.npz", images=images, labels=np.arange(23) % 3)
    return tmp_path / "train.npz"


@pytest.fixture
def features(model, data, tmp_path, monkeypatch):
    """Give a function that runs the command and returns the store of the training images."""
    monkeypatch.setattr(sweep, "SHARD_IMAGES", 5)

    def run(*options, out=tmp_path / "out"):
        defaults = ("--splits", "train", "--sigmas", "0.1,logsnr:0", "--batch_size", "3")
        assert main(["features", str(model), str(data), "--out", str(out), *defaults, *options]) == 0
        return FeatureStore.open(out / "train")

    return run


def test_the_store_has_all_outputs_of_nodes(features, model, data):
    store = features("--dtype", "float32")
    unet = load_model(model)[0].unet
    images = prepare(DataConfig(source=str(data)))
    assert store.cells == tuple(Cell(node.name, sigma) for node in unet.nodes for sigma in (0.1, 1.0))
    assert len(store) == 23
    assert np.array_equal(store.labels, images.labels)
    assert store.classes == images.classes
    assert store.manifest.data == images.fingerprint
    assert store.manifest.size == (8, 6)
    assert store[Cell(TAP, 0.1)].shape == (23, 8)


def test_features_are_those_of_the_images_in_the_networks_range(features, model, data):
    cell = Cell("conv_in:input", 0.1)
    store = features("--nodes", "conv_in:input", "--input", "clean", "--pool", "none", "--dtype", "float32")
    denoiser, _ = load_model(model)
    images = prepare(DataConfig(source=str(data))).images
    expected = denoiser.preconditioning.c_in(0.1) * (images / 127.5 - 1)
    np.testing.assert_allclose(store[cell][:], expected, rtol=0, atol=1e-6)


def test_told_its_class_a_network_sees_something_else(features, model, tmp_path):
    null, told = features(), features("--condition", "class", out=tmp_path / "told")
    first, last = Cell("conv_in", 0.1), Cell("conv_out", 1.0)
    assert np.array_equal(null[first], told[first])
    differences = np.abs(null[last][:].astype(float) - told[last][:]).max(axis=1)
    assert (differences > 0).all()


def test_a_killed_command_goes_on(features, monkeypatch, capsys):
    whole = features()
    kept, gone = (whole.folder / f"features-0000{number}-of-00005.safetensors" for number in (1, 3))
    before, made = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    capsys.readouterr()
    features()
    assert gone.read_bytes() == before
    assert kept.stat().st_mtime_ns == made
    assert "5 of 23 images done" in capsys.readouterr().out


def test_memory_does_not_grow_with_the_images(features, monkeypatch, tmp_path):
    """What is in memory at a time is one file's features, and a file is bounded."""
    monkeypatch.setattr(sweep, "SHARD_BYTES", 1000)
    store = features("--pool", "none", "--nodes", TAP, out=tmp_path / "small")
    bytes_each = 2 * 2 * np.prod(store[Cell(TAP, 0.1)].shape[1:])
    assert store.manifest.shard_images == 1000 // bytes_each == 2


def test_the_size_on_disk_is_told_and_must_be_there(model, data, tmp_path, monkeypatch, capsys, refused):
    usage = namedtuple("usage", "total used free")
    arguments = ["features", str(model), str(data), "--splits", "train", "--out", str(tmp_path / "out")]
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30, 1000))
        message = refused(arguments)
    assert "KiB of free disk expected in" in message
    assert message.endswith("got 1000 B\n")
    assert not (tmp_path / "out").exists()
    assert main(arguments) == 0
    stored = FeatureStore.open(tmp_path / "out" / "train").manifest
    assert f"23 images, {len(stored.settings.taps)} places x 5 noise levels" in capsys.readouterr().out


def test_both_splits_and_the_shipped_model_by_default(fashion_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "prepare", lambda config: _first(prepare(config), 3))
    assert main(["features", "fashion-mnist", "--nodes", "conv_in", "--out", str(tmp_path)]) == 0
    stores = [FeatureStore.open(tmp_path / split) for split in ("train", "test")]
    assert [store.manifest.split for store in stores] == ["train", "test"]
    assert stores[0].classes[:2] == ("T-shirt/top", "Trouser")
    assert stores[0].manifest.settings.sigmas == (0.02, 0.06, 0.2, 0.5, 1.2)
    assert stores[0].manifest.settings.dtype == "float16"
    weights = stores[0].manifest.weights
    assert len(weights) == 64
    assert weights == stores[1].manifest.weights


def _first(images, count):
    return replace(images, images=images.images[:count], labels=images.labels[:count])


def test_timesteps_of_a_model_that_has_them(noise_model, data, tmp_path):
    options = ("--splits", "train", "--nodes", TAP, "--sigmas", "t:150,0.1", "--out", str(tmp_path / "out"))
    assert main(["features", str(noise_model), str(data), *options]) == 0
    sigmas = FeatureStore.open(tmp_path / "out" / "train").manifest.settings.sigmas
    assert sigmas == (pytest.approx(0.52, abs=0.005), 0.1)


@pytest.mark.parametrize(("dropout", "noted"), [(0.0, True), (0.1, False), (None, False)])
def test_a_model_that_was_always_told_its_class_is_noted(model, data, tmp_path, capsys, dropout, noted):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    facts = json.loads((folder / "denoiser.json").read_text())
    facts["training"] = {} if dropout is None else {"condition dropout": dropout}
    (folder / "denoiser.json").write_text(json.dumps(facts))
    out = ("--out", str(tmp_path / "out"))
    assert main(["features", str(folder), str(data), "--splits", "train", "--nodes", "conv_in", *out]) == 0
    assert ("note: this model was told its condition" in capsys.readouterr().out) == noted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--nodes", "mid_block.resnet"), "near to it are mid_block.resnets"),
        (("--nodes", "attentions.0:probabilities"), "taps: expected feature maps of this network, got down"),
        (("--sigmas", "0.1,t:10"), "a network of kind EDM has no timesteps"),
        (("--sigmas", "0.1,0.1"), "sigmas: expected one or more, each once"),
        (("--pool", "max"), "pool"),
        (("--pool", "0"), "pool: expected mean, none or a number of cells along an edge, got 0"),
        (("--condition", "text"), "condition: images with captions expected, got some without"),
        (("--splits", "valid"), "splits: expected train and test, or one of them, got 'valid'"),
        (("--batch_size", "0"), "batch_size: expected at least 1, got 0"),
        (("--splits", "test"), "test"),
    ],
)
def test_refusals(model, data, tmp_path, refused, options, message):
    out = ("--splits", "train", "--out", str(tmp_path / "out"))
    assert message in refused(["features", str(model), str(data), *out, *options])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("shape", [(3, 8, 6, 4), (3, 9, 6)])
def test_images_of_another_shape_are_refused(model, tmp_path, refused, shape):
    np.save(tmp_path / "other.npy", np.zeros(shape, np.uint8))
    message = refused(
        ["features", str(model), str(tmp_path / "other.npy"), "--splits", "train", "--out", str(tmp_path / "out")]
    )
    assert "expected" in message
    assert not (tmp_path / "out").exists()


def test_other_settings_are_not_mixed_in(features, refused, model, data):
    store = features()
    before = {path: path.read_bytes() for path in store.folder.iterdir()}
    options = ("--splits", "train", "--sigmas", "0.1,logsnr:0", "--seed", "1", "--out", str(store.folder.parent))
    message = refused(["features", str(model), str(data), *options])
    assert "train: seed: expected 0, as in the features there, got 1" in message
    assert before == {path: path.read_bytes() for path in store.folder.iterdir()}


def test_nan_weights_are_named(model, data, tmp_path, refused):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    denoiser, info = load_model(folder)
    with torch.no_grad():
        denoiser.unet.get_parameter("mid_block.resnets.0.conv1.bias")[0] = torch.nan
    from unetdiff.model_folder import save_model

    save_model(folder, denoiser.unet, info)
    message = refused(["features", str(folder), str(data), "--splits", "train", "--out", str(tmp_path / "out")])
    assert "finite numbers in float16 expected, got others in mid_block.resnets.0 at sigma 0.02, image 0" in message
    assert not (tmp_path / "out").exists()
