"""Networks that tell classes from feature maps: each a configuration and the module that it builds."""

from collections.abc import Mapping

from unetdiff.probes.networks.attention import Attention
from unetdiff.probes.networks.cnn import CNN
from unetdiff.probes.networks.grid import Grid, Maps, Shape
from unetdiff.probes.networks.mlp import MLP

__all__ = ["CNN", "HEADS", "MLP", "Attention", "Grid", "Head", "Maps", "Shape"]

Head = MLP | CNN | Attention

HEADS: Mapping[str, type[Head]] = {"mlp": MLP, "cnn": CNN, "attention": Attention}
"""By the names that files and commands have for them."""
