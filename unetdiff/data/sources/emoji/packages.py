"""The four npm packages that the emoji set is made of: which versions, under which licences, and how they are got."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from unetdiff.data.sources.programs import call, require_programs
from unetdiff.errors import InputError

__all__ = [
    "CAPTIONS", "LICENSES", "NOTICES", "PACKAGES", "VENDORS", "Package", "Vendor", "check_packages", "fetch_packages",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Package:
    """One published version of an npm package.

    Attributes:
        name, version: As npm knows them.
        sha256: Of the tarball.
        notice: Whose work is taken from it and under which licence.
    """

    name: str
    version: str
    sha256: str
    notice: str

    @property
    def file(self) -> str:
        """The name that `npm pack` gives the tarball."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True, kw_only=True)
class Vendor(Package):
    """A package with pictures; `pictures` is their folder in it."""

    pictures: str


VENDORS = {
    "google": Vendor(
        name="emoji-datasource-google",
        version="16.0.0",
        sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        notice="pictures of Noto Emoji, copyright Google LLC, Apache License 2.0; names and categories MIT",
        pictures="package/img/google/64/",
    ),
    "twitter": Vendor(
        name="emoji-datasource-twitter",
        version="16.0.0",
        sha256="f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        notice="pictures of Twemoji, copyright Twitter, Inc. and other contributors, CC-BY 4.0: name them where you "
        "show the pictures",
        pictures="package/img/twitter/64/",
    ),
    "fluent": Vendor(
        name="@lobehub/fluent-emoji-3d",
        version="1.1.0",
        sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        notice="pictures of Fluent Emoji, copyright Microsoft Corporation, packed by LobeHub, MIT; made smaller here",
        pictures="package/assets/",
    ),
}
CAPTIONS = Package(
    name="emojibase-data",
    version="17.0.0",
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
    notice="captions and tags, copyright Miles Johnson, MIT",
)
PACKAGES: tuple[Package, ...] = (*VENDORS.values(), CAPTIONS)
LICENSES = "LICENSES.txt"
NOTICES = tuple(f"{package.name} {package.version}: {package.notice}" for package in PACKAGES)


def fetch_packages(folder: Path) -> None:
    """Download the four tarballs (158 MB) with npm; InputError where that fails."""
    names = " ".join(f"{package.name}@{package.version}" for package in PACKAGES)
    otherwise = f"run `npm pack {names}` elsewhere and give the folder of the four files with --from"
    require_programs(["npm"], "emoji", otherwise)
    for package in PACKAGES:
        call(["npm", "pack", "--silent", f"{package.name}@{package.version}"], folder, "emoji")


def check_packages(folder: Path) -> None:
    """InputError where one of the tarballs is missing in `folder`, or is not the published one."""
    for package in PACKAGES:
        path = folder / package.file
        if not path.is_file():
            names = ", ".join(one.file for one in PACKAGES)
            raise InputError(f"emoji: expected {names} in {folder}, got no {path.name}")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != package.sha256:
            raise InputError(f"{path}: expected the published file of sha256 {package.sha256}, got one of {digest}")
