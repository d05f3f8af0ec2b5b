"""Gradient checkpointing: how much memory it saves in a training step, and what the recomputation costs.

python -m benchmarks.checkpointing --out checkpointing.json
python -m benchmarks.checkpointing --quick

Memory is the peak of forward and backward pass beside weights, and together with weights, AdamW's moments and an
average. A time ratio is formed within a round of processor times, which other processes do not change.
"""

import json
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import jsonargparse
import torch
from jsonargparse.typing import PositiveInt

from benchmarks.timing import Quartiles, Work, ratios
from unetdiff.atomic import replacing
from unetdiff.config import AttentionConfig, LevelConfig, MidConfig, UNetConfig
from unetdiff.presets import ddpm_cifar10
from unetdiff.tables import in_bytes, table
from unetdiff.training.peak_memory import peak_memory
from unetdiff.unet import UNet

__all__ = ["Row", "main"]

STATE_COPIES = 4  # weights, two moments, one average; the gradient is in the peak
ATTENTION = AttentionConfig(head_channels=32)
TINY = UNetConfig(
    in_channels=1,
    out_channels=1,
    sample_size=(28, 28),
    levels=(LevelConfig(channels=32, depth=2), LevelConfig(channels=64, depth=2, attention=ATTENTION)),
    mid=MidConfig(attention=ATTENTION),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network at a batch: bytes without and with checkpointing, and what becomes of memory and time."""

    network: str
    batch: int
    plain_bytes: int
    checkpointed_bytes: int
    memory_ratio: float
    memory_ratio_with_state: float
    time_ratio: Quartiles


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every network and print a table."""
    parser = jsonargparse.ArgumentParser(description="Memory and time of gradient checkpointing, on the CPU.")
    parser.add_argument("--rounds", type=PositiveInt, default=5, help="timed steps of each kind, in turns")
    parser.add_argument("--batch", type=PositiveInt, default=16)
    parser.add_argument("--quick", action="store_true", help="the tiny network alone")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args(argv)
    networks = {"tiny": TINY} if args.quick else {"tiny": TINY, "ddpm_cifar10": replace(ddpm_cifar10(), sample_size=32)}
    rows = [_measure(name, config, args.batch, args.rounds) for name, config in networks.items()]
    headings = ("network", "batch", "plain", "checkpointed", "memory", "with state", "time")
    print(table([headings, *map(_cells, rows)], left_aligned=[0]))
    if args.out is not None:
        with replacing(args.out) as staged:
            staged.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    return 0


def _measure(name: str, config: UNetConfig, batch: int, rounds: int) -> Row:
    torch.manual_seed(0)
    plain = UNet(config).train()
    checkpointed = deepcopy(plain)
    checkpointed.enable_gradient_checkpointing()
    works = [_gradient(unet, config, batch) for unet in (plain, checkpointed)]
    before, after = (peak_memory(work, torch.device("cpu")) for work in works)
    times = [[_processor_seconds(work) for work in works] for _ in range(rounds)]
    state = STATE_COPIES * sum(parameter.nbytes for parameter in plain.parameters())
    return Row(
        network=name,
        batch=batch,
        plain_bytes=before,
        checkpointed_bytes=after,
        memory_ratio=after / before,
        memory_ratio_with_state=(after + state) / (before + state),
        time_ratio=ratios([pair[1] for pair in times], [pair[0] for pair in times]),
    )


def _gradient(unet: UNet, config: UNetConfig, batch: int) -> Work:
    """Forward and backward pass; the gradient goes, so that every call is alike."""
    assert config.image_size is not None
    x, timestep = torch.randn(batch, config.in_channels, *config.image_size), torch.zeros(batch)

    def work() -> None:
        output = unet(x, timestep, return_dict=False)[0]
        torch.autograd.backward(output.square().mean())
        unet.zero_grad()

    return work


def _processor_seconds(work: Work) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _cells(row: Row) -> tuple[str, ...]:
    sizes = (in_bytes(row.plain_bytes), in_bytes(row.checkpointed_bytes))
    shares = (row.memory_ratio, row.memory_ratio_with_state, row.time_ratio.median)
    return (row.network, str(row.batch), *sizes, *(f"{share:.2f}" for share in shares))


if __name__ == "__main__":
    raise SystemExit(main())
