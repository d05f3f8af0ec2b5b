"""`unetdiff prune`: from a trained model to a smaller one, and what it refuses."""

import json

import pytest
import torch

from unetdiff.cli.main import main
from unetdiff.model_folder import load_model
from unetdiff.prune.plan import Plan
from unetdiff.unet import UNet

FEW = ["--images", "6", "--batch_size", "4"]


@pytest.fixture
def prune(tmp_path, fashion_mnist):
    """Give a function that prunes the shipped model and gives the folder."""

    def run(name, *options):
        assert main(["prune", "fashion-mnist", *FEW, *options, "--out", str(tmp_path / name)]) == 0
        return tmp_path / name

    return run


def test_the_model_is_an_ordinary_one_and_says_what_is_gone(prune, capsys):
    folder = prune("half", "--keep", "0.5", "--protect", "up_blocks.2")
    said = capsys.readouterr().out
    plan, unet = Plan.read(folder / "plan.json"), UNet.from_pretrained(folder)
    whole, _ = load_model(None)
    assert unet.config.removed == plan.removed
    assert unet.num_parameters() <= 0.5 * whole.unet.num_parameters()
    denoiser, info = load_model(folder)
    x, labels = torch.randn(1, 1, 28, 28), torch.tensor([3])
    expected = plan.apply(whole.unet)
    assert all(torch.equal(tensor, expected.state_dict()[name]) for name, tensor in unet.state_dict().items())
    outputs = [network(x, 0.3, class_labels=labels).sample for network in (denoiser.unet, expected)]
    torch.testing.assert_close(*outputs)  # weights in a file lie otherwise in memory, which kernels round by
    assert "criterion output-loss" in info.training["pruned"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name, way in plan.removed.items():
        assert name in card
        assert f"removed {name} ({way})" in said
    assert [line.split()[0] for line in said.splitlines() if line.startswith(("param", "MACs", "ms"))] == [
        "parameters",
        "MACs",
        "ms",
    ]


def test_a_plan_is_carried_out_again(prune):
    first = prune("first", "--keep", "0.8", "--criterion", "magnitude")
    again = prune("again", "--plan", str(first / "plan.json"))
    weights = "unet/diffusion_pytorch_model.safetensors"
    assert (again / weights).read_bytes() == (first / weights).read_bytes()
    assert Plan.read(again / "plan.json") == Plan.read(first / "plan.json")


def test_additivity_is_drawn_and_written(prune, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "additivity.svg"
    folder = prune("additive", "--keep", "0.9", "--additivity", "2", "--plot", str(picture))
    assert picture.stat().st_size > 0
    header, *rows = (folder / "additivity.csv").read_text().splitlines()
    assert header == "parts,sum_of_scores,joint_output_loss"
    assert len(rows) == 2 * 4
    assert "Spearman" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keep", "0"], "keep: expected a share above 0, at most 1, got 0"),
        (["--keep", "0.001", "--criterion", "magnitude"], "or more of the parameters expected"),
        (["--protect", "middle"], "protect: expected a pattern of names in the network, got middle"),
        (["--criterion", "luck"], "criterion: expected one of"),
        (["--plot", "x.svg"], "plot: expected none without additivity"),
        (["--condition", "text"], "condition: images with captions expected"),
        (["--plan", "nowhere.json"], "nowhere.json"),
    ],
)
def test_refusals_leave_nothing_behind(refused, fashion_mnist, tmp_path, options, message):
    out = tmp_path / "out"
    assert message in refused(["prune", "fashion-mnist", *FEW, *options, "--out", str(out)])
    assert not out.exists()


def test_a_plan_for_another_architecture_is_refused(prune, refused, tmp_path):
    folder = prune("once", "--keep", "0.9", "--criterion", "magnitude")
    plan = json.loads((folder / "plan.json").read_text())
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**plan, "architecture": "0" * 64}))
    arguments = ["prune", "fashion-mnist", *FEW, "--plan", str(other), "--out", str(tmp_path / "out")]
    assert "plan: a network of the architecture 000000000000 expected" in refused(arguments)


def test_a_full_folder_is_not_overwritten(refused, fashion_mnist, tmp_path):
    (tmp_path / "mine").write_text("")
    assert "a new or empty folder expected" in refused(["prune", "fashion-mnist", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "layout, narrow: expected one of the two, or both, got None"),
        (["--layout", "sd-tiny"], "layout: expected one of bk-sdm-base, bk-sdm-small"),
        (["--layout", "bk-sdm-base"], "layout bk-sdm-base: expected a network of Stable Diffusion"),
        (["--narrow", "0"], "narrow: expected a share above 0, at most 1, got 0"),
        (["--narrow", "0.5", "--criterion", "magnitude"], "unrecognized arguments: --criterion"),
    ],
)
def test_shapes_that_cannot_be_are_refused(refused, tmp_path, options, message):
    assert message in refused(["reshape", *options, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
