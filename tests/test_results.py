"""docs/results.md against the commands that make it, and the record of what was measured."""

import json
import re
from dataclasses import replace

import pytest

from benchmarks import results
from benchmarks.result_parts import PARTS, Part
from benchmarks.results import Record, fill, measure, shown
from unetdiff.model_folder import find_model, weights_hash

PART = Part(name="a", commands=("make a", "make b", "show c"), hours=1, shipped=False)
TABLE = "| x |\n|---|\n| 1 |"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.json"


def test_the_page_has_every_part_with_its_commands():
    page = results.PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- part (.*?) -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    assert [name for name, _ in blocks] == [part.name for part in PARTS]
    for part, (_, text) in zip(PARTS, blocks, strict=True):
        commands = "".join(f"    {command}\n" for command in part.commands)
        assert text.startswith(f"{commands}\n"), part.name


def test_the_page_names_the_model_that_is_shipped_and_those_that_were_measured():
    page = results.PAGE.read_text(encoding="utf-8")
    assert f"begins with {weights_hash(find_model(None))[:8]}" in " ".join(page.split())
    blocks = dict(re.findall(r"<!-- part (.*?) -->\n(.*?)\n<!-- end -->", page, re.DOTALL))
    for part in PARTS:
        assert (re.search("; model [0-9a-f]{8}; ", blocks[part.name]) is not None) == part.shipped, part.name


def test_the_last_output_is_kept(path):
    ran = []
    record = measure(PART, path, lambda command: ran.append(command) or f"{command}!")
    assert ran == ["make a", "make b", "show c"]
    assert record.output == "show c!"
    assert record == Record.read(path, PART)


def test_what_was_measured_is_not_measured_again(path):
    measure(PART, path, lambda command: command)
    measure(PART, path, pytest.fail)


def test_a_part_goes_on_with_the_command_that_failed(path):
    def fails(command):
        if command == "make b":
            raise OSError(command)
        return command

    with pytest.raises(OSError, match="make b"):
        measure(PART, path, fails)
    seconds = json.loads(path.read_text())["seconds"]
    ran = []
    record = measure(PART, path, lambda command: ran.append(command) or command)
    assert ran == ["make b", "show c"]
    assert record.seconds > seconds > 0


def test_other_commands_are_measured_anew(path):
    measure(PART, path, lambda command: command)
    other = replace(PART, commands=("make a", "make d"))
    assert Record.read(path, other).done == ()


def test_another_model_is_measured_anew(path, monkeypatch):
    part = replace(PART, shipped=True)
    measure(part, path, lambda command: command)
    assert Record.read(path, part).done == part.commands
    monkeypatch.setattr(results, "weights_hash", lambda _: "other")
    assert Record.read(path, part).done == ()
    measure(PART, path, lambda command: command)
    assert Record.read(path, PART).done == PART.commands


@pytest.mark.parametrize(
    ("output", "seconds", "expected"),
    [
        (f"one\n\n{TABLE}\n", 61.2, f"one\n\n{TABLE}\n\n*2026-01-02, 61 s; here*"),
        ("one\n\ntwo\n", 1000, "    one\n\n    two\n\n*2026-01-02, 17 min; here*"),
        ("one", 9000, "    one\n\n*2026-01-02, 2.5 h; here*"),
    ],
)
def test_tables_stay_and_text_is_code(output, seconds, expected):
    record = Record(
        weights=None, done=("make a", "show"), output=output, seconds=seconds, date="2026-01-02", machine="here"
    )
    assert shown(record) == f"    make a\n    show\n\n{expected}"
    assert shown(replace(record, weights="0123456789")) == shown(record).replace("here*", "model 01234567; here*")


def test_a_part_is_filled_in_place():
    page = "1\n<!-- part a -->\nold\n\\1\n<!-- end -->\n2\n<!-- part ab -->\n<!-- end -->\n3"
    assert fill(page, "a", r"\1 new") == page.replace("old\n\\1", r"\1 new")
    assert fill(page, "ab", "new") == page.replace("ab -->\n", "ab -->\nnew\n")


@pytest.mark.parametrize("page", ["", "<!-- part a -->\n1\n<!-- end -->\n" * 2])
def test_a_page_has_a_part_once(page):
    with pytest.raises(ValueError, match="expected one part a, got [02]"):
        fill(page, "a", "new")


def test_unknown_parts_are_refused():
    with pytest.raises(SystemExit, match="expected names among .*overhead.*, got 'nothing'"):
        results.main(["--parts", "[nothing]"])
