"""With the exact consistency function of a Gaussian, every number of steps gives the data's distribution."""

import pytest
import torch

from samplers import Consistency, PerImageNoise, karras, sample


def consistent(data_std, epsilon):
    """The end, at noise level epsilon, of the ODE's path through x, for data from N(0, data_std^2)."""
    return lambda x, sigma: ((data_std**2 + epsilon**2) / (data_std**2 + sigma**2)) ** 0.5 * x


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("epsilon", [0.0, 0.002, 0.1])
def test_any_number_of_steps_gives_the_variance_of_the_data(data_std, n, epsilon):
    sigmas = karras(n, sigma_min=0.5)
    impulses = torch.eye(n + 1, dtype=torch.float64)
    response = sample(
        consistent(data_std, epsilon),
        impulses[0],
        sigmas,
        Consistency(epsilon=epsilon),
        noise=iter(impulses[1:]).__next__,
    )
    variance = response[0] ** 2 * (data_std**2 + sigmas[0] ** 2) + (response[1:] ** 2).sum()
    assert float(variance) == pytest.approx(data_std**2 + epsilon**2, rel=1e-12)


def test_one_step_is_the_network_alone_and_draws_nothing(data_std):
    noise, f = PerImageNoise([1, 2], (1, 2, 2)), consistent(data_std, 0.002)
    x = 80 * noise()
    assert torch.equal(sample(f, x, karras(1), Consistency(), noise=noise), f(x, torch.tensor(80.0)))
    untouched = PerImageNoise([1, 2], (1, 2, 2))
    untouched()
    assert torch.equal(noise(), untouched())


@pytest.mark.parametrize("epsilon", [-0.1, float("nan")])
def test_a_negative_epsilon_is_refused(epsilon):
    with pytest.raises(ValueError, match=f"epsilon: expected a number >= 0, got {epsilon}"):
        Consistency(epsilon=epsilon)
