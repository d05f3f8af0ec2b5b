"""The calibration set of a model: images of a data set, with what the network was told of such in training."""

import numpy as np

from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.prune.options import ScoringOptions
from unetdiff.data import DataConfig, PackedDataset, prepare
from unetdiff.features.network_images import NetworkImages, framed
from unetdiff.features.settings import ConditionKind
from unetdiff.features.told import Nothing, told
from unetdiff.losses import continuing_objective
from unetdiff.prune.calibration import Calibration
from unetdiff.text import Framing

__all__ = ["calibration_set"]


def calibration_set(model: LoadedModel, data: DataConfig, options: ScoringOptions, seed: int) -> Calibration:
    """Images taken at random, over the noise levels that a network of this preconditioning is trained on.

    Raises:
        InputError: images of another shape, or without what the network shall be told of them.
    """
    packed = prepare(framed(data, model.picture_size, model.picture_channels))
    count = min(options.images, len(packed))
    rows = np.random.default_rng(seed).choice(len(packed), count, replace=False)
    framing = Framing(target=model.picture_size)
    nothing = Nothing.of(model.denoiser.unet, model.text, framing)
    images = NetworkImages(data=packed, info=model.info.data, codec=model.codec, device=model.device)
    kind = _kind(model, packed) if options.condition == "auto" else options.condition
    return Calibration.spread(
        images(rows),
        rows,
        told(kind, nothing, packed, model.text, framing)(rows),
        continuing_objective(model.info.preconditioning).sigma,
        seed=seed,
        noise_power=options.noise_power,
        batch_size=options.batch_size,
    )


def _kind(model: LoadedModel, data: PackedDataset) -> ConditionKind:
    """The most that the network can be told of the images."""
    if model.text is not None and data.captions is not None:
        return "text"
    if model.denoiser.unet.config.num_classes is not None and data.labels is not None:
        return "class"
    return "null"
