"""The images that a run is measured on and never sees."""

from dataclasses import replace

from unetdiff.data import MissingSplitError, PackedDataset
from unetdiff.errors import InputError
from unetdiff.training.config import TrainConfig
from unetdiff.training.images import prepare_images

__all__ = ["held_out"]


def held_out(config: TrainConfig, training: PackedDataset) -> PackedDataset | None:
    """The images that `config.validation` names; None where it is off, or leaves them to a source without a test part.

    Raises:
        InputError: images that do not go with those of training, or the very same.
    """
    wanted = config.validation
    if not wanted.every:
        return None
    source = wanted.source or config.data.source
    try:
        found = prepare_images(replace(config, data=replace(config.data, source=source, split=wanted.split)))
    except MissingSplitError:
        if wanted.source is not None:
            raise
        return None
    shape, classes = training.images.shape[1:], training.classes
    _require(found.images.shape[1:] == shape, f"images of the shape {shape} of training", found.images.shape[1:])
    _require(found.classes == classes, f"the classes of training, {_listed(classes)}", _listed(found.classes))
    _require(found.fingerprint != training.fingerprint, "images that are held out", f"those of training, {source}")
    return found


def _listed(classes: tuple[str, ...]) -> str:
    return ", ".join(classes) or "none"


def _require(condition: bool, expected: str, got: object) -> None:
    if not condition:
        raise InputError(f"validation: expected {expected}, got {got}")
