"""`unetdiff compress`: its stages, each made once and from the results of those before it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from unetdiff.cli.compress.folder import CompressionFolder
from unetdiff.cli.compress.report import Report
from unetdiff.cli.compress.stages import STAGES
from unetdiff.cli.main import main
from unetdiff.config import LevelConfig, MidConfig, ResnetConfig, UNetConfig
from unetdiff.describe import costs
from unetdiff.evaluation.classifier import load_classifier
from unetdiff.evaluation.distances import KernelDistance
from unetdiff.model_folder import DataInfo, ModelInfo, load_model, save_model
from unetdiff.pictures import read_png
from unetdiff.preconditioning import EDM
from unetdiff.prune.plan import Plan
from unetdiff.unet import UNet

DATA = Path(__file__).parents[1] / "data"
PLAN = ["--keep", "0.7", "--images", "4", "--batch_size", "2", "--protect", "down_blocks.0"]
TRAINING = ["--training.steps", "3", "--training.batch_size", "2", "--training.checkpoint_every", "1"]
JUDGE = ["--judge.images", "4", "--judge.steps", "2", "--judge.columns", "3"]
OPTIONS = [*PLAN, *TRAINING, "--training.num_workers", "0", *JUDGE, "--distill.task", "0.5"]
WEIGHTS = "model/unet/diffusion_pytorch_model.safetensors"
NETWORKS = {"teacher": "teacher", "pruned": "out/pruned", "distilled": "out/model"}


def write_model(folder, classes):
    """Of pictures of 8 x 8 pixels."""
    torch.manual_seed(0)
    levels = (LevelConfig(channels=8, depth=1), LevelConfig(channels=16, depth=1))
    config = UNetConfig(
        in_channels=1,
        out_channels=1,
        levels=levels,
        mid=MidConfig(),
        num_classes=10,
        resnet=ResnetConfig(norm_groups=4),
    )
    unet = UNet(config)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    data = DataInfo(channels=1, height=8, width=8, classes=classes)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(), data=data))


def compress(root, *options, out="out"):
    arguments = ["compress", str(root / "teacher"), "fashion-mnist", *OPTIONS, *options, "--out", str(root / out)]
    assert main(arguments) == 0
    return CompressionFolder(root / out)


@pytest.fixture(autouse=True)
def _cpu(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a model of Fashion-MNIST's classes in `teacher`, and all that comes of it in `out`."""
    root = tmp_path_factory.mktemp("compressed")
    write_model(root / "teacher", load_classifier()[0].config.classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        patch.setenv("UNETDIFF_DATA", str(DATA))
        patch.setenv("UNETDIFF_CACHE", str(root / "cache"))
        compress(root)
    return root


@pytest.fixture
def done(made, tmp_path, fashion_mnist):
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "done"))


@pytest.fixture
def root(made, tmp_path, fashion_mnist):
    """A copy of the model alone."""
    shutil.copytree(made / "teacher", tmp_path / "teacher")
    return tmp_path


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_report_has_the_numbers_of_the_stages(made):
    folder = CompressionFolder(made / "out")
    report, plan = Report.read(folder.report), Plan.read(folder.plan)
    assert Plan.read(folder.model / "plan.json") == plan
    assert UNet.from_pretrained(folder.model).config.removed == plan.removed
    assert report.removed == len(plan.removed) > 0
    for name, place in NETWORKS.items():
        row, unet = report.networks[name], load_model(made / place)[0].unet
        assert row.parameters == unet.num_parameters()
        assert row.macs == sum(cost.macs for cost in costs(unet.config, (8, 8)))
        assert row.milliseconds > 0
    assert report.networks["pruned"].parameters <= 0.7 * report.networks["teacher"].parameters
    assert report.networks["teacher"].output_loss == 0
    assert report.networks["distilled"].output_loss != report.networks["pruned"].output_loss > 0
    (reference,) = folder.features.glob("real-test-*.npy")
    kernel = KernelDistance(np.load(reference))
    for name in NETWORKS:
        rows = np.load(*folder.features.glob(f"{name}-*.npy"))
        assert len(rows) == report.images == 4
        assert report.distances[name].kernel.value == pytest.approx(kernel(rows).value, rel=1e-12)
    assert list(report.distances) == [*NETWORKS, "real"]
    assert "| distilled |" in folder.table.read_text(encoding="utf-8")


def test_the_picture_has_a_row_for_each_network(made):
    pixels = read_png(CompressionFolder(made / "out").picture)
    side, gap = 2 * 8, 2
    rows = [pixels[gap + row * (side + gap) :][:side, -3 * (side + gap) :] for row in range(3)]
    assert pixels.shape[0] == 3 * (side + gap) + gap
    assert not np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[1], rows[2])


def test_the_same_command_again_makes_nothing(done, capsys):
    before = times(done / "out")
    folder = compress(done)
    assert times(done / "out") == before
    assert capsys.readouterr().out == f"{Report.read(folder.report).text()}\n{folder.model}\n"


@pytest.mark.parametrize("stage", ["prune", "judge"])
def test_it_goes_on_with_what_is_there(done, stage):
    """As if it had been killed before the result of that stage; the training, before its last checkpoint."""
    folder = CompressionFolder(done / "out")
    first, weights = Report.read(folder.report), (folder.root / WEIGHTS).read_bytes()
    order = list(STAGES)
    earlier, lost = (
        [STAGES[name].result(folder) for name in names]
        for names in (order[: order.index(stage)], order[order.index(stage) :])
    )
    for result in lost:
        shutil.rmtree(result) if result.is_dir() else result.unlink()
    shutil.rmtree(folder.distilled / "checkpoints" / "step-0000003")
    kept = times(done / "out")
    compress(done)
    now = times(done / "out")
    assert [path for path in kept if path in earlier or path.parent in earlier if now[path] != kept[path]] == []
    assert (folder.root / WEIGHTS).read_bytes() == weights
    assert without_times(Report.read(folder.report)) == without_times(first)
    assert (folder.distilled / "checkpoints" / "step-0000003").exists() == (stage == "prune")


def without_times(report):
    return replace(report, networks={name: replace(row, milliseconds=0.0) for name, row in report.networks.items()})


def test_other_settings_are_refused_by_name(done, refused):
    before = times(done / "out")
    arguments = ["compress", str(done / "teacher"), "fashion-mnist", *OPTIONS, "--out", str(done / "out")]
    said = refused([*arguments, "--keep", "0.6", "--training.lr", "0.5", "--training.num_workers", "1"])
    assert "was begun with, got others: plan.keep was 0.7, is 0.6; training.lr was 0.0001, is 0.5\n" in said
    write_model(done / "teacher", ())
    shutil.rmtree(done / "teacher" / "unet")
    UNet.from_pretrained(done / "out" / "model").save_pretrained(done / "teacher" / "unet")
    assert "got others: model was " in refused(arguments)
    assert times(done / "out") == before


def test_without_a_classifier_the_output_loss_stands_alone(root, capsys):
    write_model(root / "teacher", tuple("abcdefghij"))
    folder = compress(root)
    assert not folder.features.exists()
    assert json.loads(folder.report.read_text())["distances"] == {}
    said = capsys.readouterr().out
    assert "no classifier for images of this model" in said
    assert "kernel" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "0.01"], "or more of the parameters expected"),
        (["--training.lr", "0"], "training.lr: expected a positive number, got 0"),
        (["--training.accumulation", "3"], "training.accumulation: expected a divisor of batch_size 2, got 3"),
        (["--judge.images", "2"], "judge.images: expected at least 3, got 2"),
        (["--distill.output", "-1"], "distill.output: expected 0 or more, got -1"),
        (["--distill.nodes", '["middle"]'], "distill.nodes: expected a pattern of names in the network, got middle"),
    ],
)
def test_what_a_stage_would_refuse_is_refused_before_the_first(root, refused, options, message):
    arguments = ["compress", str(root / "teacher"), "fashion-mnist", *OPTIONS, *options, "--out", str(root / "out")]
    assert message in refused(arguments)
    assert not (root / "out").exists()


def test_a_full_folder_is_not_overwritten(root, refused):
    arguments = ["compress", str(root / "teacher"), "fashion-mnist", *OPTIONS, "--out", str(root)]
    assert "a new or empty folder expected" in refused(arguments)
