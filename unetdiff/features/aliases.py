"""Names that papers use for places in a network, as taps.

    block:1, block:2, ...    blocks of guided-diffusion: encoder, middle, decoder (diffssl, Mukhopadhyay et al. 2024)
    dift_sd:0, ...           `up_ft_index` of DIFT for Stable Diffusion: block and its upsampler (Tang et al. 2023)
    dift_adm:0, ...          `up_ft_index` of DIFT for ADM: one of guided-diffusion's `output_blocks`
    out_1, out_2, ...        DDAE: a residual block of the decoder with the attention behind it (Xiang et al. 2023)

`block:*` stands for all of a kind. https://arxiv.org/abs/2311.17921, https://arxiv.org/abs/2306.03881,
https://arxiv.org/abs/2303.09769
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from unetdiff.config import UNetConfig
from unetdiff.errors import InputError
from unetdiff.interop.guided_blocks import GuidedBlocks, guided_blocks
from unetdiff.plain import require

__all__ = ["Numbering", "aliased", "aliases"]


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """How a paper counts: `places` gives the taps in its order, or raises ValueError where it does not apply."""

    prefix: str
    first: int
    places: Callable[[UNetConfig], Sequence[str]]

    def __call__(self, number: str, config: UNetConfig) -> Sequence[str]:
        """The tap of this number, or of all for `*`.

        Raises:
            InputError: a network that is not counted so, or a number that it does not have.
        """
        alias = self.prefix + number
        try:
            places = self.places(config)
        except ValueError as error:
            raise InputError(f"{alias}: {error}") from error
        if number == "*":
            return places
        last = self.first + len(places) - 1
        if not number.isdecimal() or not self.first <= int(number) <= last:
            raise InputError(f"{alias}: expected {self.prefix}{self.first} to {self.prefix}{last} in this network")
        return [places[int(number) - self.first]]


def aliased(name: str, config: UNetConfig) -> Sequence[str] | None:
    """The taps that an alias stands for, or None where the name is no alias.

    Raises:
        InputError: one that does not apply to this network, or a number that it does not have; the message says why.
    """
    for numbering in NUMBERINGS:
        if name.startswith(numbering.prefix):
            return numbering(name.removeprefix(numbering.prefix), config)
    return None


def aliases(config: UNetConfig) -> dict[str, tuple[str, ...]]:
    """The names that papers have for taps of this network, by tap."""
    found: dict[str, tuple[str, ...]] = {}
    for numbering in NUMBERINGS:
        try:
            places = numbering.places(config)
        except ValueError:
            continue
        for number, tap in enumerate(places, numbering.first):
            found[tap] = (*found.get(tap, ()), f"{numbering.prefix}{number}")
    return found


def _blocks(config: UNetConfig) -> Sequence[str]:
    blocks = _guided(config)
    return [block[-1].name for block in (*blocks.input_blocks, blocks.middle_block, *blocks.output_blocks)]


def _output_blocks(config: UNetConfig) -> Sequence[str]:
    blocks = _guided(config).output_blocks
    require(config.cross_attention_dim is None, "network", "one without cross-attention, such as ADM", "one with it")
    return [block[-1].name for block in blocks]


def _up_blocks(config: UNetConfig) -> Sequence[str]:
    crossed = config.cross_attention_dim is not None
    require(crossed, "network", "one with cross-attention, such as Stable Diffusion", "one without")
    last = {node.level: node.name for node in config.nodes() if node.name.startswith("up_blocks.")}
    return list(last.values())


def _decoder_units(config: UNetConfig) -> Sequence[str]:
    units = (
        [node.name for node in block if node.kind != "upsample"]
        for block in guided_blocks(config.nodes()).output_blocks
    )
    return [unit[-1] for unit in units]


def _guided(config: UNetConfig) -> GuidedBlocks:
    joined = "one whose input is joined to every level"
    require(not config.input_residual, "network", "one of guided-diffusion's blocks", joined)
    require(config.mid is not None, "network", "one with a middle block", "one without")
    return guided_blocks(config.nodes())


NUMBERINGS = (
    Numbering(prefix="block:", first=1, places=_blocks),
    Numbering(prefix="dift_sd:", first=0, places=_up_blocks),
    Numbering(prefix="dift_adm:", first=0, places=_output_blocks),
    Numbering(prefix="out_", first=1, places=_decoder_units),
)
