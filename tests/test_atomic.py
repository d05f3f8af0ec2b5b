"""Files appear whole or not at all."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from unetdiff.atomic import replacing, replacing_folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_old_file_stays_until_the_block_ends(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as staged:
        staged.write_text("new")
        assert path.read_text() == "old"
        assert (staged.parent, staged.suffix) == (path.parent, path.suffix)
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file.txt"]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyError), replacing(path) as staged:
        staged.write_text("half of the n")
        raise KeyError
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_folders_on_the_way_are_made(tmp_path):
    with replacing(tmp_path / "a" / "b" / "file.txt") as staged:
        staged.write_text("new")
    assert names(tmp_path) == ["a/b/file.txt"]


def write(staged, text, shard):
    (staged / "sub").mkdir()
    (staged / "top").write_text(text)
    (staged / "sub" / shard).write_text(text)


def test_a_new_folder_appears_at_the_end(tmp_path):
    folder = tmp_path / "folder"
    with replacing_folder(folder) as staged:
        write(staged, "new", "shard-1")
        assert not folder.exists()
    assert names(tmp_path) == ["folder/sub/shard-1", "folder/top"]


def test_an_older_folder_is_replaced_file_by_file(tmp_path):
    folder = tmp_path / "folder"
    with replacing_folder(folder) as staged:
        write(staged, "old", "shard-1")
    (folder / "notes").write_text("the user's")
    with replacing_folder(folder) as staged:
        write(staged, "new", "shard-2")
        assert (folder / "top").read_text() == "old"
        assert (folder / "sub" / "shard-1").read_text() == "old"
    assert names(tmp_path) == ["folder/notes", "folder/sub/shard-2", "folder/top"]
    assert (folder / "top").read_text() == (folder / "sub" / "shard-2").read_text() == "new"


def test_an_error_leaves_the_old_folder_alone(tmp_path):
    folder = tmp_path / "folder"
    with replacing_folder(folder) as staged:
        write(staged, "old", "shard-1")
    with pytest.raises(KeyError), replacing_folder(folder) as staged:
        write(staged, "half", "shard-1")
        raise KeyError
    assert names(tmp_path) == ["folder/sub/shard-1", "folder/top"]
    assert (folder / "top").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_what_safetensors_writes_may_be_read_by_those_who_read_any_new_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "a.safetensors") as staged:
            save_file({"a": torch.ones(1)}, staged)
        with replacing_folder(tmp_path / "folder") as staged:
            (staged / "sub").mkdir()
            save_file({"a": torch.ones(1)}, staged / "sub" / "b.safetensors")
    finally:
        os.umask(before)
    for path in (tmp_path / "a.safetensors", tmp_path / "folder" / "sub" / "b.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    assert names(tmp_path) == ["a.safetensors", "folder/sub/b.safetensors"]
