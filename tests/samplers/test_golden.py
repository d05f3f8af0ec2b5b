"""Trajectories of k-diffusion and EDM, reproduced in float64."""

import pytest
import torch

from samplers import Churn, Euler, Heun, karras, sample

CIFAR10_VP = Churn(S_churn=30, S_min=0.01, S_max=1, S_noise=1.007)  # Karras et al. 2022, table 5


@pytest.mark.parametrize(("name", "sampler"), [("euler", Euler()), ("heun", Heun())])
def test_k_diffusion(golden, mixture, name, sampler):
    x = sample(mixture, golden["x_init"], golden["sigmas_karras_12_0.02_20"], sampler)
    torch.testing.assert_close(x, golden[f"out.{name}"], rtol=0, atol=1e-10)


def test_edm_algorithm_1(golden, mixture):
    sigmas = karras(18)
    x = sample(mixture, sigmas[0] * golden["edm.latents"], sigmas, Heun())
    torch.testing.assert_close(x, golden["out.edm_heun_18"], rtol=0, atol=1e-10)


def test_edm_algorithm_2(golden, mixture):
    sigmas, draws = karras(18), iter(golden["noise"])
    x = sample(mixture, sigmas[0] * golden["edm.latents"], sigmas, Heun(), noise=draws.__next__, churn=CIFAR10_VP)
    torch.testing.assert_close(x, golden["out.edm_churn"], rtol=0, atol=1e-10)
    assert len(list(draws)) == len(golden["noise"]) - golden["calls.edm_churn"]
