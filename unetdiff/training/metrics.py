"""`metrics.jsonl`: one record a line (`unetdiff.training.records`), in the order of training."""

import json
from dataclasses import asdict
from pathlib import Path

from unetdiff.atomic import replacing
from unetdiff.training.records import Record

__all__ = ["MetricsLog", "whole_lines"]


class MetricsLog:
    """Appends records; going on from a checkpoint first drops what was logged after it."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [line for line in whole_lines(path) if _step(line) <= step]
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
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _step(line: str) -> int:
    return int(json.loads(line)["step"])
