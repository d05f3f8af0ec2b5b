"""Every sampler there is, and closed-form denoisers for them to run on."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from samplers import DDIM, DDPM, Denoise, Euler, Heun

SAMPLERS = [Euler(), Heun(), DDPM(), DDPM(variance="beta"), DDIM(), DDIM(eta=0.5), DDIM(eta=1.0)]


@pytest.fixture(params=SAMPLERS, ids=repr)
def sampler(request):
    """Each sampler in turn: a new one gets every test that takes this fixture."""
    return request.param


@pytest.fixture(scope="session")
def golden() -> dict[str, Tensor]:
    return load_file(Path(__file__).parents[1] / "golden" / "samplers.safetensors")


@pytest.fixture(scope="session")
def data_std() -> float:
    return 0.5


@pytest.fixture(scope="session")
def gaussian(data_std) -> Denoise:
    """The exact denoiser of data from N(0, data_std^2)."""
    return lambda x, sigma: data_std**2 / (data_std**2 + sigma**2) * x


@pytest.fixture(scope="session")
def mixture(golden) -> Denoise:
    """The exact denoiser of the golden file's mixture: standard deviation 0.4 around each image of `data`."""
    means = golden["data"].flatten(1)

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        rows = x.flatten(1)
        variance = 0.4**2 + sigma**2
        posterior = torch.softmax(-(torch.cdist(rows, means) ** 2) / (2 * variance), dim=1)
        mean = posterior @ means
        return (mean + 0.4**2 / variance * (rows - mean)).reshape(x.shape)

    return denoise
