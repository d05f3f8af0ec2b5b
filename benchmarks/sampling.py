"""Sampling with the shipped model: what skip caching saves and costs, what wrappers take, how little the batch matters.

python -m benchmarks.sampling
python -m benchmarks.sampling --parts "[caching]" --images 200 --steps "[5,9,18]" --intervals "[1,2,3]"
python -m benchmarks.sampling --quick

Image i has seed i and class i modulo the classes, whatever the setting; settings take turns.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, product
from statistics import median
from typing import Any, Literal

import jsonargparse
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

import samplers
from benchmarks.peak import count_flops
from benchmarks.timing import Quartiles, Work, seconds
from unetdiff import load_model
from unetdiff.caching import cached
from unetdiff.denoiser import Denoiser
from unetdiff.evaluation.classifier import load_classifier
from unetdiff.evaluation.consistency import class_consistency
from unetdiff.nn.class_embedding import NULL_CLASS
from unetdiff.skips import Linear, skip_tuned, suited_to
from unetdiff.unet import UNet
from unetdiff.walk import SkipCache

__all__ = ["CASES", "Case", "Options", "batch_differences", "cached_share", "main", "parser"]

Part = Literal["caching", "overhead", "exactness"]
PARTS: tuple[Part, ...] = ("caching", "overhead", "exactness")
SHAPE, CLASSES = (1, 28, 28), 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, as `parser` explains."""

    parts: Sequence[Part]
    images: int
    batch: int
    sampler: str
    steps: Sequence[int]
    intervals: Sequence[int]
    skips: Sequence[str]
    rounds: int
    threads: int
    quick: bool


def parser() -> jsonargparse.ArgumentParser:
    """An option for each field of `Options`."""
    result = jsonargparse.ArgumentParser(description="Skip caching, overhead and exactness of sampling, on the CPU.")
    result.add_argument("--parts", type=list[Part], default=list(PARTS), help="what to measure")
    result.add_argument("--images", type=PositiveInt, default=200, help="of each setting of caching")
    result.add_argument("--batch", type=PositiveInt, default=50, help="images at a time")
    result.add_argument("--sampler", default="dpmpp-2m", choices=list(samplers.SAMPLERS), help="that caching serves")
    result.add_argument("--steps", type=list[PositiveInt], default=[5, 7, 9, 13, 18], help="numbers of steps")
    result.add_argument("--intervals", type=list[PositiveInt], default=[2, 3], help="calls of which one is in full")
    result.add_argument(
        "--skips", type=list[str], default=["down_blocks.0.resnets.0", "down_blocks.1.resnets.0"], help="to cut at"
    )
    result.add_argument("--rounds", type=PositiveInt, default=20, help="of timing the overhead")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--quick", action="store_true", help="few images and steps, to see that it works")
    return result


@dataclass(frozen=True, kw_only=True)
class Case:
    """What decides how noise becomes an image, given the denoiser."""

    sampler: samplers.Sampler[Any]
    steps: int = 18
    churn: samplers.Churn | None = None

    def images(self, denoiser: Callable[..., Tensor], seeds: Sequence[int]) -> Tensor:
        """(len(seeds), *SHAPE)."""
        noise, sigmas = samplers.PerImageNoise(seeds, SHAPE), samplers.karras(self.steps)
        denoise = partial(denoiser, class_labels=labels_of(seeds))
        x = sigmas[0].float() * noise()
        return samplers.sample(denoise, x, sigmas, self.sampler, noise=noise, churn=self.churn)


CASES: Mapping[str, Case] = {
    "heun": Case(sampler=samplers.Heun()),
    "heun, churn": Case(sampler=samplers.Heun(), churn=samplers.Churn(S_churn=20.0, S_noise=1.007)),
    "unipc": Case(sampler=samplers.UniPC()),
    "dpmpp-2m-sde, eta 0": Case(sampler=samplers.DPMSolverPP2MSDE(eta=0.0)),
    "dpmpp-2m-sde": Case(sampler=samplers.DPMSolverPP2MSDE()),
}
FINE = CASES["heun"]

TIMED = ("euler", "heun", "dpmpp-2m", "dpmpp-2m-sde", "unipc")
"""Samplers whose overhead is measured."""


def labels_of(seeds: Sequence[int]) -> Tensor:
    """(len(seeds),)."""
    return torch.tensor([seed % CLASSES for seed in seeds])


def batches(images: int, size: int) -> Iterator[range]:
    """Seeds 0 to images - 1, cut into batches."""
    return (range(first, min(first + size, images)) for first in range(0, images, size))


@torch.no_grad()
def cached_share(unet: UNet, skip: str) -> float:
    """Operations of a call that reuses what is inside the skip, over those of a full one."""
    x, labels, cache = torch.zeros(1, *SHAPE), labels_of([0]), SkipCache(skip=skip)
    full, reusing = (count_flops(lambda: unet(x, 0.0, class_labels=labels, skip_cache=cache)) for _ in range(2))
    return reusing / full


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Skip caching in a run; without a skip there is none."""

    case: Case
    interval: int = 1
    skip: str | None = None

    def work(self, unet: UNet) -> float:
        """Operations for an image, in full network calls."""
        calls = self.case.sampler.network_calls(samplers.karras(self.case.steps))
        full = -(-calls // self.interval)
        return full if self.skip is None else full + (calls - full) * cached_share(unet, self.skip)

    def images(self, denoiser: Denoiser, seeds: Sequence[int]) -> Tensor:
        """(len(seeds), *SHAPE)."""
        return self.case.images(cached(denoiser, self.interval, self.skip) if self.skip else denoiser, seeds)


def settings(options: Options) -> list[Setting]:
    """Plain sampling first, then cached, by skip and interval."""
    sampler = samplers.SAMPLERS[options.sampler].make()
    cases = [Case(sampler=sampler, steps=steps) for steps in options.steps]
    products = product(options.skips, options.intervals, cases)
    return [Setting(case=case) for case in cases] + [
        Setting(case=case, interval=interval, skip=skip) for skip, interval, case in products
    ]


def caching(denoiser: Denoiser, options: Options) -> None:
    """Print work, speed, class consistency and the distance to the images of a fine run, setting by setting."""
    classifier, accuracy = load_classifier()
    labels = labels_of(range(options.images))
    taken: dict[Setting, list[float]] = {setting: [] for setting in settings(options)}
    made: dict[Setting, list[Tensor]] = {setting: [] for setting in taken}
    wanted: list[Tensor] = []
    for seeds in batches(options.images, options.batch):
        wanted.append(FINE.images(denoiser, seeds))
        for setting, times in taken.items():
            began = time.perf_counter()
            made[setting].append(setting.images(denoiser, seeds))
            times.append((time.perf_counter() - began) / len(seeds))
    for skip in options.skips:
        print(f"a cached call at {skip}: {cached_share(denoiser.unet, skip):.1%} of a full call's operations\n")
    print(f"the classifier knows {accuracy:.1%} of real images; rms: of the difference to Heun's 18 steps\n")
    print(f"| {options.sampler}, steps | interval | skip | full calls | images/s | class consistency | rms |")
    print("|--:|--:|---|--:|--:|--:|--:|")
    for setting, times in taken.items():
        images = torch.cat(made[setting])
        consistency = class_consistency(images.clamp(-1, 1), labels, classifier).share
        rms = (images - torch.cat(wanted)).square().mean().sqrt()
        print(
            f"| {setting.case.steps} | {setting.interval} | {setting.skip or '-'} | {setting.work(denoiser.unet):.1f} "
            f"| {1 / Quartiles.of(times).median:.2f} | {consistency:.1%} | {rms:.3f} |"
        )


def sampling_of_one(denoiser: Denoiser, sampler: samplers.Sampler[Any], steps: int) -> dict[str, tuple[Work, Work]]:
    """What makes one image and the network calls alone that it takes, by what is around the network."""
    sigmas = samplers.karras(steps)
    condition, none = {"class_labels": torch.tensor([3])}, {"class_labels": torch.tensor([NULL_CLASS])}
    tuned = skip_tuned(denoiser, Linear(rho_bottom=0.9), suited_to(denoiser.preconditioning))
    guided = samplers.guided_in_one_call(tuned, condition, none, samplers.Guidance(weight=1.5))

    def run(denoise: samplers.Denoise) -> None:
        noise = samplers.PerImageNoise([0], SHAPE)
        samplers.sample(denoise, sigmas[0].float() * noise(), sigmas, sampler, noise=noise)

    @torch.no_grad()
    def bare(labels: list[int]) -> None:
        x, timestep, class_labels = torch.randn(len(labels), *SHAPE), torch.tensor(0.5), torch.tensor(labels)
        for _ in range(sampler.network_calls(sigmas)):
            denoiser.unet(x, timestep, class_labels=class_labels, return_dict=False)

    return {
        "driver": (partial(run, partial(denoiser, **condition)), partial(bare, [3])),
        "driver, guidance, skip-tuning, thresholding": (
            partial(run, samplers.dynamically_thresholded(guided)),
            partial(bare, [3, NULL_CLASS]),
        ),
    }


@contextmanager
def clocked(unet: UNet) -> Iterator[list[float]]:
    """When the network's calls began and ended, in turns, while the context lasts."""
    marks: list[float] = []
    before = unet.register_forward_pre_hook(lambda *_: marks.append(time.perf_counter()))
    after = unet.register_forward_hook(lambda *_: marks.append(time.perf_counter()))
    try:
        yield marks
    finally:
        before.remove()
        after.remove()


def between(marks: Sequence[float]) -> float:
    """Time from one network call to the next over time in one, medians, which a machine's other work moves less."""
    spans = [later - earlier for earlier, later in pairwise(marks)]
    return median(spans[1::2]) / median(spans[::2])


def overheads(unet: UNet, run: Work, bare: Work) -> tuple[float, float]:
    """What sampling takes beside its network calls, over a call; and more than as many made alone, over these."""
    with clocked(unet) as marks:
        total = seconds(run)
    return between(marks), total / seconds(bare) - 1


def overhead(denoiser: Denoiser, rounds: int, steps: int) -> None:
    """Print the overheads of one image, by sampler and by what is around the network."""
    print(
        "\n| sampler | around the network | between calls, over a call | over network calls alone |\n|---|---|--:|--:|"
    )
    for name in TIMED:
        works = sampling_of_one(denoiser, samplers.SAMPLERS[name].make(), steps)
        for around, (run, bare) in works.items():
            run()
            measured = [overheads(denoiser.unet, run, bare) for _ in range(rounds)]
            quartiles = map(Quartiles.of, zip(*measured, strict=True))
            cells = (f"{q.median:.2%} ({q.low:.2%} to {q.high:.2%})" for q in quartiles)
            print(f"| {name} | {around} | {' | '.join(cells)} |", flush=True)


def batch_differences(denoiser: Callable[..., Tensor], case: Case, images: int, sizes: Sequence[int]) -> list[float]:
    """Greatest difference of any pixel to the images that are made one at a time, by batch size."""
    alone, *others = (
        torch.cat([case.images(denoiser, seeds) for seeds in batches(images, size)]) for size in (1, *sizes)
    )
    return [float((other - alone).abs().max()) for other in others]


def exactness(denoiser: Denoiser, images: int, sizes: Sequence[int], steps: int) -> None:
    """Print the differences of every case, each image having its own noise."""
    print(f"\n| {images} images, {steps} steps | {' | '.join(f'batch {size} against 1' for size in sizes)} |")
    print("|---|" + "--:|" * len(sizes))
    for name, case in CASES.items():
        differences = batch_differences(denoiser, replace(case, steps=steps), images, sizes)
        print(f"| {name} | {' | '.join(f'{difference:.1e}' for difference in differences)} |", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each part."""
    options = Options(**parser().parse_args(argv).as_dict())
    if options.quick:
        options = replace(options, images=2, batch=1, steps=(2,), intervals=(2,), rounds=1)
    torch.set_num_threads(options.threads)
    denoiser, _ = load_model(None)
    if "caching" in options.parts:
        caching(denoiser, options)
    if "overhead" in options.parts:
        overhead(denoiser, options.rounds, steps=2 if options.quick else 18)
    if "exactness" in options.parts:
        exactness(denoiser, *((2, (2,), 2) if options.quick else (64, (7, 64), 18)))


if __name__ == "__main__":
    main()
