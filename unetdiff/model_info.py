"""What a network needs beside its weights: `denoiser.json` of a model folder, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from unetdiff.plain import from_plain, require, to_plain
from unetdiff.preconditioning import Preconditioning, preconditioning_from_dict, preconditioning_to_dict

__all__ = ["JSON", "CodecInfo", "ConcatInfo", "DataInfo", "ModelInfo", "TextInfo"]

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
class CodecInfo:
    """The autoencoder whose latents the network speaks: its folder, and a hash of its files."""

    codec: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class TextInfo:
    """The text encoder whose tokens the network attends to: its folder or repository, and a hash of its files."""

    encoder: str
    context: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ConcatInfo:
    """The picture that is concatenated to the noisy image, for super-resolution one whose edges are 1 / `factor`."""

    kind: Literal["super_resolution", "inpainting"]
    factor: int | None = None

    def __post_init__(self) -> None:
        enlarged = self.kind == "super_resolution"
        fits = self.factor is not None and self.factor >= 2 if enlarged else self.factor is None
        require(fits, "concat.factor", "2 or more" if enlarged else "null", self.factor)


PARTS: Mapping[str, type[Any]] = {"text": TextInfo, "codec": CodecInfo, "concat": ConcatInfo}
"""What some networks need beside; `denoiser.json` has the keys of those that are there."""


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a network needs beside its weights to denoise and to sample; `training` is a summary for readers."""

    preconditioning: Preconditioning
    data: DataInfo
    text: TextInfo | None = None
    codec: CodecInfo | None = None
    concat: ConcatInfo | None = None
    training: Mapping[str, JSON] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for denoiser.json; `from_dict` is its inverse."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {
            "preconditioning": preconditioning_to_dict(self.preconditioning),
            "data": to_plain(self.data),
            **{name: to_plain(part) for name, part in parts.items() if part is not None},
            "training": dict(self.training),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelInfo":
        """Build from `to_dict`'s form.

        Raises:
            ValueError: a missing or unknown key, or a value that a field cannot take.
        """
        expected = {"preconditioning", "data", "training"}
        fits = expected <= set(values) <= expected | set(PARTS)
        require(fits, "denoiser", f"the keys {sorted(expected)}, maybe {sorted(PARTS)}", sorted(values))
        return cls(
            preconditioning=preconditioning_from_dict(values["preconditioning"]),
            data=from_plain(DataInfo, values["data"], "data"),
            **{name: from_plain(kind, values[name], name) for name, kind in PARTS.items() if name in values},
            training=values["training"],
        )
