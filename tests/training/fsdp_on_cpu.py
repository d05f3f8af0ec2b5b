"""`train.py` under FSDP without a GPU: accelerate shards on accelerators only, torch does it anywhere."""

import sys

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from unetdiff.cli.main import main


def train_sharded(options):
    PartialState(cpu=True)
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    main(["train", *options])
    assert AcceleratorState().distributed_type == DistributedType.FSDP


if __name__ == "__main__":
    train_sharded(sys.argv[1:])
