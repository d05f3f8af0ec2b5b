"""`unetdiff sample` with a model of vectors."""

import json
from itertools import combinations

import numpy as np
import pytest

from benchmarks.layouts import randomise
from unetdiff.cli.loaded_model import LoadedModel
from unetdiff.cli.main import main
from unetdiff.config import LevelConfig, ResnetConfig, UNetConfig
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.pictures import read_png
from unetdiff.preconditioning import EDM
from unetdiff.sample_identity import Sample
from unetdiff.unet import UNet

ROWS = np.array([[0.1, -2.0], [1 / 3, 1e-9]], np.float32)


def save_vectored(folder, num_classes=None):
    level = LevelConfig(channels=32, depth=1)
    unet = UNet(
        UNetConfig(
            in_channels=1,
            out_channels=1,
            levels=(level, level),
            mid=None,
            vector_channels=2,
            num_classes=num_classes,
            resnet=ResnetConfig(norm_groups=4),
        )
    )
    randomise(unet)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(), data=DataInfo(channels=1, height=8, width=8)))
    return folder


@pytest.fixture
def rows(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "rows.npy"


@pytest.fixture
def vectored(tmp_path):
    return save_vectored(tmp_path / "model")


def test_an_image_for_every_vector(sample, vectored, rows):
    folder = sample("--vectors", rows, "--seeds", "0", "--guidance", "2", model=vectored)
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["vector0000-seed000000.png", "vector0001-seed000000.png"]
    assert (read_png(folder / rows[0]["file"]) != read_png(folder / rows[1]["file"])).any()
    subjects = [Sample.from_facts(row).subject for row in rows]
    model = LoadedModel.load(vectored, "cpu")
    assert (model.condition(subjects)["vector"].numpy() == ROWS).all()
    assert (model.null_condition(subjects, None)["vector"] == 0).all()


def test_each_vector_in_each_class(sample, rows, tmp_path):
    model = save_vectored(tmp_path / "both", num_classes=3)
    folder = sample("--vectors", rows, "--classes", "0,2", "--seeds", "0", "--guidance", "2", model=model)
    facts = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert [(one["vector"], one["class"]) for one in facts] == [(0, 0), (0, 2), (1, 0), (1, 2)]
    images = [read_png(folder / one["file"]) for one in facts]
    assert all((one != other).any() for one, other in combinations(images, 2))
    again = tmp_path / "again.png"
    assert main(["reproduce", str(folder / facts[1]["file"]), "--out", str(again)]) == 0
    assert np.array_equal(read_png(again), images[1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "vectors: a file expected"),
        (np.zeros((1, 3)), r"vectors: rows of 2 numbers expected, got (1, 3)"),
        (np.zeros((0, 2)), r"vectors: rows of 2 numbers expected, got (0, 2)"),
        (np.array([[0.0, np.nan]]), "vectors: finite numbers expected"),
        (np.array([["a", "b"]]), "vectors: finite numbers expected"),
    ],
)
def test_what_does_not_fit_is_refused(refused_sample, vectored, tmp_path, rows, message):
    np.save(tmp_path / "bad.npy", np.zeros(0) if rows is None else rows)
    options = [] if rows is None else ["--vectors", tmp_path / "bad.npy"]
    assert message in refused_sample(*options, model=vectored)


def test_a_model_of_classes_has_no_vectors(refused_sample, tmp_path):
    assert "vectors: a model of vectors expected" in refused_sample("--vectors", tmp_path / "rows.npy")
