"""`unetdiff attention`: where in the pictures each token of a prompt acts, read while they are sampled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import jsonargparse
import numpy as np
import torch
from torch import Tensor

from unetdiff.atomic import replacing
from unetdiff.cli.asked import AskedOptions, wanted_samples
from unetdiff.cli.device import DeviceName, device_called, processes
from unetdiff.cli.generate import generate
from unetdiff.cli.help_formatter import HelpWithLists
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.recipe import GROUPS, Recipe
from unetdiff.cli.recipe.help_lists import help_lists
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import InputError, user_input
from unetdiff.features.attention_maps import AttentionMaps
from unetdiff.features.attention_pictures import token_grid
from unetdiff.pictures import Pixels, save_png, to_uint8
from unetdiff.plain import require
from unetdiff.sample_identity import Sample
from unetdiff.tables import table

__all__ = ["OutputOptions", "Read", "parser", "run"]

NOT_READ = "cache"  # a cached call leaves out the layers that would be read
SHOWN_SIDE = 128


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Output.

    Attributes:
        text_encoder: Folder of the text encoder, if it is not where it was in training.
        codec: Folder of the autoencoder, if it is not where it was in training.
        out: Folder of a picture for each prompt.
        batch_size: Images at a time.
        device: auto is the GPU if there is one.
        npz: Also write the maps of each prompt as arrays.
    """

    text_encoder: str | None = None
    codec: str | None = None
    out: Path = Path("attention")
    batch_size: int = 16
    device: DeviceName = "auto"
    npz: bool = False

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)


@dataclass(frozen=True, kw_only=True, eq=False)
class Read:
    """Images of one prompt, and where each of its tokens acts.

    Attributes:
        pixels: (N, H, W, C).
        maps: (N, M, h, w), of each of M tokens a share of the attention at each position.
        tokens: what the first of these M are, as texts; the others fill up a short prompt.
        seeds: of the images.
    """

    pixels: Pixels
    maps: Tensor
    tokens: tuple[str, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, method: Method, samples: Sequence[Sample], batch_size: int) -> "Read":
        """Sample them, and read along."""
        model, text = method.model, method.model.text
        prompt = samples[0].subject
        assert text is not None
        assert prompt is not None
        pixels, maps = [], []
        for start in range(0, len(samples), batch_size):
            batch = samples[start : start + batch_size]
            read = AttentionMaps(images=len(batch), conditional="first")
            with read.reading(model.denoiser.unet):
                ((_, pictures),) = generate(method, batch, len(batch))
            pixels.append(to_uint8(pictures, model.value_range))
            maps.append(read.pooled().cpu())
        pooled = torch.cat(maps)
        tokens = text.tokens(prompt.name)[: pooled.shape[1]]
        seeds = tuple(sample.seed for sample in samples)
        return cls(pixels=np.concatenate(pixels), maps=pooled, tokens=tokens, seeds=seeds)

    def save(self, path: Path, facts: Mapping[str, str]) -> None:
        """As a picture: images in a row, below them a row for each token."""
        scale = max(1, SHOWN_SIDE // max(self.pixels.shape[1:3]))
        save_png(path, token_grid(self.pixels, self.maps, self.tokens, scale), facts)

    def save_npz(self, path: Path) -> None:
        """As arrays: `maps` (N, M, h, w), `images` (N, H, W, C), `tokens` and `seeds`."""
        tokens, seeds = np.array(self.tokens), np.array(self.seeds)
        with replacing(path) as staged:
            np.savez(staged, maps=self.maps.numpy(), images=self.pixels, tokens=tokens, seeds=seeds)

    def shares(self) -> str:
        """A table: how much of the attention goes to each token, and at its least and its greatest position."""
        rows = [
            [token, *(f"{share:.1%}" for share in (heat.mean(), heat.min(), heat.max()))]
            for token, heat in zip(self.tokens, self.maps.transpose(0, 1), strict=False)
        ]
        return table([["token", "mean", "least", "greatest"], *rows], left_aligned=[0])


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of its groups of options."""
    result = jsonargparse.ArgumentParser(
        description="Show where each token of a prompt acts: cross-attention pooled over heads, layers and steps while "
        "images are sampled (DAAM). For each prompt a picture: the images, and below them a row for each token.",
        usage="%(prog)s model --prompt TEXT [options]",
        epilog=help_lists(),
        formatter_class=HelpWithLists,
    )
    result.add_argument("model", help="model, run or pipeline folder of a network that attends to a text")
    result.add_class_arguments(AskedOptions, skip={"vectors", "interpolate"})
    for name, group in GROUPS.items():
        if name != NOT_READ:
            result.add_class_arguments(group)
    result.add_class_arguments(OutputOptions, skip={"npz"})
    yes_no = jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no_")
    result.add_argument("--npz", action=yes_no, default=OutputOptions.npz, help="also write the maps as arrays")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Sample, read along, draw, print.

    Raises:
        InputError: options that do not fit, or a model without a text.
    """
    with user_input():
        chosen = parser().instantiate(args)
        asked, recipe = options_from(AskedOptions, chosen), Recipe.from_options(chosen)
        output = options_from(OutputOptions, chosen)
    places = output.text_encoder, output.codec
    device = device_called(output.device, processes(output.device))
    model = LoadedModel.load(args.model, device, *places)
    if model.text is None:
        raise InputError(f"model: expected one that attends to a text, got {model.folder}")
    recipe.adapter.apply(model.denoiser.unet)
    method = Method.chosen(recipe, model, *places)
    wanted = wanted_samples(asked, model, method.recipe.start)
    output.out.mkdir(parents=True, exist_ok=True)
    for shown, group in groupby(wanted, key=lambda sample: sample.shown):
        read = Read.of(method, list(group), output.batch_size)
        path = output.out / ("-".join(f"{one.kind}{one.number:04d}" for one in shown) + ".png")
        read.save(path, {"prompt": shown[0].name, "seeds": asked.seeds})
        if output.npz:
            read.save_npz(path.with_suffix(".npz"))
        print(f"{shown[0].name}\n{read.shares()}\n{path}\n")
