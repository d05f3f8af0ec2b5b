"""Every option of `unetdiff sample` reaches the image, or is refused by its name."""

import json

import numpy as np
import pytest
from PIL import Image

import samplers
from unetdiff.model_folder import weights_hash
from unetdiff.pictures import read_png

ONE = ("--classes", "1", "--seeds", "0", "--steps", "4", "--no-picture")
FILE = "class0001-seed000000.png"


@pytest.fixture
def picture(tmp_path):
    """A picture of another size than the model's."""
    pixels = np.linspace(0, 255, 20 * 15).reshape(20, 15).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "start.png")
    return tmp_path / "start.png"


def only_row(folder):
    return json.loads((folder / "manifest.jsonl").read_text())


@pytest.mark.parametrize(
    "options",
    [
        ("--guidance", "3"),
        ("--guidance", "3", "--guidance-interval", "0.5,5"),
        ("--guidance", "3", "--guidance-rescale", "0.7"),
        ("--threshold", "clamp"),
        ("--threshold", "dynamic", "--threshold-quantile", "0.5"),
        ("--skip-scale", "0.8"),
        ("--skip", "0.7"),
        ("--skip", "0.9:0.8", "--skip-equal-width", "true"),
        ("--skip", "0.9,0.9,0.8,0.8", "--skip-site", "residual"),
        ("--skip", "0.7", "--skip-site", "norm", "--skip-sigma", "window:0.1,5"),
        ("--skip", "0.7", "--skip-sigma", "auto"),
        ("--freeu", "1.2,1.4,0.9,0.2"),
        ("--cache-interval", "2"),
        ("--rho", "3"),
        ("--grid", "exponential"),
        ("--grid", "given", "--levels", "AYS_SD"),
        ("--grid", "given", "--levels", "9,3,0.5"),
        ("--sigma-min", "0.1"),
        ("--sigma-max", "40"),
        ("--restarts", "[{t_min: 0.1, t_max: 2, steps: 2}]"),
        ("--churn.S_churn", "2"),
        ("--sampler", "ddim", "--eta", "0.5"),
    ],
    ids=" ".join,
)
def test_every_setting_reaches_the_image(sample, options):
    plain = read_png(sample(*ONE) / FILE)
    changed = read_png(sample(*ONE, *options) / FILE)
    assert (plain != changed).any()


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_every_sampler_has_its_name(sample, name):
    folder = sample(*ONE, "--sampler", name)
    assert only_row(folder)["sampler"] == name
    assert read_png(folder / FILE).std() > 1


@pytest.mark.parametrize("name", samplers.GRIDS)
def test_every_grid_has_its_name(sample, noise_model, name):
    levels = ("--levels", "AYS_SD") if name == "given" else ()
    folder = sample("--seeds", "0", "--steps", "3", "--grid", name, *levels, model=noise_model)
    assert only_row(folder)["grid"] == name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stepz", "3"], "--stepz"),
        (["--steps", "2.5"], "steps"),
        (["--steps", "0"], "steps: expected at least 1, got 0"),
        (["--batch-size", "0"], "batch_size: expected at least 1, got 0"),
        (["--classes", "Sneeker"], "got 'Sneeker'; did you mean 'Sneaker'?"),
        (["--classes", "3"], "classes: numbers from 0 to 2 in increasing order expected, got '3'"),
        (["--seeds", "5-2"], "seeds: numbers from 0 to 4294967295 in increasing order expected, got '5-2'"),
        (["--seeds", "one"], "seeds: a number or a range such as 0-9 expected, got 'one'"),
        (["--seeds", "1", "--interpolate", "4"], "interpolate: at least 2 seeds expected, got 1"),
        (["--interpolate", "0"], "interpolate: expected at least 1 step, got 0"),
        (["--sampler", "hewn"], "hewn"),
        (["--eta", "0.5"], "eta: expected an option of the sampler heun (it has none), got 0.5"),
        (["--churn.S_churn", "-1"], "S_churn: expected a number >= 0, got -1.0"),
        (["--rho", "0"], "rho"),
        (["--prompt", "a fox"], "prompt: a model with a text encoder expected"),
        (["--skip", "auto"], "skip.json expected, which `unetdiff skip-search` writes"),
        (["--start", "nowhere.png"], "nowhere.png"),
        (["--guide", "nowhere"], "nowhere: a model folder or a run folder expected"),
    ],
)
def test_wrong_options_are_named(refused_sample, options, message):
    assert message in refused_sample(*options)


def test_the_best_setting_found_is_used_and_recorded(sample, make_model, tmp_path):
    folder = make_model(tmp_path / "model")
    found = {"sampler": "heun", "steps": 1, "rho_top": 1.0, "site": "residual", "sigma": "constant", "n": 3}
    found |= dict.fromkeys(("distance", "plain_distance", "standard_error", "gain_error"), 0.0)
    settings = [
        {**found, "calls": calls, "rho_bottom": rho_bottom, "weights": weights}
        for calls, rho_bottom, weights in (
            (3, 0.7, weights_hash(folder)),
            (9, 0.8, weights_hash(folder)),
            (35, 0.9, weights_hash(folder)),
            (7, 0.6, "of another network"),
        )
    ]
    (folder / "skip.json").write_text(json.dumps({"settings": settings}))
    row = only_row(sample(*ONE, "--skip", "auto", model=folder))  # 7 network calls
    assert (row["skip"], row["skip_site"]) == ("0.8:1.0", "residual")
    best = read_png(tmp_path / "out" / FILE)
    again = sample(*ONE, "--skip", "0.8", "--skip-site", "residual", model=folder, out=tmp_path / "again")
    assert np.array_equal(best, read_png(again / FILE))


def test_no_search_with_this_sampler(make_model, refused_sample, tmp_path):
    folder = make_model(tmp_path / "model")
    (folder / "skip.json").write_text('{"settings": []}')
    assert "skip: settings for the sampler euler" in refused_sample(
        "--skip", "auto", "--sampler", "euler", model=folder
    )


def test_a_guide_leads_away_from_what_it_predicts(sample, make_model, tmp_path):
    guide = make_model(tmp_path / "guide", seed=5)
    plain = read_png(sample(*ONE) / FILE)
    folder = sample(*ONE, "--guidance", "2", "--guide", guide)
    assert only_row(folder)["guide_weights"] == weights_hash(guide)
    assert (plain != read_png(folder / FILE)).any()


def test_a_guide_of_another_kind_is_refused(refused_sample, classless):
    assert "guide: a model of the same classes" in refused_sample("--guidance", "2", "--guide", classless)


def test_a_little_noise_leaves_a_picture_nearly_as_it_is(sample, picture):
    options = (*ONE, "--steps", "18", "--start", picture)
    near, far = (read_png(sample(*options, "--strength", share) / FILE) for share in (0.2, 0.8))
    expected = np.linspace(0, 255, 8)[:, None]  # the picture falls from row to row
    near_error, far_error = (np.abs(pixels[..., 0] - expected).mean() for pixels in (near, far))
    assert near_error < 0.5 * far_error


def test_masked_pixels_stay(sample, picture, tmp_path):
    mask = np.zeros((8, 6), np.uint8)
    mask[:4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    folder = sample(*ONE, "--start", picture, "--mask", tmp_path / "mask.png")
    pixels = read_png(folder / FILE)
    folder = sample(*ONE, "--seeds", "0-1", "--start", picture, "--mask", tmp_path / "mask.png")
    other = read_png(folder / "class0001-seed000001.png")
    assert np.array_equal(pixels[4:], other[4:])
    assert (pixels[:4] != other[:4]).any()


def test_a_folder_has_a_picture_for_each_seed(sample, refused_sample, picture, tmp_path):
    (tmp_path / "many").mkdir()
    for name in ("a", "b"):
        Image.open(picture).save(tmp_path / "many" / f"{name}.png")
    message = "start: a picture for each of 3 seeds expected, got 2"
    assert message in refused_sample("--seeds", "0-2", "--start", tmp_path / "many")
    folder = sample("--classes", "0", "--seeds", "5,3", "--start", tmp_path / "many")
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert {row["seed"]: row["source"]["path"] for row in rows} == {
        5: str(tmp_path / "many" / "a.png"),
        3: str(tmp_path / "many" / "b.png"),
    }


def test_interpolation_fills_the_way_between_seeds(sample):
    folder = sample("--classes", "0", "--seeds", "2,7", "--interpolate", "4")
    between = [f"class0000-seed000002-00{step}of004-seed000007.png" for step in (1, 2, 3)]
    names = [*between, "class0000-seed000002.png", "class0000-seed000007.png"]
    assert sorted(path.name for path in folder.glob("*seed*.png")) == sorted(names)
    assert read_png(folder / "grid.png").shape[1] > 5 * 42
