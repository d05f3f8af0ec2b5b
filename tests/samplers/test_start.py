import math

import pytest
import torch

from samplers import Euler, Heun, PerImageNoise, karras, sample, start_at, start_from

SHAPE = (1, 3, 4)
IMAGES = torch.linspace(-0.9, 0.9, 24).reshape(2, *SHAPE)


def bend(x, sigma):
    return torch.tanh(x / (1 + sigma**2) ** 0.5)


def noise():
    return PerImageNoise([5, 6], SHAPE)


def test_strength_1_is_generation_from_pure_noise_bit_for_bit():
    x, sigmas = start_from(IMAGES, noise(), karras(7), 1.0)
    assert torch.equal(sigmas, karras(7))
    assert torch.equal(x, karras(7)[0].float() * noise()())
    assert torch.equal(x, start_from(-IMAGES, noise(), karras(7), 1.0)[0])


def test_strength_0_returns_the_images_bit_for_bit():
    x, sigmas = start_from(IMAGES, noise(), karras(7), 0.0)
    assert torch.equal(x, IMAGES)
    assert sigmas.tolist() == [0.0]


@pytest.mark.parametrize(("strength", "steps"), [(0.1, 1), (0.3, 3), (0.29, 3), (0.5, 5), (0.99, 10)])
def test_strength_is_the_share_of_the_steps(strength, steps):
    x, sigmas = start_from(IMAGES, noise(), karras(10), strength)
    assert torch.equal(sigmas, karras(10)[-steps - 1 :])
    torch.testing.assert_close((x - IMAGES) / sigmas[0], noise()(), rtol=0, atol=1e-4)


def test_the_lower_the_strength_the_more_of_the_image_stays():
    distances = []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, sigmas = start_from(IMAGES, noise(), karras(8), strength)
        images = sample(bend, x, sigmas, Heun()) if strength else x
        distances.append(float((images - IMAGES).square().mean()))
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[-1] > 0.2


@pytest.mark.parametrize("sigma", [100.0, 80.0, 33.3, 1.0, 0.001])
def test_starts_at_any_noise_level(sigma):
    x, sigmas = start_at(IMAGES, noise(), karras(7), sigma)
    assert sigmas[0] == sigma
    assert torch.equal(sigmas[1:], karras(7)[karras(7) < sigma])
    assert torch.equal(x, IMAGES + sigma * noise()())
    assert sample(bend, x, sigmas, Euler()).isfinite().all()


def test_no_first_step_of_the_size_of_a_rounding_error():
    grid = karras(7)
    level = math.nextafter(float(grid[2]), math.inf)
    assert torch.equal(start_at(IMAGES, noise(), grid, level)[1][1:], grid[3:])


def test_with_the_prediction_of_one_image_the_way_leads_to_it():
    target = -IMAGES
    x, sigmas = start_at(IMAGES, noise(), karras(6), 2.0)
    assert torch.equal(sample(lambda x, sigma: target, x, sigmas, Euler()), target)


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_a_strength_outside_0_to_1_is_refused(strength):
    with pytest.raises(ValueError, match=rf"strength: expected a number in \[0, 1\], got {strength}"):
        start_from(IMAGES, noise(), karras(7), strength)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_a_noise_level_that_leaves_no_step_is_refused(sigma):
    with pytest.raises(ValueError, match=rf"sigma: expected a finite .* above the end of the grid, 0.0, got {sigma}"):
        start_at(IMAGES, noise(), karras(7), sigma)
