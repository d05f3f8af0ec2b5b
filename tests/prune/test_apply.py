from dataclasses import replace

import pytest
import torch
from torch import nn

from unetdiff.config import UNetConfig
from unetdiff.prune import prune
from unetdiff.removal import removable
from unetdiff.unet import UNet

BLOCK = "mid_block.attentions.0.transformer_blocks.1"


def parts(unet):
    return removable(unet.nodes, cross_attention=True)


def gone(unet, name):
    """The parameters of the part, of its norm too, without those of its shortcut."""
    block, _, layer = name.rpartition(".")
    norm = {"attn1": "norm1", "attn2": "norm2", "ff": "norm3"}.get(layer)
    inside = tuple(f"{part}." for part in (name, norm and f"{block}.{norm}") if part)
    return [key for key in unet.state_dict() if key.startswith(inside) and ".conv_shortcut." not in key]


def without_branch(unet, inputs, name, way):
    """The output that follows from removal's definition, of the whole network with the part replaced by hand."""
    part = unet.get_submodule(name)
    scale = getattr(part, "residual_scale", 1) if way == "zero" else 1
    projection = getattr(part, "conv_shortcut", None) or nn.Identity()

    def stand_in(module, args, output):
        if name.endswith(("attn1", "attn2", "ff")):
            return torch.zeros_like(output)
        return projection(args[0]) * scale

    hook = part.register_forward_hook(stand_in)
    output = unet(**inputs).sample
    hook.remove()
    return output


def test_every_part_that_adds_to_its_input_can_go(unet):
    ways = parts(unet)
    expected = {node.name for node in unet.nodes if node.kind in ("resnet", "attention", "transformer")}
    assert {name for name in ways if "transformer_blocks" not in name} == expected
    assert ways["down_blocks.0.resnets.1"] == ("identity", "zero")
    assert ways["down_blocks.1.resnets.0"] == ("shortcut", "zero")
    assert ways["up_blocks.1.resnets.0"] == ("shortcut", "zero")
    assert [name for name in ways if name.startswith("mid_block.attentions.0")] == [
        *(f"mid_block.attentions.0.transformer_blocks.0{part}" for part in (".attn1", ".attn2", ".ff", "")),
        *(f"mid_block.attentions.0.transformer_blocks.1{part}" for part in (".attn1", ".attn2", ".ff", "")),
        "mid_block.attentions.0",
    ]


def test_what_is_left_computes_what_removal_says(unet, inputs):
    plain = unet(**inputs).sample
    for name, ways in parts(unet).items():
        for way in ways:
            pruned = prune(unet, {name: way})
            output = pruned(**inputs).sample
            torch.testing.assert_close(output, without_branch(unet, inputs, name, way), msg=f"{name} {way}")
            assert not torch.equal(output, plain), name
            assert pruned.config.removed == {name: way}


def test_what_remains_has_its_name_and_shares_its_tensors(unet):
    whole = unet.state_dict()
    for name, ways in parts(unet).items():
        state = prune(unet, {name: ways[0]}).state_dict()
        assert set(whole) - set(state) == set(gone(unet, name)), name
        assert all(tensor.data_ptr() == whole[key].data_ptr() for key, tensor in state.items())


def test_nothing_removed_changes_no_bit_and_the_network_stays_as_it_was(unet, inputs):
    before = {key: tensor.clone() for key, tensor in unet.state_dict().items()}
    plain = unet(**inputs).sample
    assert torch.equal(prune(unet, {}).eval()(**inputs).sample, plain)
    prune(unet, {BLOCK: "identity", "up_blocks.1.resnets.2": "zero"})
    assert unet.config.removed == {}
    assert torch.equal(unet(**inputs).sample, plain)
    assert all(torch.equal(tensor, before[key]) for key, tensor in unet.state_dict().items())


def test_pruning_again_is_pruning_at_once_and_a_whole_takes_its_parts_along(unet, inputs):
    part, whole = {f"{BLOCK}.ff": "identity", "down_blocks.0.resnets.1": "identity"}, {BLOCK: "identity"}
    twice = prune(prune(unet, part), whole)
    assert twice.config == prune(unet, {**whole, "down_blocks.0.resnets.1": "identity"}).config
    assert twice.config.removed == {**whole, "down_blocks.0.resnets.1": "identity"}
    assert not any(key.startswith(f"{BLOCK}.") for key in twice.state_dict())


def test_a_pruned_network_is_an_ordinary_one(unet, inputs, tmp_path):
    removed = {"mid_block.resnets.0": "zero", "up_blocks.0.resnets.0": "shortcut", BLOCK: "identity"}
    pruned = prune(unet, removed)
    pruned.save_pretrained(tmp_path)
    loaded = UNet.from_pretrained(tmp_path).requires_grad_(False)
    assert loaded.config == pruned.config
    assert UNetConfig.from_dict(pruned.config.to_dict()) == pruned.config
    assert torch.equal(loaded(**inputs).sample, pruned(**inputs).sample)
    output = loaded(**inputs, capture=list(loaded.taps))
    assert list(output.features) == list(loaded.taps)
    assert not any(name.startswith((f"{BLOCK}.", "mid_block.resnets.0:residual")) for name in loaded.taps)
    assert loaded.skips == unet.skips
    loaded.requires_grad_(True)
    loaded(**inputs).sample.square().sum().backward()
    assert [name for name, p in loaded.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("site", ["concat", "residual", "norm"])
def test_skip_tuning_acts_on_the_shortcut_that_is_left(unet, inputs, site):
    node = next(node for node in unet.nodes if node.name == "up_blocks.0.resnets.0")
    pruned = prune(unet, {node.name: "zero"})
    plain, tuned = (pruned(**inputs, skip_scale={node.skip_from: rho}, skip_site=site).sample for rho in (1.0, 0.5))
    if site == "norm":  # there is none
        assert torch.equal(tuned, plain)
        return
    halved = prune(unet, {node.name: "zero"})
    stub = halved.get_submodule(node.name)
    weight = stub.conv_shortcut.weight.clone()
    weight[:, node.in_channels :] *= 0.5
    stub.conv_shortcut.weight = nn.Parameter(weight, requires_grad=False)
    torch.testing.assert_close(tuned, halved(**inputs).sample)
    assert not torch.equal(tuned, plain)


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        ({"conv_in": "identity"}, "removed: expected names of parts that can be taken out, got 'conv_in'"),
        ({"down_blocks.0.downsamplers.0": "identity"}, "got 'down_blocks.0.downsamplers.0'"),
        ({"up_blocks.0.resnets.0": "identity"}, r"expected one of \['shortcut', 'zero'\], got 'identity'"),
        ({"mid_block.attentions.0": "zero"}, r"expected one of \['identity'\], got 'zero'"),
    ],
)
def test_refusals(unet, removed, message):
    with pytest.raises(ValueError, match=message):
        prune(unet, removed)


def test_a_configuration_names_a_removed_part_once(unet):
    with pytest.raises(ValueError, match="expected nothing inside of what is removed, got"):
        replace(unet.config, removed={BLOCK: "identity", f"{BLOCK}.ff": "identity"})


def test_diffusers_has_no_such_network(unet):
    with pytest.raises(ValueError, match=r"removed\.mid_block\.resnets\.0: diffusers' UNet2DConditionModel"):
        prune(unet, {"mid_block.resnets.0": "zero"}).to_diffusers()
