"""`unetdiff sample` from end to end, with a tiny network."""

import itertools
import json

import numpy as np
import pytest
import torch

import samplers
from unetdiff.cli.generate import Method, generate
from unetdiff.cli.main import main
from unetdiff.config import AttentionConfig, LevelConfig, ResnetConfig, UNetConfig
from unetdiff.model_folder import DataInfo, ModelInfo, load_model, save_model, weights_hash
from unetdiff.pictures import read_facts, read_png
from unetdiff.preconditioning import EDM
from unetdiff.samples_folder import Sample
from unetdiff.unet import UNet

CLASSES = ("T-shirt/top", "Sneaker", "Ankle boot")
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def make_model(folder, num_classes):
    torch.manual_seed(0)
    level = LevelConfig(channels=8, depth=1, attention=AttentionConfig())
    unet = UNet(
        UNetConfig(
            in_channels=1,
            out_channels=1,
            levels=(level, level),
            num_classes=num_classes,
            resnet=ResnetConfig(norm_groups=4),
        )
    )
    for parameter in unet.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    data = DataInfo(channels=1, height=8, width=6, classes=CLASSES)
    save_model(folder, unet, ModelInfo(preconditioning=EDM(sigma_min=0.01, sigma_max=20.0), data=data))
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("run") / "model", len(CLASSES))


@pytest.fixture(scope="module")
def classless(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("classless"), None)


@pytest.fixture
def sample(model, tmp_path):
    """Give a function that runs the command and returns the samples folder."""

    def run(*options, model=model):
        assert main(["sample", str(model), "--out", str(tmp_path / "out"), "--steps", "2", *options]) == 0
        return tmp_path / "out"

    return run


@pytest.fixture
def refused(model, tmp_path, capsys):
    """Give a function that runs the command, which must refuse and write nothing; returns what it said."""

    def run(*options, model=model):
        with pytest.raises(SystemExit) as exit_:
            main(["sample", str(model), "--out", str(tmp_path / "out"), *options])
        assert exit_.value.code == 2
        assert not (tmp_path / "out").exists()
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert message.startswith("unetdiff sample: error: ")
        return message

    return run


def pngs(folder):
    return sorted(path.name for path in folder.glob("*seed*.png"))


def manifest(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def test_one_image_for_every_class_and_seed(sample, capsys):
    folder = sample("--classes", "ankle boot,0", "--seeds", "3-4")
    names = ["class0000-seed000003.png", "class0000-seed000004.png", "class0002-seed000003.png"]
    assert pngs(folder) == [*names, "class0002-seed000004.png"]
    assert [row["file"] for row in manifest(folder)] == pngs(folder)
    output = capsys.readouterr().out
    assert "4 of 4 images made in" in output
    assert str(folder / "grid.png") in output


def test_without_a_choice_every_class_is_sampled(sample):
    assert {row["class_name"] for row in manifest(sample("--seeds", "0"))} == set(CLASSES)


def test_a_picture_carries_the_facts_of_the_manifest(sample, model):
    folder = sample("--classes", "Sneaker", "--seeds", "5", "--guidance", "1.5", "--skip-scale", "0.9")
    expected = {
        "file": "class0001-seed000005.png",
        "seed": 5,
        "class": 1,
        "class_name": "Sneaker",
        "sampler": "heun",
        "steps": 2,
        "sigma_min": 0.01,
        "sigma_max": 20.0,
        "rho": 7.0,
        "eta": None,
        "churn": {},
        "guidance": 1.5,
        "skip_scale": 0.9,
        "weights": weights_hash(model),
    }
    assert manifest(folder) == [expected]
    facts = read_facts(folder / "class0001-seed000005.png")
    assert {key: json.loads(value) for key, value in facts.items()} == expected


def test_the_image_is_what_the_sampler_gives(sample, model):
    folder = sample("--classes", "2", "--seeds", "7", "--sampler", "euler", "--steps", "3")
    denoiser, info = load_model(model)
    sigmas = samplers.karras(3, *info.preconditioning.sigma_range)
    x = torch.randn(1, 1, 8, 6, generator=torch.Generator().manual_seed(7)) * sigmas[0].float()
    labels = torch.tensor([2])
    for sigma, sigma_next in itertools.pairwise(sigmas):
        with torch.no_grad():
            x0 = denoiser(x, sigma.float(), class_labels=labels)
        x = x0 + (sigma_next / sigma).float() * (x - x0)
    expected = (x[0, 0] * 127.5 + 127.5).clamp(0, 255).numpy()
    written = read_png(folder / "class0002-seed000007.png")[..., 0]
    assert np.abs(written - expected).max() < 0.5 + 1e-3


def test_the_same_command_again_makes_only_what_is_missing(sample, capsys):
    options = ("--classes", "0-1", "--seeds", "0-2")
    folder = sample(*options)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    made = {name: (folder / name).stat().st_mtime_ns for name in pngs(folder)}
    (folder / "class0001-seed000001.png").unlink()
    capsys.readouterr()
    sample(*options)
    assert "1 of 6 images made" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    again = {name: (folder / name).stat().st_mtime_ns for name in pngs(folder)}
    assert {name for name in made if made[name] != again[name]} == {"class0001-seed000001.png"}


def test_more_seeds_add_to_what_is_there(sample, capsys):
    sample("--classes", "0", "--seeds", "0-1")
    folder = sample("--classes", "0", "--seeds", "1-3")
    assert "2 of 3 images made" in capsys.readouterr().out.splitlines()[-2]
    assert [row["seed"] for row in manifest(folder)] == [0, 1, 2, 3]


def test_other_settings_make_the_image_again(sample, capsys):
    folder = sample("--classes", "0", "--seeds", "0")
    sample("--classes", "0", "--seeds", "0", "--sampler", "euler")
    assert "1 of 1 images made" in capsys.readouterr().out.splitlines()[-2]
    assert [row["sampler"] for row in manifest(folder)] == ["euler"]


# Measured with 18 steps: at most 1.1e-6 between batches of 1, 3 and 7, for values up to 2.5.
BATCH_TOLERANCE = 2e-6


@pytest.mark.parametrize(
    ("sampler", "churn"), [(samplers.Heun(), samplers.Churn(S_churn=1.0)), (samplers.DDPM(), None)]
)
def test_an_image_does_not_depend_on_its_batch(model, sampler, churn):
    denoiser, info = load_model(model)
    wanted = [Sample(seed=seed, label=seed % 3) for seed in range(7)]
    method = Method(sampler=sampler, sigmas=samplers.karras(18, 0.01, 20.0), churn=churn, guidance=2.0, skip_scale=0.9)
    alone, together = (
        torch.stack([image for _, image in generate(denoiser, info.data.shape, wanted, method, batch_size)])
        for batch_size in (1, 7)
    )
    assert (alone - together).abs().max() < BATCH_TOLERANCE
    assert (alone[0] - alone[3]).abs().max() > 0.1


@pytest.mark.parametrize(
    "options",
    [
        ("--guidance", "3"),
        ("--skip-scale", "0.8"),
        ("--rho", "3"),
        ("--sigma-min", "0.1"),
        ("--sigma-max", "40"),
        ("--churn.S_churn", "2"),
        ("--sampler", "euler"),
        ("--sampler", "ddpm"),
        ("--sampler", "ddim", "--eta", "0.5"),
    ],
)
def test_every_setting_reaches_the_image(sample, options):
    plain = read_png(sample("--classes", "1", "--seeds", "0", "--steps", "3") / "class0001-seed000000.png")
    changed = read_png(sample("--classes", "1", "--seeds", "0", "--steps", "3", *options) / "class0001-seed000000.png")
    assert (plain != changed).any()


def test_the_grid_has_a_row_per_class(sample):
    folder = sample("--seeds", "0-3")
    grid = read_png(folder / "grid.png")
    scale, gap = 56 // 8, 2
    assert grid.shape[0] == len(CLASSES) * (8 * scale + gap) + gap
    last = read_png(folder / "class0002-seed000003.png").repeat(scale, 0).repeat(scale, 1)
    assert np.array_equal(grid[-8 * scale - gap : -gap, -6 * scale - gap : -gap], last)


def test_the_array_holds_what_the_pictures_show(sample):
    folder = sample("--classes", "2,0", "--seeds", "1-2", "--npz", "--no-grid")
    with np.load(folder / "samples.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 2, 0, 0]
        assert arrays["seeds"].tolist() == [1, 2, 1, 2]
        assert np.array_equal(arrays["images"][2], read_png(folder / "class0000-seed000001.png"))
    assert not (folder / "grid.png").exists()


def test_a_model_without_classes(sample, classless):
    folder = sample("--seeds", "0-4", "--npz", model=classless)
    assert pngs(folder) == [f"seed00000{seed}.png" for seed in range(5)]
    assert {row["class"] for row in manifest(folder)} == {None}
    assert read_png(folder / "grid.png").shape[:2] == (2 * 58 + 2, 3 * 44 + 2)


def test_a_run_folder_means_its_model(sample, model):
    assert [row["weights"] for row in manifest(sample("--classes", "0", "--seeds", "0", model=model.parent))] == [
        weights_hash(model)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stepz", "3"], "--stepz"),
        (["--steps", "0"], "steps: at least 1 expected, got 0"),
        (["--steps", "2.5"], "steps"),
        (["--batch-size", "0"], "batch_size: at least 1 expected, got 0"),
        (["--classes", "Sneeker"], "got 'Sneeker'; did you mean 'Sneaker'?"),
        (["--classes", "3"], "classes: numbers from 0 to 2 in increasing order expected, got '3'"),
        (["--seeds", "5-2"], "seeds: numbers from 0 to 4294967295 in increasing order expected, got '5-2'"),
        (["--seeds", "one"], "seeds: a number or a range such as 0-9 expected, got 'one'"),
        (["--sampler", "hewn"], "hewn"),
        (["--eta", "0.5"], "eta: the sampler ddim expected, got heun"),
        (["--sampler", "ddim", "--eta", "2"], "eta: expected a number in [0, 1], got 2.0"),
        (["--sampler", "ddpm", "--churn.S_churn", "1"], "churn: the sampler heun or euler expected, got ddpm"),
        (["--churn.S_churn", "-1"], "S_churn: expected a number >= 0, got -1.0"),
        (["--sigma-min", "30"], "expected 0 < sigma_min < sigma_max, got 30.0, 20.0"),
        (["--rho", "0"], "rho"),
        (["--guidance", ".inf"], "guidance: a finite number expected, got inf"),
    ],
)
def test_wrong_options_are_named(refused, options, message):
    assert message in refused(*options)


@pytest.mark.parametrize("options", [["--classes", "0"], ["--guidance", "2"]])
def test_classes_of_a_model_without_are_refused(refused, classless, options):
    assert f"{options[0][2:]}: " in refused(*options, model=classless)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("denoiser.json", None, "denoiser.json: a file of a model folder expected"),
        ("unet/config.json", None, "config.json: a file of a model folder expected"),
        (WEIGHTS, None, "weights in diffusion_pytorch_model.safetensors expected"),
        (WEIGHTS, b"\x10", "a complete safetensors file expected, this one is damaged"),
    ],
)
def test_a_damaged_model_folder_is_refused(refused, tmp_path, file, content, message):
    folder = make_model(tmp_path / "model", 3)
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    assert message in refused(model=folder)


def test_weights_that_give_no_numbers_are_refused_before_a_picture_is_written(tmp_path, model, capsys):
    folder = make_model(tmp_path / "model", 3)
    denoiser, info = load_model(folder)
    with torch.no_grad():
        next(denoiser.unet.parameters()).fill_(float("nan"))
    save_model(folder, denoiser.unet, info)
    with pytest.raises(SystemExit):
        main(["sample", str(folder), "--out", str(tmp_path / "out"), "--steps", "1", "--seeds", "0"])
    assert "finite values expected" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_an_output_folder_that_cannot_be_made_is_named(model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as exit_:
        main(["sample", str(model), "--out", str(tmp_path / "file" / "out")])
    assert exit_.value.code == 2
    assert "out: a folder expected, but" in capsys.readouterr().err
