"""The catalogue, the package and the table in docs/samplers.md say the same."""

import inspect
import re
from pathlib import Path

import pytest

import samplers
from samplers import GRIDS, SAMPLERS, DDIMInversion, Sampler

PAGE = (Path(__file__).parents[2] / "docs" / "samplers.md").read_text(encoding="utf-8")


def rows(heading):
    """The cells of the first table after a heading, without its head."""
    table = re.search(rf"^## {heading}$.*?^\|[^\n]*\n\|[-| ]*\n(.*?)\n\n", PAGE, flags=re.MULTILINE | re.DOTALL)[1]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_table_of_samplers_is_the_catalogue():
    expected = []
    for name, entry in SAMPLERS.items():
        sampler = entry.make()
        stochastic = "yes" if sampler.stochastic else "no"
        expected.append([name, entry.make.__name__, str(sampler.order), str(sampler.nfe), stochastic, entry.source])
    assert rows("Samplers") == expected


def test_the_table_of_grids_is_the_catalogue():
    assert [[name, function, source] for name, function, _, source in rows("Grids")] == [
        [name, entry.make.__name__, entry.source] for name, entry in GRIDS.items()
    ]


def test_every_sampler_from_noise_to_image_has_a_name():
    exported = {
        member
        for member in vars(samplers).values()
        if inspect.isclass(member) and issubclass(member, Sampler) and member is not Sampler
    }
    assert exported - {DDIMInversion} == {entry.make for entry in SAMPLERS.values()}


@pytest.mark.parametrize("name", [*SAMPLERS, *GRIDS])
def test_names_are_those_of_a_command_line(name):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
