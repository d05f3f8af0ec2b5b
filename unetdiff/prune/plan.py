"""Which parts of a network go, why, and of which network: `plan.json` beside a pruned model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.config import UNetConfig
from unetdiff.errors import InputError
from unetdiff.plain import from_plain, to_plain
from unetdiff.prune.apply import prune
from unetdiff.prune.budget import Budget
from unetdiff.removal import Removal
from unetdiff.unet import UNet
from unetdiff.weight_source import read_json

__all__ = ["Plan", "architecture_hash"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is removed of a network, with all that it was chosen by.

    Attributes:
        architecture: hash of the network's configuration before anything of this plan is removed.
        removed: the parts, and what is left in the place of each.
        budget: what was to be kept.
        settings: of the choice.
        calibration: hash of the set that the scores are of.
        scores: of all parts that there were to choose among.
    """

    architecture: str
    removed: Mapping[str, Removal]
    budget: Budget
    settings: Mapping[str, str | int | float | bool]
    calibration: str
    scores: Mapping[str, float]

    @property
    def summary(self) -> str:
        """The settings in a line."""
        return ", ".join(f"{name} {value}" for name, value in self.settings.items() if value not in ("", False))

    def apply(self, unet: UNet) -> UNet:
        """The network without these parts; it shares the tensors of all others.

        Raises:
            InputError: a network of another architecture, or a part that there is none of.
        """
        architecture = architecture_hash(unet.config)
        if architecture != self.architecture:
            raise InputError(
                f"plan: a network of the architecture {self.architecture[:12]} expected, which the plan was made for, "
                f"got one of {architecture[:12]}"
            )
        try:
            return prune(unet, self.removed)
        except ValueError as error:
            raise InputError(f"plan: {error}") from error

    def write(self, path: Path) -> None:
        """As JSON."""
        with replacing(path) as staged:
            staged.write_text(json.dumps(to_plain(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """What `write` wrote.

        Raises:
            InputError: no such file, or one that is no plan; the message names the field.
        """
        values = read_json(path)
        try:
            return from_plain(cls, values)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error


def architecture_hash(config: UNetConfig) -> str:
    """SHA-256 of a configuration; the size of the images that it was made for has no part in it."""
    text = json.dumps(replace(config, sample_size=None).to_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
