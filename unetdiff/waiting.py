"""How long the processes of one piece of work wait for each other."""

from datetime import timedelta

__all__ = ["LONGEST_WAIT"]

LONGEST_WAIT = timedelta(days=1)
"""While one of them packs a data set or writes, the others wait; torch alone gives up after 10 to 30 minutes. A process
that ends is noticed at once, whatever this is."""
