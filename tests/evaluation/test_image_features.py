"""Networks that make features of images, small ones with random weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.evaluation.efficientnet import EfficientNetLite0
from unetdiff.evaluation.feature_networks import load_features
from unetdiff.evaluation.image_features import as_rgb, dataset_features
from unetdiff.evaluation.vision_model import VisionModel

SMALL = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 16, "patch_size": 8}
MEAN, STD = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]


NETWORKS = {
    "vit": (lambda: ViTModel(ViTConfig(**VISION)), 16),
    "clip": (lambda: CLIPModel(CLIPConfig(text_config={**SMALL, "vocab_size": 9}, vision_config=VISION)), 16),
    "resnet": (
        lambda: ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")),
        224,
    ),
}


def saved(network, folder):
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return str(folder)


@pytest.fixture
def vit(tmp_path):
    return saved(NETWORKS["vit"][0](), tmp_path / "vit")


@pytest.mark.parametrize("name", NETWORKS)
def test_features_are_the_mean_of_the_last_layer(name, tmp_path):
    make, side = NETWORKS[name]
    network = make()
    images = torch.rand(2, 3, 20, 20) * 2 - 1
    pixels = F.interpolate(images, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1) / 2 + 0.5
    normalised = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    tower = getattr(network, "vision_model", network).eval()
    with torch.no_grad():
        last = tower(pixel_values=normalised).last_hidden_state
    expected = last.mean(dim=1) if last.ndim == 3 else last.flatten(2).mean(dim=2)
    features = load_features(saved(network, tmp_path / "network"))
    torch.testing.assert_close(features(images), expected, rtol=0, atol=1e-5)


def test_grey_is_colour_with_equal_channels(vit):
    grey = torch.rand(2, 1, 16, 16) * 2 - 1
    features = VisionModel.load(vit)
    assert torch.equal(features(grey), features(grey.expand(-1, 3, -1, -1)))
    with pytest.raises(ValueError, match="images: expected 1 or 3 channels, got 2"):
        as_rgb(torch.zeros(1, 2, 4, 4), 8)


def test_the_key_is_of_weights_and_preparation(vit):
    first = VisionModel.load(vit)
    assert VisionModel.load(vit).key == first.key
    others = [replace(first, side=32), replace(first, mean=STD), replace(first, std=MEAN), VisionModel.load(vit)]
    next(others[-1].network.parameters()).data[0] += 1
    assert len({first.key, *(other.key for other in others)}) == 5


def test_features_of_a_dataset_are_kept(fashion_mnist, vit):
    data, features = prepare(DataConfig(split="test")), VisionModel.load(vit)
    rows = dataset_features(data, features)
    images = torch.from_numpy(data.images[:3].copy()) / 127.5 - 1
    np.testing.assert_allclose(rows[:3], features(images), rtol=0, atol=1e-5)
    assert rows.shape == (100, 8)
    next(features.network.parameters()).data.fill_(np.nan)
    np.testing.assert_array_equal(dataset_features(data, features), rows)  # by the key, which is of the old weights


class TestRefusals:
    @pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json", "config.json"])
    def test_missing_files(self, vit, tmp_path, name):
        (tmp_path / "vit" / name).unlink()
        with pytest.raises(InputError, match=f"{vit}.* expected"):
            load_features(vit)

    def test_no_normalisation(self, vit, tmp_path):
        (tmp_path / "vit" / "preprocessor_config.json").write_text("{}")
        with pytest.raises(InputError, match="image_mean and image_std expected"):
            load_features(vit)

    def test_a_model_of_texts(self, tmp_path):
        text = saved(BertModel(BertConfig(**SMALL, vocab_size=9)), tmp_path / "text")
        with pytest.raises(InputError, match="a vision model expected, got BertModel"):
            load_features(text)

    def test_nothing_of_that_name(self, tmp_path):
        with pytest.raises(InputError, match="a vision model's folder or hub repository expected, got nothing"):
            load_features(str(tmp_path / "none"))


@pytest.mark.parametrize("side", [32, 80])
def test_sides_that_efficientnet_cannot_pad(side):
    with pytest.raises(ValueError, match=f"side: expected a multiple of 32, at least 64, got {side}"):
        EfficientNetLite0.load(side=side)
