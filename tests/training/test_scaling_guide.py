"""The guide to scaling: its commands run, with the images of the tests."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_commands_run(run_page, fashion_mnist, tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    run_page(ROOT / "docs" / "guides" / "scaling.md")
