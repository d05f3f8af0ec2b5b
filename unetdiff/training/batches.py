"""Which batches a process takes: the part of the global batch that is its own, from a step on to the end of a run."""

from collections.abc import Sequence

from unetdiff.data import PackedDataset, SampleStream
from unetdiff.data.conditions import RowCondition
from unetdiff.training.conditions import picture_conditions
from unetdiff.training.config import TrainConfig

__all__ = ["sample_stream"]


def sample_stream(
    config: TrainConfig, data: PackedDataset, rows: Sequence[RowCondition], start_step: int, rank: int, processes: int
) -> SampleStream:
    """The batches of process `rank` of `processes` that are left after `start_step` steps.

    `rows` are the conditions that the data give, from `training.conditions.row_conditions`.
    """
    return SampleStream(
        data,
        seed=config.seed,
        global_batch=config.batch_size,
        steps=config.steps - start_step,
        start_step=start_step,
        micro_batches=config.accumulation,
        rank=rank,
        world_size=processes,
        flip=config.data.flip,
        rows=rows,
        pictures=picture_conditions(config),
        dropout=config.condition_dropout,
    )
