import pytest

from unetdiff.tables import in_bytes, in_thousands, table


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (999, "999"), (1000, "1.0 k"), (2_744_321, "2.7 M"), (3e15, "3000.0 T")]
)
def test_counts(count, text):
    assert in_thousands(count) == text


@pytest.mark.parametrize(("size", "text"), [(1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**30, "5.0 GiB")])
def test_bytes(size, text):
    assert in_bytes(size) == text


def test_columns_line_up():
    assert table([("a", "b", "c"), ("long", "1", "10")], left_aligned=[0]) == "a     b   c\nlong  1  10"
