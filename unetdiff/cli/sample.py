"""`unetdiff sample`, and `sample.py`: images from a model, one for every class and seed.

An image depends on the weights, its seed, its class and the sampler's settings, not on its batch: its noise comes from
a generator of its own.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import jsonargparse
import torch

import samplers
from unetdiff.cli.generate import Method, SamplerName, generate, sampler_named
from unetdiff.errors import InputError
from unetdiff.model_folder import ModelInfo, find_model, load_model, weights_hash
from unetdiff.pictures import to_uint8
from unetdiff.samples_folder import Fact, Sample, SamplesFolder
from unetdiff.selection import select_classes, select_numbers

__all__ = ["SampleOptions", "parser", "run"]

SEEDS = 2**32


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What is to be made, and how.

    Attributes:
        out: Samples folder; what is there already is not made again.
        classes: Numbers, ranges or names, such as 0-4,7,Sneaker; all classes without it.
        seeds: Numbers or ranges; every class is sampled with every seed.
        steps: Steps of the sampler on the Karras grid.
        sampler: heun takes two network calls a step.
        guidance: Weight of classifier-free guidance; 1 is none.
        skip_scale: Skip-tuning: factor on every skip connection.
        sigma_min: Lowest noise level before 0; the model's own without it.
        sigma_max: Noise level at the start; the model's own without it.
        rho: How much finer the steps get towards low noise.
        eta: Share of fresh noise of ddim, 0 to 1; 0 without it.
        churn: Fresh noise before each step of heun or euler (EDM, algorithm 2).
        batch_size: Images at a time.
        device: auto is the GPU if there is one.
        grid: Also write a picture of all images.
        npz: Also write all images as one array.
    """

    out: Path = Path("samples")
    classes: str | None = None
    seeds: str = "0-9"
    steps: int = 18
    sampler: SamplerName = "heun"
    guidance: float = 1.0
    skip_scale: float = 1.0
    sigma_min: float | None = None
    sigma_max: float | None = None
    rho: float = 7.0
    eta: float | None = None
    churn: samplers.Churn | None = None
    batch_size: int = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    grid: bool = True
    npz: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: at least 1 expected, got {getattr(self, name)}")
        if not math.isfinite(self.guidance):
            raise InputError(f"guidance: a finite number expected, got {self.guidance}")
        if self.eta is not None and self.sampler != "ddim":
            raise InputError(f"eta: the sampler ddim expected, got {self.sampler}")
        if self.churn is not None and self.sampler not in ("heun", "euler"):
            raise InputError(f"churn: the sampler heun or euler expected, got {self.sampler}")


def parser() -> jsonargparse.ArgumentParser:
    """Build the options of the command from the fields of `SampleOptions`."""
    result = jsonargparse.ArgumentParser(description="Make images with a model: one for every class and seed.")
    result.add_argument(
        "model", nargs="?", help="model folder or run folder; without it the shipped Fashion-MNIST model"
    )
    result.add_class_arguments(SampleOptions, skip={"grid", "npz"})
    for name, text in (("grid", "a picture of all images"), ("npz", "all images as one array")):
        yes_no = jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no_")
        result.add_argument(f"--{name}", action=yes_no, default=getattr(SampleOptions, name), help=f"also write {text}")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Make what is missing in the samples folder, say where it is and how long it took."""
    options = _options(args)
    device = _device(options.device)
    denoiser, info = load_model(args.model, device)
    method = _method(options, info)
    classes = _class_names(denoiser.unet.config.num_classes, info)
    wanted = _wanted(options, classes)
    folder = SamplesFolder(options.out, _settings(options, info, weights_hash(find_model(args.model))), classes)
    missing = folder.missing(wanted)

    started = time.perf_counter()
    for sample, image in generate(denoiser, info.data.shape, missing, method, options.batch_size):
        folder.save(sample, to_uint8(image[None], info.data.value_range)[0])
    seconds = time.perf_counter() - started
    folder.save_manifest()
    print(
        f"{len(missing)} of {len(wanted)} images made in {seconds:.1f} s on {device}, {method.calls} network calls each"
    )
    if options.npz:
        print(folder.save_npz(wanted))
    print(folder.save_grid(wanted) if options.grid else folder.path)


def _options(args: jsonargparse.Namespace) -> SampleOptions:
    try:
        chosen = parser().instantiate(args)
    except ValueError as error:
        raise InputError(str(error)) from error
    return SampleOptions(**{entry.name: chosen[entry.name] for entry in fields(SampleOptions)})


def _method(options: SampleOptions, info: ModelInfo) -> Method:
    lowest, highest = _noise_levels(options, info)
    try:
        return Method(
            sampler=sampler_named(options.sampler, options.eta or 0.0),
            sigmas=samplers.karras(options.steps, lowest, highest, options.rho),
            churn=options.churn,
            guidance=options.guidance,
            skip_scale=options.skip_scale,
        )
    except ValueError as error:
        raise InputError(str(error)) from error


def _noise_levels(options: SampleOptions, info: ModelInfo) -> tuple[float, float]:
    lowest, highest = info.preconditioning.sigma_range
    return (
        lowest if options.sigma_min is None else options.sigma_min,
        highest if options.sigma_max is None else options.sigma_max,
    )


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: a CUDA device expected, torch finds none")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def _class_names(count: int | None, info: ModelInfo) -> tuple[str, ...]:
    return info.data.classes if count and info.data.classes else tuple(map(str, range(count or 0)))


def _wanted(options: SampleOptions, classes: Sequence[str]) -> list[Sample]:
    seeds = select_numbers(options.seeds, SEEDS, "seeds")
    if not classes and options.classes is not None:
        raise InputError(f"classes: a model with classes expected, got one without and {options.classes!r}")
    if not classes and options.guidance != 1:
        raise InputError(f"guidance: 1 expected for a model without classes, got {options.guidance}")
    labels = select_classes(options.classes, classes) if classes else (None,)
    return [Sample(seed=seed, label=label) for label in labels for seed in seeds]


def _settings(options: SampleOptions, info: ModelInfo, weights: str) -> dict[str, Fact]:
    lowest, highest = _noise_levels(options, info)
    churn = {} if options.churn is None else asdict(options.churn)
    return {
        "sampler": options.sampler,
        "steps": options.steps,
        "sigma_min": lowest,
        "sigma_max": highest,
        "rho": options.rho,
        "eta": options.eta,
        "churn": {name: value for name, value in churn.items() if math.isfinite(value)},  # JSON has no infinity
        "guidance": options.guidance,
        "skip_scale": options.skip_scale,
        "weights": weights,
    }
