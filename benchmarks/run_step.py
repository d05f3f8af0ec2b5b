"""The optimiser steps of `unetdiff train` and their batches, one by one, on the CPU and without worker processes."""

from accelerate import Accelerator

from unetdiff.data import Batch, PackedDataset
from unetdiff.training.batches import sample_stream
from unetdiff.training.conditions import row_conditions
from unetdiff.training.config import TrainConfig
from unetdiff.training.initial_state import initial_state
from unetdiff.training.network import build_network
from unetdiff.training.step import OptimizerStep

__all__ = ["RunStep"]


class RunStep:
    """A run of `config` on `data` from its beginning."""

    def __init__(self, config: TrainConfig, data: PackedDataset) -> None:
        accelerator = Accelerator(cpu=True)
        network = build_network(config, going_on=False)
        self.state = initial_state(config, network, accelerator.device, accelerator.scaler)
        self.step = OptimizerStep(config, accelerator, self.state)
        self.stream = sample_stream(config, data, row_conditions(config, data), start_step=0, rank=0, processes=1)

    def batch(self) -> Batch:
        """The next step's."""
        return self.stream[self.state.step]

    def make(self, batch: Batch) -> None:
        """Make the next step."""
        self.step(iter([batch]))
