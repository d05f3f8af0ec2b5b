"""EDM's networks: parity with golden outputs, closed forms where there are none, and what is refused."""

import json
import re

import pytest
import torch
from safetensors import safe_open

from unetdiff import presets
from unetdiff.errors import InputError
from unetdiff.interop import from_edm
from unetdiff.interop.edm_network import edm_network
from unetdiff.noise import IDDPMSchedule, VPSchedule
from unetdiff.preconditioning import EDM, VE, Epsilon
from unetdiff.unet import UNet

GOLDEN = ("ddpmpp_class_augment", "ncsnpp", "adm_class")


class Golden:
    """Weights, arguments, inputs and outputs of one of EDM's networks."""

    def __init__(self, name):
        with safe_open(f"tests/golden/edm_{name}.safetensors", "pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a mapping
            self.network = json.loads(file.metadata()["network"])
        self.weights = {key[4:]: tensor for key, tensor in tensors.items() if key.startswith("net.")}
        self.io = {key[3:]: tensor for key, tensor in tensors.items() if key.startswith("io.")}
        onehot = self.io.get("class_onehot")
        self.condition = {} if onehot is None else {"class_labels": onehot.argmax(dim=1)}

    def F(self, weights=None, network=None, **condition):  # noqa: N802  # the paper's symbol
        """The raw output of a network of ours on the golden input."""
        denoiser = from_edm(self.weights if weights is None else weights, network or self.network)
        return run(denoiser.unet, self.io["c_in_x"], self.io["c_noise"], **{**self.condition, **condition})


@torch.no_grad()
def run(unet, x, c_noise, **condition):
    return unet(x, c_noise, return_dict=False, **condition)[0]


@pytest.fixture(params=GOLDEN)
def golden(request):
    return Golden(request.param)


@pytest.fixture
def song():
    return Golden("ddpmpp_class_augment")


def assert_same(actual, expected, tolerance=1e-5):
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


def test_the_network_gives_its_original_output(golden):
    assert_same(golden.F(), golden.io["F"])


@torch.no_grad()
def test_the_denoiser_gives_its_original_output(golden):
    denoiser = from_edm(golden.weights, golden.network)
    assert not denoiser.training
    assert {parameter.dtype for parameter in denoiser.unet.parameters()} == {torch.float32}
    assert_same(denoiser(golden.io["x"], golden.io["sigma"], **golden.condition), golden.io["D"])


def test_weights_without_the_prefix_of_the_wrapper_are_the_same(golden):
    bare = {key.removeprefix("model."): tensor for key, tensor in golden.weights.items()}
    assert torch.equal(golden.F(bare), golden.F())


def test_weights_in_half_precision_become_float32(golden):
    halved = {key: tensor.half() for key, tensor in golden.weights.items()}
    assert torch.equal(golden.F(halved), golden.F({key: tensor.float() for key, tensor in halved.items()}))


def test_every_number_is_used_once(golden):
    plain = {key: tensor for key, tensor in golden.weights.items() if not re.search("map_label|resample_filter", key)}
    total = sum(tensor.numel() for tensor in plain.values())
    pieces = torch.arange(float(total)).split([tensor.numel() for tensor in plain.values()])
    numbered = {key: piece.reshape(plain[key].shape) for key, piece in zip(plain, pieces, strict=True)}
    state = from_edm(numbered, {**golden.network, "label_dim": 0}).unet.state_dict()
    found = torch.cat([tensor.flatten() for tensor in state.values()])
    assert torch.equal(found.sort().values, torch.arange(float(total)))


@pytest.mark.parametrize("name", ["ddpmpp_class_augment", "adm_class"])
def test_augmentation_labels_shift_the_bias_of_the_first_layer(name):
    golden = Golden(name)
    network = {**golden.network, "augment_dim": 9}
    projection = torch.randn(golden.weights["model.map_layer0.weight"].shape[1], 9)
    weights = {**golden.weights, "model.map_augment.weight": projection}
    labels = torch.randn(9)
    shift = golden.weights["model.map_layer0.weight"] @ projection @ labels
    shifted = {**weights, "model.map_layer0.bias": weights["model.map_layer0.bias"] + shift}
    actual = golden.F(weights, network, augment_labels=labels.expand(3, 9))
    assert not torch.allclose(actual, golden.io["F"], rtol=0.01)
    assert_same(actual, golden.F(shifted, network))


def test_no_class_leaves_the_bias_of_the_labels(song):
    unlabelled = {key: tensor for key, tensor in song.weights.items() if "map_label" not in key}
    bias = song.weights["model.map_label.bias"]
    unlabelled["model.map_augment.weight"] = bias[:, None]  # added where the label's projection is
    network = {**song.network, "label_dim": 0, "augment_dim": 1}
    expected = song.F(unlabelled, network, class_labels=None, augment_labels=torch.ones(3, 1))
    assert_same(song.F(class_labels=torch.tensor(-1)), expected)


WRAPPERS = {
    "VPPrecond": (Epsilon(schedule=VPSchedule()), lambda x, sigma, out: x - sigma * out),
    "VEPrecond": (VE(), lambda x, sigma, out: x + sigma * out),
    "iDDPMPrecond": (Epsilon(schedule=IDDPMSchedule()), lambda x, sigma, out: x - sigma * out[:, :3]),
    "EDMPrecond": (
        EDM(),
        lambda x, sigma, out: x / (4 * sigma**2 + 1) + sigma * out / (4 * sigma**2 + 1).sqrt(),
    ),
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_every_wrapper(name, song):
    preconditioning, estimate = WRAPPERS[name]
    weights = song.weights
    if name == "iDDPMPrecond":  # learns a variance: as many output channels again, and a buffer of its own
        last = {key: tensor for key, tensor in weights.items() if "aux_conv" in key}
        weights = {**weights, "u": torch.zeros(1001)}
        weights |= {key: torch.cat([tensor, torch.randn_like(tensor)]) for key, tensor in last.items()}
    denoiser = from_edm(weights, song.network, name)
    assert denoiser.preconditioning == preconditioning
    x, sigma = song.io["x"], song.io["sigma"]
    sigmas = sigma.reshape(-1, 1, 1, 1)
    F = run(denoiser.unet, preconditioning.c_in(sigmas) * x, preconditioning.c_noise(sigma), **song.condition)
    assert F.shape[1] == 3 + denoiser.unet.config.variance_channels
    with torch.no_grad():
        assert_same(denoiser(x, sigma, **song.condition), estimate(x, sigmas, F), tolerance=1e-6)


def test_a_preconditioning_of_ones_own(song):
    assert from_edm(song.weights, song.network, EDM(sigma_data=2.0)).preconditioning == EDM(sigma_data=2.0)


def parameters(config):
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in UNet(config).parameters())


PUBLISHED = {
    "ddpmpp": ({"model_type": "SongUNet", "img_resolution": 32, "channel_mult": [2, 2, 2]}, 55_732_739),
    "adm": ({"model_type": "DhariwalUNet", "img_resolution": 64, "label_dim": 1000}, 295_899_267),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_their_number_of_parameters(name):
    arguments, count = PUBLISHED[name]
    assert parameters(edm_network({**arguments, "img_channels": 3}).unet_config()) == count


def test_the_preset_is_the_published_network():
    arguments = {**PUBLISHED["ddpmpp"][0], "img_channels": 3, "dropout": 0.13, "label_dim": 10}
    assert edm_network(arguments).unet_config() == presets.ddpmpp_cifar10(num_classes=10)


def test_a_level_too_narrow_for_a_head_of_64_channels_has_no_attention():
    arguments = {"model_type": "DhariwalUNet", "img_resolution": 8, "img_channels": 3, "model_channels": 32}
    config = edm_network({**arguments, "channel_mult": [1, 3], "attn_resolutions": [8, 4]}).unet_config()
    assert {node.level: node.attention.heads for node in config.nodes() if node.kind == "attention"} == {1: 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_type": "skip"}, "network.encoder_type: expected one of ['standard', 'residual'], got 'skip'"),
        ({"decoder_type": "skip"}, "network.decoder_type: expected one of ['standard'], got 'skip'"),
        ({"embedding_type": "learned"}, "network.embedding_type: expected one of ['positional', 'fourier']"),
        ({"model_type": "VUNet"}, "network.model_type: expected one of ['SongUNet', 'DhariwalUNet'], got 'VUNet'"),
        ({"heads": 4}, "got ['heads']"),
        ({"num_blocks": "4"}, "network.num_blocks: expected a value of type int, got '4'"),
        ({"channel_mult": []}, "network.channel_mult: expected one factor for each level, got ()"),
    ],
)
def test_arguments_that_are_not_covered_are_named(song, change, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        from_edm(song.weights, {**song.network, **change})


def test_an_unknown_wrapper_is_named(song):
    with pytest.raises(ValueError, match=r"preconditioning: expected one of \['VPPrecond', .*got 'Precond'"):
        from_edm(song.weights, song.network, "Precond")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.map_label.bias": None}, "expected map_label.bias"),
        ({"model.map_label.weight": None}, "1 missing (class_embedding.weight)"),
        ({"model.enc.8x8_down.conv0.bias": None}, "1 missing (down_blocks.0.downsamplers.0.conv1.bias)"),
        ({"model.enc.4x4_down.conv0.bias": torch.ones(3)}, "1 unexpected (enc.4x4_down.conv0.bias)"),
        ({"model.dec.8x8_in0.qkv.bias": torch.ones(95)}, "expected a multiple of 3 channels"),
        ({"model.dec.8x8_in0.proj.weight": torch.ones(8, 8, 1, 1)}, "to_out.0.weight (8, 8) instead of (32, 32)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(song, change, message):
    weights = {key: tensor for key, tensor in {**song.weights, **change}.items() if tensor is not None}
    with pytest.raises(InputError, match=re.escape(message)):
        from_edm(weights, song.network)
