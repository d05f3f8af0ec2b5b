"""The guide to probes, run from top to bottom on 400 training and 100 test images."""

from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "probes.md"


@pytest.mark.usefixtures("fashion_mnist")
def test_guide_runs(run_page):
    run_page(GUIDE)
    assert Path("swept/sweep.csv").stat().st_size > 0
    assert Path("probes.csv").read_text(encoding="utf-8").startswith("network,probe,shots,node")
