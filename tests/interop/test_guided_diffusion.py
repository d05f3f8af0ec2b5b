import json

import pytest
import torch
from safetensors import safe_open

from unetdiff.errors import InputError
from unetdiff.interop.guided_diffusion import from_guided_diffusion
from unetdiff.interop.loading import denoiser_from
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import EDM, Consistency, Epsilon

TINY = {
    "image_size": 8,
    "in_channels": 1,
    "model_channels": 32,
    "out_channels": 1,
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "channel_mult": [1, 2],
}


def golden(name):
    """The network's arguments, its state dict and what it was given and gave."""
    with safe_open(f"tests/golden/guided_{name}.safetensors", framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        network = json.loads(file.metadata()["network"])
    state = {key.removeprefix("net."): value for key, value in tensors.items() if key.startswith("net.")}
    return network, state, {key.removeprefix("io."): value for key, value in tensors.items() if key.startswith("io.")}


def labels(network, io):
    return io["y"] if "num_classes" in network else None


def resblock(prefix, channels, out):
    """Names and shapes of a residual block there, with the embedding added."""
    shapes = {
        "in_layers.0": (channels,),
        "in_layers.2": (out, channels, 3, 3),
        "emb_layers.1": (out, 128),
        "out_layers.0": (out,),
        "out_layers.3": (out, out, 3, 3),
    }
    if channels != out:
        shapes["skip_connection"] = (out, channels, 1, 1)
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def attention(prefix, channels, rank=3):
    spatial = (1,) * (rank - 2)
    return {
        f"{prefix}.norm": (channels,),
        f"{prefix}.qkv": (3 * channels, channels, *spatial),
        f"{prefix}.proj_out": (channels, channels, *spatial),
    }


def tiny_state(conv_resample=True, rank=3):
    """The state dict of TINY, written out by hand."""
    weights = {
        "time_embed.0": (128, 32),
        "time_embed.2": (128, 128),
        "input_blocks.0.0": (32, 1, 3, 3),
        **resblock("input_blocks.1.0", 32, 32),
        **resblock("input_blocks.3.0", 32, 64),
        **attention("input_blocks.3.1", 64, rank),
        **resblock("middle_block.0", 64, 64),
        **attention("middle_block.1", 64, rank),
        **resblock("middle_block.2", 64, 64),
        **resblock("output_blocks.0.0", 128, 64),
        **attention("output_blocks.0.1", 64, rank),
        **resblock("output_blocks.1.0", 96, 64),
        **attention("output_blocks.1.1", 64, rank),
        **resblock("output_blocks.2.0", 96, 32),
        **resblock("output_blocks.3.0", 64, 32),
        "out.0": (32,),
        "out.2": (1, 32, 3, 3),
    }
    if conv_resample:
        weights |= {"input_blocks.2.0.op": (32, 32, 3, 3), "output_blocks.1.2.conv": (64, 64, 3, 3)}
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in weights.items():
        state[f"{name}.weight"] = 0.1 * torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=generator)
    return state


@pytest.mark.parametrize("name", ["adm_class", "ddpm_plain", "new_attention_order"])
def test_parity(name):
    network, state, io = golden(name)
    unet = from_guided_diffusion(state, network).unet
    out = unet(io["x"], io["t"], class_labels=labels(network, io)).sample
    error = (out - io["out"]).abs().max() / io["out"].abs().max()
    assert error < 1e-5


@pytest.mark.parametrize("name", ["adm_class", "ddpm_plain", "new_attention_order"])
def test_every_parameter_is_used_once(name):
    network, state, _ = golden(name)
    numbered = {}
    total = 0
    for key, tensor in state.items():
        numbered[key] = torch.arange(total, total + tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
        total += tensor.numel()
    ours = from_guided_diffusion(numbered, network).unet.state_dict().values()
    everything = torch.cat([tensor.flatten() for tensor in ours]).sort().values
    assert torch.equal(everything, torch.arange(total, dtype=torch.float64))


def test_a_learned_variance_is_in_the_config_and_not_in_the_estimate():
    network, state, io = golden("adm_class")
    denoiser = from_guided_diffusion(state, network)
    assert denoiser.unet.config.variance_channels == 3
    schedule = DiscreteSchedule()
    sigma = schedule.sigmas[io["t"].long()].float()
    root = (1 + sigma**2).sqrt().reshape(-1, 1, 1, 1)
    estimate = denoiser(io["x"] * root, sigma, class_labels=io["y"])
    expected = root * io["x"] - sigma.reshape(-1, 1, 1, 1) * io["out"][:, :3]
    assert estimate.shape == io["x"].shape
    for mine, theirs in zip(estimate, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        ("linear", {}, Epsilon()),
        ("cosine", {}, Epsilon(schedule=DiscreteSchedule(kind="cosine"))),
        (
            "linear",
            {"diffusion_steps": 4000},
            Epsilon(schedule=DiscreteSchedule(steps=4000, beta_start=2.5e-5, beta_end=0.005)),
        ),
        (
            "cosine",
            {"diffusion_steps": 4000, "rescale_timesteps": True},
            Epsilon(schedule=DiscreteSchedule(kind="cosine", steps=4000), time_scale=0.25),
        ),
        ("edm", {}, EDM(noise_scale=250.0)),
        ("consistency", {}, Consistency()),
    ],
)
def test_noise_schedules(schedule, options, expected):
    assert from_guided_diffusion(tiny_state(), TINY, schedule, **options).preconditioning == expected


def test_pooling_instead_of_convolutions():
    denoiser = from_guided_diffusion(tiny_state(conv_resample=False), {**TINY, "conv_resample": False})
    assert (denoiser.unet.config.downsample, denoiser.unet.config.upsample) == ("pool", "nearest")
    with pytest.raises(InputError, match=r"got 4 unexpected \(down_blocks.0.downsamplers.0.conv.bias"):
        from_guided_diffusion(tiny_state(), {**TINY, "conv_resample": False})


def output(**changes):
    state = tiny_state(rank=4 if "attention_type" in changes else 3)
    unet = from_guided_diffusion(state, {**TINY, **changes}).unet
    return unet(torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8), 500).sample


def test_heads_by_number_or_by_width():
    """Both levels with attention are 64 wide; a width, where given, is what counts."""
    by_width = output(num_head_channels=16)
    assert torch.equal(by_width, output(num_heads=4))
    assert torch.equal(by_width, output(num_heads=2, num_head_channels=16, num_heads_upsample=1))
    assert not torch.allclose(by_width, output(num_heads=2), rtol=1e-3)


def test_flash_attention_is_laid_out_in_the_new_order():
    flash = output(num_heads=4, attention_type="flash")
    assert torch.equal(flash, output(num_heads=4, use_new_attention_order=True))
    assert not torch.allclose(flash, output(num_heads=4), rtol=1e-3)


def test_training_arguments_change_nothing():
    assert torch.equal(output(use_checkpoint=True, use_fp16=True, dropout=0.3, image_size=64), output())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": 3}, "network.dims: expected 2, got 3"),
        ({"out_channels": 3}, "network.out_channels: expected 1, or 2 with a learned variance, got 3"),
        (
            {"num_heads": 4, "num_heads_upsample": 2},
            r"network.num_heads_upsample: expected -1 or num_heads \(4\), got 2",
        ),
        ({"attention_resolutions": "32,16,8"}, "network.attention_resolutions: expected a list, got '32,16,8'"),
        ({"attention_type": "sparse"}, r"network.attention_type: expected one of \['flash'\], got 'sparse'"),
        ({"num_channels": 32}, r"network: expected fields among .*, got \['num_channels'\]"),
        ({"num_head_channels": 48}, "attention: expected heads that divide 64 channels|attention.head_channels"),
    ],
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        from_guided_diffusion(tiny_state(), {**TINY, **change})


def test_missing_arguments_are_named():
    network = {key: value for key, value in TINY.items() if key != "model_channels"}
    with pytest.raises(ValueError, match=r"network: expected every field .*, got .*model_channels"):
        from_guided_diffusion(tiny_state(), network)


def test_bad_noise_schedules_are_named():
    with pytest.raises(ValueError, match="noise_schedule: expected linear, cosine, edm or consistency, got 'sqrt'"):
        from_guided_diffusion(tiny_state(), TINY, "sqrt")
    with pytest.raises(ValueError, match="diffusion_steps: expected at least 2, got 0"):
        from_guided_diffusion(tiny_state(), TINY, diffusion_steps=0)


def test_tensors_that_do_not_fit_are_counted_and_named():
    state = tiny_state()
    for key in ("out.0.weight", "out.0.bias", "time_embed.0.bias", "time_embed.2.bias"):
        del state[key]
    state |= {"out.2.bias": torch.zeros(2), "encoder": torch.zeros(1)}
    message = (
        r"4 missing \(conv_norm_out.bias, conv_norm_out.weight, time_embedding.linear_1.bias, ...\), "
        r"1 unexpected \(encoder\), 1 of another shape \(conv_out.bias \(2,\) instead of \(1,\)\)"
    )
    with pytest.raises(InputError, match=message):
        from_guided_diffusion(state, TINY)


def test_loaded_weights_are_the_given_tensors():
    """No copy is made of what already has our layout, and its precision stays."""
    unet = from_guided_diffusion(tiny_state(), TINY).unet
    weights = {name: tensor.to(torch.bfloat16) for name, tensor in unet.state_dict().items()}
    loaded = denoiser_from(unet.config, weights, Epsilon())
    assert not loaded.training
    assert all(parameter.data_ptr() == weights[name].data_ptr() for name, parameter in loaded.unet.named_parameters())
    assert all(parameter.requires_grad for parameter in loaded.unet.parameters())
