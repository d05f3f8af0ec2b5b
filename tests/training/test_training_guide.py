"""The guide to training: its commands run, and every option of a run has its place in it or in that to distillation."""

from pathlib import Path

from unetdiff.cli.train import parser

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGE = GUIDES / "training.md"
ELSEWHERE = ("help", "config", "print_config")  # of the command line itself


def options():
    """Without the network's, and without those that only stand for a group."""
    names = {action.dest for action in parser()._actions}
    classes = {name.removesuffix(".help") for name in names if name.endswith(".help")}  # chosen as a whole
    groups = {name for name in names if any(other.startswith(f"{name}.") for other in names)}
    return {name for name in names - groups | classes if not name.startswith("model") and not name.endswith(".help")}


def test_its_commands_run(run_page, fashion_mnist):
    run_page(PAGE)


def test_it_names_every_option():
    text = "".join(page.read_text(encoding="utf-8") for page in (PAGE, GUIDES / "distillation.md"))
    assert sorted(name for name in options() - set(ELSEWHERE) if f"`{name}`" not in text) == []
