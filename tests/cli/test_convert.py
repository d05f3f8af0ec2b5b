"""`unetdiff convert`: files as EDM and guided-diffusion write them, through the command, to a model folder."""

import json
import os
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from safetensors import safe_open

from unetdiff.cli.main import main
from unetdiff.interop.edm_pickle import read_edm_snapshot
from unetdiff.model_folder import load_model
from unetdiff.noise import IDDPMSchedule, VPSchedule
from unetdiff.preconditioning import EDM, VE, Epsilon

NAMES = ("ddpmpp_class_augment", "ncsnpp", "adm_class")


def golden(name):
    """Weights, inputs and outputs, arguments of the network."""
    with safe_open(f"tests/golden/{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a mapping
        network = json.loads(file.metadata()["network"])
    weights = {key[4:]: tensor for key, tensor in tensors.items() if key.startswith("net.")}
    return weights, {key[3:]: tensor for key, tensor in tensors.items() if key.startswith("io.")}, network


class Persistent:
    """Pickles as EDM's persistent classes do; the source code in it would tell that it ran."""

    module_src = "raise SystemExit('the source code of a snapshot was executed')"

    def __reduce__(self):
        meta = {"type": "class", "version": 6, "module_src": self.module_src, "class_name": type(self).__name__}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, ({**meta, "state": self.__dict__},)


class Module(Persistent, torch.nn.Module):
    def __init__(self):
        super().__init__()
        self._init_args, self._init_kwargs = (), {}


class UNetBlock(Module):
    def __init__(self):
        super().__init__()
        self.skip_scale = np.sqrt(0.5)


class AugmentPipe(Persistent):
    def __init__(self):
        self.p, self._init_args, self._init_kwargs = 0.12, (), {"p": 0.12}


def child(parent, name):
    """The submodule of that name, made if it is not there yet."""
    if name not in parent._modules:
        made = torch.nn.ModuleDict() if name in ("enc", "dec") else UNetBlock() if "x" in name else Module()
        parent.add_module(name, made)
    return parent._modules[name]


def wrapped(class_name, weights, arguments, options):
    """EDM's wrapper with modules and tensors where the keys of a state dict say."""
    root = type(class_name, (Module,), {})()
    root._init_args, root._init_kwargs = arguments, options
    root.register_buffer("scratch", torch.ones(2), persistent=False)
    for key, tensor in weights.items():
        *path, last = key.split(".")
        module = root
        for name in path:
            module = child(module, name)
        if last in ("resample_filter", "freqs", "u"):
            module.register_buffer(last, tensor)
        else:
            module.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=False))
    return root


@pytest.fixture
def snapshot(monkeypatch, tmp_path):
    """Give a function that pickles a network like EDM's training does, while its modules seem to be there."""
    path = tmp_path / "network-snapshot-000001.pkl"

    def dump(class_name, weights, arguments=(), *, protocol=4, **options):
        with monkeypatch.context() as patch:
            names = {"torch_utils.persistence": "_reconstruct_persistent_obj", "dnnlib.util": "EasyDict"}
            for module_name, name in names.items():
                module = types.ModuleType(module_name)
                setattr(module, name, type(name, (dict,), {"__module__": module_name}))
                patch.setitem(sys.modules, module_name.partition(".")[0], types.ModuleType(module_name))
                patch.setitem(sys.modules, module_name, module)
            easy_dict = sys.modules["dnnlib.util"].EasyDict
            ema = wrapped(class_name, weights, arguments, easy_dict(options))
            data = {"ema": ema, "loss_fn": AugmentPipe(), "augment_pipe": AugmentPipe(), "dataset_kwargs": easy_dict()}
            path.write_bytes(pickle.dumps(data, protocol))
        return path

    return dump


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_snapshot_of_edm_becomes_a_model_folder(name, protocol, snapshot, tmp_path, capsys):
    weights, io, network = golden(f"edm_{name}")
    file = snapshot("EDMPrecond", weights, protocol=protocol, **network)
    assert main(["convert", "edm", str(file), str(tmp_path / "out")]) == 0
    denoiser, info = load_model(tmp_path / "out")
    assert f"{tmp_path / 'out'}: {denoiser.unet.num_parameters():,} parameters" in capsys.readouterr().out
    assert info.data.shape == tuple(io["x"].shape[1:])
    assert info.training == {"converted from": "edm, network-snapshot-000001.pkl"}
    labels = {"class_labels": io["class_onehot"].argmax(dim=1)} if "class_onehot" in io else {}
    denoised = denoiser(io["x"], io["sigma"], **labels)
    torch.testing.assert_close(denoised, io["D"], rtol=0, atol=1e-5 * float(io["D"].abs().max()))


@pytest.mark.parametrize(
    ("class_name", "numbers", "expected"),
    [
        ("EDMPrecond", {"sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.7}, EDM(sigma_data=0.7)),
        ("EDMPrecond", {"sigma_min": 0.01, "sigma_max": 50}, EDM(sigma_min=0.01, sigma_max=50.0)),
        ("VEPrecond", {"sigma_max": 50, "use_fp16": True}, VE(sigma_max=50.0)),
        ("VPPrecond", {"beta_d": 10, "M": 500}, Epsilon(schedule=VPSchedule(beta_d=10.0, M=500))),
        ("iDDPMPrecond", {"C_2": 0.01}, Epsilon(schedule=IDDPMSchedule(C_2=0.01))),
    ],
)
def test_the_numbers_of_the_wrapper_are_kept(class_name, numbers, expected, snapshot):
    weights, _, network = golden("edm_ncsnpp")
    if class_name == "iDDPMPrecond":
        last = {key: tensor for key, tensor in weights.items() if "aux_conv" in key}
        weights = {**weights, "u": torch.zeros(1001), **{key: torch.cat([w, w]) for key, w in last.items()}}
    assert read_edm_snapshot(snapshot(class_name, weights, **network, **numbers)).preconditioning == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_snapshot_is_described_without_its_tensors(name, snapshot, capsys, monkeypatch):
    weights, _, network = golden(f"edm_{name}")
    file = snapshot("EDMPrecond", weights, **network)
    monkeypatch.setattr(torch, "load", None)
    assert main(["describe", str(file), "--json"]) == 0
    parameters = json.loads(capsys.readouterr().out)["total"]["parameters"]
    monkeypatch.undo()
    assert parameters == sum(tensor.numel() for tensor in read_edm_snapshot(file).unet.state_dict().values())


def test_arguments_may_be_positional_and_the_network_the_default_one(snapshot):
    weights, _, network = golden("edm_adm_class")
    named = {key: value for key, value in network.items() if not key.startswith(("img_", "label_", "model_type"))}
    denoiser = read_edm_snapshot(snapshot("EDMPrecond", weights, (16, 3, 5, False, 0.01, 50.0, 0.6), **named))
    assert denoiser.preconditioning == EDM(sigma_min=0.01, sigma_max=50.0, sigma_data=0.6)
    assert denoiser.unet.config.num_classes == 5


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_a_hostile_snapshot_is_refused_and_has_not_run(snapshot, tmp_path, refused):
    weights, _, network = golden("edm_ncsnpp")
    marker, out = tmp_path / "marker", tmp_path / "out"
    file = snapshot("EDMPrecond", weights, **network, hidden={"deep": [Call(os.system, f"touch {marker}")]})
    message = refused(["convert", "edm", str(file), str(out)])
    assert f"{file}: names of containers and tensors expected, got {os.system.__module__}.system" in message
    assert not marker.exists()
    assert not out.exists()


def test_a_truncated_snapshot_is_refused(snapshot, tmp_path, refused):
    weights, _, network = golden("edm_ncsnpp")
    file = snapshot("EDMPrecond", weights, **network)
    file.write_bytes(file.read_bytes()[:-1000])
    message = refused(["convert", "edm", str(file), str(tmp_path / "out")])
    assert f"{file}: a complete file expected, this one cannot be read: " in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [{"G_ema": 1}, {"ema": {"weight": 1}}, [1], {"ema": None}])
def test_another_pickle_is_refused(content, tmp_path, refused):
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(content))
    message = refused(["convert", "edm", str(tmp_path / "file.pkl"), str(tmp_path / "out")])
    assert "file.pkl: a snapshot of EDM with its network under 'ema' expected" in message


@pytest.mark.parametrize(
    ("class_name", "change", "message"),
    [
        ("Precond", {}, "preconditioning: expected one of"),
        ("EDMPrecond", {"encoder_type": "skip"}, "network.encoder_type: expected one of"),
        ("EDMPrecond", {"num_blocks": 2}, "missing (down_blocks.0.resnets.1.conv1.bias"),
    ],
)
def test_a_snapshot_that_is_not_covered_is_refused(class_name, change, message, snapshot, tmp_path, refused):
    weights, _, network = golden("edm_ncsnpp")
    file = snapshot(class_name, weights, **{**network, **change})
    said = refused(["convert", "edm", str(file), str(tmp_path / "out")])
    assert f"{file}: " in said
    assert message in said
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_in_it_stays_as_it_is(snapshot, tmp_path, refused):
    weights, _, network = golden("edm_ncsnpp")
    file = snapshot("EDMPrecond", weights, **network)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    message = refused(["convert", "edm", str(file), str(tmp_path / "out")])
    assert f"{tmp_path / 'out'}: a new or empty folder expected, got a full one" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]
    assert f"{file}: a new or empty folder expected, got a file" in refused(["convert", "edm", str(file), str(file)])


@pytest.fixture
def guided(tmp_path):
    """A checkpoint, its arguments as JSON, and what it should give."""
    weights, io, network = golden("guided_adm_class")
    torch.save(weights, tmp_path / "model.pt")
    (tmp_path / "network.json").write_text(json.dumps(network))
    return ["convert", "guided", str(tmp_path / "model.pt"), str(tmp_path / "out")], tmp_path / "network.json", io


@torch.no_grad()
def test_a_checkpoint_of_guided_diffusion_becomes_a_model_folder(guided, tmp_path):
    command, network, io = guided
    assert main([*command, "--network", str(network), "--noise-schedule", "cosine"]) == 0
    denoiser, info = load_model(tmp_path / "out")
    assert info.preconditioning.schedule.kind == "cosine"
    assert info.data.shape == (3, 16, 16)
    out = denoiser.unet(io["x"], io["t"], class_labels=io["y"]).sample
    torch.testing.assert_close(out, io["out"], rtol=0, atol=1e-5 * float(io["out"].abs().max()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("not json", "network.json: JSON expected"),
        ('["model_channels"]', "network: expected a mapping of fields"),
        ({"dims": 3}, "network.dims: expected 2, got 3"),
        ({"image_size": None}, "network.json: expected image_size"),
        ({"num_res_blocks": 2}, " missing ("),
    ],
)
def test_arguments_of_guided_diffusion_that_do_not_fit_are_refused(change, message, guided, tmp_path, refused):
    command, network, _ = guided
    changed = change if isinstance(change, str) else json.dumps({**json.loads(network.read_text()), **change})
    network.write_text(changed)
    assert message in refused([*command, "--network", str(network)])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("family", ["edm", "guided"])
def test_a_file_that_is_not_there_is_named(family, tmp_path, refused, guided):
    more = ["--network", str(guided[1])] if family == "guided" else []
    message = refused(["convert", family, str(tmp_path / "nothing"), str(tmp_path / "out"), *more])
    assert f"{tmp_path / 'nothing'}: No such file or directory" in message
