from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, UNetConfig
from unetdiff.tap_points import tap_points


def test_the_taps_of_a_small_network():
    transformer = AttentionConfig(kind="transformer", heads=2)
    config = UNetConfig(
        in_channels=1,
        out_channels=1,
        levels=(LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1, attention=transformer)),
        mid=MidConfig(attention=AttentionConfig(head_channels=4)),
        cross_attention_dim=6,
    )
    points = {point.name: point for point in tap_points(config, config.nodes())}
    rows = [f"{point.name} {point.form} {point.channels} {point.stride}" for point in points.values()]
    block = "down_blocks.1.attentions.0.transformer_blocks.0"
    assert rows[:6] == [
        "conv_in:input image 1 1",
        "conv_in image 8 1",
        "down_blocks.0.resnets.0:input image 8 1",
        "down_blocks.0.resnets.0:residual image 8 1",
        "down_blocks.0.resnets.0 image 8 1",
        "down_blocks.0.downsamplers.0:input image 8 1",
    ]
    assert [row for row in rows if row.startswith("down_blocks.1.attentions.0")] == [
        "down_blocks.1.attentions.0:input image 16 2",
        f"{block}.attn1:probabilities probabilities 2 2",
        f"{block}.attn1 tokens 16 2",
        f"{block}.attn2:probabilities probabilities 2 2",
        f"{block}.attn2 tokens 16 2",
        f"{block}.ff tokens 16 2",
        f"{block} tokens 16 2",
        "down_blocks.1.attentions.0:residual image 16 2",
        "down_blocks.1.attentions.0 image 16 2",
    ]
    assert points["mid_block.attentions.0:probabilities"].channels == 4
    assert points["up_blocks.1.resnets.0:input"].channels == 16 + 8
    assert points["up_blocks.1.resnets.0:input"].stride == 1
    assert points["up_blocks.0.upsamplers.0:input"].stride == 2
    assert {point.node for point in points.values()} == {node.name for node in config.nodes()}
