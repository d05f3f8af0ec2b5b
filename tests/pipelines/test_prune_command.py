"""`unetdiff prune` with the folder of a text-to-image pipeline."""

import json

import pytest

from unetdiff.cli.main import main
from unetdiff.prune.plan import Plan
from unetdiff.unet import UNet


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
    sample = [
        "sample",
        str(out),
        "--prompt",
        "a fox",
        "--seeds",
        "0",
        "--steps",
        "2",
        "--out",
        str(tmp_path / "samples"),
    ]
    assert main(sample) == 0
