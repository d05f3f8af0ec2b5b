"""From one network to another with other inputs, outputs or labels: it starts as the one it came from."""

from dataclasses import replace

import pytest
import torch

from unetdiff.config import LevelConfig
from unetdiff.errors import InputError
from unetdiff.training.transfer import transfer
from unetdiff.unet import UNet


@pytest.fixture
def source(model):
    unet = UNet(model).eval()
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return unet


def output(unet, x, labels=None, **condition):
    with torch.no_grad():
        return unet.eval()(x, 0.3, class_labels=labels, **condition).sample


@pytest.fixture
def x():
    return torch.randn(3, 1, 8, 8)


def test_the_same_network_takes_every_tensor_and_its_own_settings(source, model, x):
    wanted = replace(model, sample_size=28, resnet=replace(model.resnet, dropout=0.5))
    result = transfer(source, wanted)
    assert result.unet.config == wanted
    assert (result.taken, result.changed) == (len(source.state_dict()), ())
    labels = torch.tensor([0, 9, -1])
    assert torch.equal(output(result.unet, x, labels), output(source, x, labels))
    assert str(result) == f"{len(source.state_dict())} tensors as they are"


def test_new_classes_start_as_the_null_class(source, model, x):
    result = transfer(source, replace(model, num_classes=12))
    old, new, null = torch.tensor([0, 4, 9]), torch.tensor([10, 11, 10]), torch.tensor([-1, -1, -1])
    assert torch.equal(output(result.unet, x, old), output(source, x, old))
    assert torch.equal(output(result.unet, x, new), output(source, x, null))
    (phrase,) = result.changed
    assert phrase == "class_embedding.weight (12, 32) is the part of (10, 32) that fits, and zeros"


def test_classes_are_given_to_a_network_without_and_taken_away(source, model, x):
    without = transfer(source, replace(model, num_classes=None))
    null = torch.tensor([-1, -1, -1])
    assert torch.equal(output(without.unet, x), output(source, x, null))
    assert without.changed == ("class_embedding.weight (10, 32) is left out",)
    again = transfer(without.unet, model)
    assert torch.equal(output(again.unet, x, torch.tensor([0, 5, 9])), output(source, x, null))
    assert again.changed == ("class_embedding.weight (10, 32) is new, zeros",)


def test_a_concatenated_image_is_not_seen_at_first(source, model, x):
    result = transfer(source, replace(model, in_channels=3, concat_channels=2))
    labels = torch.tensor([1, 2, 3])
    seen = output(result.unet, x, labels, concat=torch.randn(3, 2, 8, 8))
    assert torch.allclose(seen, output(source, x, labels), rtol=0, atol=1e-6)


def test_a_learned_variance_is_left_out(model, x):
    source = UNet(replace(model, out_channels=2, variance_channels=1))
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    labels = torch.tensor([1, 2, 3])
    estimate = output(transfer(source, model).unet, x, labels)
    assert torch.allclose(estimate, output(source, x, labels)[:, :1], rtol=0, atol=1e-6)


def test_augmentation_labels_add_nothing_at_first(source, model, x):
    result = transfer(source, replace(model, augment_channels=4))
    labels = torch.tensor([1, 2, 3])
    augmented = output(result.unet, x, labels, augment_labels=torch.randn(3, 4))
    assert torch.equal(augmented, output(source, x, labels))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda model: {"levels": (model.levels[0], LevelConfig(channels=16, depth=1))},
            "levels.1.channels was 8, is 16",
        ),
        (lambda model: {"resnet": replace(model.resnet, residual_scale=0.5)}, "resnet.residual_scale was 1.0, is 0.5"),
        (lambda model: {"vector_channels": 4}, "vector_channels was None, is 4"),
    ],
    ids=["levels", "resnet", "vector"],
)
def test_another_network_is_refused_by_the_name_of_the_field(source, model, change, words):
    with pytest.raises(InputError, match=rf"model: expected the network of init but for in_channels, .*, got {words}"):
        transfer(source, replace(model, **change(model)))
