"""Making parts of a network narrower inside, by scores of what they hold."""

from unetdiff.prune.width.choose import cheapest, strongest
from unetdiff.prune.width.narrow import narrow
from unetdiff.prune.width.score import magnitudes, taylor

__all__ = ["cheapest", "magnitudes", "narrow", "strongest", "taylor"]
