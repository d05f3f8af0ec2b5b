"""docs/results.md made again: the commands behind its numbers, and what they print.

python -m benchmarks.results
python -m benchmarks.results --parts "[overhead,exactness]" --again
python -m benchmarks.results --list

A part of the page stands between `<!-- part NAME -->` and `<!-- end -->`: its commands, what the last of them printed,
and when, how long, with which shipped model (the first digits of its weights' hash) and where that was measured.
Nothing between the two lines is written by hand; everything around them is, and is to be read again when numbers
change. What was measured is kept in the folder, a file for each part, so that a run that was stopped goes on with the
next command of the part that it was at.
"""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import diffusers
import jsonargparse
import torch

from benchmarks.result_parts import PARTS, Part
from unetdiff import __version__
from unetdiff.atomic import replacing
from unetdiff.model_folder import find_model, weights_hash
from unetdiff.tables import table

__all__ = ["Record", "fill", "main", "measure", "shown"]

PAGE = Path("docs/results.md")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a part: `done` are those of its commands that have run, in `seconds` together."""

    weights: str | None
    done: tuple[str, ...] = ()
    output: str = ""
    seconds: float = 0.0
    date: str = ""
    machine: str = ""

    @classmethod
    def read(cls, path: Path, part: Part) -> "Record":
        """What the file says, as far as it is of these commands and this model; else nothing is done."""
        begun = cls(weights=weights_hash(find_model(None)) if part.shipped else None)
        if not path.exists():
            return begun
        found = cls(**json.loads(path.read_text(encoding="utf-8")))
        found = replace(found, done=tuple(found.done))
        return found if found.weights == begun.weights and part.commands[: len(found.done)] == found.done else begun

    def write(self, path: Path) -> None:
        """As JSON."""
        with replacing(path) as staged:
            staged.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def measure(part: Part, path: Path, execute: Callable[[str], str]) -> Record:
    """Run those commands of a part that were not run; after each of them its record is in the file."""
    record = Record.read(path, part)
    for command in part.commands[len(record.done) :]:
        print(f"{part.name}: {command}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        output = execute(command)
        record = replace(
            record,
            done=(*record.done, command),
            output=output,
            seconds=record.seconds + time.perf_counter() - start,
            date=f"{datetime.now(timezone.utc):%Y-%m-%d}",
            machine=machine(),
        )
        record.write(path)
    return record


def shown(record: Record) -> str:
    """The part as the page has it. Tables in Markdown stay as they are, other output is set as code."""
    output = record.output.strip("\n")
    if not re.search(r"^\|", output, re.MULTILINE):
        output = _code(output)
    model = "" if record.weights is None else f"model {record.weights[:8]}; "
    measured = f"*{record.date}, {_duration(record.seconds)}; {model}{record.machine}*"
    return "\n\n".join([_code("\n".join(record.done)), output, measured])


def fill(page: str, name: str, text: str) -> str:
    """The page with this text as the part of that name.

    Raises:
        ValueError: it has no such part, or several.
    """
    around = re.compile(rf"(<!-- part {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    page, count = around.subn(lambda match: f"{match[1]}{text}\n{match[2]}", page)
    if count != 1:
        raise ValueError(f"{PAGE}: expected one part {name}, got {count}")
    return page


def machine() -> str:
    """What the numbers depend on beside the code."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if sys.platform == "linux" else None
    processor = model[1].strip() if model else platform.machine()
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"unetdiff {__version__}, torch {torch.__version__}, diffusers {diffusers.__version__}"
    return f"{os.cpu_count()} cores of {processor}, {accelerator}; {versions}"


def _execute(command: str) -> str:
    """What a command prints; what it says beside that is seen while it runs."""
    program, *arguments = shlex.split(command)
    beside = Path(sys.executable).with_name(program)  # of this environment, activated or not
    return subprocess.run([beside, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def _code(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines())


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def parser() -> jsonargparse.ArgumentParser:
    """Which parts, and where they are kept."""
    result = jsonargparse.ArgumentParser(description="Measure what docs/results.md says, and write it there.")
    result.add_argument("--parts", type=list[str], help="names of parts; all when left out")
    result.add_argument("--folder", type=Path, default=Path("results"))
    result.add_argument("--again", action="store_true", help="measure what was measured, too")
    result.add_argument("--list", action="store_true", help="print the parts and the hours that they take")
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the page after each part."""
    options = parser().parse_args(argv)
    named = {part.name: part for part in PARTS}
    if unknown := [name for name in options.parts or () if name not in named]:
        raise SystemExit(f"parts: expected names among {', '.join(named)}, got {', '.join(map(repr, unknown))}")
    if options.list:
        rows = [(part.name, f"{part.hours:g} h", part.commands[-1]) for part in PARTS]
        print(table(rows, left_aligned=[0, 2]))
        return
    for name in options.parts or named:
        path = options.folder / f"{name}.json"
        if options.again:
            path.unlink(missing_ok=True)
        record = measure(named[name], path, _execute)
        page = fill(PAGE.read_text(encoding="utf-8"), name, shown(record))
        with replacing(PAGE) as staged:
            staged.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
