"""`unetdiff data`, with stand-ins for apt-get and dpkg."""

import gzip
import shutil

import numpy as np
import pytest
from PIL import Image

from unetdiff.cli.data import parser, run
from unetdiff.data.sources import fetch
from unetdiff.errors import InputError


def data(*arguments):
    run(parser().parse_args(list(arguments)))


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without Fashion-MNIST and without programs; gives the folder that it is fetched to."""
    home = tmp_path / "home/fashion-mnist"
    monkeypatch.setattr("unetdiff.data.sources.fashion_mnist.search_folders", lambda: [home])
    monkeypatch.setattr("unetdiff.cli.data.search_folders", lambda: [home])
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return home


@pytest.fixture
def programs(nowhere, fashion_mnist, tmp_path):
    """An apt-get that downloads an empty package, a dpkg that unpacks the small data set from it."""
    unpacked = "unpacked/usr/share/datasets/fashion-mnist"
    scripts = {
        "apt-get": 'case "$*" in *download*) : > dataset-fashion-mnist_1_all.deb;; esac',
        "dpkg": f"/bin/mkdir -p {unpacked}; /bin/cp {fashion_mnist}/*.gz {unpacked}",
    }
    for name, script in scripts.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nset -e\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path / "bin"


@pytest.fixture
def published(fashion_mnist, monkeypatch):
    """The small data set counts as the published one."""
    digests = {name: fetch.hashlib.sha256((fashion_mnist / name).read_bytes()).hexdigest() for name in fetch.SHA256}
    for name, digest in digests.items():
        monkeypatch.setitem(fetch.SHA256, name, digest)


def test_fetches_and_counts(nowhere, programs, published, capsys):
    data("fashion-mnist")
    output = capsys.readouterr().out
    assert f"{nowhere}: the published files" in output
    assert "400 images, 1 x 28 x 28" in output
    assert "40 Ankle boot" in output
    assert sorted(path.name for path in nowhere.iterdir()) == sorted(fetch.SHA256)
    assert list(nowhere.parent.iterdir()) == [nowhere]


def test_other_content_than_published_is_refused(nowhere, programs):
    with pytest.raises(InputError, match=r"expected the published sha256 of train-images-idx3-ubyte\.gz"):
        data("fashion-mnist")
    assert list(nowhere.parent.iterdir()) == []


def test_missing_program_is_named_with_the_other_way(nowhere):
    with pytest.raises(InputError, match=r"apt-get is needed .* put the four files of https://github.com/zalando"):
        data("fashion-mnist")


def test_failure_of_apt_is_passed_on(nowhere, programs):
    (programs / "apt-get").write_text("#!/bin/sh\necho 'W: hm' >&2\necho 'E: no such mirror' >&2\nexit 100\n")
    with pytest.raises(InputError, match=r"apt-get.*update` failed: E: no such mirror"):
        data("fashion-mnist")
    assert list(nowhere.parent.iterdir()) == []


def test_found_files_that_differ_from_the_published_are_told(fashion_mnist, capsys):
    data("fashion-mnist")
    assert f"{fashion_mnist}: not, or not only, the published files" in capsys.readouterr().out


def test_pack_prints_a_summary(tmp_path, capsys):
    np.savez(tmp_path / "a.npz", images=np.zeros((5, 6, 6), np.uint8), labels=np.array([0, 2, 2, 2, 2]))
    data("pack", str(tmp_path / "a.npz"), "--size", "4", "--cache", str(tmp_path / "cache"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"5 images, 1 x 4 x 4, packed in {tmp_path / 'cache'}")
    assert [line.split() for line in lines[1:]] == [["1", "0"], ["0", "1"], ["4", "2"]]


def test_pack_says_what_was_left_out(tmp_path, capsys):
    for number in range(100):
        Image.new("L", (2, 2)).save(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes(b"")
    data("pack", str(tmp_path))
    assert "1 unreadable images left out" in capsys.readouterr().out


def test_truncated_files_found_are_named(fashion_mnist, tmp_path, monkeypatch):
    copy = shutil.copytree(fashion_mnist, tmp_path / "fashion-mnist")
    monkeypatch.setenv("UNETDIFF_DATA", str(tmp_path))
    (copy / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\x01"))
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte\.gz: expected an IDX file"):
        data("fashion-mnist")
