"""Models that can be compared: image i of one is to show what image i of another shows."""

from collections.abc import Callable, Mapping

from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.errors import InputError

__all__ = ["require_alike"]

TRAITS: Mapping[str, Callable[[LoadedModel], object]] = {
    "of the shape": lambda model: (model.picture_channels, *model.picture_size),
    "told": lambda model: "texts" if model.text is not None else "no texts",
    "with the classes": lambda model: ", ".join(model.classes) or "none",
}


def require_alike(models: Mapping[str, LoadedModel]) -> None:
    """Refuse a model that differs from the first one in what its images are or show.

    Raises:
        InputError: it is named, with the trait.
    """
    (first, standard), *others = models.items()
    for trait, of in TRAITS.items():
        for name, model in others:
            if of(model) != of(standard):
                raise InputError(f"models: expected one {trait} {of(standard)}, as {first}, got {of(model)} of {name}")
