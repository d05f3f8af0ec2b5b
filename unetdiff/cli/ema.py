"""`unetdiff ema`: which averages of the weights a run has stored, and any other width made of them."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import jsonargparse

from unetdiff.ema_reconstruction import Combination, Profile, combine, reconstruct
from unetdiff.errors import InputError, user_input
from unetdiff.model_folder import ModelInfo, load_model, save_model
from unetdiff.model_info import JSON
from unetdiff.training.averages.power import require_width
from unetdiff.training.averages.snapshots import Snapshot, find_snapshots
from unetdiff.training.run_folder import RunFolder

__all__ = ["parser", "run"]


def parser() -> jsonargparse.ArgumentParser:
    """Build the parser."""
    result = jsonargparse.ArgumentParser(
        description="List the stored averages of a run, or make a model of an average that was not stored."
    )
    result.add_argument("run", type=Path, help="run folder of a training with a PowerEMA and snapshots")
    result.add_argument("--width", type=float | None, help="width sigma_rel to make, such as 0.08; without it: list")
    result.add_argument("--step", type=int | None, help="optimiser step that the average ends at; the last one stored")
    result.add_argument("--out", type=Path | None, help="model folder to write")
    return result


def run(args: jsonargparse.Namespace) -> None:
    """List the snapshots, or reconstruct a width from them."""
    folder = RunFolder(args.run)
    stored = _stored(folder)
    if args.width is None and args.out is None:
        _list(stored)
    else:
        target = _target(args, stored)
        used = [snapshot for snapshot in stored if snapshot.step <= target.step]
        combination = combine([Profile(width=one.width, step=one.step) for one in used], target)
        _make_model(folder, used, target, combination, args.out)
        print(f"{args.out}: width {target.width:g} after {target.step} steps, of {len(used)} stored averages")
        print(f"its profile is met to {combination.error:.2%}")


def _stored(folder: RunFolder) -> list[Snapshot]:
    stored = find_snapshots(folder.averages)
    if not stored:
        raise InputError(
            f"{folder.root}: expected a run folder with stored averages, got none; "
            "train with --ema PowerEMA and ema.snapshot_every above 0"
        )
    return stored


def _list(stored: Sequence[Snapshot]) -> None:
    print(f"{'step':>9}  {'widths':24}{'stored as':12}{'MB':>8}")
    for step, group in groupby(stored, key=lambda snapshot: snapshot.step):
        snapshots = list(group)
        widths = ", ".join(f"{snapshot.width:g}" for snapshot in snapshots)
        dtypes = ", ".join(sorted({snapshot.dtype for snapshot in snapshots}))
        size = sum(snapshot.path.stat().st_size for snapshot in snapshots) / 1e6
        print(f"{step:9}  {widths:24}{dtypes:12}{size:8.1f}")


def _target(args: jsonargparse.Namespace, stored: Sequence[Snapshot]) -> Profile:
    """What is asked for; InputError where it cannot be made."""
    if args.width is None or args.out is None:
        raise InputError(f"expected both width and out, got only {'out' if args.width is None else 'width'}")
    with user_input():
        require_width(args.width, "width")
    first, last = stored[0].step, stored[-1].step
    step = last if args.step is None else args.step
    if not first <= step <= last:
        raise InputError(f"step: expected one from {first} to {last}, as the stored averages are, got {step}")
    if args.out.exists() and not (args.out / "denoiser.json").is_file():
        raise InputError(f"out: expected a new folder, or a model folder to replace, got {args.out}")
    return Profile(width=args.width, step=step)


def _make_model(
    folder: RunFolder, used: Sequence[Snapshot], target: Profile, combination: Combination, out: Path
) -> None:
    denoiser, info = load_model(folder.model)
    unet = denoiser.unet
    unet.load_state_dict(reconstruct(used, combination.factors, unet.state_dict()))
    save_model(out, unet, _info(info, target))


def _info(info: ModelInfo, target: Profile) -> ModelInfo:
    """The model's description as of the step of the average."""
    batch_size = info.training["batch size"]
    assert isinstance(batch_size, int)
    facts: dict[str, JSON] = {
        "optimiser steps": target.step,
        "images": target.step * batch_size,
        "average": f"power function of width {target.width:g}, reconstructed",
    }
    return replace(info, training={**info.training, **facts})
