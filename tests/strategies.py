"""What several tests share: damage to files, and strategies that draw it."""

from contextlib import contextmanager
from dataclasses import dataclass

from hypothesis import strategies as st

__all__ = ["Damage", "damaged", "damages", "slips"]

NPY_HEADER = 128


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

slips = st.builds(
    Damage, kind=st.just("flipped"), place=st.floats(0, 1, exclude_max=True), value=st.sampled_from([1, 2, 4])
)
"""A letter for another, a digit for another: text stays text."""


@contextmanager
def damaged(path, damage):
    """The file is damaged within the block, where it says what its bytes are: other damage no format notices."""
    content = path.read_bytes()
    path.write_bytes(damage(content, within=_header(path, content)))
    try:
        yield
    finally:
        path.write_bytes(content)


def _header(path, content):
    if path.suffix == ".safetensors":
        return 8 + int.from_bytes(content[:8], "little")
    return NPY_HEADER if path.suffix == ".npy" else len(content)
