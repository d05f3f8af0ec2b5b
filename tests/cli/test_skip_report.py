"""`unetdiff skip-report` on a tiny model: its numbers are those of the diagnostics, its tables hold them."""

import json

import numpy as np
import pytest
import torch

from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.cli.skip_report import parser, run
from unetdiff.config import LevelConfig
from unetdiff.data.sources.fashion_mnist import CLASSES
from unetdiff.errors import InputError
from unetdiff.evaluation.generated import FeatureMaker
from unetdiff.evaluation.skip_report import Change, Mean, report_skips
from unetdiff.pictures import read_png
from unetdiff.preconditioning import EDM

LEVELS = (0.1, 1.0, 5.0)


def make_model(folder, num_classes=10, classes=CLASSES):
    levels = (LevelConfig(channels=8, depth=1), LevelConfig(channels=8, depth=1))
    unet = UNet(UNetConfig(in_channels=1, out_channels=1, levels=levels, num_classes=num_classes))
    torch.manual_seed(0)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, mean=0.05, std=0.2)
    data = DataInfo(channels=1, height=8, width=8, classes=classes)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(sigma_max=20.0), data=data))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def report(fashion_mnist, model, capsys):
    """Give a function that runs the command and gives what it printed."""

    def run_(*options, model=model):
        levels = ",".join(map(str, LEVELS))
        run(parser().parse_args([str(model), "--n", "8", "--levels", levels, *map(str, options)]))
        return capsys.readouterr().out

    return run_


@pytest.fixture
def maker(model):
    return FeatureMaker.load(model)


def test_json_holds_every_number(report, model, maker):
    found = json.loads(report("--rho", "0.5", "--json"))
    assert found["model"] == str(model)
    assert (found["n"], found["rho_bottom"], found["site"], found["sigma"]) == (8, 0.5, "concat", "constant")
    assert list(found["ratios"]) == list(maker.denoiser.unet.skips)
    assert {space: list(map(float, losses)) for space, losses in found["losses"].items()} == {
        "pixels": list(LEVELS),
        "features": list(LEVELS),
    }
    for change in [*found["losses"]["pixels"].values(), *found["losses"]["features"].values(), found["mmd"]]:
        assert change["tuned"] != change["plain"]
        assert change["difference"]["value"] == pytest.approx(change["tuned"] - change["plain"], rel=1e-6)
        assert change["difference"]["standard_error"] > 0


def test_without_tuning_nothing_changes(fashion_mnist, maker):
    data = maker.real_data("test", "fashion-mnist")
    found = report_skips(maker, data, 8, LEVELS, maker.denoiser)
    for change in [*found.losses["pixels"].values(), *found.losses["features"].values(), found.mmd]:
        assert change.difference == Mean(value=0.0, standard_error=0.0)
        assert not change.resolved


def test_a_perfect_denoiser_has_no_loss(fashion_mnist, maker):
    """The tuned one is told the images; losses are taken between the images in the model's range."""
    data = maker.real_data("test", "fashion-mnist")
    order = np.array_split(np.random.default_rng(0).permutation(100)[:8], 4)
    by_label = {tuple(data.labels[part]): maker.real_images(data, part) for part in order}

    def oracle(x, sigma, class_labels):
        return by_label[tuple(class_labels.tolist())]

    found = report_skips(maker, data, 8, LEVELS, oracle)
    for change in [*found.losses["pixels"].values(), *found.losses["features"].values()]:
        assert change.tuned == 0 < change.plain


@pytest.mark.parametrize(
    "options", [["--rho", "0.5"], ["--site", "residual"], ["--sigma", "window:0.5,5"], ["--sigma", "decreasing"]]
)
def test_every_setting_reaches_the_losses(report, options):
    plain, changed = json.loads(report("--json")), json.loads(report("--json", *options))
    assert plain["ratios"] == changed["ratios"]
    assert plain["losses"] != changed["losses"]
    assert plain["mmd"] != changed["mmd"]


def test_tables_hold_the_numbers(report, tmp_path):
    found, out = json.loads(report("--json")), report("--plot", tmp_path / "report.png")
    lines = [line.split() for line in out.splitlines()]
    for skip, ratio in found["ratios"].items():
        assert [skip, f"{ratio['value']:.3f}", "+-", f"{ratio['standard_error']:.3f}"] in lines
    for losses in found["losses"].values():
        for sigma, change in losses.items():
            row = next(line for line in lines if line[:2] == [f"{float(sigma):g}", f"{change['plain']:.4g}"])
            assert row[2] == f"{change['tuned']:.4g}"
    assert f"MMD^2 of inverted noise to a Gaussian {found['mmd']['plain']:.4g}" in out
    assert read_png(tmp_path / "report.png").shape[1] > 3 * 400


def test_means_and_their_errors():
    assert Mean.of(torch.tensor([1.0, 3.0])) == Mean(value=2.0, standard_error=1.0)
    change = Change.of(torch.tensor([[1.0, 2.0], [5.0, 8.0]]))
    assert change == Change(plain=3.0, tuned=5.0, difference=Mean(value=2.0, standard_error=1.0))
    assert not change.resolved
    assert Change.of(torch.tensor([[1.0, 2.1], [5.0, 8.0]])).resolved


def test_a_model_without_classes(report, tmp_path):
    found = json.loads(report("--json", model=make_model(tmp_path / "classless", None, ())))
    assert found["losses"]["pixels"]["1.0"]["plain"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "3"], "n: expected at least 4, got 3"),
        (["--n", "101"], "n: expected at most the 100 images of the test split, got 101"),
        (["--rho", "-1"], "rho: expected a finite number of 0 or more, got -1.0"),
        (["--levels", "1,0"], "levels: expected finite positive numbers, got 1,0"),
        (["--levels", "one"], "levels: expected numbers with commas between, got 'one'"),
        (["--sigma", "up"], "sigma: expected one of constant, .*, got 'up'"),
    ],
)
def test_what_is_refused(report, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        report("--plot", tmp_path / "report.png", *options)
    assert list(tmp_path.iterdir()) == []


def test_other_classes_are_refused(report, tmp_path):
    model = make_model(tmp_path / "other", 2, ("x", "y"))
    with pytest.raises(InputError, match="data: expected the model's classes x, y, got T-shirt/top, Trouser"):
        report(model=model)
