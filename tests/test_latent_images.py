"""A dataset of latents: what the autoencoder says of each image, and a model that is trained and sampled on it."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from benchmarks.layouts import randomise
from unetdiff.cli.main import main
from unetdiff.data import DataConfig, SampleStream, prepare
from unetdiff.errors import InputError
from unetdiff.latent_images import LatentsConfig, prepare_latents
from unetdiff.latents import Codec, open_codec
from unetdiff.pictures import read_png

YAML = """
steps: 2
batch_size: 4
num_workers: 0
data: {channels: 3}
model:
  in_channels: 2
  out_channels: 2
  num_classes: 10
  levels: [{channels: 8, depth: 1}, {channels: 8, depth: 1}]
  mid: {depth: 0}
preview: {every: 2, rows: 2, columns: 2, steps: 2}
"""


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    """Of two levels and two channels, of random weights."""
    model = AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=2,
        scaling_factor=0.5,
    )
    randomise(model)
    folder = tmp_path_factory.mktemp("codec") / "vae"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    """Five images of 8 x 8 with labels."""
    images = np.random.default_rng(0).integers(256, size=(5, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(5) % 3)
    return prepare(DataConfig(source=str(tmp_path / "a.npz")))


def first_batch(data):
    return SampleStream(data, seed=3, global_batch=500, steps=1)[0]


def test_without_sampling_images_are_the_means(data, autoencoder):
    latents = prepare_latents(data, LatentsConfig(codec=str(autoencoder), sample=False))
    expected = open_codec(autoencoder).encode(torch.from_numpy(data.images / np.float32(127.5) - 1))
    np.testing.assert_allclose(latents.images, expected, rtol=0, atol=1e-5)
    assert latents.spread is None
    assert (latents.labels == data.labels).all()
    assert latents.classes == data.classes
    assert latents.fingerprint != data.fingerprint


def test_with_sampling_every_look_draws_from_the_distribution(data, autoencoder):
    latents = prepare_latents(data, LatentsConfig(codec=str(autoencoder)))
    plain = prepare_latents(data, LatentsConfig(codec=str(autoencoder), sample=False))
    batch, means = first_batch(latents), first_batch(plain)
    rows = np.concatenate([np.random.default_rng([3, epoch]).permutation(5) for epoch in range(100)])
    eps = (batch.images - means.images).numpy() / latents.spread[rows]
    assert abs(eps.mean()) < 4 / np.sqrt(eps.size)
    assert abs(eps.var() - 1) < 4 * np.sqrt(2 / eps.size)
    assert torch.equal(batch.noise, means.noise)
    torch.testing.assert_close(first_batch(latents).images, batch.images, rtol=0, atol=0)


def test_images_are_encoded_once(data, autoencoder, monkeypatch):
    config = LatentsConfig(codec=str(autoencoder))
    first = prepare_latents(data, config)
    monkeypatch.setattr("unetdiff.latent_images.load_described_codec", None)
    assert prepare_latents(data, config).folder == first.folder


@pytest.mark.parametrize(("pixels", "sizes"), [(128, [2, 2, 1]), (1, [1] * 5), (1 << 20, [5])])
def test_a_batch_to_encode_has_so_many_pixels_at_most(data, autoencoder, monkeypatch, pixels, sizes):
    posterior, found = Codec.posterior, []

    def recorded(codec, images):
        found.append(len(images))
        return posterior(codec, images)

    monkeypatch.setattr(Codec, "posterior", recorded)
    monkeypatch.setattr("unetdiff.latent_images.PIXELS", pixels)
    prepare_latents(data, LatentsConfig(codec=str(autoencoder)))
    assert found == sizes


def test_train_and_sample(data, autoencoder, tmp_path, monkeypatch, refused):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    (tmp_path / "latents.yaml").write_text(YAML)
    run = tmp_path / "run"
    train = ["train", "--config", str(tmp_path / "latents.yaml"), "--data.source", str(tmp_path / "a.npz")]
    assert main([*train, "--latents.codec", str(autoencoder), "--out", str(run)]) == 0
    sample = ["sample", str(run), "--classes", "1", "--seeds", "0", "--steps", "2", "--out", str(tmp_path / "out")]
    assert main(sample) == 0
    assert read_png(tmp_path / "out" / "class0001-seed000000.png").shape == (8, 8, 3)
    moved = autoencoder.rename(tmp_path / "moved")
    try:
        assert "a file of an AutoencoderKL expected" in refused([*sample[:-1], str(tmp_path / "b")])
        assert main([*sample[:-1], str(tmp_path / "c"), "--codec", str(moved)]) == 0
    finally:
        moved.rename(autoencoder)


def test_a_preview_is_decoded_row_by_row(data, autoencoder, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    (tmp_path / "latents.yaml").write_text(YAML)
    decode, sizes = Codec.decode, []

    def recorded(codec, latents):
        sizes.append(len(latents))
        return decode(codec, latents)

    monkeypatch.setattr(Codec, "decode", recorded)
    train = ["train", "--config", str(tmp_path / "latents.yaml"), "--data.source", str(tmp_path / "a.npz")]
    rows = ["--preview.rows", "3", "--latents.codec", str(autoencoder), "--out", str(tmp_path / "run")]
    assert main([*train, *rows]) == 0
    assert sizes == [2, 2, 2]


def test_what_does_not_fit_is_refused(data, autoencoder, tmp_path):
    np.save(tmp_path / "grey.npy", np.zeros((2, 8, 8), np.uint8))
    np.save(tmp_path / "odd.npy", np.zeros((2, 3, 7, 8), np.uint8))
    for name, message in (("grey", "images of 3 channels for .* expected, got 1"), ("odd", "sizes that 2 divides")):
        with pytest.raises(InputError, match=f"^latents: {message}"):
            prepare_latents(
                prepare(DataConfig(source=str(tmp_path / f"{name}.npy"))), LatentsConfig(codec=str(autoencoder))
            )
    with pytest.raises(InputError, match="a file of an AutoencoderKL expected"):
        prepare_latents(data, LatentsConfig(codec=str(tmp_path)))
