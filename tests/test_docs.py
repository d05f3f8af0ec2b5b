"""The Python in the documentation runs, and its node table is the network's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# their own tests make the files that these begin with
BEGUN = (
    "comparing-layers",
    "diffusion-classifier",
    "distillation",
    "evaluation",
    "features",
    "pretrained",
    "probes",
    "pruning",
    "scaling",
    "skip-tuning",
    "text-to-image",
    "training",
)
WITH_FILES = [ROOT / "docs" / "guides" / f"{name}.md" for name in BEGUN]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in WITH_FILES], ids=lambda page: page.name)
def test_code_runs(page, run_page):
    run_page(page)


def test_node_table_is_what_the_code_above_it_prints(capsys):
    page = ROOT / "docs" / "architecture.md"
    exec(blocks(page, "python")[0], {})
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed == blocks(page, "text")[0].splitlines()[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
