"""Conditions from prompts are those of diffusers' pipelines."""

import json

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging

from benchmarks.layouts import randomise
from unetdiff.errors import InputError
from unetdiff.text import Framing, load_text

CONTEXT = 12
TOLERANCE = 1e-6  # relative to the largest number
PROMPTS = ["a red fox", "", "be", "ten words bc"]
LONG = "a very long prompt"
FRAMING = Framing(target=(64, 48), original=(128, 100), crop=(3, 5), aesthetic_score=2.5)


def tokenizer(folder, pad):
    """Letters, each alone and at the end of a word."""
    letters = [*(chr(code) for code in range(ord("a"), ord("z") + 1)), "!"]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=pad, model_max_length=CONTEXT
    )


def text_encoder(kind, width, **fields):
    config = CLIPTextConfig(
        vocab_size=56,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
        projection_dim=20,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        **fields,
    )
    model = kind(config).eval().requires_grad_(False)
    randomise(model, seed=width)
    return model


@pytest.fixture
def stable_diffusion(tmp_path):
    """Give a function that makes and saves the text part of a pipeline."""

    def save(**fields):
        pipeline = StableDiffusionPipeline(
            text_encoder=text_encoder(CLIPTextModel, 24, **fields),
            tokenizer=tokenizer(tmp_path, "<|endoftext|>"),
            vae=None,
            unet=None,
            scheduler=None,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        pipeline.save_pretrained(tmp_path)
        return pipeline

    return save


@pytest.fixture
def stable_diffusion_xl(tmp_path):
    """As `stable_diffusion`; the refiner has the second encoder alone."""

    def save(kind=StableDiffusionXLPipeline, refiner=False, **settings):
        pipeline = kind(
            text_encoder=None if refiner else text_encoder(CLIPTextModel, 8),
            text_encoder_2=text_encoder(CLIPTextModelWithProjection, 16),
            tokenizer=None if refiner else tokenizer(tmp_path, "<|endoftext|>"),
            tokenizer_2=tokenizer(tmp_path, "!"),
            vae=None,
            unet=None,
            scheduler=None,
            add_watermarker=False,
            **settings,
        )
        pipeline.save_pretrained(tmp_path)
        return pipeline

    return save


@pytest.fixture
def with_text_model(monkeypatch):
    """The module that diffusers' `clip_skip` looks for, and that transformers 5 has no more."""
    if not hasattr(text_encoder(CLIPTextModel, 8), "text_model"):
        monkeypatch.setattr(CLIPTextModel, "text_model", property(lambda self: self), raising=False)


def assert_same(found, expected):
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert (found - expected).abs().max() <= TOLERANCE * expected.abs().max()


class TestStableDiffusion:
    @pytest.mark.parametrize("mask", [None, False, True])
    def test_the_condition_is_the_pipelines(self, mask, stable_diffusion, tmp_path):
        pipeline = stable_diffusion(**({} if mask is None else {"use_attention_mask": mask}))
        text = load_text(tmp_path)
        expected, negative = pipeline.encode_prompt(PROMPTS, "cpu", 1, do_classifier_free_guidance=True)
        condition = text.encode(PROMPTS)
        assert condition.keys() == {"encoder_hidden_states"}
        assert_same(condition["encoder_hidden_states"], expected)
        assert_same(text.unconditional()["encoder_hidden_states"], negative[:1])

    @pytest.mark.parametrize("clip_skip", [0, 1, 3])
    @pytest.mark.usefixtures("with_text_model")
    def test_layers_are_left_out_as_in_the_pipeline(self, clip_skip, stable_diffusion, tmp_path):
        pipeline = stable_diffusion()
        expected, _ = pipeline.encode_prompt(PROMPTS, "cpu", 1, False, clip_skip=clip_skip)
        assert_same(load_text(tmp_path).encode(PROMPTS, clip_skip=clip_skip)["encoder_hidden_states"], expected)

    def test_a_long_prompt_is_cut_where_the_pipeline_cuts_it(self, stable_diffusion, tmp_path):
        pipeline = stable_diffusion()
        expected, _ = pipeline.encode_prompt([LONG], "cpu", 1, do_classifier_free_guidance=False)
        assert_same(load_text(tmp_path).encode([LONG], truncate=True)["encoder_hidden_states"], expected)

    def test_the_mask_hides_what_fills_up_a_prompt(self, stable_diffusion, tmp_path):
        """Tokens read what comes before them alone, so nothing changes up to the end of the prompt."""
        stable_diffusion()
        free = load_text(tmp_path).encode(["be"])["encoder_hidden_states"]
        stable_diffusion(use_attention_mask=True)
        masked = load_text(tmp_path).encode(["be"])["encoder_hidden_states"]
        assert_same(masked[:, :4], free[:, :4])
        assert (masked[:, 4:] - free[:, 4:]).abs().max() > 0.01


class TestStableDiffusionXL:
    @pytest.mark.parametrize("clip_skip", [0, 1, 2])
    @pytest.mark.parametrize("refiner", [False, True])
    def test_the_condition_is_the_pipelines(self, refiner, clip_skip, stable_diffusion_xl, tmp_path):
        kind = StableDiffusionXLImg2ImgPipeline if refiner else StableDiffusionXLPipeline
        pipeline = stable_diffusion_xl(kind, refiner)
        expected, _, pooled, _ = pipeline.encode_prompt(PROMPTS, device="cpu", clip_skip=clip_skip)
        condition = load_text(tmp_path).encode(PROMPTS, FRAMING, clip_skip=clip_skip)
        assert_same(condition["encoder_hidden_states"], expected)
        assert_same(condition["added_cond_kwargs"]["text_embeds"], pooled)

    @pytest.mark.parametrize("zeros", [False, True])
    def test_no_prompt_is_the_pipelines(self, zeros, stable_diffusion_xl, tmp_path):
        pipeline = stable_diffusion_xl(force_zeros_for_empty_prompt=zeros)
        _, expected, _, pooled = pipeline.encode_prompt("a", device="cpu")
        condition = load_text(tmp_path).unconditional(FRAMING)
        assert_same(condition["encoder_hidden_states"], expected)
        assert_same(condition["added_cond_kwargs"]["text_embeds"], pooled)
        assert condition["added_cond_kwargs"]["time_ids"].tolist() == [[128, 100, 3, 5, 64, 48]]
        assert bool(expected.any()) is not zeros

    @pytest.mark.parametrize(
        ("framing", "numbers"),
        [(FRAMING, [128, 100, 3, 5, 64, 48]), (Framing(target=(64, 48)), [64, 48, 0, 0, 64, 48])],
        ids=["given", "of the target"],
    )
    def test_numbers_of_the_base_model(self, framing, numbers, stable_diffusion_xl, tmp_path):
        stable_diffusion_xl()
        condition = load_text(tmp_path).encode(PROMPTS, framing)
        assert condition["added_cond_kwargs"]["time_ids"].tolist() == [numbers] * len(PROMPTS)

    def test_numbers_of_the_refiner(self, stable_diffusion_xl, tmp_path):
        stable_diffusion_xl(StableDiffusionXLImg2ImgPipeline, refiner=True, requires_aesthetics_score=True)
        condition = load_text(tmp_path).encode(PROMPTS[:1], FRAMING)
        assert condition["added_cond_kwargs"]["time_ids"].tolist() == [[128, 100, 3, 5, 2.5]]


def test_a_folder_without_tokenizer_has_no_text_encoder(tmp_path):
    assert load_text(tmp_path) is None


def test_loading_says_nothing_and_leaves_the_progress_bar_as_it_was(stable_diffusion_xl, tmp_path, capfd, caplog):
    stable_diffusion_xl()
    logging.enable_progress_bar()
    capfd.readouterr()
    caplog.clear()
    load_text(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert caplog.messages == []
    assert logging.is_progress_bar_enabled()


def test_weights_are_frozen_and_of_the_precision_asked_for(stable_diffusion_xl, tmp_path):
    stable_diffusion_xl()
    exact, half = load_text(tmp_path).encode(PROMPTS, FRAMING), load_text(tmp_path, dtype=torch.bfloat16)
    condition = half.encode(PROMPTS, FRAMING)
    added = condition["added_cond_kwargs"]
    for tensor in (condition["encoder_hidden_states"], *added.values()):
        assert tensor.dtype == torch.bfloat16
        assert not tensor.requires_grad
    difference = condition["encoder_hidden_states"].float() - exact["encoder_hidden_states"]
    assert difference.abs().max() < 0.1 * exact["encoder_hidden_states"].abs().max()


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl"])
def test_lengths_count_the_tokens_of_what_would_be_cut_too(kind, request, tmp_path):
    request.getfixturevalue(kind)()
    letters = [len(prompt.replace(" ", "")) for prompt in (*PROMPTS, LONG)]
    assert load_text(tmp_path).lengths([*PROMPTS, LONG]) == [count + 2 for count in letters]


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl"])
def test_tokens_are_named_in_the_order_that_attention_sees(kind, request, tmp_path):
    request.getfixturevalue(kind)()
    assert load_text(tmp_path).tokens("red fox") == ("<|startoftext|>", *"redfox", "<|endoftext|>")


def test_a_prompt_does_not_depend_on_its_batch(stable_diffusion, tmp_path):
    stable_diffusion()
    text = load_text(tmp_path)
    together = text.encode(PROMPTS)["encoder_hidden_states"]
    alone = torch.cat([text.encode([prompt])["encoder_hidden_states"] for prompt in PROMPTS])
    assert_same(alone, together)


class TestRefusals:
    def test_a_prompt_longer_than_the_context(self, stable_diffusion, stable_diffusion_xl, tmp_path):
        for save in (stable_diffusion, stable_diffusion_xl):
            save()
            text = load_text(tmp_path)
            text.encode(["ten words bc"], FRAMING)  # ten letters between start and end
            with pytest.raises(InputError, match="^prompt 'a very long prompt': at most 12 tokens expected, got 17$"):
                text.encode(["a", LONG], FRAMING)

    @pytest.mark.parametrize("prompts", ["a red fox", []])
    def test_no_list_of_prompts(self, prompts, stable_diffusion, tmp_path):
        stable_diffusion()
        with pytest.raises(ValueError, match="^prompts: expected a list of at least one, got "):
            load_text(tmp_path).encode(prompts)

    @pytest.mark.parametrize("clip_skip", [-1, 3])
    def test_layers_that_are_not_there(self, clip_skip, stable_diffusion_xl, tmp_path):
        stable_diffusion_xl()
        with pytest.raises(ValueError, match=f"^clip_skip: expected a number of layers from 0 to 2, got {clip_skip}$"):
            load_text(tmp_path).encode(["a"], FRAMING, clip_skip=clip_skip)

    def test_no_framing(self, stable_diffusion_xl, tmp_path):
        stable_diffusion_xl()
        with pytest.raises(InputError, match="^framing: the size of the picture expected"):
            load_text(tmp_path).encode(["a"])

    @pytest.mark.parametrize(
        ("name", "entry"),
        [
            ("text_encoder", ["transformers", "T5EncoderModel"]),
            ("text_encoder", ["alt_diffusion", "CLIPTextModel"]),
            ("text_encoder_2", ["transformers", "CLIPTextModel"]),
            ("text_encoder_3", ["transformers", "T5EncoderModel"]),
            ("tokenizer", ["transformers", "T5Tokenizer"]),
        ],
    )
    def test_another_class(self, name, entry, stable_diffusion_xl, tmp_path):
        stable_diffusion_xl()
        index = json.loads((tmp_path / "model_index.json").read_text()) | {name: entry}
        (tmp_path / "model_index.json").write_text(json.dumps(index))
        with pytest.raises(InputError, match=rf"{name}: one of .* expected, got {entry[1]}"):
            load_text(tmp_path)

    @pytest.mark.parametrize(
        "name",
        [
            "model_index.json",
            "text_encoder/config.json",
            "text_encoder/model.safetensors",
        ],
    )
    def test_damaged_and_missing_files(self, name, stable_diffusion, tmp_path):
        stable_diffusion()
        file = tmp_path / name
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(InputError, match=name.partition("/")[0]):
            load_text(tmp_path)
        file.unlink()
        with pytest.raises(InputError, match=name.partition("/")[0]):
            load_text(tmp_path)

    @pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
    def test_a_damaged_or_missing_vocabulary(self, name, stable_diffusion, tmp_path):
        """In one file, and in the older two, where tokenizers finds an error of no particular class."""
        stable_diffusion()
        place = tmp_path / "tokenizer"
        for file in ("tokenizer.json", "vocab.json"):
            (place / file).unlink(missing_ok=True)
        (place / "merges.txt").write_text("#version: 0.2\n")
        with pytest.raises(InputError, match="tokenizer: a vocabulary in tokenizer.json or vocab.json expected"):
            load_text(tmp_path)
        (place / name).write_text('{"a": 0, ')
        with pytest.raises(InputError, match="tokenizer: "):
            load_text(tmp_path)

    def test_weights_that_do_not_fit_are_refused_in_one_sentence(self, stable_diffusion, tmp_path, caplog):
        stable_diffusion()
        file = tmp_path / "text_encoder" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"intermediate_size": 12, "num_hidden_layers": 4}))
        caplog.clear()
        with pytest.raises(
            InputError, match=r"text_encoder: weights .* expected, got 16 missing .* 9 of another shape"
        ):
            load_text(tmp_path)
        assert caplog.records == []
