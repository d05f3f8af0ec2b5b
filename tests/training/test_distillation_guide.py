"""The guide to distillation: its commands run, and every option of a distillation has its place in it."""

from dataclasses import fields
from pathlib import Path

import pytest

from unetdiff import distillation

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "distillation.md"
KINDS = [
    kind
    for kind in vars(distillation).values()
    if isinstance(kind, type) and issubclass(kind, (distillation.Distillation, distillation.FeatureLoss))
]


@pytest.mark.slow
def test_its_commands_run(run_page, fashion_mnist):
    run_page(PAGE)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if not kind.__abstractmethods__], ids=lambda kind: kind.__name__
)
def test_it_names_every_kind_and_its_options(kind):
    text = PAGE.read_text(encoding="utf-8")
    assert f"`{kind.__name__}`" in text
    assert [field.name for field in fields(kind) if field.name not in text] == []
