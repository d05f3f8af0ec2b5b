"""`unetdiff features` of a model of texts: told nothing, and told the captions."""

from dataclasses import replace

import numpy as np

from unetdiff.cli.main import main
from unetdiff.features import Cell, FeatureStore

TAP = "down_blocks.1.attentions.0.transformer_blocks.0.attn2"


def test_features_of_a_model_of_texts(train, captioned, monkeypatch, tmp_path):
    folder = train()
    images = replace(
        captioned, images=captioned.images[:6], captions=captioned.captions[:6], labels=captioned.labels[:6]
    )
    monkeypatch.setattr("unetdiff.cli.features.prepare", lambda config: images)
    rows = {}
    for condition in ("null", "text"):
        out = tmp_path / condition
        options = ("--nodes", TAP, "--sigmas", "0.5", "--splits", "train", "--dtype", "float32")
        assert main(["features", str(folder), "there", *options, "--condition", condition, "--out", str(out)]) == 0
        rows[condition] = FeatureStore.open(out / "train")[Cell(TAP, 0.5)][:]
    empty = np.array([caption == "" for caption in images.captions])
    differences = np.abs(rows["null"] - rows["text"]).max(axis=1) / np.abs(rows["null"]).max()
    assert differences[empty].max() < 1e-6
    assert differences[~empty].min() > 1e-3
