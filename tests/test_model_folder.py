"""Model folders: what is written is read back, what is wrong is named."""

import hashlib
import json
import resource
import signal
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file, save_file

import unetdiff
from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.denoiser import Denoiser
from unetdiff.errors import InputError
from unetdiff.model_folder import SHIPPED, DataInfo, ModelInfo, find_model, load_model, save_model, weights_hash
from unetdiff.noise import DiscreteSchedule
from unetdiff.preconditioning import EDM, Epsilon, RectifiedFlow, V
from unetdiff.unet import UNet

DATA = DataInfo(channels=1, height=6, width=8, classes=("a", "b", "c"))
INFO = ModelInfo(preconditioning=EDM(sigma_data=0.4, sigma_min=0.01, sigma_max=20.0), data=DATA, training={"steps": 7})
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def unet():
    level = LevelConfig(channels=8, depth=1)
    net = UNet(
        UNetConfig(
            in_channels=1, out_channels=1, levels=(level, level), num_classes=3, resnet=ResnetConfig(norm_groups=4)
        )
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net


@pytest.fixture
def folder(tmp_path, unet):
    save_model(tmp_path / "model", unet, INFO)
    return tmp_path / "model"


def test_the_network_and_what_belongs_to_it_come_back(folder, unet):
    denoiser, info = load_model(folder)
    assert info == INFO
    assert denoiser.unet.config == unet.config
    assert denoiser.preconditioning == INFO.preconditioning
    assert not denoiser.training
    for name, tensor in unet.state_dict().items():
        assert torch.equal(denoiser.unet.state_dict()[name], tensor), name


@pytest.mark.parametrize(
    "preconditioning", [EDM(), Epsilon(schedule=DiscreteSchedule(kind="cosine")), V(), RectifiedFlow()]
)
def test_every_preconditioning_goes_through_json(preconditioning):
    info = ModelInfo(preconditioning=preconditioning, data=DATA)
    assert ModelInfo.from_dict(json.loads(json.dumps(info.to_dict()))) == info


def test_half_precision_is_stored_and_loads_as_float32(tmp_path, unet):
    save_model(tmp_path, unet, INFO, torch.float16)
    assert {tensor.dtype for tensor in load_file(tmp_path / WEIGHTS).values()} == {torch.float16}
    loaded = load_model(tmp_path)[0].unet.state_dict()
    for name, tensor in unet.state_dict().items():
        assert torch.equal(loaded[name], tensor.half().float()), name
    assert unet.dtype == torch.float32


def test_a_run_folder_means_its_model(folder):
    assert find_model(folder.parent) == folder
    assert find_model(str(folder)) == folder
    assert find_model(None) == SHIPPED


def test_the_shipped_model_has_a_name_that_a_folder_of_that_name_hides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("fashion-mnist") == SHIPPED
    (tmp_path / "fashion-mnist").mkdir()
    assert find_model("fashion-mnist") == Path("fashion-mnist")


def test_the_hash_is_of_the_file(folder, unet):
    before = weights_hash(folder)
    assert before == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    with torch.no_grad():
        next(unet.parameters()).add_(1)
    save_model(folder, unet, INFO)
    assert weights_hash(folder) != before


def test_saving_again_leaves_nothing_aside(folder, unet):
    save_model(folder, unet, INFO)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["README.md", "denoiser.json", "unet/config.json", WEIGHTS]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_the_python_of_the_model_card_runs(folder, monkeypatch):
    card = (folder / "README.md").read_text()
    names: dict[str, object] = {}
    monkeypatch.chdir(folder)
    exec(card.split("```python\n")[1].split("```")[0], names)
    assert names["images"].shape == (8, 1, 6, 8)
    assert "| steps | 7 |" in card
    assert f"| parameters | {sum(p.numel() for p in load_model('.')[0].parameters()):,} |" in card


def test_a_full_disk_leaves_the_old_model(folder, unet):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as error:
            save_model(folder, unet, INFO)
        assert error.value.filename == str(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:-100])


def rename_tensor(path: Path):
    tensors = load_file(path)
    tensors["conv_in.wait"] = tensors.pop("conv_in.weight")
    save_file(tensors, path)


def widen_tensor(path: Path):
    tensors = load_file(path)
    tensors["conv_in.bias"] = torch.zeros(99)
    save_file(tensors, path)


def edit(**changes):
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("denoiser.json", Path.unlink, "denoiser.json: a file of a model folder expected, got nothing of that name"),
        ("unet/config.json", Path.unlink, "config.json: a file of a model folder expected, got nothing of that name"),
        (WEIGHTS, Path.unlink, r"unet: weights in diffusion_pytorch_model.safetensors expected, got \['config.json'\]"),
        (WEIGHTS, truncate, "safetensors: a complete safetensors file expected, this one is damaged"),
        (WEIGHTS, lambda path: path.write_bytes(b""), "a complete safetensors file expected, this one is damaged"),
        (WEIGHTS, rename_tensor, r"got 1 missing \(conv_in.weight\), 1 unexpected \(conv_in.wait\)"),
        (WEIGHTS, widen_tensor, "unet: .*conv_in.bias"),
        ("denoiser.json", truncate, "denoiser.json: JSON expected"),
        ("denoiser.json", lambda path: path.write_text("[]"), "a JSON object expected, got list"),
        (
            "denoiser.json",
            edit(preconditioning={"kind": "EDM", "sigma_min": -1.0}),
            "json: sigma_min, sigma_max: expected 0 <",
        ),
        (
            "denoiser.json",
            edit(preconditioning={"kind": "EDM", "sigma_min": "low"}),
            "preconditioning.sigma_min: expected a value",
        ),
        ("denoiser.json", edit(extra=1), "denoiser.json: denoiser: expected the keys"),
        ("denoiser.json", edit(preconditioning={"kind": "EDN"}), "preconditioning.kind: expected one of"),
        ("denoiser.json", edit(preconditioning="EDM"), "preconditioning: expected an object"),
        ("denoiser.json", edit(data={"channels": 1}), "denoiser.json: data: .*height"),
        ("unet/config.json", truncate, "config.json: JSON expected"),
        ("unet/config.json", edit(_class_name="VQModel"), "unet: _class_name: expected one of .*, got 'VQModel'"),
        ("unet/config.json", edit(levles=[]), "unet: .*levles"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(folder, file, damage, message):
    damage(folder / file)
    with pytest.raises(InputError, match=message):
        load_model(folder)


def test_what_is_not_a_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: a model folder or a run folder expected, got nothing of that name"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: a model folder or a run folder expected, got another file"):
        load_model(str(tmp_path / "file"))


def test_the_package_offers_it():
    assert unetdiff.load_model is load_model
    assert all(hasattr(unetdiff, name) for name in unetdiff.__all__)
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        unetdiff.load_modle  # noqa: B018


def test_a_denoiser_comes_from_a_model_folder_of_ours_and_from_a_pipeline(folder, unet, tmp_path):
    denoiser = Denoiser.from_pretrained(folder)
    assert denoiser.preconditioning == INFO.preconditioning
    assert all(torch.equal(a, b) for a, b in zip(denoiser.unet.parameters(), unet.parameters(), strict=True))
    (folder / "denoiser.json").unlink()
    DDPMScheduler(prediction_type="v_prediction").save_pretrained(folder / "scheduler")
    assert Denoiser.from_pretrained(folder).preconditioning == V()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("denoiser.json", "[]", "a JSON object expected, got list"),
        ("denoiser.json", "{}", "preconditioning.kind: expected one of"),
        ("denoiser.json", '{"preconditioning": 1}', "preconditioning: expected an object, got 1"),
        ("denoiser.json", "{", "denoiser.json: JSON expected"),
        ("scheduler/scheduler_config.json", "[]", "a JSON object expected, got list"),
        ("scheduler/scheduler_config.json", '{"_class_name": "DDIMScheduler"}', "scheduler._class_name: expected"),
    ],
)
def test_what_is_wrong_with_a_denoisers_file_is_named(folder, file, content, message):
    (folder / "denoiser.json").unlink()
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=message):
        Denoiser.from_pretrained(folder)
