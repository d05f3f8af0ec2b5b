"""From a run's configuration and its data to the conditions that a stream hands over."""

from unetdiff.conditioning.captions import prepare_captions
from unetdiff.conditioning.labels import ClassLabels
from unetdiff.conditioning.text_encoder import text_info
from unetdiff.conditioning.vectors import Vectors
from unetdiff.data import PackedDataset
from unetdiff.data.conditions import PictureCondition, RowCondition
from unetdiff.training.config import TrainConfig

__all__ = ["picture_conditions", "row_conditions", "told_pictures"]


def row_conditions(config: TrainConfig, data: PackedDataset) -> tuple[RowCondition, ...]:
    """What the network takes of what is known of each image; `check_fit` has seen that it is known."""
    conditions: list[RowCondition] = []
    if config.model.num_classes is not None:
        assert data.labels is not None
        conditions.append(ClassLabels(data.labels))
    if config.model.vector_channels is not None:
        assert data.vectors is not None
        conditions.append(Vectors(data.vectors))
    if config.text is not None:
        conditions.append(prepare_captions(data, text_info(config.text)))
    return tuple(conditions)


def picture_conditions(config: TrainConfig) -> tuple[PictureCondition, ...]:
    """What is made of the images themselves: a concatenated picture from the augmented image."""
    return (*(() if config.augment is None else (config.augment,)), *told_pictures(config))


def told_pictures(config: TrainConfig) -> tuple[PictureCondition, ...]:
    """What is made of the images and leaves them as they are."""
    return () if config.concat is None else (config.concat,)
