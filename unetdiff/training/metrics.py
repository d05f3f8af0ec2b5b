"""`metrics.jsonl`: one record a line (`unetdiff.training.records`), in the order of training."""

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from unetdiff.atomic import replacing
from unetdiff.training.records import Record

__all__ = ["MetricsLog", "whole_lines"]


class MetricsLog:
    """Appends records; going on from a checkpoint first drops what was logged after it, and lines that are damaged."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        lines = [(line, _step(line)) for line in whole_lines(path)]
        damaged = [number for number, (_, at) in enumerate(lines, 1) if at is None]
        if damaged:
            _tell(path, damaged)
        kept = [line for line, at in lines if at is not None and at <= step]
        with replacing(path) as staged:
            staged.write_text("".join(kept), encoding="utf-8")

    def append(self, record: Record) -> None:
        """Write one line at once."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": record.kind, **asdict(record)}) + "\n")


def whole_lines(path: Path) -> list[str]:
    """Whole lines: a kill can leave the last one unfinished."""
    if not path.exists():
        return []
    text = path.read_text(encoding="ascii", errors="replace")  # what else is there than ASCII is damage
    return [f"{line}\n" for line in text.split("\n")[:-1]]


def _step(line: str) -> int | None:
    """None where the line is damaged."""
    try:
        record = json.loads(line.encode("ascii"))
    except ValueError:
        return None
    step = record.get("step") if isinstance(record, dict) else None
    return step if isinstance(step, int) else None


def _tell(path: Path, damaged: list[int]) -> None:
    """Keep the file beside itself, and say so."""
    kept = path.with_name(f"damaged-{path.name}")
    shutil.copyfile(path, kept)
    lines = ", ".join(map(str, damaged))
    tqdm.write(f"{path}: expected a record in every line, got others in {lines}; kept as {kept}", file=sys.stderr)
