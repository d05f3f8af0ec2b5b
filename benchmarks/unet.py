"""Our U-Net against diffusers' UNet2DModel with the same weights, interleaved in one process, on the CPU.

python -m benchmarks.unet --out benchmark.json
python -m benchmarks.unet --rounds 10 --batches 8 --threads 2 --eager_only
python -m benchmarks.unet --quick

A ratio is the time of diffusers' eager network over that of the row's, within a round: above 1, the row is faster.
"""

import json
import platform
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import diffusers
import jsonargparse
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.agreement import disagreement, randomise_zeros_
from benchmarks.peak import convolution_peak, count_flops
from benchmarks.timing import Quartiles, Work, cold_compiler, interleaved, ratios, seconds
from unetdiff.atomic import replacing
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, UNetConfig
from unetdiff.presets import ddpm_cifar10
from unetdiff.unet import UNet

__all__ = ["Options", "Row", "main"]

OURS, THEIRS = "unetdiff eager", "diffusers eager"
TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, as `parser` explains."""

    rounds: int
    batches: Sequence[int]
    threads: int
    eager_only: bool
    compile_diffusers: bool
    quick: bool
    out: Path | None


def parser() -> jsonargparse.ArgumentParser:
    """An option for each field of `Options`."""
    result = jsonargparse.ArgumentParser(description="Our U-Net against diffusers' with the same weights, on the CPU.")
    result.add_argument("--rounds", type=PositiveInt, default=20, help="timed calls of each candidate, in turns")
    result.add_argument("--batches", type=PositiveInt, nargs="+", default=[1, 8], help="numbers of images per call")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--eager_only", action="store_true", help="leave out our network compiled block by block")
    result.add_argument(
        "--compile_diffusers", action="store_true", help="compile theirs as a whole, too: takes minutes"
    )
    result.add_argument("--quick", action="store_true", help="one round of a tiny eager network, to see that it works")
    result.add_argument("--out", type=Path, help="JSON file for the results")
    return result


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate at one task.

    `ratio` is over diffusers' eager network, `peak_share` the speed relative to the fastest convolution, and
    `first_call_s` contains the compilation.
    """

    task: str
    batch: int
    network: str
    median_s: float
    ratio: Quartiles
    gflops: float
    peak_share: float
    first_call_s: float


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A noisy image and what the network is to make of it, (N, C, H, W), at timesteps (N,)."""

    x: Tensor
    target: Tensor
    timestep: Tensor

    @classmethod
    def random(cls, config: UNetConfig, batch: int) -> "Inputs":
        """Standard normal images."""
        assert config.image_size is not None
        x, target = torch.randn(2, batch, config.in_channels, *config.image_size)
        return cls(x=x, target=target, timestep=torch.randint(1000, (batch,)))

    def channels_last(self) -> "Inputs":
        """The same numbers with the channels of a pixel side by side."""
        return replace(self, x=self.x.to(memory_format=torch.channels_last))


def forward(network: nn.Module, inputs: Inputs) -> Work:
    """Inference."""
    network.eval()

    @torch.no_grad()
    def work() -> object:
        return network(inputs.x, inputs.timestep, return_dict=False)

    return work


def training_step(network: nn.Module, inputs: Inputs) -> Work:
    """Forward with dropout, squared error, backward, AdamW."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)

    def work() -> None:
        output = network(inputs.x, inputs.timestep, return_dict=False)[0]
        torch.autograd.backward(F.mse_loss(output, inputs.target))
        optimizer.step()
        optimizer.zero_grad()

    return work


TASKS = {"forward": forward, "training step": training_step}


def candidates(source: UNet, inputs: Inputs, options: Options) -> Iterator[tuple[str, nn.Module, Inputs]]:
    """Networks with the weights of `source`, each with what it is called with; ours and theirs come first."""
    yield OURS, deepcopy(source), inputs
    yield THEIRS, deepcopy(source).to_diffusers(), inputs
    nearby = deepcopy(source).to(memory_format=torch.channels_last)
    yield f"{OURS}, channels_last", nearby, inputs.channels_last()
    if not options.eager_only:
        compiled = deepcopy(source)
        compiled.compile_blocks()
        yield "unetdiff compiled", compiled, inputs
        nearby = deepcopy(source).to(memory_format=torch.channels_last)
        nearby.compile_blocks()
        yield "unetdiff compiled, channels_last", nearby, inputs.channels_last()
    if options.compile_diffusers:
        whole = deepcopy(source).to_diffusers()
        whole.compile(dynamic=False)
        yield "diffusers compiled", whole, inputs


def measure(source: UNet, task: str, batch: int, peak: float, options: Options) -> list[Row]:
    """All candidates at one task; `peak` is in operations per second."""
    inputs = Inputs.random(source.config, batch)
    with cold_compiler():
        works = {name: TASKS[task](network, its) for name, network, its in candidates(source, inputs, options)}
        flops = count_flops(works[OURS])
        first = {name: seconds(work) for name, work in works.items()}
        interleaved(works, rounds=1)
        times = interleaved(works, options.rounds)
    medians = {name: Quartiles.of(taken).median for name, taken in times.items()}
    return [
        Row(
            task=task,
            batch=batch,
            network=name,
            median_s=medians[name],
            ratio=ratios(times[THEIRS], taken),
            gflops=flops / medians[name] / 1e9,
            peak_share=flops / medians[name] / peak,
            first_call_s=first[name],
        )
        for name, taken in times.items()
    ]


def tiny() -> UNetConfig:
    """Every kind of node of the measured network, small enough for a test."""
    attention = AttentionConfig()
    return replace(
        ddpm_cifar10(),
        sample_size=(8, 8),
        levels=(LevelConfig(channels=32), LevelConfig(channels=32, attention=attention)),
        mid=MidConfig(attention=attention),
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [
        "| task | batch | network | median | times diffusers eager | GFLOP/s | of peak | first call |",
        "|---|--:|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.task} | {row.batch} | {row.network} | {1e3 * row.median_s:.1f} ms "
        f"| {row.ratio.median:.2f} ({row.ratio.low:.2f} to {row.ratio.high:.2f}) "
        f"| {row.gflops:.0f} | {row.peak_share:.0%} | {row.first_call_s:.1f} s |"
        for row in rows
    ]
    return "\n".join(lines)


def run(options: Options) -> list[Row]:
    """Check that the networks agree, then measure."""
    torch.manual_seed(0)
    source = UNet(tiny() if options.quick else ddpm_cifar10()).eval()
    randomise_zeros_(source)
    inputs = Inputs.random(source.config, batch=2)
    difference = disagreement(source, source.to_diffusers(), inputs.x, inputs.timestep)
    assert difference <= TOLERANCE, f"the networks differ by {difference:.1e} of the output, expected {TOLERANCE:.0e}"
    print(f"outputs agree to {difference:.1e} of their greatest value", file=sys.stderr)
    rows = []
    for batch in options.batches:
        peak = convolution_peak(source.config, batch, repeats=options.rounds)
        print(f"batch {batch}: the fastest 3x3 convolution makes {peak / 1e9:.0f} GFLOP/s", file=sys.stderr)
        for task in TASKS:
            rows += measure(source, task, batch, peak, options)
    return rows


def main(argv: Sequence[str] | None = None) -> list[Row]:
    """Print the table, and write it where `--out` says."""
    options = Options(**parser().parse_args(argv).as_dict())
    if options.quick:
        options = replace(options, rounds=1, batches=(1,), eager_only=True, compile_diffusers=False)
    torch.set_num_threads(options.threads)
    rows = run(options)
    print(table(rows))
    if options.out is not None:
        setting = {
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "machine": platform.machine(),
            "threads": options.threads,
            "rounds": options.rounds,
        }
        with replacing(options.out) as staged:
            staged.write_text(json.dumps({**setting, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    return rows


if __name__ == "__main__":
    main()
