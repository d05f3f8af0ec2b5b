import json

import pytest

from unetdiff import presets
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig

PRESETS = [getattr(presets, name) for name in presets.__all__]


@pytest.mark.parametrize("preset", PRESETS, ids=presets.__all__)
def test_config_survives_json(preset):
    config = preset()
    assert UNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_fields_take_their_defaults():
    config = UNetConfig.from_dict({"levels": [{"channels": 32}]})
    assert config == UNetConfig(levels=(LevelConfig(channels=32),))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chanels": 3}, r"UNetConfig: expected fields among .*'in_channels'.*, got \['chanels'\]"),
        ({"levels": [{"channels": 32, "width": 1}]}, r"levels\.0: expected fields among .*, got \['width'\]"),
        ({"levels": [{"depth": 1}]}, r"levels\.0: expected every field without a default, .*'channels'"),
        ({"levels": {"channels": 32}}, "levels: expected a list, got"),
        ({"in_channels": "3"}, "in_channels: expected a value of type int, got '3'"),
        ({"downsample": "stride"}, r"downsample: expected one of \['conv', 'pool', 'resnet'\], got 'stride'"),
        ({"mid": {"attention": {"kind": "local"}}}, r"mid\.attention\.kind: expected one of"),
        ({"sample_size": [28]}, "sample_size: expected 2 values"),
    ],
)
def test_a_bad_file_is_named_field_by_field(values, message):
    with pytest.raises(ValueError, match=message):
        UNetConfig.from_dict(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNetConfig(levels=()), "levels: expected at least one level"),
        (lambda: LevelConfig(channels=0), "levels.channels: expected a positive number, got 0"),
        (lambda: LevelConfig(channels=8, depth=0), "levels.depth"),
        (lambda: LevelConfig(channels=30, attention=AttentionConfig(heads=4)), "heads that divide 30 channels"),
        (lambda: LevelConfig(channels=48, attention=AttentionConfig(head_channels=32)), "a divisor of 48"),
        (lambda: LevelConfig(channels=8, attention=AttentionConfig(up_layers=(1,))), "up_layers: expected 3 entries"),
        (lambda: AttentionConfig(heads=2, head_channels=8), "heads or head_channels, not both"),
        (lambda: AttentionConfig(kind="attention", layers=2), "attention.layers: expected 0 or 1, got 2"),
        (lambda: AttentionConfig(heads=0), "attention.heads: expected a positive number or null, got 0"),
        (lambda: ResnetConfig(dropout=1.0), "resnet.dropout: expected a probability below 1, got 1.0"),
        (lambda: TimeConfig(channels=7), "time.channels: expected an even number or null, got 7"),
        (lambda: UNetConfig(in_channels=3, concat_channels=3), "concat_channels"),
        (lambda: UNetConfig(num_classes=0), "num_classes: expected a positive number or null, got 0"),
        (lambda: UNetConfig(vector_time_channels=8), "vector_time_channels: expected null without vector_channels"),
        (lambda: UNetConfig(levels=(LevelConfig(channels=33),), time=TimeConfig(channels=8)), "divides 33"),
        (
            lambda: UNetConfig(levels=(LevelConfig(channels=24), LevelConfig(channels=32))),
            "divides 56, such as 8, got 32",
        ),
    ],
)
def test_a_bad_value_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("size", "kept", "pair"), [((8, 8), 8, (8, 8)), (8, 8, (8, 8)), ((8, 12), (8, 12), (8, 12)), (None, None, None)]
)
def test_a_square_is_one_number_and_a_pair_where_both_are_wanted(size, kept, pair):
    config = UNetConfig(sample_size=size)
    assert config.sample_size == kept
    assert config.image_size == pair
    assert UNetConfig.from_dict(config.to_dict()) == config


def test_node_table_of_a_small_network():
    config = UNetConfig(
        in_channels=1,
        out_channels=2,
        levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=AttentionConfig())),
        mid=MidConfig(attention=AttentionConfig(kind="transformer", layers=3)),
    )
    rows = [
        (n.name, n.kind, n.in_channels, n.skip_channels, n.out_channels, n.skip_from, n.stride) for n in config.nodes()
    ]
    assert rows == [
        ("conv_in", "conv", 1, 0, 8, None, 1),
        ("down_blocks.0.resnets.0", "resnet", 8, 0, 8, None, 1),
        ("down_blocks.0.downsamplers.0", "downsample", 8, 0, 8, None, 2),
        ("down_blocks.1.resnets.0", "resnet", 8, 0, 16, None, 2),
        ("down_blocks.1.attentions.0", "attention", 16, 0, 16, None, 2),
        ("mid_block.resnets.0", "resnet", 16, 0, 16, None, 2),
        ("mid_block.attentions.0", "transformer", 16, 0, 16, None, 2),
        ("mid_block.resnets.1", "resnet", 16, 0, 16, None, 2),
        ("up_blocks.0.resnets.0", "resnet", 16, 16, 16, "down_blocks.1.attentions.0", 2),
        ("up_blocks.0.attentions.0", "attention", 16, 0, 16, None, 2),
        ("up_blocks.0.resnets.1", "resnet", 16, 8, 16, "down_blocks.0.downsamplers.0", 2),
        ("up_blocks.0.attentions.1", "attention", 16, 0, 16, None, 2),
        ("up_blocks.0.upsamplers.0", "upsample", 16, 0, 16, None, 1),
        ("up_blocks.1.resnets.0", "resnet", 16, 8, 8, "down_blocks.0.resnets.0", 1),
        ("up_blocks.1.resnets.1", "resnet", 8, 8, 8, "conv_in", 1),
        ("conv_norm_out", "norm", 8, 0, 8, None, 1),
        ("conv_out", "conv", 8, 0, 2, None, 1),
    ]


@pytest.mark.parametrize("preset", PRESETS, ids=presets.__all__)
def test_nodes_connect(preset):
    nodes = preset().nodes()
    made = {}
    width = nodes[0].in_channels
    for node in nodes:
        assert node.in_channels == width, node.name
        if node.skip_from is not None:
            assert node.skip_channels == made.pop(node.skip_from).out_channels, node.name
        made[node.name] = node
        width = node.out_channels
    assert len({node.name for node in nodes}) == len(nodes)
    assert nodes[-1].stride == 1


def test_skips_run_from_the_innermost_to_conv_in():
    skips = presets.sd15().skips()
    assert (skips[0], skips[-1], len(skips)) == ("down_blocks.3.resnets.1", "conv_in", 12)
