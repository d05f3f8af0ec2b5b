"""Any encoder of transformers: its last layer, masked, in a context of one length."""

import shutil

import pytest
import torch
from transformers import BertForMaskedLM, BertModel

from tests.conditioning.conftest import CONTEXT, WIDTH, save_encoder
from unetdiff.errors import InputError
from unetdiff.text import TokenEncoder
from unetdiff.text.tokens import encoder_folder, encoder_hash, encoder_width

PROMPTS = ["a red bag", "", "shirt"]


@pytest.fixture
def copy(encoder, tmp_path):
    return shutil.copytree(encoder, tmp_path / "copy")


def test_tokens_are_the_last_layer_and_nothing_after_the_end(encoder):
    condition = TokenEncoder.load(encoder, CONTEXT).encode(PROMPTS)
    states, mask = condition["encoder_hidden_states"], condition["encoder_attention_mask"]
    assert states.shape == (3, CONTEXT, WIDTH)
    assert mask.tolist() == [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0]]
    assert (states[mask == 0] == 0).all()
    ids = torch.tensor([[2, 5, 6, 12, 3]])  # [CLS] a red bag [SEP]
    expected = BertModel.from_pretrained(encoder).eval()(ids).last_hidden_state[0]
    torch.testing.assert_close(states[0, :5], expected, rtol=0, atol=1e-6)
    assert not states.requires_grad


def test_a_prompt_does_not_depend_on_its_batch(encoder):
    text = TokenEncoder.load(encoder, CONTEXT)
    alone = torch.cat([text.encode([prompt])["encoder_hidden_states"] for prompt in PROMPTS])
    torch.testing.assert_close(alone, text.encode(PROMPTS)["encoder_hidden_states"], rtol=0, atol=5e-6)
    torch.testing.assert_close(alone[1:2], text.unconditional()["encoder_hidden_states"], rtol=0, atol=0)


def test_a_padding_that_the_tokenizer_file_fixes_is_not_followed(copy):
    text = TokenEncoder.load(copy, CONTEXT)
    expected = text.encode(PROMPTS)
    text.tokenizer.backend_tokenizer.enable_padding(length=12)
    text.tokenizer.save_pretrained(copy)
    torch.testing.assert_close(TokenEncoder.load(copy, CONTEXT).encode(PROMPTS), expected, rtol=0, atol=0)


def test_heads_of_other_uses_do_not_matter(copy):
    expected = TokenEncoder.load(copy, CONTEXT).encode(PROMPTS)
    other = BertForMaskedLM(BertModel.from_pretrained(copy).config)  # without the pooler, with a head
    other.bert.load_state_dict(BertModel.from_pretrained(copy, add_pooling_layer=False).state_dict())
    other.save_pretrained(copy)
    torch.testing.assert_close(TokenEncoder.load(copy, CONTEXT).encode(PROMPTS), expected, rtol=0, atol=0)


def test_layers_may_be_left_out(encoder):
    text = TokenEncoder.load(encoder, CONTEXT)
    plain, skipped = (text.encode(PROMPTS, clip_skip=number)["encoder_hidden_states"] for number in (0, 1))
    assert (plain - skipped).abs().max() > 0.1
    with pytest.raises(ValueError, match="clip_skip: expected a number of layers from 0 to 2, got 3"):
        text.encode(PROMPTS, clip_skip=3)


def test_the_hash_is_of_weights_and_vocabulary(copy, tmp_path):
    first = encoder_hash(copy)
    (copy / "README.md").write_text("about it")
    assert encoder_hash(copy) == first
    (copy / "vocab.txt").write_text("a")
    assert len({first, encoder_hash(copy), encoder_hash(save_encoder(tmp_path / "other", seed=1))}) == 3


def test_width(encoder):
    assert encoder_width(encoder_folder(str(encoder))) == WIDTH


class TestRefusals:
    def test_a_prompt_longer_than_the_context(self, encoder):
        text = TokenEncoder.load(encoder, CONTEXT)
        with pytest.raises(InputError, match="^prompt 'a a a a a': at most 6 tokens expected, got 7$"):
            text.encode(["a", "a a a a a"])
        assert text.encode(["a a a a a"], truncate=True)["encoder_attention_mask"].all()

    @pytest.mark.parametrize("context", [0, 17])
    def test_a_context_that_the_encoder_cannot_read(self, encoder, context):
        with pytest.raises(InputError, match=f"^context: 1 to 16 tokens expected, .* got {context}$"):
            TokenEncoder.load(encoder, context)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_damaged_files(self, copy, name):
        (copy / name).write_bytes((copy / name).read_bytes()[:-9])
        with pytest.raises(InputError, match=str(copy)):
            TokenEncoder.load(copy, CONTEXT)

    @pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
    def test_missing_files(self, copy, name):
        (copy / name).unlink()
        with pytest.raises(InputError, match=f"{copy}: .* expected"):
            TokenEncoder.load(copy, CONTEXT)

    def test_nothing_of_that_name(self, tmp_path):
        with pytest.raises(InputError, match="a text encoder's folder or hub repository expected, got nothing"):
            encoder_folder(str(tmp_path / "none"))
