"""The images of a run: packed, as latents where it learns those, and such that its network can take them."""

from unetdiff.data import PackedDataset, prepare
from unetdiff.latent_images import prepare_latents
from unetdiff.training.config import TrainConfig
from unetdiff.training.summary import check_fit, check_text

__all__ = ["prepare_images"]


def prepare_images(config: TrainConfig) -> PackedDataset:
    """What `config.data` names; made on first use.

    Raises:
        InputError: no such images, or they do not fit the network.
    """
    check_text(config)
    data = prepare(config.data)
    if config.latents is not None:
        data = prepare_latents(data, config.latents)
    check_fit(config, data)
    return data
