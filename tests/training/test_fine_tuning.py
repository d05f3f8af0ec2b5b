"""Training that starts from a network: which weights move, what is kept, and that a kill changes nothing."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from unetdiff.config import AttentionConfig, LevelConfig
from unetdiff.errors import InputError
from unetdiff.lora import LORA_FILE, LoraConfig, fuse_lora, lora_tensors
from unetdiff.losses import EpsilonObjective
from unetdiff.model_folder import DataInfo, ModelInfo, load_model, save_model
from unetdiff.preconditioning import EDM
from unetdiff.training.averages import PowerEMA
from unetdiff.training.checkpoint import checkpoints
from unetdiff.training.loop import Trainer
from unetdiff.training.resume import starting_points
from unetdiff.unet import UNet

LORA = LoraConfig(rank=2, targets=("to_q", "to_out.0", "conv1"), dropout=0.1)
FREEZE = ("down_blocks", "*.norm1.weight")


@pytest.fixture
def model(model):
    """With attention, which adapters are usually for."""
    attention = AttentionConfig(head_channels=8)
    return replace(model, levels=(model.levels[0], LevelConfig(channels=8, depth=1, attention=attention)))


@pytest.fixture
def base(tmp_path, model):
    """A model folder of weights that do something."""
    return _save_base(tmp_path / "base", model, seed=1)


def _save_base(folder, model, seed):
    unet = UNet(model)
    torch.manual_seed(seed)
    for parameter in unet.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    data = DataInfo(channels=1, height=28, width=28)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(), data=data))
    return folder


@pytest.fixture
def tuned(small_run, base):
    """Makes configurations that start from `base`."""
    return lambda name="run", **changes: small_run(name, init=str(base), **changes)


class Killed(BaseException):
    """Leaves the loop as a kill does."""


def kill(config, data, after):
    trainer = Trainer(config, data)
    step = trainer.optimizer_step

    def interrupted(batches):
        if trainer.state.step == after:
            raise Killed
        return step(batches)

    trainer.optimizer_step = interrupted
    with pytest.raises(Killed):
        trainer.fit()


def go_on(config, data):
    trainer = Trainer(config, data, starts=starting_points(config.out / "checkpoints", "auto"))
    assert trainer.fit()
    return trainer


def assert_same(trainer, reference):
    for file, tensors in reference.state.tensors().items():
        for key, tensor in tensors.items():
            assert torch.equal(trainer.state.tensors()[file][key], tensor), f"{file} {key}"


def weights(folder):
    return load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")


def metrics(folder):
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["kind"] == "train"]


def test_a_run_starts_with_the_weights_of_init(tuned, data, base):
    trainer = Trainer(tuned(), data)
    for name, tensor in weights(base).items():
        assert torch.equal(trainer.state.unet.state_dict()[name], tensor), name
        assert torch.equal(trainer.state.ema.model.state_dict()[name], tensor), name
    assert all(parameter.requires_grad for parameter in trainer.state.unet.parameters())


@pytest.mark.parametrize("options", [{"freeze": FREEZE}, {"lora": LORA}, {}], ids=["freeze", "lora", "all"])
@pytest.mark.parametrize("after", [1, 4, 5])
def test_a_kill_at_any_step_changes_nothing(tuned, data, options, after, base):
    reference = go_on(tuned("whole", **options), data)
    kill(tuned("killed", **options), data, after)
    if "lora" not in options and after >= 2:
        shutil.rmtree(base)  # the checkpoint has all weights
    trainer = go_on(tuned("killed", **options), data)
    assert_same(trainer, reference)
    assert [line["loss"] for line in metrics(trainer.folder.root)] == [
        line["loss"] for line in metrics(reference.folder.root)
    ]


def test_what_is_frozen_stays_to_the_bit_and_costs_nothing(tuned, data, base):
    trainer = go_on(tuned(freeze=FREEZE), data)
    state, before, after = trainer.state, weights(base), weights(trainer.folder.model)
    frozen = {name for name in before if name.startswith("down_blocks.") or name.endswith(".norm1.weight")}
    assert 0 < len(frozen) < len(before)
    for name, tensor in before.items():
        assert torch.equal(state.unet.get_parameter(name), tensor) == (name in frozen), name
        assert torch.equal(after[name], tensor) == (name in frozen), name
    remembered = {key.partition(":")[0] for key in state.tensors()["optimizer.safetensors"]}
    assert remembered == set(before) - frozen
    for name in frozen:
        parameter = state.unet.get_parameter(name)
        assert parameter.grad is None
        assert state.ema.model.get_parameter(name) is parameter


def test_recomputing_the_frozen_part_changes_no_gradient(tuned, data):
    runs = [tuned(f"run-{on}", freeze=("down_blocks", "conv_in"), gradient_checkpointing=on) for on in (False, True)]
    plain, recomputed = (go_on(run, data).folder.root for run in runs)
    assert [line["grad_norm"] for line in metrics(plain)] == pytest.approx(
        [line["grad_norm"] for line in metrics(recomputed)], rel=1e-5
    )


def test_adapters_alone_are_trained_averaged_and_stored(tuned, data, base):
    trainer = go_on(tuned(lora=LORA), data)
    state = trainer.state
    kept = {name.replace(".base_layer", ""): tensor for name, tensor in state.unet.state_dict().items()}
    assert all(torch.equal(kept[name], tensor) for name, tensor in weights(base).items())
    (checkpoint,) = checkpoints(trainer.folder.checkpoints)[-1:]
    for name in ("weights", "ema"):
        assert load_file(checkpoint / f"{name}.safetensors").keys() == lora_tensors(state.unet).keys()
    assert {path.name for path in trainer.folder.model.iterdir()} == {LORA_FILE, "README.md"}

    average, (denoiser, _) = state.ema.model, load_model(base)
    x, labels = torch.randn(3, 1, 28, 28), torch.tensor([0, 4, -1])
    plain = denoiser.unet(x, 0.3, class_labels=labels).sample
    fuse_lora(denoiser.unet, trainer.folder.root)
    given, expected = (unet(x, 0.3, class_labels=labels).sample for unet in (denoiser.unet, average))
    assert (given - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (plain - expected).abs().max() > 1e-3 * expected.abs().max()


def test_a_changed_base_is_refused(tuned, data, model, base):
    kill(tuned(lora=LORA), data, after=3)
    _save_base(base, model, seed=2)
    with pytest.raises(InputError, match=r"belongs to another run: lora.base was [0-9a-f]{64}, is [0-9a-f]{64}"):
        go_on(tuned(lora=LORA), data)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"lora": LORA}, {"lora": replace(LORA, rank=3)}, "lora.rank was 2, is 3"),
        ({"freeze": ("conv_in",)}, {"freeze": ("conv_out",)}, "freeze.0 was conv_in, is conv_out"),
        ({"freeze": ("conv_in",)}, {}, "freeze.0 was conv_in, is None"),
    ],
    ids=["lora", "other", "none"],
)
def test_what_is_trained_stays_the_same_along_a_run(tuned, data, before, after, words):
    kill(tuned(**before), data, after=3)
    with pytest.raises(InputError, match=words):
        go_on(tuned(**after), data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"freeze": ("down_block.*",)}, r"freeze: expected a pattern .* near to it are .*down_blocks"),
        ({"freeze": ("*",)}, r"freeze: expected patterns that leave something to train, got \['\*'\]"),
        ({"lora": LoraConfig(targets=("nowhere",))}, r"lora.targets: expected a pattern of names in the network, got"),
        ({"objective": EpsilonObjective()}, r"objective: expected the preconditioning of .*base, EDM\(.*got Epsilon\("),
        ({"init": "no/such/folder"}, r"no/such/folder: a folder or the name of a hub repository expected"),
    ],
    ids=["pattern", "nothing left", "targets", "objective", "init"],
)
def test_what_cannot_be_is_refused(tuned, data, changes, words):
    with pytest.raises(InputError, match=words):
        Trainer(replace(tuned(), **changes), data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lora": LORA}, "init: expected a network for lora to adapt, got None"),
        ({"lora": LORA, "init": "x", "freeze": ("conv_in",)}, "freeze: expected nothing with lora"),
        ({"lora": LORA, "init": "x", "ema": PowerEMA(snapshot_every=2)}, "ema.snapshot_every: expected 0 with lora"),
    ],
)
def test_options_that_contradict_each_other_are_refused(small_run, changes, words):
    with pytest.raises(ValueError, match=words):
        small_run(**changes)


def test_every_trained_parameter_gets_a_gradient(small_run, data, model):
    """Processes wait for all of them: what no training uses is not trained, such as a guidance weight's projection."""
    told = replace(model, time=replace(model.time, cond_channels=4))
    trainer = Trainer(small_run(model=told), data)
    trainer.optimizer_step.rehearse([trainer.stream(1)[0]])
    parameters = dict(trainer.state.unet.named_parameters())
    assert {name for name, parameter in parameters.items() if parameter.grad is None} == {
        "time_embedding.cond_proj.weight"
    }
    assert not parameters["time_embedding.cond_proj.weight"].requires_grad


def test_adapters_need_the_network_as_it_is(tuned, data, model):
    more = replace(model, num_classes=12)
    assert Trainer(tuned(model=more), data).state.unet.config.num_classes == 12
    with pytest.raises(
        InputError, match=r"model: expected the network of init, as lora trains adapters alone, got: cl"
    ):
        Trainer(tuned(model=more, lora=LORA), data)


@pytest.mark.slow
def test_two_processes_train_what_is_not_frozen_as_one_does(tuned, data, model, tmp_path, ddp):
    plain = replace(model, resnet=replace(model.resnet, dropout=0.0))
    config = tuned("one", model=plain, freeze=FREEZE, steps=3)
    go_on(config, data)
    settings = {
        "out": str(tmp_path / "two"),
        "model": plain.to_dict(),
        "optimizer": {"lr": 1e-3, "warmup_steps": 2, "decay": "linear", "weight_decay": 0.01},
        "preview": {"every": 0},
        "freeze": list(FREEZE),
        **{name: getattr(config, name) for name in ("init", "steps", "batch_size", "num_workers", "log_every", "seed")},
    }
    (tmp_path / "two.yaml").write_text(json.dumps(settings))
    ddp(["--config", str(tmp_path / "two.yaml")])
    one, two = metrics(tmp_path / "one"), metrics(tmp_path / "two")
    for key in ("loss", "grad_norm"):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=1e-4)
