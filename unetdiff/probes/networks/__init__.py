"""Networks that tell classes from feature maps: each a configuration and the module that it builds."""

from unetdiff.probes.networks.attention import Attention
from unetdiff.probes.networks.cnn import CNN
from unetdiff.probes.networks.grid import Grid, Maps, Shape
from unetdiff.probes.networks.mlp import MLP

__all__ = ["CNN", "MLP", "Attention", "Grid", "Head", "Maps", "Shape"]

Head = MLP | CNN | Attention
