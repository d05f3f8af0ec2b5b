"""Damaged and hostile pickles: refused in one sentence that names the file, before they cost memory; nothing runs."""

import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import damages
from unetdiff.errors import InputError
from unetdiff.interop.edm_pickle import read_edm_config, read_edm_snapshot
from unetdiff.interop.unpickling import NAMES, read_checkpoint, read_pickle

TENSORS = {"a": torch.arange(3.0), "b.weight": torch.ones(2, 2, dtype=torch.float16)}
SYSTEM = f"{os.system.__module__}.system"
VALUES = {"weights": OrderedDict(TENSORS), "numbers": [1, -2.5, 10**20, None, (True, b"x" * 300)], "names": {"e", "é"}}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("pickles") / "file.pkl"


def refusal(path, content, read):
    """What is said of a file with this content; None where it is read."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about protocols that it does not know
        try:
            read(path)
        except InputError as error:
            return str(error)
    return None


def one_sentence(said, path):
    return said.startswith(f"{path}: ") and "\n" not in said and len(said) < 500


def read_any(path):
    return read_pickle(path, NAMES)


@settings(max_examples=100)
@given(protocol=st.integers(3, 5), hits=st.lists(damages, min_size=1, max_size=3))
def test_a_damaged_pickle_is_read_or_refused(path, protocol, hits):
    content = pickle.dumps(VALUES, protocol)
    for hit in hits:
        content = hit(content or b"0")
    said = refusal(path, content, read_any)
    assert said is None or one_sentence(said, path)


@settings(max_examples=100)
@given(zipped=st.booleans(), hits=st.lists(damages, min_size=1, max_size=3))
def test_a_damaged_checkpoint_is_read_or_refused(path, zipped, hits):
    torch.save(TENSORS, path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    for hit in hits:
        content = hit(content or b"0")
    said = refusal(path, content, read_checkpoint)
    assert said is None or one_sentence(said, path)


class Call:
    """Pickles as a call that would leave a file behind."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def around(inner):
    """Containers with something in them, and other things before and behind it."""
    return st.one_of(
        st.tuples(st.just("list"), inner), st.tuples(st.just("tuple"), inner), st.tuples(st.text(max_size=3), inner)
    )


def built(place, call):
    if place is None:
        return call
    kind, inner = place
    item = built(inner, call)
    return {"list": [1, item, 2], "tuple": ("x", item)}.get(kind, {kind: item, "tensor": TENSORS["a"]})


@settings(max_examples=30)
@given(place=st.recursive(st.none(), around, max_leaves=6), protocol=st.integers(0, 5))
def test_a_call_is_refused_by_name_wherever_it_is(path, place, protocol):
    marker = path.with_name("marker")
    content = pickle.dumps(built(place, Call(marker)), protocol)
    for read in (read_any, read_edm_snapshot, read_edm_config):
        assert refusal(path, content, read) == f"{path}: names of containers and tensors expected, got {SYSTEM}"
    torch.save({"a": built(place, Call(marker))}, path)
    assert refusal(path, path.read_bytes(), read_checkpoint).endswith(f"got {SYSTEM}")
    assert not marker.exists()


GREEDY = {
    "an index of the memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "an index in text": b"Np2147483647\n.",
    "bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
    "a byte array": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
    "a text": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 - 1) + b"x.",
    "a frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a number": b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
    "nested tuples as a key": b"\x80\x02})" + b"\x85" * 10**6 + b"Ns.",
    "tuples of the same twice as a key": b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
    "hidden nested tuples": b"\x80\x02})" + b"\x85(u" * 10**6 + b"Ns.",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", GREEDY)
def test_what_asks_for_too_much_is_refused_first(path, kind):
    for read in (read_any, read_edm_snapshot, read_edm_config):
        assert one_sentence(refusal(path, GREEDY[kind], read), path)


def test_deep_lists_are_read(path):
    depth = 10**5
    path.write_bytes(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")
    assert len(read_any(path)) == 1


def test_a_tensor_cannot_be_larger_than_its_storage(path):
    content = pickle.dumps(torch.zeros(8), 3)
    assert content.count(b"K\x08\x85") == content.count(b"K\x01\x85") == 1  # size and step
    grown = content.replace(b"K\x08\x85", b"M\xff\xff\x85").replace(b"K\x01\x85", b"K\x00\x85")
    assert "a tensor of shape (65535,) in a storage of 8 numbers" in refusal(path, grown, read_any)


def test_a_zip_that_is_no_file_of_torch_is_refused(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "text")
    assert one_sentence(refusal(path, path.read_bytes(), read_checkpoint), path)


def text(name):
    return b"X" + struct.pack("<I", len(name)) + name.encode()


def snapshot(arguments, state):
    """A snapshot of EDM with these arguments of its network, written by hand."""
    kwargs = pickle.dumps(arguments, 2)[2:-1]
    attributes = b"}(" + text("_init_args") + b")" + text("_init_kwargs") + kwargs + state + b"u"
    meta = b"}(" + text("class_name") + text("EDMPrecond") + text("state") + attributes + b"u"
    network = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + meta + b"\x85R"
    return b"\x80\x02}" + text("ema") + network + b"s."


def modules(inside):
    """The attributes of a module."""
    return text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + b"}(" + inside + b"u"


NETWORK = {
    "img_resolution": 8,
    "img_channels": 1,
    "model_type": "SongUNet",
    "model_channels": 8,
    "channel_mult": [1, 2],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_blocks", 2**31),
        ("num_blocks", 10**30),
        ("num_blocks", -1),
        ("model_channels", 10**12),
        ("channel_mult", [10**30]),
        ("channel_mult_emb", 2**40),
        ("sigma_data", float("nan")),
        ("model_type", {}),
    ],
)
def test_networks_of_impossible_sizes_are_refused(path, name, value):
    content = snapshot({**NETWORK, name: value}, modules(b""))
    assert one_sentence(refusal(path, content, read_edm_snapshot), path)


def test_modules_that_hold_one_another_many_times_are_refused(path):
    inner = b"}"
    for _ in range(40):
        module = b"ctorch.nn.modules.container\nModuleDict\n)R}(" + modules(inner[1:]) + b"ub"
        inner = b"}" + text("a") + module + b"q\x01" + text("b") + b"h\x01"
    said = refusal(path, snapshot(NETWORK, modules(inner[1:])), read_edm_snapshot)
    assert "every module in one place" in said
