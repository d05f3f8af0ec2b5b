"""Fine-tuning a Stable Diffusion pipeline on a folder of captioned pictures by one command."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from unetdiff import load_model
from unetdiff.cli.main import main
from unetdiff.conditioning.captions import prepare_captions
from unetdiff.conditioning.text_encoder import TextConfig, load_encoder, text_info
from unetdiff.data import DataConfig, prepare
from unetdiff.errors import InputError
from unetdiff.lora import LORA_FILE

CAPTIONS = ("a fox", "", "red", "a very long caption of a fox")
KEPT = np.zeros(4, dtype=bool)

stable_diffusion = pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)


@pytest.fixture
def pipeline(bench, tmp_path):
    """A pipeline of diffusers, and on disk as `sd`; what is loaded into its network, which others use, is taken out."""
    made = bench.pipeline(bench.theirs)
    made.save_pretrained(tmp_path / "sd")
    yield made
    made.unload_lora_weights()


@pytest.fixture
def photos(tmp_path):
    """Four pictures of 32 x 32 with captions, one of them empty and one too long."""
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    rows = [{"file_name": f"{number}.png", "text": text} for number, text in enumerate(CAPTIONS)]
    for row in rows:
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / row["file_name"])
    (tmp_path / "photos" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "photos"


@pytest.fixture
def train(tmp_path, photos, monkeypatch):
    """Give a function that trains for two steps from `sd`, and gives the run folder."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    small = ["--steps", "2", "--batch_size", "2", "--num_workers", "0", "--data.size", "32", "--validation.every", "0"]
    out = tmp_path / "run"

    def run(*options):
        source = ["--init", str(tmp_path / "sd"), "--data.source", str(photos), "--out", str(out)]
        return ["train", *source, *small, *options]

    return run


def encoded(pipeline, texts):
    """(N, M, D), as the pipeline encodes them, cut where they are too long."""
    return torch.cat([pipeline.encode_prompt(text, "cpu", 1, False)[0] for text in texts])


@stable_diffusion
def test_a_caption_is_what_the_pipeline_makes_of_it(pipeline, photos, tmp_path, caplog):
    data = prepare(DataConfig(source=str(photos), size=32))
    info = text_info(TextConfig(encoder=str(tmp_path / "sd")))
    table = prepare_captions(data, info)
    assert caplog.messages[-1] == f"1 of 4 captions are longer than {info.context} tokens and are cut"
    taken, expected = table.take(np.arange(4), KEPT), encoded(pipeline, CAPTIONS)
    assert list(taken) == ["encoder_hidden_states"]
    states = taken["encoder_hidden_states"]
    torch.testing.assert_close(states, expected, rtol=2**-11, atol=1e-6)  # the cache is in half precision
    dropped = table.take(np.arange(4), ~KEPT)["encoder_hidden_states"]
    null = pipeline.encode_prompt("", "cpu", 1, True)[1]
    torch.testing.assert_close(dropped, null.expand(4, -1, -1), rtol=2**-11, atol=1e-6)
    assert (states[0] - dropped[0]).abs().max() > 0.1


@stable_diffusion
def test_one_command_gives_a_lora_that_the_pipeline_takes(pipeline, bench, train, tmp_path):
    run = tmp_path / "run"
    tuning = ["--optimizer.lr", "0.05", "--ema.init_args.decay", "0.1", "--lora", "rank=2"]
    preview = ["--preview.every", "2", "--preview.rows", "2", "--preview.columns", "1", "--preview.steps", "2"]
    assert main([*train(*tuning), *preview, "--preview.prompts", '["a cat", "red"]']) == 0
    assert (run / "samples" / "step-0000002.png").is_file()
    assert sum(tensor.abs().sum() for name, tensor in load_file(run / "model" / LORA_FILE).items() if "lora_B" in name)

    info = text_info(TextConfig(encoder=str(tmp_path / "sd")))
    card = (run / "model" / "README.md").read_text()
    assert f"sd, 12 tokens, sha256 {info.sha256[:12]}" in card

    plain = bench.image(pipeline)
    pipeline.load_lora_weights(run / "model")
    assert np.abs(bench.image(pipeline) - plain).max() > 1e-3

    command = ["sample", str(tmp_path / "sd"), "--prompts", "a red fox", "--seeds", "0", "--steps", "2"]
    assert main([*command, "--lora", str(run), "--out", str(tmp_path / "with")]) == 0
    assert main([*command, "--out", str(tmp_path / "without")]) == 0
    pictures = [(tmp_path / name / "prompt0000-seed000000.png").read_bytes() for name in ("with", "without")]
    assert pictures[0] != pictures[1]


@stable_diffusion
def test_a_network_trained_whole_names_the_pipelines_parts(pipeline, train, tmp_path):
    run, source = tmp_path / "run", tmp_path / "sd"
    assert main(train("--preview.every", "0")) == 0
    info = load_model(run)[1]
    assert info.text == text_info(TextConfig(encoder=str(source)))
    assert (info.text.context, info.codec.codec) == (12, str(source / "vae"))
    again = load_encoder(info.text).encode(CAPTIONS[:3])["encoder_hidden_states"]
    torch.testing.assert_close(again, encoded(pipeline, CAPTIONS[:3]), rtol=0, atol=1e-6)

    vocabulary = source / "tokenizer" / "tokenizer_config.json"
    vocabulary.write_text(vocabulary.read_text() + "\n")
    with pytest.raises(InputError, match="text encoder .* the files that the model was trained with"):
        load_encoder(info.text)


@stable_diffusion
def test_a_context_that_is_not_the_pipelines_is_refused(pipeline, train, tmp_path, refused):
    assert "text.context: null or the 12 tokens of" in refused(train("--text.context", "8"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("bench", ["StableDiffusionXLPipeline"], indirect=True)
def test_several_encoders_are_refused_before_anything_is_encoded(pipeline, train, tmp_path, refused):
    said = refused(train())
    assert "the one text encoder of Stable Diffusion 1 or 2 expected for training" in said
    assert "'text_encoder_2': 'CLIPTextModelWithProjection'" in said
    assert "encoding" not in said
    assert not (tmp_path / "run").exists()


@stable_diffusion
def test_an_encoder_of_another_class_is_refused(pipeline, tmp_path):
    index = tmp_path / "sd" / "model_index.json"
    index.write_text(index.read_text().replace("CLIPTextModel", "T5EncoderModel"))
    with pytest.raises(InputError, match=r"the one text encoder of Stable .* got \{'text_encoder': 'T5EncoderModel'\}"):
        text_info(TextConfig(encoder=str(tmp_path / "sd")))
