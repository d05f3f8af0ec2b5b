"""A network of diffusers that computes the same function as one of ours, from the same weights."""

import torch
from diffusers import UNet2DModel
from torch import Tensor, nn

from unetdiff.unet import UNet

__all__ = ["disagreement", "randomise_zeros_", "twin"]


def twin(unet: UNet) -> nn.Module:
    """The UNet2DModel of google/ddpm-cifar10-32's family with the widths, the attention and the weights of `unet`.

    Loading is strict: a network outside this family has other parameters and is refused.
    """
    config = unet.config
    attends = [level.attention is not None for level in config.levels]
    peer: nn.Module = UNet2DModel(
        sample_size=config.sample_size,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=tuple(level.channels for level in config.levels),
        layers_per_block=config.levels[0].depth,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        add_attention=config.mid is not None and config.mid.attention is not None,
        attention_head_dim=None,
        downsample_padding=0,
        freq_shift=1,
        flip_sin_to_cos=False,
        norm_eps=config.resnet.norm_eps,
        norm_num_groups=config.resnet.norm_groups,
        dropout=config.resnet.dropout,
    )
    peer.load_state_dict(unet.state_dict())
    return peer.train(unet.training)


@torch.no_grad()
def randomise_zeros_(network: nn.Module, std: float = 0.02) -> None:
    """Fill parameters that start at zero: where branches contribute nothing, two networks agree too easily."""
    for parameter in network.parameters():
        if not parameter.any():
            parameter.normal_(std=std)


@torch.no_grad()
def disagreement(ours: nn.Module, theirs: nn.Module, x: Tensor, timestep: Tensor) -> float:
    """Greatest difference between the outputs, relative to the greatest output."""
    a, b = (network(x, timestep, return_dict=False)[0] for network in (ours, theirs))
    return float((a - b).abs().max() / b.abs().max())
