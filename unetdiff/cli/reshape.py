"""`unetdiff reshape`: a smaller network by shape alone, without data.

A published layout, then narrower parts of what that leaves, where both are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonargparse

from unetdiff.cli.prune.comparison import cost_rows
from unetdiff.cli.prune.options import require_new
from unetdiff.cli.prune.pruned_info import pruned_info
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import user_input
from unetdiff.model_folder import find_model, load_model, save_model
from unetdiff.plain import require
from unetdiff.prune.layouts import LAYOUTS, layout
from unetdiff.prune.savings import Cost, Probe
from unetdiff.prune.width import magnitudes, narrow, strongest
from unetdiff.tables import table
from unetdiff.unet import UNet

__all__ = ["ShapeOptions", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class ShapeOptions:
    """The shape of the smaller network.

    Attributes:
        layout: A published layout, made of a network of Stable Diffusion or SDXL.
        narrow: Share of the units kept inside each part, those of the largest weights: groups of channels of residual
            blocks, heads, channels of feed-forward layers.
        out: Folder for the model.
    """

    layout: str | None = None
    narrow: float | None = None
    out: Path = Path("reshaped")

    def __post_init__(self) -> None:
        require(self.layout is None or self.layout in LAYOUTS, "layout", f"one of {', '.join(LAYOUTS)}", self.layout)
        share = self.narrow is None or 0 < self.narrow <= 1
        require(share, "narrow", "a share above 0, at most 1", self.narrow)
        asked = (self.layout, self.narrow) != (None, None)
        require(asked, "layout, narrow", "one of the two, or both", None)
        require_new(self.out)

    def apply(self, unet: UNet) -> UNet:
        """A network of that shape, which shares tensors with `unet`."""
        smaller = unet if self.layout is None else layout(unet, self.layout)
        return smaller if self.narrow is None else narrow(smaller, strongest(magnitudes(smaller), self.narrow))

    @property
    def summary(self) -> str:
        """What was asked for."""
        return ", ".join(f"{name} {value}" for name in ("layout", "narrow") if (value := getattr(self, name)))


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Make a network smaller by shape, without data.",
        usage="%(prog)s [model] [--layout NAME] [--narrow SHARE] [--out OUT]",
    )
    result.add_argument("model", nargs="?", help="model, run or pipeline folder; without it the shipped model")
    result.add_class_arguments(ShapeOptions)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Write the model folder, and print what it costs.

    Raises:
        InputError: a network that has no such shape.
    """
    with user_input():
        options = options_from(ShapeOptions, args.as_dict())
    folder = find_model(args.model)
    denoiser, info = load_model(folder)
    smaller = options.apply(denoiser.unet)
    save_model(options.out, smaller, pruned_info(info, folder, options.summary))
    size = (info.data.height, info.data.width)
    print(table(cost_rows(*_costs([denoiser.unet, smaller], size)), left_aligned=(0,)))
    print(options.out)


def _costs(networks: Sequence[UNet], size: tuple[int, int]) -> list[Cost]:
    return [Probe(config=network.config, size=size).total({}) for network in networks]
