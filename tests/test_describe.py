"""Costs against the network itself, run on the CPU, and against closed forms."""

import functools

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from unetdiff import presets
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.describe import costs, costs_of_levels
from unetdiff.unet import UNet

ATTENTION = AttentionConfig(heads=2)
TOKENS = 5
described = functools.cache(costs)


def transformer(layers):
    return AttentionConfig(kind="transformer", head_channels=8, layers=layers, linear_projection=True)


NETWORKS = {
    "ddpm": UNetConfig(
        levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, attention=ATTENTION)),
        mid=MidConfig(attention=ATTENTION),
    ),
    "adm": UNetConfig(
        levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=ATTENTION)),
        resnet=ResnetConfig(time_conditioning="scale_shift"),
        downsample="resnet",
        upsample="resnet",
        num_classes=10,
    ),
    "ddpm++": UNetConfig(
        stem_channels=8,
        levels=(LevelConfig(channels=16, depth=1), LevelConfig(channels=16, depth=1, attention=ATTENTION)),
        resnet=ResnetConfig(resample_projection=True, residual_scale=0.5**0.5),
        time=TimeConfig(channels=8, hidden=24, labels="before", kind="fourier"),
        downsample="resnet",
        upsample="resnet",
        augment_channels=9,
    ),
    "stable diffusion": UNetConfig(
        in_channels=4,
        out_channels=4,
        levels=(
            LevelConfig(channels=8, depth=1, attention=AttentionConfig(kind="transformer", heads=2)),
            LevelConfig(channels=16, depth=1),
        ),
        mid=MidConfig(attention=AttentionConfig(kind="transformer", heads=2)),
        cross_attention_dim=6,
    ),
    "sdxl": UNetConfig(
        levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=transformer(2))),
        mid=MidConfig(attention=transformer(3)),
        vector_channels=20,
        vector_time_channels=4,
        cross_attention_dim=6,
    ),
}


@pytest.fixture(params=NETWORKS, ids=str)
def config(request):
    return NETWORKS[request.param]


def run(config, size):
    """One image through the network on the CPU, every condition given."""
    condition = {}
    if config.num_classes is not None:
        condition["class_labels"] = torch.tensor([3])
    if config.vector_channels is not None:
        condition["vector"] = torch.randn(1, config.vector_channels)
    if config.augment_channels is not None:
        condition["augment_labels"] = torch.randn(1, config.augment_channels)
    if config.cross_attention_dim is not None:
        condition["encoder_hidden_states"] = torch.randn(1, TOKENS, config.cross_attention_dim)
    unet = UNet(config).eval()
    return lambda: unet(torch.randn(1, config.in_channels, *size), torch.ones(1), **condition).sample, unet


def test_rows_are_the_nodes_behind_the_embeddings(config):
    rows = described(config, (8, 8), TOKENS)
    nodes = config.nodes()
    assert {row.kind for row in rows[: -len(nodes)]} == {"embedding"}
    for row, node in zip(rows[-len(nodes) :], nodes, strict=True):
        for field in ("name", "kind", "level", "in_channels", "skip_channels", "skip_from", "out_channels"):
            assert getattr(row, field) == getattr(node, field)
        assert (row.height, row.width) == (8 // node.stride, 8 // node.stride)
        assert row.tokens == (row.height * row.width if node.attention else 0)


def test_parameters_are_those_under_the_names(config):
    tensors = UNet(config).state_dict()
    rows = described(config, (8, 8), TOKENS)
    for row in rows:
        assert row.parameters == sum(t.numel() for key, t in tensors.items() if key.startswith(f"{row.name}.")), row
    assert sum(row.parameters for row in rows) == sum(tensor.numel() for tensor in tensors.values())


def test_a_large_network_is_described_without_its_weights():
    rows = costs(presets.sdxl(), (8, 8))
    assert sum(row.parameters for row in rows) == 2_567_463_684


@pytest.mark.parametrize("size", [(8, 8), (7, 9)], ids=str)
def test_macs_are_half_the_operations_of_the_network_on_the_cpu(config, size):
    forward, _ = run(config, size)
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        forward()
    assert 2 * sum(row.macs for row in described(config, size, TOKENS)) == counter.get_total_flops()


def test_macs_of_each_row_in_closed_form(config):
    nodes = {node.name: node for node in config.nodes()}
    for row in described(config, (7, 9), TOKENS):
        expected = embedding_macs(row, config) if row.kind == "embedding" else node_macs(nodes[row.name], row, config)
        assert row.macs == expected, row.name


def embedding_macs(row, config):
    """Two linear layers; a table and a linear layer without bias are their own cases."""
    match row.name:
        case "time_proj" | "class_embedding":
            return 0
        case "augment_embedding":
            return config.augment_channels * config.time_channels
        case _:
            return (row.in_channels + row.out_channels) * row.out_channels


def node_macs(node, row, config):
    L, C = row.height * row.width, node.out_channels
    taken = node.in_channels + node.skip_channels
    match node.kind:
        case "norm":
            return 0
        case "resnet":
            return resnet_macs(L, taken, C, config, projected=taken != C)
        case "attention":
            return 4 * L * C * C + 2 * L * L * C
        case "transformer":
            self_attention = 4 * L * C * C + 2 * L * L * C
            cross_attention = 2 * L * C * C + 2 * TOKENS * config.cross_attention_dim * C + 2 * L * TOKENS * C
            feed_forward = L * C * 8 * C + L * 4 * C * C
            return 2 * L * C * C + node.layers * (self_attention + cross_attention + feed_forward)
        case "downsample" | "upsample" if config.downsample == "resnet":
            return resnet_macs(L, C, C, config, projected=config.resnet.resample_projection)
        case _:
            return 9 * L * taken * C


def resnet_macs(positions, taken, given, config, projected):
    """Two 3x3 convolutions, the embedding's projection, the 1x1 shortcut."""
    embedding = config.embedding_channels * given * (2 if config.resnet.time_conditioning == "scale_shift" else 1)
    shortcut = positions * taken * given if projected else 0
    return 9 * positions * (taken + given) * given + embedding + shortcut


@pytest.mark.parametrize("size", [(8, 8), (7, 9)], ids=str)
def test_activations_are_what_the_network_keeps_on_the_cpu(config, size):
    """The CPU's attention is fused; it keeps one more number for each head and token, which the estimate leaves out."""
    forward, unet = run(config, size)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        out = forward()
    assert out.requires_grad
    for parameter in unet.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    rows = {row.name: row for row in described(config, size, TOKENS)}
    statistics = sum(
        (1 if node.kind == "attention" else 2 * node.layers)
        * node.attention.heads_for(node.out_channels)
        * rows[node.name].tokens
        for node in config.nodes()
        if node.attention is not None
    )
    expected = sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) - 4 * statistics
    assert sum(row.activation_bytes for row in rows.values()) == expected


def test_gradients_need_not_be_on(config):
    with torch.no_grad():
        assert costs(config, (8, 8), TOKENS) == described(config, (8, 8), TOKENS)


def test_sizes_include_the_padding():
    rows = {row.name: row for row in costs(NETWORKS["ddpm"], (7, 9))}
    assert (rows["conv_in"].height, rows["conv_in"].width) == (8, 10)
    assert (rows["mid_block.attentions.0"].height, rows["mid_block.attentions.0"].width) == (4, 5)
    assert rows["mid_block.attentions.0"].tokens == 20


LEVELS = NETWORKS["ddpm"].levels[:1]
CONDITIONED = {
    "sums": UNetConfig(levels=LEVELS, num_classes=4, vector_channels=5, augment_channels=6),
    "timestep": UNetConfig(levels=LEVELS, class_projection="timestep", time=TimeConfig(cond_channels=3)),
    "mlp": UNetConfig(levels=LEVELS, class_projection="mlp", class_channels=5),
    "linear": UNetConfig(levels=LEVELS, class_projection="linear", class_channels=5),
    "identity": UNetConfig(levels=LEVELS, class_projection="identity"),
    "identity before": UNetConfig(levels=LEVELS, class_projection="identity", time=TimeConfig(labels="before")),
    "concat": UNetConfig(levels=LEVELS, in_channels=6, concat_channels=3, out_channels=6, variance_channels=3),
    "input residual": UNetConfig(levels=(*LEVELS, *LEVELS), input_residual=True),
    "matched": UNetConfig(levels=(*LEVELS, *LEVELS), odd_sizes="match_skips", divide_by_timestep=True),
}


@pytest.mark.parametrize("name", CONDITIONED)
def test_whatever_the_network_is_conditioned_on(name):
    config = CONDITIONED[name]
    rows = costs(config, (3, 5))
    assert sum(row.parameters for row in rows) == sum(parameter.numel() for parameter in UNet(config).parameters())
    assert [row.macs > 0 for row in rows if row.kind == "conv"] == [True, True]


def test_levels_sum_the_rows(config):
    rows = described(config, (7, 9), TOKENS)
    levels = costs_of_levels(rows)
    assert [level.level for level in levels] == [None, 0, 1]
    assert [(level.height, level.width) for level in levels] == [(1, 1), (8, 10), (4, 5)]
    for field in ("parameters", "macs", "activation_bytes"):
        assert sum(getattr(level, field) for level in levels) == sum(getattr(row, field) for row in rows)
    for level in levels:
        assert level.macs == sum(row.macs for row in rows if row.level == level.level)
        assert level.tokens == max(row.tokens for row in rows if row.level == level.level)


@pytest.mark.parametrize("size", [(0, 8), (8, -1)], ids=str)
def test_sizes_are_positive(size):
    with pytest.raises(ValueError, match="size: expected a positive height and width"):
        costs(NETWORKS["ddpm"], size)
