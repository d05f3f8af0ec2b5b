"""The guide to features: its code runs on a part of Fashion-MNIST, and every option has its place in it."""

from dataclasses import fields
from pathlib import Path

import pytest

from unetdiff.cli.features import ExtractionOptions

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "features.md"


def test_its_code_runs(run_page, fashion_mnist):
    pytest.importorskip("sklearn")
    run_page(PAGE)


def test_it_names_every_option():
    text = PAGE.read_text(encoding="utf-8")
    names = {field.name for field in fields(ExtractionOptions)} - {"text_encoder", "codec"}
    assert sorted(name for name in names if f"--{name}" not in text) == []
