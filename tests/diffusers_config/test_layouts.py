"""Published layouts: our network computes what diffusers' class computes, and goes back to it bit for bit."""

import copy

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from benchmarks.layouts import CONDITIONAL, LAYOUTS, build, inputs
from unetdiff.config import UNetConfig
from unetdiff.diffusers_config import read_config, write_config
from unetdiff.unet import UNet

TOLERANCE = 1e-5  # of the greatest output, in float32


@pytest.fixture(scope="module")
def pair(request, tmp_path_factory):
    """diffusers' network of a layout, and ours loaded from its folder."""
    theirs = build(request.param)
    folder = tmp_path_factory.mktemp("layout")
    theirs.save_pretrained(folder)
    return theirs, UNet.from_pretrained(folder), request.param


@torch.no_grad()
def compare(theirs, ours, arguments):
    expected, out = (network(**arguments, return_dict=False)[0] for network in (theirs, ours))
    assert expected.std() > 0.05, "a comparison of nearly nothing"
    assert (out - expected).abs().max() <= TOLERANCE * expected.abs().max()


@pytest.mark.parametrize("pair", LAYOUTS, indirect=True)
class TestLayouts:
    def test_output_is_the_original_networks(self, pair):
        theirs, ours, name = pair
        compare(theirs, ours, inputs(name))

    def test_the_way_back_is_bitwise(self, pair):
        theirs, ours, name = pair
        back = ours.to_diffusers()
        assert type(back) is type(theirs)
        weights = theirs.state_dict()
        assert back.state_dict().keys() == weights.keys()
        assert all(torch.equal(tensor, weights[key]) for key, tensor in back.state_dict().items())
        with torch.no_grad():
            arguments = inputs(name)
            expected, out = (network(**arguments, return_dict=False)[0] for network in (theirs, back))
        assert torch.equal(out, expected)

    def test_the_configuration_survives_both_formats(self, pair):
        _, ours, _ = pair
        assert UNetConfig.from_dict(ours.config.to_dict()) == ours.config
        kind, fields = write_config(ours.config)
        back = read_config({"_class_name": kind, **fields})
        assert write_config(back) == (kind, fields)


@pytest.mark.parametrize("pair", ["Stable Diffusion 1.5", "SDXL base", "BK-SDM-Small"], indirect=True)
@pytest.mark.parametrize("size", [(15, 16), (9, 13), (18, 30)])
def test_odd_sizes_are_rounded_as_diffusers_does(pair, size):
    theirs, ours, name = pair
    compare(theirs, ours, inputs(name, size=size))


def masked(name):
    """The arguments of a layout with a mask, and with other tokens where it hides them."""
    arguments = inputs(name)
    mask = torch.ones(arguments["encoder_hidden_states"].shape[:2], dtype=torch.bool)
    mask[0, 3:] = mask[1, :2] = False
    changed = torch.where(mask[:, :, None], arguments["encoder_hidden_states"], 7.0)
    arguments["encoder_attention_mask"] = mask
    return arguments, {**arguments, "encoder_hidden_states": changed}


# The first attention of the upscaler's blocks reads the text too, and diffusers does not mask it there.
@pytest.mark.parametrize("pair", ["Stable Diffusion 1.5", "SDXL base", "Stable Diffusion x4 upscaler"], indirect=True)
def test_masks_mean_what_they_mean_to_diffusers(pair):
    theirs, ours, name = pair
    compare(theirs, ours, masked(name)[0])


@pytest.mark.parametrize("pair", ["Stable Diffusion 1.5", "SDXL base"], indirect=True)
def test_masked_tokens_are_not_read(pair):
    _, ours, name = pair
    plain, changed = masked(name)
    with torch.no_grad():
        assert torch.equal(ours(**plain).sample, ours(**changed).sample)


@pytest.mark.parametrize("pair", ["Stable Diffusion 1.5", "SDXL base"], indirect=True)
@pytest.mark.parametrize("size", [(16, 16), (9, 13)])
def test_controlnet_residuals_are_added_where_diffusers_adds_them(pair, size):
    theirs, ours, name = pair
    torch.manual_seed(0)
    control = ControlNetModel.from_unet(theirs, conditioning_embedding_out_channels=(8, 8)).eval()
    for parameter in control.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    arguments = inputs(name, size=size)
    shared = {key: arguments[key] for key in arguments if key != "sample"}
    with torch.no_grad():
        down, mid = control(
            arguments["sample"],
            controlnet_cond=torch.randn(2, 3, size[0] * 2, size[1] * 2),
            return_dict=False,
            **shared,
        )
    residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
    compare(theirs, ours, {**arguments, **residuals})
    with torch.no_grad():
        assert not torch.equal(ours(**arguments).sample, ours(**arguments, **residuals).sample)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["DDPM (google/ddpm-cifar10-32)", "SDXL base"])
def test_half_precision_agrees_to_its_own_rounding(name, dtype, tmp_path):
    theirs, arguments = build(name), inputs(name, size=(8, 8))
    theirs.save_pretrained(tmp_path)
    ours = UNet.from_pretrained(tmp_path, torch_dtype=dtype)
    assert {parameter.dtype for parameter in ours.parameters()} == {dtype}
    half = {
        key: value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for key, value in arguments.items()
    }
    with torch.no_grad():
        expected = copy.deepcopy(theirs).to(dtype)(**half, return_dict=False)[0].float()
        exact = theirs(**arguments, return_dict=False)[0]
        out = ours(**half, return_dict=False)[0].float()
    rounding = (expected - exact).abs().max()
    assert rounding > 0
    assert (out - exact).abs().max() <= 2 * rounding


@pytest.mark.slow
def test_stable_diffusion_at_its_true_size():
    theirs = UNet2DConditionModel(sample_size=64, cross_attention_dim=768).eval()
    with torch.device("meta"):
        ours = UNet(read_config({**theirs.config, "_class_name": "UNet2DConditionModel"})).eval()
    ours.load_state_dict(theirs.state_dict(), assign=True)
    assert ours.num_parameters() == 859_520_964
    arguments = {
        "sample": torch.randn(1, 4, 8, 8),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 77, 768),
    }
    compare(theirs, ours, arguments)


def test_every_text_layout_reads_its_text():
    for name in CONDITIONAL:
        ours = UNet.from_config({"_class_name": LAYOUTS[name][0], **LAYOUTS[name][1]}).eval()
        ours.load_state_dict(build(name).state_dict())
        arguments = inputs(name)
        with torch.no_grad():
            plain = ours(**arguments).sample
            arguments["encoder_hidden_states"] = arguments["encoder_hidden_states"] + 1
            assert not torch.equal(ours(**arguments).sample, plain), name
