"""The rows of a comparison: each model with each setting, checked before the first image is made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from unetdiff.cli.compare.alike import require_alike
from unetdiff.cli.compare.folder import ComparisonFolder
from unetdiff.cli.compare.settings import Setting
from unetdiff.cli.evaluate.evaluation import Asked, Evaluation, named_model
from unetdiff.cli.evaluate.image_source import MadeImages
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.errors import InputError

__all__ = ["Row", "rows_of"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A setting of a model, which is called as the user did; how images are `made`, and who judges these."""

    model: str
    setting: Setting
    evaluation: Evaluation
    made: MadeImages

    @property
    def title(self) -> str:
        """In one line."""
        sampler, steps, skip, guidance = self.setting.cells
        return f"{self.model}, {sampler}, {steps} steps, skip {skip}, guidance {guidance}"


def rows_of(
    models: Sequence[str],
    settings: Sequence[Setting],
    options: Mapping[str, Any],
    asked: Asked,
    folder: ComparisonFolder,
    device: torch.device,
) -> list[Row]:
    """Model by model; the judges of a model are the same for all its settings.

    `asked` says what else is the same, beside `options` of the recipe.

    Raises:
        InputError: models that are not alike, or something else that is missing or does not fit.
    """
    loaded = _loaded(models, asked, device)
    require_alike(loaded)
    rows = []
    for name, model in loaded.items():
        evaluation = Evaluation.of(replace(asked, model=name), model, device)
        source = evaluation.source
        assert isinstance(source, MadeImages)
        for setting in settings:
            method = Method.of(setting.recipe(options).resolved(model), model, source.method.guide)
            made = replace(source, method=method, out=folder.samples(name, setting, method))
            rows.append(Row(model=name, setting=setting, evaluation=replace(evaluation, source=made), made=made))
    _require_same_images(rows)
    return rows


def _loaded(names: Sequence[str], asked: Asked, device: torch.device) -> dict[str, LoadedModel]:
    if not names:
        raise InputError("models: expected at least one model folder or run folder, got none")
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise InputError(f"models: expected each one once, got {repeated[0]} {names.count(repeated[0])} times")
    return {name: named_model(replace(asked, model=name), device) for name in names}


def _require_same_images(rows: Sequence[Row]) -> None:
    """Captions that one text encoder reads whole and another one cannot would make other images."""
    for row in rows:
        if row.made.wanted != rows[0].made.wanted:
            raise InputError(
                f"models: expected the captions of {rows[0].model}, got others of {row.model}, which cannot read all"
            )
