"""`python -m unetdiff` is the console command `unetdiff`."""

import sys

from unetdiff.cli.main import main

__all__: list[str] = []

sys.exit(main())
