"""The restricted unpickler: what it reads is what was pickled, what it refuses is named and has not run."""

import copyreg
import io
import os
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

from unetdiff.errors import InputError
from unetdiff.interop.unpickling import NAMES, Remembered, read_checkpoint, read_pickle


@pytest.fixture
def read(tmp_path):
    """Give a function that reads bytes as a pickle file."""

    def from_bytes(payload):
        path = tmp_path / "file.pkl"
        path.write_bytes(payload)
        return read_pickle(path, NAMES)

    return from_bytes


@pytest.fixture
def marker(tmp_path):
    """A file that hostile pickles make when they run."""
    return tmp_path / "marker"


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_containers_come_back(read, protocol):
    value = {"a": [1, 2.5, None, (True, b"x")], "b": OrderedDict(c={1, 2}), "d": "text"}
    assert read(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool]
)
def test_tensors_come_back(read, dtype, protocol):
    base = torch.randn(4, 6).to(dtype)
    parameter = torch.nn.Parameter(base[0], requires_grad=False)
    for tensor, found in zip(
        (base, base[1:, ::2].T, parameter),
        read(pickle.dumps((base, base[1:, ::2].T, parameter), protocol)),
        strict=True,
    ):
        assert found.dtype == dtype
        assert torch.equal(found, tensor)


def test_numbers_of_numpy_are_passed_over(read):
    assert isinstance(read(pickle.dumps([np.sqrt(0.5)], 4))[0], Remembered)


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class Deep:
    """Pickles as a container whose state holds the call."""

    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return OrderedDict, (), {"attribute": [{"deeper": self.call}]}


def in_storage(call):
    """A storage's bytes that hold the call instead of numbers."""
    payload = io.BytesIO()
    torch.save(call, payload, _use_new_zipfile_serialization=False)
    return Call(torch.storage._load_from_bytes, payload.getvalue())


def touch(marker):
    return Call(os.system, f"touch {marker}")


def create(marker):
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def opcodes(template):
    """A pickle written by hand, which makes the marker by os.system's argument `%s`."""
    return lambda marker: template % f"touch {marker}".encode()


SYSTEM = f"{os.system.__module__}.system"
# what the refusal names, and the pickle
HOSTILE = {
    "call": (SYSTEM, lambda marker: pickle.dumps(touch(marker))),
    "first protocol": ("os.system", opcodes(b"cos\nsystem\n(S'%s'\ntR.")),
    "eval": ("builtins.eval", lambda marker: pickle.dumps(Call(eval, create(marker)))),
    "exec": ("builtins.exec", lambda marker: pickle.dumps(Call(exec, create(marker)))),
    "getattr": (
        "builtins.getattr",
        opcodes(b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'%s'\ntR."),
    ),
    "instance": ("os.system", opcodes(b"(S'%s'\nios\nsystem\n.")),
    "object": ("os.system", opcodes(b"(cos\nsystem\nS'%s'\no.")),
    "in a state": (SYSTEM, lambda marker: pickle.dumps(Deep(touch(marker)))),
    "in a storage": (SYSTEM, lambda marker: pickle.dumps(in_storage(touch(marker)))),
    "by attributes": (
        "torch.serialization.os.system",
        opcodes(b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93(S'%s'\ntR."),
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_are_refused_by_name_and_have_not_run(kind, read, marker):
    name, build = HOSTILE[kind]
    payload = build(marker)
    with pytest.raises(InputError, match="file.pkl: ") as refusal:
        read(payload)
    assert re.search(rf"got {re.escape(name)}$", str(refusal.value))
    assert not marker.exists()
    pickle.loads(payload)
    assert marker.exists()  # python's own reader runs it, so it was not refused for being harmless


@pytest.mark.parametrize("payload", [b"\x80\x02X\x03\x00\x00\x00keyQ.", b"Pkey\n."], ids=["binary", "text"])
def test_persistent_ids_are_refused(read, payload):
    with pytest.raises(InputError, match="got the persistent id 'key'"):
        read(payload)


def test_registered_extensions_are_refused_by_name(read, marker):
    copyreg.add_extension(os.system.__module__, "system", 240)
    payload = b"\x80\x02\x82\xf0(S'touch %s'\ntR." % os.fsencode(marker)
    try:
        pickle.loads(payload)  # python then keeps the function at hand
        marker.unlink()
        with pytest.raises(InputError, match=f"got {SYSTEM}$"):
            read(payload)
    finally:
        copyreg.remove_extension(os.system.__module__, "system", 240)
    assert not marker.exists()


@pytest.mark.parametrize("state", [b"}S'x'\nI1\ns", b"N}S'__defaults__'\n)s\x86"], ids=["dict", "slots"])
def test_a_pickle_cannot_change_what_it_names(read, state):
    with pytest.raises(InputError):
        read(b"\x80\x02ctorch._utils\n_rebuild_parameter\n" + state + b"b.")
    parameter = NAMES["torch._utils", "_rebuild_parameter"]
    assert (parameter.__dict__, parameter.__defaults__) == ({}, None)


def test_every_truncation_is_one_sentence(read):
    payload = pickle.dumps({"a": torch.nn.Parameter(torch.randn(3)), "b": np.sqrt(0.5), "c": "text"}, 4)
    read(payload)
    for length in range(len(payload)):
        with pytest.raises(InputError, match=r"file\.pkl: a complete file expected, this one cannot be read: \S"):
            read(payload[:length])


def test_a_tensor_beyond_its_storage_is_damage(read):
    tensor = pickle.dumps(torch.zeros(3), 3)
    assert tensor.count(b"K\x03\x85") == 1  # its size, (3,)
    with pytest.raises(InputError, match="cannot be read"):
        read(tensor.replace(b"K\x03\x85", b"K\x04\x85"))


def test_checkpoints_come_back(tmp_path):
    weights = {"a": torch.randn(3), "b": torch.arange(2)}
    torch.save(weights, tmp_path / "model.pt")
    found = read_checkpoint(tmp_path / "model.pt")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 3}, "model.pt: named tensors expected"),
        ([torch.zeros(2)], "model.pt: named tensors expected"),
        (b"text", "model.pt: a complete file expected, this one cannot be read"),
    ],
)
def test_files_without_named_tensors_are_refused(tmp_path, content, message):
    path = tmp_path / "model.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(InputError, match=re.escape(message)):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_checkpoints_are_refused_by_name_and_have_not_run(tmp_path, marker, zipped):
    torch.save({"a": touch(marker)}, tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=rf"model\.pt: numbers and their containers expected, got {SYSTEM}$"):
        read_checkpoint(tmp_path / "model.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    "change",
    [(b"K\x03Ntq", b"K\x04Ntq"), (b"\x03\x00\x00\x00\x00\x00\x00\x00", b"\xff" * 8), (b"]q\x00X", b"]q\x00U")],
    ids=["numbers", "count", "names"],
)
def test_a_storage_that_contradicts_itself_is_damage(read, change):
    payload = pickle.dumps(torch.ones(3), 3)
    assert payload.count(change[0]) == 1
    with pytest.raises(InputError, match=r"file\.pkl: .*(cannot be read|damaged data)"):
        read(payload.replace(*change))
