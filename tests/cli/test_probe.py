"""`unetdiff probe` and `unetdiff sweep`: what they print and write, and what is refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from tests.manifests import manifest
from unetdiff.cli.main import main
from unetdiff.cli.probe import ProbeOptions
from unetdiff.features.manifest import Manifest
from unetdiff.features.store_writer import StoreWriter
from unetdiff.probes.catalogue import PROBES
from unetdiff.probes.labelled import LabelledFeatures


@pytest.fixture
def store(tmp_path):
    """Features of three classes at two noise levels: the class itself, and with noise of its size."""
    for split, count in (("train", 60), ("test", 30)):
        generator = np.random.default_rng(count)
        labels = np.arange(count) % 3
        rows = np.eye(3, dtype=np.float32)[labels]
        facts = {"split": split, "data": split, "images": count, "shard_images": count, "classes": ("a", "b", "c")}
        described = manifest({"taps": ("mid_block.resnets.0",)}, shapes=((3,),), **facts)
        writer = StoreWriter(tmp_path / "store" / split, described)
        writer.begin(labels)
        clear, noisy = described.cells
        [name] = described.shards
        writer.write(name, {clear: rows, noisy: rows + generator.standard_normal(rows.shape).astype(np.float32)})
    return tmp_path / "store"


def test_table_best_cell_and_floor(store, capsys):
    assert main(["probe", str(store), "--head", "linear,knn"]) == 0
    out = capsys.readouterr().out
    assert "mid_block.resnets.0    0.1  1.000 (1.000)  1.000 (1.000)" in out
    assert "best linear: mid_block.resnets.0 at sigma 0.1, test 1.0000, held out 1.0000, rate 0.001" in out
    assert "most frequent class: 0.3333" in out


def test_of_one_probe_noise_levels_are_columns(store, capsys):
    assert main(["probe", str(store), "--head", "knn"]) == 0
    head, row, *_ = capsys.readouterr().out.splitlines()
    clear, noisy = (cell.sigma for cell in LabelledFeatures.open(store).cells)
    assert head.split() == ["knn", "of", "sigma", f"{clear:g}", "sigma", f"{noisy:g}"]
    node, *accuracies = row.split()
    assert node == "mid_block.resnets.0"
    assert accuracies[:2] == ["1.000", "(1.000)"]
    assert float(accuracies[2]) < 1


def test_csv_and_json_say_the_same(store, tmp_path, capsys):
    path = tmp_path / "probes.csv"
    assert main(["probe", str(store), "--head", "knn", "--few-shot", "2", "--csv", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert (told["train"], told["test"]) == (60, 30)
    assert len(told["results"]) == len(lines) == 4
    for result, line in zip(told["results"], lines, strict=True):
        assert f"{result['test']:.6f}" == line["test"]
        assert [str(cell["sigma"]) for cell in result["cells"]] == [str(float(line["sigma"]))]
        assert str(result["shots"] or "") == line["shots"]


def test_epochs_of_all_probes_that_are_trained_in_passes():
    long = ProbeOptions(head=",".join(PROBES), epochs=30).probes()
    usual = ProbeOptions(head=",".join(PROBES)).probes()
    assert {name for name in PROBES if long[name] == usual[name]} == {"logistic", "knn"}
    assert long["linear"].epochs == long["fusion"].training.epochs == 30


def test_chosen_cells_alone(store, capsys):
    assert main(["probe", str(store), "--head", "knn", "--cells", "mid_block@1", "--json"]) == 0
    [result] = json.loads(capsys.readouterr().out)["results"]
    assert result["cells"] == [{"node": "mid_block.resnets.0", "sigma": 1.0}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--head", "knm"], "head: expected names among linear"),
        (["--few-shot", "0"], "few_shot: expected numbers of at least 1"),
        (["--few-shot", "40"], "at least 40 rows of each class expected, got 20 of class 0"),
        (["--cells", "mid_block@7"], "cells: expected a noise level among 0.1, 1"),
        (["--epochs", "0"], "epochs: expected at least 1, got 0"),
        (["--held_out", "1"], "held_out: expected a number between 0 and 1"),
    ],
)
def test_refused_with_one_sentence_and_nothing_written(store, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stopped:
        main(["probe", str(store), "--head", "knn", "--csv", str(tmp_path / "out.csv"), *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.csv").exists()


def test_features_that_are_not_finite_are_refused(store, capsys):
    described = Manifest.read(store / "train")
    rows = np.full((60, 3), np.nan, np.float32)
    [name] = described.shards
    StoreWriter(store / "train", described).write(name, dict.fromkeys(described.cells, rows))
    with pytest.raises(SystemExit):
        main(["probe", str(store), "--head", "knn"])
    assert "finite numbers expected, got others in row 0" in capsys.readouterr().err


def test_a_sweep_of_images_without_labels_is_refused_before_it_begins(tmp_path, capsys):
    for split in ("train", "test"):
        (tmp_path / "images" / split).mkdir(parents=True)
        Image.new("L", (28, 28)).save(tmp_path / "images" / split / "one.png")
    with pytest.raises(SystemExit):
        main(["sweep", str(tmp_path / "images"), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
    assert "data: images with labels expected, got some without in the train split of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("fashion_mnist")
def test_sweep_with_baselines_goes_on_where_it_was(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "sweep", tmp_path / "sweep.png"
    options = ["--nodes", "conv_in", "--sigmas", "0.1,1", "--head", "knn", "--out", str(out), "--baselines"]
    assert main(["sweep", "fashion-mnist", *options, "--plot", str(plot)]) == 0
    assert "over noise, knn of conv_in falls" in capsys.readouterr().out
    lines = list(csv.DictReader((out / "sweep.csv").read_text().splitlines()))
    assert [(line["network"], line["node"], line["sigma"]) for line in lines] == [
        ("model", "conv_in", "0.1"),
        ("model", "conv_in", "1"),
        ("untrained", "conv_in", "0.1"),
        ("untrained", "conv_in", "1"),
        ("pixels", "pixels", "0"),
    ]
    assert plot.stat().st_size > 0
    first = (out / "sweep.csv").read_bytes()
    assert main(["sweep", "fashion-mnist", *options]) == 0
    assert capsys.readouterr().out.count("0 of 500 images done") == 2
    assert (out / "sweep.csv").read_bytes() == first
