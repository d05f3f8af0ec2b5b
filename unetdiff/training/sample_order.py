"""Which images a run sees in which order, with what noise: a fingerprint for each optimiser step."""

import hashlib
from collections.abc import Sequence

from unetdiff.data import Batch, PackedDataset
from unetdiff.training.batches import sample_stream
from unetdiff.training.conditions import row_conditions
from unetdiff.training.config import TrainConfig

__all__ = ["sample_order"]


def sample_order(config: TrainConfig, data: PackedDataset, starts: Sequence[int], processes: int) -> list[str]:
    """SHA-256 of the global batch of each step, as a run that went on from each of the steps `starts` draws it."""
    rows, digests = row_conditions(config, data), []
    for start, end in zip(starts, [*starts[1:], config.steps], strict=True):
        streams = [sample_stream(config, data, rows, start, rank, processes) for rank in range(processes)]
        for step in range(end - start):
            parts = range(step * config.accumulation, (step + 1) * config.accumulation)
            digests.append(_digest([stream[part] for part in parts for stream in streams]))
    return digests


def _digest(batches: Sequence[Batch]) -> str:
    """Of batches whose rows follow each other in the global batch; how it was parted makes no difference."""
    digest = hashlib.sha256()
    columns = ((batch.images, batch.noise, batch.uniform, *batch.condition.values()) for batch in batches)
    for tensors in zip(*columns, strict=True):
        for tensor in tensors:
            digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
