"""Extracting features with the shipped model: against plain hooks, the encoder alone, the bare network, and memory.

python -m benchmarks.features
python -m benchmarks.features --parts "[bare]" --batch 256 --device cuda
python -m benchmarks.features --quick

Candidates take turns, and ratios are formed within a round.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import jsonargparse
import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from benchmarks.peak import count_flops
from benchmarks.resident import peak
from benchmarks.timing import Quartiles, interleaved, ratios
from unetdiff import load_model
from unetdiff.data import PackedDataset
from unetdiff.denoiser import Denoiser
from unetdiff.features.cell import Cell
from unetdiff.features.extraction import Extractor
from unetdiff.features.network_images import NetworkImages
from unetdiff.features.settings import FeatureSettings
from unetdiff.features.store import Values
from unetdiff.features.store_writer import StoreWriter
from unetdiff.features.sweep import Sweep
from unetdiff.features.told import Nothing

__all__ = ["Bench", "Options", "main"]

Part = Literal["hooks", "encoder", "bare", "memory"]
PARTS: tuple[Part, ...] = ("hooks", "encoder", "bare", "memory")
SIGMAS = (0.02, 0.06, 0.2, 0.5, 1.2)
TOLERANCE = 1e-5


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, as `parser` explains."""

    parts: Sequence[Part]
    batch: int
    rounds: int
    sigmas: Sequence[float]
    images: Sequence[int]
    threads: int
    device: str
    quick: bool


def parser() -> jsonargparse.ArgumentParser:
    """An option for each field of `Options`."""
    result = jsonargparse.ArgumentParser(description="Speed and memory of the extraction of features.")
    result.add_argument("--parts", type=list[Part], default=list(PARTS), help="what to measure")
    result.add_argument("--batch", type=PositiveInt, default=16, help="images at a time")
    result.add_argument("--rounds", type=PositiveInt, default=5, help="timed calls of each candidate, in turns")
    result.add_argument("--sigmas", type=list[float], default=list(SIGMAS), help="noise levels of a sweep")
    result.add_argument("--images", type=list[PositiveInt], default=[1000, 4000], help="of the stores of memory")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--device", default="cpu", help="where the network is")
    result.add_argument("--quick", action="store_true", help="few images, to see that it works")
    return result


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A network, and images that it reads."""

    denoiser: Denoiser
    images: Tensor
    sigmas: Sequence[float]

    @classmethod
    def shipped(cls, options: Options) -> "Bench":
        """The shipped model with images of noise, whose content has no influence on the time."""
        denoiser, info = load_model(None, options.device)
        images = torch.rand(options.batch, *info.data.shape, device=options.device) * 2 - 1
        return cls(denoiser=denoiser, images=images, sigmas=options.sigmas)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Their outputs are what is read."""
        return tuple(node.name for node in self.denoiser.unet.nodes)

    @property
    def encoder(self) -> tuple[str, ...]:
        """The nodes before the middle."""
        return tuple(name for name in self.nodes if name.startswith(("conv_in", "down_blocks")))

    def extractor(self, taps: Sequence[str]) -> Extractor:
        """Of these places, with the mean over positions."""
        settings = FeatureSettings(taps=tuple(taps), sigmas=tuple(self.sigmas))
        _, channels, height, width = self.images.shape
        return Extractor(denoiser=self.denoiser, shape=(channels, height, width), settings=settings)

    def extract(self, taps: Sequence[str]) -> dict[Cell, Values]:
        """What `unetdiff features` computes of a batch."""
        rows = np.arange(len(self.images))
        return self.extractor(taps)(self.images, rows, Nothing(unet=self.denoiser.unet)(rows))

    @torch.no_grad()
    def bare(self) -> Tensor:
        """The denoiser alone, once for each noise level; waits for what it computed."""
        condition = Nothing(unet=self.denoiser.unet)(np.arange(len(self.images)))
        outputs = [self.denoiser(self.images, sigma, **condition) for sigma in self.sigmas]
        return torch.stack([output.mean() for output in outputs]).cpu()

    def seconds_in_encoder(self) -> float:
        """Of `bare`: until the last node of the encoder has run, at every noise level."""
        ends: list[float] = []
        starts: list[float] = []
        unet = self.denoiser.unet
        last = unet.get_submodule(self.encoder[-1])
        handles = [
            unet.register_forward_pre_hook(lambda *_: starts.append(time.perf_counter())),
            last.register_forward_hook(lambda *_: ends.append(time.perf_counter())),
        ]
        self.bare()
        for handle in handles:
            handle.remove()
        return sum(ends) - sum(starts)

    @torch.no_grad()
    def hooked(self, noise: Tensor) -> dict[Cell, Tensor]:
        """As public code does it: the whole network once for each layer and noise level, a hook on the layer."""
        condition = Nothing(unet=self.denoiser.unet)(np.arange(len(self.images)))
        found: dict[Cell, Tensor] = {}
        for name in self.nodes:
            for sigma in self.sigmas:
                seen: list[Tensor] = []
                module = self.denoiser.unet.get_submodule(name)
                hook = module.register_forward_hook(lambda _module, _inputs, output, seen=seen: seen.append(output))
                self.denoiser(self.images + sigma * noise, sigma, **condition)
                hook.remove()
                found[Cell(name, sigma)] = seen[0].mean(dim=(2, 3)).cpu()
        return found


def disagreement(ours: Mapping[Cell, Values], theirs: Mapping[Cell, Tensor]) -> float:
    """Greatest difference of features that both have, relative to the greatest feature of its cell."""
    pairs = [(ours[cell], theirs[cell].numpy()) for cell in ours if cell.tap != "conv_norm_out"]  # ours is behind SiLU
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def hooks(bench: Bench, rounds: int) -> None:
    """Print how much faster a full sweep is than with hooks, with the same features."""
    noise = bench.extractor(bench.nodes).noises(np.arange(len(bench.images)))[0].to(bench.images)
    difference = disagreement(bench.extract(bench.nodes), bench.hooked(noise))
    assert difference < TOLERANCE, f"the features differ by {difference}"
    works = {"ours": lambda: bench.extract(bench.nodes), "hooks": lambda: bench.hooked(noise)}
    times = interleaved(works, rounds)
    cells = f"{len(bench.nodes)} nodes x {len(bench.sigmas)} noise levels"
    report(f"full sweep, {cells}: hooks over ours", ratios(times["hooks"], times["ours"]), "x")


def encoder(bench: Bench, rounds: int) -> None:
    """Print what the encoder's features cost, as shares of the whole network and of its encoder."""
    bench.bare()
    share = count_flops(lambda: bench.extract(bench.encoder)) / count_flops(bench.bare)
    print(f"encoder alone: {share:.1%} of the network's operations")
    inside: list[float] = []
    works = {"encoder": lambda: bench.extract(bench.encoder), "bare": lambda: inside.append(bench.seconds_in_encoder())}
    times = interleaved(works, rounds)
    report("encoder alone: time over the whole network's", ratios(times["encoder"], times["bare"]), "")
    report("encoder alone: time over that of the encoder in it", ratios(times["encoder"], inside), "")


def bare(bench: Bench, rounds: int) -> None:
    """Print the throughput of a full sweep, as a share of the bare network's."""
    bench.bare()
    works = {"ours": lambda: bench.extract(bench.nodes), "bare": bench.bare}
    times = interleaved(works, rounds)
    report("full sweep: throughput over the bare network's", ratios(times["bare"], times["ours"]), "")
    print(f"images per second and noise level: {len(bench.images) * len(bench.sigmas) / min(times['ours']):.0f}")


def memory(counts: Sequence[int]) -> None:
    """Print the greatest resident memory of stores of so many images, each in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = [pool.apply(stored, (count,)) for count in counts]
    for count, (resident, size) in zip(counts, peaks, strict=True):
        print(f"a store of {count} images, {size / 2**20:.0f} MiB: {resident / 2**20:.0f} MiB resident at most")


def stored(count: int) -> tuple[int, int]:
    """Extract and store every position of the first feature map; greatest resident memory, and bytes on disk."""
    torch.set_num_threads(1)
    denoiser, info = load_model(None)
    pixels = np.random.default_rng(0).integers(0, 256, (count, *info.data.shape), dtype=np.uint8)
    data = PackedDataset(
        folder=Path(), images=pixels, labels=None, classes=(), captions=None, vectors=None, fingerprint="", unreadable=0
    )
    settings = FeatureSettings(taps=("conv_in",), sigmas=(0.5,), pool="none")
    sweep = Sweep(
        extractor=Extractor(denoiser=denoiser, shape=info.data.shape, settings=settings),
        images=NetworkImages(data=data, info=info.data, codec=None, device=torch.device("cpu")),
        told=Nothing(unet=denoiser.unet),
    )
    manifest = sweep.manifest(weights="", split="train")
    with tempfile.TemporaryDirectory() as folder:
        writer = StoreWriter(Path(folder) / "store", manifest)
        writer.begin()
        sweep.fill(writer, list(writer.missing), batch_size=50)
    return peak(), manifest.bytes


def report(what: str, ratio: Quartiles, unit: str) -> None:
    """Print quartiles of a ratio over rounds."""
    print(f"{what}: {ratio.median:.2f}{unit} ({ratio.low:.2f} to {ratio.high:.2f})", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the parts."""
    options = Options(**parser().parse_args(argv).as_dict())
    if options.quick:
        options = replace(options, batch=2, rounds=1, sigmas=(0.2,), images=(20, 40))
    torch.set_num_threads(options.threads)
    bench = Bench.shipped(options)
    if "hooks" in options.parts:
        hooks(bench, options.rounds)
    if "encoder" in options.parts:
        encoder(bench, options.rounds)
    if "bare" in options.parts:
        bare(bench, options.rounds)
    if "memory" in options.parts:
        memory(options.images)


if __name__ == "__main__":
    main()
