import pytest
import torch

from samplers.conditions import joined

A, B = torch.arange(6.0).reshape(3, 2), -torch.ones(3, 2)


def test_rows_follow_rows():
    assert torch.equal(joined({"c": A}, {"c": B})["c"], torch.cat([A, B]))


@pytest.mark.parametrize(("first", "second"), [(A, B[:1]), (A[:1], B), (A[:1], B[:1])])
def test_a_single_row_serves_for_all(first, second):
    both = joined({"c": first}, {"c": second})["c"]
    rows = max(len(first), len(second))
    assert torch.equal(both, torch.cat([first.expand(rows, 2), second.expand(rows, 2)]))


def test_inside_mappings_and_sequences():
    """SDXL's added conditions and ControlNet's residuals."""
    first = {"added": {"text_embeds": A, "time_ids": B}, "residuals": [A, B]}
    second = {"added": {"text_embeds": B, "time_ids": A}, "residuals": (B, A)}
    both = joined(first, second)
    torch.testing.assert_close(both["added"], {"text_embeds": torch.cat([A, B]), "time_ids": torch.cat([B, A])})
    torch.testing.assert_close(both["residuals"], [torch.cat([A, B]), torch.cat([B, A])])


@pytest.mark.parametrize("value", [None, 0.9, {"up_blocks.0": 0.5}, [0.5, 1.0]], ids=str)
def test_what_has_no_rows_stays_one(value):
    assert joined({"c": value}, {"c": value}) == {"c": value}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"c": A}, {"d": A}, r"conditions: expected the same names twice, got \['c'\] and \['d'\]"),
        ({"c": A}, {"c": None}, "c: expected a tensor twice, got Tensor and NoneType"),
        ({"c": 0.9}, {"c": 0.8}, "c: expected the same value twice, got 0.9 and 0.8"),
        ({"c": [A]}, {"c": [A, A]}, "c: expected the same value twice"),
        (
            {"c": A},
            {"c": A[:, :1]},
            r"c: expected a row for each image and rows of equal shape, got \(3, 2\), \(3, 1\)",
        ),
        ({"c": A}, {"c": A[:2]}, r"c: expected a row for each image and rows of equal shape, got \(3, 2\), \(2, 2\)"),
        ({"c": A[0, 0]}, {"c": A[0, 0]}, r"c: expected a row for each image and rows of equal shape, got \(\), \(\)"),
        ({"c": {"d": [A, 1]}}, {"c": {"d": [A, 2]}}, r"d\[1\]: expected the same value twice, got 1 and 2"),
    ],
)
def test_what_one_call_cannot_be_given_is_named(first, second, message):
    with pytest.raises(ValueError, match=message):
        joined(first, second)
