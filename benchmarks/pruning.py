"""Scoring the removal of every part of a network in one pass, against running as many pruned networks.

python -m benchmarks.pruning
python -m benchmarks.pruning --networks "[sd15]" --batch 2 --rounds 3
python -m benchmarks.pruning --quick

A ratio is our time over the naive one's within a round. The naive way runs the whole network and each pruned one,
which were made before; operations are counted too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import jsonargparse
import numpy as np
import torch
from jsonargparse.typing import PositiveInt
from torch import Tensor

from benchmarks.layouts import randomise
from benchmarks.peak import count_flops
from benchmarks.timing import interleaved, ratios
from unetdiff import load_model
from unetdiff.denoiser import Condition, Denoiser
from unetdiff.losses import continuing_objective
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import Epsilon
from unetdiff.presets import sd15
from unetdiff.prune import prune
from unetdiff.prune.calibration import Calibration
from unetdiff.prune.forked import outputs_without
from unetdiff.prune.parts import Part, parts_of
from unetdiff.unet import UNet

__all__ = ["main"]

Network = Literal["shipped", "sd15"]
TOLERANCE = 1e-5


def parser() -> jsonargparse.ArgumentParser:
    """What to measure."""
    result = jsonargparse.ArgumentParser(description="Time of scoring the removal of all parts of a network.")
    result.add_argument("--networks", type=list[Network], default=["shipped", "sd15"], help="which are scored")
    result.add_argument("--batch", type=PositiveInt, default=4, help="images at a time")
    result.add_argument("--rounds", type=PositiveInt, default=5, help="timed calls of each candidate, in turns")
    result.add_argument("--shrink", type=PositiveInt, default=4, help="divides the widths of sd15")
    result.add_argument("--size", type=PositiveInt, default=32, help="edge of sd15's latents")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--device", default="cpu", help="where the network is")
    result.add_argument("--quick", action="store_true", help="few and small, to see that it works")
    return result


def shipped(batch: int, device: str) -> tuple[Denoiser, Calibration]:
    """The shipped model, with images of noise, whose content has no influence on the time."""
    denoiser, info = load_model(None, device)
    labels = torch.arange(batch, device=device) % 10
    return denoiser, calibration(denoiser, (batch, *info.data.shape), {"class_labels": labels}, device)


def small_sd15(batch: int, device: str, shrink: int, size: int) -> tuple[Denoiser, Calibration]:
    """Stable Diffusion 1.5's layout at a part of its widths, with random weights."""
    whole = sd15()
    levels = tuple(replace(level, channels=level.channels // shrink) for level in whole.levels)
    config = replace(whole, levels=levels, cross_attention_dim=64, resnet=replace(whole.resnet, norm_groups=8))
    unet = UNet(config).eval()
    randomise(unet)
    denoiser = Denoiser(unet, Epsilon(schedule=DiscreteSchedule(kind="scaled_linear"))).to(device)
    context = torch.randn(batch, 77, 64, device=device)
    return denoiser, calibration(denoiser, (batch, 4, size, size), {"encoder_hidden_states": context}, device)


def calibration(denoiser: Denoiser, shape: tuple[int, ...], condition: Condition, device: str) -> Calibration:
    """A batch of random images."""
    quantile = continuing_objective(denoiser.preconditioning).sigma
    images = torch.randn(shape, device=device)
    return Calibration.spread(images, np.arange(shape[0]), condition, quantile, batch_size=shape[0])


@torch.no_grad()
def outputs(networks: Mapping[str, Denoiser], batch: Calibration) -> dict[str, Tensor]:
    """The naive way: each network from its start."""
    return {name: network.output(batch.x, batch.sigma, **batch.condition) for name, network in networks.items()}


def without_each(denoiser: Denoiser, parts: Sequence[Part]) -> dict[str, Denoiser]:
    """The network, under no name, and those without a part."""
    pruned = {part.name: prune(denoiser.unet, {part.name: part.way}) for part in parts}
    return {"": denoiser, **{name: Denoiser(unet, denoiser.preconditioning) for name, unet in pruned.items()}}


def report(name: str, denoiser: Denoiser, batch: Calibration, rounds: int) -> None:
    """Print how the two ways compare, after a look at whether they give the same."""
    parts = parts_of(denoiser.unet)
    networks = without_each(denoiser, parts)
    naive, (_, ours) = outputs(networks, batch), outputs_without(denoiser, parts, batch)
    difference = max(float((ours[part] - naive[part]).abs().max() / naive[part].abs().max()) for part in ours)
    assert difference < TOLERANCE, f"the outputs differ by {difference}"
    works = {"forked": lambda: outputs_without(denoiser, parts, batch), "naive": lambda: outputs(networks, batch)}
    operations = count_flops(works["forked"]) / count_flops(works["naive"])
    times = interleaved(works, rounds)
    ratio = ratios(times["forked"], times["naive"])
    print(f"{name}, {len(parts)} parts: {operations:.3f} of the operations, greatest difference {difference:.0e}")
    print(f"{name}: {ratio.median:.3f} of the time ({ratio.low:.3f} to {ratio.high:.3f})", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the ratios of each network."""
    options = parser().parse_args(argv)
    batch, rounds, size = (1, 1, 8) if options.quick else (options.batch, options.rounds, options.size)
    shrink = 40 if options.quick else options.shrink
    torch.set_num_threads(options.threads)
    if "shipped" in options.networks:
        report("shipped", *shipped(batch, options.device), rounds)
    if "sd15" in options.networks:
        report("sd15", *small_sd15(batch, options.device, shrink, size), rounds)


if __name__ == "__main__":
    main()
