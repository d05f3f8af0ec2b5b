"""Prompts of any text: encoded to finite numbers or refused in one short sentence, and kept by their pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conditioning.conftest import CONTEXT, save_encoder
from unetdiff.errors import InputError
from unetdiff.sample_identity import Sample, Subject
from unetdiff.samples_folder import SamplesFolder, read_recorded
from unetdiff.text import TokenEncoder

ODD = ["", "a\nred\tbag", "\x00\x1b[31m", "\u202eabc", "\u05e9\u05dc\u05d5\u05dd", "\U0001f41f" * 3, "word " * 10_000]
HALVES = ["\ud800", "a \udcff bag"]
PIXELS = np.zeros((8, 8, 3), np.uint8)
texts = st.text(st.characters() | st.characters(categories=["Cs", "Cc"]), max_size=40) | st.sampled_from(ODD + HALVES)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return TokenEncoder.load(save_encoder(tmp_path_factory.mktemp("text") / "encoder"), CONTEXT)


@settings(max_examples=25)
@given(prompt=texts)
def test_a_prompt_is_encoded_or_refused(text, prompt):
    if any("\ud800" <= character <= "\udfff" for character in prompt):
        with pytest.raises(InputError, match="half of one"):
            text.encode([prompt], truncate=True)
        return
    condition = text.encode([prompt], truncate=True)
    assert condition["encoder_hidden_states"].isfinite().all()


@pytest.mark.parametrize("prompt", ["word " * 10_000, *HALVES])
def test_what_is_refused_is_told_in_short(text, prompt):
    with pytest.raises(InputError, match="prompt '.* expected, got ") as refused:
        text.encode([prompt])
    assert len(str(refused.value)) < 200


@settings(max_examples=15)
@given(prompt=texts)
def test_a_picture_keeps_its_prompt(tmp_path_factory, prompt):
    folder = SamplesFolder(tmp_path_factory.mktemp("samples"), {"steps": 2})
    sample = Sample(seed=1, subject=Subject(kind="prompt", number=0, name=prompt))
    folder.save(sample, PIXELS, {"row": 0})
    folder.save_manifest()
    assert folder.save_grid([sample]).is_file()
    assert not folder.missing([sample])
    assert Sample.from_facts(read_recorded(folder.path / sample.file)) == sample
