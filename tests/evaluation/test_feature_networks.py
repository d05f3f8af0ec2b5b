"""The class token of DINOv2, the classifier's features, and Inception where torch-fidelity is installed."""

import json
import sys

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from unetdiff.errors import InputError
from unetdiff.evaluation.classifier import load_classifier
from unetdiff.evaluation.feature_networks import load_features
from unetdiff.evaluation.image_features import as_rgb


def test_the_class_token_of_dinov2_at_224_pixels(tmp_path):
    network = Dinov2Model(
        Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
    ).eval()
    network.save_pretrained(tmp_path)
    normal = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(normal))
    images = torch.rand(2, 1, 20, 20) * 2 - 1
    token, mean = load_features(f"dinov2:{tmp_path}"), load_features(str(tmp_path))
    with torch.no_grad():
        expected = network(pixel_values=as_rgb(images, 224)).pooler_output
    torch.testing.assert_close(token(images), expected, rtol=0, atol=1e-5)
    assert token.key != mean.key


def test_the_classifiers_features_are_its_own():
    images = torch.rand(2, 1, 28, 28) * 2 - 1
    classifier, _ = load_classifier()
    features = load_features("classifier")
    with torch.no_grad():
        torch.testing.assert_close(features(images), classifier.features(images), rtol=0, atol=0)
    with pytest.raises(ValueError, match="images: expected 1 channels for the classifier, got 3"):
        features(images.expand(-1, 3, -1, -1))


def test_the_narrow_features_are_those_before_the_head():
    pytest.importorskip("efficientnet_lite_pytorch")
    wide, narrow = load_features("efficientnet-lite0"), load_features("efficientnet-lite0-320")
    images = torch.rand(2, 1, 28, 28) * 2 - 1
    assert wide(images).shape == (2, 1280)
    assert narrow(images).shape == (2, 320)
    assert wide.key != narrow.key


def test_inception_has_2048_features():
    pytest.importorskip("torch_fidelity")
    try:
        features = load_features("inception")
    except InputError as error:
        pytest.skip(str(error))  # no weights without a network
    assert features(torch.zeros(1, 1, 28, 28)).shape == (1, 2048)


def test_inception_without_its_package_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(InputError, match="features: expected another network, or inception with its package"):
        load_features("inception")
