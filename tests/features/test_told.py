"""What a network is told: nothing, classes or captions; and what it is given of pictures and of latents."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.data import DataConfig, PackedDataset
from unetdiff.errors import InputError
from unetdiff.features.network_images import NetworkImages, framed
from unetdiff.features.told import Nothing, told
from unetdiff.latents import Codec
from unetdiff.model_info import DataInfo
from unetdiff.text import Framing, TextEncoder

FRAMING = Framing(target=(8, 8))
ROWS = np.array([2, 0, 2])
DATA = PackedDataset(
    folder=Path(),
    images=np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 1, 8, 8),
    labels=np.array([1, 0, 2]),
    classes=("a", "b", "c"),
    captions=("x", "yy", "zzz"),
    vectors=None,
    fingerprint="",
    unreadable=0,
)


class Lengths(TextEncoder):
    """A prompt is its length."""

    def encode(self, prompts, framing=None, *, clip_skip=0, truncate=False):
        assert truncate
        return self._tokens([float(len(prompt)) for prompt in prompts])

    def unconditional(self, framing=None):
        return self._tokens([-1.0])

    def lengths(self, prompts):
        return [len(prompt) for prompt in prompts]

    def tokens(self, prompt):
        return (prompt,)

    def _tokens(self, lengths):
        tokens = torch.tensor(lengths)
        return {
            "encoder_hidden_states": tokens[:, None, None].expand(-1, 5, 6),
            "added_cond_kwargs": {"text_embeds": tokens[:, None]},
        }


def network(**fields):
    return SimpleNamespace(config=replace(CONFIG, **fields), device=torch.device("cpu"))


CONFIG = UNetConfig(in_channels=1, out_channels=1, levels=(LevelConfig(channels=8, depth=1),), mid=None)


def test_nothing_is_the_null_of_every_condition():
    assert Nothing(unet=network())(ROWS) == {}
    condition = Nothing(unet=network(num_classes=3, vector_channels=4))(ROWS)
    assert condition["class_labels"].tolist() == [-1, -1, -1]
    assert torch.equal(condition["vector"], torch.zeros(3, 4))
    condition = Nothing.of(network(), Lengths(), FRAMING)(ROWS)
    assert torch.equal(condition["encoder_hidden_states"], -torch.ones(3, 5, 6))
    assert torch.equal(condition["added_cond_kwargs"]["text_embeds"], -torch.ones(3, 1))


def test_classes_and_captions_are_those_of_the_images():
    nothing = Nothing(unet=network(num_classes=3))
    assert told("null", nothing, DATA, None, FRAMING) is nothing
    classes = told("class", nothing, DATA, None, FRAMING)(ROWS)
    assert classes["class_labels"].tolist() == [2, 1, 2]
    condition = told("text", nothing, DATA, Lengths(), FRAMING)(ROWS)
    assert condition["encoder_hidden_states"][:, 0, 0].tolist() == [3, 1, 3]
    assert condition["class_labels"].tolist() == [-1, -1, -1]


@pytest.mark.parametrize(
    ("kind", "fields", "known", "encoder", "message"),
    [
        ("class", {"num_classes": 3}, {"labels": None}, None, "images with labels expected, got some without"),
        ("class", {}, {}, None, "a model of at least 3 classes expected, got one of none"),
        ("class", {"num_classes": 2}, {}, None, "a model of at least 3 classes expected, got one of 2"),
        ("text", {}, {"captions": None}, Lengths(), "images with captions expected, got some without"),
        ("text", {}, {}, None, "a model of texts expected, got one without a text encoder"),
        ("null", {"cross_attention_dim": 6}, {}, None, "expected one with a text encoder, as it attends to texts"),
        ("null", {"in_channels": 2, "concat_channels": 1}, {}, None, "got one that is told a picture"),
    ],
)
def test_refusals(kind, fields, known, encoder, message):
    with pytest.raises(InputError, match=message):
        told(kind, Nothing(unet=network(**fields)), replace(DATA, **known), encoder, FRAMING)


def test_pictures_come_in_the_networks_range():
    info = DataInfo(channels=1, height=8, width=8, value_range=(0.0, 4.0))
    images = NetworkImages(data=DATA, info=info, codec=None, device=torch.device("cpu"))(ROWS)
    torch.testing.assert_close(images, torch.from_numpy(DATA.images[ROWS] / np.float32(63.75)))


def test_latents_are_the_modes_of_the_autoencoder():
    torch.manual_seed(0)
    model = AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=2,
        latent_channels=2,
    )
    codec = Codec(model=model.eval().requires_grad_(False), mean=torch.zeros(1), std=torch.ones(1))
    data = replace(DATA, images=np.repeat(DATA.images, 3, axis=1))
    info = DataInfo(channels=2, height=4, width=4)
    latents = NetworkImages(data=data, info=info, codec=codec, device=torch.device("cpu"))(ROWS)
    assert latents.shape == (3, 2, 4, 4)
    pixels = torch.from_numpy(data.images[ROWS] / np.float32(127.5)) - 1
    torch.testing.assert_close(latents, model.encode(pixels).latent_dist.mode() * model.config.scaling_factor)


def test_images_of_another_shape_are_refused():
    info = DataInfo(channels=1, height=8, width=6)
    with pytest.raises(InputError, match=r"expected images of the model's shape \(1, 8, 6\), got \(1, 8, 8\)"):
        NetworkImages(data=DATA, info=info, codec=None, device=torch.device("cpu"))


@pytest.mark.parametrize(("size", "expected"), [((8, 8), 8), ((8, 6), None)])
def test_only_squares_are_resized(size, expected):
    wanted = framed(DataConfig(source="there", layout="channels_last"), size, 3)
    assert (wanted.size, wanted.channels, wanted.layout, wanted.source) == (expected, 3, "channels_last", "there")
