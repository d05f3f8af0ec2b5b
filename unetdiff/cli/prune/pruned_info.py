"""What is said of a model after pruning: what was said of the whole one, and how it was done."""

from dataclasses import replace
from pathlib import Path

from unetdiff.conditioning.text_encoder import text_info
from unetdiff.latent_images import codec_info
from unetdiff.model_info import ModelInfo
from unetdiff.training.companions import Companions

__all__ = ["pruned_info"]


def pruned_info(info: ModelInfo, folder: Path, how: str) -> ModelInfo:
    """Of the model in `folder`; of a pipeline with the text encoder and autoencoder that lie beside its network."""
    beside = Companions.find(str(folder))
    return replace(
        info,
        text=info.text if beside.text is None else text_info(beside.text),
        codec=info.codec if beside.latents is None else codec_info(beside.latents.codec),
        training={**info.training, "pruned": how},
    )
