"""What each emoji shows: caption and tags of emojibase, category of emoji-datasource, and the concept it belongs to."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from typing_extensions import NotRequired

from unetdiff.data.config import Split

__all__ = ["Emoji", "Entry", "Label", "plain_code", "read_emoji"]

TEST_SHARE = 10  # one concept in so many


class Label(TypedDict):
    """An item of emojibase's data.json."""

    label: str
    hexcode: str
    tags: NotRequired[list[str]]
    skins: NotRequired[list["Label"]]


class Entry(TypedDict):
    """An item of emoji-datasource's emoji.json."""

    unified: str
    category: str
    subcategory: str
    skin_variations: NotRequired[dict[str, "Entry"]]


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """One emoji: its code, the code of its concept (itself without skin tones), and what is said of it."""

    code: str
    concept: str
    text: str
    tags: str
    category: str
    subcategory: str

    @property
    def split(self) -> Split:
        """By concept: pictures of one concept, by different vendors or of different skin tones, are much alike."""
        digest = int(hashlib.sha256(self.concept.encode()).hexdigest(), 16)
        return "test" if digest % TEST_SHARE == 0 else "train"


def plain_code(name: str) -> str:
    """`1F636-200D-1F32B-FE0F` -> `1f636-200d-1f32b`: sources spell it with and without the variation selector fe0f."""
    return name.lower().replace("_", "-").replace("-fe0f", "")


def read_emoji(entries: Sequence[Entry], labels: Sequence[Label], skin_tones: bool) -> Mapping[str, Emoji]:
    """All emoji by code, without the Component category, which is swatches of skin and hair."""
    known = dict(_labelled(labels))
    found: dict[str, Emoji] = {}
    for entry in entries:
        if entry["category"] == "Component":
            continue
        concept = plain_code(entry["unified"])
        tones = entry.get("skin_variations", {}).values() if skin_tones else ()
        for code in (concept, *(plain_code(tone["unified"]) for tone in tones)):
            text, tags = known[code]
            found[code] = Emoji(
                code=code,
                concept=concept,
                text=text,
                tags=tags,
                category=entry["category"],
                subcategory=entry["subcategory"],
            )
    return found


def _labelled(labels: Sequence[Label]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Code, and (label, tags); a skin tone has the tags of its emoji."""
    for label in labels:
        tags = ", ".join(label.get("tags", ()))
        for one in (label, *label.get("skins", ())):
            yield plain_code(one["hexcode"]), (one["label"], tags)
