"""What holds for every sampler, whatever its method."""

import pytest
import torch

from samplers import DDIM, DDPM, Euler, Heun, PerImageNoise, karras, sample

SEEDS = [11, 0, 2**32 - 1, 11]
SHAPE = (3, 5, 4)
ZERO_TERMINAL_SNR = 4096.0


def bend(x, sigma):
    """A denoiser that is not linear, works on each element alone, and keeps its result in [-1, 1]."""
    return torch.tanh(x / (1 + sigma**2) ** 0.5)


def run(sampler, sigmas, seeds=SEEDS, denoise=bend, dtype=torch.float32):
    noise = PerImageNoise(seeds, SHAPE, dtype=dtype)
    return sample(denoise, sigmas[0].to(dtype) * noise(), sigmas, sampler, noise=noise)


@pytest.mark.parametrize("sigmas", [karras(1), karras(6), karras(6)[:-1]], ids=["1 step", "to 0", "to sigma_min"])
def test_calls_the_network_as_often_as_declared(sampler, sigmas):
    calls = []
    run(sampler, sigmas, denoise=lambda x, sigma: calls.append(sigma) or bend(x, sigma))
    assert len(calls) == sampler.network_calls(sigmas)


@pytest.mark.parametrize(("sampler", "calls"), [(Euler(), 18), (Heun(), 35), (DDPM(), 18), (DDIM(), 18)])
def test_network_calls_of_18_steps(sampler, calls):
    assert sampler.network_calls(karras(18)) == calls


def test_one_step_to_zero_is_the_prediction_bit_for_bit(sampler):
    """Also from where x is thousands of times larger than the image: nothing may cancel."""
    sigmas = karras(1, sigma_max=ZERO_TERMINAL_SNR)
    x = sigmas[0] * PerImageNoise(SEEDS, SHAPE)()
    denoised = bend(x, torch.tensor(ZERO_TERMINAL_SNR))
    assert torch.equal(run(sampler, sigmas), denoised)


def test_float32_follows_float64_from_zero_terminal_snr(sampler):
    sigmas = karras(40, sigma_max=ZERO_TERMINAL_SNR)
    exact = run(sampler, sigmas, dtype=torch.float64)
    assert exact.abs().max() <= 1
    torch.testing.assert_close(run(sampler, sigmas).double(), exact, rtol=0, atol=1e-6)


def test_an_image_depends_on_its_seed_and_not_on_its_batch(sampler):
    sigmas = karras(6)
    batch = run(sampler, sigmas)
    alone = torch.cat([run(sampler, sigmas, seeds=[seed]) for seed in SEEDS])
    assert torch.equal(batch, alone)
    assert torch.equal(batch[0], batch[3])
    assert not torch.equal(batch[0], batch[1])


def test_leaves_its_input_alone(sampler):
    noise = PerImageNoise(SEEDS, SHAPE)
    x = 80 * noise()
    before = x.clone()
    sample(bend, x, karras(4), sampler, noise=noise)
    assert torch.equal(x, before)


def test_says_truly_whether_it_is_stochastic(sampler):
    """Noise decides the result of a stochastic sampler, and is neither needed nor drawn by another."""
    x, sigmas = torch.full((1, *SHAPE), 80.0), karras(4)
    if sampler.stochastic:
        with pytest.raises(ValueError, match=r"noise: expected a source of noise for \w+\(.*\), got None"):
            sample(bend, x, sigmas, sampler)
        one, other = (sample(bend, x, sigmas, sampler, noise=PerImageNoise([seed], SHAPE)) for seed in (0, 1))
        assert not torch.equal(one, other)
    else:
        sample(bend, x, sigmas, sampler)


def test_stopping_on_the_way_and_going_on_is_the_whole_way(one_step_sampler):
    sigmas, noise = karras(7), PerImageNoise(SEEDS, SHAPE)
    half_way = sample(bend, 80 * noise(), sigmas[:4], one_step_sampler, noise=noise)
    assert torch.equal(sample(bend, half_way, sigmas[3:], one_step_sampler, noise=noise), run(one_step_sampler, sigmas))
