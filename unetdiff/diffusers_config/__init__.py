"""diffusers' JSON configurations and ours, in both directions: networks and noise schedules."""

from unetdiff.diffusers_config.reading import read_config
from unetdiff.diffusers_config.scheduler import preconditioning_from_scheduler
from unetdiff.diffusers_config.writing import write_config

__all__ = ["preconditioning_from_scheduler", "read_config", "write_config"]
