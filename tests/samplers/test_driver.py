import math
from dataclasses import dataclass

import pytest
import torch

from samplers import Churn, Euler, Heun, PerImageNoise, Sampler, karras, sample

X = 80 * PerImageNoise([1, 2], (3, 4, 4))()


def shrink(x, sigma):
    return x / (1 + sigma**2)


@pytest.mark.parametrize(
    "sigmas",
    [
        [1.0],
        [[1.0, 0.0]],
        [0.0, 1.0],
        [1.0, 1.0, 0.0],
        [2.0, 1.0, 3.0],
        [1.0, 2.0, 0.0],
        [math.inf, 1.0],
        [math.nan, 1.0],
        [1.0, -0.1],
    ],
    ids=str,
)
def test_a_grid_that_is_none_is_refused(sigmas):
    with pytest.raises(ValueError, match="sigmas: expected"):
        sample(shrink, X, torch.tensor(sigmas), Euler())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_state_keeps_its_dtype_whatever_network_and_noise_return(dtype):
    seen = []

    def denoise(x, sigma):
        seen.append((x.dtype, type(sigma)))
        return shrink(x, sigma).to(torch.float16 if dtype == torch.float64 else torch.float64)

    noise = PerImageNoise([1, 2], (3, 4, 4), dtype=torch.float64)
    out = sample(denoise, X.to(dtype), karras(3), Heun(), noise=noise, churn=Churn(S_churn=1))
    assert out.dtype == dtype
    assert set(seen) == {(dtype, float)}


def test_no_gradient_is_recorded():
    weight = torch.ones((), requires_grad=True)
    assert not sample(lambda x, sigma: weight * shrink(x, sigma), X, karras(2), Euler()).requires_grad
    assert torch.is_grad_enabled()


def test_callback_sees_every_step():
    sigmas, predictions, steps = karras(3), [], []
    out = sample(
        lambda x, sigma: predictions.append(shrink(x, sigma)) or predictions[-1],
        X,
        sigmas,
        Heun(),
        callback=steps.append,
    )
    assert [(step.index, step.sigma, step.sigma_next) for step in steps] == [
        (i, float(sigmas[i]), float(sigmas[i + 1])) for i in range(3)
    ]
    assert torch.equal(steps[-1].x, out)
    for step, last in zip(steps, (1, 3, 4), strict=True):
        assert torch.equal(step.denoised, predictions[last])


def test_progress_wraps_the_step_numbers():
    wrapped = []

    def progress(steps):
        wrapped.append(len(steps))
        return steps

    out = sample(shrink, X, karras(5), Euler(), progress=progress)
    assert wrapped == [5]
    assert torch.equal(out, sample(shrink, X, karras(5), Euler()))


@dataclass(frozen=True)
class Remember(Sampler[list]):
    """Euler's steps with a memory that begins with the grid."""

    order = 1
    nfe = 1

    def start(self, sigmas):
        return [sigmas]

    def step(self, denoise, x, sigma, sigma_next, state, noise):
        x, _ = Euler().step(denoise, x, sigma, sigma_next, None, noise)
        history = [*state, sigma]
        x.history = history
        return x, history


def test_state_travels_from_step_to_step_and_not_from_run_to_run():
    sampler, sigmas = Remember(), karras(4)
    for _ in range(2):
        assert sample(shrink, X, sigmas, sampler).history == [sigmas.tolist(), *sigmas[:-1].tolist()]


def test_each_descent_of_a_grid_with_restarts_starts_afresh():
    sigmas = torch.tensor([5.0, 2.0, 4.0, 3.0, 1.0])
    out = sample(shrink, X, sigmas, Remember(), noise=PerImageNoise([1, 2], (3, 4, 4)))
    assert out.history == [[4.0, 3.0, 1.0], 4.0, 3.0]


def test_churn_raises_the_noise_level_by_gamma():
    """gamma = 0.9 / 9; the variance added is sigma_hat^2 - sigma^2 = 2.2^2 - 2^2."""
    churn = Churn(S_churn=0.9, S_noise=1.5)
    x, z = torch.tensor([3.0, 5.0]).double(), torch.tensor([1.0, -2.0]).double()
    x_hat, sigma_hat = churn(x, 2.0, 9, lambda: z)
    assert sigma_hat == pytest.approx(2.2, rel=1e-14)
    torch.testing.assert_close(x_hat, x + math.sqrt(0.84) * 1.5 * z, rtol=1e-14, atol=0)


def test_churn_is_capped():
    _, sigma_hat = Churn(S_churn=100)(X, 2.0, 2, lambda: torch.zeros_like(X))
    assert sigma_hat == pytest.approx(2 * math.sqrt(2), rel=1e-14)


@pytest.mark.parametrize(
    "churn", [Churn(S_churn=0), Churn(S_churn=9, S_min=100), Churn(S_churn=9, S_max=0.001)], ids=repr
)
def test_churn_outside_its_range_is_bitwise_none(churn):
    noise = PerImageNoise([1, 2], (3, 4, 4))
    assert torch.equal(
        sample(shrink, X, karras(4), Heun(), noise=noise, churn=churn), sample(shrink, X, karras(4), Heun())
    )


def test_churn_needs_noise():
    with pytest.raises(ValueError, match=r"noise: expected a source of noise for Churn\(S_churn=4.*, got None"):
        sample(shrink, X, karras(4), Heun(), churn=Churn(S_churn=4))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"S_churn": -1}, "S_churn: expected a number >= 0, got -1"),
        ({"S_churn": math.nan}, "S_churn: expected a number >= 0, got nan"),
        ({"S_churn": 1, "S_min": 2, "S_max": 1}, "S_min, S_max: expected 0 <= S_min <= S_max, got 2, 1"),
        ({"S_churn": 1, "S_noise": -1}, "S_noise: expected a number >= 0, got -1"),
    ],
)
def test_bad_churn_is_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Churn(**fields)
