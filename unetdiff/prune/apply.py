"""A network without some of its parts."""

from collections.abc import Mapping
from dataclasses import replace

from unetdiff.prune.assembly import assemble
from unetdiff.removal import Removal, also_removed
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
    config = replace(
        unet.config,
        removed=also_removed(unet.config.removed, removed),
        widths={name: width for name, width in unet.config.widths.items() if not _is_gone(name, removed)},
    )
    return assemble(config, unet.state_dict(keep_vars=True).__getitem__, unet.training)


def _is_gone(name: str, removed: Mapping[str, Removal]) -> bool:
    return name in removed or any(name.startswith(f"{part}.") for part in removed)
