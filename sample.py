"""Make images with a model: the same as `unetdiff sample`.

python sample.py --classes 0-9 --seeds 0-63 --out samples
python sample.py --help
"""

import sys

from unetdiff.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
