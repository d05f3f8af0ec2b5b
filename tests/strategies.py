"""Hypothesis strategies that several tests share: damage to files."""

from dataclasses import dataclass

from hypothesis import strategies as st

__all__ = ["Damage", "damages"]


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What a bad disk does to a file: bits that flip, bytes that are missing, an end that was never written.

    place: where, as a share of the bytes that may be hit.
    value: the bits to flip, or the number of bytes to leave out.
    """

    kind: str
    place: float
    value: int

    def __call__(self, content, within=None):
        """The damaged bytes; only the first `within` of them may be hit."""
        at = int(self.place * (len(content) if within is None else within))
        if self.kind == "flipped":
            return content[:at] + bytes([content[at] ^ self.value]) + content[at + 1 :]
        return content[:at] + (content[at + self.value :] if self.kind == "left out" else b"")


damages = st.builds(
    Damage,
    kind=st.sampled_from(["flipped", "left out", "cut"]),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(1, 255),
)
