"""Named architectures, with the parameter counts that their papers and checkpoints have.

| preset           | parameters    | source                                                       |
|------------------|---------------|--------------------------------------------------------------|
| `ddpm_cifar10`   |    35,746,307 | Ho et al. 2020, appendix B; layout of google/ddpm-cifar10-32 |
| `ddpmpp_cifar10` |    55,732,739 | Karras et al. 2022, DDPM++ at 32x32, unconditional           |
| `adm_imagenet64` |   295,899,267 | Karras et al. 2022, ADM at 64x64, class-conditional          |
| `sd15`           |   859,520,964 | Rombach et al. 2022; layout of Stable Diffusion 1.5          |
| `sdxl`           | 2,567,463,684 | Podell et al. 2023; layout of SDXL base                      |
"""

import math

from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, ResnetConfig, TimeConfig, UNetConfig

__all__ = ["adm_imagenet64", "ddpm_cifar10", "ddpmpp_cifar10", "sd15", "sdxl"]


def ddpm_cifar10() -> UNetConfig:
    """DDPM at 32x32: self-attention at 16x16, one head."""
    attention = AttentionConfig()
    return UNetConfig(
        sample_size=(32, 32),
        levels=(
            LevelConfig(channels=128),
            LevelConfig(channels=256, attention=attention),
            LevelConfig(channels=256),
            LevelConfig(channels=256),
        ),
        mid=MidConfig(attention=attention),
        resnet=ResnetConfig(norm_eps=1e-6, dropout=0.1),
        time=TimeConfig(order="sin_cos", freq_shift=1.0),
        downsample_padding="bottom_right",
    )


def ddpmpp_cifar10(num_classes: int | None = None) -> UNetConfig:
    """EDM's DDPM++ at 32x32: residual scale sqrt(1/2); the decoder attends once, after its last block at 16x16."""
    attention = AttentionConfig(up_layers=(0, 0, 0, 0, 1))
    return UNetConfig(
        sample_size=(32, 32),
        stem_channels=128,
        levels=(
            LevelConfig(channels=256, depth=4),
            LevelConfig(channels=256, depth=4, attention=attention),
            LevelConfig(channels=256, depth=4),
        ),
        mid=MidConfig(attention=AttentionConfig()),
        resnet=ResnetConfig(
            residual_scale=math.sqrt(0.5), dropout=0.13, norm_min_channels=4, norm_eps=1e-6, resample_projection=True
        ),
        time=TimeConfig(channels=128, hidden=512, order="sin_cos", freq_shift=1.0, labels="before"),
        downsample="resnet",
        upsample="resnet",
        num_classes=num_classes,
    )


def adm_imagenet64() -> UNetConfig:
    """EDM's ADM at 64x64: AdaGN, heads of 64 channels at 32, 16 and 8, resampling residual blocks."""
    attention = AttentionConfig(head_channels=64)
    return UNetConfig(
        sample_size=(64, 64),
        levels=(
            LevelConfig(channels=192, depth=3),
            LevelConfig(channels=384, depth=3, attention=attention),
            LevelConfig(channels=576, depth=3, attention=attention),
            LevelConfig(channels=768, depth=3, attention=attention),
        ),
        mid=MidConfig(attention=attention),
        resnet=ResnetConfig(time_conditioning="scale_shift", dropout=0.1, norm_min_channels=4),
        downsample="resnet",
        upsample="resnet",
        num_classes=1000,
    )


def sd15() -> UNetConfig:
    """Stable Diffusion 1.5 on 64x64 latents: 8 heads, text tokens of width 768."""
    attention = AttentionConfig(kind="transformer", heads=8)
    return UNetConfig(
        in_channels=4,
        out_channels=4,
        sample_size=(64, 64),
        levels=(
            LevelConfig(channels=320, attention=attention),
            LevelConfig(channels=640, attention=attention),
            LevelConfig(channels=1280, attention=attention),
            LevelConfig(channels=1280),
        ),
        mid=MidConfig(attention=attention),
        cross_attention_dim=768,
    )


def sdxl() -> UNetConfig:
    """SDXL base on 128x128 latents: heads of 64 channels, 2 and 10 layers, text and size conditioning."""

    def attention(layers: int) -> AttentionConfig:
        return AttentionConfig(kind="transformer", head_channels=64, layers=layers, linear_projection=True)

    return UNetConfig(
        in_channels=4,
        out_channels=4,
        sample_size=(128, 128),
        levels=(
            LevelConfig(channels=320),
            LevelConfig(channels=640, attention=attention(2)),
            LevelConfig(channels=1280, attention=attention(10)),
        ),
        mid=MidConfig(attention=attention(10)),
        vector_channels=2816,
        vector_time_channels=256,
        cross_attention_dim=2048,
    )
