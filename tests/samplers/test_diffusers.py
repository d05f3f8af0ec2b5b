"""Multistep methods and consistency sampling against diffusers' schedulers, on the same noise levels and denoiser."""

import pytest
import torch
from diffusers import (
    CMStochasticIterativeScheduler,
    DPMSolverMultistepScheduler,
    IPNDMScheduler,
    UniPCMultistepScheduler,
)

from samplers import IPNDM, Consistency, DPMSolverPP2M, DPMSolverPP3M, UniPC, karras, sample

SIGMAS = karras(10, 0.02, 20.0)


def states(denoise, sampler, x, sigmas=SIGMAS):
    """Every state that `sampler` passes through."""
    result = []
    sample(denoise, x, sigmas, sampler, callback=lambda step: result.append(step.x))
    return torch.stack(result)


def states_of_scheduler(denoise, scheduler, x, sigmas=SIGMAS):
    """Every state of a scheduler that takes predictions of x0, carried from unit variance to x0 + sigma * eps."""
    steps = len(sigmas) - 1
    scheduler.num_inference_steps, scheduler.timesteps, scheduler.sigmas = steps, torch.arange(steps, 0, -1), sigmas
    result = []
    for timestep, sigma, sigma_next in zip(scheduler.timesteps, sigmas, sigmas[1:], strict=False):
        scaled = x / (1 + sigma**2).sqrt()
        x = scheduler.step(denoise(x, sigma), timestep, scaled).prev_sample * (1 + sigma_next**2).sqrt()
        result.append(x)
    return torch.stack(result)


@pytest.fixture
def x(golden):
    return golden["x_init"]


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_unipc(mixture, x, order, variant):
    """All states but that at 0, where the scheduler's bh1 multiplies infinity by 0."""
    scheduler = UniPCMultistepScheduler(solver_order=order, solver_type=variant, prediction_type="sample")
    ours = states(mixture, UniPC(order=order, variant=variant), x)
    torch.testing.assert_close(ours[:-1], states_of_scheduler(mixture, scheduler, x)[:-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("variant", ["bh1", "bh2"])
def test_unipc_of_full_order_to_the_end(mixture, x, order, variant):
    """On a grid that ends above 0: the formula of higher order is not defined on the way to 0."""
    scheduler = UniPCMultistepScheduler(
        solver_order=order, solver_type=variant, prediction_type="sample", lower_order_final=False
    )
    torch.testing.assert_close(
        states(mixture, UniPC(order=order, variant=variant, lower_order_final=False), x, SIGMAS[:-1]),
        states_of_scheduler(mixture, scheduler, x, SIGMAS[:-1]),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("sampler", "order", "solver"), [(DPMSolverPP2M(), 2, "midpoint"), (DPMSolverPP3M(), 3, "heun")], ids=str
)
def test_dpm_solver_pp(mixture, x, sampler, order, solver):
    """The scheduler keeps its state in float32."""
    scheduler = DPMSolverMultistepScheduler(
        solver_order=order, solver_type=solver, prediction_type="sample", lower_order_final=False
    )
    torch.testing.assert_close(
        states(mixture, sampler, x), states_of_scheduler(mixture, scheduler, x), rtol=1e-6, atol=1e-6
    )


def test_ipndm(mixture, x):
    """The scheduler takes v, and its betas are sigma / sqrt(1 + sigma^2)."""
    scheduler, expected, state = IPNDMScheduler(), [], x
    scheduler.set_timesteps(len(SIGMAS) - 1)
    scheduler.betas, scheduler.alphas = SIGMAS / (1 + SIGMAS**2).sqrt(), 1 / (1 + SIGMAS**2).sqrt()
    for i, timestep in enumerate(scheduler.timesteps):
        scaled, epsilon = state * scheduler.alphas[i], (state - mixture(state, SIGMAS[i])) / SIGMAS[i]
        v = (epsilon - scheduler.betas[i] * scaled) / scheduler.alphas[i]
        state = scheduler.step(v, timestep, scaled).prev_sample / scheduler.alphas[i + 1]
        expected.append(state)
    torch.testing.assert_close(states(mixture, IPNDM(), x), torch.stack(expected), rtol=0, atol=1e-12)


def test_consistency(monkeypatch, mixture, golden):
    """The scheduler makes the denoised image from a raw output, c_out * output + c_skip * x."""
    draws = iter(golden["noise"])
    monkeypatch.setattr("diffusers.schedulers.scheduling_consistency_models.randn_tensor", lambda *_, **__: next(draws))
    scheduler = CMStochasticIterativeScheduler(clip_denoised=False)
    scheduler.set_timesteps(5)
    scheduler.sigmas, scheduler.is_scale_input_called = scheduler.sigmas.double(), True
    sigmas = scheduler.sigmas[:-1]
    x = golden["x_init"]
    for timestep, sigma in zip(scheduler.timesteps, sigmas[:-1], strict=False):
        c_skip, c_out = scheduler.get_scalings_for_boundary_condition(sigma)
        x = scheduler.step((mixture(x, sigma) - c_skip * x) / c_out, timestep, x).prev_sample
    ours = sample(mixture, golden["x_init"], sigmas, Consistency(), noise=iter(golden["noise"]).__next__)
    torch.testing.assert_close(ours, x, rtol=0, atol=1e-12)
