"""Every sampler there is, and closed-form denoisers for them to run on."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from samplers import (
    DDIM,
    DDPM,
    DPM2,
    IPNDM,
    LMS,
    Consistency,
    Denoise,
    DPM2Ancestral,
    DPMSolverPP2M,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3M,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    Euler,
    EulerAncestral,
    Heun,
    UniPC,
)

ONE_STEP = [
    Euler(),
    Heun(),
    DDPM(),
    DDPM(variance="beta"),
    DDIM(),
    DDIM(eta=0.5),
    DPM2(),
    EulerAncestral(),
    DPM2Ancestral(),
    DPMSolverPP2SAncestral(),
    DPMSolverPPSDE(),
    DPMSolverPPSDE(eta=0.0),
    Consistency(),
]
MULTISTEP = [
    *(LMS(order=order) for order in (1, 2, 3, 4)),
    *(IPNDM(order=order) for order in (1, 2, 3, 4)),
    DPMSolverPP2M(),
    DPMSolverPP3M(),
    DPMSolverPP2MSDE(),
    DPMSolverPP2MSDE(solver="heun", eta=0.5),
    DPMSolverPP3MSDE(),
    *(UniPC(order=order, variant=variant) for order in (1, 2, 3) for variant in ("bh1", "bh2")),
    UniPC(lower_order_final=False),
]
SAMPLERS = [*ONE_STEP, *MULTISTEP]


@pytest.fixture(params=SAMPLERS, ids=repr)
def sampler(request):
    """Each sampler in turn: a new one gets every test that takes this fixture."""
    return request.param


@pytest.fixture(params=ONE_STEP, ids=repr)
def one_step_sampler(request):
    """Each sampler that remembers nothing from step to step."""
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
