import pytest

from unetdiff.cli.lora_argument import with_lora_fields

FIELDS = ["--lora.rank=16", '--lora.targets=["to_q", "conv*"]']


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--lora", "rank=16", "targets=to_q,conv*"], FIELDS),
        (["--lora", "rank=16 targets=to_q,conv*"], FIELDS),
        (
            ["--out", "x", "--lora", "rank=16", "targets=to_q,conv*", "--seed", "1"],
            ["--out", "x", *FIELDS, "--seed", "1"],
        ),
        (["--lora"], ["--lora", "{}"]),
        (["--lora", "--seed=1"], ["--lora", "{}", "--seed=1"]),
        (["--lora", '{"rank": 2}', "--seed", "1"], ["--lora", '{"rank": 2}', "--seed", "1"]),
        (["--lora", "null"], ["--lora", "null"]),
        (["--lora.rank", "2", "--data.source", "a=b"], ["--lora.rank", "2", "--data.source", "a=b"]),
        ([], []),
    ],
)
def test_fields_become_options_and_the_rest_stays(given, meant):
    assert with_lora_fields(given) == meant
