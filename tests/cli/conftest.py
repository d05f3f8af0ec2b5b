"""Models small enough to sample from in a test, and the command that does."""

import pytest
import torch

from unetdiff.cli.main import main
from unetdiff.config import AttentionConfig, LevelConfig, ResnetConfig, UNetConfig
from unetdiff.model_folder import DataInfo, ModelInfo, save_model
from unetdiff.preconditioning import EDM, Epsilon
from unetdiff.unet import UNet

CLASSES = ("T-shirt/top", "Sneaker", "Ankle boot")


def _make_model(
    folder,
    num_classes=3,
    seed=0,
    preconditioning=EDM(sigma_min=0.01, sigma_max=20.0),  # noqa: B008
    concat=None,
):
    told = 0 if concat is None else concat.channels(1)
    level = LevelConfig(channels=8, depth=1, attention=AttentionConfig())
    unet = UNet(
        UNetConfig(
            in_channels=1 + told,
            concat_channels=told,
            out_channels=1,
            levels=(level, level),
            num_classes=num_classes,
            resnet=ResnetConfig(norm_groups=4),
        )
    )
    torch.manual_seed(seed)
    for parameter in unet.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(parameter, mean=1.0 if parameter.mean() > 0.5 else 0.0, std=0.05)
    data = DataInfo(channels=1, height=8, width=6, classes=CLASSES if num_classes else ())
    info = ModelInfo(preconditioning=preconditioning, data=data, concat=None if concat is None else concat.info)
    save_model(folder, unet, info)
    return folder


@pytest.fixture(scope="session")
def make_model():
    """Give a function that writes a model of 8 x 6 pixels and returns its folder."""
    return _make_model


@pytest.fixture(scope="session")
def model(make_model, tmp_path_factory):
    """Three classes, in a run folder."""
    return make_model(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="session")
def classless(make_model, tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("classless"), num_classes=None)


@pytest.fixture(scope="session")
def noise_model(make_model, tmp_path_factory):
    """Predicts noise on DDPM's schedule: it has timesteps."""
    return make_model(tmp_path_factory.mktemp("noise"), num_classes=None, preconditioning=Epsilon())


@pytest.fixture
def sample(model, tmp_path):
    """Give a function that runs the command and returns the samples folder."""

    def run(*options, model=model, out=tmp_path / "out"):
        assert main(["sample", str(model), "--out", str(out), "--steps", "2", *map(str, options)]) == 0
        return out

    return run


@pytest.fixture
def refused_sample(model, tmp_path, capsys):
    """Give a function that runs the command, which must refuse and write nothing; returns what it said."""

    def run(*options, model=model):
        with pytest.raises(SystemExit) as exit_:
            main(["sample", str(model), "--out", str(tmp_path / "out"), *map(str, options)])
        assert exit_.value.code == 2
        assert not (tmp_path / "out").exists()
        message = capsys.readouterr().err
        assert message.count("\n") == 1
        assert message.startswith("unetdiff sample: error: ")
        return message

    return run
