"""What the rows of a preview grid show: classes in turn, prompts, or what is known of some images of the data.

A network that is told a picture is shown images that it did not learn, where there are any.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.conditioning.text_encoder import load_encoder, text_info
from unetdiff.data import PackedDataset
from unetdiff.data.keyed import keyed
from unetdiff.data.pixels import values
from unetdiff.training.conditions import row_conditions
from unetdiff.training.config import TrainConfig

__all__ = ["PreviewRows", "preview_rows"]


@dataclass(frozen=True, kw_only=True)
class PreviewRows:
    """The condition of every image of the grid, row by row, and the name of each row where it has one.

    `given` (rows, 2, C, H, W): the picture that a row is told, and the image that it was made of.
    """

    condition: Mapping[str, Tensor]
    names: tuple[str, ...] | None
    given: Tensor | None = None


def preview_rows(config: TrainConfig, training: PackedDataset, held_out: PackedDataset | None = None) -> PreviewRows:
    """As the configuration asks for; prompts go in turn, captions are those of images spread over the data."""
    data = training if config.concat is None or held_out is None else held_out
    shown = _images(config, data)
    kept = np.zeros(len(shown), dtype=np.bool_)
    condition: dict[str, Tensor] = {}
    for one in row_conditions(config, data):
        condition |= one.take(shown, kept)
    names = _names(config, data, shown)
    if config.text is not None and config.preview.prompts:
        names = tuple(config.preview.prompts[row % len(config.preview.prompts)] for row in range(len(shown)))
        encoded = load_encoder(text_info(config.text)).encode(names)
        condition["encoder_hidden_states"] = encoded["encoder_hidden_states"]
        if "encoder_attention_mask" in encoded:
            condition["encoder_attention_mask"] = encoded["encoder_attention_mask"]
    given = None
    if config.concat is not None:
        images = torch.from_numpy(values(data.images[shown]))
        draws = [keyed(config.preview.seed, row, config.concat.purpose) for row in range(len(shown))]
        condition["concat"] = config.concat.degraded(images, draws)
        given = torch.stack([condition["concat"][:, : images.shape[1]], images], dim=1)
    columns = config.preview.columns
    repeated = {name: tensor.repeat_interleave(columns, dim=0) for name, tensor in condition.items()}
    return PreviewRows(condition=repeated, names=names, given=given)


def _images(config: TrainConfig, data: PackedDataset) -> NDArray[np.int64]:
    """The image of the data that stands for each row: the first of its class, where the network has classes."""
    rows, classes = config.preview.rows, config.model.num_classes
    if classes is None:
        return np.linspace(0, len(data) - 1, rows).astype(np.int64)
    assert data.labels is not None
    return np.array([int((data.labels == row % classes).argmax()) for row in range(rows)])


def _names(config: TrainConfig, data: PackedDataset, shown: NDArray[np.int64]) -> tuple[str, ...] | None:
    if config.text is not None:
        assert data.captions is not None
        return tuple(data.captions[image] for image in shown)
    if config.model.num_classes is not None:
        assert data.labels is not None
        return tuple(data.classes[data.labels[image]] for image in shown)
    return None
