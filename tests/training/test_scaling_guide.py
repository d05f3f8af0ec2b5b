"""The guide to scaling: its commands run, with the images of the tests and a small network in the configuration."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONFIG = "configs/fashion-mnist.yaml"


@pytest.mark.slow
def test_the_commands_run(run_page, fashion_mnist, model, tmp_path):
    settings = yaml.safe_load((ROOT / CONFIG).read_text(encoding="utf-8"))
    (tmp_path / CONFIG).parent.mkdir()
    (tmp_path / CONFIG).write_text(yaml.safe_dump({**settings, "model": model.to_dict()}), encoding="utf-8")
    run_page(ROOT / "docs" / "guides" / "scaling.md")
