"""`unetdiff sample --lora`."""

import json

import pytest
import torch

from unetdiff import load_model
from unetdiff.cli.main import main
from unetdiff.lora import LORA_FILE, LoraConfig, add_lora, lora_tensors, save_lora
from unetdiff.pictures import read_png

NAME = "class0001-seed000003.png"


@pytest.fixture
def lora(model, tmp_path):
    """As a run folder has it."""
    unet = load_model(model)[0].unet
    add_lora(unet, LoraConfig(rank=2))
    for tensor in lora_tensors(unet).values():
        torch.nn.init.normal_(tensor)
    save_lora(tmp_path / "tuned" / "model", unet)
    return tmp_path / "tuned"


def test_a_lora_changes_the_images_by_its_scale(sample, lora, tmp_path):
    def image(name, *options):
        return read_png(sample("--seeds", "3", *options, out=tmp_path / name) / NAME)

    plain, full, none = (
        image("plain"),
        image("full", "--lora", lora),
        image("none", "--lora", lora / "model" / LORA_FILE, "--lora-scale", "0"),
    )
    assert (full != plain).any()
    assert (none == plain).all()


def test_the_file_is_part_of_what_a_picture_says(sample, lora, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = sample("--seeds", "3", "--lora", lora, "--lora-scale", "0.7")
    row = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    assert (row["lora"], row["lora_scale"], len(row["lora_sha256"])) == (str(lora), 0.7, 64)
    assert main(["reproduce", str(folder / NAME)]) == 0
    assert "the same pixels" in capsys.readouterr().out
    file = lora / "model" / LORA_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SystemExit):
        main(["reproduce", str(folder / NAME)])
    assert f"{lora}: contents of hash {row['lora_sha256']} expected" in capsys.readouterr().err


def test_a_lora_without_its_model_and_a_model_as_a_lora_are_refused(refused_sample, lora, model):
    assert "a model folder expected, got a LoRA; name its model" in refused_sample(model=lora)
    assert f"a LoRA file or a folder with {LORA_FILE} expected" in refused_sample("--lora", model)
    assert "lora_scale: expected nothing without --lora, got 0.5" in refused_sample("--lora-scale", "0.5")
