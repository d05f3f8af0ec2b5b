"""`unetdiff reproduce`: an image again, from nothing but what its PNG says of its making."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jsonargparse
import numpy as np
import torch

from unetdiff.cli.asked import file_hash
from unetdiff.cli.device import require_present
from unetdiff.cli.generate import generate
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.provenance import Made
from unetdiff.cli.recipe import Recipe
from unetdiff.errors import InputError
from unetdiff.lora import find_lora
from unetdiff.model_info import JSON
from unetdiff.pictures import Pixels, from_pixels, read_facts, read_png, save_png, to_uint8
from unetdiff.plain import from_plain
from unetdiff.sample_identity import Sample
from unetdiff.samples_folder import MADE, read_recorded

__all__ = ["parser", "run"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a PNG says: which image, how it is made, how it was computed, and the hashes of the files that it names."""

    sample: Sample
    recipe: Recipe
    made: Made
    hashes: Mapping[str, JSON]

    @classmethod
    def of(cls, path: Path) -> "Record":
        """Read it.

        Raises:
            InputError: a picture that does not say all.
        """
        facts = read_recorded(path)
        if MADE not in facts:
            raise InputError(f"{path}: a picture that says how it was made expected, as `unetdiff sample` writes it")
        try:
            return cls(
                sample=Sample.from_facts(facts),
                recipe=Recipe.from_facts(facts),
                made=from_plain(Made, facts[MADE], MADE),  # type: ignore[arg-type]  # checked there
                hashes={name: value for name, value in facts.items() if isinstance(value, str)},
            )
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error

    def require_same(self, what: str, hash_name: str, found: str) -> None:
        """Refuse a file that has changed."""
        if self.hashes.get(hash_name) != found:
            raise InputError(f"{what}: contents of hash {self.hashes.get(hash_name)} expected, got {found}")


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Make an image again from what its PNG says. On the machine and with the version of torch that "
        "made it, the pixels are the same to the bit."
    )
    result.add_argument("image", type=Path, help="a PNG of `unetdiff sample`")
    result.add_argument("--model", type=str, help="folder of its model; without it the folder that the PNG names")
    result.add_argument("--out", type=Path, help="PNG to write; IMAGE-again.png in this folder without it")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make the image, write it, say whether its pixels are those of the original."""
    record = Record.of(args.image)
    original = read_png(args.image)
    pixels = _remade(record, args.model or record.made.model)
    out: Path = args.out or Path(f"{args.image.stem}-again.png")
    save_png(out, from_pixels(pixels), read_facts(args.image))
    different = original != pixels
    if not different.any():
        print(f"{out}: the same pixels")
        return
    most = np.abs(original.astype(int) - pixels).max()
    print(f"{out}: {different.mean():.2%} of the values differ, by {most} of 255 at most")


def _remade(record: Record, folder: str | None) -> Pixels:
    """The image, at its place in a batch of the same size; what else is in it does not matter."""
    device = record.made.device
    require_present(device)
    model = LoadedModel.load(folder, device)
    record.require_same(str(model.folder), "weights", model.weights)
    lora = record.recipe.adapter.lora
    if lora is not None:
        record.require_same(lora, "lora_sha256", file_hash(find_lora(lora)))
        record.recipe.adapter.apply(model.denoiser.unet)
    guide = None
    if record.recipe.guidance.guide is not None:
        guide = LoadedModel.load(record.recipe.guidance.guide, device)
        record.require_same(str(guide.folder), "guide_weights", guide.weights)
    if record.recipe.start.mask is not None:
        record.require_same(record.recipe.start.mask, "mask_sha256", file_hash(Path(record.recipe.start.mask)))
    source = record.sample.source
    if source is not None and file_hash(Path(source.path)) != source.sha256:
        raise InputError(f"{source.path}: the picture that the image was made from expected, it has changed")
    torch.set_num_threads(record.made.threads)
    method = Method.of(record.recipe, model, guide)
    ((_, pictures),) = generate(method, [record.sample] * record.made.batch_size, record.made.batch_size)
    pixels: Pixels = to_uint8(pictures, model.value_range)[record.made.row]
    return pixels
