"""Train a U-Net: the same as `unetdiff train`.

python train.py --config configs/fashion-mnist.yaml
python train.py --help
"""

import sys

from unetdiff.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
