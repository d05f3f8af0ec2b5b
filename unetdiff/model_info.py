"""What a network needs beside its weights: `denoiser.json` of a model folder, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from unetdiff.plain import from_plain, require, to_plain
from unetdiff.preconditioning import Preconditioning, preconditioning_from_dict, preconditioning_to_dict

__all__ = ["JSON", "DataInfo", "ModelInfo"]

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """The images that the model was trained on."""

    channels: int
    height: int
    width: int
    value_range: tuple[float, float] = (-1.0, 1.0)
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            require(getattr(self, name) >= 1, f"data.{name}", "a positive number", getattr(self, name))
        low, high = self.value_range
        require(low < high, "data.value_range", "an increasing pair", self.value_range)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network needs beside its weights to denoise and to sample; `training` is a summary for readers."""

    preconditioning: Preconditioning
    data: DataInfo
    training: Mapping[str, JSON] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for denoiser.json; `from_dict` is its inverse."""
        return {
            "preconditioning": preconditioning_to_dict(self.preconditioning),
            "data": to_plain(self.data),
            "training": dict(self.training),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelInfo":
        """Build from `to_dict`'s form.

        Raises:
            ValueError: a missing or unknown key, or a value that a field cannot take.
        """
        expected = {"preconditioning", "data", "training"}
        require(set(values) == expected, "denoiser", f"the keys {sorted(expected)}", sorted(values))
        return cls(
            preconditioning=preconditioning_from_dict(values["preconditioning"]),
            data=from_plain(DataInfo, values["data"], "data"),
            training=values["training"],
        )
