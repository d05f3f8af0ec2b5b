"""Where everything that is known of a run goes: `metrics.jsonl` always, trackers where the configuration names some."""

from collections.abc import Mapping

from accelerate import Accelerator

from unetdiff.model_info import JSON
from unetdiff.training.config import TrainConfig
from unetdiff.training.metrics import MetricsLog
from unetdiff.training.preview import Shown
from unetdiff.training.records import Record
from unetdiff.training.run_folder import RunFolder
from unetdiff.training.trackers import Trackers

__all__ = ["RunLog"]


class RunLog:
    """Of a run that stands at `step`; what was logged after it goes. `facts` describe the run. For the main process."""

    def __init__(self, config: TrainConfig, accelerator: Accelerator, step: int, facts: Mapping[str, JSON]) -> None:
        self.metrics = MetricsLog(RunFolder(config.out).metrics, step)
        self.trackers = Trackers(config, accelerator, step, facts)

    def add(self, record: Record) -> None:
        """Log what is known now."""
        self.metrics.append(record)
        self.trackers.log(record)

    def show(self, shown: Shown, step: int) -> None:
        """Log a preview of `step`."""
        if shown.record is not None:
            self.add(shown.record)
        self.trackers.show(shown.pictures, step)
