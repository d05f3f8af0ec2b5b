"""Networks that tell classes from feature maps: each a configuration and the module that it builds."""

from unetdiff.probes.networks.attention import Attention, AttentionHead
from unetdiff.probes.networks.cnn import CNN, CNNHead
from unetdiff.probes.networks.grid import Grid, Maps, Shape
from unetdiff.probes.networks.mlp import MLP, MLPHead

__all__ = ["CNN", "MLP", "Attention", "AttentionHead", "CNNHead", "Grid", "MLPHead", "Maps", "Shape"]
