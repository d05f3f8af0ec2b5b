import copy

import pytest
import torch
from diffusers.models.modeling_utils import get_parameter_dtype

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.unet import UNet

ATTENTION = AttentionConfig(heads=2)
TRANSFORMER = AttentionConfig(kind="transformer", heads=2)
LEVELS = (LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=ATTENTION))

NETWORKS = {
    "plain": UNetConfig(in_channels=1, out_channels=1, levels=LEVELS),
    "one level": UNetConfig(levels=(LevelConfig(channels=8, depth=2, attention=ATTENTION),), mid=None),
    "no middle": UNetConfig(levels=LEVELS, mid=None, downsample="pool", upsample="nearest"),
    "class": UNetConfig(levels=LEVELS, mid=MidConfig(attention=ATTENTION), num_classes=4, upsample="transposed"),
    "scale-shift": UNetConfig(
        levels=LEVELS,
        resnet=ResnetConfig(time_conditioning="scale_shift", residual_scale=0.5**0.5, resample_projection=True),
        time=TimeConfig(kind="fourier", labels="before"),
        downsample="resnet",
        upsample="resnet",
        vector_channels=5,
    ),
    "everything": UNetConfig(
        in_channels=5,
        out_channels=2,
        levels=(LevelConfig(channels=8, depth=1, attention=TRANSFORMER), *LEVELS[1:]),
        mid=MidConfig(depth=2, attention=AttentionConfig(kind="transformer", head_channels=8, layers=2)),
        num_classes=4,
        vector_channels=14,
        vector_time_channels=4,
        cross_attention_dim=6,
        concat_channels=3,
        downsample_padding="bottom_right",
    ),
    "NCSN++": UNetConfig(
        levels=(LevelConfig(channels=8, depth=1), *LEVELS),
        resnet=ResnetConfig(resample_filter=(1.0, 3.0, 3.0, 1.0), residual_scale=0.5**0.5),
        time=TimeConfig(kind="fourier", channels=16, order="sin_cos", labels="before"),
        downsample="resnet",
        upsample="resnet",
        input_residual=True,
        augment_channels=3,
    ),
    "score": UNetConfig(
        out_channels=6,
        variance_channels=3,
        levels=(LevelConfig(channels=8, depth=1, downsample="resnet"), *LEVELS),
        mid=MidConfig(attention=AttentionConfig(heads=2, norm_groups=0), residual_scale=0.5),
        time=TimeConfig(kind="fourier", log=True, cond_channels=5),
        upsample="nearest",
        odd_sizes="match_skips",
        divide_by_timestep=True,
        class_projection="mlp",
        class_channels=7,
    ),
}


def random_unet(config, seed=0):
    """A network whose every parameter is drawn, the ones that start at zero too."""
    torch.manual_seed(seed)
    unet = UNet(config)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return unet.eval()


def inputs(config, batch=2, height=16, width=16):
    generator = torch.Generator().manual_seed(5)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    values = {
        "sample": draw(batch, config.in_channels - config.concat_channels, height, width),
        "timestep": draw(batch).abs() * 10,
    }
    if config.num_classes is not None:
        values["class_labels"] = torch.arange(batch) % config.num_classes
    if config.class_channels is not None:
        values["class_labels"] = draw(batch, config.class_channels)
    if config.augment_channels is not None:
        values["augment_labels"] = draw(batch, config.augment_channels)
    if config.time.cond_channels is not None:
        values["timestep_cond"] = draw(batch, config.time.cond_channels)
    if config.vector_channels is not None:
        values["vector"] = draw(batch, config.vector_channels)
    if config.cross_attention_dim is not None:
        values["encoder_hidden_states"] = draw(batch, 3, config.cross_attention_dim)
    if config.concat_channels:
        values["concat"] = draw(batch, config.concat_channels, height, width)
    return values


@pytest.fixture(params=NETWORKS, ids=str)
def network(request):
    config = NETWORKS[request.param]
    return random_unet(config), inputs(config)


def test_output_has_the_shape_of_the_sample(network):
    unet, values = network
    out = unet(**values)
    assert out.sample.shape == (2, unet.config.out_channels, 16, 16)
    assert torch.equal(unet(**values, return_dict=False)[0], out.sample)


def test_every_tap_is_read_in_its_form_without_a_change(network):
    unet, values = network
    output = unet(**values, capture=list(unet.taps))
    assert torch.equal(output.sample, unet(**values).sample)
    assert list(output.features) == list(unet.taps)
    for name, tap in unet.taps.items():
        channels, rest = {
            "image": (1, (16 // tap.stride, 16 // tap.stride)),
            "tokens": (2, ((16 // tap.stride) ** 2,)),
            "probabilities": (1, ((16 // tap.stride) ** 2, 3 if ".attn2:" in name else (16 // tap.stride) ** 2)),
        }[tap.form]
        shape = list(output.features[name].shape)
        assert shape.pop(channels) == tap.channels, name
        assert shape == [2, *rest], name


def test_every_parameter_receives_a_gradient(network):
    unet, values = network
    unet(**values).sample.square().sum().backward()
    trained = {name: p for name, p in unet.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []


def test_parameters_stand_under_their_nodes_names(network):
    unet, _ = network
    nodes = {node.name for node in unet.nodes}
    outside = {key for key in unet.state_dict() if not any(key.startswith(f"{name}.") for name in nodes)}
    heads = {key.split(".")[0] for key in outside}
    assert heads <= {"time_proj", "time_embedding", "class_embedding", "add_embedding", "augment_embedding"}


def test_every_skip_influences_the_output(network):
    unet, values = network
    plain = unet(**values).sample
    for name in unet.skips:
        assert not torch.equal(unet(**values, skip_scale={name: 0.5}).sample, plain), name


def test_skip_scale_one_is_bitwise_the_plain_result(network):
    unet, values = network
    plain = unet(**values).sample
    ones = torch.ones(len(unet.skips))
    for scale in (
        1,
        1.0,
        ones.tolist(),
        ones,
        torch.tensor(1.0),
        ones.expand(2, -1),
        dict.fromkeys(unet.skips, 1.0),
        {},
    ):
        assert torch.equal(unet(**values, skip_scale=scale).sample, plain)


def test_all_forms_of_skip_scale_mean_the_same(network):
    unet, values = network
    factors = torch.linspace(0.5, 1.0, len(unet.skips))
    by_name = unet(**values, skip_scale=dict(zip(unet.skips, factors.tolist(), strict=True))).sample
    for scale in (factors.tolist(), factors, factors.expand(2, -1)):
        torch.testing.assert_close(unet(**values, skip_scale=scale).sample, by_name, rtol=0, atol=0)


def test_skip_scale_of_each_image_is_its_own():
    unet = random_unet(NETWORKS["plain"])
    values = inputs(unet.config)
    factors = torch.stack([torch.full((len(unet.skips),), rho) for rho in (0.5, 0.9)])
    both = unet(**values, skip_scale=factors).sample
    for row, rho in enumerate((0.5, 0.9)):
        alone = unet(values["sample"][row : row + 1], values["timestep"][row : row + 1], skip_scale=rho).sample
        torch.testing.assert_close(both[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_scaling_a_skip_is_scaling_the_decoder_weights_that_read_it():
    """Without a norm in between, rho acts as on the shortcut's weights (skip-tuning, appendix C): a swap would show."""
    config = UNetConfig(levels=(LevelConfig(channels=8, depth=1),), mid=None)
    unet = random_unet(config)
    values = inputs(config)
    with torch.no_grad():
        for name in ("up_blocks.0.resnets.0", "up_blocks.0.resnets.1"):
            unet.get_submodule(name).conv2.weight.zero_()
    scaled = unet(**values, skip_scale={"down_blocks.0.resnets.0": 0.25}).sample
    folded = copy.deepcopy(unet)
    with torch.no_grad():
        folded.get_submodule("up_blocks.0.resnets.0").conv_shortcut.weight[:, 8:] *= 0.25
    torch.testing.assert_close(folded(**values).sample, scaled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(16, 12), (45, 37), (28, 28), (1, 3)])
def test_any_size(height, width):
    levels = tuple(LevelConfig(channels=8, depth=1) for _ in range(4))
    resnet = ResnetConfig(norm_min_channels=4)  # a group needs two values, and the innermost map may be 1x1
    unet = random_unet(UNetConfig(in_channels=1, out_channels=1, levels=levels, resnet=resnet))
    assert unet(torch.randn(1, 1, height, width), 1.0).sample.shape == (1, 1, height, width)


@pytest.mark.parametrize(("height", "width"), [(16, 12), (45, 37), (7, 9)])
def test_sizes_that_match_their_skips(height, width):
    levels = tuple(LevelConfig(channels=8, depth=1) for _ in range(3))
    unet = random_unet(UNetConfig(in_channels=1, out_channels=1, levels=levels, odd_sizes="match_skips"))
    assert unet(torch.randn(1, 1, height, width), 1.0).sample.shape == (1, 1, height, width)


def test_padding_is_repeating_the_border_evenly():
    unet = random_unet(NETWORKS["plain"])
    x = torch.randn(1, 1, 7, 8)
    padded = torch.cat([x, x[:, :, -1:]], dim=2)
    assert torch.equal(unet(x, 3.0).sample, unet(padded, 3.0).sample[:, :, :7])


def test_the_null_class_adds_nothing():
    unet = random_unet(NETWORKS["class"])
    values = {**inputs(unet.config), "class_labels": torch.tensor([-1, 2])}
    with_null = unet(**values).sample
    with torch.no_grad():
        unet.class_embedding.weight[0] += 100
    assert torch.equal(unet(**values).sample, with_null)


def test_a_masked_token_is_not_read():
    unet = random_unet(NETWORKS["everything"])
    values = inputs(unet.config)
    mask = torch.tensor([[1, 1, 0], [1, 0, 1]])
    masked = unet(**values, encoder_attention_mask=mask).sample
    other = values["encoder_hidden_states"].clone()
    other[0, 2], other[1, 1] = 7.0, -7.0
    assert torch.equal(
        unet(**{**values, "encoder_hidden_states": other}, encoder_attention_mask=mask.bool()).sample, masked
    )
    assert not torch.equal(unet(**values).sample, masked)


def test_size_numbers_and_text_make_the_vector():
    unet = random_unet(NETWORKS["everything"])
    values = inputs(unet.config)
    text, numbers = values.pop("vector")[:, :6], torch.tensor([[16.0, 16.0], [8.0, 32.0]])
    vector = torch.cat([text, unet.add_time_proj(numbers.flatten()).reshape(2, 8)], dim=1)
    added = unet(**values, added_cond_kwargs={"text_embeds": text, "time_ids": numbers}).sample
    assert torch.equal(added, unet(**values, vector=vector).sample)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"class_labels": None}, "class_labels: expected a tensor, as this network's configuration says, got None"),
        ({"vector": None}, "vector: expected a tensor"),
        ({"encoder_hidden_states": None}, "encoder_hidden_states: expected a tensor"),
        ({"encoder_hidden_states": torch.zeros(2, 3, 9)}, r"encoder_hidden_states: expected 6 channels .* \(2, 3, 9\)"),
        ({"concat": None}, r"sample \(with concat\): expected 5 channels in dimension 1, got shape \(2, 2, 16, 16\)"),
        ({"vector": torch.zeros(2, 3)}, "vector: expected 14 channels"),
        ({"skip_scale": [1.0]}, "skip_scale: expected one factor for each of 4 skips, got 1"),
        ({"skip_scale": {"conv_inn": 1.0}}, r"skip_scale: expected names among .*'conv_in'.* got \['conv_inn'\]"),
        ({"down_block_additional_residuals": [torch.zeros(())] * 3}, "one tensor for each of 4 skips, got 3"),
        (
            {"added_cond_kwargs": {"text_embeds": torch.zeros(2, 6)}},
            r"expected text_embeds and time_ids, got \['text_e",
        ),
        ({"class_labels": torch.tensor([4, 0])}, r"class_labels: expected -1 to 3, got 4"),
    ],
)
def test_wrong_conditions_are_named(change, message):
    unet = random_unet(NETWORKS["everything"])
    with pytest.raises(ValueError, match=message):
        unet(**{**inputs(unet.config), **change})


@pytest.mark.parametrize(("network", "name"), [("NCSN++", "augment_labels"), ("score", "timestep_cond")])
def test_what_may_be_left_out_is_nothing_then(network, name):
    unet = random_unet(NETWORKS[network])
    values = inputs(unet.config)
    given = values.pop(name)
    plain = unet(**values).sample
    assert torch.equal(unet(**values, **{name: torch.zeros_like(given)}).sample, plain)
    assert not torch.equal(unet(**values, **{name: given}).sample, plain)


def test_unused_conditions_are_refused():
    unet = random_unet(NETWORKS["plain"])
    with pytest.raises(ValueError, match="class_labels: expected nothing"):
        unet(**inputs(unet.config), class_labels=torch.zeros(2, dtype=torch.long))
    for name in ("augment_labels", "timestep_cond"):
        with pytest.raises(ValueError, match=f"{name}: expected nothing"):
            unet(**inputs(unet.config), **{name: torch.zeros(2, 4)})
    with pytest.raises(ValueError, match="cross_attention_kwargs: expected scale"):
        unet(**inputs(unet.config), cross_attention_kwargs={"gligen": 1})
    with pytest.raises(ValueError, match=r"added_cond_kwargs: expected nothing, got \['image_embeds'\]"):
        unet(**inputs(unet.config), added_cond_kwargs={"image_embeds": torch.zeros(2, 4)})


def test_gradient_checkpointing_changes_neither_output_nor_gradients(network):
    unet, values = network
    plain = copy.deepcopy(unet).train()
    unet.train().enable_gradient_checkpointing()
    losses = [net(**values).sample.square().mean() for net in (plain, unet)]
    assert torch.equal(losses[0], losses[1])
    for loss in losses:
        loss.backward()
    for (name, a), b in zip(plain.named_parameters(), unet.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad) if a.requires_grad else b.grad is None, name


@pytest.mark.parametrize("name", ["everything", "scale-shift"])
def test_full_graph_with_the_eager_result(name):
    unet = random_unet(NETWORKS[name])
    values = inputs(unet.config)
    compiled = torch.compile(unet, fullgraph=True, backend="eager")
    assert torch.equal(compiled(**values, skip_scale=0.9).sample, unet(**values, skip_scale=0.9).sample)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # inductor warns about torch's own code
def test_compiled_blocks_give_the_eager_result_and_keep_the_names():
    unet = random_unet(UNetConfig(in_channels=1, out_channels=1, levels=LEVELS[:1]))
    values, keys = inputs(unet.config), list(unet.state_dict())
    eager = unet(**values).sample
    unet.compile_blocks()
    torch.testing.assert_close(unet(**values).sample, eager, rtol=1e-5, atol=1e-5)
    assert list(unet.state_dict()) == keys
    torch._dynamo.reset()


def test_saving_and_loading(network, tmp_path):
    unet, values = network
    unet.save_pretrained(tmp_path)
    loaded = UNet.from_pretrained(tmp_path)
    assert loaded.config == unet.config
    assert torch.equal(loaded(**values).sample, unet(**values).sample)
    assert UNet.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_precision_is_what_diffusers_finds_by_looking_everywhere(dtype):
    unet = random_unet(NETWORKS["plain"]).to(dtype)
    assert unet.dtype == get_parameter_dtype(unet) == dtype
    unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    assert unet.dtype == get_parameter_dtype(unet)
