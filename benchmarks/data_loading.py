"""How much of training waits for data: the time to make a batch against that of an optimiser step on it.

python -m benchmarks.data_loading
python -m benchmarks.data_loading --config configs/fashion-mnist.yaml --rounds 10

The share is that of a run without workers, produce / (produce + step). Workers prepare batches beside the steps, and
where there is a core to spare, less is left of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jsonargparse
import torch
from jsonargparse.typing import PositiveInt

from benchmarks.run_step import RunStep
from benchmarks.timing import Quartiles, Work, interleaved
from unetdiff.cli import train
from unetdiff.data import Batch, prepare
from unetdiff.training.config import TrainConfig

__all__ = ["Waiting", "main"]


def parser() -> jsonargparse.ArgumentParser:
    """What to measure."""
    result = jsonargparse.ArgumentParser(description="How much of training waits for data.")
    result.add_argument(
        "--config",
        type=Path,
        default=Path("configs/fashion-mnist.yaml"),
        help="the run whose data, network, batch to take",
    )
    result.add_argument("--rounds", type=PositiveInt, default=20, help="batches and steps that are timed, in turns")
    result.add_argument("--threads", type=PositiveInt, default=torch.get_num_threads(), help="of torch")
    result.add_argument("--quick", action="store_true", help="one round with four images, to see that it works")
    return result


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Medians over rounds, in seconds; `share` with its quartiles is that of data in their sum."""

    produce_s: float
    step_s: float
    share: Quartiles


def measure(config: TrainConfig, rounds: int) -> Waiting:
    """Make batches and train on them in turns, as `unetdiff train` does without workers."""
    run, batches = RunStep(config, prepare(config.data)), list[Batch]()
    works: dict[str, Work] = {"produce": lambda: batches.append(run.batch()), "step": lambda: run.make(batches.pop())}
    interleaved(works, rounds=1)
    times = interleaved(works, rounds)
    shares = [made / (made + used) for made, used in zip(times["produce"], times["step"], strict=True)]
    return Waiting(
        produce_s=Quartiles.of(times["produce"]).median,
        step_s=Quartiles.of(times["step"]).median,
        share=Quartiles.of(shares),
    )


def main(argv: Sequence[str] | None = None) -> Waiting:
    """Print one line."""
    options = parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    config, rounds = train.train_config(train.parser().parse_args(["--config", str(options.config)])), options.rounds
    if options.quick:
        config, rounds = replace(config, batch_size=4), 1
    waiting = measure(config, rounds)
    print(
        f"{config.batch_size} images: {1e3 * waiting.produce_s:.1f} ms to make the batch, {waiting.step_s:.3f} s for "
        f"the step: data is {waiting.share.median:.1%} ({waiting.share.low:.1%} to {waiting.share.high:.1%})"
    )
    return waiting


if __name__ == "__main__":
    main()
