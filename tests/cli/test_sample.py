"""`unetdiff sample` from end to end, with a tiny network."""

import itertools
import json

import numpy as np
import pytest
import torch

import samplers
from unetdiff.cli.main import main
from unetdiff.model_folder import load_model, save_model, weights_hash
from unetdiff.pictures import read_facts, read_png

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


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
    assert {row["class_name"] for row in manifest(sample("--seeds", "0"))} == {"T-shirt/top", "Sneaker", "Ankle boot"}


def test_a_picture_carries_the_facts_of_the_manifest(sample, model):
    folder = sample("--classes", "Sneaker", "--seeds", "5", "--guidance", "1.5", "--skip-scale", "0.9")
    expected = {
        "file": "class0001-seed000005.png",
        "seed": 5,
        "class": 1,
        "class_name": "Sneaker",
        "sampler": "heun",
        "steps": 2,
        "grid": "karras",
        "sigma_min": 0.01,
        "sigma_max": 20.0,
        "rho": 7.0,
        "restarts": [],
        "guidance": 1.5,
        "guidance_rescale": 0.0,
        "threshold_quantile": 0.995,
        "skip_scale": 0.9,
        "skip_equal_width": False,
        "skip_site": "concat",
        "skip_sigma": "constant",
        "cache_interval": 1,
        "weights": weights_hash(model),
    }
    (row,) = manifest(folder)
    facts = read_facts(folder / "class0001-seed000005.png")
    assert {key: json.loads(value) for key, value in facts.items()} == row
    made = row.pop("made")
    assert row == expected
    assert made["torch_version"] == torch.__version__
    assert (made["batch_size"], made["row"]) == (1, 0)


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
    first = {path.name: read_png(path) for path in folder.glob("*.png")}
    made = {name: (folder / name).stat().st_mtime_ns for name in pngs(folder)}
    (folder / "class0001-seed000001.png").unlink()
    capsys.readouterr()
    sample(*options)
    assert "1 of 6 images made" in capsys.readouterr().out
    again = {path.name: read_png(path) for path in folder.glob("*.png")}
    assert again.keys() == first.keys()
    assert max(np.abs(again[name].astype(int) - first[name]).max() for name in first) <= 1  # alone in its batch now
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


def test_the_grid_has_a_row_per_class(sample):
    folder = sample("--seeds", "0-3")
    grid = read_png(folder / "grid.png")
    scale, gap = 56 // 8, 2
    assert grid.shape[0] == 3 * (8 * scale + gap) + gap
    last = read_png(folder / "class0002-seed000003.png").repeat(scale, 0).repeat(scale, 1)
    assert np.array_equal(grid[-8 * scale - gap : -gap, -6 * scale - gap : -gap], last)


def test_the_array_holds_what_the_pictures_show(sample):
    folder = sample("--classes", "2,0", "--seeds", "1-2", "--npz", "--no-picture")
    with np.load(folder / "samples.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 2, 0, 0]
        assert arrays["seeds"].tolist() == [1, 2, 1, 2]
        assert np.array_equal(arrays["images"][2], read_png(folder / "class0000-seed000001.png"))
    assert not (folder / "grid.png").exists()


def test_a_model_without_classes(sample, classless):
    folder = sample("--seeds", "0-4", "--npz", model=classless)
    assert pngs(folder) == [f"seed00000{seed}.png" for seed in range(5)]
    assert [row["seed"] for row in manifest(folder)] == list(range(5))
    assert not any("class" in row for row in manifest(folder))
    assert read_png(folder / "grid.png").shape[:2] == (2 * 58 + 2, 3 * 44 + 2)


def test_a_run_folder_means_its_model(sample, model):
    assert [row["weights"] for row in manifest(sample("--classes", "0", "--seeds", "0", model=model.parent))] == [
        weights_hash(model)
    ]


@pytest.mark.parametrize("options", [["--classes", "0"], ["--guidance", "2"]])
def test_classes_of_a_model_without_are_refused(refused_sample, classless, options):
    assert f"{options[0][2:]}: " in refused_sample(*options, model=classless)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("denoiser.json", None, "denoiser.json: a file of a model folder expected"),
        ("unet/config.json", None, "config.json: a file of a model folder expected"),
        (WEIGHTS, None, "weights in diffusion_pytorch_model.safetensors expected"),
        (WEIGHTS, b"\x10", "a complete safetensors file expected, this one is damaged"),
    ],
)
def test_a_damaged_model_folder_is_refused(refused_sample, make_model, tmp_path, file, content, message):
    folder = make_model(tmp_path / "model")
    (folder / file).unlink() if content is None else (folder / file).write_bytes(content)
    assert message in refused_sample(model=folder)


def test_weights_that_give_no_numbers_are_refused_before_a_picture_is_written(tmp_path, make_model, capsys):
    folder = make_model(tmp_path / "model")
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
