"""`unetdiff sample`, and `sample.py`: images from a model, one for every class or prompt and seed.

An image depends on the weights, its seed, its subject and the recipe, not on its batch nor on the number of processes:
its noise comes from a generator of its own. Under `accelerate launch` the processes share the missing images.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonargparse

from unetdiff.cli.asked import AskedOptions, file_hash, wanted_samples
from unetdiff.cli.device import DeviceName, device_called, processes
from unetdiff.cli.generate import generate
from unetdiff.cli.help_formatter import HelpWithLists
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.method import Method
from unetdiff.cli.provenance import Made
from unetdiff.cli.recipe import GROUPS, Recipe
from unetdiff.cli.recipe.help_lists import help_lists
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.errors import user_input
from unetdiff.lora import find_lora
from unetdiff.model_info import JSON
from unetdiff.pictures import to_uint8
from unetdiff.plain import require, to_plain
from unetdiff.sample_identity import Sample
from unetdiff.samples_folder import SamplesFolder

__all__ = ["OutputOptions", "parser", "run", "settings"]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Output.

    Attributes:
        text_encoder: Folder of the text encoder, if it is not where it was in training.
        codec: Folder of the autoencoder, if it is not where it was in training.
        out: Samples folder; what is there already is not made again.
        batch_size: Images at a time.
        device: auto is the GPU if there is one.
        picture: Also write a picture of all images.
        npz: Also write all images as one array.
    """

    text_encoder: str | None = None
    codec: str | None = None
    out: Path = Path("samples")
    batch_size: int = 64
    device: DeviceName = "auto"
    picture: bool = True
    npz: bool = False

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of the groups of options."""
    result = jsonargparse.ArgumentParser(
        description="Make images with a model: one for every class or prompt and seed.",
        usage="%(prog)s [model] [options]",
        epilog=help_lists(),
        formatter_class=HelpWithLists,
    )
    result.add_argument(
        "model", nargs="?", help="model, run or pipeline folder; without it the shipped Fashion-MNIST model"
    )
    result.add_class_arguments(AskedOptions)
    for group in GROUPS.values():
        result.add_class_arguments(group)
    result.add_class_arguments(OutputOptions, skip={"picture", "npz"})
    for name, text in (("picture", "a picture of all images"), ("npz", "all images as one array")):
        yes_no = jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no_")
        result.add_argument(f"--{name}", action=yes_no, default=getattr(OutputOptions, name), help=f"also write {text}")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make what is missing in the samples folder, say where it is and how long it took."""
    asked, recipe, output = _options(args)
    state = processes(output.device)
    device = device_called(output.device, state)
    places = output.text_encoder, output.codec
    model = LoadedModel.load(args.model, device, *places)
    recipe.adapter.apply(model.denoiser.unet)
    method = Method.chosen(recipe, model, *places)
    wanted = wanted_samples(asked, model, method.recipe.start)
    folder = SamplesFolder(output.out, settings(method))
    missing = folder.missing(wanted)
    state.wait_for_everyone()  # nobody writes before everybody has seen what is missing

    started = time.perf_counter()
    _make(method, missing[state.process_index :: state.num_processes], folder, output.batch_size, args.model)
    state.wait_for_everyone()
    seconds = time.perf_counter() - started
    if not state.is_main_process:
        return
    folder.save_manifest()
    print(
        f"{len(missing)} of {len(wanted)} images made in {seconds:.1f} s on {device}, {method.calls} network calls each"
    )
    if output.npz:
        print(folder.save_npz(wanted))
    print(folder.save_grid(wanted) if output.picture else folder.path)


def settings(method: Method) -> dict[str, JSON]:
    """The recipe, and what it means: the contents of the files that it names."""
    hashes: dict[str, JSON] = {"weights": method.model.weights}
    if method.guide is not None:
        hashes["guide_weights"] = method.guide.weights
    if method.recipe.start.mask is not None:
        hashes["mask_sha256"] = file_hash(Path(method.recipe.start.mask))
    if method.recipe.adapter.lora is not None:
        hashes["lora_sha256"] = file_hash(find_lora(method.recipe.adapter.lora))
    return {**method.recipe.facts(), **hashes}


def _options(args: jsonargparse.Namespace) -> tuple[AskedOptions, Recipe, OutputOptions]:
    with user_input():
        chosen = parser().instantiate(args)
        return options_from(AskedOptions, chosen), Recipe.from_options(chosen), options_from(OutputOptions, chosen)


def _make(method: Method, samples: Sequence[Sample], folder: SamplesFolder, batch_size: int, model: str | None) -> None:
    for batch, pictures in generate(method, samples, batch_size):
        pixels = to_uint8(pictures, method.model.value_range)
        for row, sample in enumerate(batch):
            folder.save(sample, pixels[row], to_plain(Made.here(method.model.device, model, len(batch), row)))
