"""The guide to pruning: its code runs on a part of Fashion-MNIST, and every option has its place in it."""

from dataclasses import fields
from pathlib import Path

import pytest

from unetdiff.cli.compress.options import JudgeOptions, TrainingOptions
from unetdiff.cli.prune.options import PruneOptions, ScoringOptions
from unetdiff.cli.reshape import ShapeOptions
from unetdiff.distillation import KnowledgeDistillation
from unetdiff.prune.planning import PlanConfig
from unetdiff.prune.scores import CRITERIA

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "pruning.md"


def test_its_code_runs(run_page, fashion_mnist, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    pytest.importorskip("matplotlib")
    run_page(PAGE)


def test_it_names_every_option_and_criterion():
    text = PAGE.read_text(encoding="utf-8")
    names = {field.name for kind in (PruneOptions, ScoringOptions, ShapeOptions, PlanConfig) for field in fields(kind)}
    names |= {f"training.{field.name}" for field in fields(TrainingOptions)}
    names |= {f"judge.{field.name}" for field in fields(JudgeOptions)}
    names |= {f"distill.{field.name}" for field in fields(KnowledgeDistillation) if field.name != "teacher"}
    assert sorted(name for name in names - {"text_encoder", "codec", "device"} if f"--{name}" not in text) == []
    assert [name for name in CRITERIA if f"`{name}`" not in text] == []
