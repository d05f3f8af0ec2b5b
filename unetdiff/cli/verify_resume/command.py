"""The command: train once without interruption and once with kills, compare, report."""

import sys

import jsonargparse
import numpy as np

from unetdiff.cli.train import config_parser, train_config, write_config
from unetdiff.cli.verify_resume.verification import Kill, Verification
from unetdiff.data import PackedDataset
from unetdiff.errors import user_input
from unetdiff.plain import require
from unetdiff.training.config import TrainConfig
from unetdiff.training.images import prepare_images
from unetdiff.training.run_comparison import Comparison, compare_runs
from unetdiff.training.sample_order import sample_order

__all__ = ["parser", "run"]

ROUNDING = 1e-4  # of the loss curve on several processes, relative


def parser() -> jsonargparse.ArgumentParser:
    """The options of a training run, and how it is killed."""
    result = config_parser(
        "Train twice, the second time with SIGKILL at random moments, and compare all that comes out. "
        "Both runs stay in out."
    )
    result.add_argument("--kills", type=int, default=20, help="every second one while a checkpoint is being written")
    result.add_argument("--processes", type=int, default=1, help="processes on this machine that share each batch")
    result.add_argument("--kill_seed", type=int, default=0, help="seed of the moments")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """Exit with status 1 where the two runs differ."""
    args.log_every = 1  # the metrics of every step are compared
    config = train_config(args)
    _check(args, config)
    data = prepare_images(config)  # once, so that no attempt spends its time on it
    settings = config.out / "config.yaml"
    write_config(settings, args)
    verification = Verification(config=config, settings=settings, processes=args.processes)
    print(f"training {config.steps} steps without interruption", file=sys.stderr)
    pace = verification.train_whole()
    print(f"{'kill':>5}{'at step':>9}  {'moment':32}{'resumed from':>12}")
    kills = []
    for kill in verification.train_with_kills(pace, args.kills, np.random.default_rng(args.kill_seed)):
        print(
            f"{kill.number:5}{'-' if kill.step is None else kill.step:>9}  {kill.moment!s:32}{kill.resumed_from:12}",
            flush=True,
        )
        kills.append(kill)
    comparisons = [*compare_runs(verification.whole, verification.killed), _compare_order(verification, data, kills)]
    _report(comparisons)
    _verdict(len(kills), args.kills, comparisons, exact=args.processes == 1)


def _check(args: jsonargparse.Namespace, config: TrainConfig) -> None:
    with user_input():
        for name in ("kills", "processes"):
            require(args[name] >= 1, name, "a positive number", args[name])
        require(args.kill_seed >= 0, "kill_seed", "0 or more", args.kill_seed)
        parts = config.accumulation * args.processes
        expected = f"a multiple of {parts} (accumulation x processes)"
        require(config.batch_size % parts == 0, "batch_size", expected, config.batch_size)
        require(not config.out.exists(), "out", "a folder that does not exist yet", str(config.out))


def _compare_order(verification: Verification, data: PackedDataset, kills: list[Kill]) -> Comparison:
    """The global batches that the two runs drew, by the steps at which they started."""
    starts = [0, *(kill.resumed_from for kill in kills)]
    whole = sample_order(verification.config, data, [0], 1)
    killed = sample_order(verification.config, data, starts, verification.processes)
    equal = whole == killed
    difference = 0.0 if equal else float("inf")
    return Comparison(name="samples and noise of each step", count=len(whole), equal=equal, difference=difference)


def _report(comparisons: list[Comparison]) -> None:
    print(f"\n{'compared':34}{'numbers':>8}  {'':9}{'largest difference':>20}")
    for one in comparisons:
        print(f"{one.name:34}{one.count:8}  {'equal' if one.equal else 'different':9}{one.difference:20.1e}")


def _verdict(made: int, asked: int, comparisons: list[Comparison], *, exact: bool) -> None:
    """On one process, equality of every bit; on several, the order of the samples and the loss curve to rounding."""
    if made < asked:
        print(f"not verified: the run ended after {made} of {asked} kills; give it more --steps")
        sys.exit(1)
    if all(one.equal for one in comparisons):
        print(f"verified: {made} kills changed no bit")
    elif not exact and all(one.difference <= ROUNDING for one in comparisons if _decides(one)):
        print(f"verified: {made} kills changed rounding alone")
    else:
        print(f"not verified: {made} kills changed {', '.join(one.name for one in comparisons if not one.equal)}")
        sys.exit(1)


def _decides(comparison: Comparison) -> bool:
    return comparison.name.endswith("of each step")
