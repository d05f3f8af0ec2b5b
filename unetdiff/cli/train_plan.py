"""The plan of a training run as text: a paragraph for each question that one has before starting it."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from unetdiff.data import PackedDataset
from unetdiff.describe import costs, costs_of_levels
from unetdiff.tables import in_bytes, in_thousands, table
from unetdiff.training.config import TrainConfig
from unetdiff.training.plan import Plan

__all__ = ["plan_text"]

LEVEL_HEADINGS = ("level", "size", "tokens", "parameters", "MACs", "share")


def plan_text(plan: Plan, data: PackedDataset, start: Path | None) -> str:
    """Everything about the run, a line or a small table for each heading."""
    paragraphs = {
        "network": _network(plan, data),
        "data": [_data(plan.config, data)],
        "batch": [_batch(plan)],
        "length": [_length(plan, data)],
        "start": ["at the beginning" if start is None else f"at step {plan.step}, from {start}"],
        "precision": [_precision(plan)],
        "memory": _memory(plan),
        "disk": [_disk(plan)],
        "time": [_time(plan)],
    }
    width = max(map(len, paragraphs))
    return "\n".join(
        f"{heading if index == 0 else '':<{width}}  {line}".rstrip()
        for heading, lines in paragraphs.items()
        for index, line in enumerate(lines)
    )


def _network(plan: Plan, data: PackedDataset) -> list[str]:
    _, _, height, width = data.images.shape
    parts = costs(plan.config.model, (height, width))
    macs = sum(part.macs for part in parts)
    rows = [
        (
            "embedding" if level.level is None else str(level.level),
            "-" if level.level is None else f"{level.height}x{level.width}",
            str(level.tokens or "-"),
            in_thousands(level.parameters),
            in_thousands(level.macs),
            f"{level.macs / macs:.0%}",
        )
        for level in costs_of_levels(parts)
    ]
    size = f"{in_thousands(plan.parameters)} parameters, {len(plan.config.model.nodes())} nodes"
    return [f"{size}, {in_thousands(macs)} MACs for an image", *_lines([LEVEL_HEADINGS, *rows])]


def _data(config: TrainConfig, data: PackedDataset) -> str:
    count, channels, height, width = data.images.shape
    classes = f"{len(data.classes)} classes" if data.classes else "no classes"
    skipped = f", {data.unreadable} unreadable" if data.unreadable else ""
    size = f"{height}x{width}, {channels} channel{'s' if channels > 1 else ''}"
    return f"{config.data.source} ({config.data.split}): {count} images of {size}; {classes}{skipped}"


def _batch(plan: Plan) -> str:
    batch, parts = plan.config.batch_size, plan.config.accumulation
    at_once = batch // (plan.processes * parts)
    return f"{batch} images = {plan.processes} (processes) x {parts} (parts of a step) x {at_once} (images at a time)"


def _length(plan: Plan, data: PackedDataset) -> str:
    images = plan.config.steps * plan.config.batch_size
    return f"{plan.config.steps} steps = {in_thousands(images)} images = {images / len(data):.1f} epochs"


def _precision(plan: Plan) -> str:
    config = plan.config
    exact = "tf32" if config.tf32 and plan.device == "cuda" else "float32"
    options = ("channels_last", "gradient_checkpointing", "compile")
    numbers = exact if config.mixed_precision == "no" else f"{config.mixed_precision}, the rest {exact}"
    return ", ".join([f"{numbers} on {plan.device}", *(name for name in options if getattr(config, name))])


def _memory(plan: Plan) -> list[str]:
    memory, probe = plan.memory, plan.probe
    parts = [
        ("weights", memory.weights),
        *([("teacher", memory.teacher)] if memory.teacher else []),
        ("gradients", memory.gradients),
        (f"optimiser ({plan.config.optimizer.kind})", memory.optimizer),
        (f"averages ({len(plan.config.ema.names)})", memory.averages),
    ]
    if probe is not None:
        parts.append(("activations (measured)", probe.activations))
    parts.append(("together, on each device", sum(size for _, size in parts)))
    return _lines([(name, in_bytes(size)) for name, size in parts], left_aligned=(0,))


def _disk(plan: Plan) -> str:
    kept = plan.config.keep_checkpoints
    most = plan.model * 2 + plan.checkpoint * (kept + 1)  # one more of each, while it is written
    sizes = f"model {in_bytes(plan.model)}, checkpoint {in_bytes(plan.checkpoint)} ({kept} kept)"
    return f"{sizes}: at most {in_bytes(most)}; {in_bytes(plan.free)} are free for {plan.config.out}"


def _time(plan: Plan) -> str:
    if plan.probe is None:
        return f"none: all {plan.config.steps} steps are made"
    seconds, left = plan.probe.step_seconds, plan.config.steps - plan.step
    speed = f"{seconds:.3g} s a step, {plan.config.batch_size / seconds:.3g} images/s"
    duration = tqdm.format_interval(left * seconds)
    return f"{speed}; {duration} for {left} of {plan.config.steps} steps, without previews and checkpoints"


def _lines(rows: Sequence[Sequence[str]], left_aligned: Sequence[int] = ()) -> list[str]:
    return table(rows, left_aligned).split("\n")
