"""`unetdiff distill` is `unetdiff train` with shorter names."""

import json

import pytest
import yaml

from unetdiff import load_model
from unetdiff.cli.distill import as_training
from unetdiff.cli.main import main
from unetdiff.config import LevelConfig, MidConfig, UNetConfig
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM
from unetdiff.prune import prune
from unetdiff.unet import UNet

REMOVED = {"up_blocks.0.resnets.1": "shortcut"}


@pytest.fixture
def folders(tmp_path, monkeypatch, fashion_mnist):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    config = UNetConfig(in_channels=1, out_channels=1, levels=(LevelConfig(channels=8, depth=1),), mid=MidConfig())
    info = ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=28, width=28))
    unet = UNet(config)
    save_model(tmp_path / "teacher", unet, info)
    save_model(tmp_path / "student", prune(unet, REMOVED), info)
    return tmp_path


ARGUMENTS = ["distill", "--teacher", "teacher", "--student", "student", "--data", "fashion-mnist", "--out", "run"]
SHORT = ["--steps", "2", "--batch-size", "4", "--num-workers", "0", "--preview.every", "0", "--validation.every", "0"]


def test_a_pruned_model_is_distilled_and_the_run_repeats_itself(folders):
    options = ["--distill.feature-loss", "unetdiff.distillation.PlainFeatures", "--distill.task", "0.5"]
    assert main([*ARGUMENTS, *SHORT, *options, "--log-every", "1"]) == 0
    assert load_model(folders / "run")[0].unet.config.removed == REMOVED
    written = yaml.safe_load((folders / "run" / "config.yaml").read_text())
    assert written["init"] == "student"
    given = written["distill"]["init_args"]
    assert (given["teacher"], given["task"], given["output"]) == ("teacher", 0.5, 1.0)
    assert given["feature_loss"]["class_path"].endswith("PlainFeatures")
    assert main(["train", "--config", "run/config.yaml", "--out", "again"]) == 0
    first, again = (
        [json.loads(line)["terms"] for line in (folders / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("run", "again")
    )
    assert len(first) == 2
    assert first == again


@pytest.mark.parametrize("kind", ["ProgressiveDistillation", "ConsistencyDistillation"])
def test_without_a_student_the_teacher_is_where_it_starts(folders, kind):
    arguments = ["distill", "--teacher", "teacher", "--data", "fashion-mnist", "--out", "run"]
    options = ["--distill", f"unetdiff.distillation.{kind}", "--distill.steps", "4"]
    assert main([*arguments, *SHORT, *options]) == 0
    written = yaml.safe_load((folders / "run" / "config.yaml").read_text())
    assert (written["init"], written["distill"]["init_args"]["steps"]) == ("teacher", 4)


def test_what_is_not_short_passes_through():
    assert as_training(["--config", "run/config.yaml", "--steps", "9"]) == [
        "--config",
        "run/config.yaml",
        "--steps",
        "9",
    ]
    assert as_training(["--teacher=t", "--init", "s", "--data.split", "test"]) == [
        *("--init=s", "--distill=unetdiff.distillation.knowledge.KnowledgeDistillation", "--distill.teacher=t"),
        *("--data.split", "test"),
    ]


def test_a_teacher_is_needed(refused):
    words = "unetdiff distill: error: teacher: expected a model to learn from, got none"
    assert words in refused(["distill", "--data", "fashion-mnist", "--out", "run"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--teacher", "nowhere/at/all"], "nowhere/at/all: a folder or the name of a hub repository expected"),
        (["--distill.task", "-1"], "distill.task: expected 0 or more, got -1"),
        (["--distill.nodes", '["nothing"]'], "distill.nodes: expected a pattern of names in the network, got nothing"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(folders, refused, arguments, words):
    assert words in refused([*ARGUMENTS, *SHORT, *arguments])
    assert not (folders / "run").exists()
