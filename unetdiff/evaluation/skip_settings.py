"""skip.json in a model folder: the strength of the skips that gave the best images, by sampler and number of steps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.errors import InputError
from unetdiff.nn.skip import SkipSite
from unetdiff.plain import from_plain, to_plain

__all__ = ["FILE", "SkipSetting"]

FILE = "skip.json"


@dataclass(frozen=True, kw_only=True)
class SkipSetting:
    """The best one of a sampler at a number of steps, and how far from real images it samples.

    Attributes:
        sampler: by its name in `samplers.SAMPLERS`.
        steps: of the Karras grid.
        calls: network calls for an image.
        rho_bottom: factor on the innermost skip; 1 where no other one helps.
        rho_top: factor on the outermost skip.
        site: where the factors act.
        sigma: at which noise levels, as the option `--skip-sigma` says it.
        distance: kernel distance with these factors.
        plain_distance: that without them.
        standard_error: of `distance`.
        gain_error: standard error of their difference.
        n: images behind each distance.
        weights: hash of the model.
    """

    sampler: str
    steps: int
    calls: int
    rho_bottom: float
    rho_top: float
    site: SkipSite
    sigma: str
    distance: float
    plain_distance: float
    standard_error: float
    gain_error: float
    n: int
    weights: str

    @classmethod
    def read(cls, path: Path, weights: str) -> "list[SkipSetting]":
        """Those of a model; none where there is no file.

        Raises:
            InputError: a file of something else.
        """
        if not path.exists():
            return []
        try:
            settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
            found = [from_plain(cls, setting) for setting in settings]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: expected what skip-search writes, got something else ({error})") from error
        return [setting for setting in found if setting.weights == weights]

    @staticmethod
    def write(path: Path, settings: "Sequence[SkipSetting]") -> None:
        """One for each sampler and number of steps, the last one given."""
        latest = {(setting.sampler, setting.steps): to_plain(setting) for setting in settings}
        with replacing(path) as staged:
            staged.write_text(json.dumps({"settings": list(latest.values())}, indent=2) + "\n", encoding="utf-8")
