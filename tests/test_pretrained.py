"""`UNet.from_pretrained`: every form of folder gives the same tensors; what is wrong with one is said in a sentence."""

import copy
import json
import os
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from safetensors.torch import load_file, save_file
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.layouts import LAYOUTS, build, inputs
from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.errors import InputError
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM
from unetdiff.unet import UNet

DDPM = "DDPM (google/ddpm-cifar10-32)"
SDXL = "SDXL base"
STEM = "diffusion_pytorch_model"
WEIGHTS = f"{STEM}.safetensors"
OLD_NAMES = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}


@pytest.fixture(scope="module")
def theirs():
    return build(DDPM)


@pytest.fixture
def folder(theirs, tmp_path):
    theirs.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def same(unet, theirs):
    weights, expected = unet.state_dict(), theirs.state_dict()
    assert not unet.training
    return weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in expected)


class TestForms:
    def test_shards(self, theirs, tmp_path):
        theirs.save_pretrained(tmp_path, max_shard_size="50KB")
        assert len(list(tmp_path.glob("*-of-*.safetensors"))) > 2
        assert same(UNet.from_pretrained(tmp_path), theirs)

    def test_a_variant_beside_other_weights(self, theirs, folder):
        half = copy.deepcopy(theirs).half()
        half.save_pretrained(folder, variant="fp16")
        assert same(UNet.from_pretrained(folder, variant="fp16"), half.float())
        assert same(UNet.from_pretrained(folder), theirs)

    def test_a_sharded_variant(self, theirs, tmp_path):
        theirs.save_pretrained(tmp_path, variant="fp16", max_shard_size="50KB")
        assert same(UNet.from_pretrained(tmp_path, variant="fp16"), theirs)

    @pytest.mark.filterwarnings("ignore:This serialization format:FutureWarning")
    def test_a_sharded_variant_with_the_names_of_old_releases(self, theirs, tmp_path):
        theirs.save_pretrained(tmp_path, max_shard_size="50KB")
        for path in tmp_path.glob("*-of-*.safetensors"):
            path.rename(tmp_path / f"{path.stem}.fp16.safetensors")
        index = tmp_path / f"{WEIGHTS}.index.json"
        files = index.read_text().replace(".safetensors", ".fp16.safetensors")
        (tmp_path / f"{WEIGHTS}.fp16.index.json").write_text(files)
        index.unlink()
        assert same(UNet.from_pretrained(tmp_path, variant="fp16"), theirs)

    def test_a_state_dict_of_torch(self, theirs, tmp_path):
        theirs.save_pretrained(tmp_path, safe_serialization=False)
        assert [path.suffix for path in tmp_path.glob(f"{STEM}*")] == [".bin"]
        assert same(UNet.from_pretrained(tmp_path), theirs)

    def test_old_names_of_attention(self, theirs, folder):
        renamed = {}
        for name, tensor in load_file(folder / WEIGHTS).items():
            old = next((name.replace(new, old) for new, old in OLD_NAMES.items() if new in name), name)
            renamed[old] = tensor.clone()
        assert any("query" in name for name in renamed)
        save_file(renamed, folder / WEIGHTS)
        assert same(UNet.from_pretrained(folder), theirs)

    def test_a_subfolder_and_a_pipeline_folder(self, theirs, tmp_path):
        DDPMPipeline(unet=theirs, scheduler=DDPMScheduler()).save_pretrained(tmp_path)
        assert same(UNet.from_pretrained(tmp_path), theirs)
        assert same(UNet.from_pretrained(str(tmp_path), subfolder="unet"), theirs)
        assert same(UNet.from_pretrained(tmp_path / "unet"), theirs)

    def test_our_model_folder(self, tmp_path):
        unet = UNet(UNetConfig(levels=(LevelConfig(channels=8, depth=1),), resnet=ResnetConfig(norm_groups=4)))
        data = DataInfo(channels=3, height=8, width=8)
        save_model(tmp_path, unet, ModelInfo(preconditioning=EDM(), data=data))
        assert same(UNet.from_pretrained(tmp_path), unet)

    def test_the_info_of_the_loading_on_request(self, theirs, folder):
        unet, info = UNet.from_pretrained(folder, output_loading_info=True)
        assert same(unet, theirs)
        assert info["missing_keys"] == info["unexpected_keys"] == info["mismatched_keys"] == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [DDPM, "Fourier time embedding", SDXL])
def test_half_precision_is_the_cast_and_times_keep_theirs(name, dtype, tmp_path):
    theirs = build(name)
    theirs.save_pretrained(tmp_path)
    unet, theirs = UNet.from_pretrained(tmp_path, torch_dtype=dtype), theirs.to(dtype)
    assert same(unet, theirs)
    assert {parameter.dtype for parameter in unet.parameters()} == {dtype}
    times = torch.tensor([2, 999])
    torch.testing.assert_close(unet.time_proj(times), theirs.time_proj(times), rtol=0, atol=2e-4)  # angles to 1000


class Draws(TorchDispatchMode):
    """Counts the operations that fill real memory with random numbers."""

    count = 0

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        result = operation(*arguments, **(keywords or {}))
        if torch.Tag.nondeterministic_seeded in operation.tags and not result.is_meta:
            self.count += 1
        return result


def test_no_parameter_is_initialised_before_it_is_loaded(folder):
    with Draws() as draws:
        UNet.from_pretrained(folder)
        assert draws.count == 0
        torch.nn.Linear(2, 2)
        assert draws.count == 2, "weight and bias: this test sees no draws"


def rewrite(change):
    """Damage that edits the tensors of a folder."""

    def damage(folder: Path):
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS)

    return damage


def edit(**changes):
    def damage(folder: Path):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


def drop_middle(tensors):
    for name in [name for name in tensors if name.startswith("mid_block")]:
        del tensors[name]


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: .* expected, got nothing of that name"),
        (lambda folder: truncate(folder / "config.json"), "config.json: JSON expected, got"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json: a JSON object expected, got list"),
        (edit(_class_name="AutoencoderKL"), "_class_name: expected one of .*'UNet2DModel'.*, got 'AutoencoderKL'"),
        (edit(act_fn="gelu"), "act_fn: expected .*, got 'gelu'"),
        (edit(block_out_channels=[16, 32]), "down_block_types: expected 2 entries, one per level, got"),
        (lambda folder: (folder / WEIGHTS).unlink(), rf"weights in {WEIGHTS} expected, got \['config.json'\]"),
        (lambda folder: truncate(folder / WEIGHTS), f"{WEIGHTS}: a complete safetensors file expected, this one is"),
        (lambda folder: (folder / WEIGHTS).write_bytes(b""), f"{WEIGHTS}: a complete safetensors file expected"),
        (
            rewrite(drop_middle),
            r"got 30 missing \(mid_block.attentions.0.group_norm.bias, mid_block.attentions.0.group_norm.weight, "
            r"mid_block.attentions.0.to_k.bias, ...\)$",
        ),
        (rewrite(lambda tensors: tensors.update(extra=torch.zeros(1))), r"got 1 unexpected \(extra\)$"),
        (
            rewrite(lambda tensors: tensors.update({"conv_in.bias": torch.zeros(9)})),
            r"got 1 of another shape \(conv_in.bias \(9,\) instead of \(16,\)\)$",
        ),
    ],
)
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_what_is_wrong_with_a_folder_is_said_in_a_sentence(folder, damage, message, dtype, caplog):
    damage(folder)
    with pytest.raises(InputError, match=message) as error:
        UNet.from_pretrained(folder, torch_dtype=dtype)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)
    assert caplog.messages == []
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "does not appear to have a file named .*-00002-of-.*required according to the checkpoint index$"),
        (truncate, "-00002-of-.*safetensors: a complete safetensors file expected, this one is damaged"),
    ],
)
def test_a_shard_that_is_missing_or_damaged_is_named(theirs, tmp_path, damage, message):
    theirs.save_pretrained(tmp_path, max_shard_size="50KB")
    damage(next(tmp_path.glob(f"{STEM}-00002-of-*")))
    with pytest.raises(InputError, match=message):
        UNet.from_pretrained(tmp_path)


def test_a_damaged_index_of_shards_is_named(theirs, tmp_path):
    theirs.save_pretrained(tmp_path, max_shard_size="50KB")
    truncate(tmp_path / f"{WEIGHTS}.index.json")
    with pytest.raises(InputError, match=r"index\.json: JSON expected"):
        UNet.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("network-snapshot.pkl", "; `unetdiff convert edm network-snapshot.pkl OUT` makes one of it"),
        ("model.pt", "; `unetdiff convert guided model.pt OUT` makes one of it"),
        ("model.safetensors", ""),
    ],
)
def test_a_file_is_not_a_folder(tmp_path, name, hint):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(InputError) as error:
        UNet.from_pretrained(path)
    assert str(error.value) == f"{path}: a folder with config.json and weights expected, got a file{hint}"


def test_what_is_not_there_is_named(folder):
    with pytest.raises(InputError, match=rf"weights in {STEM}.fp16.safetensors expected, got .*'{WEIGHTS}'"):
        UNet.from_pretrained(folder, variant="fp16")
    with pytest.raises(InputError, match="model/unet/config.json: .* expected, got nothing of that name"):
        UNet.from_pretrained(folder, subfolder="unet")
    for nowhere in (folder / "nowhere", "/nowhere/at/all", Path("owner/name")):
        with pytest.raises(InputError, match="nowhere|owner/name: a folder or the name of a hub repository expected"):
            UNet.from_pretrained(nowhere)


@pytest.mark.filterwarnings("ignore:The `local_dir_use_symlinks`:UserWarning")  # diffusers' own call of the hub
def test_a_hub_repository_out_of_reach_is_one_sentence():
    with pytest.raises(InputError) as error:
        UNet.from_pretrained("nobody/no-such-network", local_files_only=True)
    message = str(error.value)
    assert message.startswith("nobody/no-such-network: a folder or a hub repository within reach expected, but ")
    assert "\n" not in message
    assert "http" not in message


class Command:
    """Pickled as a call of os.system."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_state_dict_of_torch_executes_nothing(folder):
    trace = folder / "executed"
    (folder / WEIGHTS).unlink()
    torch.save({"conv_in.weight": Command(f"touch {trace}")}, folder / f"{STEM}.bin")
    with pytest.raises(InputError, match="Unable to load weights from checkpoint file"):
        UNet.from_pretrained(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (SDXL, {"encoder_hidden_states": torch.zeros(2, 7, 25)}, r"encoder_hidden_states: expected 24 .*\(2, 7, 25\)"),
        (SDXL, {"encoder_hidden_states": torch.zeros(2, 24)}, r"encoder_hidden_states: expected 24 .*\(2, 24\)"),
        (SDXL, {"encoder_hidden_states": None}, "encoder_hidden_states: expected a tensor, .* got None"),
        (SDXL, {"added_cond_kwargs": None}, "added_cond_kwargs or vector: expected a tensor, .* got None"),
        (
            SDXL,
            {"added_cond_kwargs": {"text_embeds": torch.zeros(2, 21), "time_ids": torch.zeros(2, 6)}},
            r"added_cond_kwargs or vector: expected 68 channels in dimension 1, got shape \(2, 69\)",
        ),
        (SDXL, {"added_cond_kwargs": {"time_ids": torch.zeros(2, 6)}}, "expected text_embeds and time_ids, got"),
        (SDXL, {"timestep_cond": torch.zeros(2, 12)}, "timestep_cond: expected nothing, .* got a tensor"),
        ("latent consistency model", {"timestep_cond": torch.zeros(2, 13)}, "timestep_cond: expected 12 channels"),
        ("class index", {"class_labels": None}, "class_labels: expected a tensor, .* got None"),
        ("Stable unCLIP", {"class_labels": torch.zeros(2, 13)}, "class_labels: expected 12 channels"),
        ("Stable Diffusion 1.5", {"class_labels": torch.tensor([1, 2])}, "class_labels: expected nothing"),
    ],
)
def test_wrong_conditions_are_named(name, change, message):
    kind, fields = LAYOUTS[name]
    unet = UNet.from_config({"_class_name": kind, **fields})
    with pytest.raises(ValueError, match=message):
        unet(**{**inputs(name), **change})
