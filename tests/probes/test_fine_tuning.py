"""Fine-tuning: what is trained, what a classifier is told, and that its folder is the classifier."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from unetdiff.config import AttentionConfig, LevelConfig, UNetConfig
from unetdiff.data import PackedDataset
from unetdiff.data.keyed import Purpose, keyed
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.features.network_images import NetworkImages
from unetdiff.model_folder import DataInfo, ModelInfo
from unetdiff.preconditioning import EDM
from unetdiff.probes.fine_tuning import (
    ClassifierConfig,
    FineTuning,
    LabelledImages,
    UNetClassifier,
    fine_tune,
    load_classifier,
    save_classifier,
)
from unetdiff.probes.fitting import Training, accuracy_on
from unetdiff.probes.networks import CNN, MLP, Attention
from unetdiff.probes.task import Task
from unetdiff.unet import UNet

TAP, SHAPE = "up_blocks.0.resnets.0", (1, 8, 8)
NETWORK = UNetConfig(
    in_channels=1, out_channels=1, levels=tuple(LevelConfig(channels=8, depth=1) for _ in range(2)), num_classes=3
)
INFO = ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=8, width=8))
HELD_OUT = np.arange(0, 48, 3)
FAST = Training(epochs=4, batch=12, least_steps=1, learning_rate=0.03)


def unet_of(config=NETWORK):
    torch.manual_seed(1)
    unet = UNet(config)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return unet


def classifier_of(head=None, tap=TAP, noisy=True, config=NETWORK):
    described = ClassifierConfig(
        classes=("dark", "bright"), tap=tap, sigma=0.5, noisy=noisy, head=head or MLP(pool=1, widths=())
    )
    return UNetClassifier(Denoiser(unet_of(config), EDM()), SHAPE, described)


def examples_of(sigma=0.5, flip=False):
    """Images of which every second one is bright."""
    labels = np.arange(48) % 2
    pixels = np.random.default_rng(0).integers(0, 128, size=(48, *SHAPE)) + 127 * labels[:, None, None, None]
    data = PackedDataset(
        folder=Path(),
        images=pixels.astype(np.uint8),
        labels=labels,
        classes=("dark", "bright"),
        captions=None,
        vectors=None,
        fingerprint="",
        unreadable=0,
    )
    images = NetworkImages(data=data, info=INFO.data, codec=None, device=torch.device("cpu"))
    return LabelledImages(images=images, labels=labels, sigma=sigma, flip=flip)


def tuned(classifier, training=FAST, **settings):
    examples = examples_of()
    task = Task(labels=examples.labels, classes=2, held_out=HELD_OUT)
    return fine_tune(classifier, examples, task, FineTuning(training=training, **settings))


@pytest.mark.parametrize("freeze", [(), ("down_blocks.*", "time_embedding"), ("*",)])
def test_what_is_neither_frozen_nor_behind_the_tap_is_trained_and_nothing_else(freeze):
    classifier = classifier_of()
    before = {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}
    tuned(classifier, Training(epochs=1, batch=12, least_steps=1, learning_rate=0.01), freeze=freeze)
    behind = ("up_blocks.0.resnets.1", "up_blocks.0.upsamplers", "up_blocks.1", "conv_norm_out", "conv_out")
    frozen = (*behind, "class_embedding", *(pattern.removesuffix(".*") for pattern in freeze))
    for name, parameter in classifier.named_parameters():
        inner = name.removeprefix("denoiser.unet.")
        stays = name != inner and ("*" in freeze or inner.startswith(frozen))
        assert torch.equal(parameter, before[name]) == stays, name
        assert parameter.requires_grad != stays, name


def test_the_network_learns_slower_than_the_head():
    classifier = classifier_of()
    before = {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}
    one_step = Training(epochs=1, batch=48, least_steps=1, learning_rate=0.01, weight_decay=0)
    examples = examples_of()
    fine_tune(classifier, examples, Task(labels=examples.labels, classes=2), FineTuning(training=one_step))
    step = {name: (parameter - before[name]).abs().max().item() for name, parameter in classifier.named_parameters()}
    assert step["head.out.weight"] == pytest.approx(0.01, rel=1e-3)  # Adam's first step is its rate
    assert step["denoiser.unet.conv_in.weight"] == pytest.approx(0.001, rel=1e-2)


def test_a_separable_set_is_learned_in_the_same_way_every_time():
    first, second = classifier_of(), classifier_of()
    assert tuned(first).validation == 1
    assert accuracy_on(first, examples_of(), np.arange(48), batch=7) == 1
    tuned(second)
    for name, tensor in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name


def test_logits_are_the_heads_of_the_feature_map():
    classifier = classifier_of().eval()
    x = torch.randn(3, *SHAPE)
    unet, c_in, c_noise = classifier.denoiser.unet, EDM().c_in(0.5), EDM().c_noise(0.5)
    features = unet(c_in * x, c_noise, class_labels=torch.full((3,), -1), capture=[TAP], stop=True).features
    torch.testing.assert_close(classifier(x), classifier.head([[features[TAP]]]))


def test_judged_images_have_the_noise_of_extraction_and_training_draws_its_own():
    examples, rows = examples_of(), np.array([2, 5])
    clean, labels = examples_of(sigma=0).batch(rows, None)
    noise = np.stack([keyed(0, row, Purpose.FEATURES).standard_normal(SHAPE, dtype=np.float32) for row in rows])
    judged, _ = examples.batch(rows, None)
    torch.testing.assert_close(judged, clean + 0.5 * torch.from_numpy(noise), rtol=0, atol=0)
    assert labels.tolist() == [0, 1]
    first, second = (examples.batch(rows, epoch)[0] for epoch in (1, 2))
    assert not torch.equal(first, second)
    assert torch.equal(examples.batch(rows[1:], 1)[0], first[1:])


def test_half_of_the_images_are_mirrored_in_training_alone():
    examples, rows = examples_of(sigma=0, flip=True), np.arange(48)
    plain, _ = examples_of(sigma=0).batch(rows, 1)
    assert torch.equal(examples.batch(rows, None)[0], plain)
    seen, _ = examples.batch(rows, 1)
    mirrored = [torch.equal(image, other.flip(2)) for image, other in zip(seen, plain, strict=True)]
    kept = [torch.equal(image, other) for image, other in zip(seen, plain, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 12 < sum(mirrored) < 36


@pytest.mark.parametrize(
    "head", [MLP(pool=2, widths=(4,)), CNN(widths=(4,)), Attention(heads=2, layers=1)], ids=lambda head: str(head)[:3]
)
def test_the_folder_is_the_classifier(tmp_path, head):
    classifier = classifier_of(head, noisy=False)
    tuned(classifier, Training(epochs=1, batch=12, least_steps=1))
    save_classifier(tmp_path / "c", classifier, INFO, {"test_accuracy": 0.5})
    loaded, info = load_classifier(tmp_path / "c")
    x = torch.randn(3, *SHAPE)
    assert loaded.config == classifier.config
    assert info.data == INFO.data
    assert not loaded.training
    assert torch.equal(loaded(x), classifier(x))


@pytest.mark.parametrize("name", ["classifier.json", "head.safetensors", "model/denoiser.json"])
@pytest.mark.parametrize("size", [None, 0, 30])
def test_a_damaged_folder_is_refused(tmp_path, name, size):
    save_classifier(tmp_path / "c", classifier_of(), INFO, {})
    path = tmp_path / "c" / name
    if size is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"c(/|: expected a classifier)"):
        load_classifier(tmp_path / "c")


def test_a_head_of_another_kind_is_refused(tmp_path):
    save_classifier(tmp_path / "c", classifier_of(), INFO, {})
    path = tmp_path / "c" / "classifier.json"
    described = json.loads(path.read_text())
    described["config"]["head"] = {"kind": "cnn", "widths": [4]}
    path.write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"expected a classifier .* got Error"):
        load_classifier(tmp_path / "c")


TEXTS = UNetConfig(
    in_channels=1,
    out_channels=1,
    levels=(LevelConfig(channels=8, depth=1, attention=AttentionConfig(kind="transformer", heads=2)),),
    cross_attention_dim=4,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: classifier_of(tap="up_blocks.0.resnet"), "tap: expected a feature map .* got up_blocks.0.resnet"),
        (lambda: classifier_of(config=TEXTS), "model: expected one of images and classes, got one that attends to"),
        (lambda: tuned(classifier_of(), freeze=("conv_on",)), "freeze: expected a pattern .* near to it are conv_"),
        (lambda: FineTuning(unet_rate=0), "unet_rate: expected more than 0"),
        (lambda: ClassifierConfig(classes=("a",), tap=TAP, sigma=1.0), "classes: expected at least 2"),
        (lambda: ClassifierConfig(classes=("a", "b"), tap=TAP, sigma=0.0), "sigma: expected a positive number"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
