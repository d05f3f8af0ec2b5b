"""What is not covered is refused, and the field is named, in both directions."""

import dataclasses

import pytest

from benchmarks.layouts import LAYOUTS
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig
from unetdiff.diffusers_config import read_config, write_config
from unetdiff.unet import UNet

PLAIN = {"_class_name": "UNet2DModel", **LAYOUTS["DDPM (google/ddpm-cifar10-32)"][1]}
TEXT = {"_class_name": "UNet2DConditionModel", **LAYOUTS["Stable Diffusion 2.1"][1]}
SKIP_BLOCKS = ("SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**PLAIN, "_class_name": "AutoencoderKL"}, "_class_name: expected one of"),
        ({**PLAIN, "center_input_sample": True}, "center_input_sample: expected false"),
        ({**PLAIN, "act_fn": "gelu"}, "act_fn: expected silu or swish"),
        ({**PLAIN, "time_embedding_type": "learned"}, "time_embedding_type: expected one of"),
        ({**PLAIN, "resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift: expected one of"),
        ({**PLAIN, "down_block_types": SKIP_BLOCKS}, "down_block_types: expected block types among .*SkipDownBlock2D"),
        ({**PLAIN, "up_block_types": ("UpBlock2D",)}, "up_block_types: expected 3 entries"),
        ({**PLAIN, "norm_num_groups": None}, "norm_num_groups: expected a number"),
        ({**PLAIN, "attention_head_dim": 7}, "attention"),
        ({**PLAIN, "flux": 1}, "UNet2DModel: expected fields among .*flux"),
        ({**TEXT, "addition_embed_type": "text_image"}, "addition_embed_type: expected one of"),
        ({**TEXT, "encoder_hid_dim": 12}, "encoder_hid_dim: expected None"),
        ({**TEXT, "dual_cross_attention": True}, "dual_cross_attention: expected False"),
        ({**TEXT, "timestep_post_act": "silu"}, "timestep_post_act: expected None"),
        ({**TEXT, "conv_in_kernel": 1}, "conv_in_kernel: expected 3"),
        ({**TEXT, "attention_type": "gated"}, "attention_type: expected 'default'"),
        ({**TEXT, "mid_block_type": "UNetMidBlock2DSimpleCrossAttn"}, "mid_block_type: expected one of"),
        ({**TEXT, "cross_attention_dim": [8, 16, 8]}, "cross_attention_dim: expected one width"),
        ({**TEXT, "transformer_layers_per_block": [1, 2]}, "transformer_layers_per_block: expected 3 entries"),
        ({**TEXT, "down_block_types": ["KDownBlock2D"] * 3}, "down_block_types: .*KDownBlock2D"),
    ],
)
def test_a_field_that_is_not_covered_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        read_config(values)


PAIR = (LevelConfig(channels=16, depth=1), LevelConfig(channels=32, depth=1, attention=AttentionConfig(heads=2)))
SMALL = UNetConfig(levels=PAIR, resnet=ResnetConfig(norm_groups=8))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stem_channels": 24}, "conv_in"),
        ({"downsample": "pool"}, "down_blocks.0.downsamplers.0"),
        ({"upsample": "transposed"}, "up_blocks.0.upsamplers.0"),
        ({"input_residual": True}, "down_blocks.1.input_residual"),
        ({"mid": MidConfig(depth=2)}, "mid_block.resnets.2"),
        ({"time": TimeConfig(labels="before")}, "time.labels"),
        ({"time": TimeConfig(channels=32)}, "time.channels"),
        ({"resnet": ResnetConfig(norm_groups=8, residual_scale=0.5)}, "down_blocks.0.resnets.0"),
        ({"resnet": ResnetConfig(norm_groups=8, norm_min_channels=8)}, "down_blocks.0.resnets.0"),
        ({"vector_channels": 12}, "vector_channels"),
        ({"augment_channels": 9}, "augment_channels"),
        ({"levels": (LevelConfig(channels=16, depth=1), LevelConfig(channels=32, depth=2))}, "down_blocks.1.resnets.1"),
        (
            {"levels": (dataclasses.replace(PAIR[0], attention=AttentionConfig(heads=2)), PAIR[1])},
            "down_blocks.1.attentions.0",
        ),
    ],
)
def test_a_node_that_diffusers_lacks_is_named(change, named):
    config = dataclasses.replace(SMALL, **change)
    with pytest.raises(ValueError, match=f"^{named}: diffusers' UNet2DModel"):
        write_config(config)


def test_what_diffusers_can_express_goes_there():
    name, fields = write_config(SMALL)
    assert name == "UNet2DModel"
    assert fields["down_block_types"] == ["DownBlock2D", "AttnDownBlock2D"]
    assert UNet(SMALL).to_diffusers().config.attention_head_dim == 16
