"""All that a plan for a model follows from: how it is decided, what is measured, and on which images."""

from dataclasses import dataclass

import jsonargparse

from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.device import device_called, processes
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.prune.calibration_set import calibration_set
from unetdiff.cli.prune.options import ScoringOptions
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data import DataConfig
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.planning import PlanConfig

__all__ = ["Planning"]


@dataclass(frozen=True, kw_only=True)
class Planning:
    """The options of a plan."""

    config: PlanConfig
    scoring: ScoringOptions
    data: DataConfig

    @staticmethod
    def add_options(parser: jsonargparse.ArgumentParser) -> None:
        """Those that `of` reads; `data` is the command's own."""
        parser.add_class_arguments(PlanConfig, skip={"protect", "force"})
        parser.add_class_arguments(ScoringOptions)
        add_data_options(parser)

    @classmethod
    def of(cls, options: jsonargparse.Namespace) -> "Planning":
        """What was chosen, on the images of `data`.

        Raises:
            ValueError: a value that an option cannot take.
        """
        chosen = options.as_dict()
        scoring = options_from(ScoringOptions, chosen)
        return cls(
            config=scoring.with_patterns(options_from(PlanConfig, chosen)),
            scoring=scoring,
            data=data_config(options.data, options),
        )

    def load(self, model: str | None) -> LoadedModel:
        """A model on the device that was asked for."""
        options = self.scoring
        device = device_called(options.device, processes(options.device))
        return LoadedModel.load(model, device, options.text_encoder, options.codec)

    def calibration(self, model: LoadedModel) -> Calibration:
        """What the model is measured on."""
        return calibration_set(model, self.data, self.scoring, self.config.seed)
