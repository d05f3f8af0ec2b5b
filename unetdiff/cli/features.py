"""`unetdiff features`: feature maps of a network, by place and noise level, of all images of a data set into a store.

A feature depends on the weights, the image and the settings, not on its batch nor on the number of processes. Under
`accelerate launch` the processes share the files that are missing.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import jsonargparse
from tqdm import tqdm

from unetdiff.cli.data_options import add_data_options, data_config
from unetdiff.cli.device import DeviceName, device_called, processes
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.recipe.recipe import options_from
from unetdiff.data import DataConfig, prepare
from unetdiff.data.config import Split
from unetdiff.errors import InputError, user_input
from unetdiff.features.extraction import Extractor
from unetdiff.features.manifest import Manifest
from unetdiff.features.network_images import NetworkImages, framed
from unetdiff.features.noise_level import noise_levels
from unetdiff.features.places import taps_called
from unetdiff.features.pooling import Pool
from unetdiff.features.settings import ConditionKind, DType, FeatureSettings
from unetdiff.features.store_writer import StoreWriter
from unetdiff.features.sweep import Sweep
from unetdiff.features.told import Nothing, told
from unetdiff.plain import require
from unetdiff.tables import in_bytes
from unetdiff.text import Framing

__all__ = ["ExtractionOptions", "parser", "run"]


@dataclass(frozen=True, kw_only=True)
class ExtractionOptions:
    """Features.

    Attributes:
        nodes: Names of nodes or taps, or patterns of names, separated by commas; all is the output of every node.
        sigmas: Noise levels, separated by commas: as sigma (0.2), log-SNR (logsnr:1.5) or timestep (t:150).
        pool: The mean over all positions, a number p for a grid of p x p means, or none to keep every position.
        ensemble: Noises for each image, whose features are averaged.
        input: The noisy image, or the clean one with the network told the noise level.
        seed: Of the noise.
        condition: What the network is told of each image: nothing, its class, or its caption.
        dtype: Of the numbers on disk.
        splits: Parts of the data, separated by commas.
        text_encoder: Folder of the text encoder, if it is not where it was in training.
        codec: Folder of the autoencoder, if it is not where it was in training.
        out: Folder with a store for each split; what is there already is not made again.
        batch_size: Images at a time.
        device: auto is the GPU if there is one.
    """

    nodes: str = "all"
    sigmas: str = "0.02,0.06,0.2,0.5,1.2"
    pool: Pool = "mean"
    ensemble: int = 1
    input: Literal["noisy", "clean"] = "noisy"
    seed: int = 0
    condition: ConditionKind = "null"
    dtype: DType = "float16"
    splits: str = "train,test"
    text_encoder: str | None = None
    codec: str | None = None
    out: Path = Path("features")
    batch_size: int = 64
    device: DeviceName = "auto"

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        for split in self.splits.split(","):
            require(split in get_args(Split), "splits", "train and test, or one of them", self.splits)

    @property
    def parts(self) -> tuple[Split, ...]:
        """The splits that are wanted."""
        return tuple(split for split in get_args(Split) if split in self.splits.split(","))

    def settings(self, model: LoadedModel) -> FeatureSettings:
        """What these options mean for a model.

        Raises:
            ValueError: names or noise levels that it has not, or a value that an option cannot have.
        """
        return FeatureSettings(
            taps=taps_called(self.nodes.split(","), model.denoiser.unet),
            sigmas=noise_levels(self.sigmas, model.info.preconditioning),
            pool=self.pool,
            ensemble=self.ensemble,
            noisy=self.input == "noisy",
            seed=self.seed,
            condition=self.condition,
            dtype=self.dtype,
        )


def parser() -> jsonargparse.ArgumentParser:
    """Build the options."""
    result = jsonargparse.ArgumentParser(
        description="Extract features of images: feature maps of a network, by place and noise level.",
        usage="%(prog)s [model] data [options]",
    )
    result.add_argument("model", nargs="?", help="model, run or pipeline folder; without it the shipped model")
    result.add_argument("data", help="images, as `unetdiff data pack` takes them")
    result.add_class_arguments(ExtractionOptions)
    add_data_options(result)
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make what is missing in the stores, say where they are and how long it took."""
    options, data = _options(args)
    state = processes(options.device)
    model = LoadedModel.load(args.model, device_called(options.device, state), options.text_encoder, options.codec)
    with state.main_process_first():  # which packs the images
        sweeps = _sweeps(model, options, data)
        writers = _writers(model, sweeps, options.out, say=state.is_main_process)
    missing = {split: list(writer.missing) for split, writer in writers.items()}
    state.wait_for_everyone()  # nobody writes before everybody has seen what is missing

    started = time.perf_counter()
    for split, writer in writers.items():
        own = missing[split][state.process_index :: state.num_processes]
        images = sum(len(writer.manifest.shards[name]) for name in own)
        with tqdm(total=images, desc=split, unit=" images", disable=None if state.is_main_process else True) as bar:
            sweeps[split].fill(writer, own, options.batch_size, bar.update)
    state.wait_for_everyone()
    if state.is_main_process:
        if options.condition == "null" and _always_told(model):
            print("note: this model was told its condition in all of its training; see --condition")
        made = sum(len(writers[split].manifest.shards[name]) for split, names in missing.items() for name in names)
        count = sum(writer.manifest.images for writer in writers.values())
        print(f"{made} of {count} images done in {time.perf_counter() - started:.1f} s on {model.device}")
        print(options.out)


def _options(args: jsonargparse.Namespace) -> tuple[ExtractionOptions, DataConfig]:
    with user_input():
        chosen = parser().instantiate(args)
        data = data_config(args.data, chosen)
        return options_from(ExtractionOptions, chosen), data


def _always_told(model: LoadedModel) -> bool:
    """Whether its training never left out the condition, so that it does not know what it means to be told nothing."""
    facts = model.info.training
    return model.conditional and facts.get("condition dropout", facts.get("class dropout")) == 0


def _sweeps(model: LoadedModel, options: ExtractionOptions, data: DataConfig) -> dict[Split, Sweep]:
    """What is to be extracted of each split."""
    framing = Framing(target=model.picture_size)
    nothing = Nothing.of(model.denoiser.unet, model.text, framing)
    with user_input():
        settings = options.settings(model)
    extractor = Extractor(denoiser=model.denoiser, shape=model.info.data.shape, settings=settings)
    wanted = framed(data, model.picture_size, model.picture_channels)
    packed = {split: prepare(replace(wanted, split=split)) for split in options.parts}
    return {
        split: Sweep(
            extractor=extractor,
            images=NetworkImages(data=images, info=model.info.data, codec=model.codec, device=model.device),
            told=told(settings.condition, nothing, images, model.text, framing),
        )
        for split, images in packed.items()
    }


def _writers(model: LoadedModel, sweeps: Mapping[Split, Sweep], out: Path, say: bool) -> dict[Split, StoreWriter]:
    """A store for each split, begun where there is none, if there is room for all."""
    manifests = {split: sweep.manifest(model.weights, split) for split, sweep in sweeps.items()}
    if say:
        for split, manifest in manifests.items():
            sizes = f"{len(manifest.settings.taps)} places x {len(manifest.settings.sigmas)} noise levels"
            print(f"{split}: {manifest.images} images, {sizes}, {in_bytes(manifest.bytes)}")
    _require_room(out, list(manifests.values()))
    writers = {split: StoreWriter(out / split, manifest) for split, manifest in manifests.items()}
    for split, writer in writers.items():
        writer.begin(sweeps[split].images.data.labels)
    return writers


def _require_room(out: Path, manifests: Sequence[Manifest]) -> None:
    """Refuse features that do not fit on the disk beside what is there."""
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    there = sum(path.stat().st_size for path in out.glob("*/features-*.safetensors"))
    needed, free = sum(manifest.bytes for manifest in manifests) - there, shutil.disk_usage(place).free
    if needed > free:
        raise InputError(f"out: {in_bytes(needed)} of free disk expected in {place}, got {in_bytes(free)}")
