"""`unetdiff skip-search` from end to end on a tiny model, and what it concludes from given distances."""

import csv
import json
import sys

import numpy as np
import pytest
import torch

from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.cli.skip_search import parser, print_table, run
from unetdiff.config import LevelConfig
from unetdiff.data.sources.fashion_mnist import CLASSES
from unetdiff.errors import InputError
from unetdiff.evaluation.distances import Distance, Estimate
from unetdiff.evaluation.generated import FeatureMaker
from unetdiff.evaluation.skip_curve import SkipCurve, SkipCurves
from unetdiff.model_folder import weights_hash
from unetdiff.pictures import read_png
from unetdiff.preconditioning import EDM
from unetdiff.skips import Constant

FEW = ["--n", "6", "--steps", "2,3,2", "--sampler", "heun,unipc,heun", "--rhos", "0.5", "--refine", "2"]


def make_model(folder, seed=0):
    levels = (LevelConfig(channels=8, depth=1), LevelConfig(channels=8, depth=1))
    unet = UNet(UNetConfig(in_channels=1, out_channels=1, levels=levels, num_classes=len(CLASSES)))
    torch.manual_seed(seed)
    for parameter in unet.parameters():
        torch.nn.init.normal_(parameter, mean=0.05, std=0.2)
    data = DataInfo(channels=1, height=8, width=8, classes=CLASSES)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(sigma_max=20.0), data=data))
    return folder


@pytest.fixture
def model(tmp_path):
    return make_model(tmp_path / "model")


@pytest.fixture
def search(fashion_mnist, model, tmp_path):
    """Give a function that runs the command; gives the settings that it wrote."""

    def run_(*options, out=model / "skip.json"):
        chosen = [str(model), "--folder", str(tmp_path / "work"), *FEW, *map(str, options)]
        run(parser().parse_args(chosen))
        return json.loads(out.read_text())["settings"]

    return run_


def table(folder):
    with (folder / "curves.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_written(search, model, tmp_path, capsys):
    settings = search("--plot", tmp_path / "curves.png")
    keys = ["sampler", "steps", "calls", "rho_bottom", "rho_top", "site", "sigma", "distance", "plain_distance"]
    assert [list(setting)[:9] for setting in settings] == [keys] * 4
    assert [(setting["sampler"], setting["steps"], setting["calls"]) for setting in settings] == [
        ("heun", 2, 3), ("heun", 3, 5), ("unipc", 2, 2), ("unipc", 3, 3),
    ]  # fmt: skip
    assert {setting["weights"] for setting in settings} == {weights_hash(model)}
    assert read_png(tmp_path / "curves.png").shape[1] > 2 * 400
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == str(model / "skip.json")
    assert [line.split()[:3] for line in printed[2:6]] == [
        ["heun", "2", "3"], ["heun", "3", "5"], ["unipc", "2", "2"], ["unipc", "3", "3"],
    ]  # fmt: skip
    assert printed[6].startswith("as many real training images: ")


def test_the_table_agrees_with_the_settings(search, tmp_path):
    settings, rows = search(), table(tmp_path / "work")
    for setting in settings:
        rows_of = [
            row for row in rows if row["sampler"] == setting["sampler"] and int(row["steps"]) == setting["steps"]
        ]
        searched = [row for row in rows_of if row["seeds"] == "0-5"]
        confirmed = {float(row["rho_bottom"]): float(row["distance"]) for row in rows_of if row["seeds"] == "6-11"}
        assert {0.5, 1.0} <= {float(row["rho_bottom"]) for row in searched}
        least = min(searched, key=lambda row: float(row["distance"]))
        assert set(confirmed) == {1.0, float(least["rho_bottom"])}
        assert confirmed[1.0] == pytest.approx(setting["plain_distance"], rel=1e-5)
        assert confirmed[setting["rho_bottom"]] == pytest.approx(setting["distance"], rel=1e-5)


def test_nothing_is_made_twice(search, monkeypatch):
    first = search()
    monkeypatch.setattr(FeatureMaker, "features", lambda self, images: pytest.fail("made again"))
    assert search() == first


@pytest.mark.parametrize("options", [["--site", "norm"], ["--sigma", "window:0.5,5"], ["--sigma", "auto"]])
def test_every_setting_reaches_the_images(search, tmp_path, options):
    narrow = ["--steps", "2", "--sampler", "heun", "--refine", "0"]
    search(*narrow)
    plain = table(tmp_path / "work")
    search(*narrow, *options)
    changed = table(tmp_path / "work")
    for before, after in zip(plain[:2], changed[:2], strict=True):
        assert (before == after) == (before["rho_bottom"] == "1.0")


def test_earlier_settings_of_the_same_weights_stay(search, model, tmp_path):
    out = tmp_path / "elsewhere" / "skip.json"
    search("--steps", "2", "--sampler", "heun", "--out", out, out=out)
    settings = search("--steps", "2,3", "--sampler", "heun", "--site", "norm", "--out", out, out=out)
    assert [(setting["steps"], setting["site"]) for setting in settings] == [(2, "norm"), (3, "norm")]
    settings = search("--steps", "2", "--sampler", "unipc", "--out", out, out=out)
    assert [setting["sampler"] for setting in settings] == ["heun", "heun", "unipc"]
    make_model(model, seed=1)
    settings = search("--steps", "2", "--sampler", "euler", "--out", out, out=out)
    assert [setting["sampler"] for setting in settings] == ["euler"]
    assert not (model / "skip.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "2"], "n: expected at least 3, got 2"),
        (["--refine", "-1"], "refine: expected at least 0, got -1"),
        (["--steps", "5,0"], "steps: expected positive numbers, got 5,0"),
        (["--steps", "5.5"], "steps: expected numbers with commas between, got '5.5'"),
        (["--rhos", "0.9,-1"], "rhos: expected finite numbers of 0 or more, got 0.9,-1"),
        (["--rhos", "0.9,nan"], "rhos: expected finite numbers of 0 or more, got 0.9,nan"),
        (["--sampler", "heun,hewn"], "sampler: expected names among euler, heun, .*, got hewn"),
        (["--sigma", "window:5,1"], "sigma: expected window:LO,HI with 0 <= LO < HI, got 'window:5,1'"),
        (["--sigma", "window"], "sigma: expected one of constant, increasing, decreasing, auto, window:LO,HI"),
        (["--data", "nowhere"], "source: expected fashion-mnist"),
        (["--plot", "curves.xyz"], "plot: expected a file ending in one of .*png.*, got curves.xyz"),
    ],
)
def test_what_is_refused(search, model, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        search(*options)
    assert not (model / "skip.json").exists()
    assert not (tmp_path / "work").exists()


def test_a_file_of_something_else_is_not_overwritten(search, model):
    (model / "skip.json").write_text('{"settings": 3}')
    with pytest.raises(InputError, match=r"skip.json: expected what skip-search writes"):
        search()
    assert (model / "skip.json").read_text() == '{"settings": 3}'


def test_the_shipped_model_wants_another_file():
    with pytest.raises(InputError, match="out: expected a file, since the shipped model's folder"):
        run(parser().parse_args([]))


def test_a_missing_matplotlib_is_named(search, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match=r"plot: expected matplotlib, got none; pip install 'unetdiff\[plots\]'"):
        search("--plot", "curves.png")


class ByRho(Distance):
    """A distance that is told by the features themselves: their first column."""

    def _estimate(self, x):
        return Estimate(value=self._value(x), replicates=x[:, 0])

    def _value(self, x):
        return x[:, 0].mean()

    def _resampled(self, x, draws):
        return np.array([self._value(x[rows]) for rows in draws])


def test_the_best_rho_is_judged_on_other_seeds(model, tmp_path, monkeypatch):
    """The first four seeds say that rho 0.5 is better by 1, the next four by 3."""
    monkeypatch.setattr("unetdiff.evaluation.skip_curve.skip_tuned", lambda denoiser, over_skips, *_: over_skips)

    def generated(self, over_skips, sampler, sigmas, seeds):
        level = [0.0 if over_skips.rho_bottom == 0.5 else 1.0 + 2 * (seed >= 4) for seed in seeds]
        return np.array(level, np.float32)[:, None]

    monkeypatch.setattr(FeatureMaker, "generated", generated)
    curves = SkipCurves(
        maker=FeatureMaker.load(model),
        distance=ByRho(np.zeros((2, 1))),
        folder=tmp_path,
        count=4,
        over_sigma=Constant(),
        site="concat",
    )
    curve = curves.measure("heun", 2, [0.5, 0.8], 0)
    assert {rho: estimate.value for rho, estimate in curve.distances.items()} == {0.5: 0, 0.8: 1, 1.0: 1}
    assert (curve.least, curve.plain.value, curve.tuned.value) == (0.5, 3, 0)


@pytest.mark.parametrize(
    ("least", "gain", "chosen", "verdict"),
    [
        (0.8, 2.1, 0.8, "better"),
        (0.8, 1.9, 1.0, "within two standard errors: rho stays 1"),
        (0.8, -2.1, 1.0, "worse on other seeds: rho stays 1"),
        (1.0, 0.0, 1.0, "no rho is better than 1"),
    ],
)
def test_rho_is_one_unless_another_helps_beyond_noise(capsys, least, gain, chosen, verdict):
    tuned = Estimate(value=0.0, replicates=np.zeros(2))
    plain = Estimate(value=gain, replicates=np.array([-1.0, 1.0]))  # a standard error of 1
    curve = SkipCurve(sampler="heun", steps=2, calls=3, distances={}, least=least, plain=plain, tuned=tuned)
    assert curve.chosen == chosen
    print_table([curve], floor=tuned)
    assert capsys.readouterr().out.splitlines()[2].endswith(f"  {verdict}")
