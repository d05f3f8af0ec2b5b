"""`unetdiff compare`: the numbers of `unetdiff eval`, a page that needs nothing else, going on, and what it refuses."""

import base64
import json
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

from unetdiff import DataInfo, ModelInfo, UNet, UNetConfig, save_model
from unetdiff.cli.main import main
from unetdiff.config import LevelConfig, ResnetConfig
from unetdiff.data.sources.fashion_mnist import CLASSES
from unetdiff.evaluation.classifier import Classifier, ClassifierConfig, save_classifier
from unetdiff.pictures import read_png
from unetdiff.preconditioning import EDM

JUDGES = ["--bootstrap", "5", "--subsets", "2", "--held-out", "3", "--sigmas", "0.5,3", "--n", "20"]
FOUR = ["--sampler", "euler,unipc", "--steps", "1,2"]


def saved_model(folder, seed=1, size=8, channels=1, classes=CLASSES):
    torch.manual_seed(seed)
    config = UNetConfig(
        in_channels=channels,
        out_channels=channels,
        levels=(LevelConfig(channels=8),),
        resnet=ResnetConfig(norm_min_channels=4),  # a norm over one channel takes the class away
        num_classes=len(classes) or None,
    )
    unet = UNet(config)
    for parameter in unet.parameters():
        nn.init.normal_(parameter, std=0.2)
    data = DataInfo(channels=channels, height=size, width=size, classes=classes)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(), data=data))


@pytest.fixture
def there(tmp_path, monkeypatch, fashion_mnist):
    """A folder to be in, with the models a and b and the classifier c."""
    monkeypatch.chdir(tmp_path)
    saved_model(tmp_path / "a")
    saved_model(tmp_path / "b", seed=2)
    save_classifier(
        tmp_path / "c", Classifier(ClassifierConfig(in_channels=1, classes=CLASSES, widths=(4,))), 0.1, training={}
    )
    return tmp_path


def command(*options):
    return ["compare", *map(str, options), "--classifier", "c", "--device", "cpu", *JUDGES, "--out", "out"]


@pytest.fixture
def compare(there):
    """Give a function that runs the command and gives its numbers."""

    def run(*options):
        assert main(command(*options)) == 0
        return json.loads((there / "out" / "report.json").read_text())

    return run


class Page(HTMLParser):
    """What a page shows and what it points to."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.links, self.tags, self.texts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        if tag == "img":
            self.pictures.append((found["alt"], found.pop("src")))
        self.links += [value for name, value in found.items() if name in ("src", "href", "srcset", "data", "action")]

    def handle_data(self, data):
        self.texts.append(data)


def test_a_row_says_what_eval_says(compare, there):
    rows = compare("a", "b", *FOUR, "--skip", "off,0.8")["rows"]
    assert [(row["name"], row["sampler"], row.get("skip"), row["steps"]) for row in rows] == [
        (name, sampler, skip, steps)
        for name in "ab"
        for sampler in ("euler", "unipc")
        for skip in (None, "0.8")
        for steps in (1, 2)
    ]
    last = rows[-1]
    chosen = ["--sampler", "unipc", "--skip", "0.8", "--steps", "2", "--classifier", "c", "--device", "cpu"]
    assert main(["eval", "b", "fashion-mnist", *chosen, *JUDGES, "--out", "eval.json"]) == 0
    expected = json.loads((there / "eval.json").read_text())
    assert {name: last[name] for name in last.keys() - {"name", "samples"}} == expected
    assert len({row["measures"][1]["value"] for row in rows}) == 8
    assert len({row["measures"][1]["floor"] for row in rows}) == 1


def test_guidance_is_a_setting_too(compare):
    rows = compare("a", "--steps", 1, "--guidance", "1,2.5,1")["rows"]
    assert [row.get("guidance") for row in rows] == [1, 2.5]
    one, two = (row["measures"][1]["value"] for row in rows)
    assert one != two


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ([], "in every row."),
        (
            ["--guidance-interval", "0.2,5", "--cache-interval", 2],
            " All rows have guidance_interval 0.2,5, cache_interval 2.",
        ),
    ],
)
def test_the_page_says_what_was_chosen_for_all_rows(compare, there, options, end):
    compare("a", "--steps", 1, "--guidance", "1,2", *options)
    [shared] = [text for text in Page((there / "out" / "report.html").read_text()).texts if "in every row" in text]
    assert shared.endswith(end)


def test_the_page_needs_nothing_else_and_shows_the_samples(compare, there):
    pytest.importorskip("matplotlib")
    rows = compare("a", *FOUR, "--shown", 3)["rows"]
    text = (there / "out" / "report.html").read_text()
    page = Page(text)
    assert page.links == []
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert "url(" not in text
    assert "@import" not in text
    (_, curves), *samples = page.pictures
    head, data = curves.split(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(data) == (there / "out" / "curves.svg").read_bytes()
    assert [alt for alt, _ in samples[:4]] == [
        f"seed 0, {CLASSES[0]}: a, {sampler}, {steps} steps, skip off, guidance 1"
        for sampler in ("euler", "unipc")
        for steps in (1, 2)
    ]
    for number, (_, source) in enumerate(samples):
        line, column = divmod(number, 4)
        head, data = source.split(",")
        assert head == "data:image/png;base64"
        (there / "one.png").write_bytes(base64.b64decode(data))
        made = next((there / rows[column]["samples"]).glob(f"*seed{line:06d}.png"))
        np.testing.assert_array_equal(read_png(there / "one.png"), read_png(made))
    assert len(samples) == 12


def test_the_tables_have_a_row_each_and_real_images(compare, there, capsys):
    row = compare("a", "b", "--steps", 1)["rows"][1]
    frechet = next(measure for measure in row["measures"] if measure["measure"] == "Frechet distance")
    lines = (there / "out" / "report.md").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| model | sampler"))
    cells = [line.strip("| ").split(" | ") for line in lines[first : first + 5]]
    place = cells[0].index("Frechet distance")
    assert cells[3][:6] == ["b", "heun", "1", "off", "1", "1"]
    assert cells[3][place] == f"{frechet['value']:.4g} ({frechet['low']:.4g} to {frechet['high']:.4g})"
    assert cells[4][0] == "real images"
    assert cells[4][place] == f"{frechet['floor']:.4g}"
    assert "- no curves: all rows take the same number of network calls" in lines
    assert not (there / "out" / "curves.svg").exists()
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert f"{frechet['value']:.4g}" in next(line for line in printed if line[:3] == ["b", "heun", "1"])
    assert ["a", "held", "out"] in [line[:3] for line in printed]


def test_it_makes_only_what_is_new(compare, there, capsys):
    alone = compare("a", *FOUR)["rows"]
    files = {path: path.stat().st_mtime_ns for path in (there / "out").rglob("*seed*.png")}
    assert len(files) == 80
    next(iter(files)).unlink()  # as if interrupted
    capsys.readouterr()
    assert compare("a", *FOUR)["rows"] == alone
    made = capsys.readouterr().err.splitlines()
    assert sorted(line.split()[0] for line in made) == ["0", "0", "0", "1"]
    assert compare("b", "a", *FOUR)["rows"][4:] == alone
    made = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in made] == ["20"] * 4 + ["0"] * 4
    assert sum(path.stat().st_mtime_ns == time for path, time in files.items()) == 79


def test_names_are_no_markup(compare, there):
    name = "<b>&|$x_"
    saved_model(there / name)
    compare(name, "--steps", "1,2")
    page = Page((there / "out" / "report.html").read_text())
    assert "b" not in page.tags
    assert name in page.texts
    assert r"| &lt;b&gt;&amp;\|$x\_ | heun | 1 |" in (there / "out" / "report.md").read_text()


def test_without_matplotlib_there_are_no_curves(compare, there, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    compare("a", "--steps", "1,2")
    page = Page((there / "out" / "report.html").read_text())
    assert any("no curves: plot: expected matplotlib, got none" in text for text in page.texts)
    assert not any("svg" in source for _, source in page.pictures)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "models: expected at least one model folder or run folder, got none"),
        (["a", "b", "a"], "models: expected each one once, got a 2 times"),
        (["a", "no/such"], "no/such: a model folder or a run folder expected"),
        (["a", "--sampler", "heun,foo"], "sampler: expected one of"),
        (["a", "--steps", "3,0"], "steps: expected whole numbers of at least 1 with commas between, got '3,0'"),
        (["a", "--steps", "1.5"], "steps: expected whole numbers of at least 1 with commas between, got '1.5'"),
        (["a", "--skip", "auto"], "skip.json expected, which `unetdiff skip-search` writes"),
        (["a", "--n", "9"], "n: expected at least one image for each of 10 classes, got 9"),
        (["a", "--shown", "0"], "shown: expected at least 1, got 0"),
    ],
)
def test_what_is_refused(there, refused, options, message):
    start, *rest = command(*[option for option in options if option in ("a", "b", "no/such")])
    told = refused([start, *rest, *[option for option in options if option not in ("a", "b", "no/such")]])
    assert message in told
    assert not (there / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 4}, "models: expected one of the shape (1, 8, 8), as a, got (1, 4, 4) of other"),
        ({"channels": 3}, "models: expected one of the shape (1, 8, 8), as a, got (3, 8, 8) of other"),
        ({"classes": CLASSES[::-1]}, "models: expected one with the classes T-shirt/top, Trouser"),
        ({"classes": ()}, "got none of other"),
    ],
)
def test_models_have_to_be_alike(there, refused, changes, message):
    saved_model(there / "other", **changes)
    assert message in refused(command("a", "other"))
    assert not (there / "out").exists()


def test_another_comparison_in_the_same_folder_is_refused(compare, there, refused):
    compare("a", "--steps", "1")
    before = (there / "out" / "report.json").read_bytes()
    assert "got others: seed was 0, is 1" in refused(command("a", "--seed", "1"))
    assert "recipe.guidance_rescale was 0.0, is 0.5" in refused(command("a", "--guidance_rescale", "0.5"))
    assert (there / "out" / "report.json").read_bytes() == before


def test_a_folder_of_something_else_is_refused(there, refused):
    (there / "out").mkdir()
    (there / "out" / "report.md").write_text("mine")
    assert "out: a new or empty folder expected, got a full one" in refused(command("a"))
    assert (there / "out" / "report.md").read_text() == "mine"
