"""Attention maps of networks whose attention is known, and against what `capture` reads."""

import pytest
import torch
from einops import rearrange

import samplers
from unetdiff.config import AttentionConfig, LevelConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.features import capture
from unetdiff.features.attention_maps import AttentionMaps
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet

TRANSFORMER = AttentionConfig(kind="transformer", heads=2)
DEEP = UNetConfig(
    in_channels=2,
    out_channels=2,
    levels=(LevelConfig(channels=32, depth=1, attention=TRANSFORMER),) * 2,
    cross_attention_dim=6,
)
EXACT = {"rtol": 0, "atol": 1e-6}
SUM_OF_PROBABILITIES = {"rtol": 0, "atol": 2e-6}


def read(unet, *calls, **chosen):
    maps = AttentionMaps(images=len(calls[0]["sample"]), **chosen)
    with maps.reading(unet):
        for inputs in calls:
            unet(**inputs)
    return maps


@pytest.fixture
def wide(inputs):
    """Of another height than width, and later in sampling."""
    return {**inputs, "sample": torch.randn(2, 2, 8, 16), "timestep": torch.tensor([0.1, 0.2])}


def test_a_token_that_all_attention_goes_to_has_a_map_of_ones(unet, inputs):
    mask = torch.tensor([[0, 0, 1, 0, 0], [1, 0, 0, 0, 0]])
    maps = read(unet, {**inputs, "encoder_attention_mask": mask}).pooled((7, 9))
    assert torch.equal(maps, mask[:, :, None, None].expand(2, 5, 7, 9).float())


def test_attention_without_preference_is_spread_evenly(unet, inputs):
    even = UNet(unet.config).eval().requires_grad_(False)
    even.load_state_dict(unet.state_dict())
    for name, parameter in even.named_parameters():
        if name.endswith("attn2.to_q.weight"):
            parameter.zero_()
    for layer in read(even, inputs).by_layer.values():
        torch.testing.assert_close(layer, torch.full_like(layer, 1 / 5), **EXACT)


def test_maps_are_means_over_heads_and_calls_at_their_positions(unet, inputs, wide):
    calls = [{**inputs, "sample": wide["sample"].flip(3)}, wide]
    maps = read(unet, *calls).by_layer
    assert list(maps) == [
        f"{node.name}.transformer_blocks.{block}.attn2"
        for node in unet.nodes
        if node.kind == "transformer"
        for block in range(node.layers)
    ]
    for name, layer in maps.items():
        tap = f"{name}:probabilities"
        found = [unet(**call, capture=[tap]).features[tap].mean(dim=1) for call in calls]
        expected = rearrange(sum(found) / 2, "n (h w) m -> n m h w", h=4, w=8)
        torch.testing.assert_close(layer, expected, **EXACT)


def test_the_maps_of_all_tokens_sum_to_one_everywhere(unet, inputs, wide):
    maps = read(unet, wide)
    for layer in (*maps.by_layer.values(), maps.pooled(), maps.pooled((3, 5)), maps.pooled((32, 20))):
        torch.testing.assert_close(layer.sum(dim=1), torch.ones_like(layer[:, 0]), **SUM_OF_PROBABILITIES)


def test_layers_are_resized_to_the_largest_and_weigh_the_same(unet, inputs):
    deep = UNet(DEEP).eval().requires_grad_(False)
    maps = read(deep, {**inputs, "class_labels": None})
    assert {tuple(layer.shape[2:]) for layer in maps.by_layer.values()} == {(8, 8), (4, 4)}
    resized = [layer.repeat_interleave(8 // layer.shape[3], 3) for layer in maps.by_layer.values()]
    rows = [layer.repeat_interleave(8 // layer.shape[2], 2).mean(dim=(2, 3)) for layer in resized]
    torch.testing.assert_close(maps.pooled().mean(dim=(2, 3)), sum(rows) / len(rows), **EXACT)


def test_an_images_map_does_not_depend_on_its_batch(unet, inputs):
    together = read(unet, inputs).pooled()
    for row in range(2):
        alone = read(unet, {name: value[row : row + 1] for name, value in inputs.items()}).pooled()
        torch.testing.assert_close(alone[0], together[row], **EXACT)


def test_only_the_conditional_half_of_guided_calls_is_read(unet, inputs):
    null = {**inputs, "encoder_hidden_states": torch.zeros(2, 5, 6)}
    guided = {name: torch.cat([inputs[name], null[name]]) for name in inputs}
    alone = read(unet, inputs).pooled()
    for conditional, call in (("first", guided), ("last", {name: value.roll(2, 0) for name, value in guided.items()})):
        maps = AttentionMaps(images=2, conditional=conditional)
        with maps.reading(unet):
            unet(**call)
            unet(**inputs)  # where guidance does not act
        torch.testing.assert_close(maps.pooled(), alone, **EXACT)
    assert not torch.allclose(alone, read(unet, null).pooled(), atol=1e-3)


def test_reading_changes_no_bit_of_what_is_sampled_and_goes_on_when_opened_again(unet, inputs):
    condition = {name: inputs[name] for name in ("encoder_hidden_states", "class_labels")}
    null = {"encoder_hidden_states": torch.zeros(2, 5, 6), "class_labels": torch.tensor([-1, -1])}
    denoise = samplers.guided_in_one_call(Denoiser(unet, EDM()), condition, null, samplers.Guidance(weight=2.0))
    sigmas = samplers.karras(3, 0.1, 10.0)

    def sample(sigmas):
        return samplers.sample(denoise, inputs["sample"], sigmas, samplers.Euler())

    plain = sample(sigmas)
    maps = AttentionMaps(images=2, conditional="first")
    with maps.reading(unet):
        assert torch.equal(sample(sigmas), plain)
    once = maps.pooled()
    with maps.reading(unet):
        sample(sigmas)
    torch.testing.assert_close(maps.pooled(), once, **EXACT)
    assert set(maps._calls.values()) == {6}
    with capture(unet, ["conv_in"]):
        sample(sigmas)
    assert set(maps._calls.values()) == {6}


def test_refusals(unet, inputs):
    plain = UNet(UNetConfig(levels=(LevelConfig(channels=32, depth=1),))).eval()
    with pytest.raises(ValueError, match="unet: expected a network with cross-attention, got 'one without'"):
        read(plain, inputs)
    for maps, message in (
        (AttentionMaps(images=1), "conditional: expected first or last half, since calls are guided"),
        (AttentionMaps(images=3), "images: expected 2 as in a call of the network, or half of it, got 3"),
    ):
        with pytest.raises(ValueError, match=message), maps.reading(unet):
            unet(**inputs)
    with pytest.raises(ValueError, match="maps: expected a call of the network while they were read, got 'none'"):
        AttentionMaps(images=1).pooled()
