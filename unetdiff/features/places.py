"""From what a user calls places in a network to taps: here and nowhere else.

all                               the outputs of all nodes
mid_block                         outputs of the nodes in it
up_blocks.*.resnets.0             outputs of the nodes that a pattern means (see `unetdiff.name_patterns`)
up_blocks.*:input                 their inputs; likewise :residual
mid_block.resnets.1:residual      a tap as `unet.taps` lists it
block:24, dift_sd:1, out_*        what papers call them (see `unetdiff.features.aliases`)
attn2                             the outputs of parts of nodes, where no node is called so
"""

from collections.abc import Iterable

from unetdiff.errors import InputError
from unetdiff.features.aliases import aliased
from unetdiff.name_patterns import matching
from unetdiff.unet import UNet

__all__ = ["ALL", "taps_called"]

ALL = "all"


def taps_called(names: Iterable[str], unet: UNet) -> tuple[str, ...]:
    """The taps of a network that any of the names means, in the order of computation.

    Raises:
        InputError: a name that means none; the message has those that are near to it.
    """
    found = {tap for name in names for tap in _meant(name, unet)}
    if not found:
        raise InputError("nodes: expected names of nodes or taps, got none")
    return tuple(tap for tap in unet.taps if tap in found)


def _meant(name: str, unet: UNet) -> list[str]:
    nodes = [node.name for node in unet.nodes]
    if name == ALL:
        return nodes
    if name in unet.taps:
        return [name]
    if (places := aliased(name, unet.config)) is not None:
        return list(places)
    path, colon, site = name.partition(":")
    of_site = [tap.removesuffix(f":{site}") for tap in unet.taps if tap.partition(":")[1:] == (colon, site)]
    if not of_site:
        sites = sorted({tap.partition(":")[2] for tap in unet.taps} - {""})
        raise InputError(f"nodes: expected one of {', '.join(sites)} behind the colon, got {name}")
    inside = matching(of_site, [path], "nodes")
    chosen = [place for place in inside if place in nodes] or inside
    return [f"{place}{colon}{site}" for place in chosen]
