"""The emoji set, built from tiny tarballs of the published layout."""

import hashlib
import json
import tarfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from unetdiff.cli.main import main
from unetdiff.data import DataConfig, prepare
from unetdiff.data.sources.columns import Columns
from unetdiff.data.sources.emoji import packages
from unetdiff.data.sources.emoji.captions import Emoji, plain_code

THINGS = 24
LABELS = [
    {"label": f"thing {number}", "hexcode": f"1F{number:03X}", "tags": ["thing", str(number)]}
    for number in range(THINGS)
] + [
    {
        "label": "waving hand",
        "hexcode": "1F44B",
        "tags": ["wave"],
        "skins": [{"label": "waving hand: dark skin tone", "hexcode": "1F44B-1F3FF"}],
    },
    {"label": "keycap: 1", "hexcode": "0031-FE0F-20E3"},
]
ENTRIES = [
    {"unified": f"1F{number:03X}", "category": "Objects", "subcategory": "thing"} for number in range(THINGS)
] + [
    {
        "unified": "1F44B",
        "category": "People & Body",
        "subcategory": "hand",
        "skin_variations": {"1F3FF": {"unified": "1F44B-1F3FF"}},
    },
    {"unified": "0031-FE0F-20E3", "category": "Symbols", "subcategory": "keycap"},
    {"unified": "1F3FB", "category": "Component", "subcategory": "skin-tone"},
]
CODES = [*(f"1f{number:03x}" for number in range(THINGS)), "1f44b", "1f44b-1f3ff", "0031-fe0f-20e3", "1f3fb"]


def picture(colour, side, kind):
    file = BytesIO()
    Image.new("RGBA", (side, side), (*colour, 255)).save(file, kind)
    return file.getvalue()


def tarball(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tarballs(tmp_path, monkeypatch):
    """The four tarballs in a folder, which are taken for the published ones; a vendor is a colour."""
    folder = tmp_path / "tarballs"
    folder.mkdir()
    contents = {
        "google": {f"package/img/google/64/{code}.png": picture((255, 0, 0), 64, "PNG") for code in CODES}
        | {"package/emoji.json": json.dumps(ENTRIES).encode(), "package/LICENSE": b"as you like it"},
        "twitter": {f"package/img/twitter/64/{code}.png": picture((0, 255, 0), 64, "PNG") for code in CODES},
        # another spelling of one code beside the usual one, and another size
        "fluent": {
            f"package/assets/{code}.webp": picture((0, 0, 255), 80, "WEBP")
            for code in ["1f001-fe0f", *CODES[: THINGS + 2]]
        },
    }
    vendors = {
        name: replace(vendor, sha256=tarball(folder / vendor.file, contents[name]))
        for name, vendor in packages.VENDORS.items()
    }
    data = {"package/en/data.json": json.dumps(LABELS).encode()}
    captions = replace(packages.CAPTIONS, sha256=tarball(folder / packages.CAPTIONS.file, data))
    monkeypatch.setattr(packages, "PACKAGES", (*vendors.values(), captions))
    monkeypatch.setenv("UNETDIFF_DATA", str(tmp_path / "data"))
    return folder


def both_splits(**settings):
    return [prepare(DataConfig(source="emoji", split=split, **settings)) for split in ("train", "test")]


def test_captions_fit_their_pictures(tarballs):
    main(["data", "emoji", "--from", str(tarballs)])
    parts = both_splits(size=8)
    assert [part.images.shape[1:] for part in parts] == [(3, 8, 8)] * 2
    captions = [caption for part in parts for caption in part.captions]
    assert {caption: captions.count(caption) for caption in captions} == {
        **{f"thing {number}": 3 for number in range(THINGS)},
        "waving hand": 3,
        "keycap: 1": 2,
    }
    shown = np.concatenate([part.images[:, :, 4, 4] for part in parts]).astype(int)
    colours = {(255, 0, 0): "google", (0, 255, 0): "twitter"}
    vendors = [part.classes[label] for part in both_splits(columns=Columns(label="vendor")) for label in part.labels]
    assert vendors == [colours.get(tuple(colour), "fluent") for colour in shown.tolist()]


def test_a_concept_is_in_one_split_with_all_its_pictures(tarballs):
    main(["data", "emoji", "--from", str(tarballs), "--skin_tones", "true"])
    train, test = (set(part.captions) for part in both_splits(columns=Columns(caption="concept")))
    assert not train & test
    assert train | test == {plain_code(code) for code in CODES} - {"1f44b-1f3ff", "1f3fb"}
    captions = [caption for part in both_splits() for caption in part.captions]
    assert captions.count("waving hand: dark skin tone") == 3


def test_one_concept_in_ten_is_for_the_test_whatever_its_code():
    concepts = [
        Emoji(code=code, concept=code, text="", tags="", category="", subcategory="") for code in map(str, range(5000))
    ]
    share = sum(one.split == "test" for one in concepts) / 5000
    assert [replace(one, code="other").split for one in concepts] == [one.split for one in concepts]
    assert share == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 5000) ** 0.5)  # four standard deviations


def test_licences_are_kept_and_shown(tarballs, tmp_path, capsys):
    main(["data", "emoji", "--from", str(tarballs), "--out", str(tmp_path / "here")])
    kept, shown = (tmp_path / "here" / "LICENSES.txt").read_text(), capsys.readouterr().out
    for text in ("Noto Emoji", "Twemoji", "CC-BY 4.0", "Fluent Emoji", "Miles Johnson"):
        assert text in kept
        assert text in shown
    assert "as you like it" in kept
    assert "captions:" in shown


def test_building_again_leaves_no_picture_of_before(tarballs):
    for skin_tones in ("true", "false"):
        main(["data", "emoji", "--from", str(tarballs), "--skin_tones", skin_tones])
    assert not any("tone" in caption for part in both_splits() for caption in part.captions)


def test_a_missing_or_changed_tarball_is_named(tarballs, tmp_path, refused):
    path = tarballs / packages.CAPTIONS.file
    path.write_bytes(path.read_bytes() + b" ")
    message = refused(["data", "emoji", "--from", str(tarballs)])
    assert "emojibase-data-17.0.0.tgz: expected the published file of sha256" in message
    path.unlink()
    assert "got no emojibase-data-17.0.0.tgz" in refused(["data", "emoji", "--from", str(tarballs)])
    assert not (tmp_path / "data").exists()


def test_npm_fetches_what_is_not_given(tarballs, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\n[ "$1 $2" = "pack --silent" ] || exit 3\n'
        f'file=$(echo "$3" | tr -d @ | tr / - | sed "s/\\([0-9.]*\\)$/-\\1/")\ncp {tarballs}/$file.tgz .\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    main(["data", "emoji"])
    assert sum(len(part) for part in both_splits()) == (THINGS + 1) * 3 + 2


def test_without_npm_it_says_what_to_do(tmp_path, monkeypatch, refused):
    monkeypatch.setenv("PATH", str(tmp_path))
    message = refused(["data", "emoji"])
    assert "emoji: npm is needed to fetch it and was not found; run `npm pack emoji-datasource-google@16.0.0" in message
    assert "--from" in message


def test_a_set_that_was_never_built(tmp_path, monkeypatch, refused):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("UNETDIFF_DATA", str(tmp_path))
    assert "`unetdiff data emoji` builds it" in refused(["data", "pack", "emoji"])
