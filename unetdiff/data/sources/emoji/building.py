"""Four npm packages -> a folder train and a folder test of captioned 64x64 pictures, and LICENSES.txt beside them.

The pictures keep their transparency; packing lays them on white and brings them to the size that a model wants.
"""

import json
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image
from tqdm import tqdm

from unetdiff.atomic import replacing_folder
from unetdiff.data.config import Split
from unetdiff.data.sources.emoji.captions import Emoji, plain_code, read_emoji
from unetdiff.data.sources.emoji.packages import CAPTIONS, LICENSES, NOTICES, PACKAGES, VENDORS, Vendor, check_packages
from unetdiff.data.sources.rows import reading

__all__ = ["build_emoji"]

SIDE = 64  # of google's and twitter's pictures
LABELS = "package/en/data.json"
ENTRIES = "package/emoji.json"
LICENSE = "package/LICENSE"

Row = dict[str, str]


def build_emoji(packages: Path, out: Path, *, skin_tones: bool) -> None:
    """Write the set into `out`; InputError where a tarball in `packages` is missing or not the published one."""
    check_packages(packages)
    entries = json.loads(_member(packages / VENDORS["google"].file, ENTRIES))
    emoji = read_emoji(entries, json.loads(_member(packages / CAPTIONS.file, LABELS)), skin_tones)
    with replacing_folder(out) as folder:
        rows: dict[Split, dict[str, Row]] = {"train": {}, "test": {}}
        for name, vendor in VENDORS.items():
            for code, picture in _pictures(packages / vendor.file, vendor):
                if code in emoji:  # fluent has one of them twice, in two spellings of the same code
                    row = _row(emoji[code], name)
                    rows[emoji[code].split][row["file_name"]] = row
                    _save(picture, folder / emoji[code].split / row["file_name"])
        for split, described in rows.items():
            lines = (json.dumps(described[name], ensure_ascii=False) + "\n" for name in sorted(described))
            (folder / split / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")
        (folder / LICENSES).write_text(_licenses(packages), encoding="utf-8")


def _row(emoji: Emoji, vendor: str) -> Row:
    """The caption does not tell the vendor, whom nobody names in a prompt; as a label it can be asked for."""
    return {
        "file_name": f"{vendor}/{emoji.code}.png",
        "text": emoji.text,
        "tags": emoji.tags,
        "vendor": vendor,
        "category": emoji.category,
        "subcategory": emoji.subcategory,
        "concept": emoji.concept,
    }


def _pictures(tarball: Path, vendor: Vendor) -> Iterator[tuple[str, bytes]]:
    """The code and the content of every picture."""
    with reading(tarball), tarfile.open(tarball) as archive:
        for member in tqdm(archive, desc=tarball.name, unit=" files", disable=None):
            content = archive.extractfile(member) if member.name.startswith(vendor.pictures) else None
            if content is not None:
                yield plain_code(PurePosixPath(member.name).stem), content.read()


def _save(picture: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(BytesIO(picture)) as opened:
        whole = opened.convert("RGBA")
    if whole.size != (SIDE, SIDE):
        whole = whole.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    whole.save(path)


def _member(tarball: Path, name: str) -> bytes:
    with reading(tarball), tarfile.open(tarball) as archive:
        content = archive.extractfile(name)
        assert content is not None  # the published tarballs have these files
        return content.read()


def _licenses(packages: Path) -> str:
    """Each package's notice, then the licence files that the packages bring along."""
    parts = list(NOTICES)
    for package in PACKAGES:
        with tarfile.open(packages / package.file) as archive:
            if LICENSE in archive.getnames():
                parts.append(f"{package.name}, LICENSE\n\n{_member(packages / package.file, LICENSE).decode()}")
    return "\n\n".join(parts) + "\n"
