"""Whether thousands of sampling calls in one process leave anything behind: memory, tensors, hooks.

python -m benchmarks.endurance
python -m benchmarks.endurance --calls 2000 --points 10 --threads 1
python -m benchmarks.endurance --quick

Each call makes its sampler, its noise and what is around the network anew, in rotation. What a training survives is the
matter of `unetdiff verify-resume`.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice

import jsonargparse
import numpy as np
import torch
from jsonargparse.typing import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from tqdm import tqdm

import samplers
from benchmarks.resident import resident
from unetdiff import load_model
from unetdiff.caching import cached
from unetdiff.denoiser import Denoiser
from unetdiff.features import capture
from unetdiff.nn.class_embedding import NULL_CLASS
from unetdiff.skips import FreeU, Linear, skip_tuned, suited_to

__all__ = ["WRAPPERS", "Footprint", "Options", "footprints", "main", "parser"]

LABEL, NO_LABEL = torch.tensor([3]), torch.tensor([NULL_CLASS])
STEPS = 2
INTERVAL = (0.0, 10.0)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, as `parser` explains."""

    calls: int
    warmup: int
    points: int
    threads: int
    quick: bool


def parser() -> jsonargparse.ArgumentParser:
    """An option for each field of `Options`."""
    result = jsonargparse.ArgumentParser(description="Memory of a process that samples again and again, on the CPU.")
    result.add_argument("--calls", type=PositiveInt, default=2000, help="samplings of one image")
    result.add_argument("--warmup", type=NonNegativeInt, default=100, help="those before the first point")
    result.add_argument("--points", type=PositiveInt, default=10, help="at which memory is looked at")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--quick", action="store_true", help="few calls, to see that it works")
    return result


def _tuned(denoiser: Denoiser) -> samplers.Denoise:
    tuned = skip_tuned(denoiser, Linear(rho_bottom=0.9), suited_to(denoiser.preconditioning))
    return samplers.guided_in_one_call(
        tuned, {"class_labels": LABEL}, {"class_labels": NO_LABEL}, samplers.Guidance(weight=1.5)
    )


def _autoguided(denoiser: Denoiser) -> samplers.Denoise:
    poorer = partial(denoiser, skip_scale=0.5, class_labels=LABEL)
    guidance = samplers.Guidance(weight=2.0, interval=INTERVAL, rescale=0.7)
    return samplers.guided(partial(denoiser, class_labels=LABEL), poorer, guidance)


def _cached(denoiser: Denoiser) -> samplers.Denoise:
    return partial(cached(denoiser, 2, denoiser.unet.config.skips()[-1]), class_labels=LABEL)


def _captured(denoiser: Denoiser) -> samplers.Denoise:
    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        with capture(denoiser.unet, ["mid_block.resnets.0"]):
            denoised: Tensor = denoiser(x, sigma, class_labels=LABEL)
        return denoised

    return denoise


def _inpainted(denoiser: Denoiser) -> samplers.Denoise:
    def denoise(x: Tensor, sigma: Tensor | float) -> Tensor:
        known = samplers.inpainted(partial(denoiser, class_labels=LABEL), torch.zeros_like(x), torch.ones_like(x))
        return known(x, sigma)

    return denoise


WRAPPERS: Mapping[str, Callable[[Denoiser], samplers.Denoise]] = {
    "none": lambda denoiser: partial(denoiser, class_labels=LABEL),
    "skip-tuning, guidance in one call": _tuned,
    "autoguidance in an interval, rescaled": _autoguided,
    "skip caching": _cached,
    "FreeU": lambda denoiser: partial(denoiser, join=FreeU(b1=1.1, b2=1.2, s1=0.9, s2=0.2), class_labels=LABEL),
    "capture": _captured,
    "inpainting": _inpainted,
    "dynamic thresholding": lambda denoiser: samplers.dynamically_thresholded(partial(denoiser, class_labels=LABEL)),
}


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a process holds after some calls, garbage collected."""

    calls: int
    resident: int
    tensors: int
    hooks: int

    @classmethod
    def after(cls, calls: int, network: nn.Module) -> "Footprint":
        """Now; `hooks` are those of the network."""
        gc.collect()
        tensors = sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
        hooks = sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.modules())
        return cls(calls=calls, resident=resident(), tensors=tensors, hooks=hooks)


def footprints(denoiser: Denoiser, shape: Sequence[int], points: Sequence[int]) -> Iterator[Footprint]:
    """What is held after so many calls, in ascending order."""
    rotation = zip(cycle(samplers.SAMPLERS.values()), cycle(WRAPPERS.values()))
    for call, (entry, around) in enumerate(tqdm(islice(rotation, points[-1]), total=points[-1], unit="call"), 1):
        noise, sigmas = samplers.PerImageNoise([call], shape), samplers.karras(STEPS)
        samplers.sample(around(denoiser), sigmas[0].float() * noise(), sigmas, entry.make(), noise=noise)
        if call in points:
            yield Footprint.after(call, denoiser.unet)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the footprints and how fast memory grows."""
    options = Options(**parser().parse_args(argv).as_dict())
    if options.quick:
        options = replace(options, calls=10, warmup=8, points=2)
    torch.set_num_threads(options.threads)
    denoiser, info = load_model(None)
    points = np.linspace(options.warmup or 1, options.calls, options.points).round().astype(int).tolist()
    found = list(footprints(denoiser, info.data.shape, points))
    print("| calls | resident MiB | live tensors | hooks |\n|--:|--:|--:|--:|")
    for one in found:
        print(f"| {one.calls} | {one.resident / 2**20:.1f} | {one.tensors} | {one.hooks} |")
    slope, _ = np.polyfit([one.calls / 1000 for one in found], [one.resident / 2**20 for one in found], 1)
    print(f"\n{slope:+.2f} MiB per 1,000 calls")


if __name__ == "__main__":
    main()
