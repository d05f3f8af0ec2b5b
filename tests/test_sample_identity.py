"""Which image is asked for: names that differ, facts that lead back."""

import json
from dataclasses import replace

import pytest

from unetdiff.sample_identity import Sample, Source, Subject, Towards

PLAIN = Sample(seed=12)
FULL = Sample(
    seed=3,
    subject=Subject(kind="prompt", number=4, name="a „red“ fox"),
    towards=Towards(seed=9, step=1, of=8),
    source=Source(path="photos/a.jpg", sha256="0" * 64),
)
DRESS = replace(PLAIN, subject=Subject(kind="class", number=7, name="Dress"))


BOTH = replace(FULL, label=DRESS.subject)


@pytest.mark.parametrize("sample", [PLAIN, FULL, DRESS, BOTH], ids=["plain", "full", "class", "both"])
def test_facts_lead_back(sample):
    facts = json.loads(json.dumps(sample.facts()))
    assert Sample.from_facts({**facts, "sampler": "heun"}) == sample
    assert facts["file"] == sample.file


def test_names_say_which_image_it_is():
    assert [sample.file for sample in (PLAIN, DRESS, FULL, BOTH)] == [
        "seed000012.png",
        "class0007-seed000012.png",
        "prompt0004-seed000003-001of008-seed000009.png",
        "prompt0004-class0007-seed000003-001of008-seed000009.png",
    ]


@pytest.mark.parametrize("facts", [{}, {"seed": "12"}, {"seed": 1, "class": 3}, {"seed": 1, "towards": {"seed": 2}}])
def test_facts_that_are_missing_are_named(facts):
    with pytest.raises(ValueError, match="^image"):
        Sample.from_facts(facts)
