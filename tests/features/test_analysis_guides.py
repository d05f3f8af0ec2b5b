"""The guides to comparing layers and to the diffusion classifier: their commands run, with the images of the tests."""

from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize("name", ["comparing-layers", "diffusion-classifier"])
def test_the_commands_run(name, run_page, fashion_mnist):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    run_page(GUIDES / f"{name}.md")
