"""Numbers, ranges and names to class indices and seeds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetdiff.errors import InputError
from unetdiff.sample_identity import Towards
from unetdiff.selection import select_classes, select_numbers, select_prompts, way_through

NAMES = ("T-shirt/top", "Trouser", "Sneaker", "Bag", "Ankle boot")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", (7,)),
        ("0-3", (0, 1, 2, 3)),
        ("5, 8-10 ,2", (5, 8, 9, 10, 2)),
        ("3-3", (3,)),
        ("1,0-2,1", (1, 0, 2)),
    ],
)
def test_numbers(text, expected):
    assert select_numbers(text, 64, "seeds") == expected


@given(st.lists(st.integers(0, 99), min_size=1, unique=True))
def test_a_list_of_numbers_is_taken_as_it_is(numbers):
    assert select_numbers(",".join(map(str, numbers)), 100, "seeds") == tuple(numbers)


@pytest.mark.parametrize("text", ["", "1,", "a", "3-1", "-1", "1-", "64", "60-64", "1.5", "1-2-3"])
def test_what_is_not_a_selection_of_numbers_is_refused(text):
    with pytest.raises(InputError, match="^seeds: .* expected, got"):
        select_numbers(text, 64, "seeds")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (0, 1, 2, 3, 4)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("sneaker", (2,)),
        ("T-Shirt/Top", (0,)),
        ("Ankle boot,0-1,3", (4, 0, 1, 3)),
        ("Bag,3,bag", (3,)),
    ],
)
def test_classes(text, expected):
    assert select_classes(text, NAMES) == expected


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(InputError, match="got 'sneeker'; did you mean 'Sneaker'?"):
        select_classes("sneeker", NAMES)


def test_a_name_near_to_none_lists_all():
    with pytest.raises(InputError, match=f"got 'qqq'; known are {', '.join(NAMES)}"):
        select_classes("qqq", NAMES)


@pytest.mark.parametrize("text", ["5", "3-5", "4-2", "-1", ""])
def test_a_class_out_of_range_is_refused(text):
    with pytest.raises(InputError, match="^classes: "):
        select_classes(text, NAMES)


def test_prompts_are_the_one_given_and_the_lines_of_a_file(tmp_path):
    (tmp_path / "prompts.txt").write_text("a red fox \n\nein Füchslein\n", encoding="utf-8")
    assert select_prompts("a crow", str(tmp_path / "prompts.txt")) == ("a crow", "a red fox", "ein Füchslein")
    assert select_prompts("", None) == ("",)
    assert select_prompts(None, None) == ()


@pytest.mark.parametrize("text", ["a red apple", "long " * 100, "what/is this?"])
def test_what_is_no_file_is_a_prompt(text):
    assert select_prompts(None, text) == (text.strip(),)


def test_a_missing_file_of_prompts_is_refused(tmp_path):
    with pytest.raises(InputError, match="^prompts: a file .* expected, got .*none.txt: No such file"):
        select_prompts(None, str(tmp_path / "none.txt"))


@pytest.mark.parametrize(("content", "message"), [(b"\n \n", "a text in each line"), (b"\xff\xfe\xfa", "UTF-8")])
def test_a_file_without_prompts_is_refused(tmp_path, content, message):
    (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        select_prompts(None, str(tmp_path / "prompts.txt"))


@given(st.lists(st.integers(0, 99), min_size=1, unique=True), st.integers(1, 5))
def test_the_way_goes_through_every_seed_in_equal_steps(seeds, steps):
    way = way_through(seeds, steps)
    assert [seed for seed, towards in way if towards is None] == seeds
    assert len(way) == (len(seeds) - 1) * steps + 1
    assert all(towards is None or 0 < towards.step < towards.of == steps for _, towards in way)


def test_between_two_seeds():
    assert way_through([3, 8], 2) == [(3, None), (3, Towards(seed=8, step=1, of=2)), (8, None)]
