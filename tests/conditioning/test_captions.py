"""Captions are encoded once, equal ones once, and come back row by row."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.conditioning.conftest import CONTEXT, WIDTH
from unetdiff.conditioning import captions
from unetdiff.conditioning.captions import prepare_captions
from unetdiff.conditioning.text_encoder import TextConfig, load_encoder, text_info

KEPT = np.zeros(4, dtype=bool)


@pytest.fixture
def info(encoder):
    return text_info(TextConfig(encoder=str(encoder), context=CONTEXT))


def test_every_image_has_the_tokens_of_its_caption(captioned, info):
    taken = prepare_captions(captioned, info).take(np.arange(4), KEPT)
    expected = load_encoder(info).encode(captioned.captions[:4], truncate=True)
    states = taken["encoder_hidden_states"]
    assert states.dtype == torch.float32
    torch.testing.assert_close(states, expected["encoder_hidden_states"], rtol=2**-11, atol=2**-24)  # half precision
    assert (taken["encoder_attention_mask"] == expected["encoder_attention_mask"]).all()


def test_a_dropped_caption_is_the_empty_prompt(captioned, info):
    table = prepare_captions(captioned, info)
    dropped, empty = table.take(np.array([0, 2]), np.array([True, True])), table.take(np.array([1, 1]), KEPT[:2])
    torch.testing.assert_close(dropped, empty, rtol=0, atol=0)


def test_equal_captions_are_stored_once(captioned, info):
    assert prepare_captions(captioned, info).tokens.shape == (4, CONTEXT, WIDTH)


def test_the_encoder_is_asked_once(captioned, info, monkeypatch):
    first = prepare_captions(captioned, info)
    monkeypatch.setattr(captions, "load_encoder", None)
    again = prepare_captions(captioned, replace(info, encoder="elsewhere"))
    assert again.folder == first.folder
    with pytest.raises(TypeError):  # other captions, and another context
        prepare_captions(replace(captioned, captions=("a",) * 400), info)
    with pytest.raises(TypeError):
        prepare_captions(captioned, replace(info, context=5))


def test_an_encoding_that_is_interrupted_leaves_nothing(captioned, info, monkeypatch):
    monkeypatch.setattr(captions, "_write_tokens", lambda *_: 1 / 0)
    before = sorted(captioned.folder.iterdir())
    with pytest.raises(ZeroDivisionError):
        prepare_captions(captioned, info)
    assert sorted(captioned.folder.iterdir()) == before


def test_captions_that_are_cut_are_counted(captioned, info, caplog):
    prepare_captions(captioned, info)
    assert caplog.messages == ["1 of 4 captions are longer than 6 tokens and are cut"]


def test_workers_map_the_file_again(captioned, info):
    table = prepare_captions(captioned, info)
    copy = pickle.loads(pickle.dumps(table))
    assert len(pickle.dumps(table)) < 1000
    assert isinstance(copy.tokens, np.memmap)
    torch.testing.assert_close(copy.take(np.arange(4), KEPT), table.take(np.arange(4), KEPT), rtol=0, atol=0)
