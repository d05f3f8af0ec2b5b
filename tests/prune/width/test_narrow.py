import copy
from dataclasses import replace

import pytest
import torch

from unetdiff.config import AttentionConfig, LevelConfig, ResnetConfig, UNetConfig
from unetdiff.describe import costs
from unetdiff.prune import prune
from unetdiff.prune.width import narrow
from unetdiff.prune.width.units import parts
from unetdiff.unet import UNet

RESNET, HEADS = "up_blocks.0.resnets.0", "down_blocks.0.attentions.0"
FF = "mid_block.attentions.0.transformer_blocks.1.ff"
CROSS = "mid_block.attentions.0.transformer_blocks.1.attn2"
SOME = {RESNET: [0, 2, 3], HEADS: [1, 2], CROSS: [3], FF: [*range(0, 64, 2)]}
KINDS = (RESNET, HEADS, CROSS, FF, "mid_block.attentions.0.transformer_blocks.0.attn1", "up_blocks.0.upsamplers.0")


def outgoing(unet, name):
    """The weights through which the units of a part reach what follows, (channels given, ..., units, channels)."""
    module = unet.get_submodule(name)
    layer = module.net[2] if name.endswith("ff") else module.to_out[0] if hasattr(module, "to_out") else module.conv2
    return layer.weight.data.unflatten(1, (parts(unet.config)[name].units, -1))


def without_effect(unet, gone):
    """A copy of the network in which these units reach nothing."""
    silenced = copy.deepcopy(unet)
    for name, units in gone.items():
        outgoing(silenced, name)[:, units] = 0
    return silenced


def test_parts_are_residual_blocks_attention_and_feed_forward_layers(unet):
    found = parts(unet.config)
    assert found[RESNET].units == 4
    assert found[RESNET].step == 4
    assert found[HEADS].units == found[CROSS].units == 4
    assert found[FF].units == 64
    inside = {name for name in found if "transformer_blocks" in name}
    resampling = {node.name for node in unet.nodes if node.kind in ("downsample", "upsample")}
    nodes = {node.name for node in unet.nodes if node.kind in ("resnet", "attention")}
    assert set(found) - inside == nodes | (resampling if unet.config.downsample == "resnet" else set())
    assert len(inside) == 3 * 8


def test_units_that_reach_nothing_can_go(unet, inputs):
    """Also the norms agree, since a group goes as a whole; the difference is float64's rounding."""
    plain = unet(**inputs).sample
    for name, part in parts(unet.config).items():
        if name not in KINDS:
            continue
        gone, kept = [1, 2], [unit for unit in range(part.units) if unit not in (1, 2)]
        narrower = narrow(unet, {name: kept})
        output = narrower(**inputs).sample
        torch.testing.assert_close(output, without_effect(unet, {name: gone})(**inputs).sample, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(output, plain, rtol=1e-6), name
        assert narrower.config.widths == {name: (part.units - 2) * part.step}


def test_all_parts_at_once(unet, inputs):
    gone = {name: [0, part.units - 1] for name, part in parts(unet.config).items()}
    kept = {name: [*range(1, part.units - 1)] for name, part in parts(unet.config).items()}
    expected = without_effect(unet, gone)(**inputs).sample
    torch.testing.assert_close(narrow(unet, kept)(**inputs).sample, expected, rtol=1e-9, atol=1e-12)


def test_all_kept_changes_no_bit_and_the_network_stays_as_it_was(unet, inputs):
    before = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    plain = unet(**inputs).sample
    whole = narrow(unet, {name: range(part.units) for name, part in parts(unet.config).items()})
    assert whole.config == unet.config
    assert torch.equal(whole(**inputs).sample, plain)
    narrow(unet, SOME)
    assert unet.config.widths == {}
    assert all(torch.equal(tensor, before[key]) for key, tensor in unet.state_dict().items())


def test_keys_stay_and_what_is_not_cut_is_shared(unet):
    whole, state = unet.state_dict(), narrow(unet, SOME).state_dict()
    assert list(state) == list(whole)
    cut = {cut.parameter for name in SOME for cut in parts(unet.config)[name].cuts}
    assert {key for key in state if state[key].shape != whole[key].shape} == cut
    assert all(state[key].data_ptr() == whole[key].data_ptr() for key in state if key not in cut)


def test_narrower_again_is_narrow_at_once(unet, inputs):
    twice = narrow(narrow(unet, {RESNET: [0, 2, 3], FF: range(10, 50)}), {RESNET: [1, 2], HEADS: [0], FF: [5, 7]})
    once = narrow(unet, {RESNET: [2, 3], HEADS: [0], FF: [15, 17]})
    assert twice.config == once.config
    assert torch.equal(twice(**inputs).sample, once(**inputs).sample)


def test_a_narrower_network_is_an_ordinary_one(unet, inputs, tmp_path):
    narrower = narrow(unet, SOME)
    narrower.save_pretrained(tmp_path)
    loaded = UNet.from_pretrained(tmp_path, torch_dtype=torch.float64).requires_grad_(False)
    assert loaded.config == narrower.config
    assert UNetConfig.from_dict(narrower.config.to_dict()) == narrower.config
    output = loaded(**inputs, capture=list(loaded.taps))
    # a file's tensors lie unaligned in memory, and some products are summed in another order then
    torch.testing.assert_close(output.sample, narrower(**inputs).sample, rtol=0, atol=1e-14)
    channels = {name: loaded.taps[name].channels for name in loaded.taps}
    last = {name: map_.shape[-1 if loaded.taps[name].form == "tokens" else 1] for name, map_ in output.features.items()}
    assert last == channels
    assert channels[f"{CROSS}:probabilities"] == 1
    assert channels[f"{HEADS}:probabilities"] == 2
    loaded.requires_grad_(True)
    loaded(**inputs).sample.square().sum().backward()
    assert [name for name, p in loaded.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_it_is_compiled_as_one_graph():
    attention = AttentionConfig(kind="transformer", heads=2)
    level = LevelConfig(channels=4, depth=1, attention=attention)
    whole = UNet(UNetConfig(levels=(level,), mid=None, resnet=ResnetConfig(norm_groups=2)))
    narrower = narrow(whole.requires_grad_(False), {name: [0] for name in parts(whole.config)})
    compiled, x = torch.compile(narrower, fullgraph=True, backend="eager"), torch.randn(1, 3, 4, 4)
    assert torch.equal(compiled(x, 1.0).sample, narrower(x, 1.0).sample)


def test_what_is_trained_stays_so(unet):
    unet.get_submodule(RESNET).requires_grad_(True)
    trained = {name for name, p in narrow(unet, SOME).named_parameters() if p.requires_grad}
    assert trained == {name for name, p in unet.named_parameters() if p.requires_grad}
    assert len(trained) == 12  # with the projection of the shortcut


def test_costs_follow(unet):
    narrower = narrow(unet, {FF: range(32), RESNET: [0, 1]})
    whole, less = (
        {row.name: row for row in costs(network.config, (8, 8), context_tokens=5)} for network in (unet, narrower)
    )
    assert sum(row.parameters for row in less.values()) == narrower.num_parameters()
    tokens, width = 16, 16
    assert whole[FF.partition(".transformer")[0]].macs - less[FF.partition(".transformer")[0]].macs == (
        tokens * 3 * 32 * width
    )
    convolutions = 9 * 8 * (32 + 16) * tokens
    embedded = 32 * 8 * (2 if unet.config.resnet.time_conditioning == "scale_shift" else 1)
    assert whole[RESNET].macs - less[RESNET].macs == convolutions + embedded


def test_a_part_that_is_taken_out_takes_its_width_along(unet, inputs):
    removed = {RESNET: "shortcut", "mid_block.attentions.0.transformer_blocks.1": "identity"}
    pruned = prune(narrow(unet, SOME), removed)
    assert pruned.config.widths == {HEADS: 2}
    assert torch.equal(pruned(**inputs).sample, narrow(prune(unet, removed), {HEADS: SOME[HEADS]})(**inputs).sample)
    assert not any(name.startswith((RESNET, FF)) for name in parts(pruned.config))


def test_diffusers_has_no_such_network(unet):
    unet = UNet(replace(unet.config, widths={HEADS: 2}))
    with pytest.raises(ValueError, match=rf"widths\.{HEADS}: diffusers' .* expected to express 2, got None"):
        unet.to_diffusers()


class TestRefusals:
    @pytest.mark.parametrize(
        ("kept", "message"),
        [
            (
                {"conv_in": [0]},
                "kept: expected names of residual blocks, attention and feed-forward layers, got 'conv_in'",
            ),
            ({HEADS: [4]}, rf"kept\.{HEADS}: expected different numbers below 4, at least one, got \[4\]"),
            ({HEADS: [-1]}, r"got \[-1\]"),
            ({HEADS: [1, 1]}, r"got \[1, 1\]"),
            ({HEADS: []}, r"at least one, got \[\]"),
        ],
    )
    def test_units(self, unet, kept, message):
        with pytest.raises(ValueError, match=message):
            narrow(unet, kept)

    @pytest.mark.parametrize(
        ("widths", "message"),
        [
            (
                {"mid_block": 4},
                "widths: expected names of residual blocks, attention and feed-forward layers, got 'mid_bl",
            ),
            ({RESNET: 6}, rf"widths\.{RESNET}: expected a multiple of 4 below 16, got 6"),
            ({RESNET: 16}, "expected a multiple of 4 below 16, got 16"),
            ({FF: 0}, "expected a multiple of 1 below 64, got 0"),
        ],
    )
    def test_configurations(self, unet, widths, message):
        with pytest.raises(ValueError, match=message):
            replace(unet.config, widths=widths)

    def test_a_width_of_what_is_gone(self, unet):
        with pytest.raises(ValueError, match=f"widths: expected names of .*, got '{FF}'"):
            replace(unet.config, widths={FF: 8}, removed={FF: "identity"})
