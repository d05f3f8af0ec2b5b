"""A text encoder of two layers, made on the spot, and a run of a network that attends to it."""

from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from unetdiff.cli.main import main
from unetdiff.data import DataConfig, prepare

CONTEXT = 6
WIDTH = 8

YAML = f"""
validation: {{every: 0}}
steps: 3
batch_size: 8
num_workers: 0
log_every: 1
seed: 3
model:
  in_channels: 1
  out_channels: 1
  cross_attention_dim: {WIDTH}
  levels: [{{channels: 8, depth: 1}}, {{channels: 8, depth: 1, attention: {{kind: transformer}}}}]
  mid: {{depth: 0}}
  resnet: {{norm_groups: 4}}
text: {{context: {CONTEXT}}}
preview: {{every: 3, rows: 2, columns: 2, steps: 2}}
"""


def save_encoder(folder, seed=0, **fields):
    """A BERT of random weights that knows some words."""
    folder.mkdir()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, "a", "red", "blue", "green", "round", "shirt", "shoe", "bag", "big", "small"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        initializer_range=0.5,
        **fields,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("text") / "encoder")


@pytest.fixture
def captioned(fashion_mnist):
    """Fashion-MNIST with a caption for every image, some of them empty."""
    data = prepare(DataConfig())
    captions = tuple(["a red shirt", "", "round bag", "a big big big big big shoe"][image % 4] for image in range(400))
    return replace(data, captions=captions)


@pytest.fixture
def train(tmp_path, captioned, encoder, monkeypatch):
    """Give a function that trains on `captioned` by the command and gives the run folder."""
    (tmp_path / "text.yaml").write_text(YAML)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setattr("unetdiff.training.images.prepare", lambda config: captioned)

    def run(*options):
        command = ["train", "--config", str(tmp_path / "text.yaml"), "--out", str(tmp_path / "run")]
        assert main([*command, "--text.encoder", str(encoder), *options]) == 0
        return tmp_path / "run"

    return run
