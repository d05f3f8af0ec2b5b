import pytest
import torch
from einops import rearrange
from torch.utils.flop_counter import FlopCounterMode

import samplers
from unetdiff.config import LevelConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.describe import costs
from unetdiff.features import capture
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet
from unetdiff.walk import SkipCache

CROSS = "mid_block.attentions.0.transformer_blocks.0.attn2"


def everything(unet, inputs):
    return unet(**inputs, capture=list(unet.taps))


def test_reading_every_tap_changes_no_bit_of_the_output(unet, inputs):
    output = everything(unet, inputs)
    assert list(output.features) == list(unet.taps)
    assert torch.equal(output.sample, unet(**inputs).sample)


def test_taps_say_the_shape_of_what_is_read(unet, inputs):
    features = everything(unet, inputs).features
    for name, tap in unet.taps.items():
        side = 8 // tap.stride
        shape = {
            "image": (2, tap.channels, side, side),
            "tokens": (2, side**2, tap.channels),
            "probabilities": (2, tap.channels, side**2, 5 if "attn2" in name else side**2),
        }[tap.form]
        assert features[name].shape == shape, name


def test_feature_maps_of_nodes_are_what_their_modules_give(unet, inputs):
    seen = {}
    hooks = [
        unet.get_submodule(name).register_forward_hook(lambda _m, _a, out, name=name: seen.update({name: out}))
        for name, tap in unet.taps.items()
        if ":" not in name and tap.node != "conv_norm_out"
    ]
    features = everything(unet, inputs).features
    for hook in hooks:
        hook.remove()
    assert len(seen) == sum(":" not in name for name in unet.taps) - 1
    for name, out in seen.items():
        assert torch.equal(features[name], out), name


def test_the_input_of_a_decoder_node_holds_its_skip(unet, inputs):
    features = everything(unet, inputs).features
    for node in unet.nodes:
        if node.skip_from is not None:
            joined = features[f"{node.name}:input"]
            assert torch.equal(joined[:, node.in_channels :], features[node.skip_from]), node.name


@pytest.mark.parametrize("name", ["up_blocks.1.resnets.0", "down_blocks.0.attentions.0", "mid_block.attentions.0"])
def test_the_residual_is_what_a_node_adds_to_its_input(unet, inputs, name):
    f = everything(unet, inputs).features
    module, x = unet.get_submodule(name), f[f"{name}:input"]
    shortcut = getattr(module, "conv_shortcut", None)
    out = f[f"{name}:residual"] + (x if shortcut is None else shortcut(x))
    torch.testing.assert_close(out * getattr(module, "residual_scale", 1), f[name])


def test_probabilities_are_those_of_the_tokens_that_attention_reads(unet, inputs):
    features = everything(unet, inputs).features
    probabilities = features[f"{CROSS}:probabilities"]
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2, 4, 16))
    attention = unet.get_submodule(CROSS)
    v = rearrange(attention.to_v(inputs["encoder_hidden_states"]), "n m (h d) -> n h m d", h=4)
    attended = attention.to_out[0](rearrange(probabilities @ v, "n h l d -> n l (h d)"))
    torch.testing.assert_close(attended, features[CROSS])


def test_a_masked_token_has_no_probability(unet, inputs):
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 1, 1]])
    name = f"{CROSS}:probabilities"
    probabilities = unet(**inputs, encoder_attention_mask=mask, capture=[name]).features[name]
    assert (probabilities[1, :, :, 1] == 0).all()
    assert (probabilities[0, :, :, 1] > 0).all()


def test_patching_with_what_is_there_changes_no_bit(unet, inputs):
    output = everything(unet, inputs)
    own = {name: lambda _, name=name: output.features[name].clone() for name in unet.taps}
    assert torch.equal(unet(**inputs, replace=own).sample, output.sample)


def test_every_patch_reaches_the_output(unet, inputs):
    plain = unet(**inputs).sample
    for name in unet.taps:
        # of an image with rows reversed: a constant, or probabilities scaled alike, could be cancelled by a norm
        patched = unet(**inputs, replace={name: lambda x: x.flip(2).flip(1) * 1.5}).sample
        assert not torch.equal(patched, plain), name


@pytest.mark.parametrize("name", ["down_blocks.0.resnets.0", "mid_block.attentions.0:residual", f"{CROSS}"])
def test_a_patch_is_what_the_network_goes_on_with(unet, inputs, name):
    """Behind a patch with another image's feature map, everything is that image's, unless a skip goes around it."""
    other = {**inputs, "sample": inputs["sample"].flip(0)}
    theirs = unet(**other, capture=[name]).features[name]
    output = unet(**inputs, capture=[name], replace={name: lambda _: theirs})
    assert torch.equal(output.features[name], theirs)


def test_patching_the_input_of_the_first_node_gives_the_other_images_output(unet, inputs):
    other = {**inputs, "sample": inputs["sample"] + 1}
    theirs = unet(**other, capture=["conv_in"])
    patched = unet(**inputs, replace={"conv_in": lambda _: theirs.features["conv_in"]}).sample
    assert torch.equal(patched, theirs.sample)


def test_patching_all_text_layers_gives_the_other_prompts_image(unet, inputs):
    denoiser = Denoiser(unet, EDM())
    sigmas = samplers.karras(3, 0.1, 10.0)
    x = 10 * inputs["sample"]
    prompts = inputs["encoder_hidden_states"], inputs["encoder_hidden_states"].flip(1)
    layers = [name for name in unet.taps if name.endswith("attn2")]
    caches = []

    def sample(prompt, denoise):
        def conditioned(x, sigma):
            return denoise(x, sigma, encoder_hidden_states=prompt, class_labels=inputs["class_labels"])

        return samplers.sample(conditioned, x, sigmas, samplers.Heun())

    def remember(x, sigma, **condition):
        with capture(unet, layers) as features:
            denoised = denoiser(x, sigma, **condition)
        caches.append(features)
        return denoised

    def patched(x, sigma, **condition):
        cache = caches.pop(0)
        with capture(unet, replace={name: lambda _, name=name: cache[name] for name in layers}):
            return denoiser(x, sigma, **condition)

    theirs = sample(prompts[1], remember)
    assert not torch.equal(sample(prompts[0], denoiser), theirs)
    assert torch.equal(sample(prompts[0], patched), theirs)


def test_stopping_early_gives_the_same_feature_maps(unet, inputs):
    features = everything(unet, inputs).features
    for name in unet.taps:
        output = unet(**inputs, capture=[name], stop=True)
        assert output.sample is None
        assert torch.equal(output.features[name], features[name]), name
    (alone,) = unet(**inputs, capture=["conv_in"], stop=True, return_dict=False)
    assert list(alone) == ["conv_in"]


@pytest.mark.parametrize("name", ["down_blocks.1.attentions.0", "mid_block.resnets.1", "up_blocks.0.resnets.1"])
def test_stopping_early_costs_no_more_than_the_nodes_up_to_there(unet, inputs, name):
    rows = {row.name: row.macs for row in costs(unet.config, (8, 8), context_tokens=5)}
    nodes = [node.name for node in unet.nodes]
    left_out = sum(rows[node] for node in nodes[nodes.index(name) + 1 :])
    with torch.device("meta"):  # where all of attention is counted
        meta = UNet(unet.config).eval()
    with FlopCounterMode(display=False) as counter:
        meta(**{key: value.to("meta") for key, value in inputs.items()}, capture=[name], stop=True)
    images, flops_per_mac = 2, 2
    assert counter.get_total_flops() == images * flops_per_mac * (sum(rows.values()) - left_out)


def test_the_context_gives_what_the_call_gives(unet, inputs):
    names = ["conv_in", "mid_block.resnets.1", f"{CROSS}:probabilities"]
    called = unet(**inputs, capture=names)
    with capture(unet, names) as features:
        output = unet(**inputs)
        (positional,) = unet(
            inputs["sample"],
            inputs["timestep"],
            inputs["encoder_hidden_states"],
            inputs["class_labels"],
            None,
            None,
            None,
            False,
        )
    assert list(output) == ["sample"]
    assert torch.equal(output.sample, called.sample)
    assert torch.equal(positional, called.sample)
    assert set(features) == set(names)
    assert all(torch.equal(features[name], called.features[name]) for name in names)


def test_the_context_stops_inside_a_denoiser(unet, inputs):
    went_on = False
    with capture(unet, ["mid_block.resnets.0"], stop=True) as features:
        Denoiser(unet, EDM())(
            inputs["sample"],
            1.0,
            encoder_hidden_states=inputs["encoder_hidden_states"],
            class_labels=inputs["class_labels"],
        )
        went_on = True
    assert not went_on
    assert features["mid_block.resnets.0"].shape == (2, 16, 4, 4)


@pytest.mark.parametrize("stop", [False, True])
def test_nothing_is_left_behind(unet, inputs, stop):
    plain = unet(**inputs).sample
    with capture(unet, ["conv_in"], replace={"conv_in": torch.zeros_like}, stop=stop):
        unet(**inputs)
    with pytest.raises(ZeroDivisionError), capture(unet, ["conv_in"], replace={"conv_in": lambda x: 1 / 0}, stop=stop):
        unet(**inputs)
    with pytest.raises(ValueError, match="class_labels"), capture(unet, ["conv_in"], stop=stop):
        unet(**{**inputs, "class_labels": None})
    output = unet(**inputs)
    assert output.features is None
    assert torch.equal(output.sample, plain)
    assert not unet._forward_hooks
    assert not unet._forward_pre_hooks


def test_gradients_flow_through_what_is_read_and_patched(unet, inputs):
    sample = inputs["sample"].clone().requires_grad_()
    output = unet(**{**inputs, "sample": sample}, capture=["mid_block.resnets.0"], stop=True)
    output.features["mid_block.resnets.0"].sum().backward()
    assert sample.grad.abs().min() > 0


def test_compiled_blocks_are_read_and_patched(unet, inputs):
    blocks = UNet(unet.config)
    blocks.load_state_dict(unet.state_dict())
    blocks.eval().requires_grad_(False)
    blocks.compile_repeated_blocks(backend="eager", fullgraph=True)
    expected = everything(unet, inputs)
    output = everything(blocks, inputs)
    torch.testing.assert_close(output.sample, expected.sample)
    for name, feature in output.features.items():
        torch.testing.assert_close(feature, expected.features[name], msg=name)


def test_a_wholly_compiled_network_is_read_and_patched_in_one_graph_at_its_nodes():
    small = UNetConfig(in_channels=1, out_channels=1, levels=(LevelConfig(channels=8, depth=1),), mid=None)
    unet = UNet(small).eval().requires_grad_(False)
    x, names = torch.randn(1, 1, 4, 4), ["down_blocks.0.resnets.0", "conv_norm_out"]
    edits = {"up_blocks.0.resnets.0:input": lambda x: 2 * x}
    expected = unet(x, 0.5, capture=names, replace=edits)
    output = torch.compile(unet, backend="eager", fullgraph=True)(x, 0.5, capture=names, replace=edits)
    assert torch.equal(output.sample, expected.sample)
    assert all(torch.equal(output.features[name], expected.features[name]) for name in names)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"capture": ["mid_block.resnet.1"]}, "capture: expected a tap .* got 'mid_block.resnet.1'; near to it: mid"),
        ({"replace": {"conv_on": abs}}, "replace: expected a tap of this network, got 'conv_on'; near to it: conv_"),
        ({"stop": True}, "stop: expected a captured tap to stop behind, got none"),
        (
            {"capture": ["conv_in"], "replace": {"conv_out": abs}, "stop": True},
            "conv_out: expected a tap that is computed, got one of a node that is left out",
        ),
        ({"replace": {"conv_in": lambda x: x[:1]}}, r"replace: expected shape \(2, 8, 8, 8\) at conv_in, got \(1, 8"),
    ],
)
def test_refusals(unet, inputs, asked, message):
    with pytest.raises(ValueError, match=message):
        unet(**inputs, **asked)


def test_a_tap_that_a_skip_cache_leaves_out_is_refused(unet, inputs):
    cache = SkipCache(skip=unet.skips[-1])
    unet(**inputs, skip_cache=cache)
    with pytest.raises(ValueError, match=r"mid_block\.resnets\.0: expected a tap that is computed"):
        unet(**inputs, skip_cache=cache, capture=["mid_block.resnets.0"])


def test_a_capture_without_a_call_or_in_another_one_is_refused(unet, inputs):
    with pytest.raises(ValueError, match="expected a call of the network"), capture(unet, ["conv_in"]):
        pass
    with pytest.raises(ValueError, match="got another one"), capture(unet, ["conv_in"]), capture(unet, ["conv_out"]):
        unet(**inputs)
