"""Taking layers out of a trained network, which stays an ordinary one: its configuration says what is gone."""

from unetdiff.prune.apply import prune
from unetdiff.prune.layouts import LAYOUTS, layout

__all__ = ["LAYOUTS", "layout", "prune"]
