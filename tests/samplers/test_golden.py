"""Trajectories of k-diffusion and EDM, reproduced in float64."""

import pytest
import torch

from samplers import (
    DPM2,
    LMS,
    Churn,
    DPM2Ancestral,
    DPMSolverPP2M,
    DPMSolverPP2MSDE,
    DPMSolverPP2SAncestral,
    DPMSolverPP3MSDE,
    DPMSolverPPSDE,
    Euler,
    EulerAncestral,
    Heun,
    karras,
    sample,
)

CIFAR10_VP = Churn(S_churn=30, S_min=0.01, S_max=1, S_noise=1.007)  # Karras et al. 2022, table 5


DETERMINISTIC = {"euler": Euler(), "heun": Heun(), "dpm_2": DPM2(), "lms": LMS(), "dpmpp_2m": DPMSolverPP2M()}
STOCHASTIC = {
    "euler_ancestral": EulerAncestral(),
    "dpm_2_ancestral": DPM2Ancestral(),
    "dpmpp_2s_ancestral": DPMSolverPP2SAncestral(),
    "dpmpp_sde": DPMSolverPPSDE(),
    "dpmpp_2m_sde": DPMSolverPP2MSDE(),
    "dpmpp_3m_sde": DPMSolverPP3MSDE(),
}


@pytest.mark.parametrize(("name", "sampler"), DETERMINISTIC.items(), ids=DETERMINISTIC)
def test_k_diffusion(golden, mixture, name, sampler):
    x = sample(mixture, golden["x_init"], golden["sigmas_karras_12_0.02_20"], sampler)
    torch.testing.assert_close(x, golden[f"out.{name}"], rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "sampler"), STOCHASTIC.items(), ids=STOCHASTIC)
def test_k_diffusion_with_its_draws(golden, mixture, name, sampler):
    draws = iter(golden["noise"])
    x = sample(mixture, golden["x_init"], golden["sigmas_karras_12_0.02_20"], sampler, noise=draws.__next__)
    torch.testing.assert_close(x, golden[f"out.{name}"], rtol=0, atol=1e-10)
    assert len(list(draws)) == len(golden["noise"]) - golden[f"calls.{name}"]


def test_k_diffusion_2m_sde_heun(golden, mixture):
    sampler, draws = DPMSolverPP2MSDE(solver="heun", eta=0.5), iter(golden["noise"])
    x = sample(mixture, golden["x_init"], golden["sigmas_karras_12_0.02_20"], sampler, noise=draws.__next__)
    torch.testing.assert_close(x, golden["out.dpmpp_2m_sde_heun_eta0.5"], rtol=0, atol=1e-10)


def test_edm_algorithm_1(golden, mixture):
    sigmas = karras(18)
    x = sample(mixture, sigmas[0] * golden["edm.latents"], sigmas, Heun())
    torch.testing.assert_close(x, golden["out.edm_heun_18"], rtol=0, atol=1e-10)


def test_edm_algorithm_2(golden, mixture):
    sigmas, draws = karras(18), iter(golden["noise"])
    x = sample(mixture, sigmas[0] * golden["edm.latents"], sigmas, Heun(), noise=draws.__next__, churn=CIFAR10_VP)
    torch.testing.assert_close(x, golden["out.edm_churn"], rtol=0, atol=1e-10)
    assert len(list(draws)) == len(golden["noise"]) - golden["calls.edm_churn"]
