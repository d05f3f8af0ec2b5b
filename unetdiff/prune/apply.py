"""A network without some of its parts."""

from collections.abc import Mapping

from unetdiff.prune.assembly import assemble
from unetdiff.removal import Removal
from unetdiff.unet import UNet

__all__ = ["prune"]


def prune(unet: UNet, removed: Mapping[str, Removal]) -> UNet:
    """A new network without these parts, which shares the tensors of all others with `unet`.

    Args:
        unet: the network; it is not changed.
        removed: what to take out, by name, and what is left in its place (see `unetdiff.removal`); parts of a node that
            goes as a whole are gone with it.

    Raises:
        ValueError: a name or a way that the network does not have.
    """
    return assemble(unet.config.without(removed), unet.state_dict(keep_vars=True).__getitem__, unet.training)
