"""Under which names a source keeps images, labels, captions and vectors: array keys, table columns, file endings."""

from collections.abc import Collection
from dataclasses import dataclass

from unetdiff.errors import InputError

__all__ = ["Columns"]

USUAL = {
    "image": ("image", "images", "x", "img", "picture"),
    "label": ("label", "labels", "y", "cls", "class"),
    "caption": ("caption", "captions", "text", "texts", "txt", "prompt"),
    "vector": ("vector", "vectors"),
}


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names in the source; one that is not given is looked for under its usual names, and '' leaves it out.

    Attributes:
        image: Pixels or picture files; usually called image, images or x.
        label: Class of each image, a number or a name; usually label, labels, y or cls.
        caption: Text of each image; usually caption, captions, text or txt.
        vector: Numbers of each image, for continuous conditions; usually vector or vectors.
    """

    image: str | None = None
    label: str | None = None
    caption: str | None = None
    vector: str | None = None

    def find(self, kind: str, names: Collection[str], source: object) -> str | None:
        """The one of `names` that holds images, labels, captions or vectors, or None where there is none.

        Raises:
            InputError: the name that was asked for is not there.
        """
        asked = getattr(self, kind)
        if asked is None:
            return next((name for name in USUAL[kind] if name in names), None)
        if asked and asked not in names:
            raise InputError(f"{source}: expected columns.{kind} to be one of {', '.join(names)}, got {asked}")
        return asked or None

    def find_images(self, names: Collection[str], source: object) -> str:
        """The one of `names` that holds the images; InputError where there is none."""
        name = self.find("image", names, source)
        if name is None:
            raise InputError(
                f"{source}: expected images under one of the names {', '.join(USUAL['image'])}, or under the one that "
                f"columns.image says, got {', '.join(names) or 'nothing'}"
            )
        return name
