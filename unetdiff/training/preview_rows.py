"""What the rows of a preview grid show: classes in turn, prompts, or what is known of some images of the data."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unetdiff.conditioning.text_encoder import load_encoder, text_info
from unetdiff.data import PackedDataset
from unetdiff.training.conditions import row_conditions
from unetdiff.training.config import TrainConfig

__all__ = ["PreviewRows", "preview_rows"]


@dataclass(frozen=True, kw_only=True)
class PreviewRows:
    """The condition of every image of the grid, row by row, and the name of each row where it has one."""

    condition: Mapping[str, Tensor]
    names: tuple[str, ...] | None


def preview_rows(config: TrainConfig, data: PackedDataset) -> PreviewRows:
    """As the configuration asks for; prompts go in turn, captions are those of images spread over the data."""
    shown = _images(config, data)
    kept = np.zeros(len(shown), dtype=np.bool_)
    condition: dict[str, Tensor] = {}
    for one in row_conditions(config, data):
        condition |= one.take(shown, kept)
    names = _names(config, data, shown)
    if config.text is not None and config.preview.prompts:
        names = tuple(config.preview.prompts[row % len(config.preview.prompts)] for row in range(len(shown)))
        encoded = load_encoder(text_info(config.text)).encode(names)
        for name in ("encoder_hidden_states", "encoder_attention_mask"):
            condition[name] = encoded[name]
    columns = config.preview.columns
    return PreviewRows(
        condition={name: tensor.repeat_interleave(columns, dim=0) for name, tensor in condition.items()}, names=names
    )


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
