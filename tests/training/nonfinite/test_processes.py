"""Several processes decide alike, and the one that found the first broken number has it written."""

import json

import pytest
from safetensors.torch import load_file

from unetdiff.cli.main import main
from unetdiff.training.checkpoint import checkpoints


@pytest.fixture
def settings(tmp_path, fashion_mnist, model):
    """The noise levels of the second half of a batch are so high that their squares overflow."""
    values = {
        "out": str(tmp_path / "run"),
        "model": model.to_dict(),
        "data": {"source": "fashion-mnist"},
        "objective": {"class_path": "EDMObjective", "init_args": {"P_mean": 40.0, "P_std": 10.0}},
        "preview": {"every": 0},
        "validation": {"every": 0},
        "batch_size": 8,
        "num_workers": 0,
    }
    (tmp_path / "run.yaml").write_text(json.dumps(values))
    return tmp_path / "run.yaml"


@pytest.mark.slow
@pytest.mark.parametrize(("launch", "policy", "steps"), [("ddp", "skip", 2), ("fsdp", "rollback", 1)])
def test_two_processes_go_on_behind_what_breaks_on_the_second_alone(
    settings, tmp_path, launch, policy, steps, request, capsys
):
    options = ["--config", str(settings), "--on-nonfinite", policy, "--steps", str(steps)]
    assert (
        request.getfixturevalue(launch)(options).count("the step was not made") == steps
    )  # by one process, for each step
    folders = sorted((tmp_path / "run" / "nonfinite").iterdir())
    assert [folder.name for folder in folders] == ["step-0000000", "step-0000001"][:steps]
    for step, folder in enumerate(folders):
        assert json.loads((folder / "step.json").read_text())["process"] == 1
        assert load_file(folder / "batch.safetensors")["samples"].tolist() == [8 * step + 4 + row for row in range(4)]
    assert checkpoints(tmp_path / "run" / "checkpoints")[-1].name == f"step-{steps:07d}"
    main(["replay", str(folders[-1])])
    facts = json.loads((folders[-1] / "step.json").read_text())
    found = facts["found"].split("first not finite is ")[1].split(", in")[0]
    assert f"first not finite is {found}" in capsys.readouterr().out
