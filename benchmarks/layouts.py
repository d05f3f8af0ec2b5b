"""Layouts of published U-Nets at small widths, as diffusers' configurations: what loading is checked on.

Every entry keeps the block types, depths, conditioning and numbers that make the published network what it is; widths
and group counts are small.
"""

from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

__all__ = ["CONDITIONAL", "LAYOUTS", "UNCONDITIONAL", "build", "inputs", "randomise"]

Fields = Mapping[str, Any]
TOKENS = 7


def _plain(**fields: Any) -> Fields:  # noqa: ANN401  # JSON
    return {
        "sample_size": 16,
        "block_out_channels": (16, 32, 32),
        "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        **fields,
    }


_RESNET_ADM: Fields = {
    "down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "attention_head_dim": 8,
}

UNCONDITIONAL: Mapping[str, Fields] = {
    "DDPM (google/ddpm-cifar10-32)": _plain(
        downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, attention_head_dim=None, norm_eps=1e-6
    ),
    "DDPM (google/ddpm-celebahq-256)": _plain(
        layers_per_block=1, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, attention_head_dim=None
    ),
    "diffusers' default, attention at all levels": _plain(
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
    ),
    "consistency model (openai/diffusers-cd_imagenet64_l2)": _plain(
        **_RESNET_ADM, num_class_embeds=10, attn_norm_num_groups=8
    ),
    "ADM without a norm before the middle's attention": _plain(**_RESNET_ADM),
    "ADM with its own groups in the middle": _plain(**_RESNET_ADM, attn_norm_num_groups=4),
    "convolution and residual resampling mixed": _plain(downsample_type="resnet", upsample_type="resnet"),
    "attention in the encoder alone": _plain(up_block_types=("UpBlock2D", "UpBlock2D", "UpBlock2D")),
    "learned variance": _plain(out_channels=6),
    "Fourier time embedding": _plain(time_embedding_type="fourier"),
    "class index": _plain(num_class_embeds=10),
    "class embedded like the timestep": _plain(class_embed_type="timestep"),
    "class embedding given": _plain(class_embed_type="identity"),
    "no middle": _plain(mid_block_type=None),
    "middle without attention, its own scale": _plain(add_attention=False, mid_block_scale_factor=1.5),
    "own width of the time embedding": _plain(time_embedding_dim=48),
}


def _text(**fields: Any) -> Fields:  # noqa: ANN401  # JSON
    return {
        "sample_size": 16,
        "block_out_channels": (16, 32, 32),
        "norm_num_groups": 8,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        **fields,
    }


_SDXL: Fields = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": (2, 4, 8),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 20 + 6 * 8,
}

CONDITIONAL: Mapping[str, Fields] = {
    "Stable Diffusion 1.5": _text(
        block_out_channels=(16, 32, 32, 32),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    ),
    "Stable Diffusion 2.1": _text(attention_head_dim=(2, 4, 8), use_linear_projection=True, upcast_attention=True),
    "Stable Diffusion inpainting": _text(in_channels=9),
    "Stable Diffusion x4 upscaler": _text(
        in_channels=7,
        num_class_embeds=10,
        only_cross_attention=(True, True, False),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        use_linear_projection=True,
    ),
    "Stable unCLIP": _text(class_embed_type="projection", projection_class_embeddings_input_dim=12),
    "latent consistency model": _text(time_cond_proj_dim=12),
    "SDXL base": _text(**_SDXL, transformer_layers_per_block=(1, 2, 3)),
    "SDXL refiner": _text(
        **{
            **_SDXL,
            "block_out_channels": (16, 32, 32, 32),
            "attention_head_dim": (2, 4, 8, 8),
            "projection_class_embeddings_input_dim": 20 + 5 * 8,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": 4,
        }
    ),
    "SSD-1B": _text(
        **_SDXL,
        mid_block_type="UNetMidBlock2D",
        transformer_layers_per_block=[1, [2, 2], [4, 4]],
        reverse_transformer_layers_per_block=[[4, 4, 10], [2, 1, 1], 1],
    ),
    "Segmind Vega": _text(
        **_SDXL,
        mid_block_type="UNetMidBlock2D",
        transformer_layers_per_block=[1, [1, 1], [2, 2]],
        reverse_transformer_layers_per_block=[[2, 2, 2], [1, 1, 1], 1],
    ),
    "KOALA-700M": _text(**_SDXL, layers_per_block=1, transformer_layers_per_block=(1, 2, 5), mid_block_type=None),
    "BK-SDM-Base": _text(layers_per_block=1),
    "BK-SDM-Small": _text(layers_per_block=1, mid_block_type=None),
    "middle of one residual block": _text(mid_block_type="UNetMidBlock2D"),
    "depths of their own": _text(layers_per_block=(1, 2, 3)),
    "residual resampling": _text(
        down_block_types=("ResnetDownsampleBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    ),
    "scale and shift, sines first": _text(
        resnet_time_scale_shift="scale_shift", flip_sin_to_cos=False, freq_shift=1, downsample_padding=0
    ),
    "Fourier time embedding with text": _text(time_embedding_type="fourier"),
    "class embedded by one layer": _text(
        class_embed_type="simple_projection", projection_class_embeddings_input_dim=12
    ),
    "class embedded like the timestep, with text": _text(class_embed_type="timestep"),
    "class embedding given, with text": _text(class_embed_type="identity"),
}

LAYOUTS: Mapping[str, tuple[str, Fields]] = {
    **{name: ("UNet2DModel", fields) for name, fields in UNCONDITIONAL.items()},
    **{name: ("UNet2DConditionModel", fields) for name, fields in CONDITIONAL.items()},
}


def build(name: str, seed: int = 0) -> nn.Module:
    """diffusers' network of a layout, every parameter random."""
    kind, fields = LAYOUTS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = getattr(diffusers, kind)(**fields)
    randomise(model, seed)
    return model.eval()


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Make every parameter non-zero and different, at a scale that keeps activations near one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
            else:
                parameter.copy_(parameter + 0.2 * noise)


def inputs(name: str, batch: int = 2, size: tuple[int, int] = (16, 16), seed: int = 1) -> dict[str, Any]:
    """All the arguments that the network of a layout takes."""
    kind, fields = LAYOUTS[name]
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    channels = fields.get("in_channels", 3 if kind == "UNet2DModel" else 4)
    arguments: dict[str, Any] = {"sample": normal(batch, channels, *size), "timestep": torch.tensor([3, 700])[:batch]}
    if kind == "UNet2DConditionModel":
        arguments["encoder_hidden_states"] = normal(batch, TOKENS, fields["cross_attention_dim"])
    labels = fields.get("class_embed_type")
    if labels is None and "num_class_embeds" in fields:
        arguments["class_labels"] = torch.tensor([1, 7])[:batch]
    elif labels == "timestep":
        arguments["class_labels"] = torch.tensor([20, 300])[:batch]
    elif labels is not None:
        width = fields.get("projection_class_embeddings_input_dim", 4 * fields["block_out_channels"][0])
        arguments["class_labels"] = normal(batch, width)
    if "addition_embed_type" in fields:
        numbers = (fields["projection_class_embeddings_input_dim"] - 20) // fields["addition_time_embed_dim"]
        time_ids = torch.arange(batch * numbers).reshape(batch, numbers) * 10
        arguments["added_cond_kwargs"] = {"text_embeds": normal(batch, 20), "time_ids": time_ids}
    if "time_cond_proj_dim" in fields:
        arguments["timestep_cond"] = normal(batch, fields["time_cond_proj_dim"])
    return arguments
