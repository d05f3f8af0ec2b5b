"""`unetdiff prune` with the folder of a text-to-image pipeline."""

import json

import pytest
import torch

from unetdiff.cli.main import main
from unetdiff.prune import layout
from unetdiff.prune.plan import Plan
from unetdiff.prune.width import magnitudes
from unetdiff.tables import in_thousands
from unetdiff.unet import UNet

SAMPLE = ["--prompt", "a fox", "--seeds", "0", "--steps", "2"]


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)
def test_what_remains_samples_with_the_pipelines_encoder_and_codec(bench, tmp_path, fashion_mnist):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path / "pipeline")
    out = tmp_path / "pruned"
    command = ["prune", str(tmp_path / "pipeline"), "fashion-mnist", "--images", "2", "--keep", "0.5"]
    assert main([*command, "--out", str(out)]) == 0
    unet = UNet.from_pretrained(out)
    assert unet.config.removed == Plan.read(out / "plan.json").removed
    assert unet.num_parameters() <= 0.5 * bench.ours.num_parameters()
    assert {"text", "codec"} <= set(json.loads((out / "denoiser.json").read_text()))
    assert main(["sample", str(out), *SAMPLE, "--out", str(tmp_path / "samples")]) == 0


@pytest.mark.parametrize("bench", ["StableDiffusionPipeline"], indirect=True)
def test_a_published_layout_needs_no_data_and_keeps_the_companions(bench, tmp_path, capsys, refused):
    bench.pipeline(bench.theirs).save_pretrained(tmp_path / "pipeline")
    command, out = ["reshape", str(tmp_path / "pipeline"), "--layout", "bk-sdm-base"], tmp_path / "student"
    assert main([*command, "--narrow", "0.5", "--out", str(out)]) == 0
    expected = layout(bench.ours, "bk-sdm-base")
    unet = UNet.from_pretrained(out)
    assert unet.config.levels == expected.config.levels
    assert set(unet.config.widths) == set(magnitudes(expected))
    assert unet.config.widths["mid_block.resnets.0"] == expected.config.levels[-1].channels // 2
    weight = "down_blocks.0.resnets.0.norm1.weight"
    assert torch.equal(unet.get_parameter(weight), bench.ours.get_parameter(weight))
    assert in_thousands(unet.num_parameters()) in capsys.readouterr().out
    assert main(["sample", str(out), *SAMPLE, "--out", str(tmp_path / "samples")]) == 0

    assert "unrecognized arguments: --keep 0.5" in refused([*command, "--keep", "0.5"])
