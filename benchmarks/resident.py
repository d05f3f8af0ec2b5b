"""Greatest resident memory of one piece of work in a process of its own: `benchmarks.pretrained` starts it.

python -m benchmarks.resident unetdiff|diffusers FOLDER load|forward
"""

import json
import sys
from pathlib import Path

import diffusers
import torch

from unetdiff.unet import UNet

__all__ = ["main", "peak", "resident"]


@torch.no_grad()
def main(kind: str, folder: str, work: str) -> None:
    """Print the greatest resident bytes since the imports."""
    cls = {"unetdiff": UNet, "diffusers": diffusers.UNet2DConditionModel}[kind]
    before = peak()
    network = cls.from_pretrained(folder)
    if work == "forward":
        network(torch.randn(2, 4, 64, 64), torch.tensor([10, 700]), torch.randn(2, 77, 768))
    else:
        sum(float(parameter.sum()) for parameter in network.parameters())  # pages of the file count once read
    print(json.dumps({"bytes": peak() - before}))


def peak() -> int:
    """Bytes, on Linux: the high-water mark of this process alone, which rusage mixes with its parent's."""
    return _status("VmHWM")


def resident() -> int:
    """Bytes of this process that are in memory now, on Linux."""
    return _status("VmRSS")


def _status(field: str) -> int:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
