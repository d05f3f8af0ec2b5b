"""Several processes make every image exactly once, and the same ones as a single process, up to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unetdiff.pictures import read_png

SAMPLE = Path(__file__).parents[2] / "sample.py"


@pytest.mark.slow
def test_two_processes_share_the_images(sample, model, tmp_path):
    options = ("--steps", "2", "--seeds", "0-4", "--sampler", "dpmpp-2m-sde", "--guidance", "2", "--npz")
    one = sample(*options, out=tmp_path / "one")
    kept = sample("--seeds", "2", *options[4:], out=tmp_path / "two") / "class0001-seed000002.png"
    made = kept.stat().st_mtime_ns
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SAMPLE)]
    command = [*launch, str(model), "--device", "cpu", "--out", str(tmp_path / "two"), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert output.count("12 of 15 images made") == 1
    assert kept.stat().st_mtime_ns == made
    rows = {row["file"]: row for row in map(json.loads, (tmp_path / "two" / "manifest.jsonl").read_text().splitlines())}
    assert rows.keys() == {path.name for path in one.glob("*seed*.png")}
    # A batch of 6 for each: with every image made by one process alone.
    assert sorted(row["made"]["row"] for row in rows.values() if row["made"]["batch_size"] == 6) == sorted(
        [*range(6)] * 2
    )
    with np.load(one / "samples.npz") as alone, np.load(tmp_path / "two" / "samples.npz") as shared:
        assert np.abs(alone["images"].astype(int) - shared["images"]).max() <= 1
        assert np.mean(alone["images"] != shared["images"]) < 0.01
    assert np.abs(read_png(one / "grid.png").astype(int) - read_png(tmp_path / "two" / "grid.png")).max() <= 1
