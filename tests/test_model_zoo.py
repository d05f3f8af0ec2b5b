"""The model zoo names the layouts, golden files and presets that exist, with their counts."""

import re
from pathlib import Path

from benchmarks.layouts import LAYOUTS
from unetdiff import presets
from unetdiff.prune import layouts

ROOT = Path(__file__).parents[1]
SECTIONS = (ROOT / "docs" / "model-zoo.md").read_text(encoding="utf-8").split("\n## ")[1:]


def rows(section):
    """The cells of a section's table, without its head."""
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named(cells):
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_presets_are_all_there_with_their_counts():
    found = {row[2].strip("`"): row[3] for section in SECTIONS[:2] for row in rows(section) if row[2]}
    assert found == dict(re.findall(r"^\| `(\w+)` +\| +([\d,]+) ", presets.__doc__, re.MULTILINE))
    assert sorted(found) == sorted(presets.__all__)


def test_layouts_and_golden_files_exist():
    assert named(row[1] for row in rows(SECTIONS[0])) <= set(LAYOUTS)
    files = {path.stem for path in (ROOT / "tests" / "golden").glob("*.safetensors")}
    assert named(row[1] for row in rows(SECTIONS[1])) == files - {"samplers", "edm_preconditioning"}


def test_smaller_layouts_are_all_there_with_their_counts():
    found = {row[0].strip("`"): row[2] for row in rows(SECTIONS[2])}
    assert found == dict(re.findall(r"^\| `([\w-]+)` +\| [^|]+ +\| +([\d,]+) ", layouts.__doc__, re.MULTILINE))
    assert list(found) == list(layouts.LAYOUTS)
