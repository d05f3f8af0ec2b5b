"""The guide to evaluation runs, with a small model and a small data set."""

from pathlib import Path

from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.config import LevelConfig
from unetdiff.data.sources.fashion_mnist import CLASSES
from unetdiff.preconditioning import EDM

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "evaluation.md"


def test_the_guide_runs(fashion_mnist, tmp_path, run_page):
    unet = UNet(UNetConfig(in_channels=1, out_channels=1, levels=(LevelConfig(channels=8),), num_classes=10))
    data = DataInfo(channels=1, height=28, width=28, classes=CLASSES)
    save_model(tmp_path / "run", unet, ModelInfo(preconditioning=EDM(), data=data))
    run_page(GUIDE)
    assert (tmp_path / "report.json").is_file()
    assert (tmp_path / "table.csv").is_file()
    assert len(list((tmp_path / "compared").glob("run-*/manifest.jsonl"))) == 5  # one row is in both comparisons
